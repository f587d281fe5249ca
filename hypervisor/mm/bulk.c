/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames in bulk: a batch of a domain's frames into dom0's buffer, and the inverse.
 *
 * On the way out page tables become canonical: the frame field of each present entry holds
 * the pfn that the p2m view and M2P agree on.  On the way in they are localised, and frames
 * they name exist afterwards.  Nothing is validated here: tables get their type when they
 * are pinned, after all contents are in place.
 *
 * The buffer is memory of the calling dom0 vCPU: it is reached by guest_copy only, with no
 * lock held.  A batch ends early when this CPU has other work, and says how far it came.
 */
#include <pv/errno.h>
#include <pv/lazy.h>
#include <pv/lib.h>
#include <pv/mmu.h>
#include <pv/snapshot.h>
#include <pv/track.h>

#define CHUNK	64u			/* pfns fetched and types returned at a time */

struct batch {
	struct domain *d;
	struct track *t;
	bool frozen;			/* read what a snapshot holds, not what is there */
	uint64_t *scratch;		/* one page */
	uint64_t pfn[CHUNK];
	uint8_t type[CHUNK];
};

static struct batch *batch_make(struct domain *d)
{
	struct batch *b = xzalloc(sizeof(*b));

	if (!b)
		return NULL;
	b->d = d;
	b->t = track_get(d);
	b->frozen = snapshot_is_open(d);
	b->scratch = page_alloc();
	if (b->t && b->scratch)
		return b;
	page_free(b->scratch);
	xfree(b);
	return NULL;
}

static void batch_free(struct batch *b)
{
	page_free(b->scratch);
	xfree(b);
}

static bool should_stop(void)
{
	irq_window();
	return ACCESS_ONCE(this_cpu()->softirq_pending) != 0;
}

bool page_is_zero(const uint64_t *p)
{
	unsigned int i;

	for (i = 0; i < 512; i += 8)
		if (p[i] | p[i + 1] | p[i + 2] | p[i + 3] | p[i + 4] | p[i + 5] | p[i + 6] | p[i + 7])
			return false;
	return true;
}

static bool slot_is_hv(unsigned int level, unsigned int i)
{
	return level == 4 && i >= HV_SLOT_FIRST && i <= HV_SLOT_LAST;
}

/* --- out ---------------------------------------------------------------------------- */

bool table_canonicalise(struct domain *d, const uint64_t *table, unsigned int level, uint64_t *out,
			uint64_t (*pfn_of)(struct domain *d, mfn_t m))
{
	unsigned int i;

	for (i = 0; i < 512; i++) {
		uint64_t e = table[i];

		if (slot_is_hv(level, i)) {
			e = 0;
		} else if (e & PTE_P) {
			uint64_t pfn = pfn_of(d, pte_mfn(e));

			if (pfn == ~0UL)
				return false;
			e = (e & ~PTE_ADDR_MASK) | pfn << PAGE_SHIFT;
		}
		out[i] = e;
	}
	return true;
}

/* ~0: a frame the view does not know as this domain's. */
static uint64_t pfn_now(struct domain *d, mfn_t m)
{
	uint64_t pfn = m2p_get(m).pfn;

	if (!mfn_valid(m) || mfn_to_frame(m)->owner != d->id || track_lookup(d->track, pfn).mfn != m.mfn)
		return ~0UL;
	return pfn;
}

/* The type is looked at and the table copied in one hold of the lock, so both belong together. */
static unsigned int read_table(struct batch *b, struct frame *f)
{
	unsigned int type = GODWIT_PAGE_DATA;

	spin_lock(&b->d->mm_lock);
	if (frame_type(f) >= FTYPE_L1 && frame_type(f) <= FTYPE_L4 && (f->type & FTYPE_COUNT_MASK)) {
		unsigned int level = frame_type(f);

		type = table_canonicalise(b->d, frame_to_virt(f), level, b->scratch, pfn_now) ?
			GODWIT_PAGE_L1 + level - 1 : GODWIT_PAGE_RETRY;
		if (type != GODWIT_PAGE_RETRY && (f->type & FTYPE_PINNED))
			type |= GODWIT_PAGE_PINNED;
	}
	spin_unlock(&b->d->mm_lock);
	return type;
}

static int read_one(struct batch *b, uint64_t pfn, uint64_t to, uint8_t *type)
{
	mfn_t m = track_lookup(b->t, pfn);
	struct frame *f = mfn_to_frame(m);
	const void *src;
	int ret = 0;

	*type = GODWIT_PAGE_ABSENT;
	if (!mfn_valid(m) || !frame_get(f, b->d))
		return 0;
	if (test_bit((unsigned int)pfn, b->t->p2m_leaf)) {
		*type = GODWIT_PAGE_P2M;
		goto out;
	}
	if (lazy_blocks(m)) {
		*type = GODWIT_PAGE_RETRY;
		logdirty_mark_pfn(b->d, pfn);
		goto out;
	}
	/* A look without the lock: most frames are no tables, and one that becomes a table
	 * right after it is marked dirty by that. */
	if (frame_type(f) >= FTYPE_L1 && frame_type(f) <= FTYPE_L4)
		*type = (uint8_t)read_table(b, f);
	else
		*type = GODWIT_PAGE_DATA;
	if (*type == GODWIT_PAGE_RETRY) {
		logdirty_mark_pfn(b->d, pfn);
		goto out;
	}
	src = *type == GODWIT_PAGE_DATA ? frame_to_virt(f) : b->scratch;
	if (*type == GODWIT_PAGE_DATA && page_is_zero(src))
		*type = GODWIT_PAGE_ZERO;
	else
		ret = copy_to_guest(to, src, PAGE_SIZE);
out:
	frame_put(f);
	return ret;
}

static bool has_bytes(unsigned int type)
{
	type &= GODWIT_PAGE_TYPE_MASK;
	return type == GODWIT_PAGE_DATA || (type >= GODWIT_PAGE_L1 && type <= GODWIT_PAGE_L4);
}

static int read_frozen(struct batch *b, uint64_t pfn, uint64_t to, uint8_t *type)
{
	struct frame *aside;
	int ret = snapshot_take(b->d, pfn, b->scratch, type, &aside);

	if (!ret && has_bytes(*type))
		ret = copy_to_guest(to, aside ? frame_to_virt(aside) : b->scratch, PAGE_SIZE);
	if (ret == -EFAULT)
		snapshot_lost(b->d);
	if (aside)
		snapshot_release(aside);
	return ret;
}

static int read_chunk(struct batch *b, struct godwit_frames *op, unsigned int n)
{
	unsigned int i;
	int ret;

	ret = copy_from_guest(b->pfn, op->pfns + op->nr_done * sizeof(b->pfn[0]), n * sizeof(b->pfn[0]));
	for (i = 0; i < n && !ret; i++)
		ret = (b->frozen ? read_frozen : read_one)(b, b->pfn[i], op->buffer +
				(uint64_t)(op->nr_done + i) * PAGE_SIZE, &b->type[i]);
	if (!ret)
		ret = copy_to_guest(op->types + op->nr_done, b->type, n);
	return ret;
}

static int bulk_run(struct domain *d, struct godwit_frames *op,
		    int (*chunk)(struct batch *, struct godwit_frames *, unsigned int))
{
	struct batch *b;
	int ret = 0;

	op->nr_done = 0;
	if (op->nr == 0 || op->nr > GODWIT_BATCH_MAX)
		return -EINVAL;
	b = batch_make(d);
	if (!b)
		return -ENOMEM;
	while (op->nr_done < op->nr && !ret) {
		unsigned int n = min(op->nr - op->nr_done, CHUNK);

		ret = chunk(b, op, n);
		if (!ret)
			op->nr_done += n;
		if (should_stop())
			break;
	}
	batch_free(b);
	return ret;
}

int bulk_read_frames(struct domain *d, struct godwit_frames *op)
{
	return bulk_run(d, op, read_chunk);
}

/* --- in ------------------------------------------------------------------------------- */

/* The frame of @pfn, made if there is none; NULL: out of memory, or a pfn out of bounds. */
static struct frame *frame_for(struct batch *b, uint64_t pfn)
{
	mfn_t m = track_lookup(b->t, pfn);
	struct frame *f;

	if (mfn_valid(m))
		return mfn_to_frame(m);
	if (pfn >= b->t->nr_pfns)
		return NULL;
	f = domain_alloc_frame(b->d);
	if (f) {
		logdirty_m2p_changed(b->d, frame_to_mfn(f), _pfn(pfn));
		m2p_set(frame_to_mfn(f), _pfn(pfn));
	}
	return f;
}

static int localise(struct batch *b, unsigned int level)
{
	unsigned int i;

	for (i = 0; i < 512; i++) {
		uint64_t e = b->scratch[i];
		struct frame *f;

		if (slot_is_hv(level, i)) {
			b->scratch[i] = 0;
			continue;
		}
		if (!(e & PTE_P))
			continue;
		f = frame_for(b, pte_mfn(e).mfn);
		if (!f)
			return -EINVAL;
		b->scratch[i] = (e & ~PTE_ADDR_MASK) | frame_to_mfn(f).mfn << PAGE_SHIFT;
	}
	return 0;
}

static void page_xor(uint64_t *page, const uint64_t *delta)
{
	unsigned int i;

	for (i = 0; i < 512; i++)
		page[i] ^= delta[i];
}

static int fill_frame(struct batch *b, struct frame *f, uint64_t from, unsigned int type)
{
	int ret;

	switch (type) {
	case GODWIT_PAGE_DATA:
		return copy_from_guest(frame_to_virt(f), from, PAGE_SIZE);
	case GODWIT_PAGE_ZERO:
		if (!page_is_zero(frame_to_virt(f)))
			memset(frame_to_virt(f), 0, PAGE_SIZE);
		return 0;
	case GODWIT_PAGE_P2M:
		return 0;
	case GODWIT_PAGE_DELTA:
		ret = copy_from_guest(b->scratch, from, PAGE_SIZE);
		if (!ret)
			page_xor(frame_to_virt(f), b->scratch);
		return ret;
	default:
		ret = copy_from_guest(b->scratch, from, PAGE_SIZE);
		if (!ret)
			ret = localise(b, type - GODWIT_PAGE_L1 + 1);
		if (!ret)
			memcpy(frame_to_virt(f), b->scratch, PAGE_SIZE);
		return ret;
	}
}

static int write_one(struct batch *b, uint64_t pfn, uint64_t from, unsigned int type)
{
	struct frame *f;
	int ret;

	if (type == GODWIT_PAGE_ABSENT) {
		mfn_t m = track_lookup(b->t, pfn);

		if (mfn_valid(m))
			frame_release(mfn_to_frame(m));
		return 0;
	}
	if (type > GODWIT_PAGE_P2M && type != GODWIT_PAGE_DELTA)
		return -EINVAL;
	f = frame_for(b, pfn);
	if (!f)
		return -ENOMEM;
	/* A hostile stream may name a frame that is a table by now: that one was validated. */
	if (!frame_get_rw(f, b->d))
		return -EBUSY;
	ret = fill_frame(b, f, from, type);
	frame_put_rw(f);
	return ret;
}

static int write_one_lazy(struct batch *b, uint64_t pfn, uint64_t from, unsigned int type)
{
	int ret = 0;

	if (type != GODWIT_PAGE_DATA && type != GODWIT_PAGE_ZERO)
		return -EINVAL;
	if (type == GODWIT_PAGE_DATA)
		ret = copy_from_guest(b->scratch, from, PAGE_SIZE);
	return ret ? ret : lazy_fill(b->d, pfn, type == GODWIT_PAGE_DATA ? b->scratch : NULL);
}

static int write_chunk(struct batch *b, struct godwit_frames *op, unsigned int n)
{
	unsigned int i;
	int ret;

	ret = copy_from_guest(b->pfn, op->pfns + op->nr_done * sizeof(b->pfn[0]), n * sizeof(b->pfn[0]));
	if (!ret)
		ret = copy_from_guest(b->type, op->types + op->nr_done, n);
	for (i = 0; i < n && !ret; i++) {
		bool lazy = b->d->state != DOM_BUILDING || lazy_pfn_is_missing(b->d, b->pfn[i]);

		ret = (lazy ? write_one_lazy : write_one)(b, b->pfn[i], op->buffer +
				(uint64_t)(op->nr_done + i) * PAGE_SIZE, b->type[i] & GODWIT_PAGE_TYPE_MASK);
	}
	return ret;
}

/* A domain that never ran: nobody else refers to its frames, none is a table yet.  One that may run
 * takes what it misses. */
int bulk_write_frames(struct domain *d, struct godwit_frames *op)
{
	if (d->state != DOM_BUILDING && !lazy_is_active(d))
		return -EBUSY;
	return bulk_run(d, op, write_chunk);
}

/* --- the guest's p2m list ------------------------------------------------------------------- */

#define P2M_NO_RAM	(3UL << 62)	/* an entry that names no frame of the guest's: ~0, identity, foreign */

struct leaves {
	struct track *t;
	uint64_t *seen, *twice;		/* bitmaps by pfn of the holding frame */
};

/* pfn of the frame that holds leaf @i; ~0: not mapped, or not this domain's. */
static uint64_t leaf_pfn(struct domain *d, struct track *t, mfn_t l4, uint64_t va)
{
	unsigned int idx;
	struct frame *table = guest_walk(d, l4, va, &idx);
	uint64_t e = table ? ((uint64_t *)frame_to_virt(table))[idx] : 0, pfn;

	if (!(e & PTE_P))
		return ~0UL;
	pfn = m2p_get(pte_mfn(e)).pfn;
	return track_lookup(t, pfn).mfn == pte_mfn(e).mfn ? pfn : ~0UL;
}

/* A leaf that names no frame holds no mfn to rewrite: its bytes travel as they are. */
static bool leaf_names_nothing(struct track *t, uint64_t pfn)
{
	const uint64_t *p = mfn_to_virt(track_lookup(t, pfn));
	unsigned int i;

	for (i = 0; i < 512; i++)
		if (!(p[i] & P2M_NO_RAM))
			return false;
	return true;
}

/* Pass 1: which frames hold more than one leaf - the kernel's shared "missing" pages. */
static void find_shared(struct domain *d, struct leaves *l, mfn_t l4, uint64_t va, uint64_t nr)
{
	uint64_t i;

	for (i = 0; i < nr; i++) {
		uint64_t pfn = leaf_pfn(d, l->t, l4, va + i * PAGE_SIZE);

		if (pfn != ~0UL && test_and_set_bit((unsigned int)pfn, l->seen))
			set_bit((unsigned int)pfn, l->twice);
	}
}

static int report_leaves(struct domain *d, struct leaves *l, mfn_t l4, uint64_t va, uint64_t nr,
			 struct godwit_p2m_frames *op)
{
	uint64_t i, last = 0;

	memset(l->t->p2m_leaf, 0, l->t->nr_pfns / 8);
	for (i = 0; i < nr; i++) {
		uint64_t pfn = leaf_pfn(d, l->t, l4, va + i * PAGE_SIZE);

		if (pfn != ~0UL && (test_bit((unsigned int)pfn, l->twice) || leaf_names_nothing(l->t, pfn)))
			pfn = ~0UL;
		if (pfn != ~0UL) {
			set_bit((unsigned int)pfn, l->t->p2m_leaf);
			last = i + 1;
		}
		if (op->pfns && i < op->max_leaves && copy_to_guest(op->pfns + i * sizeof(pfn), &pfn, sizeof(pfn)))
			return -EFAULT;
	}
	op->nr_leaves = (uint32_t)last;
	op->max_pfn = min(op->max_pfn, last * 512);
	return op->pfns && last > op->max_leaves ? -ENOSPC : 0;
}

/* Linux keeps the linear list since 4.0 (p2m_cr3, p2m_vaddr); that is the form we read. */
int bulk_p2m_frames(struct domain *d, struct godwit_p2m_frames *op)
{
	const struct arch_shared_info *a = &d->shared_info->arch;
	struct leaves l = { .t = track_get(d) };
	uint64_t cr3 = ACCESS_ONCE(a->p2m_cr3), va = ACCESS_ONCE(a->p2m_vaddr), nr;
	mfn_t l4 = _mfn(cr3 >> PAGE_SHIFT);
	int ret = -ENOMEM;

	op->generation = ACCESS_ONCE(a->p2m_generation);
	op->max_pfn = ACCESS_ONCE(a->max_pfn);
	if (!l.t)
		return -ENOMEM;
	if (op->generation & 1)
		return -EAGAIN;
	op->max_pfn = min(op->max_pfn, l.t->nr_pfns);
	nr = (op->max_pfn + 511) / 512;
	if (!cr3 || !nr || (va & ~PAGE_MASK) || !guest_range_ok(va, nr * PAGE_SIZE))
		return -EINVAL;
	l.seen = xzalloc_array(uint64_t, l.t->nr_pfns / 64);
	l.twice = xzalloc_array(uint64_t, l.t->nr_pfns / 64);
	if (l.seen && l.twice) {
		spin_lock(&d->mm_lock);
		ret = table_get(d, l4, 4);	/* a real L4 of its own, or nothing to walk */
		if (!ret) {
			find_shared(d, &l, l4, va, nr);
			ret = report_leaves(d, &l, l4, va, nr, op);
			table_put(l4, 4);
		}
		spin_unlock(&d->mm_lock);
	}
	xfree(l.seen);
	xfree(l.twice);
	return ret;
}
