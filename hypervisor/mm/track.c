/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The p2m view of a domain (pv/track.h).
 *
 * The hypervisor keeps no p2m for PV guests; who moves one needs it.  It is made from the
 * M2P of all frames on the domain's list, once, and kept true by the hooks below: a frame
 * gets another pfn, a frame goes.  Where two frames claim one pfn, the later claim counts:
 * that is the guest's own doing and harms only what it gets back.
 */
#include <pv/errno.h>
#include <pv/lazy.h>
#include <pv/lib.h>
#include <pv/mmu.h>
#include <pv/snapshot.h>
#include <pv/track.h>

#define SLACK_PFNS	65536u		/* above max_pages: room for ballooned-out pfns */

static void track_set(struct track *t, uint64_t pfn, uint64_t mfn)
{
	if (pfn >= t->nr_pfns)
		return;
	ACCESS_ONCE(t->p2m[pfn]) = mfn;
	if (mfn != ~0UL && pfn >= t->end_pfn)
		t->end_pfn = pfn + 1;
}

static void view_free(struct track *t)
{
	xfree(t->p2m);
	xfree(t->p2m_leaf);
	xfree(t);
}

static struct track *track_make(struct domain *d)
{
	struct track *t = xzalloc(sizeof(*t));
	uint64_t pages = min(d->max_pages, 1UL << 30);
	uint64_t nr = ROUND_UP(max(pages, d->tot_pages) + SLACK_PFNS, 64UL);
	uint32_t mfn;

	if (!t)
		return NULL;
	t->nr_pfns = nr;
	t->p2m = xzalloc_array(uint64_t, nr);
	t->p2m_leaf = xzalloc_array(uint64_t, nr / 64);
	if (!t->p2m || !t->p2m_leaf) {
		view_free(t);
		return NULL;
	}
	memset(t->p2m, 0xff, nr * sizeof(uint64_t));
	/* Set before the scan ends, so that a change meanwhile is seen by the scan or the hook. */
	spin_lock(&d->page_lock);
	if (!d->track) {
		for (mfn = d->page_list; mfn; mfn = frame_table[mfn].next)
			track_set(t, m2p[mfn], mfn);
		d->track = t;
		t = NULL;
	}
	spin_unlock(&d->page_lock);
	if (t)				/* another CPU was faster */
		view_free(t);
	return d->track;
}

struct track *track_get(struct domain *d)
{
	return d->track ? d->track : track_make(d);
}

void track_free(struct domain *d)
{
	struct track *t = d->track;

	d->track = NULL;
	if (t)
		view_free(t);
}

void logdirty_m2p_changed(struct domain *d, mfn_t m, pfn_t p)
{
	uint64_t old;

	if (likely(!d->track))
		return;
	snapshot_before_rename(d, m, p);
	if (track_lookup(d->track, p.pfn).mfn != m.mfn)
		lazy_forget_pfn(d, p.pfn);
	spin_lock(&d->page_lock);
	old = m2p[m.mfn];
	if (track_lookup(d->track, old).mfn == m.mfn)
		track_set(d->track, old, ~0UL);
	track_set(d->track, p.pfn, m.mfn);
	spin_unlock(&d->page_lock);
	if (old != p.pfn)
		logdirty_mark_pfn(d, old);
	logdirty_mark_pfn(d, p.pfn);
}

void logdirty_frame_gone(struct domain *d, mfn_t m)
{
	uint64_t pfn;

	if (likely(!d->track))
		return;
	snapshot_before_write(m);
	lazy_forget(d, m);
	spin_lock(&d->page_lock);
	pfn = m2p[m.mfn];
	if (track_lookup(d->track, pfn).mfn == m.mfn)
		track_set(d->track, pfn, ~0UL);
	spin_unlock(&d->page_lock);
	logdirty_mark_pfn(d, pfn);
}
