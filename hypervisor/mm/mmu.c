/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's ways to change its page tables, and the address spaces of vCPUs.
 *
 * Each request is copied in first (no lock held: the copy may fault), then judged
 * and carried out under the mm_lock of the domain whose tables change.  An error
 * leaves the entry as it was.  Source: Xen public xen.h, "mmu_update", "mmuext_op".
 */
#include <pv/errno.h>
#include <pv/hypercall.h>
#include <pv/io.h>
#include <pv/lazy.h>
#include <pv/lib.h>
#include <pv/snapshot.h>
#include <pv/mmu.h>
#include <pv/x86.h>

/* --- address spaces ----------------------------------------------------------- */

void mmu_load_address_space(struct vcpu *v)
{
	struct domain *d = v->domain;
	mfn_t l4 = v->kernel_mode ? v->kernel_l4 : v->user_l4;

	if (v->is_idle) {
		tlb_write_cr3(idle_l4_mfn.mfn << PAGE_SHIFT);
		tlb_guest_tables(false);
		return;
	}
	if (d->logdirty)
		l4 = shadow_root(d, l4);
	tlb_guest_tables(true);
	tlb_write_cr3(l4.mfn << PAGE_SHIFT);
}

int mmu_set_base(struct vcpu *v, mfn_t l4, bool user)
{
	mfn_t *base = user ? &v->user_l4 : &v->kernel_l4;
	mfn_t old = *base;
	int ret;

	if (mfn_eq(l4, old) && !mfn_eq(l4, INVALID_MFN))
		return 0;
	if (!mfn_eq(l4, INVALID_MFN)) {
		ret = table_get(v->domain, l4, 4);
		if (ret)
			return ret;
	}
	*base = l4;
	/* The old tables may be in CR3 now: leave them before their reference goes. */
	if (v == current && v->kernel_mode != user)
		mmu_load_address_space(v);
	if (!mfn_eq(old, INVALID_MFN))
		table_put(old, 4);
	return 0;
}

int mmu_pin(struct domain *d, mfn_t mfn, int level)
{
	struct frame *f = mfn_to_frame(mfn);
	int ret = d->state < DOM_DYING ? table_get(d, mfn, level) : -EINVAL;

	if (ret)
		return ret;
	snapshot_before_write(mfn);
	if (atomic_or(&f->type, FTYPE_PINNED) & FTYPE_PINNED) {
		table_put(mfn, level);
		return -EINVAL;
	}
	logdirty_mark_mfn(mfn);
	return 0;
}

int mmu_unpin(struct domain *d, mfn_t mfn)
{
	struct frame *f = mfn_to_frame(mfn);

	if (!mfn_valid(mfn) || !frame_get(f, d))
		return -EINVAL;
	snapshot_before_write(mfn);
	if (!(atomic_and(&f->type, ~FTYPE_PINNED) & FTYPE_PINNED)) {
		frame_put(f);
		return -EINVAL;
	}
	logdirty_mark_mfn(mfn);
	table_put(mfn, (int)frame_type(f));
	frame_put(f);
	return 0;
}

/* The next pinned frame behind @f (NULL: the first one) on @d's list, referenced; lets @f go.  Frames
 * leave the list while we walk: only what we hold has a place in it. */
static struct frame *next_pinned(struct domain *d, struct frame *f)
{
	struct frame *next;
	uint32_t mfn;
	bool held;

	do {
		smp_poll();
		spin_lock(&d->page_lock);
		mfn = f ? f->next : d->page_list;
		while (mfn && !(frame_table[mfn].type & FTYPE_PINNED))
			mfn = frame_table[mfn].next;
		next = mfn ? &frame_table[mfn] : NULL;
		held = !next || frame_get(next, d);	/* else it is on its way out */
		spin_unlock(&d->page_lock);
	} while (!held);
	if (f)
		frame_put(f);
	return next;
}

void mmu_drop_tables(struct domain *d)
{
	struct frame *f;
	unsigned int i;

	spin_lock(&d->mm_lock);
	for (i = 0; i < d->max_vcpus; i++) {
		struct vcpu *v = d->vcpu[i];

		mmu_set_base(v, INVALID_MFN, true);
		mmu_set_base(v, INVALID_MFN, false);
		mmu_drop_ldt(v);
		mmu_set_gdt(v, NULL, 0);
	}
	for (f = next_pinned(d, NULL); f; f = next_pinned(d, f))
		mmu_unpin(d, frame_to_mfn(f));
	spin_unlock(&d->mm_lock);
}

/* The list shrinks as frames go; one that others still map stays and goes later. */
bool mmu_release_frames(struct domain *d, unsigned int budget)
{
	uint32_t mfn;

	while (budget--) {
		spin_lock(&d->page_lock);
		for (mfn = d->page_list; mfn; mfn = frame_table[mfn].next)
			if (frame_table[mfn].count & FRAME_ALLOCATED)
				break;
		spin_unlock(&d->page_lock);
		if (!mfn)
			return true;
		frame_release(&frame_table[mfn]);
	}
	return false;
}

/* --- foreign domains of a request -------------------------------------------------- */

/* The owner of the frames a request names; a reference is held on success. */
static int foreign_get(struct domain *d, unsigned int domid, struct domain **out)
{
	if (domid == DOMID_SELF || domid == d->id)
		*out = domain_get(d->id);
	else if (!is_privileged(d))
		return -EPERM;
	else if (domid == DOMID_IO)
		*out = domain_get(d->id);	/* MMIO is judged by the frame, not by this number */
	else
		*out = domain_get(domid);
	return *out ? 0 : -ESRCH;
}

/* --- mmu_update --------------------------------------------------------------------- */

/* An 8-byte write into a page that is no table now: Linux fills tables so before it pins them. */
static int plain_write(struct frame *f, uint64_t maddr, uint64_t val)
{
	if (lazy_blocks(frame_to_mfn(f)))
		return -EAGAIN;
	if (frame_get_type(f, FTYPE_WRITABLE))
		return -EINVAL;
	snapshot_before_write(frame_to_mfn(f));
	*(volatile uint64_t *)maddr_to_virt(maddr) = val;
	logdirty_mark_mfn(frame_to_mfn(f));
	frame_put_type(f);
	return 0;
}

static int update_pt(struct domain *d, struct domain *pg_owner, uint64_t ptr, uint64_t val, bool ad)
{
	mfn_t m = _mfn(ptr >> PAGE_SHIFT);
	struct frame *f = mfn_to_frame(m);
	unsigned int type;
	int ret;

	if ((ptr & 7) || !mfn_valid(m) || !frame_get(f, d))
		return -EINVAL;
	spin_lock(&d->mm_lock);
	type = frame_type(f);
	if (type >= FTYPE_L1 && type <= FTYPE_L4 && (f->type & FTYPE_COUNT_MASK))
		ret = table_update_entry(d, f, (ptr & ~PAGE_MASK) / 8, val, pg_owner, ad, NULL);
	else
		ret = plain_write(f, ptr, val);
	spin_unlock(&d->mm_lock);
	frame_put(f);
	return ret;
}

static int update_m2p(struct domain *pg_owner, uint64_t ptr, uint64_t pfn)
{
	mfn_t m = _mfn(ptr >> PAGE_SHIFT);
	struct frame *f = mfn_to_frame(m);
	int ret = -EINVAL;

	if (!mfn_valid(m) || !frame_get(f, pg_owner))
		return -EINVAL;
	if (lazy_blocks(m)) {
		ret = -EAGAIN;
	} else if (!(f->count & FRAME_HV)) {	/* our own pages are no memory of the guest's that moves */
		logdirty_m2p_changed(pg_owner, m, _pfn(pfn));
		m2p_set(m, _pfn(pfn));
		ret = 0;
	}
	frame_put(f);
	return ret;
}

static int one_mmu_update(struct domain *d, struct domain *pg_owner, const struct mmu_update *r)
{
	switch (r->ptr & 3) {
	case MMU_NORMAL_PT_UPDATE:
	case MMU_PT_UPDATE_NO_TRANSLATE:
		return update_pt(d, pg_owner, r->ptr & ~3UL, r->val, false);
	case MMU_PT_UPDATE_PRESERVE_AD:
		return update_pt(d, pg_owner, r->ptr & ~3UL, r->val, true);
	default:
		return update_m2p(pg_owner, r->ptr & ~3UL, r->val);
	}
}

/* A list of requests, and how far it came before this CPU had other work. */
struct batch {
	unsigned int nr;		/* hypercall number */
	uint64_t list, pdone;
	unsigned int count;
	uint32_t before;		/* done by earlier calls for the same list */
};

#define BATCH_AGAIN	BIT(31)		/* in the count: not the first call, *pdone counts */
#define BATCH_YIELD	16u		/* requests between two looks around */

static int batch_start(struct batch *b)
{
	b->before = 0;
	/* Read in any case, so that a frame that is missing shows before anything is done. */
	if (b->pdone && copy_from_guest(&b->before, b->pdone, sizeof(b->before)))
		return -EFAULT;
	if (!(b->count & BATCH_AGAIN))
		b->before = 0;
	b->count &= ~BATCH_AGAIN;
	return 0;
}

static bool batch_should_yield(unsigned int i)
{
	return i && i % BATCH_YIELD == 0 && hypercall_should_yield();
}

/* @i requests of @size bytes were carried out; the next failed if @ret, else the list ended or
 * is to go on later. */
static long batch_end(const struct batch *b, unsigned int i, size_t size, int ret)
{
	uint32_t done = b->before + i;

	if (b->pdone && copy_to_guest(b->pdone, &done, sizeof(done)))
		return -EFAULT;
	if (ret || i == b->count)
		return ret;
	return hypercall_again2(b->nr, b->list + i * size, (b->count - i) | BATCH_AGAIN);
}

long do_mmu_update(uint64_t ureqs, unsigned int count, uint64_t pdone, unsigned int foreigndom)
{
	struct batch b = { __HYPERVISOR_mmu_update, ureqs, pdone, count, 0 };
	struct domain *d = current->domain, *pg_owner;
	struct mmu_update r;
	unsigned int i;
	int ret;

	if (foreigndom >> 16)			/* tables of another domain: not offered */
		return -EPERM;
	if (batch_start(&b))
		return -EFAULT;
	ret = foreign_get(d, foreigndom & 0xffff, &pg_owner);
	if (ret)
		return ret;
	for (i = 0; i < b.count && !batch_should_yield(i); i++) {
		ret = copy_from_guest(&r, ureqs + i * sizeof(r), sizeof(r));
		if (!ret)
			ret = one_mmu_update(d, pg_owner, &r);
		if (ret)
			break;
	}
	if (ret && hypercall_must_wait())
		ret = 0;		/* this one and the rest later */
	domain_put(pg_owner);
	return batch_end(&b, i, sizeof(r), ret);
}

/* --- update_va_mapping ----------------------------------------------------------------- */

/* vCPU bitmap of the guest at @gva -> CPUs that may hold its translations. */
static int flush_vcpus(struct domain *d, uint64_t gva, uint64_t *mask)
{
	uint64_t bits = 0;
	unsigned int i, bytes = (d->max_vcpus + 7) / 8;

	if (copy_from_guest(&bits, gva, bytes))
		return -EFAULT;
	*mask = 0;
	for (i = 0; i < d->max_vcpus; i++)
		if ((bits >> i & 1) && d->vcpu[i] && d->vcpu[i]->sched.running)
			*mask |= BIT(d->vcpu[i]->sched.processor);
	return 0;
}

static int va_flush(struct domain *d, uint64_t va, uint64_t flags)
{
	uint64_t mask = BIT(cpu_id());
	uint64_t who = flags & ~(uint64_t)UVMF_FLUSHTYPE_MASK;

	if ((flags & UVMF_FLUSHTYPE_MASK) == 0)
		return 0;
	if (who == UVMF_ALL)
		mask = d->dirty_cpus;
	else if (who && flush_vcpus(d, who, &mask))
		return -EFAULT;
	if (mask == BIT(cpu_id()) && (flags & UVMF_FLUSHTYPE_MASK) == UVMF_INVLPG)
		tlb_flush_page_local(va);
	else
		tlb_flush_mask(mask);
	return 0;
}

static long va_mapping(uint64_t va, uint64_t val, uint64_t flags, struct domain *pg_owner)
{
	struct vcpu *v = current;
	struct domain *d = v->domain;
	struct frame *f;
	unsigned int idx;
	int ret = -EINVAL;

	spin_lock(&d->mm_lock);
	f = guest_walk(d, v->kernel_l4, va, &idx);
	if (f)
		ret = table_update_entry(d, f, idx, val, pg_owner, false, NULL);
	spin_unlock(&d->mm_lock);
	if (ret)
		return ret;
	return va_flush(d, va, flags);
}

long do_update_va_mapping(uint64_t va, uint64_t val, uint64_t flags)
{
	return va_mapping(va, val, flags, current->domain);
}

long do_update_va_mapping_otherdomain(uint64_t va, uint64_t val, uint64_t flags, unsigned int domid)
{
	struct domain *pg_owner;
	long ret = foreign_get(current->domain, domid, &pg_owner);

	if (ret)
		return ret;
	ret = va_mapping(va, val, flags, pg_owner);
	domain_put(pg_owner);
	return ret;
}

/* --- mmuext_op ------------------------------------------------------------------------------- */

static int ext_set_base(struct domain *d, uint64_t mfn, bool user)
{
	mfn_t m = user && mfn == 0 ? INVALID_MFN : _mfn(mfn);
	int ret;

	if (!user && mfn_eq(m, INVALID_MFN))
		return -EINVAL;		/* a vCPU always has kernel tables */
	spin_lock(&d->mm_lock);
	ret = mmu_set_base(current, m, user);
	spin_unlock(&d->mm_lock);
	return ret;
}

static int ext_pin(struct domain *pg_owner, uint64_t mfn, int level)
{
	int ret;

	spin_lock(&pg_owner->mm_lock);
	ret = level ? mmu_pin(pg_owner, _mfn(mfn), level) : mmu_unpin(pg_owner, _mfn(mfn));
	spin_unlock(&pg_owner->mm_lock);
	return ret;
}

static int ext_flush_multi(struct domain *d, const struct mmuext_op *op)
{
	uint64_t mask;

	if (flush_vcpus(d, (uint64_t)op->arg2.vcpumask.p, &mask))
		return -EFAULT;
	tlb_flush_mask(mask);
	return 0;
}

static int ext_set_ldt(struct vcpu *v, uint64_t base, unsigned int ents)
{
	if (ents > 8192 || (ents && ((base & ~PAGE_MASK) || !guest_range_ok(base, ents * 8UL))))
		return -EINVAL;
	spin_lock(&v->domain->mm_lock);
	mmu_drop_ldt(v);
	spin_unlock(&v->domain->mm_lock);
	v->ldt_base = base;
	v->ldt_ents = ents;
	x86_load_ldt(v);
	return 0;
}

/* Clear, or copy to, a page of one's own that is no table. */
static int ext_page(struct domain *d, uint64_t dst, const uint64_t *src)
{
	struct frame *to = mfn_to_frame(_mfn(dst)), *from = NULL;

	if (lazy_blocks(_mfn(dst)) || (src && lazy_blocks(_mfn(*src))))
		return -EAGAIN;
	if (!mfn_valid(_mfn(dst)) || !frame_get_rw(to, d))
		return -EINVAL;
	snapshot_before_write(_mfn(dst));
	if (src) {
		from = mfn_to_frame(_mfn(*src));
		if (!mfn_valid(_mfn(*src)) || !frame_get(from, d)) {
			frame_put_rw(to);
			return -EINVAL;
		}
		memcpy(frame_to_virt(to), frame_to_virt(from), PAGE_SIZE);
		frame_put(from);
	} else {
		memset(frame_to_virt(to), 0, PAGE_SIZE);
	}
	logdirty_mark_mfn(_mfn(dst));
	frame_put_rw(to);
	return 0;
}

static int one_mmuext_op(struct domain *d, struct domain *pg_owner, const struct mmuext_op *op)
{
	switch (op->cmd) {
	case MMUEXT_PIN_L1_TABLE:
	case MMUEXT_PIN_L2_TABLE:
	case MMUEXT_PIN_L3_TABLE:
	case MMUEXT_PIN_L4_TABLE:
		return ext_pin(pg_owner, op->arg1.mfn, (int)(op->cmd - MMUEXT_PIN_L1_TABLE) + 1);
	case MMUEXT_UNPIN_TABLE:
		return ext_pin(pg_owner, op->arg1.mfn, 0);
	case MMUEXT_NEW_BASEPTR:
		return ext_set_base(d, op->arg1.mfn, false);
	case MMUEXT_NEW_USER_BASEPTR:
		return ext_set_base(d, op->arg1.mfn, true);
	case MMUEXT_TLB_FLUSH_LOCAL:
		tlb_flush_local();
		return 0;
	case MMUEXT_INVLPG_LOCAL:
		if (guest_range_ok(op->arg1.linear_addr, 1))
			tlb_flush_page_local(op->arg1.linear_addr);
		return 0;
	case MMUEXT_TLB_FLUSH_MULTI:
	case MMUEXT_INVLPG_MULTI:
		return ext_flush_multi(d, op);
	case MMUEXT_TLB_FLUSH_ALL:
	case MMUEXT_INVLPG_ALL:
		tlb_flush_mask(d->dirty_cpus);
		return 0;
	case MMUEXT_FLUSH_CACHE:
		return 0;
	case MMUEXT_SET_LDT:
		return ext_set_ldt(current, op->arg1.linear_addr, op->arg2.nr_ents);
	case MMUEXT_CLEAR_PAGE:
		return ext_page(d, op->arg1.mfn, NULL);
	case MMUEXT_COPY_PAGE:
		return ext_page(d, op->arg1.mfn, &op->arg2.src_mfn);
	default:
		return -ENOSYS;
	}
}

long do_mmuext_op(uint64_t uops, unsigned int count, uint64_t pdone, unsigned int foreigndom)
{
	struct batch b = { __HYPERVISOR_mmuext_op, uops, pdone, count, 0 };
	struct domain *d = current->domain, *pg_owner;
	struct mmuext_op op;
	unsigned int i;
	int ret;

	if (batch_start(&b))
		return -EFAULT;
	ret = foreign_get(d, foreigndom & 0xffff, &pg_owner);
	if (ret)
		return ret;
	for (i = 0; i < b.count && !batch_should_yield(i); i++) {
		ret = copy_from_guest(&op, uops + i * sizeof(op), sizeof(op));
		if (!ret)
			ret = one_mmuext_op(d, pg_owner, &op);
		if (ret)
			break;
	}
	if (ret && hypercall_must_wait())
		ret = 0;
	domain_put(pg_owner);
	return batch_end(&b, i, sizeof(op), ret);
}

/* --- entries for grants ------------------------------------------------------------------------- */

/* The table frame (referenced) and index of the entry a grant operation names. */
static struct frame *host_entry(struct domain *d, uint64_t host_addr, bool is_pte, unsigned int *idx)
{
	struct frame *f;

	if (is_pte) {
		mfn_t m = _mfn(host_addr >> PAGE_SHIFT);

		if ((host_addr & 7) || !mfn_valid(m))
			return NULL;
		f = mfn_to_frame(m);
		*idx = (host_addr & ~PAGE_MASK) / 8;
	} else {
		f = guest_walk(d, current->kernel_l4, host_addr, idx);
	}
	if (!f || !frame_get(f, d))
		return NULL;
	if (frame_type(f) == FTYPE_L1 && (f->type & FTYPE_COUNT_MASK))
		return f;
	frame_put(f);
	return NULL;
}

static int host_entry_write(struct domain *d, uint64_t host_addr, bool is_pte, mfn_t mfn, uint64_t val)
{
	struct domain *owner = domain_get_any(mfn_to_frame(mfn)->owner);
	unsigned int idx;
	struct frame *f;
	uint64_t old;
	int ret = -EINVAL;

	spin_lock(&d->mm_lock);
	f = host_entry(d, host_addr, is_pte, &idx);
	if (f) {
		old = ((uint64_t *)frame_to_virt(f))[idx];
		if (val & PTE_P)
			ret = !owner || (old & PTE_P) ? -EINVAL :
				table_update_entry(d, f, idx, val, owner, false, NULL);
		else if ((old & PTE_P) && mfn_eq(pte_mfn(old), mfn))
			ret = table_update_entry(d, f, idx, 0, d, false, NULL);
		frame_put(f);
	}
	spin_unlock(&d->mm_lock);
	return ret;
}

int mmu_install_foreign(struct domain *d, uint64_t host_addr, bool is_pte, mfn_t mfn, uint64_t pte_flags)
{
	return host_entry_write(d, host_addr, is_pte, mfn, mfn.mfn << PAGE_SHIFT | pte_flags | PTE_P);
}

int mmu_remove_foreign(struct domain *d, uint64_t host_addr, bool is_pte, mfn_t mfn)
{
	return host_entry_write(d, host_addr, is_pte, mfn, 0);
}
