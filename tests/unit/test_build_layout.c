// SPDX-License-Identifier: Apache-2.0
/*
 * toolstack/build/layout.c and start_info.c: the plan of a domain.  The tables
 * are judged by an independent walk of the kind the CPU does, not by the
 * arithmetic that made them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>

#include <cmocka.h>

#include "toolstack/build/layout.h"
#include "toolstack/build/start_info.h"

#define LINUX_BASE 0xffffffff80000000ull
#define LINUX_P2M 0x8000000000ull
#define MB (1ull << 20)
#define FIRST_MFN 0x100000ull

/* Linux 6.1's numbers: 16 MB .. 74 MB. */
static struct elf_kernel linux_kernel(void)
{
	return (struct elf_kernel){
		.nr_segments = 1,
		.paddr_start = 0x1000000,
		.paddr_end = 0x4a00000,
		.virt_base = LINUX_BASE,
		.entry = 0xffffffff830791c0,
		.hypercall_page = LAYOUT_NONE,
		.init_p2m = LINUX_P2M,
		.mod_start_pfn = true,
	};
}

/* A machine where pfn order and mfn order have nothing in common. */
struct machine {
	struct layout lo;
	uint64_t *p2m;
	uint8_t *main, *extra;
};

static uint64_t mfn_of(const struct layout *lo, uint64_t pfn)
{
	return FIRST_MFN + (lo->nr_pages - 1 - pfn) * 3;
}

static void make_machine(struct machine *m)
{
	uint64_t pfn;

	m->p2m = calloc(m->lo.nr_pages, sizeof(*m->p2m));
	m->main = calloc(m->lo.nr_pt, LAYOUT_PAGE);
	m->extra = calloc(m->lo.nr_p2m_pt + 1, LAYOUT_PAGE);
	assert_true(m->p2m && m->main && m->extra);
	for (pfn = 0; pfn < m->lo.nr_pages; pfn++)
		m->p2m[pfn] = mfn_of(&m->lo, pfn);
	layout_fill_tables(&m->lo, m->p2m, m->main, m->extra);
}

static void free_machine(struct machine *m)
{
	free(m->p2m);
	free(m->main);
	free(m->extra);
}

static uint64_t pfn_of(const struct machine *m, uint64_t mfn)
{
	uint64_t pfn = m->lo.nr_pages - 1 - (mfn - FIRST_MFN) / 3;

	assert_true(mfn >= FIRST_MFN && pfn < m->lo.nr_pages && m->p2m[pfn] == mfn);
	return pfn;
}

static const uint8_t *table_at(const struct machine *m, uint64_t pfn)
{
	if (pfn >= m->lo.pt_pfn && pfn < m->lo.pt_pfn + m->lo.nr_pt)
		return m->main + (pfn - m->lo.pt_pfn) * LAYOUT_PAGE;
	assert_true(pfn >= m->lo.p2m_pt_pfn && pfn < m->lo.p2m_pt_pfn + m->lo.nr_p2m_pt);
	return m->extra + (pfn - m->lo.p2m_pt_pfn) * LAYOUT_PAGE;
}

/* The leaf entry for an address, 0 if there is none. */
static uint64_t walk(const struct machine *m, uint64_t va)
{
	uint64_t pfn = m->lo.pt_pfn, entry = 0;
	int level;

	for (level = 3; level >= 0; level--) {
		const uint8_t *table = table_at(m, pfn);

		memcpy(&entry, table + (va >> (12 + 9 * level) & 511) * 8, 8);
		if (!(entry & 1))
			return 0;
		assert_int_equal(entry & 0x80, 0);	/* no large pages */
		assert_true(entry & 4);			/* reachable from ring 3 */
		if (level)
			pfn = pfn_of(m, entry >> 12 & 0xffffffffffull);
	}
	return entry;
}

static uint64_t count_present(const struct machine *m)
{
	uint64_t n = 0, i, entry;

	for (i = 0; i < m->lo.nr_pt * 512; i++) {
		memcpy(&entry, m->main + i * 8, 8);
		n += entry & 1;
	}
	for (i = 0; i < m->lo.nr_p2m_pt * 512; i++) {
		memcpy(&entry, m->extra + i * 8, 8);
		n += entry & 1;
	}
	return n;
}

static bool in_tables(const struct layout *lo, uint64_t pfn)
{
	return (pfn >= lo->pt_pfn && pfn < lo->pt_pfn + lo->nr_pt) ||
	       (pfn >= lo->p2m_pt_pfn && pfn < lo->p2m_pt_pfn + lo->nr_p2m_pt);
}

/* Everything the ABI promises about a plan's mappings. */
static void check_machine(struct machine *m)
{
	const struct layout *lo = &m->lo;
	uint64_t pfn, entry, expected = lo->nr_pt - 1 + lo->nr_p2m_pt + lo->virt_pages;

	if (lo->nr_p2m_pt)
		expected += lo->nr_p2m;
	/* Each table but the L4 has one parent entry, each page one leaf. */
	assert_int_equal(count_present(m), expected);
	for (pfn = 0; pfn < lo->virt_pages; pfn++) {
		entry = walk(m, lo->virt_base + pfn * LAYOUT_PAGE);
		assert_int_equal(entry >> 12 & 0xffffffffffull, m->p2m[pfn]);
		assert_int_equal(!(entry & 2), in_tables(lo, pfn));
	}
	assert_int_equal(walk(m, lo->virt_base + lo->virt_pages * LAYOUT_PAGE), 0);
	for (pfn = 0; pfn < lo->nr_p2m; pfn++) {
		entry = walk(m, lo->p2m_va + pfn * LAYOUT_PAGE);
		assert_int_equal(entry >> 12 & 0xffffffffffull, m->p2m[lo->p2m_pfn + pfn]);
		assert_true(entry & 2);
	}
	/* 4 MiB aligned, half a MiB of room behind the stack. */
	assert_int_equal(lo->virt_pages * LAYOUT_PAGE % (4 * MB), 0);
	assert_true(lo->virt_pages - (lo->stack_pfn + 1) >= 128);
	assert_true(lo->virt_pages - (lo->stack_pfn + 1) < 128 + 1024 + 1);
}

struct area {
	uint64_t pfn, nr;
};

static void check_disjoint(const struct layout *lo, const struct elf_kernel *k)
{
	const struct area areas[] = {
		{ 0, (k->paddr_end + LAYOUT_PAGE - 1) / LAYOUT_PAGE },
		{ lo->ramdisk_pfn, (lo->ramdisk_bytes + LAYOUT_PAGE - 1) / LAYOUT_PAGE },
		{ lo->p2m_pfn, lo->nr_p2m },
		{ lo->start_info_pfn, 1 },
		{ lo->store_pfn, 1 },
		{ lo->console_pfn, 1 },
		{ lo->pt_pfn, lo->nr_pt },
		{ lo->stack_pfn, 1 },
		{ lo->p2m_pt_pfn, lo->nr_p2m_pt },
	};
	size_t n = sizeof(areas) / sizeof(areas[0]), i, j;

	for (i = 0; i < n; i++) {
		assert_true(areas[i].pfn + areas[i].nr <= lo->nr_pages);
		for (j = 0; j < i; j++)
			if (areas[i].nr && areas[j].nr)
				assert_true(areas[i].pfn >= areas[j].pfn + areas[j].nr ||
					    areas[j].pfn >= areas[i].pfn + areas[i].nr);
	}
}

static void linux_256mb(void **state)
{
	struct elf_kernel k = linux_kernel();
	struct machine m;
	const char *why;

	assert_int_equal(layout_plan(&m.lo, &k, 65536, 9 * MB + 5, &why), 0);
	/* Measured on Xen 4.17 with the same kernel and size. */
	assert_int_equal(m.lo.virt_pages, 0x4c00);
	assert_int_equal(m.lo.ramdisk_pfn, 0x4c00);
	assert_int_equal(m.lo.nr_pt, 0x29);
	assert_int_equal(m.lo.nr_p2m + m.lo.nr_p2m_pt, 0x83);
	assert_int_equal(m.lo.start_info_pfn, 0x4a00);
	check_disjoint(&m.lo, &k);
	make_machine(&m);
	check_machine(&m);
	free_machine(&m);
}

/* A kernel without INIT_P2M and MOD_START_PFN gets both inside the main area. */
static void everything_mapped(void **state)
{
	struct elf_kernel k = linux_kernel();
	struct machine m;
	const char *why;

	k.init_p2m = LAYOUT_NONE;
	k.mod_start_pfn = false;
	k.paddr_start = 0x100000;
	k.paddr_end = 0x123456;
	assert_int_equal(layout_plan(&m.lo, &k, 8192, 3 * MB, &why), 0);
	assert_true(m.lo.ramdisk_mapped);
	assert_int_equal(m.lo.nr_p2m_pt, 0);
	assert_int_equal(m.lo.p2m_va, LINUX_BASE + m.lo.p2m_pfn * LAYOUT_PAGE);
	assert_true(m.lo.ramdisk_pfn + 768 <= m.lo.virt_pages);
	check_disjoint(&m.lo, &k);
	make_machine(&m);
	check_machine(&m);
	free_machine(&m);
}

/* Any size of kernel, so that every distance to the 4 MiB boundary occurs. */
static void many_sizes(void **state)
{
	uint64_t end;

	for (end = 0x200000; end < 0xa00000; end += 0x1b000) {
		struct elf_kernel k = linux_kernel();
		struct machine m;
		const char *why;

		k.paddr_start = 0x100000;
		k.paddr_end = end;
		assert_int_equal(layout_plan(&m.lo, &k, 5000, 0, &why), 0);
		check_disjoint(&m.lo, &k);
		make_machine(&m);
		check_machine(&m);
		free_machine(&m);
	}
}

static void too_little_memory(void **state)
{
	struct elf_kernel k = linux_kernel();
	struct layout lo, again;
	const char *why;

	assert_int_equal(layout_plan(&lo, &k, 16384, 10 * MB, &why), -ENOMEM);
	assert_true(lo.nr_pages > 16384 && lo.nr_pages < 30000);
	/* What it says would do does. */
	assert_int_equal(layout_plan(&again, &k, lo.nr_pages, 10 * MB, &why), 0);
	assert_int_equal(layout_plan(&again, &k, 0, 0, &why), -ENOMEM);
	assert_int_equal(layout_plan(&again, &k, ~0ull, 0, &why), -ENOMEM);
	assert_int_equal(layout_plan(&again, &k, 65536, ~0ull, &why), -ENOMEM);
}

static void hostile_addresses(void **state)
{
	static const uint64_t bad_p2m[] = {
		0xffff800000000000,	/* the hypervisor's first slot */
		0xffff87ffffe00000,	/* its last */
		0x0000800000000000,	/* not canonical */
		LINUX_BASE,		/* the kernel's own slot */
		LINUX_P2M + 1,		/* not aligned */
		0xfffffffffffff000,	/* wraps */
		0x000000fffffff000,	/* list would cross into another slot */
	};
	static const uint64_t bad_base[] = {
		0xffff800000000000, 0x0000800000000000, 0xffff7fffffffe000 + 0x2000,
		0x0000007ffff00000,	/* main area crosses a slot */
	};
	struct layout lo;
	const char *why;
	size_t i;

	for (i = 0; i < sizeof(bad_p2m) / sizeof(bad_p2m[0]); i++) {
		struct elf_kernel k = linux_kernel();

		k.init_p2m = bad_p2m[i];
		assert_int_equal(layout_plan(&lo, &k, 65536, 0, &why), -ENOEXEC);
	}
	for (i = 0; i < sizeof(bad_base) / sizeof(bad_base[0]); i++) {
		struct elf_kernel k = linux_kernel();

		k.virt_base = bad_base[i];
		assert_int_equal(layout_plan(&lo, &k, 65536, 0, &why), -ENOEXEC);
	}
}

static void start_of_day(void **state)
{
	struct elf_kernel k = linux_kernel();
	struct vcpu_guest_context ctx;
	struct start_info si;
	uint8_t page[LAYOUT_PAGE];
	char line[3000];
	struct machine m;
	const char *why;

	assert_int_equal(layout_plan(&m.lo, &k, 65536, 12345, &why), 0);
	make_machine(&m);
	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\0';
	start_info_fill(page, &m.lo, m.p2m, 0x777, 11, 12, line);
	memcpy(&si, page, sizeof(si));
	assert_string_equal(si.magic, "xen-3.0-x86_64");
	assert_int_equal(si.nr_pages, 65536);
	assert_int_equal(si.shared_info, 0x777000);
	assert_int_equal(si.flags, SIF_MOD_START_PFN | SIF_VIRT_P2M_4TOOLS);
	assert_int_equal(si.store_mfn, m.p2m[m.lo.store_pfn]);
	assert_int_equal(si.store_evtchn, 11);
	assert_int_equal(si.console.domU.mfn, m.p2m[m.lo.console_pfn]);
	assert_int_equal(si.console.domU.evtchn, 12);
	assert_int_equal(si.mod_start, m.lo.ramdisk_pfn);
	assert_int_equal(si.mod_len, 12345);
	assert_int_equal(si.mfn_list, LINUX_P2M);
	assert_int_equal(si.first_p2m_pfn, m.lo.p2m_pfn);
	assert_int_equal(si.nr_p2m_frames, 0x83);
	assert_int_equal(si.pt_base, LINUX_BASE + m.lo.pt_pfn * LAYOUT_PAGE);
	assert_int_equal(strnlen((char *)si.cmd_line, sizeof(si.cmd_line)),
			 sizeof(si.cmd_line) - 1);

	start_context_fill(&ctx, &k, &m.lo, m.p2m);
	assert_int_equal(ctx.user_regs.rip, k.entry);
	assert_int_equal(ctx.user_regs.rsi, LINUX_BASE + m.lo.start_info_pfn * LAYOUT_PAGE);
	assert_int_equal(ctx.user_regs.rsp & 0xfff, 0);
	assert_true(walk(&m, ctx.user_regs.rsp - 8) & 2);
	assert_int_equal(ctx.ctrlreg[3], m.p2m[m.lo.pt_pfn] << 12);
	assert_int_equal(ctx.user_regs.cs, 0xe033);
	free_machine(&m);
}

static void special_pages(void **state)
{
	uint8_t page[LAYOUT_PAGE];
	struct shared_info si;
	unsigned int i;

	memset(&si, 0, sizeof(si));
	si.wc_sec = 1234;	/* the hypervisor's clock, there before the builder */
	memset(page, 0, sizeof(page));
	memcpy(page, &si, sizeof(si));
	shared_info_fill(page);
	memcpy(&si, page, sizeof(si));
	assert_int_equal(si.wc_sec, 1234);
	for (i = 0; i < 32; i++) {
		assert_int_equal(si.vcpu_info[i].evtchn_upcall_mask, 1);
		assert_int_equal(si.vcpu_info[i].evtchn_upcall_pending, 0);
	}
	memset(page, 0xa5, sizeof(page));
	hypercall_page_fill(page);
	for (i = 0; i < 128; i++) {
		const uint8_t *p = page + i * 32;

		assert_memory_equal(p, "\x51\x41\x53", 3);
		assert_int_equal(p[i == 23 ? 5 : 4], i);
		assert_memory_equal(p + (i == 23 ? 9 : 8), "\x0f\x05", 2);
		assert_int_equal(p[31], 0xcc);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(linux_256mb),	     cmocka_unit_test(everything_mapped),
		cmocka_unit_test(many_sizes),	     cmocka_unit_test(too_little_memory),
		cmocka_unit_test(hostile_addresses), cmocka_unit_test(start_of_day),
		cmocka_unit_test(special_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
