/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory.  The initial mapping puts pfn n at VIRT_BASE + n * 4096, page tables read-only; this
 * image and its pool of pages lie in it, so every table a test makes can be read by its address.
 */
#include "tests/guest/lib/guest.h"

#define POOL_PAGES	512

uint64_t *p2m;

void *page_alloc(void)
{
	static uint8_t pool[POOL_PAGES][PAGE_SIZE] __attribute__((aligned(4096)));
	static unsigned int used;

	if (used == POOL_PAGES)
		test_fail("out of pages");
	return pool[used++];
}

uint64_t mfn_of(const void *va)
{
	return p2m[((uint64_t)va - VIRT_BASE) / PAGE_SIZE];
}

uint64_t maddr_of(const void *va)
{
	return mfn_of(va) * PAGE_SIZE + ((uint64_t)va & (PAGE_SIZE - 1));
}

void *virt_of_mfn(uint64_t mfn)
{
	return (void *)(VIRT_BASE + M2P[mfn] * PAGE_SIZE);
}

volatile uint64_t *pte_of(uint64_t va, int level)
{
	volatile uint64_t *t = (volatile uint64_t *)start_info->pt_base;

	for (int l = 4;; l--) {
		volatile uint64_t *e = &t[va >> (12 + 9 * (l - 1)) & 511];

		if (l == level)
			return e;
		if (!(*e & PTE_P))
			return NULL;
		t = virt_of_mfn((*e & PTE_ADDR) / PAGE_SIZE);
	}
}

uint64_t pte_maddr(uint64_t va, int level)
{
	volatile uint64_t *e = pte_of(va, level);

	if (!e)
		test_fail("no table of level %d for %lx", level, va);
	return maddr_of((const void *)e);
}

int page_protect(const void *va, bool writable)
{
	return HC3(update_va_mapping, va, mfn_of(va) * PAGE_SIZE | (writable ? RW_PAGE : RO_PAGE),
		   UVMF_INVLPG);
}

long mmu_update_one(uint64_t ptr, uint64_t val)
{
	struct mmu_update u = { ptr, val };

	return HC4(mmu_update, &u, 1, 0, DOMID_SELF);
}

long mmuext(unsigned int cmd, uint64_t arg1, uint64_t arg2)
{
	struct mmuext_op op = { .cmd = cmd };

	op.arg1.mfn = arg1;
	op.arg2.src_mfn = arg2;
	return HC4(mmuext_op, &op, 1, 0, DOMID_SELF);
}

uint64_t *pt_new(void)
{
	uint64_t *t = page_alloc();

	if (page_protect(t, false))
		test_fail("cannot make a page read-only");
	return t;
}

void map_page(uint64_t va, uint64_t mfn, uint64_t flags)
{
	for (int level = 4; level > 1; level--) {
		if (*pte_of(va, level) & PTE_P)
			continue;
		if (mmu_update_one(pte_maddr(va, level), maddr_of(pt_new()) | TABLE))
			test_fail("no table of level %d for %lx", level - 1, va);
	}
	if (mmu_update_one(pte_maddr(va, 1), mfn * PAGE_SIZE | flags))
		test_fail("cannot map frame %lx at %lx", mfn, va);
}
