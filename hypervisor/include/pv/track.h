/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What moving a domain needs to know of its memory: the p2m view, the dirty bitmap, the
 * shadow twins (mm/track.c, mm/logdirty.c, mm/shadow.c, mm/bulk.c).
 */
#pragma once
#include <pv/domain.h>

/*
 * The p2m view: pfn -> mfn of the frames a domain owns, as its M2P entries say.  Made when first
 * asked for, true from then on.  A pfn at or beyond nr_pfns is not tracked: the bound keeps a
 * guest with wild M2P entries from making us allocate.  Lock: domain->page_lock.
 */
struct track {
	uint64_t nr_pfns;		/* entries; a bound on every pfn that moves */
	uint64_t *p2m;			/* mfn, ~0 = no frame */
	uint64_t *p2m_leaf;		/* bitmap: pfns that hold leaves of the guest's p2m list */
	uint64_t end_pfn;		/* one past the highest pfn that has had a frame */
};
/** track_get() - the view of @d, made now if need be; NULL: no memory. */
struct track *track_get(struct domain *d);
void track_free(struct domain *d);
/** track_lookup() - mfn of @pfn, or INVALID_MFN. */
static inline mfn_t track_lookup(const struct track *t, uint64_t pfn)
{
	return pfn < t->nr_pfns ? _mfn(ACCESS_ONCE(t->p2m[pfn])) : INVALID_MFN;
}

struct logdirty {
	uint64_t nr_pfns;
	uint64_t *bitmap;		/* bit = pfn; atomic */
	uint64_t *late, *spare;		/* the same; late joins bitmap at the next collect, behind its
					 * flush, and spare, all clear, takes its place; mm_lock */
	uint32_t twins[5];		/* twin frames by level 1..4: heads of lists through frame.next */
	uint64_t nr_twins;
	uint32_t gen;			/* write protections so far, see mm/shadow.c */
	uint64_t cookie;		/* of the checkpoint since which bitmap holds every change; 0 none */
	uint64_t stat_faults, stat_collects;
};
int logdirty_enable(struct domain *d);
/** logdirty_collect() - D bits of the twins go to the bitmap; TLBs are flushed; the count. */
uint64_t logdirty_collect(struct domain *d);
/** logdirty_fetch() - take up to @max dirty pfns from *@cursor on to dom0's list at @list. */
int logdirty_fetch(struct domain *d, uint64_t *cursor, uint64_t list, uint32_t max, uint32_t *nr);
uint64_t logdirty_count(const struct logdirty *ld);
void logdirty_mark_pfn(struct domain *d, uint64_t pfn);
/** logdirty_mark_late() - mm_lock held; @pfn was dirty by an entry that is gone now, but another CPU may write
 *  through a translation of it until TLBs are flushed: fetch must not take it before that. */
void logdirty_mark_late(struct domain *d, uint64_t pfn);

/* shadow.c: all with mm_lock held */
int shadow_make_roots(struct domain *d);
void shadow_free_all(struct domain *d);
void shadow_harvest(struct domain *d);
/** shadow_protect() - no twin gives the right to write from here on, until a fault gives it back
 *  entry by entry.  The domain stands; the caller flushes TLBs afterwards.  Constant in its memory. */
void shadow_protect(struct domain *d);

/** logdirty_move_all() - the dirty bitmap, what is late included, goes to @to, whose bits all are
 *  overwritten; mm_lock held, the domain stands.  Return: how many. */
uint64_t logdirty_move_all(struct logdirty *ld, uint64_t *to);
/** logdirty_for_each_shared() - call @fn for frames written without anybody telling before or after:
 *  those a backend has mapped, and pages the hypervisor keeps writing. */
void logdirty_for_each_shared(struct domain *d, void (*fn)(mfn_t m));

/* bulk.c */
/** table_canonicalise() - @out gets @table, a page table of @level, with @pfn_of() of the frame in each
 *  present entry.  False: @pfn_of gave ~0 for one. */
bool table_canonicalise(struct domain *d, const uint64_t *table, unsigned int level, uint64_t *out,
			uint64_t (*pfn_of)(struct domain *d, mfn_t m));
bool page_is_zero(const uint64_t *p);
struct godwit_frames;
int bulk_read_frames(struct domain *d, struct godwit_frames *op);
int bulk_write_frames(struct domain *d, struct godwit_frames *op);
int bulk_p2m_frames(struct domain *d, struct godwit_p2m_frames *op);

/* domain/move.c */
int move_get_context(struct domain *d, struct godwit_context *op);
int move_set_context(struct domain *d, struct godwit_context *op);
int move_finish_restore(struct domain *d, struct godwit_finish_restore *op);
int move_facts(struct domain *d, struct godwit_domain_facts *op);
