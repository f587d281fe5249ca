/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writable page tables: a guest kernel may store to its own L1 tables as if they
 * were memory (VMASST_TYPE_writable_pagetables).  The store faults, since no table
 * is mapped writable; the instruction is decoded, the entry's new value computed from
 * the old one, validated and exchanged like any update.  A store that does not
 * validate, or that we cannot decode, stays what it was: a page fault.
 */
#include <pv/lib.h>
#include <pv/mmu.h>
#include <pv/errno.h>
#include <pv/x86.h>

/* The result of @w on the bytes of @old at @shift. */
static uint64_t apply(const struct pt_write *w, uint64_t old, unsigned int shift, uint64_t *part_old)
{
	uint64_t mask = w->size == 8 ? ~0UL : (1UL << (w->size * 8)) - 1;
	uint64_t part = old >> shift & mask, bit = 1UL << (w->operand & (w->size * 8 - 1)), res = part;

	switch (w->op) {
	case PTW_MOV:
	case PTW_XCHG:
	case PTW_CMPXCHG: res = w->operand; break;
	case PTW_AND: res = part & w->operand; break;
	case PTW_OR: res = part | w->operand; break;
	case PTW_XOR: res = part ^ w->operand; break;
	case PTW_ADD: res = part + w->operand; break;
	case PTW_BTR: res = part & ~bit; break;
	case PTW_BTS: res = part | bit; break;
	case PTW_BTC: res = part ^ bit; break;
	}
	*part_old = part;
	return (old & ~(mask << shift)) | (res & mask) << shift;
}

static int emulate_locked(struct domain *d, struct frame *table, unsigned int off,
			  struct cpu_user_regs *r, const struct pt_write *w)
{
	uint64_t *p = (uint64_t *)frame_to_virt(table) + off / 8;
	uint64_t old, part, new;
	uint64_t mask = w->size == 8 ? ~0UL : (1UL << (w->size * 8)) - 1;
	int ret;

	do {
		old = ACCESS_ONCE(*p);
		new = apply(w, old, (off & 7) * 8, &part);
		ret = 0;
		if (w->op == PTW_CMPXCHG && part != (r->rax & mask))
			break;		/* no match: the register half of cmpxchg alone */
		ret = table_update_entry(d, table, off / 8, new, d, false, &old);
	} while (ret == -EAGAIN);
	if (!ret)
		pt_write_finish(r, w, part, new >> ((off & 7) * 8) & mask);
	return ret;
}

bool ptwr_emulate(struct vcpu *v, uint64_t va)
{
	struct domain *d = v->domain;
	struct pt_write w;
	struct frame *f, *table;
	unsigned int idx;
	uint64_t e;
	bool done = false;

	if (!decode_pt_write(guest_regs(), &w) || (va & 7) + w.size > 8)
		return false;
	spin_lock(&d->mm_lock);
	f = guest_walk(d, v->kernel_l4, va, &idx);
	e = f ? ((uint64_t *)frame_to_virt(f))[idx] : 0;
	if ((e & (PTE_P | PTE_RW)) == PTE_P && mfn_valid(pte_mfn(e))) {
		table = mfn_to_frame(pte_mfn(e));
		if (frame_get(table, d)) {
			if (frame_type(table) == FTYPE_L1 && (table->type & FTYPE_COUNT_MASK))
				done = !emulate_locked(d, table, va & ~PAGE_MASK, guest_regs(), &w);
			frame_put(table);
		}
	}
	spin_unlock(&d->mm_lock);
	return done;
}
