/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest descriptor tables.
 *
 * Pages of a loaded GDT or LDT have the segdesc type: each descriptor in them was
 * made harmless, and no writable mapping of them exists.  They are mapped into
 * this CPU's descriptor window (x86/desc.c) while the vCPU runs here.  GDT pages
 * are taken at set_gdt; LDT pages at the first touch, since the guest names the
 * LDT by a virtual address.
 */
#include <pv/errno.h>
#include <pv/lazy.h>
#include <pv/lib.h>
#include <pv/mmu.h>
#include <pv/snapshot.h>
#include <pv/x86.h>

static int segdesc_get(struct domain *d, mfn_t m)
{
	struct frame *f = mfn_to_frame(m);
	int ret;

	if (!mfn_valid(m) || !frame_get(f, d))
		return -EINVAL;
	ret = f->count & FRAME_HV ? -EINVAL : frame_get_type(f, FTYPE_SEGDESC);
	if (ret)
		frame_put(f);
	return ret;
}

static void segdesc_put(mfn_t m)
{
	frame_put_rw(mfn_to_frame(m));
}

int mmu_set_gdt(struct vcpu *v, const uint64_t *mfns, unsigned int ents)
{
	unsigned int nr = (ents + 511) / 512, i;
	mfn_t old[14];

	if (nr > ARRAY_SIZE(v->gdt_mfn))
		return -EINVAL;
	for (i = 0; i < nr; i++) {
		int ret = segdesc_get(v->domain, _mfn(mfns[i]));

		if (ret) {
			while (i-- > 0)
				segdesc_put(_mfn(mfns[i]));
			return ret;
		}
	}
	memcpy(old, v->gdt_mfn, sizeof(old));
	for (i = 0; i < ARRAY_SIZE(v->gdt_mfn); i++)
		v->gdt_mfn[i] = i < nr ? _mfn(mfns[i]) : INVALID_MFN;
	v->gdt_ents = ents;
	/* The window must show the new pages before the old ones lose their type. */
	if (v == current)
		x86_load_gdt(v);
	for (i = 0; i < ARRAY_SIZE(old); i++)
		if (!mfn_eq(old[i], INVALID_MFN))
			segdesc_put(old[i]);
	return 0;
}

long do_set_gdt(uint64_t frames, unsigned int entries)
{
	struct vcpu *v = current;
	unsigned int nr = (entries + 511) / 512;
	uint64_t mfns[14];
	int ret;

	if (entries > FIRST_RESERVED_GDT_ENTRY)
		return -EINVAL;
	if (copy_from_guest(mfns, frames, nr * sizeof(mfns[0])))
		return -EFAULT;
	spin_lock(&v->domain->mm_lock);
	ret = mmu_set_gdt(v, mfns, entries);
	spin_unlock(&v->domain->mm_lock);
	return ret;
}

/* One descriptor of a page that is, or may become, a descriptor page. */
long do_update_descriptor(uint64_t maddr, uint64_t desc)
{
	struct domain *d = current->domain;
	mfn_t m = _mfn(maddr >> PAGE_SHIFT);
	struct frame *f = mfn_to_frame(m);
	unsigned int type;
	int ret;

	if ((maddr & 7) || !mfn_valid(m) || !descriptor_fix(&desc) || !frame_get(f, d))
		return -EINVAL;
	if (lazy_blocks(m)) {
		frame_put(f);
		return -EAGAIN;
	}
	spin_lock(&d->mm_lock);
	/* In use as descriptors: keep it so while we write.  Otherwise it is plain data. */
	type = frame_type(f) == FTYPE_SEGDESC && (f->type & FTYPE_COUNT_MASK) ? FTYPE_SEGDESC : FTYPE_WRITABLE;
	ret = frame_get_type(f, type);
	if (!ret) {
		snapshot_before_write(m);
		*(volatile uint64_t *)maddr_to_virt(maddr) = desc;
		logdirty_mark_mfn(m);
		frame_put_type(f);
	}
	spin_unlock(&d->mm_lock);
	frame_put(f);
	return ret;
}

void mmu_drop_ldt(struct vcpu *v)
{
	unsigned int i;

	if (v == current)
		x86_unmap_ldt_pages();
	for (i = 0; i < ARRAY_SIZE(v->ldt_mfn); i++) {
		if (!mfn_eq(v->ldt_mfn[i], INVALID_MFN))
			segdesc_put(v->ldt_mfn[i]);
		v->ldt_mfn[i] = INVALID_MFN;
	}
}

bool mmu_ldt_fault(struct vcpu *v, unsigned int page)
{
	struct domain *d = v->domain;
	struct frame *table;
	unsigned int idx;
	uint64_t e = 0;
	bool ok = false;

	if (page * 512u >= v->ldt_ents || !mfn_eq(v->ldt_mfn[page], INVALID_MFN))
		return false;
	spin_lock(&d->mm_lock);
	table = guest_walk(d, v->kernel_l4, v->ldt_base + page * PAGE_SIZE, &idx);
	if (table)
		e = ((uint64_t *)frame_to_virt(table))[idx];
	if ((e & PTE_P) && !segdesc_get(d, pte_mfn(e))) {
		v->ldt_mfn[page] = pte_mfn(e);
		x86_map_ldt_page(page, pte_mfn(e));
		ok = true;
	}
	spin_unlock(&d->mm_lock);
	return ok;
}
