/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log-dirty: which pfns changed since they were last fetched.
 *
 * A pfn is dirty when its bit is set, or the hardware D bit of a twin entry that maps its
 * frame is (mm/shadow.c), or a backend has it mapped writable now.  collect turns the last
 * two into the first and flushes TLBs, so that the next write sets D again; who fetches
 * a pfn reads the frame afterwards, so a write is either in the bytes read or marks
 * the page again.  An entry that goes between two collects leaves its D bit in the
 * late bitmap, which counts from the next collect's flush on: until then a CPU may
 * still write through it unseen.  Writes that do not go through the guest's own translations are
 * marked by whoever makes them: logdirty_mark_mfn().
 *
 * Lock: bits are atomic; switching on and off and collecting under mm_lock.
 */
#include <pv/errno.h>
#include <pv/lazy.h>
#include <pv/lib.h>
#include <pv/mmu.h>
#include <pv/snapshot.h>
#include <pv/track.h>

void logdirty_mark_pfn(struct domain *d, uint64_t pfn)
{
	struct logdirty *ld = d->logdirty;

	if (ld && pfn < ld->nr_pfns)
		set_bit((unsigned int)pfn, ld->bitmap);
}

void logdirty_mark_late(struct domain *d, uint64_t pfn)
{
	struct logdirty *ld = d->logdirty;

	if (ld && pfn < ld->nr_pfns)
		set_bit((unsigned int)pfn, ld->late);
}

static void merge_and_clear(struct logdirty *ld, uint64_t *late)
{
	uint64_t i;

	for (i = 0; i < ld->nr_pfns / 64; i++) {
		if (!late[i])
			continue;
		atomic_or(&ld->bitmap[i], late[i]);
		late[i] = 0;
	}
}

void logdirty_mark_mfn(mfn_t m)
{
	struct domain *d = mfn_valid(m) ? domain_get_any(mfn_to_frame(m)->owner) : NULL;

	if (unlikely(d && d->logdirty))
		logdirty_mark_pfn(d, m2p[m.mfn]);
}

static void all_vcpus(struct domain *d, void (*fn)(struct vcpu *))
{
	unsigned int i;

	for (i = 0; i < d->max_vcpus; i++)
		fn(d->vcpu[i]);
}

static void logdirty_free(struct logdirty *ld)
{
	xfree(ld->bitmap);
	xfree(ld->late);
	xfree(ld->spare);
	xfree(ld);
}

static void logdirty_discard(struct domain *d, struct logdirty *ld)
{
	spin_lock(&d->mm_lock);
	d->logdirty = ld;
	shadow_free_all(d);
	d->logdirty = NULL;
	spin_unlock(&d->mm_lock);
	logdirty_free(ld);
}

/* The vCPUs stand while the tables they run on are exchanged: they load CR3 when they go on. */
int logdirty_enable(struct domain *d)
{
	struct track *t = track_get(d);
	struct logdirty *ld;
	int ret;

	if (d->logdirty)
		return -EEXIST;
	ld = t ? xzalloc(sizeof(*ld)) : NULL;
	if (!ld)
		return -ENOMEM;
	ld->nr_pfns = t->nr_pfns;
	ld->gen = 1;
	ld->bitmap = xzalloc_array(uint64_t, t->nr_pfns / 64);
	ld->late = xzalloc_array(uint64_t, t->nr_pfns / 64);
	ld->spare = xzalloc_array(uint64_t, t->nr_pfns / 64);
	if (!ld->bitmap || !ld->late || !ld->spare) {
		logdirty_free(ld);
		return -ENOMEM;
	}
	all_vcpus(d, vcpu_pause);
	spin_lock(&d->mm_lock);
	d->logdirty = ld;
	ret = shadow_make_roots(d);
	spin_unlock(&d->mm_lock);
	if (ret)
		logdirty_discard(d, ld);
	all_vcpus(d, vcpu_unpause);
	return ret;
}

void logdirty_disable(struct domain *d)
{
	struct logdirty *ld = d->logdirty;

	if (!ld)
		return;
	snapshot_drop(d);
	lazy_drop(d);
	all_vcpus(d, vcpu_pause);
	logdirty_discard(d, ld);
	all_vcpus(d, vcpu_unpause);
}

uint64_t logdirty_count(const struct logdirty *ld)
{
	uint64_t n = 0, i;

	for (i = 0; i < ld->nr_pfns / 64; i++)
		n += bits_count(ACCESS_ONCE(ld->bitmap[i]));
	return n;
}

void logdirty_for_each_shared(struct domain *d, void (*fn)(mfn_t m))
{
	unsigned int i;

	grant_for_each_rw(d, fn);
	for (i = 0; i < d->max_vcpus; i++)
		if (!mfn_eq(d->vcpu[i]->info_mfn, INVALID_MFN))
			fn(d->vcpu[i]->info_mfn);
}

uint64_t logdirty_move_all(struct logdirty *ld, uint64_t *to)
{
	uint64_t i, n = 0;

	for (i = 0; i < ld->nr_pfns / 64; i++) {
		to[i] = ld->late[i];
		ld->late[i] = 0;
		if (ACCESS_ONCE(ld->bitmap[i]))
			to[i] |= atomic_xchg(&ld->bitmap[i], 0UL);
		n += bits_count(to[i]);
	}
	return n;
}

uint64_t logdirty_collect(struct domain *d)
{
	struct logdirty *ld = d->logdirty;
	uint64_t *late;

	spin_lock(&d->mm_lock);
	shadow_harvest(d);
	late = ld->late;
	ld->late = ld->spare;
	ld->stat_collects++;
	spin_unlock(&d->mm_lock);
	tlb_flush_mask(d->dirty_cpus);
	merge_and_clear(ld, late);	/* not before the flush: who fetches reads right after */
	ld->spare = late;
	logdirty_for_each_shared(d, logdirty_mark_mfn);
	return logdirty_count(ld);
}

#define FETCH_CHUNK	64u

int logdirty_fetch(struct domain *d, uint64_t *cursor, uint64_t list, uint32_t max, uint32_t *nr)
{
	struct logdirty *ld = d->logdirty;
	uint64_t out[FETCH_CHUNK], pfn = *cursor;
	unsigned int n = 0;

	*nr = 0;
	while (pfn < ld->nr_pfns && *nr + n < max) {
		uint64_t w = ACCESS_ONCE(ld->bitmap[pfn / 64]) >> (pfn % 64);

		if (!w) {
			pfn = (pfn / 64 + 1) * 64;
			continue;
		}
		pfn += (unsigned int)__builtin_ctzl(w);
		test_and_clear_bit((unsigned int)pfn, ld->bitmap);
		out[n++] = pfn++;
		if (n == FETCH_CHUNK) {
			if (copy_to_guest(list + *nr * sizeof(out[0]), out, sizeof(out)))
				goto fault;
			*nr += n;
			n = 0;
		}
	}
	if (n && copy_to_guest(list + *nr * sizeof(out[0]), out, n * sizeof(out[0])))
		goto fault;
	*nr += n;
	*cursor = pfn;
	if (*nr)
		ld->cookie = 0;		/* the bitmap no longer holds all since that checkpoint */
	return 0;
fault:
	ld->cookie = 0;
	while (n-- > 0)			/* not delivered: still dirty */
		set_bit((unsigned int)out[n], ld->bitmap);
	return -EFAULT;
}
