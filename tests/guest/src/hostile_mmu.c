/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that is after memory which is not its own is refused, and everything stands afterwards:
 * no mapping of the hypervisor, no writable mapping of a page table or descriptor page, no table
 * with a bad entry, no superpage, no entry in the hypervisor's slots, no hypervisor address as a
 * buffer of any hypercall.  The hypervisor's survival is shown by the tests that still run after.
 * Source: Xen public xen.h; docs/memory-layout.md for the addresses tried.
 */
#include "tests/guest/lib/guest.h"

#define WINDOW		0x40000000ul
#define HV_IMAGE	0xffff810000000000ul
#define HV_DIRECT	0xffff830000000000ul
#define HV_PADDR	0x200000ul		/* where the image was loaded */

static uint8_t page[PAGE_SIZE] __attribute__((aligned(4096)));

static volatile uint64_t *window(void)
{
	map_page(WINDOW, mfn_of(page), RW_PAGE);
	return pte_of(WINDOW, 1);
}

static long map_window(uint64_t entry)
{
	return HC3(update_va_mapping, WINDOW, entry, UVMF_INVLPG);
}

static uint64_t l4_mfn(void) { return mfn_of((void *)start_info->pt_base); }

/* No frame that is RAM and not ours can be mapped: below the image, in it, in the heap, at the end. */
static void map_foreign_frames(void)
{
	uint64_t max_mfn = HC2(memory_op, XENMEM_maximum_ram_page, 0), mapped = 0;

	struct gnttab_setup_table grants = { .dom = DOMID_SELF, .nr_frames = 1 };
	unsigned long grant_frame = 0;

	window();
	set_xen_guest_handle(grants.frame_list, &grant_frame);
	EXPECT(HC3(grant_table_op, GNTTABOP_setup_table, &grants, 1), 0);
	for (uint64_t mfn = HV_PADDR / PAGE_SIZE; mfn <= max_mfn; mfn++) {
		uint64_t pfn = M2P[mfn];

		if (pfn < start_info->nr_pages && p2m[pfn] == mfn)
			continue;
		if (mfn == start_info->shared_info / PAGE_SIZE || mfn == grant_frame)
			continue;			/* the hypervisor's pages that are for us */
		for (unsigned int rw = 0; rw < 2; rw++)
			if (!map_window(mfn * PAGE_SIZE | (rw ? RW_PAGE : RO_PAGE))) {
				if (!mapped++)
					printf_("mfn %lx could be mapped\n", mfn);
			}
	}
	EXPECT(map_window(0), 0);
	CHECK(!mapped, "%lu frames of others could be mapped", mapped);
}

static void map_tables_writable(void)
{
	window();
	for (uint64_t i = 0; i < start_info->nr_pt_frames; i++) {
		const uint8_t *t = (const uint8_t *)start_info->pt_base + i * PAGE_SIZE;

		REFUSED(map_window(maddr_of(t) | RW_PAGE));
		EXPECT(map_window(maddr_of(t) | RO_PAGE), 0);
		REFUSED(mmu_update_one(pte_maddr(WINDOW, 1), maddr_of(t) | RW_PAGE));
		REFUSED(mmu_update_one(pte_maddr(WINDOW, 1) | MMU_PT_UPDATE_PRESERVE_AD, maddr_of(t) | RW_PAGE));
		CHECK(!try_write((uint64_t)pte_of(WINDOW, 1), maddr_of(t) | RW_PAGE), "emulated store");
		REFUSED(page_protect(t, true));
	}
	EXPECT(map_window(0), 0);
	CHECK(!try_write(start_info->pt_base, 0), "a store to the L4");
}

/* Reserved bits of the address, frames beyond memory. */
static void bad_addresses(void)
{
	volatile uint64_t *e = window();
	uint64_t before = *e;

	for (unsigned int bit = 46; bit < 52; bit++)
		REFUSED(map_window(1ul << bit | RW_PAGE));
	REFUSED(map_window(PTE_ADDR | RW_PAGE));
	CHECK(*e == before, "%lx is not %lx", *e, before);
	REFUSED(mmu_update_one(1ul << 51, 0));
	REFUSED(mmu_update_one(~7ul, 0));
	REFUSED(mmu_update_one(HV_PADDR, 0));
	REFUSED(mmu_update_one(HV_PADDR | MMU_MACHPHYS_UPDATE, 0));
	REFUSED(mmu_update_one(1ul << 51 | MMU_MACHPHYS_UPDATE, 0));
}

static void superpages(void)
{
	uint64_t l1 = 0, before;

	window();
	before = *pte_of(WINDOW, 2);
	REFUSED(mmu_update_one(pte_maddr(WINDOW, 2), maddr_of(page) | RW_PAGE | PTE_PSE));
	REFUSED(mmu_update_one(pte_maddr(WINDOW, 2), before | PTE_PSE));
	REFUSED(mmu_update_one(pte_maddr(WINDOW, 3), *pte_of(WINDOW, 3) | PTE_PSE));
	REFUSED(mmu_update_one(pte_maddr(WINDOW, 4), *pte_of(WINDOW, 4) | PTE_PSE));
	CHECK(*pte_of(WINDOW, 2) == before, "%lx", *pte_of(WINDOW, 2));
	CHECK(try_read(WINDOW, &l1), "the window is gone");
}

/* Tables that name themselves, another of the wrong level, or a page that is writable. */
static void bad_tables(void)
{
	uint64_t *t = page_alloc();
	static const unsigned int cmd[] = { MMUEXT_PIN_L1_TABLE, MMUEXT_PIN_L2_TABLE, MMUEXT_PIN_L3_TABLE,
					    MMUEXT_PIN_L4_TABLE };
	const uint64_t bad[] = {
		maddr_of(t) | TABLE,			/* itself */
		maddr_of(page) | TABLE,			/* a writable page as a table */
		l4_mfn() * PAGE_SIZE | TABLE,		/* an L4 below a table */
		HV_PADDR | TABLE,
		1ul << 51 | TABLE,
		maddr_of(page) | RW_PAGE | PTE_PSE,
	};

	for (unsigned int level = 0; level < 4; level++)
		for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
			if (level == 0 && (i == 1 || i == 5))
				continue;		/* as an L1 entry it is fine; bit 7 is PAT there */
			EXPECT(page_protect(t, true), 0);
			memset(t, 0, PAGE_SIZE);
			t[511] = bad[i];
			t[0] = level ? 0 : maddr_of(page) | RW_PAGE;
			EXPECT(page_protect(t, false), 0);
			if (mmuext(cmd[level], mfn_of(t), 0) >= 0)
				test_fail("level %u with entry %lx was pinned", level + 1, bad[i]);
		}
	/* Nothing was left behind: the page and what it named are free to change. */
	EXPECT(page_protect(t, true), 0);
	EXPECT(page_protect(page, false), 0);
	EXPECT(page_protect(page, true), 0);
	for (unsigned int level = 0; level < 4; level++) {
		REFUSED(mmuext(cmd[level], HV_PADDR / PAGE_SIZE, 0));
		REFUSED(mmuext(cmd[level], ~0ul, 0));
		REFUSED(mmuext(cmd[level], start_info->shared_info / PAGE_SIZE, 0));
		REFUSED(mmuext(cmd[level], 0, 0));
	}
	REFUSED(mmuext(MMUEXT_UNPIN_TABLE, ~0ul, 0));
	REFUSED(mmuext(MMUEXT_UNPIN_TABLE, mfn_of(page), 0));
}

static void self_map(void)
{
	for (unsigned int slot = 0; slot < 512; slot += 37)
		REFUSED(mmu_update_one(l4_mfn() * PAGE_SIZE + slot * 8, l4_mfn() * PAGE_SIZE | TABLE));
	window();
	REFUSED(mmu_update_one(pte_maddr(WINDOW, 3), *pte_of(WINDOW, 4)));
	REFUSED(mmu_update_one(pte_maddr(WINDOW, 2), *pte_of(WINDOW, 3)));
	REFUSED(mmu_update_one(pte_maddr(WINDOW, 2), *pte_of(WINDOW, 4)));
	REFUSED(mmu_update_one(pte_maddr(WINDOW, 4), *pte_of(WINDOW, 2)));
}

/* Slots 256..271 of an L4 are not the guest's, by whatever way. */
static void reserved_slots(void)
{
	uint64_t *l4 = page_alloc();
	uint64_t v;

	window();
	for (unsigned int slot = 256; slot < 272; slot++) {
		REFUSED(mmu_update_one(l4_mfn() * PAGE_SIZE + slot * 8, *pte_of(WINDOW, 4)));
		REFUSED(mmu_update_one(l4_mfn() * PAGE_SIZE + slot * 8, 0));
	}
	/* A new L4 that brings entries of its own there: they are gone or hidden once it is a table. */
	for (unsigned int slot = 256; slot < 272; slot++)
		l4[slot] = HV_PADDR | TABLE;
	memcpy(l4 + 272, (uint64_t *)start_info->pt_base + 272, 240 * 8);
	memcpy(l4, (uint64_t *)start_info->pt_base, 256 * 8);
	EXPECT(page_protect(l4, false), 0);
	if (!mmuext(MMUEXT_PIN_L4_TABLE, mfn_of(l4), 0)) {
		for (unsigned int slot = 256; slot < 272; slot++)
			CHECK((l4[slot] & PTE_ADDR) != HV_PADDR, "slot %u kept %lx", slot, l4[slot]);
		EXPECT(mmuext(MMUEXT_NEW_BASEPTR, mfn_of(l4), 0), 0);
		CHECK(!try_read(HV_IMAGE, &v), "the image can be read");
		EXPECT(mmuext(MMUEXT_NEW_BASEPTR, l4_mfn(), 0), 0);
		EXPECT(mmuext(MMUEXT_UNPIN_TABLE, mfn_of(l4), 0), 0);
	}
	for (unsigned int slot = 256; slot < 272; slot++) {
		uint64_t va = HV_START + ((slot - 256ul) << 39);

		REFUSED(HC3(update_va_mapping, va, maddr_of(page) | RW_PAGE, UVMF_INVLPG));
		REFUSED(HC3(update_va_mapping, va + (1ul << 39) - 8, 0, 0));
	}
}

/* Hypervisor addresses cannot be reached by the guest itself; of the M2P, reading is all. */
static void hypervisor_addresses(void)
{
	static const uint64_t at[] = { HV_IMAGE, HV_IMAGE + 0x1000, HV_DIRECT, HV_DIRECT + HV_PADDR,
				       0xffff808000000000, 0xffff818000000000, HV_END - 8 };
	uint64_t v;

	for (unsigned int i = 0; i < ARRAY_SIZE(at); i++) {
		CHECK(!try_read(at[i], &v), "%lx can be read", at[i]);
		CHECK(caught.r.vector == 14, "%lx: vector %lu", at[i], caught.r.vector);
		CHECK(!try_write(at[i], 0), "%lx can be written", at[i]);
	}
	CHECK(try_read(HV_START, &v), "the M2P cannot be read");
	CHECK(!try_write(HV_START, 0), "the M2P can be written");
	CHECK(caught.r.vector == 14 && (caught.r.error & 3) == 3, "%lu %lx", caught.r.vector, caught.r.error);
}

static void base_pointers(void)
{
	REFUSED(mmuext(MMUEXT_NEW_BASEPTR, ~0ul, 0));
	REFUSED(mmuext(MMUEXT_NEW_BASEPTR, 0, 0));
	REFUSED(mmuext(MMUEXT_NEW_BASEPTR, mfn_of(page), 0));
	REFUSED(mmuext(MMUEXT_NEW_BASEPTR, HV_PADDR / PAGE_SIZE, 0));
	REFUSED(mmuext(MMUEXT_NEW_BASEPTR, 1ul << 50, 0));
	REFUSED(mmuext(MMUEXT_NEW_USER_BASEPTR, HV_PADDR / PAGE_SIZE, 0));
	REFUSED(mmuext(MMUEXT_NEW_USER_BASEPTR, mfn_of(page), 0));
	mmuext(MMUEXT_NEW_USER_BASEPTR, ~0ul, 0);	/* refused, or none at all */
	REFUSED(mmuext(9999, 0, 0));
}

/* --- descriptors ------------------------------------------------------------------------ */

#define CODE64_RING0	0x00af9a000000fffful
#define CODE64_RING3	0x00affa000000fffful
#define CALL_GATE	0x0000ec0000080000ul
#define TSS		0x0000890000000067ul
#define LDT		0x000082000000fffful
#define INT_GATE	0x0000ee0000080000ul

static long set_gdt(const uint64_t *gdt, unsigned int entries)
{
	unsigned long frame = mfn_of(gdt);

	return HC2(set_gdt, &frame, entries);
}

static void descriptors(void)
{
	static const uint64_t bad[] = { CALL_GATE, TSS, LDT, INT_GATE };
	uint64_t *gdt = page_alloc();

	gdt[2] = CODE64_RING0;
	REFUSED(set_gdt(gdt, 16));			/* still writable */
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT(page_protect(gdt, true), 0);
		gdt[300] = bad[i];
		EXPECT(page_protect(gdt, false), 0);
		REFUSED(set_gdt(gdt, 16));
	}
	EXPECT(page_protect(gdt, true), 0);
	gdt[300] = 0;
	EXPECT(page_protect(gdt, false), 0);
	EXPECT(set_gdt(gdt, 512), 0);
	CHECK((gdt[2] >> 45 & 3) == 3, "a ring 0 segment stayed: %lx", gdt[2]);
	REFUSED(page_protect(gdt, true));
	REFUSED(mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(gdt), 0));
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		REFUSED(HC2(update_descriptor, maddr_of(&gdt[4]), bad[i]));
	EXPECT(HC2(update_descriptor, maddr_of(&gdt[4]), CODE64_RING0), 0);
	CHECK((gdt[4] >> 45 & 3) == 3, "%lx", gdt[4]);
	CHECK(!try_write((uint64_t)&gdt[5], CALL_GATE), "a store to the GDT");
	REFUSED(HC2(update_descriptor, maddr_of(&gdt[4]) + 1, CODE64_RING3));
	REFUSED(HC2(update_descriptor, HV_PADDR, CODE64_RING3));
	REFUSED(HC2(update_descriptor, l4_mfn() * PAGE_SIZE, CODE64_RING3));
	REFUSED(HC2(update_descriptor, ~7ul, CODE64_RING3));
	/* Using them: loads work or fault, but never leave ring 3. */
	for (unsigned int sel = 0; sel < 0x1000; sel += 8)
		TRY("mov %0, %%ds", :: "r"(sel | 3) : TRY_CLOBBERS);
	TRY("xor %%ecx, %%ecx; mov %%ecx, %%ds; mov %%ecx, %%es", ::: TRY_CLOBBERS);
	REFUSED(set_gdt(gdt, 7169));
	REFUSED(HC2(set_gdt, HV_IMAGE, 16));
	REFUSED(HC2(set_gdt, 0, 16));
	EXPECT(set_gdt(gdt, 0), 0);
	EXPECT(page_protect(gdt, true), 0);
}

static void ldt(void)
{
	uint64_t *t = page_alloc();

	REFUSED(mmuext(MMUEXT_SET_LDT, (uint64_t)t + 8, 16));
	REFUSED(mmuext(MMUEXT_SET_LDT, (uint64_t)t, 8193));
	REFUSED(mmuext(MMUEXT_SET_LDT, HV_IMAGE, 16));
	REFUSED(mmuext(MMUEXT_SET_LDT, ~0xffful, 8192));
	/* A page that is no table yet: taken at the first use, refused while writable. */
	t[1] = CODE64_RING3 & ~(1ul << 43);		/* data */
	EXPECT(mmuext(MMUEXT_SET_LDT, (uint64_t)t, 16), 0);
	TRY("mov $0xf, %%ecx; mov %%ecx, %%es", ::: TRY_CLOBBERS);
	CHECK(caught.any, "a writable page served as LDT");
	EXPECT(page_protect(t, false), 0);
	TRY("mov $0xf, %%ecx; mov %%ecx, %%es", ::: TRY_CLOBBERS);
	CHECK(!caught.any, "vector %lu error %lx", caught.r.vector, caught.r.error);
	REFUSED(page_protect(t, true));
	TRY("xor %%ecx, %%ecx; mov %%ecx, %%es", ::: TRY_CLOBBERS);
	EXPECT(mmuext(MMUEXT_SET_LDT, 0, 0), 0);
	EXPECT(page_protect(t, true), 0);
	TRY("mov $0xf, %%ecx; mov %%ecx, %%es", ::: TRY_CLOBBERS);
	CHECK(caught.any, "an LDT that is gone still serves");
	/* An LDT where nothing is mapped. */
	EXPECT(mmuext(MMUEXT_SET_LDT, 0x700000000000, 8192), 0);
	TRY("mov $0xf, %%ecx; mov %%ecx, %%es", ::: TRY_CLOBBERS);
	CHECK(caught.any, "an LDT of nothing");
	EXPECT(mmuext(MMUEXT_SET_LDT, 0, 0), 0);
}

const struct test tests[] = {
	{ "hostile_mmu.map_foreign_frames", map_foreign_frames },
	{ "hostile_mmu.map_tables_writable", map_tables_writable },
	{ "hostile_mmu.bad_addresses", bad_addresses },
	{ "hostile_mmu.superpages", superpages },
	{ "hostile_mmu.bad_tables", bad_tables },
	{ "hostile_mmu.self_map", self_map },
	{ "hostile_mmu.reserved_slots", reserved_slots },
	{ "hostile_mmu.hypervisor_addresses", hypervisor_addresses },
	{ "hostile_mmu.base_pointers", base_pointers },
	{ "hostile_mmu.descriptors", descriptors },
	{ "hostile_mmu.ldt", ldt },
	{ NULL },
};
