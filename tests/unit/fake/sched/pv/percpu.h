/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real per-CPU header, but "this CPU" is whichever the test says: the host's
 * stack is not where the hypervisor keeps its cpu_info.
 */
#pragma once
#define cpu_info real_cpu_info
#define softirq_raise real_softirq_raise
#include_next <pv/percpu.h>
#undef cpu_info
#undef softirq_raise

extern struct real_cpu_info fake_cpu_info[MAX_CPUS];
extern __thread unsigned int fake_cpu;	/* a thread is a CPU in test_sched_smp.c */
#define cpu_info() (&fake_cpu_info[fake_cpu])

static inline void softirq_raise(unsigned int nr)
{
	set_bit(nr, &this_cpu()->softirq_pending);
}
