/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine for the scheduler: CPUs, a clock that only the test moves, timers
 * that fire when it passes them, and vCPUs that use the CPU as a script says.
 */
#pragma once
#include <pv/domain.h>
#include <pv/percpu.h>
#include <pv/sched.h>

#define SIM_US	1000L
#define SIM_MS	1000000L
#define SIM_S	1000000000L

struct sim_vcpu {
	struct vcpu v;			/* first: a struct vcpu * is a struct sim_vcpu * */
	struct domain d;
	struct vcpu_info info;
	struct shared_info shared;
	/* script: run for burst_ns, then call done on its CPU (NULL: run for ever) */
	int64_t burst_ns;
	void (*done)(struct sim_vcpu *s);
	int64_t left_ns;
	/* a sleeper: wakes each period_ns, works burst_ns */
	s_time_t period_ns, due;
	bool woken;
	s_time_t worst_wake_ns;
	uint64_t nr_wakes;
	/* results */
	int64_t ran_ns;
};

extern s_time_t sim_now;
extern unsigned int sim_virqs, sim_kicks, sim_dirty_marks;
extern int sim_shutdown_reason;		/* -1: none */
extern void (*sim_poll_hook)(void);
/* called once while a CPU has chosen another vCPU but not yet saved @prev's registers */
extern void (*sim_switch_hook)(struct vcpu *prev);

/** sim_start() - a machine of @ncpus, all idle, at time @start. */
void sim_start(unsigned int ncpus, s_time_t start);
/** sim_stop() - destroy what was added. */
void sim_stop(void);
/** sim_add() - a domain with one vCPU, down; done == NULL: a hog. */
struct sim_vcpu *sim_add(uint32_t weight, int64_t burst_ns, void (*done)(struct sim_vcpu *));
struct sim_vcpu *sim_add_hog(uint32_t weight);
/** sim_add_sleeper() - works @burst_ns at every @period_ns, by its singleshot timer. */
struct sim_vcpu *sim_add_sleeper(uint32_t weight, s_time_t period_ns, int64_t burst_ns);
void sim_up(struct sim_vcpu *s);
/** sim_settle() - let every CPU do its softirqs, then check the invariants. */
void sim_settle(void);
void sim_run_for(s_time_t ns);
/** sim_cpu_softirqs() - let one CPU do its softirqs. */
void sim_cpu_softirqs(unsigned int cpu);
/** sim_on_cpu() - the vCPU that is current on @cpu. */
struct vcpu *sim_on_cpu(unsigned int cpu);
/** sim_event() - port-less event: upcall pending and unblock, as the event code does. */
void sim_event(struct vcpu *v);
