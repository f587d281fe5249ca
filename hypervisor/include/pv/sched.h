/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scheduling by borrowed virtual time (sched/sched.c; Duda and Cheriton, "Borrowed-Virtual-Time
 * scheduling", SOSP 1999), pause counts, runstates; time as guests see it (time/pvclock.c).
 * docs/scheduling.md tells the whole story.
 *
 * Who calls what when a CPU goes from one vCPU to another:
 *
 *	softirq_run() -> schedule handler -> context_switch(prev, next)		(x86/context.c)
 *		save prev's registers from guest_regs into prev
 *		sched_leaving(prev)		prev's page tables are still loaded, current == prev
 *		load next, current = next
 *		sched_switched_out(prev)	nothing of prev is loaded any more: it may be
 *						destroyed, or run elsewhere, from here on
 *		sched_switched_in(next)		next's page tables are loaded
 *		reset the stack; next is idle: idle_loop(); else the return-to-guest path,
 *		which runs softirqs again
 */
#pragma once
#include <pv/abi.h>
#include <pv/atomic.h>
#include <pv/spinlock.h>
#include <pv/timer.h>

struct vcpu;
struct domain;

struct sched_vcpu {
	uint64_t pause_flags;		/* PAUSE_* bits; runnable when 0 and pause_count is 0 */
	uint32_t pause_count;		/* vcpu_pause()/domain_pause() nest */
	uint32_t processor;		/* CPU it runs on, or ran on last */
	bool running;			/* chosen by a CPU until its registers are saved again */
	bool queued;			/* in the run queue */
	bool yielded;			/* asked to go behind the others once */
	struct vcpu *next;		/* run-queue link */
	/* BVT: ns of virtual time; evt = avt, less the warp while that lasts */
	int64_t avt, evt;
	bool warp;
	int64_t warp_left_ns;		/* run time left of the present warp allowance */
	s_time_t warp_renewed;		/* when that allowance was given */
	s_time_t last_run;		/* accounted up to here while running */
	s_time_t dispatched;		/* when it was last put on a CPU */
	/* runstate as the guest sees it */
	struct vcpu_runstate_info runstate;
	uint64_t runstate_gva;		/* registered area, 0 = none */
	bool areas_stale;		/* see sched_update_areas() */
	bool claimed;			/* a vcpu_op that changes it for good is under way */
	struct timer singleshot, periodic, poll;
	s_time_t period_ns;
};
/* Bit numbers in pause_flags.  PAUSE_MEMORY: it waits for a frame, see mm/snapshot.c. */
enum { PAUSE_DOWN, PAUSE_BLOCKED, PAUSE_SHUTDOWN, PAUSE_MEMORY };

#define SCHED_WEIGHT_DEFAULT	256u
#define SCHED_WEIGHT_MAX	65535u
#define SCHED_POLL_PORTS	128u	/* SCHEDOP_poll: bound of nr_ports */

/* --- life ------------------------------------------------------------------------------ */

/** sched_init() - once at boot, after the heap and timer_subsys_init(); reads options. */
void sched_init(void);
/** sched_init_cpu() - on each CPU itself: makes its idle vCPU and that its current. */
void sched_init_cpu(unsigned int cpu);
/** sched_vcpu_init() - new vCPU (domain, id, info set): PAUSE_DOWN set, timers ready.
 *  Return: 0 or -ENOMEM. */
int sched_vcpu_init(struct vcpu *v);
/** sched_vcpu_destroy() - after vcpu_pause(), for good: timers killed, off the queue. */
void sched_vcpu_destroy(struct vcpu *v);
/** sched_start() - leave boot: enter the idle loop, which finds the first vCPU. */
__noreturn void sched_start(void);
/** idle_loop() - what an idle vCPU does, on a fresh stack, interrupts off. */
__noreturn void idle_loop(void);

/**
 * sched_set_params() - @weight (1..65535, 256 is the usual) and @warp (may woken vCPUs run
 * ahead of their turn) of @d, from now on.  Return: 0 or -EINVAL.
 */
int sched_set_params(struct domain *d, uint32_t weight, bool warp);

/* --- may it run ------------------------------------------------------------------------- */

/** vcpu_wake() - look again whether @v may run, after pause_flags or pause_count changed in
 *  either direction.  Takes the run queue's lock; callers may hold the domain's locks. */
void vcpu_wake(struct vcpu *v);

/** vcpu_set_pause()/vcpu_clear_pause() - change one PAUSE_* bit and look again.  Setting does
 *  not wait until @v has left its CPU: vcpu_sync() does. */
void vcpu_set_pause(struct vcpu *v, unsigned int bit);
void vcpu_clear_pause(struct vcpu *v, unsigned int bit);

/** vcpu_block() - current waits for an event (SCHEDOP_block): marks it; the CPU is given up on
 *  the way back to the guest.  Does nothing when an event is deliverable already. */
void vcpu_block(void);
/** vcpu_poll() - current waits until one of @nr ports (copied) is pending, whatever their mask,
 *  or until @deadline (ns of system time, 0: none).  @nr is 0..SCHED_POLL_PORTS. */
void vcpu_poll(const uint32_t *ports, unsigned int nr, s_time_t deadline);
/** vcpu_yield() - current goes behind the others that wait for a CPU, if any. */
void vcpu_yield(void);
/** vcpu_unblock() - an event came for @v: end its block or poll.  Cheap when it is not blocked.
 *  The event path calls it after it set the pending bit; takes the run queue's lock. */
void vcpu_unblock(struct vcpu *v);
/** vcpu_kick() - if @v is in the guest on another CPU, make it pass the return path. */
void vcpu_kick(struct vcpu *v);

/** vcpu_pause() - count up, and return when it is on no CPU (its registers are in vcpu->regs).
 *  Not for current.  The caller holds no lock that a hypercall of @v may wait for.
 *  domain_pause() the same for all vCPUs of a domain that is not current's. */
void vcpu_pause(struct vcpu *v);
void vcpu_unpause(struct vcpu *v);
void vcpu_pause_nosync(struct vcpu *v);
/** vcpu_sync() - wait until @v, which something keeps from running, is on no CPU. */
void vcpu_sync(struct vcpu *v);
void domain_pause(struct domain *d);
void domain_unpause(struct domain *d);

/* --- accounts --------------------------------------------------------------------------- */

void runstate_get(struct vcpu *v, struct vcpu_runstate_info *out);
/** runstate_area_update() - write the registered area of current; its kernel tables are loaded. */
void runstate_area_update(struct vcpu *v);
uint64_t vcpu_cpu_time_ns(struct vcpu *v);
/** sched_cpu_idle_ns() - how long @cpu has had nothing to run. */
uint64_t sched_cpu_idle_ns(unsigned int cpu);

/**
 * sched_update_areas() - write what @v registered by virtual address (the runstate area).
 *
 * That can be done only while @v is current with its kernel tables loaded.  When it is
 * scheduled in with its user tables, v->sched.areas_stale is set instead and the path that
 * goes from user to kernel mode calls this if the flag is set.
 */
void sched_update_areas(struct vcpu *v);

/* --- with x86/context.c ------------------------------------------------------------------- */

/** context_switch() - leave @prev (current), enter @next on this CPU; does not return. */
__noreturn void context_switch(struct vcpu *prev, struct vcpu *next);
/** sched_leaving() - @prev's registers are saved, its tables and current not yet replaced. */
void sched_leaving(struct vcpu *prev);
/** sched_switched_out() - nothing of @prev is loaded here any more. */
void sched_switched_out(struct vcpu *prev);
/** sched_switched_in() - current is @next, its tables are loaded, it is about to run. */
void sched_switched_in(struct vcpu *next);
/** cpu_idle_wait() - enable interrupts and halt until one came; returns with them off. */
void cpu_idle_wait(void);

/* --- hypercalls --------------------------------------------------------------------------- */
long do_sched_op(unsigned int cmd, uint64_t arg, uint64_t third);
long do_vcpu_op(unsigned int cmd, unsigned int vcpuid, uint64_t arg);
long do_set_timer_op(uint64_t timeout);
/* supplied by domain/: the context and the page that these operations hand over */
int vcpu_set_context(struct vcpu *v, const struct vcpu_guest_context *c);
int vcpu_register_info(struct vcpu *v, mfn_t mfn, uint32_t offset);

/* --- time (time/pvclock.c) ---------------------------------------------------------------- */

/** pvclock_update() - make vcpu_time_info in @v's vcpu_info right; writes only when it is not.
 *  Called on schedule-in and after the vcpu_info has moved or was overwritten. */
void pvclock_update(struct vcpu *v);
/** pvclock_area_update() - write @v's secondary time area, v->time_area_gva; @v is of current's
 *  domain, whose kernel tables are loaded.  Needed once: what it says never changes. */
void pvclock_area_update(struct vcpu *v);
/** pvclock_init_domain() - wallclock and every vCPU's time in shared_info, before the first run
 *  and after a restore has overwritten shared_info. */
void pvclock_init_domain(struct domain *d);
/** pvclock_settime() - it was @sec s and @nsec ns (UTC) at @system_time_ns; all domains get the
 *  new wallclock.  Return: 0 or -EINVAL (nsec, or a date beyond 64-bit ns). */
int pvclock_settime(uint64_t sec, uint32_t nsec, uint64_t system_time_ns);
uint64_t wallclock_now_ns(void);
