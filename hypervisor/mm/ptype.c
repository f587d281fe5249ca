/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page types: the isolation proof.
 *
 * A frame has a reference count and a type count.  Types - L1, L2, L3, L4,
 * segment descriptors, writable - exclude each other: a type changes only while
 * its count is zero, and only after no CPU can hold a translation made under the
 * old one.  A table type is gained by validating every entry, each of which then
 * holds references on what it names (a writable L1 entry: the writable type; a
 * non-leaf entry: the table type one level down), and lost when the count returns
 * to zero, when every entry gives its references back.  A pin holds one type
 * reference.  So no writable mapping of a page table can exist, and every table the
 * hardware can reach was checked entry by entry.  Log-dirty never weakens this.
 *
 * A frame whose count is not zero and which is not VALIDATED is between two types:
 * whoever set it so flushes, validates or retires it, and nobody else may use it.
 *
 * Lock: table types change under the owner's mm_lock; writable and segdesc counts
 * are atomic alone.
 */
#include <pv/errno.h>
#include <pv/lazy.h>
#include <pv/lib.h>
#include <pv/mmu.h>
#include <pv/snapshot.h>

static bool is_table(unsigned int type) { return type >= FTYPE_L1 && type <= FTYPE_L4; }

/* Was the frame, whose count is zero, of another type before? */
static bool type_changes(uint64_t old, uint64_t want)
{
	return (old & FTYPE_MASK) && (old & FTYPE_MASK) != want;
}

static int type_validate(struct frame *f, unsigned int type)
{
	struct domain *d = domain_get_any(f->owner);

	if (type == FTYPE_SEGDESC)
		return segdesc_validate(f);
	if (!d)
		return -EINVAL;
	return table_validate(d, f, (int)type);
}

/* Who may hold a translation of a frame of @d made under its old type: @d itself, and domain 0,
 * which maps frames of others.  (What grants map is flushed before it is given back.) */
static void flush_old_type(const struct domain *d, const struct frame *f)
{
	tlb_flush_stale(d->dirty_cpus | (dom0 ? dom0->dirty_cpus : 0), f->tlb_stamp);
}

/*
 * One more type reference if the type is right and settled, or the first one of a new type, which
 * is not VALIDATED yet when there is work to do for it.  *@old gets what was before.
 */
static int type_take(struct frame *f, unsigned int type, uint64_t *old)
{
	uint64_t want = (uint64_t)type << FTYPE_SHIFT, new;

	*old = ACCESS_ONCE(f->type);
	do {
		while ((*old & FTYPE_COUNT_MASK) && !(*old & FTYPE_VALIDATED)) {
			/* Being validated now: a table that names itself, which no guest of ours
			 * needs.  A writable frame only waits for another CPU's flush. */
			if (type != FTYPE_WRITABLE || (*old & FTYPE_MASK) != want)
				return -EINVAL;
			__builtin_ia32_pause();
			smp_poll();
			*old = ACCESS_ONCE(f->type);
		}
		if (!(*old & FTYPE_COUNT_MASK))
			new = want | 1 | (type == FTYPE_WRITABLE && !type_changes(*old, want) ? FTYPE_VALIDATED : 0);
		else if ((*old & FTYPE_MASK) == want && (*old & FTYPE_COUNT_MASK) != FTYPE_COUNT_MASK)
			new = *old + 1;
		else
			return -EINVAL;
	} while (!atomic_cas(&f->type, old, new));
	return 0;
}

int frame_get_type(struct frame *f, unsigned int type)
{
	uint64_t want = (uint64_t)type << FTYPE_SHIFT, old;
	struct domain *d;
	int ret;

	/* Validation reads and writes the frame.  Tables of the right type stay so under mm_lock. */
	if (type != FTYPE_WRITABLE && !(frame_type(f) == type && (f->type & FTYPE_COUNT_MASK))) {
		if (lazy_blocks(frame_to_mfn(f)))
			return -EAGAIN;
		snapshot_before_write(frame_to_mfn(f));
	}
	ret = type_take(f, type, &old);
	if (ret || (old & FTYPE_COUNT_MASK))
		return ret;
	d = domain_get_any(f->owner);
	if (type_changes(old, want)) {
		if (d)
			flush_old_type(d, f);
		if (type == FTYPE_WRITABLE)	/* only now may others use it, too */
			atomic_or(&f->type, FTYPE_VALIDATED);
	}
	if (type == FTYPE_WRITABLE)
		return 0;

	f->twin = 0;
	ret = type_validate(f, type);
	if (!ret && is_table(type) && (ret = shadow_table_new(d, f, type)))
		table_devalidate(d, f, (int)type);
	if (ret) {
		f->tlb_stamp = tlb_stamp();
		atomic_store(&f->type, want);
		return ret;
	}
	atomic_or(&f->type, FTYPE_VALIDATED);
	logdirty_mark_mfn(frame_to_mfn(f));
	return 0;
}

/*
 * The last reference goes: the count stays at one meanwhile, so that nobody gives the frame
 * another type.  The stamp comes before the zero: who takes a new type then reads it.
 */
static void type_retire(struct frame *f, unsigned int type)
{
	struct domain *d = domain_get_any(f->owner);

	if (is_table(type) && d) {
		snapshot_before_write(frame_to_mfn(f));
		table_devalidate(d, f, (int)type);
		shadow_table_gone(d, f);
		logdirty_mark_mfn(frame_to_mfn(f));
	}
	f->tlb_stamp = tlb_stamp();
	atomic_store(&f->type, (uint64_t)type << FTYPE_SHIFT);
}

void frame_put_type(struct frame *f)
{
	uint64_t old = ACCESS_ONCE(f->type), new;

	do {
		BUG_ON(!(old & FTYPE_COUNT_MASK));
		new = (old & FTYPE_COUNT_MASK) == 1 ? old & ~FTYPE_VALIDATED : old - 1;
	} while (!atomic_cas(&f->type, &old, new));

	if ((old & FTYPE_COUNT_MASK) == 1)
		type_retire(f, (unsigned int)(old >> FTYPE_SHIFT));
}

/* --- L1 entries ------------------------------------------------------------- */

/* Frames dom0 may map although they are no RAM: everything but the interrupt
 * controllers.  The HPET is dom0's: its ACPI code reads it, we only calibrate by it. */
static bool mmio_allowed(const struct domain *d, mfn_t m)
{
	unsigned int i;

	if (!is_privileged(d) || m.mfn >> (cpu_features.phys_bits - PAGE_SHIFT))
		return false;
	if (m.mfn == acpi_lapic_maddr >> PAGE_SHIFT)
		return false;
	for (i = 0; i < acpi_nr_ioapics; i++)
		if (m.mfn == acpi_ioapic_maddr[i] >> PAGE_SHIFT)
			return false;
	return true;
}

/*
 * Caching other than write-back is for MMIO.  RAM that a guest sees around the cache may hold
 * something else than what we validated in the cache.
 */
static bool caching_ok(const struct domain *d, uint64_t e, int level)
{
	return is_privileged(d) || !(e & (level == 1 ? PTE_PCD | PTE_PWT | PTE_PAT : PTE_PCD | PTE_PWT));
}

static bool mfn_is_ram(mfn_t m)
{
	return mfn_valid(m) && mfn_to_frame(m)->owner != DOMID_IO;
}

int l1e_get(struct domain *d, struct domain *pg_owner, uint64_t *e)
{
	mfn_t m = pte_mfn(*e);

	if (pg_owner != d && lazy_blocks(m))
		return -EAGAIN;
	if (!mfn_is_ram(m)) {
		if (!mmio_allowed(d, m))
			return -EINVAL;
	} else if (!caching_ok(d, *e, 1)) {
		return -EINVAL;
	} else if (*e & PTE_RW) {
		if (!frame_get_rw(mfn_to_frame(m), pg_owner))
			return -EINVAL;
		if (pg_owner != d)	/* its writes will not fault as the owner's do */
			snapshot_before_write(m);
	} else if (!frame_get(mfn_to_frame(m), pg_owner)) {
		return -EINVAL;
	}
	*e |= PTE_US;
	return 0;
}

void l1e_put(uint64_t e)
{
	mfn_t m = pte_mfn(e);

	if (!(e & PTE_P) || !mfn_is_ram(m))
		return;
	if (e & PTE_RW)
		frame_put_rw(mfn_to_frame(m));
	else
		frame_put(mfn_to_frame(m));
}

/* --- tables ------------------------------------------------------------------ */

int table_get(struct domain *d, mfn_t mfn, int level)
{
	struct frame *f = mfn_to_frame(mfn);
	int ret;

	if (!mfn_valid(mfn) || !frame_get(f, d))
		return -EINVAL;
	ret = f->count & FRAME_HV ? -EINVAL : frame_get_type(f, (unsigned int)level);
	if (ret)
		frame_put(f);
	return ret;
}

void table_put(mfn_t mfn, int level)
{
	struct frame *f = mfn_to_frame(mfn);

	ASSERT(frame_type(f) == (unsigned int)level);
	frame_put_type(f);
	frame_put(f);
}

static bool slot_is_hv(int level, unsigned int idx)
{
	return level == 4 && idx >= HV_SLOT_FIRST && idx <= HV_SLOT_LAST;
}

static int entry_get(struct domain *d, uint64_t *e, int level)
{
	int ret;

	if (level == 1)
		return l1e_get(d, d, e);
	if ((*e & PTE_PSE) || !caching_ok(d, *e, level))
		return -EINVAL;
	ret = table_get(d, pte_mfn(*e), level - 1);
	*e |= PTE_US;
	return ret;
}

static void entry_put(uint64_t e, int level)
{
	if (!(e & PTE_P))
		return;
	if (level == 1)
		l1e_put(e);
	else
		table_put(pte_mfn(e), level - 1);
}

int table_validate(struct domain *d, struct frame *f, int level)
{
	uint64_t *t = frame_to_virt(f);
	unsigned int i;
	int ret = 0;

	smp_poll();			/* a whole tree may come by here, and others wait for us */
	for (i = 0; i < 512; i++) {
		uint64_t e = t[i];

		if (slot_is_hv(level, i) || !(e & PTE_P))
			continue;
		ret = entry_get(d, &e, level);
		if (ret)
			break;
		t[i] = e;
	}
	if (ret) {
		pr_guest(LOG_DEBUG, "d%u mm: mfn %lx as L%d: entry %u = %lx refused\n", d->id,
			 frame_to_mfn(f).mfn, level, i, t[i]);
		while (i-- > 0)
			if (!slot_is_hv(level, i))
				entry_put(t[i], level);
		return ret;
	}
	if (level == 4)
		memcpy(&t[HV_SLOT_FIRST], &idle_l4[HV_SLOT_FIRST],
		       (HV_SLOT_LAST - HV_SLOT_FIRST + 1) * sizeof(*t));
	return 0;
}

void table_devalidate(struct domain *d, struct frame *f, int level)
{
	uint64_t *t = frame_to_virt(f);
	unsigned int i;

	smp_poll();
	for (i = 0; i < 512; i++) {
		if (slot_is_hv(level, i))
			t[i] = 0;
		else
			entry_put(t[i], level);
	}
}

/* Same frame, same caching and, for an L1, same right to write: the references stay as they are. */
static bool same_references(uint64_t a, uint64_t b, int level)
{
	uint64_t mask = PTE_P | PTE_ADDR_MASK | PTE_PSE | PTE_PCD | PTE_PWT | (level == 1 ? PTE_RW : 0);

	return (a & PTE_P) && !((a ^ b) & mask);
}

int table_update_entry(struct domain *d, struct frame *f, unsigned int idx, uint64_t new,
		       struct domain *pg_owner, bool preserve_ad, const uint64_t *expect)
{
	int level = (int)frame_type(f), ret;
	uint64_t *p = (uint64_t *)frame_to_virt(f) + idx;
	uint64_t old, val;
	bool fresh = false;

	if (slot_is_hv(level, idx))
		return -EINVAL;
	old = ACCESS_ONCE(*p);
	if (new & PTE_P) {
		fresh = !same_references(old, new, level);
		if (fresh) {
			ret = level == 1 ? l1e_get(d, pg_owner, &new) : entry_get(d, &new, level);
			if (ret)
				return ret;
		}
		new |= PTE_US;
	}
	snapshot_before_write(frame_to_mfn(f));
	/* Hardware may set A or D under our hands; nothing else can change the entry. */
	do {
		if (expect && old != *expect) {
			if (fresh)
				entry_put(new, level);
			return -EAGAIN;
		}
		val = preserve_ad ? new | (old & (PTE_A | PTE_D)) : new;
	} while (!atomic_cas(p, &old, val));

	shadow_entry_written(d, f, idx, val);
	if (!same_references(old, new, level))
		entry_put(old, level);
	return 0;
}

struct frame *guest_walk(struct domain *d, mfn_t l4, uint64_t va, unsigned int *idx)
{
	mfn_t m = l4;
	int level;

	/* By the slot, not the address: one that is not canonical may name our slots, too. */
	if (slot_is_hv(4, pt_index(va, 4)))
		return NULL;
	for (level = 4; level > 1; level--) {
		uint64_t e = ((uint64_t *)mfn_to_virt(m))[pt_index(va, level)];

		if (!(e & PTE_P))
			return NULL;
		m = pte_mfn(e);
		ASSERT(mfn_valid(m));
	}
	*idx = pt_index(va, 1);
	return mfn_to_frame(m);
}

/* --- segment descriptors -------------------------------------------------------- */

/*
 * A guest may have code and data segments of ring 3 and nothing else: no gates, TSS
 * or LDT descriptors (SDM 3A 3.4.5, 3.5).  RPL 0..2 descriptors are moved to ring 3.
 */
bool descriptor_fix(uint64_t *desc)
{
	uint32_t hi = *desc >> 32;

	if (!(hi & (1u << 15)))			/* not present: harmless */
		return true;
	if (!(hi & (1u << 12)))			/* system segment: only the reserved type 0 */
		return (hi & (0xfu << 8)) == 0;
	*desc |= 3UL << 45;
	return true;
}

int segdesc_validate(struct frame *f)
{
	uint64_t *t = frame_to_virt(f);
	unsigned int i;

	for (i = 0; i < 512; i++)
		if (!descriptor_fix(&t[i]))
			return -EINVAL;
	return 0;
}
