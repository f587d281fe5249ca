/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shadow mode: hardware walks twins of the guest's tables.
 *
 * A validated table may have a twin: a hypervisor page of the same level whose entries copy
 * the guest's with rights withheld and child pointers leading to twins.  Invariants:
 *  - a twin entry is present only if the guest's is, and its A bit set;
 *  - an L1 twin entry is writable only if the guest's is, and its D bit set;
 *  - the D bit of an L1 twin entry is ours alone: hardware sets it on a write, harvest
 *    takes it;
 *  - an L2 twin entry's A bit is ours as well: clear since the last harvest means that nothing
 *    below was walked since, so that no D bit below is new, and harvest does not descend.
 * So D and A reach the guest's tables by one fault at the first touch, and a round costs
 * what was touched.  Twins of L4s exist as long as shadow mode lasts (they are in CR3); all
 * others are made at the first fault that needs them.  Every validated update of a guest
 * entry updates its twin; nothing is thrown away because a round ended.
 *
 * Write protection of all memory at an instant (mm/snapshot.c) costs no more than the L4 twins: the
 * CPU ANDs the right to write over the levels, so it is cleared there alone, and pushed down to
 * a table when a write faults on it.  logdirty.gen counts the protections, twin_gen says up to which
 * one a twin's own entries were protected.  Invariants:
 *  - an upper twin entry is writable only if its child's twin_gen is the present one;
 *  - a twin of the present generation has no writable entry for a frozen frame;
 *  - so nothing was written through an L1 twin of an older generation since the protection,
 *    and a D bit in it is from before: the protection counted it already.
 *
 * Lock: mm_lock, but for hardware's own A and D.
 * Sources: SDM 3A 4.8 (accessed and dirty), 4.10 (caching of translations).
 */
#include <pv/errno.h>
#include <pv/lazy.h>
#include <pv/lib.h>
#include <pv/mmu.h>
#include <pv/snapshot.h>
#include <pv/track.h>

#define PF_WRITE	2u
#define PF_USER		4u
#define PF_RSVD		8u
#define PF_FETCH	16u

static uint64_t *twin_of(const struct frame *table)
{
	return table->twin ? mfn_to_virt(_mfn(table->twin)) : NULL;
}

static int level_of(const struct frame *table) { return (int)frame_type(table); }

/* --- entries ---------------------------------------------------------------------- */

/* The L1 twin entry for guest entry @g; @written: this very access writes. */
static uint64_t leaf_entry(const struct domain *d, uint64_t g, bool written)
{
	uint64_t t = g & ~(PTE_D | PTE_G);

	if ((g & (PTE_P | PTE_A)) != (PTE_P | PTE_A) || lazy_is_missing(d, pte_mfn(g)))
		return 0;
	if (!(g & PTE_D) || ((g & PTE_RW) && snapshot_is_frozen(d, pte_mfn(g))))
		t &= ~PTE_RW;
	else if (written)
		t |= PTE_D;
	return t;
}

/* The entry of an upper twin for guest entry @g: nothing while the child has no twin. */
static uint64_t upper_entry(const struct logdirty *ld, uint64_t g)
{
	struct frame *child;
	uint64_t withheld = PTE_ADDR_MASK | PTE_A | PTE_D | PTE_G;

	if (!(g & PTE_P))
		return 0;
	child = mfn_to_frame(pte_mfn(g));
	if (!child->twin)
		return 0;
	if (frame_table[child->twin].twin_gen != ld->gen)
		withheld |= PTE_RW;
	return (g & ~withheld) | (uint64_t)child->twin << PAGE_SHIFT;
}

/* A twin entry is going, or is being harvested: what its D bit says must not be lost. */
static void mark_if_dirty(struct domain *d, uint64_t twin_entry, bool gone)
{
	mfn_t m = pte_mfn(twin_entry);

	if ((twin_entry & (PTE_P | PTE_D)) == (PTE_P | PTE_D) && mfn_valid(m) && mfn_to_frame(m)->owner == d->id)
		(gone ? logdirty_mark_late : logdirty_mark_pfn)(d, m2p[m.mfn]);
}

/* --- twins -------------------------------------------------------------------------- */

static void twin_link(struct logdirty *ld, struct frame *twin, int level)
{
	uint32_t mfn = (uint32_t)frame_to_mfn(twin).mfn, head = ld->twins[level];

	twin->prev = 0;
	twin->next = head;
	if (head)
		frame_table[head].prev = mfn;
	ld->twins[level] = mfn;
	ld->nr_twins++;
}

static void twin_unlink(struct logdirty *ld, struct frame *twin, int level)
{
	if (twin->prev)
		frame_table[twin->prev].next = twin->next;
	else
		ld->twins[level] = twin->next;
	if (twin->next)
		frame_table[twin->next].prev = twin->prev;
	ld->nr_twins--;
}

/* A CPU may still walk through it until it flushes: the heap sees to that. */
static void twin_free(struct logdirty *ld, struct frame *table, int level)
{
	struct frame *twin = &frame_table[table->twin];

	twin_unlink(ld, twin, level);
	table->twin = 0;
	twin->next = twin->prev = 0;
	twin->count = FRAME_STALE;
	twin->tlb_stamp = tlb_stamp();
	heap_free(twin, 0);
}

static void harvest_leaf(struct domain *d, struct frame *twin, bool gone)
{
	bool old = twin->twin_gen != d->logdirty->gen;
	uint64_t *t = frame_to_virt(twin);
	unsigned int i;

	for (i = 0; i < 512; i++)
		if (t[i] & PTE_D) {
			if (!old)
				mark_if_dirty(d, t[i], gone);
			atomic_and(&t[i], ~PTE_D);
		}
}

/*
 * Memory is short: all L1 twins go, with what they know put into the bitmap, and will be
 * made again as they are needed.
 */
static void shadow_reclaim(struct domain *d)
{
	struct logdirty *ld = d->logdirty;
	uint32_t mfn;

	for (mfn = ld->twins[2]; mfn; mfn = frame_table[mfn].next)
		memset(mfn_to_virt(_mfn(mfn)), 0, PAGE_SIZE);
	tlb_flush_mask(d->dirty_cpus);	/* no CPU walks through them, or writes, from here on */
	while (ld->twins[1]) {
		struct frame *twin = &frame_table[ld->twins[1]];

		harvest_leaf(d, twin, true);
		twin_free(ld, &frame_table[twin->twin], 1);
	}
}

static void twin_fill(struct domain *d, struct frame *table, uint64_t *t, int level)
{
	const uint64_t *g = frame_to_virt(table);
	unsigned int i;

	for (i = 0; i < 512; i++)
		if (g[i] & PTE_P)
			t[i] = level == 1 ? leaf_entry(d, g[i], false) : upper_entry(d->logdirty, g[i]);
	if (level == 4)
		memcpy(&t[HV_SLOT_FIRST], &idle_l4[HV_SLOT_FIRST],
		       (HV_SLOT_LAST - HV_SLOT_FIRST + 1) * sizeof(*t));
}

static bool twin_make(struct domain *d, struct frame *table)
{
	struct logdirty *ld = d->logdirty;
	int level = level_of(table);
	struct frame *twin = heap_alloc(0, 0);

	if (!twin) {
		shadow_reclaim(d);
		twin = heap_alloc(0, 0);
		if (!twin)
			return false;
	}
	twin_fill(d, table, frame_to_virt(twin), level);
	twin->twin_gen = ld->gen;
	twin->twin = (uint32_t)frame_to_mfn(table).mfn;	/* and back */
	table->twin = (uint32_t)frame_to_mfn(twin).mfn;
	twin_link(ld, twin, level);
	return true;
}

/* --- hooks of mm/ptype.c ---------------------------------------------------------------- */

int shadow_table_new(struct domain *d, struct frame *table, unsigned int type)
{
	if (likely(!d->logdirty) || type != FTYPE_L4)
		return 0;
	return twin_make(d, table) ? 0 : -ENOMEM;
}

void shadow_table_gone(struct domain *d, struct frame *table)
{
	int level = level_of(table);

	if (likely(!d->logdirty) || !table->twin)
		return;
	if (level == 1)
		harvest_leaf(d, &frame_table[table->twin], true);
	twin_free(d->logdirty, table, level);
}

void shadow_entry_written(struct domain *d, struct frame *table, unsigned int idx, uint64_t new)
{
	uint64_t *t, old;
	int level = level_of(table);

	if (likely(!d->logdirty))
		return;
	logdirty_mark_mfn(frame_to_mfn(table));
	t = twin_of(table);
	if (!t)
		return;
	old = atomic_xchg(&t[idx], level == 1 ? leaf_entry(d, new, false) : upper_entry(d->logdirty, new));
	if (level == 1 && frame_table[table->twin].twin_gen == d->logdirty->gen)
		mark_if_dirty(d, old, true);
}

mfn_t shadow_root(struct domain *d, mfn_t l4) { return _mfn(mfn_to_frame(l4)->twin); }

/* --- write protection ------------------------------------------------------------------------ */

/* The entries of @twin as the present protection wants them.  Hardware may set A or D meanwhile. */
static void twin_protect(struct domain *d, struct frame *twin, int level)
{
	uint64_t *t = frame_to_virt(twin);
	unsigned int i;

	for (i = 0; i < 512; i++) {
		if (level == 4 && i >= HV_SLOT_FIRST && i <= HV_SLOT_LAST)
			continue;
		if (level == 1) {
			if ((t[i] & PTE_RW) && snapshot_is_frozen(d, pte_mfn(t[i])))
				atomic_and(&t[i], ~(PTE_RW | PTE_D));
			else if (t[i] & PTE_D)
				atomic_and(&t[i], ~PTE_D);
		} else if (t[i] & PTE_RW) {
			atomic_and(&t[i], ~PTE_RW);
		}
	}
	twin->twin_gen = d->logdirty->gen;
}

void shadow_protect(struct domain *d)
{
	struct logdirty *ld = d->logdirty;
	uint32_t mfn;

	ld->gen++;			/* 2^32 checkpoints of one run are not to be had */
	for (mfn = ld->twins[4]; mfn; mfn = frame_table[mfn].next)
		twin_protect(d, &frame_table[mfn], 4);
}

/* --- faults -------------------------------------------------------------------------------- */

/* Make the path of twins to @va's L1 entry, fit to write through if @write; the guest's rights along
 * it are ANDed to @rights (PTE_RW set: writable; PTE_NX set: not executable).  NULL: not present
 * in the guest's tables. */
static struct frame *walk_twins(struct domain *d, mfn_t l4, uint64_t va, bool write, uint64_t *rights)
{
	struct frame *table = mfn_to_frame(l4);
	int level;

	for (level = 4; level > 1; level--) {
		unsigned int i = pt_index(va, level);
		uint64_t g = ((uint64_t *)frame_to_virt(table))[i];
		struct frame *child;
		uint64_t *t;

		if (!(g & PTE_P))
			return NULL;
		if (!(g & PTE_RW))
			*rights &= ~PTE_RW;
		*rights |= g & PTE_NX;
		child = mfn_to_frame(pte_mfn(g));
		if (!child->twin && !twin_make(d, child))
			return NULL;
		if (write && frame_table[child->twin].twin_gen != d->logdirty->gen)
			twin_protect(d, &frame_table[child->twin], level - 1);
		/* Making the child may have reclaimed others, never this one: it is no L1. */
		t = twin_of(table);
		t[i] = upper_entry(d->logdirty, g) | PTE_A;
		table = child;
	}
	return table;
}

bool shadow_fault(struct vcpu *v, uint64_t va, unsigned int ec)
{
	struct domain *d = v->domain;
	mfn_t l4 = v->kernel_mode ? v->kernel_l4 : v->user_l4;
	uint64_t rights = PTE_RW, g, *entry;
	struct frame *table, *twin;
	unsigned int idx = pt_index(va, 1);
	bool ours = false, write = ec & PF_WRITE;

	if ((ec & PF_RSVD) || va >> 47 != (va >> 63 ? 0x1ffffUL : 0))
		return false;
	spin_lock(&d->mm_lock);
	table = walk_twins(d, l4, va, write, &rights);
	if (!table)
		goto out;
	entry = (uint64_t *)frame_to_virt(table) + idx;
	g = *entry;
	if (!(g & PTE_P) || (write && !(g & rights & PTE_RW)) ||
	    ((ec & PF_FETCH) && ((g | rights) & PTE_NX)))
		goto out;
	ours = true;
	d->logdirty->stat_faults++;
	if (lazy_before_access(v, pte_mfn(g), !(ec & PF_USER))) {
		ours = ec & PF_USER;	/* else the copy fails */
		goto out;
	}
	/* The hypervisor's own stores for the guest cannot wait: there is no stack to come back to. */
	if (write && !snapshot_before_store(v, pte_mfn(g), ec & PF_USER))
		goto out;
	if ((g & PTE_A) == 0 || (write && !(g & PTE_D))) {
		g |= PTE_A | (write ? PTE_D : 0);
		*entry = g;			/* the guest's table changed: it must be sent again */
		logdirty_mark_mfn(frame_to_mfn(table));
	}
	twin = &frame_table[table->twin];
	g = atomic_xchg((uint64_t *)frame_to_virt(twin) + idx, leaf_entry(d, g, write));
	if (twin->twin_gen == d->logdirty->gen)
		mark_if_dirty(d, g, true);
	tlb_flush_page_local(va);
out:
	spin_unlock(&d->mm_lock);
	return ours;
}

/* --- all of it ----------------------------------------------------------------------------------- */

int shadow_make_roots(struct domain *d)
{
	uint32_t mfn;

	for (mfn = d->page_list; mfn; mfn = frame_table[mfn].next) {
		struct frame *f = &frame_table[mfn];

		if (frame_type(f) == FTYPE_L4 && (f->type & FTYPE_COUNT_MASK) && !twin_make(d, f))
			return -ENOMEM;
	}
	return 0;
}

void shadow_free_all(struct domain *d)
{
	struct logdirty *ld = d->logdirty;
	int level;

	for (level = 1; level <= 4; level++)
		while (ld->twins[level]) {
			struct frame *twin = &frame_table[ld->twins[level]];

			twin_free(ld, &frame_table[twin->twin], level);
		}
}

/* Descend where something was walked since the last time; see the invariant on A. */
void shadow_harvest(struct domain *d)
{
	struct logdirty *ld = d->logdirty;
	uint32_t mfn;
	unsigned int i;

	for (mfn = ld->twins[2]; mfn; mfn = frame_table[mfn].next) {
		uint64_t *t = mfn_to_virt(_mfn(mfn));

		for (i = 0; i < 512; i++) {
			if ((t[i] & (PTE_P | PTE_A)) != (PTE_P | PTE_A))
				continue;
			atomic_and(&t[i], ~PTE_A);
			harvest_leaf(d, mfn_to_frame(pte_mfn(t[i])), false);
		}
	}
}
