/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ticket locks.
 *
 * The hypervisor runs with interrupts off; they are on only in guests, in the
 * idle loop's HLT and at preemption points (irq_window()).  So locks need no
 * irqsave form, and nothing nests.  A CPU that waits - for a lock or for another
 * CPU - must still answer TLB flush requests, or two CPUs could wait for each
 * other: every waiting loop calls smp_poll().
 *
 * Order (outer first), docs/locking.md: domlist, domain->lock (domctl),
 * domain->mm_lock, domain->grant lock (lower domid first), domain->evtchn lock
 * (lower domid first), heap, sched runqueue, timer, console.
 */
#pragma once
#include <pv/types.h>
#include <pv/atomic.h>

struct spinlock { uint16_t head, tail; } __aligned(4);
#define SPINLOCK_INIT { 0, 0 }

void smp_poll(void);	/* x86/smp.c: answers requests of other CPUs; cheap when there are none */

static inline void spin_lock(struct spinlock *l)
{
	uint16_t me = __atomic_fetch_add(&l->tail, 1, __ATOMIC_RELAXED);

	while (__atomic_load_n(&l->head, __ATOMIC_ACQUIRE) != me) {
		__builtin_ia32_pause();
		smp_poll();
	}
}
static inline void spin_unlock(struct spinlock *l)
{
	__atomic_store_n(&l->head, (uint16_t)(l->head + 1), __ATOMIC_RELEASE);
}
static inline bool spin_trylock(struct spinlock *l)
{
	uint32_t old = __atomic_load_n((uint32_t *)l, __ATOMIC_RELAXED);

	if ((uint16_t)old != (uint16_t)(old >> 16))
		return false;
	return atomic_cas((uint32_t *)l, &old, old + 0x10000u);
}
static inline bool spin_is_locked(const struct spinlock *l) { return l->head != l->tail; }
