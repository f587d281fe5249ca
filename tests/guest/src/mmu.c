/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a well-behaved kernel does to its page tables works: update_va_mapping, mmu_update with and
 * without keeping A and D, pin and unpin, new base pointers, and direct stores to L1 tables, which
 * the hypervisor emulates for every instruction form Linux uses.  After each change the entry reads
 * back as it should and the hardware agrees.
 * Source: Xen public xen.h, "mmu_update", "mmuext_op", "update_va_mapping", VMASST_TYPE_*.
 */
#include "tests/guest/lib/guest.h"

#define WINDOW	0x40000000ul		/* an address nothing else uses */

static uint8_t page_a[PAGE_SIZE] __attribute__((aligned(4096)));
static uint8_t page_b[PAGE_SIZE] __attribute__((aligned(4096)));

/* The L1 entry of WINDOW, with page_a mapped there. */
static volatile uint64_t *window(void)
{
	map_page(WINDOW, mfn_of(page_a), RW_PAGE);
	EXPECT(mmuext(MMUEXT_TLB_FLUSH_LOCAL, 0, 0), 0);
	*(uint64_t *)page_a = 'a';
	*(uint64_t *)page_b = 'b';
	return pte_of(WINDOW, 1);
}

static uint64_t window_word(void)
{
	EXPECT(mmuext(MMUEXT_INVLPG_LOCAL, WINDOW, 0), 0);
	return *(volatile uint64_t *)WINDOW;
}

static void update_va_mapping(void)
{
	uint64_t v;

	window();
	CHECK(window_word() == 'a', "%lx", window_word());
	EXPECT(HC3(update_va_mapping, WINDOW, maddr_of(page_b) | RW_PAGE, UVMF_INVLPG), 0);
	CHECK(*(volatile uint64_t *)WINDOW == 'b', "%lx", *(volatile uint64_t *)WINDOW);
	EXPECT(HC3(update_va_mapping, WINDOW, maddr_of(page_b) | RO_PAGE, UVMF_TLB_FLUSH), 0);
	CHECK(!try_write(WINDOW, 1), "read-only page was written");
	EXPECT(HC3(update_va_mapping, WINDOW, 0, UVMF_INVLPG | UVMF_ALL), 0);
	CHECK(!try_read(WINDOW, &v), "unmapped page was read");
	EXPECT(HC3(update_va_mapping, WINDOW, 0xabcde000, 0), 0);	/* not present: any value */
	CHECK(*pte_of(WINDOW, 1) == 0xabcde000, "%lx", *pte_of(WINDOW, 1));
	EXPECT(HC3(update_va_mapping, WINDOW, 0, 0), 0);
	REFUSED(HC3(update_va_mapping, 0x7fff00000000, 0, 0));		/* no L1 there */
}

static void mmu_update_kinds(void)
{
	volatile uint64_t *e = window();
	uint64_t at = pte_maddr(WINDOW, 1), v;

	EXPECT(mmu_update_one(at, maddr_of(page_b) | PTE_P | PTE_RW | PTE_US), 0);
	CHECK(!(*e & (PTE_A | PTE_D)), "%lx", *e);
	CHECK(window_word() == 'b', "%lx", window_word());
	CHECK(*e & PTE_A, "%lx", *e);
	/* Keeping A and D: they stay although the new value has none. */
	*(volatile uint64_t *)WINDOW = 'B';
	CHECK(*e & PTE_D, "%lx", *e);
	EXPECT(mmu_update_one(at | MMU_PT_UPDATE_PRESERVE_AD, maddr_of(page_b) | PTE_P | PTE_US), 0);
	CHECK((*e & (PTE_A | PTE_D | PTE_RW)) == (PTE_A | PTE_D), "%lx", *e);
	EXPECT(mmu_update_one(at, maddr_of(page_b) | PTE_P | PTE_US), 0);
	CHECK(!(*e & (PTE_A | PTE_D)), "%lx", *e);
	/* Bits that are software's, and NX, survive. */
	v = maddr_of(page_a) | RW_PAGE | PTE_NX | 0x7ul << 52 | 0x7ul << 9;
	EXPECT(mmu_update_one(at, v), 0);
	CHECK(*e == v, "%lx is not %lx", *e, v);
}

static void mmu_update_list(void)
{
	struct mmu_update u[3];
	unsigned int done = 77;
	uint64_t at;

	window();
	at = pte_maddr(WINDOW, 1);
	u[0] = (struct mmu_update){ at, maddr_of(page_b) | RW_PAGE };
	u[1] = (struct mmu_update){ at + 4, 0 };		/* not aligned to an entry */
	u[2] = (struct mmu_update){ at, 0 };
	REFUSED(HC4(mmu_update, u, 3, &done, DOMID_SELF));
	CHECK(done == 1, "done %u", done);
	CHECK(window_word() == 'b', "%lx", window_word());
	done = 77;
	EXPECT(HC4(mmu_update, u, 1, &done, DOMID_SELF), 0);
	CHECK(done == 1, "done %u", done);
	EXPECT(HC4(mmu_update, u, 0, &done, DOMID_SELF), 0);
	CHECK(done == 0, "done %u", done);
}

static void machphys_update(void)
{
	uint64_t mfn = mfn_of(page_a), pfn = M2P[mfn];

	EXPECT(mmu_update_one(mfn * PAGE_SIZE | MMU_MACHPHYS_UPDATE, pfn + 1), 0);
	CHECK(M2P[mfn] == pfn + 1, "%lx", M2P[mfn]);
	EXPECT(mmu_update_one(mfn * PAGE_SIZE | MMU_MACHPHYS_UPDATE, pfn), 0);
	CHECK(M2P[mfn] == pfn, "%lx", M2P[mfn]);
}

/* A page becomes a table only while it is mapped read-only, and is nothing else meanwhile. */
static void pin(void)
{
	uint64_t *t = page_alloc();

	t[5] = maddr_of(page_a) | RW_PAGE;
	REFUSED(mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(t), 0));
	EXPECT(page_protect(t, false), 0);
	EXPECT(mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(t), 0), 0);
	REFUSED(mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(t), 0));		/* twice */
	REFUSED(mmuext(MMUEXT_PIN_L2_TABLE, mfn_of(t), 0));
	REFUSED(page_protect(t, true));
	EXPECT(mmu_update_one(maddr_of(&t[6]), maddr_of(page_b) | RO_PAGE), 0);
	CHECK(t[6] == (maddr_of(page_b) | RO_PAGE), "%lx", t[6]);
	EXPECT(mmuext(MMUEXT_UNPIN_TABLE, mfn_of(t), 0), 0);
	REFUSED(mmuext(MMUEXT_UNPIN_TABLE, mfn_of(t), 0));
	EXPECT(page_protect(t, true), 0);
	t[0] = 1;
}

/* A second L4 with this kernel in it: pinned, loaded, left, unpinned. */
static void new_base(void)
{
	uint64_t *l4 = page_alloc(), old = mfn_of((void *)start_info->pt_base);

	memcpy(l4, (void *)start_info->pt_base, PAGE_SIZE);
	memset(l4 + 256, 0, 16 * sizeof(*l4));
	EXPECT(page_protect(l4, false), 0);
	EXPECT(mmuext(MMUEXT_PIN_L4_TABLE, mfn_of(l4), 0), 0);
	EXPECT(mmuext(MMUEXT_NEW_BASEPTR, mfn_of(l4), 0), 0);
	CHECK(M2P[old] == (start_info->pt_base - VIRT_BASE) / PAGE_SIZE, "M2P in the new tables");
	EXPECT(mmuext(MMUEXT_UNPIN_TABLE, mfn_of(l4), 0), 0);		/* in use: the type stays */
	REFUSED(page_protect(l4, true));
	EXPECT(mmuext(MMUEXT_NEW_BASEPTR, old, 0), 0);
	EXPECT(page_protect(l4, true), 0);
}

/* An L2 referring to one L1 twice: both addresses show the same pages. */
static void shared_l1(void)
{
	uint64_t l1;

	window();
	l1 = *pte_of(WINDOW, 2);
	EXPECT(mmu_update_one(pte_maddr(WINDOW + (2ul << 20), 2), l1), 0);
	CHECK(*(volatile uint64_t *)(WINDOW + (2ul << 20)) == 'a', "no alias");
	EXPECT(mmu_update_one(pte_maddr(WINDOW + (2ul << 20), 2), 0), 0);
	EXPECT(mmuext(MMUEXT_TLB_FLUSH_ALL, 0, 0), 0);
	CHECK(window_word() == 'a', "%lx", window_word());
}

/* --- direct stores to an L1 ------------------------------------------------------------- */

/* In each: rdi = address of the entry, rsi = a value; the store must not trap. */
#define STORE(text, e, val) do {								\
	uint64_t _val = (val);									\
												\
	TRY(text, : [v] "+S"(_val) : [e] "D"(e) : TRY_CLOBBERS, "rdx");				\
	CHECK(!caught.any, "'%s' trapped: vector %lu, error %lx", text, caught.r.vector, caught.r.error); \
	stored = _val;										\
} while (0)

static uint64_t stored;

static void store_mov_xchg(void)
{
	volatile uint64_t *e = window();
	uint64_t a = maddr_of(page_a), b = maddr_of(page_b);

	STORE("mov %%rsi, (%%rdi)", e, b | RW_PAGE);
	CHECK(*e == (b | RW_PAGE), "%lx", *e);
	CHECK(window_word() == 'b', "%lx", window_word());
	STORE("xchg %%rsi, (%%rdi)", e, a | RW_PAGE);
	CHECK((stored & ~(PTE_A | PTE_D)) == (b | (RW_PAGE & ~(PTE_A | PTE_D))), "%lx", stored);
	CHECK(window_word() == 'a', "%lx", window_word());
	STORE("lea -0x18(%%rdi), %%rdx; mov $2, %%ecx; mov %%rsi, 8(%%rdx, %%rcx, 8)", e, b | RO_PAGE);
	CHECK(*e == (b | RO_PAGE), "%lx", *e);
	STORE("mov %%esi, (%%rdi)", e, (uint32_t)(b | RW_PAGE));	/* the low half */
	CHECK(*e == (b | RW_PAGE), "%lx", *e);
	STORE("movl $0, 4(%%rdi)", e, 0);
	CHECK(*e == (uint32_t)(b | RW_PAGE), "%lx", *e);
	STORE("movq $0, (%%rdi)", e, 0);
	CHECK(*e == 0, "%lx", *e);
	STORE("mov %%rsi, (%%rdi)", e, 0x1234567000);		/* not present: a swap entry */
	CHECK(*e == 0x1234567000, "%lx", *e);
	STORE("movw %%si, (%%rdi)", e, 0x10e0);
	CHECK(*e == 0x12345610e0, "%lx", *e);
}

static void store_bits(void)
{
	volatile uint64_t *e = window();
	uint64_t b = maddr_of(page_b), carry;

	STORE("mov %%rsi, (%%rdi)", e, b | RW_PAGE);
	STORE("lock andb $0xfd, (%%rdi)", e, 0);		/* ptep_set_wrprotect */
	CHECK(*e == (b | (RW_PAGE & ~PTE_RW)), "%lx", *e);
	window_word();				/* has the translation flushed */
	CHECK(!try_write(WINDOW, 0), "write-protected page written");
	STORE("lock btrq $5, (%%rdi); sbb %%rsi, %%rsi", e, 0);	/* ptep_test_and_clear_young */
	carry = stored;
	CHECK(!(*e & PTE_A) && carry == ~0ul, "%lx carry %lx", *e, carry);
	STORE("lock btrq $5, (%%rdi); sbb %%rsi, %%rsi", e, 0);
	CHECK(stored == 0, "carry of a clear bit: %lx", stored);
	STORE("lock btsq $1, (%%rdi)", e, 0);
	CHECK(*e & PTE_RW, "%lx", *e);
	STORE("lock btc %%rsi, (%%rdi)", e, 5);
	CHECK(*e & PTE_A, "%lx", *e);
	STORE("lock orb $0x42, (%%rdi)", e, 0);
	CHECK((*e & 0x42) == 0x42, "%lx", *e);
	STORE("lock and %%rsi, (%%rdi)", e, ~PTE_D);
	CHECK(!(*e & PTE_D), "%lx", *e);
	STORE("lock orq $0x40, (%%rdi)", e, 0);
	CHECK(*e & PTE_D, "%lx", *e);
	STORE("lock xorl $0x40, (%%rdi)", e, 0);
	CHECK(!(*e & PTE_D), "%lx", *e);
	STORE("lock andb %%sil, 1(%%rdi)", e, 0xf1);		/* bits 8..15 */
	CHECK((*e & PTE_ADDR) == b, "%lx", *e);
}

static void store_cmpxchg(void)
{
	volatile uint64_t *e = window();
	uint64_t a = maddr_of(page_a) | RW_PAGE, b = maddr_of(page_b) | RW_PAGE, ok;

	STORE("mov %%rsi, (%%rdi)", e, a);
	caught.any = false;
	__asm__ __volatile__("lea 1f(%%rip), %%rdx; mov %%rdx, try_resume(%%rip); mov %[old], %%rax\n\t"
			     "lock cmpxchg %[new], (%[e]); sete %%dl; movzbl %%dl, %%edx; mov %%rdx, %[ok]\n"
			     "1:\tmovq $0, try_resume(%%rip)" : [ok] "=m"(ok)
			     : [old] "r"(a), [new] "r"(b), [e] "r"(e) : "rax", "rdx", "rcx", "r11", "memory", "cc");
	CHECK(!caught.any && ok == 1 && *e == b, "vector %lu, ok %lu, %lx", caught.r.vector, ok, *e);
	/* The wrong old value: nothing changes and rax gets what is there. */
	__asm__ __volatile__("lea 1f(%%rip), %%rdx; mov %%rdx, try_resume(%%rip); mov $5, %%eax\n\t"
			     "lock cmpxchg %[new], (%[e]); mov %%rax, %[ok]\n"
			     "1:\tmovq $0, try_resume(%%rip)" : [ok] "=m"(ok)
			     : [new] "r"(a), [e] "r"(e) : "rax", "rdx", "rcx", "r11", "memory", "cc");
	CHECK(!caught.any && ok == b && *e == b, "vector %lu, rax %lx, %lx", caught.r.vector, ok, *e);
}

/* Stores that would make a bad entry, and stores to other levels, stay page faults. */
static void store_refused(void)
{
	volatile uint64_t *e = window();
	uint64_t before = *e;

	CHECK(!try_write((uint64_t)e, maddr_of((void *)start_info->pt_base) | RW_PAGE), "a table, writable");
	CHECK(caught.r.vector == 14 && caught.r.error == 3, "%lu %lx", caught.r.vector, caught.r.error);
	CHECK(caught.cr2 == (uint64_t)e, "%lx", caught.cr2);
	CHECK(*e == before, "%lx", *e);
	CHECK(!try_write((uint64_t)pte_of(WINDOW, 2), 0), "store to an L2");
	CHECK(!try_write((uint64_t)pte_of(WINDOW, 4), 0), "store to an L4");
}

static void clear_and_copy(void)
{
	window();
	EXPECT(mmuext(MMUEXT_COPY_PAGE, mfn_of(page_a), mfn_of(page_b)), 0);
	CHECK(*(volatile uint64_t *)page_a == 'b', "copy");
	EXPECT(mmuext(MMUEXT_CLEAR_PAGE, mfn_of(page_a), 0), 0);
	CHECK(*(volatile uint64_t *)page_a == 0, "clear");
	REFUSED(mmuext(MMUEXT_CLEAR_PAGE, mfn_of((void *)start_info->pt_base), 0));
	REFUSED(mmuext(MMUEXT_COPY_PAGE, mfn_of((void *)start_info->pt_base), mfn_of(page_a)));
}

const struct test tests[] = {
	{ "mmu.update_va_mapping", update_va_mapping },
	{ "mmu.mmu_update", mmu_update_kinds },
	{ "mmu.mmu_update_list", mmu_update_list },
	{ "mmu.machphys_update", machphys_update },
	{ "mmu.pin", pin },
	{ "mmu.new_base", new_base },
	{ "mmu.shared_l1", shared_l1 },
	{ "mmu.store_mov_xchg", store_mov_xchg },
	{ "mmu.store_bits", store_bits },
	{ "mmu.store_cmpxchg", store_cmpxchg },
	{ "mmu.store_refused", store_refused },
	{ "mmu.clear_and_copy", clear_and_copy },
	{ NULL },
};
