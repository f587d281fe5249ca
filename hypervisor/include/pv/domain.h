/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Domains and vCPUs (domain/domain.c).  A domain lives while its reference count
 * is not zero: the table holds one, each user of domain_get() another.
 */
#pragma once
#include <pv/abi.h>
#include <pv/evtchn.h>
#include <pv/grant.h>
#include <pv/mm.h>
#include <pv/percpu.h>
#include <pv/sched.h>
#include <pv/spinlock.h>

#define MAX_VCPUS	32		/* shared_info holds 32 vcpu_info (XEN_LEGACY_MAX_VCPUS) */

struct trap_gate { uint64_t rip; uint16_t cs; uint8_t flags; };
struct callback { uint64_t rip; bool mask_events; };

/* What remains of a call inside a multicall (hypercall/preempt.c). */
struct hypercall_rest { bool in_multicall; unsigned int nr_args; uint64_t arg[3]; };

struct vcpu {
	struct domain *domain;
	unsigned int id;
	bool is_idle;
	bool initialised;		/* has a context (VCPUOP_initialise, setvcpucontext) */
	struct sched_vcpu sched;

	struct hypercall_rest rest;
	bool must_wait;			/* could not reach a frame that is missing, see hypercall_must_wait() */
	struct bounce {			/* x86/bounce.c: an entry to the kernel that had to wait */
		uint64_t rip, saved[6];
		unsigned int nr_saved;
		bool mask, pending;
	} bounce;

	/* event delivery and time: always valid; shared_info's slot until registered */
	struct vcpu_info *info;
	mfn_t info_mfn;			/* registered page (a writable reference held), or INVALID_MFN */
	uint64_t time_area_gva;		/* secondary time area, 0 = none */
	uint64_t poll_mask_ports;	/* SCHEDOP_poll: nr of ports polled, 0 = not polling */
	uint32_t *poll_ports;

	/* CPU state while it is not running (x86/context.c) */
	struct cpu_user_regs regs;
	bool kernel_mode;
	uint64_t fs_base, gs_base_kernel, gs_base_user;
	uint16_t ds, es, fs, gs;
	uint64_t kernel_ss, kernel_sp;
	uint64_t cr4, cr0_ts;
	uint64_t debugreg[8];
	uint64_t tsc_aux;
	uint64_t xcr0;
	void *xsave_area;		/* cpu_features.xsave_size bytes, 64-aligned */
	unsigned int iopl;
	struct trap_gate traps[256];
	struct callback event_cb, failsafe_cb, syscall_cb, syscall32_cb, sysenter_cb;
	bool nmi_masked;
	mfn_t gdt_mfn[14];		/* segdesc references; INVALID_MFN = none */
	unsigned int gdt_ents;
	mfn_t ldt_mfn[16];		/* pages of the LDT that were touched: segdesc references */
	uint64_t ldt_base;
	unsigned int ldt_ents;

	/* address spaces: references on L4 types (mm/mmu.c) */
	mfn_t kernel_l4, user_l4;	/* user: INVALID_MFN = none */
	uint64_t cr2;
};

enum domain_state { DOM_BUILDING, DOM_ALIVE, DOM_DYING, DOM_DEAD };

struct domain {
	uint16_t id;
	uint8_t uuid[16];
	uint32_t refs;
	enum domain_state state;
	bool privileged;		/* domain 0 */
	bool is_shutdown;
	uint8_t shutdown_code;
	bool paused_by_tool;		/* XEN_DOMCTL_pausedomain, or never unpaused yet */
	struct spinlock lock;

	unsigned int max_vcpus;
	struct vcpu *vcpu[MAX_VCPUS];

	struct spinlock mm_lock;	/* page tables, types, page list */
	struct spinlock page_lock;	/* page_list, tot_pages; inside mm_lock */
	uint64_t tot_pages, max_pages;
	uint32_t page_list;		/* mfn of first frame, 0 = none */
	uint64_t vm_assist;
	uint64_t dirty_cpus;		/* CPUs that may hold its translations */
	struct e820_entry *e820_map;	/* XENMEM_set_memory_map, or NULL */
	unsigned int nr_e820_map;
	struct logdirty *logdirty;	/* NULL = direct paging */
	struct track *track;		/* p2m view, NULL until somebody wants to move the domain */
	struct snapshot *snapshot;	/* NULL: none; changes under mm_lock and snap_lock */
	struct lazy *lazy;		/* NULL: no frame was ever missing (mm/lazy.c); the same */
	struct spinlock snap_lock;	/* what is frozen (mm/snapshot.c), what is missing (mm/lazy.c) */

	struct shared_info *shared_info;
	struct evtchn_domain evtchn;
	struct grant_domain grant;
	s_time_t created_at;
	uint32_t sched_weight;
	bool sched_warp;
	uint32_t ssidref;
	uint8_t handle[16];
};

#define DOMID_FIRST_RESERVED_	0x7ff0u
extern struct domain *dom0;
extern struct vcpu *idle_vcpu[MAX_CPUS];

/** domain_get() - by domid (DOMID_SELF too) with a reference, NULL when absent or dead. */
struct domain *domain_get(uint16_t domid);
void domain_put(struct domain *d);
void domain_hold(struct domain *d);
/** domain_get_any() - the domain of a frame's owner field, dying ones too; no reference taken:
 *  the frame at hand keeps it.  NULL for DOMID_XEN, DOMID_IO and the like. */
struct domain *domain_get_any(uint16_t domid);
/** domain_get_next() - the live domain with the lowest id >= @from, referenced, or NULL. */
struct domain *domain_get_next(uint16_t from);
int domain_create(uint16_t domid_or_any, const struct xen_domctl_createdomain *cfg, struct domain **out);
int domain_create_vcpus(struct domain *d, unsigned int n);
/** domain_shutdown() - all vCPUs stop, VIRQ_DOM_EXC; domain 0: the machine stops. */
void domain_shutdown(struct domain *d, unsigned int reason);
/** domain_resume() - undo domain_shutdown(); a cancelled suspend returns 1 to the guest. */
void domain_resume(struct domain *d);
/** domain_crash() - the guest broke a rule: first reason is logged, SHUTDOWN_crash. */
void domain_crash(struct domain *d, const char *fmt, ...) __printf(2, 3);
/** domain_destroy() - give back everything, a step a call: -EAGAIN, call again; the caller
 *  serialises calls for one domain (d->lock) and holds a reference of its own.  -EINVAL: dom0,
 *  or the caller itself.  -ESRCH: dead already. */
int domain_destroy(struct domain *d);
/** domain_pause_by_tool()/domain_unpause_by_tool() - XEN_DOMCTL_pausedomain and its inverse: a
 *  state, not a count.  -EINVAL when it is in that state already. */
int domain_pause_by_tool(struct domain *d);
int domain_unpause_by_tool(struct domain *d);
static inline bool is_privileged(const struct domain *d) { return d->privileged; }
/** vcpu_info_page dirtying: tell log-dirty that v->info was written. */
void vcpu_info_dirty(struct vcpu *v);
