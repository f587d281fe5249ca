/* SPDX-License-Identifier: Apache-2.0 */
/* One-shot timers on absolute system time (sched/timer.c).  A callback runs as SOFTIRQ_TIMER on
 * the CPU the timer was set on, with no lock held; it may set its own timer again. */
#pragma once
#include <pv/types.h>

struct timer {
	s_time_t expires;	/* ns of system time */
	void (*fn)(void *data);
	void *data;
	uint32_t cpu;
	int32_t heap_index;	/* -1: not pending */
};
void timer_subsys_init(void);
void timer_init(struct timer *t, void (*fn)(void *), void *data);
void timer_set(struct timer *t, s_time_t expires);
/** timer_stop() - not pending afterwards, though a callback may still be running elsewhere. */
void timer_stop(struct timer *t);
/** timer_kill() - timer_stop() and wait until a running callback has returned. */
void timer_kill(struct timer *t);
