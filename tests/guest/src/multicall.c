/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A multicall carries out each entry in order and stores each result; a failing entry stops
 * nothing; a list that cannot be read or written is -EFAULT at that entry.
 * Source: Xen public xen.h, "multicall_entry".
 */
#include "tests/guest/lib/guest.h"

#define LIST	0x60000000ul

static uint8_t page[PAGE_SIZE] __attribute__((aligned(4096)));

static void results(void)
{
	struct multicall_entry e[4] = {
		{ .op = __HYPERVISOR_xen_version, .args = { XENVER_version } },
		{ .op = 63 },
		{ .op = __HYPERVISOR_xen_version, .args = { XENVER_pagesize } },
		{ .op = __HYPERVISOR_xen_version, .args = { XENVER_get_features, 0x123456000 } },
	};

	EXPECT(HC2(multicall, e, 4), 0);
	EXPECT(e[0].result, 4 << 16 | 17);
	EXPECT(e[1].result, -XEN_ENOSYS);
	EXPECT(e[2].result, PAGE_SIZE);
	EXPECT(e[3].result, -XEN_EFAULT);
	EXPECT(HC2(multicall, e, 0), 0);
}

/* In order: each call sees what the one before did. */
static void order(void)
{
	struct multicall_entry e[3];

	for (unsigned int i = 0; i < 3; i++)
		e[i] = (struct multicall_entry){ .op = __HYPERVISOR_update_va_mapping, .args = {
			LIST, maddr_of(page) | (i == 1 ? RO_PAGE : RW_PAGE), UVMF_INVLPG } };
	map_page(LIST, mfn_of(page), RW_PAGE);
	EXPECT(HC2(multicall, e, 2), 0);
	CHECK(!try_write(LIST, 1), "the second entry was not the last");
	EXPECT(HC2(multicall, e, 3), 0);
	CHECK(try_write(LIST, 1), "the third entry was not the last");
}

/* 32 entries, as Linux batches; with all six arguments passed. */
static void many(void)
{
	static struct multicall_entry e[512];

	for (unsigned int i = 0; i < ARRAY_SIZE(e); i++)
		e[i] = (struct multicall_entry){ .op = __HYPERVISOR_xen_version, .args = { XENVER_pagesize } };
	EXPECT(HC2(multicall, e, ARRAY_SIZE(e)), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(e); i++)
		EXPECT(e[i].result, PAGE_SIZE);
}

static void bad_lists(void)
{
	struct multicall_entry *e;

	map_page(LIST, mfn_of(page), RW_PAGE);
	e = (struct multicall_entry *)(LIST + PAGE_SIZE) - 1;
	*e = (struct multicall_entry){ .op = __HYPERVISOR_xen_version, .args = { XENVER_pagesize } };
	EXPECT(HC2(multicall, e, 2), -XEN_EFAULT);
	EXPECT(e->result, PAGE_SIZE);
	EXPECT(HC3(update_va_mapping, LIST, maddr_of(page) | RO_PAGE, UVMF_INVLPG), 0);
	EXPECT(HC2(multicall, e, 1), -XEN_EFAULT);	/* the result cannot be stored */
	EXPECT(HC2(multicall, 0xffff830000000000, 1), -XEN_EFAULT);
	EXPECT(HC2(multicall, ~0ul - 8, 1), -XEN_EFAULT);
}

const struct test tests[] = {
	{ "multicall.results", results },
	{ "multicall.order", order },
	{ "multicall.many", many },
	{ "multicall.bad_lists", bad_lists },
	{ NULL },
};
