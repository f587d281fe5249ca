/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lazy restore: frames whose contents are not there yet.
 *
 * A missing frame is allocated, named in the tables and in M2P, and holds zeros.  Invariants:
 *  - no translation of it exists: a twin's entry for it is not present (mm/shadow.c), so the
 *    domain must be in shadow mode as long as anything is missing;
 *  - its contents are not used by its number either: whoever would calls lazy_blocks() first;
 *  - it is no table and no descriptor page;
 *  - its bytes come once; missing goes to there, never back.
 *
 * What is asked for goes to a list that domain 0 fetches, each pfn once, and to an event channel of its
 * choice.  A vCPU that waits has PAUSE_MEMORY set.  It does so in no place but on the way back to the
 * guest: after a fault it makes the access again, after a hypercall that could not reach its
 * operands the hypercall (hypercall/preempt.c).
 *
 * Lock: snap_lock for all of it; d->lazy changes under mm_lock and snap_lock, and bits only go from
 * missing to there, so that mm_lock is enough to look at them.
 */
#include <pv/errno.h>
#include <pv/lazy.h>
#include <pv/lib.h>
#include <pv/snapshot.h>
#include <pv/track.h>

#define ASK_MAX		1024u		/* a power of two; more are asked for again by who still waits */

struct lazy {
	uint64_t nr_pfns, nr_left;
	uint64_t *missing;		/* bitmap */
	uint64_t *asked;		/* bitmap: in the list, or fetched from it */
	uint64_t *used;			/* bitmap: a backend had it mapped when frames were last marked */
	uint64_t list[ASK_MAX];
	uint32_t head, tail;		/* counts of what was put in and taken out */
	uint32_t port;			/* of domain 0, 0 = none */
	uint32_t waiting;		/* vCPUs by id */
	struct { uint64_t pfn; s_time_t since; } wait[MAX_VCPUS];
	uint64_t waits;
	s_time_t wait_ns, wait_max_ns;
};

bool lazy_is_active(const struct domain *d)
{
	const struct lazy *l = ACCESS_ONCE(d->lazy);

	return l && ACCESS_ONCE(l->nr_left);
}

bool lazy_pfn_is_missing(const struct domain *d, uint64_t pfn)
{
	const struct lazy *l = ACCESS_ONCE(d->lazy);

	return l && pfn < l->nr_pfns && test_bit((unsigned int)pfn, l->missing);
}

static bool pfn_is_missing(const struct lazy *l, uint64_t pfn)
{
	return pfn < l->nr_pfns && test_bit((unsigned int)pfn, l->missing);
}

/* The pfn whose frame @m is; ~0: the view has another for it. */
static uint64_t pfn_of(const struct domain *d, mfn_t m)
{
	return track_lookup(d->track, m2p[m.mfn]).mfn == m.mfn ? m2p[m.mfn] : ~0UL;
}

bool lazy_is_missing(const struct domain *d, mfn_t m)
{
	const struct lazy *l = d->lazy;

	return unlikely(l) && mfn_valid(m) && mfn_to_frame(m)->owner == d->id && pfn_is_missing(l, pfn_of(d, m));
}

/* --- asking and waiting ---------------------------------------------------------------- */

/* One that finds the list full is not marked as asked: the next who wants it tries again. */
static void ask(struct lazy *l, uint64_t pfn)
{
	if (test_bit((unsigned int)pfn, l->asked) || l->head - l->tail >= ASK_MAX)
		return;
	set_bit((unsigned int)pfn, l->asked);
	l->list[l->head++ % ASK_MAX] = pfn;
	/* Without its lock: a port that is being closed may be signalled once too often. */
	if (l->port && dom0)
		evtchn_set_pending(dom0, l->port);
}

static void wait_for(struct lazy *l, struct vcpu *v, uint64_t pfn)
{
	if (!(l->waiting & 1u << v->id)) {
		l->waiting |= 1u << v->id;
		l->wait[v->id].since = now_ns();
		l->waits++;
	}
	l->wait[v->id].pfn = pfn;
	vcpu_set_pause(v, PAUSE_MEMORY);
}

static void wake(struct domain *d, struct lazy *l, uint32_t ids)
{
	for (ids &= l->waiting; ids; ids &= ids - 1) {
		unsigned int id = (unsigned int)__builtin_ctz(ids);
		s_time_t waited = now_ns() - l->wait[id].since;

		l->waiting &= ~(1u << id);
		l->wait_ns += waited;
		l->wait_max_ns = max(l->wait_max_ns, waited);
		vcpu_clear_pause(d->vcpu[id], PAUSE_MEMORY);
	}
}

/* @pfn is there, or no longer wanted. */
static void settle(struct domain *d, struct lazy *l, uint64_t pfn)
{
	uint32_t ids = l->waiting, mine = 0;

	clear_bit((unsigned int)pfn, l->missing);
	l->nr_left--;
	for (; ids; ids &= ids - 1)
		if (l->wait[__builtin_ctz(ids)].pfn == pfn)
			mine |= ids & -ids;
	wake(d, l, mine);
	/* The list was full when they came: there is room now. */
	for (ids = l->waiting; ids; ids &= ids - 1)
		ask(l, l->wait[__builtin_ctz(ids)].pfn);
}

bool lazy_blocks(mfn_t m)
{
	struct domain *d = mfn_valid(m) ? domain_get_any(mfn_to_frame(m)->owner) : NULL;
	bool blocks = false;

	if (likely(!d || !ACCESS_ONCE(d->lazy)))
		return false;
	spin_lock(&d->snap_lock);
	if (lazy_is_missing(d, m)) {
		blocks = true;
		ask(d->lazy, pfn_of(d, m));
		if (current->domain == d) {
			wait_for(d->lazy, current, pfn_of(d, m));
			current->must_wait = true;
		}
	}
	spin_unlock(&d->snap_lock);
	return blocks;
}

bool lazy_before_access(struct vcpu *v, mfn_t m, bool in_hypercall)
{
	struct domain *d = v->domain;
	bool waits = false;

	if (!lazy_is_missing(d, m))
		return false;
	spin_lock(&d->snap_lock);
	if (lazy_is_missing(d, m)) {
		waits = true;
		ask(d->lazy, pfn_of(d, m));
		wait_for(d->lazy, v, pfn_of(d, m));
		if (in_hypercall)
			v->must_wait = true;
	}
	spin_unlock(&d->snap_lock);
	return waits;
}

/* --- coming and going ----------------------------------------------------------------------- */

int lazy_fill(struct domain *d, uint64_t pfn, const void *page)
{
	int ret = -EINVAL;

	spin_lock(&d->snap_lock);
	if (d->lazy && pfn_is_missing(d->lazy, pfn)) {
		if (page)		/* it holds zeros already */
			memcpy(mfn_to_virt(track_lookup(d->track, pfn)), page, PAGE_SIZE);
		settle(d, d->lazy, pfn);
		ret = 0;
	}
	spin_unlock(&d->snap_lock);
	return ret;
}

void lazy_forget_pfn(struct domain *d, uint64_t pfn)
{
	if (likely(!ACCESS_ONCE(d->lazy)))
		return;
	spin_lock(&d->snap_lock);
	if (d->lazy && pfn_is_missing(d->lazy, pfn))
		settle(d, d->lazy, pfn);
	spin_unlock(&d->snap_lock);
}

void lazy_forget(struct domain *d, mfn_t m)
{
	if (unlikely(ACCESS_ONCE(d->lazy)))
		lazy_forget_pfn(d, pfn_of(d, m));
}

/* --- life ----------------------------------------------------------------------------------------- */

static void lazy_free(struct lazy *l)
{
	if (!l)
		return;
	xfree(l->missing);
	xfree(l->asked);
	xfree(l->used);
	xfree(l);
}

static struct lazy *lazy_make(const struct domain *d)
{
	struct lazy *l = xzalloc(sizeof(*l));
	uint64_t nr = d->track->nr_pfns;

	if (!l)
		return NULL;
	l->nr_pfns = nr;
	l->missing = xzalloc_array(uint64_t, nr / 64);
	l->asked = xzalloc_array(uint64_t, nr / 64);
	l->used = xzalloc_array(uint64_t, nr / 64);
	if (l->missing && l->asked && l->used)
		return l;
	lazy_free(l);
	return NULL;
}

static void lazy_attach(struct domain *d, struct lazy *l)
{
	spin_lock(&d->mm_lock);
	spin_lock(&d->snap_lock);
	if (d->lazy)
		wake(d, d->lazy, ~0u);
	ACCESS_ONCE(d->lazy) = l;
	spin_unlock(&d->snap_lock);
	spin_unlock(&d->mm_lock);
}

void lazy_drop(struct domain *d)
{
	struct lazy *l = d->lazy;

	if (!l)
		return;
	lazy_attach(d, NULL);
	lazy_free(l);
}

/* From now on the frame of @pfn is missing; false: it cannot be.  It may hold what a stream sent before. */
static bool make_missing(struct domain *d, uint64_t pfn)
{
	mfn_t m = track_lookup(d->track, pfn);
	struct frame *f = mfn_valid(m) ? mfn_to_frame(m) : NULL;

	if (!f || pfn_is_missing(d->lazy, pfn) || test_bit((unsigned int)pfn, d->lazy->used))
		return false;
	if (!frame_get_rw(f, d))	/* a table, or descriptors */
		return false;
	memset(frame_to_virt(f), 0, PAGE_SIZE);
	spin_lock(&d->snap_lock);
	set_bit((unsigned int)pfn, d->lazy->missing);
	d->lazy->nr_left++;
	spin_unlock(&d->snap_lock);
	frame_put_rw(f);
	return true;
}

/* One that comes later to map a frame is refused, see lazy_blocks(). */
static void note_used(mfn_t m)
{
	struct domain *d = domain_get_any(mfn_to_frame(m)->owner);

	if (d && d->lazy && pfn_of(d, m) < d->lazy->nr_pfns)
		set_bit((unsigned int)pfn_of(d, m), d->lazy->used);
}

#define CHUNK	64u

static int mark(struct domain *d, struct godwit_lazy *op)
{
	uint64_t pfn[CHUNK];
	unsigned int n, i;

	if (d->state != DOM_BUILDING || !d->logdirty)
		return -EINVAL;
	if (!d->lazy) {
		struct lazy *l = lazy_make(d);

		if (!l)
			return -ENOMEM;
		lazy_attach(d, l);
	}
	d->lazy->port = op->port;
	grant_for_each_rw(d, note_used);
	while (op->nr_done < op->nr) {
		n = min(op->nr - op->nr_done, CHUNK);
		if (copy_from_guest(pfn, op->pfns + op->nr_done * sizeof(pfn[0]), n * sizeof(pfn[0])))
			return -EFAULT;
		for (i = 0; i < n; i++, op->nr_done++)
			if (!make_missing(d, pfn[i]))
				return -EINVAL;
	}
	return 0;
}

static int fetch(struct domain *d, struct godwit_lazy *op)
{
	struct lazy *l = d->lazy;
	uint64_t pfn[CHUNK];
	unsigned int n = 0;

	spin_lock(&d->snap_lock);
	while (n < min(op->nr, CHUNK) && l->tail != l->head) {
		uint64_t p = l->list[l->tail++ % ASK_MAX];

		if (pfn_is_missing(l, p))
			pfn[n++] = p;
	}
	spin_unlock(&d->snap_lock);
	op->nr_done = n;
	if (!copy_to_guest(op->pfns, pfn, n * sizeof(pfn[0])))
		return 0;
	spin_lock(&d->snap_lock);
	while (n--)			/* not delivered: whoever waits for it asks again at the next fill */
		clear_bit((unsigned int)pfn[n], l->asked);
	spin_unlock(&d->snap_lock);
	return -EFAULT;
}

int lazy_op(struct domain *d, struct godwit_lazy *op)
{
	const struct lazy *l;
	int ret = 0;

	op->nr_done = 0;
	if (op->flags || op->nr > 65536)
		return -EINVAL;
	if (op->action == GODWIT_LAZY_MARK)
		ret = mark(d, op);
	else if (op->action == GODWIT_LAZY_FETCH)
		ret = d->lazy ? fetch(d, op) : -EINVAL;
	else if (op->action != GODWIT_LAZY_STATUS)
		ret = -EINVAL;
	l = d->lazy;
	op->nr_left = l ? l->nr_left : 0;
	op->waiting = l ? bits_count(l->waiting) : 0;
	op->waits = l ? l->waits : 0;
	op->wait_us = l ? (uint64_t)l->wait_ns / 1000 : 0;
	op->wait_max_us = l ? (uint64_t)l->wait_max_ns / 1000 : 0;
	return ret;
}
