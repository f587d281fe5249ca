/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scheduling by borrowed virtual time (sched/sched.c; Duda and Cheriton, "Borrowed-Virtual-Time
 * scheduling", SOSP 1999), pause counts, runstates.
 */
#pragma once
#include <pv/abi.h>
#include <pv/spinlock.h>
#include <pv/timer.h>

struct vcpu;
struct domain;

struct sched_vcpu {
	uint64_t pause_flags;		/* PAUSE_* bits; runnable when 0 and pause_count is 0 */
	uint32_t pause_count;		/* vcpu_pause()/domain_pause() nest */
	uint32_t processor;		/* CPU whose run queue it belongs to */
	bool running;			/* is on a CPU now */
	bool queued;
	struct vcpu *next;		/* run-queue link */
	/* BVT, in ns of virtual time */
	int64_t avt, evt;
	bool warp;
	s_time_t last_run;
	/* runstate as the guest sees it */
	struct vcpu_runstate_info runstate;
	uint64_t runstate_gva;		/* registered area, 0 = none */
	struct timer singleshot, periodic, poll;
	s_time_t period_ns;
};
enum { PAUSE_DOWN, PAUSE_BLOCKED, PAUSE_SHUTDOWN };	/* bit numbers in pause_flags */

void sched_init(void);					/* once */
void sched_init_cpu(unsigned int cpu);			/* on each CPU: its idle vCPU */
int sched_vcpu_init(struct vcpu *v);			/* new vCPU: PAUSE_DOWN set */
void sched_vcpu_destroy(struct vcpu *v);		/* paused for good: timers killed, off queues */
__noreturn void sched_start(void);			/* leave boot, enter the idle loop / first vCPU */

void vcpu_wake(struct vcpu *v);				/* look again whether it is runnable */
void vcpu_block(void);					/* current: SCHEDOP_block */
/** vcpu_unblock() - clear PAUSE_BLOCKED and wake; the event path calls it. */
void vcpu_unblock(struct vcpu *v);
void vcpu_kick(struct vcpu *v);				/* running elsewhere: make it pass the return path */
/** vcpu_pause() - count up, and return when it is on no CPU (its registers are in vcpu->regs).
 *  Not for current. domain_pause() the same for all vCPUs. */
void vcpu_pause(struct vcpu *v);
void vcpu_unpause(struct vcpu *v);
void vcpu_pause_nosync(struct vcpu *v);
void domain_pause(struct domain *d);
void domain_unpause(struct domain *d);
void runstate_get(struct vcpu *v, struct vcpu_runstate_info *out);
/** runstate_area_update() - write the registered area of current; its kernel tables are loaded. */
void runstate_area_update(struct vcpu *v);
uint64_t vcpu_cpu_time_ns(struct vcpu *v);

/* supplied by x86/context.c */
/** context_switch() - leave @prev (current), enter @next on this CPU; does not return. */
__noreturn void context_switch(struct vcpu *prev, struct vcpu *next);

/* hypercalls */
long do_sched_op(unsigned int cmd, uint64_t arg, uint64_t third);
long do_vcpu_op(unsigned int cmd, unsigned int vcpuid, uint64_t arg);
long do_set_timer_op(uint64_t timeout);

/* time (time/pvclock.c) */
/** pvclock_update() - write vcpu_time_info of @v (vcpu_info, and the secondary area when the
 *  kernel tables of @v are loaded); called on schedule-in and when the area changes. */
void pvclock_update(struct vcpu *v);
/** pvclock_init_domain() - wallclock in shared_info, before the first run. */
void pvclock_init_domain(struct domain *d);
int pvclock_settime(uint64_t sec, uint32_t nsec, uint64_t system_time_ns);
uint64_t wallclock_now_ns(void);
