// SPDX-License-Identifier: Apache-2.0
/*
 * Timers: one queue per CPU, earliest first.
 *
 * The queue is a pairing heap (Fredman, Sedgewick, Sleator, Tarjan, 1986) whose
 * nodes are the timers: inserting is one comparison, taking the earliest out is
 * logarithmic on average, and no storage is ever needed.
 *
 * Invariants: a pending timer is in the queue of CPU t->cpu and in no other.
 * t->cpu changes only while the timer is not pending, under the lock of the CPU
 * it leaves.  The local APIC of a CPU is programmed for its queue's first timer
 * or for something earlier (then the interrupt finds nothing due and programs
 * again).  Only the owning CPU programs its APIC, which is why setting a timer
 * brings it to the setter's CPU.
 *
 * Locks: queue->lock is innermost but for the console's; never two at once.
 */
#include <pv/lib.h>
#include <pv/percpu.h>
#include <pv/platform.h>
#include <pv/spinlock.h>
#include <pv/timer.h>

struct timer_queue {
	struct spinlock lock;
	struct timer *first;
	struct timer *running;	/* its callback is being called */
	s_time_t programmed;	/* what the APIC is armed for, 0 = perhaps nothing */
} __aligned(64);

static struct timer_queue queues[MAX_CPUS];

/*
 * Arm the APIC of this CPU for @expires, unless it will interrupt by then anyway: the registers
 * are slow, and guests set and stop timers at each of their own context switches.
 */
static void queue_arm(struct timer_queue *q, s_time_t expires)
{
	if (q->programmed && q->programmed <= expires)
		return;
	q->programmed = expires;
	apic_timer_program(expires);
}

/* --- pairing heap: a node's children are a list through ->next --- */

static void heap_hook(struct timer **where, struct timer *t)
{
	*where = t;
	if (t)
		t->link = where;
}

/* Two roots become one: the later hangs below the earlier. */
static struct timer *heap_meld(struct timer *a, struct timer *b)
{
	if (!a || !b)
		return a ? a : b;
	if (b->expires < a->expires) {
		struct timer *swap = a;

		a = b;
		b = swap;
	}
	heap_hook(&b->next, a->child);
	heap_hook(&a->child, b);
	return a;
}

/* The children of a removed node become one tree: in pairs from the left, then the pairs from
 * the right (that order is what makes it logarithmic).  A loop, for a guest decides how many
 * timers there are and the stack is small. */
static struct timer *heap_merge(struct timer *list)
{
	struct timer *pairs = NULL, *root = NULL;

	while (list) {
		struct timer *a = list, *b = a->next;

		list = b ? b->next : NULL;
		a->next = NULL;
		if (b)
			b->next = NULL;
		a = heap_meld(a, b);
		a->next = pairs;
		pairs = a;
	}
	while (pairs) {
		struct timer *rest = pairs->next;

		pairs->next = NULL;
		root = heap_meld(root, pairs);
		pairs = rest;
	}
	return root;
}

static void queue_insert(struct timer_queue *q, struct timer *t)
{
	t->child = t->next = NULL;
	heap_hook(&q->first, heap_meld(q->first, t));
	t->pending = true;
}

static void queue_remove(struct timer_queue *q, struct timer *t)
{
	heap_hook(t->link, t->next);	/* the siblings close up; for the root: empties q->first */
	heap_hook(&q->first, heap_meld(q->first, heap_merge(t->child)));
	t->child = t->next = NULL;
	t->pending = false;
}

/* --- which queue a timer is in may change until that queue is locked --- */

static struct timer_queue *timer_lock(struct timer *t)
{
	for (;;) {
		uint32_t cpu = ACCESS_ONCE(t->cpu);
		struct timer_queue *q = &queues[cpu];

		spin_lock(&q->lock);
		if (t->cpu == cpu)
			return q;
		spin_unlock(&q->lock);
	}
}

void timer_init(struct timer *t, void (*fn)(void *), void *data)
{
	*t = (struct timer){ .fn = fn, .data = data, .cpu = cpu_id() };
}

void timer_set(struct timer *t, s_time_t expires)
{
	struct timer_queue *q, *mine = &queues[cpu_id()];

	for (;;) {
		q = timer_lock(t);
		if (t->pending)
			queue_remove(q, t);
		if (t->killed)
			goto out;
		if (q == mine)
			break;
		/* Between the two locks it is not pending: a stop that comes now came before
		 * this set, another set now is overwritten in the next turn. */
		ACCESS_ONCE(t->cpu) = cpu_id();
		spin_unlock(&q->lock);
	}
	t->expires = expires;
	queue_insert(q, t);
	if (q->first == t)
		queue_arm(q, expires);
out:
	spin_unlock(&q->lock);
}

void timer_stop(struct timer *t)
{
	struct timer_queue *q = timer_lock(t);

	if (t->pending)
		queue_remove(q, t);
	spin_unlock(&q->lock);
}

static bool timer_runs_elsewhere(const struct timer *t)
{
	for (unsigned int cpu = 0; cpu < nr_cpus; cpu++)
		if (cpu != cpu_id() && atomic_load(&queues[cpu].running) == t)
			return true;
	return false;
}

void timer_kill(struct timer *t)
{
	struct timer_queue *q = timer_lock(t);

	t->killed = true;
	if (t->pending)
		queue_remove(q, t);
	spin_unlock(&q->lock);
	/* ->running was set under a lock that we have held since, so none is missed. */
	while (timer_runs_elsewhere(t))
		smp_poll();
}

/* Take the first timer out if it is due, else see to it that the APIC interrupts for it. */
static struct timer *queue_take_due(struct timer_queue *q)
{
	struct timer *t;

	spin_lock(&q->lock);
	t = q->first;
	if (t && t->expires <= now_ns()) {
		queue_remove(q, t);
		atomic_store(&q->running, t);
	} else {
		if (t)
			queue_arm(q, t->expires);
		t = NULL;
	}
	spin_unlock(&q->lock);
	return t;
}

static void timer_softirq(void)
{
	struct timer_queue *q = &queues[cpu_id()];
	struct timer *t;

	/* The interrupt that brought us here used up what was armed; if none did, arming once
	 * more than needed is harmless. */
	q->programmed = 0;
	while ((t = queue_take_due(q)) != NULL) {
		t->fn(t->data);
		atomic_store(&q->running, (struct timer *)NULL);	/* for timer_kill() */
	}
}

void timer_subsys_init(void)
{
	for (unsigned int cpu = 0; cpu < MAX_CPUS; cpu++)
		queues[cpu].programmed = 0;
	softirq_register(SOFTIRQ_TIMER, timer_softirq);
}
