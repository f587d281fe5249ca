/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hypercalls of the dom0 programs, one thin function per operation.
 *
 * Everything goes through libxencall; no other file of ours issues a
 * hypercall.  The set is kept small on purpose (docs/hypercalls-used.md is its
 * list, and what a hypervisor must implement for our tools).
 *
 * All functions return 0 or a count on success and -errno on failure, and
 * print nothing: the caller knows what was being attempted.  Whatever an
 * operation reads or writes through a pointer is copied through memory of
 * hcall_buf_alloc() inside, except where a parameter is said to be "hypercall
 * memory": that one must come from hcall_buf_alloc() itself.
 *
 * A handle may be used by several threads at once (libxencall locks its buffer
 * cache; nothing else is shared).
 *
 * Sources: Xen public headers 4.17 (domctl.h, sysctl.h, memory.h,
 * event_channel.h, grant_table.h, xen.h) and our own
 * hypervisor/include/public/godwit.h.
 */
#ifndef TOOLSTACK_LIB_HCALL_H
#define TOOLSTACK_LIB_HCALL_H

#ifndef __XEN_TOOLS__
#define __XEN_TOOLS__ 1
#endif
#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/sysctl.h>

#include "hypervisor/include/public/godwit.h"

struct hcall;

/* --- handle and memory ----------------------------------------------------- */

/**
 * hcall_open() - open the hypercall device.
 * @out: gets the handle; hcall_close() it
 *
 * Return: 0, -ENOENT/-ENODEV where this is no Xen-compatible dom0, -EACCES for
 * a user other than root, -ENOMEM.
 */
int hcall_open(struct hcall **out);

/** hcall_close() - the inverse; NULL is allowed. */
void hcall_close(struct hcall *h);

/**
 * hcall_buf_alloc() - page-aligned memory the hypervisor can always reach.
 * @h:         handle
 * @len_bytes: size, rounded up to pages
 *
 * Plain memory may be swapped, moved or marked copy-on-write under a
 * hypercall; this may not.  Zeroed at the first use of each page only.
 * Return: the memory or NULL.  Free with hcall_buf_free() and the same length.
 */
void *hcall_buf_alloc(struct hcall *h, size_t len_bytes);

/** hcall_buf_free() - the inverse; NULL is allowed. */
void hcall_buf_free(struct hcall *h, void *buf, size_t len_bytes);

/* --- domains (domctl, sched_op) --------------------------------------------- */

/**
 * hcall_domain_create() - make an empty, paused PV domain without vCPUs.
 * @h:         handle
 * @uuid:      becomes the domain's handle
 * @max_vcpus: upper limit of its vCPUs, >= 1
 * @domid:     in: id wanted, 0 = any; out: the id given
 *
 * Return: 0, -EEXIST (id taken), -ENOMEM, -EINVAL.
 * Source: XEN_DOMCTL_createdomain.
 */
int hcall_domain_create(struct hcall *h, const uint8_t uuid[16], unsigned int max_vcpus,
			domid_t *domid);

/**
 * hcall_domain_destroy() - kill a domain; restarts itself until it is gone.
 *
 * Frames that other domains still map stay until those unmap them (the domain
 * shows as dying meanwhile).  Return: 0, -ESRCH.  Source: XEN_DOMCTL_destroydomain.
 */
int hcall_domain_destroy(struct hcall *h, domid_t domid);

/** hcall_domain_pause() - stop all vCPUs; counted by the hypervisor. */
int hcall_domain_pause(struct hcall *h, domid_t domid);

/** hcall_domain_unpause() - undo one hcall_domain_pause() (a new domain has one). */
int hcall_domain_unpause(struct hcall *h, domid_t domid);

/**
 * hcall_domain_resume() - let a domain run on that shut down with reason suspend.
 *
 * Clears the shutdown state and starts its vCPUs.  The value that the guest's
 * suspend hypercall returns (1 = cancelled) is vCPU 0's rax and must have been
 * set before through setvcpucontext.  Source: XEN_DOMCTL_resumedomain.
 */
int hcall_domain_resume(struct hcall *h, domid_t domid);

/**
 * hcall_domain_shutdown() - shut a domain down from outside, at once.
 * @reason: SHUTDOWN_* of xen/sched.h
 * Source: SCHEDOP_remote_shutdown.
 */
int hcall_domain_shutdown(struct hcall *h, domid_t domid, unsigned int reason);

/** hcall_domain_set_max_vcpus() - allocate vCPUs 0..n-1.  XEN_DOMCTL_max_vcpus. */
int hcall_domain_set_max_vcpus(struct hcall *h, domid_t domid, unsigned int n);

/** hcall_domain_set_max_mem() - limit of its memory in KiB.  XEN_DOMCTL_max_mem. */
int hcall_domain_set_max_mem(struct hcall *h, domid_t domid, uint64_t max_kib);

/**
 * hcall_domain_set_weight() - its share of contended CPUs.
 * @weight: 1..65535, 256 is the default
 *
 * Return: 0, -EINVAL (also where another kind of scheduler runs).
 * Source: XEN_DOMCTL_scheduler_op, credit2's structure.
 */
int hcall_domain_set_weight(struct hcall *h, domid_t domid, unsigned int weight);

/** hcall_domain_get_weight() - the inverse. */
int hcall_domain_get_weight(struct hcall *h, domid_t domid, unsigned int *weight);

/**
 * hcall_domain_get_info() - state of exactly this domain.
 *
 * Return: 0, -ESRCH if there is none with this id (the hypercall itself gives
 * the next higher one).  Source: XEN_DOMCTL_getdomaininfo.
 */
int hcall_domain_get_info(struct hcall *h, domid_t domid,
			  struct xen_domctl_getdomaininfo *info);

/**
 * hcall_domain_list() - state of the domains from an id on, ascending.
 * @first: lowest id wanted
 * @infos: gets up to @max entries
 * @max:   1..4096
 *
 * Return: number of entries, or -errno.  Source: XEN_SYSCTL_getdomaininfolist.
 */
int hcall_domain_list(struct hcall *h, domid_t first, struct xen_domctl_getdomaininfo *infos,
		      unsigned int max);

/** hcall_vcpu_set_context() - registers of a vCPU; this makes it startable. */
int hcall_vcpu_set_context(struct hcall *h, domid_t domid, unsigned int vcpu,
			   const struct vcpu_guest_context *ctx);

/** hcall_vcpu_get_context() - registers of a vCPU of a paused or stopped domain. */
int hcall_vcpu_get_context(struct hcall *h, domid_t domid, unsigned int vcpu,
			   struct vcpu_guest_context *ctx);

/* --- memory ------------------------------------------------------------------- */

/**
 * hcall_memory_populate() - give frames to a domain.
 * @domid: whose
 * @pfns:  in: first pfn of each extent; out: first mfn of each
 * @nr:    extents
 * @order: log2 of the frames of one extent
 *
 * The M2P entries of the frames are set.
 * Return: extents populated, 0..nr (fewer than @nr: memory or the domain's
 * limit ran out), or -errno.  Source: XENMEM_populate_physmap.
 */
long hcall_memory_populate(struct hcall *h, domid_t domid, xen_pfn_t *pfns, size_t nr,
			   unsigned int order);

/**
 * hcall_memory_set_map() - the e820 a domain will see: one RAM range from 0.
 * @size_bytes: its end
 *
 * Needed only where maxmem > memory; a domain without a map sees the memory it
 * was built with.  Return: 0, -ENOSYS.  Source: XENMEM_set_memory_map.
 */
int hcall_memory_set_map(struct hcall *h, domid_t domid, uint64_t size_bytes);

/**
 * hcall_mmu_pin_l4() - validate and pin an L4 page table of another domain.
 * @mfn: the table
 *
 * Return: 0, -EINVAL if the tree breaks a rule of direct paging.
 * Source: MMUEXT_PIN_L4_TABLE with foreigndom.
 */
int hcall_mmu_pin_l4(struct hcall *h, domid_t domid, uint64_t mfn);

/* --- event channels, grants ------------------------------------------------------ */

/**
 * hcall_evtchn_alloc_unbound() - a port in @domid that dom0 may bind to.
 * @domid: owner of the new port
 * @port:  gets its number
 * Source: EVTCHNOP_alloc_unbound, remote_dom 0.
 */
int hcall_evtchn_alloc_unbound(struct hcall *h, domid_t domid, uint32_t *port);

/**
 * hcall_gnttab_first_frame() - machine frame of a domain's first grant frame.
 * @mfn: gets it; map it with fmap to seed the reserved entries
 *
 * Return: 0, -errno.  Source: GNTTABOP_setup_table with dom set, nr_frames 1.
 */
int hcall_gnttab_first_frame(struct hcall *h, domid_t domid, uint64_t *mfn);

/* --- host --------------------------------------------------------------------------- */

/** hcall_host_get_physinfo() - CPUs and memory of the machine.  XEN_SYSCTL_physinfo. */
int hcall_host_get_physinfo(struct hcall *h, struct xen_sysctl_physinfo *info);

/**
 * hcall_host_read_console() - the hypervisor's message ring, oldest first.
 * @buf:   gets bytes, no NUL added
 * @len:   capacity, 1..1 MiB
 * @index: in/out: where to go on; 0 first
 * @clear: forget what was read
 *
 * Return: bytes, 0 at the end, or -errno.  Source: XEN_SYSCTL_readconsole.
 */
long hcall_host_read_console(struct hcall *h, char *buf, size_t len, uint32_t *index,
			     int clear);

/**
 * hcall_host_get_version() - the version of the hypervisor ABI.
 * @major_minor: gets major << 16 | minor
 * @extra:       gets the extraversion text, NUL-terminated
 * Source: XENVER_version, XENVER_extraversion.
 */
int hcall_host_get_version(struct hcall *h, unsigned int *major_minor, char extra[17]);

/* --- Godwit's own (hypervisor/include/public/godwit.h) ----------------------------------- */
/*
 * Each takes its public structure, copies it in and out, and leaves what the
 * structure points to alone: every pointer in it must be hypercall memory
 * (hcall_buf_alloc()).  On a hypervisor that is not Godwit all give -ENOSYS.
 * A command that may stop early says so in the structure; only the functions
 * with _all go on by themselves.
 */

/** hcall_godwit_get_version() - which hypervisor build this is. */
int hcall_godwit_get_version(struct hcall *h, struct godwit_version *v);

/** hcall_godwit_logdirty() - any action of GODWIT_OP_logdirty, one call. */
int hcall_godwit_logdirty(struct hcall *h, struct godwit_logdirty *op);

/** hcall_godwit_logdirty_enable_all() - ENABLE until nothing remains. */
int hcall_godwit_logdirty_enable_all(struct hcall *h, domid_t domid);

/** hcall_godwit_logdirty_disable() - back to direct paging. */
int hcall_godwit_logdirty_disable(struct hcall *h, domid_t domid);

/**
 * hcall_godwit_logdirty_collect() - harvest D bits into the bitmap.
 * @nr_dirty: gets the dirty pfns now in the bitmap
 */
int hcall_godwit_logdirty_collect(struct hcall *h, domid_t domid, uint64_t *nr_dirty);

/**
 * hcall_godwit_logdirty_fetch() - take dirty pfns out of the bitmap.
 * @pfns:    hypercall memory, uint64_t[max]
 * @max:     1..65536
 * @cursor:  in/out: first pfn to look at; start with 0
 * @end_pfn: gets the value of cursor that means "exhausted"
 *
 * Return: pfns written, or -errno.
 */
int hcall_godwit_logdirty_fetch(struct hcall *h, domid_t domid, uint64_t *pfns,
				unsigned int max, uint64_t *cursor, uint64_t *end_pfn);

/** hcall_godwit_snapshot() - any action of GODWIT_OP_snapshot.  op->pfns: hypercall memory or 0. */
int hcall_godwit_snapshot(struct hcall *h, struct godwit_snapshot *op);

/** hcall_godwit_read_frames() - one call; see nr_done.  Buffers: hypercall memory. */
int hcall_godwit_read_frames(struct hcall *h, struct godwit_frames *op);

/** hcall_godwit_write_frames() - one call; see nr_done.  Buffers: hypercall memory. */
int hcall_godwit_write_frames(struct hcall *h, struct godwit_frames *op);

/**
 * hcall_godwit_read_frames_all() - read_frames until all are done.
 * @pfns:   hypercall memory, uint64_t[nr]
 * @types:  hypercall memory, uint8_t[nr]
 * @buffer: hypercall memory, nr pages
 * @nr:     1..GODWIT_BATCH_MAX
 */
int hcall_godwit_read_frames_all(struct hcall *h, domid_t domid, const uint64_t *pfns,
				 uint8_t *types, void *buffer, unsigned int nr);

/** hcall_godwit_write_frames_all() - write_frames until all are done; as above. */
int hcall_godwit_write_frames_all(struct hcall *h, domid_t domid, const uint64_t *pfns,
				  const uint8_t *types, const void *buffer, unsigned int nr);

/** hcall_godwit_p2m_frames() - op->pfns: hypercall memory or 0. */
int hcall_godwit_p2m_frames(struct hcall *h, struct godwit_p2m_frames *op);

/** hcall_godwit_get_context() - op->buffer: hypercall memory or 0 to ask the size. */
int hcall_godwit_get_context(struct hcall *h, struct godwit_context *op);

/** hcall_godwit_set_context() - op->buffer: hypercall memory. */
int hcall_godwit_set_context(struct hcall *h, struct godwit_context *op);

/** hcall_godwit_finish_restore() - all arrays: hypercall memory. */
int hcall_godwit_finish_restore(struct hcall *h, struct godwit_finish_restore *op);

/** hcall_godwit_domain_facts() - op->shared_info: hypercall memory or 0. */
int hcall_godwit_domain_facts(struct hcall *h, struct godwit_domain_facts *op);

/**
 * hcall_godwit_snapshot_prepare() - make room for a snapshot; log-dirty must be on.
 * @reserve_pages: frames that may be copied aside before the domain's stores wait
 */
int hcall_godwit_snapshot_prepare(struct hcall *h, domid_t domid, uint64_t reserve_pages);

/**
 * hcall_godwit_snapshot_begin() - freeze a domain that stands.
 * @flags: GODWIT_SNAPSHOT_FULL or GODWIT_SNAPSHOT_DELTA
 * @st:    gets the state: nr_pfns, begin_us; may be NULL
 */
int hcall_godwit_snapshot_begin(struct hcall *h, domid_t domid, uint32_t flags, struct godwit_snapshot *st);

/**
 * hcall_godwit_snapshot_fetch() - pfns of the set that are not read yet; consumes nothing.
 * @pfns:    hypercall memory, uint64_t[max]
 * @max:     1..65536
 * @cursor:  in/out: first pfn to look at; start with 0
 * @end_pfn: gets the value of cursor that means "all seen"
 *
 * Return: pfns written, or -errno.
 */
int hcall_godwit_snapshot_fetch(struct hcall *h, domid_t domid, uint64_t *pfns, unsigned int max,
				uint64_t *cursor, uint64_t *end_pfn);

/** hcall_godwit_snapshot_commit() - all is read and kept: @cookie names this checkpoint from now on. */
int hcall_godwit_snapshot_commit(struct hcall *h, domid_t domid, uint64_t cookie);

/** hcall_godwit_snapshot_abort() - as if it had not been; also when there is none. */
int hcall_godwit_snapshot_abort(struct hcall *h, domid_t domid);

/** hcall_godwit_snapshot_status() - how it stands; st->cookie also without a snapshot. */
int hcall_godwit_snapshot_status(struct hcall *h, domid_t domid, struct godwit_snapshot *st);

/** hcall_godwit_lazy() - any action of GODWIT_OP_lazy, one call; op->pfns: hypercall memory or 0. */
int hcall_godwit_lazy(struct hcall *h, struct godwit_lazy *op);

/**
 * hcall_godwit_lazy_mark() - these pfns get their bytes when the domain runs.
 * @pfns: hypercall memory, uint64_t[nr]
 * @nr:   1..65536
 * @port: event channel of domain 0 that is signalled when one is asked for, 0: none
 */
int hcall_godwit_lazy_mark(struct hcall *h, domid_t domid, const uint64_t *pfns, unsigned int nr, uint32_t port);

/**
 * hcall_godwit_lazy_fetch() - pfns asked for since the last call, oldest first.
 * @pfns: hypercall memory, uint64_t[max]
 * @max:  1..64
 *
 * Return: pfns written, or -errno.
 */
int hcall_godwit_lazy_fetch(struct hcall *h, domid_t domid, uint64_t *pfns, unsigned int max);

/** hcall_godwit_audit() - count frames and broken rules. */
int hcall_godwit_audit(struct hcall *h, struct godwit_audit *op);

#endif
