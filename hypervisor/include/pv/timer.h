/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One-shot timers on absolute system time (sched/timer.c).
 *
 * A callback runs as SOFTIRQ_TIMER on the CPU the timer was last set on, never
 * early, with no lock held; it may set its own timer again.  The queue is made
 * of the timers themselves, so setting one never allocates and cannot fail.
 */
#pragma once
#include <pv/types.h>

struct timer {
	s_time_t expires;	/* ns of system time */
	void (*fn)(void *data);
	void *data;
	uint32_t cpu;		/* whose queue it is, or was last, in */
	bool pending;
	bool killed;		/* timer_set() does nothing any more */
	struct timer *child, *next, **link;	/* pairing heap; *link points here */
};

/** timer_subsys_init() - once at boot, before any other call. */
void timer_subsys_init(void);

/**
 * timer_init() - make @t ready, not pending.
 * @fn, @data: called as fn(data) when it expires
 *
 * Also brings a killed timer back.  Not on a pending timer.
 */
void timer_init(struct timer *t, void (*fn)(void *), void *data);

/**
 * timer_set() - @t expires at @expires (ns of system time; a past time: as soon as possible).
 *
 * Moves @t to this CPU's queue, pending or not.  From any context; takes timer locks only.
 */
void timer_set(struct timer *t, s_time_t expires);

/** timer_stop() - not pending afterwards, though a callback may still be running elsewhere. */
void timer_stop(struct timer *t);

/**
 * timer_kill() - timer_stop() for good, and wait until a running callback has returned.
 *
 * The caller holds no lock that the callback takes.  From the callback itself it does not wait.
 */
void timer_kill(struct timer *t);

/** timer_is_pending() - without a lock: a hint for callers that serialise otherwise. */
static inline bool timer_is_pending(const struct timer *t)
{
	return *(const volatile bool *)&t->pending;
}
