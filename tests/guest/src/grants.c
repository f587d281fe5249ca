/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A grant gives exactly what its entry says, to whom it says, for as long as it is mapped: frame and
 * right to write; the in-use flags show the granter who has it; what was never granted, or to
 * another, or beyond the table, is refused by status.  The guest grants to itself here.
 * Source: Xen public grant_table.h (version 1 entries).
 */
#include "tests/guest/lib/guest.h"

#define TABLE_VA	0x70000000ul
#define MAP_VA		0x80000000ul
#define FRAMES		4u

static volatile struct grant_entry_v1 *table = (struct grant_entry_v1 *)TABLE_VA;
static uint8_t page[2][PAGE_SIZE] __attribute__((aligned(4096)));
static domid_t self;

static void setup(void)
{
	static bool done;
	unsigned long frames[FRAMES];
	struct gnttab_setup_table s = { .dom = DOMID_SELF, .nr_frames = FRAMES };

	map_page(MAP_VA, mfn_of(page[1]), RW_PAGE);	/* has its tables made */
	EXPECT(HC3(update_va_mapping, MAP_VA, 0, UVMF_INVLPG), 0);
	if (done)
		return;
	self = own_domid();
	set_xen_guest_handle(s.frame_list, frames);
	EXPECT(HC3(grant_table_op, GNTTABOP_setup_table, &s, 1), 0);
	EXPECT(s.status, GNTST_okay);
	for (unsigned int i = 0; i < FRAMES; i++)
		map_page(TABLE_VA + i * PAGE_SIZE, frames[i], RW_PAGE);
	done = true;
}

static void grant(unsigned int ref, unsigned int flags, domid_t to, uint64_t mfn)
{
	table[ref].frame = mfn;
	table[ref].domid = to;
	__asm__ __volatile__("" ::: "memory");
	table[ref].flags = flags;
}

static int map(unsigned int ref, unsigned int flags, unsigned int *handle)
{
	struct gnttab_map_grant_ref m = { .host_addr = MAP_VA, .flags = GNTMAP_host_map | flags, .ref = ref,
					  .dom = DOMID_SELF };

	EXPECT(HC3(grant_table_op, GNTTABOP_map_grant_ref, &m, 1), 0);
	*handle = m.handle;
	if (m.status == GNTST_okay)
		CHECK(m.dev_bus_addr / PAGE_SIZE == mfn_of(page[0]), "bus address %lx", m.dev_bus_addr);
	return m.status;
}

static int unmap(unsigned int handle, uint64_t addr)
{
	struct gnttab_unmap_grant_ref u = { .host_addr = addr, .handle = handle };

	EXPECT(HC3(grant_table_op, GNTTABOP_unmap_grant_ref, &u, 1), 0);
	return u.status;
}

static void query(void)
{
	struct gnttab_query_size q = { .dom = DOMID_SELF };
	struct gnttab_set_version v = { 1 };

	setup();
	EXPECT(HC3(grant_table_op, GNTTABOP_query_size, &q, 1), 0);
	EXPECT(q.status, GNTST_okay);
	CHECK(q.nr_frames >= FRAMES && q.max_nr_frames >= q.nr_frames, "%u of %u", q.nr_frames, q.max_nr_frames);
	EXPECT(HC3(grant_table_op, GNTTABOP_set_version, &v, 1), 0);
	CHECK(v.version == 1, "%u", v.version);
}

static void map_and_unmap(void)
{
	unsigned int h;
	uint64_t v;

	setup();
	*(uint64_t *)page[0] = 4711;
	grant(10, GTF_permit_access, self, mfn_of(page[0]));
	EXPECT(map(10, 0, &h), GNTST_okay);
	CHECK(*(volatile uint64_t *)MAP_VA == 4711, "%lx", *(volatile uint64_t *)MAP_VA);
	*(volatile uint64_t *)MAP_VA = 17;
	CHECK(*(volatile uint64_t *)page[0] == 17, "another page was mapped");
	CHECK((table[10].flags & (GTF_reading | GTF_writing)) == (GTF_reading | GTF_writing), "%x", table[10].flags);
	REFUSED(mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(page[0]), 0));
	EXPECT(unmap(h, MAP_VA + PAGE_SIZE), GNTST_bad_virt_addr);
	EXPECT(unmap(h, MAP_VA), GNTST_okay);
	CHECK(!try_read(MAP_VA, &v), "unmapped, yet there");
	CHECK(!(table[10].flags & (GTF_reading | GTF_writing)), "%x", table[10].flags);
	EXPECT(unmap(h, MAP_VA), GNTST_bad_handle);
}

static void read_only(void)
{
	unsigned int h;
	uint64_t v;

	setup();
	grant(11, GTF_permit_access | GTF_readonly, self, mfn_of(page[0]));
	CHECK(map(11, 0, &h) != GNTST_okay, "writable map of a read-only grant");
	CHECK(!try_read(MAP_VA, &v), "refused, yet mapped");
	EXPECT(map(11, GNTMAP_readonly, &h), GNTST_okay);
	CHECK(!try_write(MAP_VA, 1), "written");
	CHECK((table[11].flags & (GTF_reading | GTF_writing)) == GTF_reading, "%x", table[11].flags);
	/* The mapper cannot help itself to more. */
	EXPECT(page_protect(page[0], true), 0);
	EXPECT(unmap(h, MAP_VA), GNTST_okay);
}

static void not_granted(void)
{
	static const unsigned int bad_refs[] = { 12, 13, 14, FRAMES * 512, 1 << 20, ~0u };
	unsigned int h;
	uint64_t v;

	setup();
	grant(12, 0, 0, mfn_of(page[0]));
	grant(13, GTF_permit_access, self + 1, mfn_of(page[0]));		/* another domain's */
	grant(14, GTF_permit_access, self, 0x200);				/* the hypervisor's frame */
	for (unsigned int i = 0; i < ARRAY_SIZE(bad_refs); i++) {
		CHECK(map(bad_refs[i], 0, &h) < 0, "ref %x was mapped", bad_refs[i]);
		CHECK(map(bad_refs[i], GNTMAP_readonly, &h) < 0, "ref %x was mapped", bad_refs[i]);
		CHECK(!try_read(MAP_VA, &v), "ref %x refused, yet mapped", bad_refs[i]);
	}
	grant(14, GTF_permit_access, self, mfn_of((void *)start_info->pt_base));
	CHECK(map(14, 0, &h) < 0, "a page table was mapped writable");
	grant(14, GTF_permit_access, self, 0xffffffff);
	CHECK(map(14, 0, &h) < 0, "frame ~0");
	EXPECT(unmap(4096, MAP_VA), GNTST_bad_handle);
	EXPECT(unmap(~0u, MAP_VA), GNTST_bad_handle);
}

static void bad_places(void)
{
	struct gnttab_map_grant_ref m = { .flags = GNTMAP_host_map, .ref = 15, .dom = DOMID_SELF };
	const uint64_t places[] = { 0, 0x123456789000, HV_START, 0xffff830000000000, 1ul << 47, ~0xffful };
	const uint64_t ptes[] = { 0, 0x200000, maddr_of(page[0]), pte_maddr(VIRT_BASE, 2), 1ul << 51, ~7ul,
				  pte_maddr(VIRT_BASE, 4) };

	setup();
	grant(15, GTF_permit_access, self, mfn_of(page[0]));
	for (unsigned int i = 0; i < ARRAY_SIZE(places); i++) {
		m.host_addr = places[i];
		EXPECT(HC3(grant_table_op, GNTTABOP_map_grant_ref, &m, 1), 0);
		CHECK(m.status < 0, "mapped at %lx", places[i]);
	}
	m.flags |= GNTMAP_contains_pte;
	for (unsigned int i = 0; i < ARRAY_SIZE(ptes); i++) {
		m.host_addr = ptes[i];
		EXPECT(HC3(grant_table_op, GNTTABOP_map_grant_ref, &m, 1), 0);
		CHECK(m.status < 0, "mapped by an entry at %lx", ptes[i]);
	}
	CHECK(!(table[15].flags & (GTF_reading | GTF_writing)), "%x", table[15].flags);
	/* By the machine address of a real L1 entry it works. */
	m.host_addr = pte_maddr(MAP_VA, 1);
	EXPECT(HC3(grant_table_op, GNTTABOP_map_grant_ref, &m, 1), 0);
	EXPECT(m.status, GNTST_okay);
	EXPECT(mmuext(MMUEXT_INVLPG_LOCAL, MAP_VA, 0), 0);
	*(uint64_t *)page[0] = 99;
	CHECK(*(volatile uint64_t *)MAP_VA == 99, "not there");
	EXPECT(unmap(m.handle, m.host_addr), GNTST_okay);
}

/* The mapper clears the entry behind the hypervisor's back: no double release, no stale use. */
static void overwritten(void)
{
	unsigned int h;

	setup();
	grant(16, GTF_permit_access, self, mfn_of(page[0]));
	EXPECT(map(16, 0, &h), GNTST_okay);
	EXPECT(HC3(update_va_mapping, MAP_VA, maddr_of(page[1]) | RW_PAGE, UVMF_INVLPG), 0);
	CHECK(unmap(h, MAP_VA) < 0, "unmapped what is not there");
	CHECK(table[16].flags & GTF_reading, "still mapped somewhere for all one knows");
	EXPECT(HC3(update_va_mapping, MAP_VA, 0, UVMF_INVLPG), 0);
}

static int copy_grant(unsigned int ref, unsigned int off, void *dst, unsigned int len)
{
	struct gnttab_copy c = { .flags = GNTCOPY_source_gref, .len = len };

	c.source.domid = DOMID_SELF;
	c.source.u.ref = ref;
	c.source.offset = off;
	c.dest.domid = DOMID_SELF;
	c.dest.u.gmfn = mfn_of(dst);
	c.dest.offset = (uint64_t)dst % PAGE_SIZE;
	EXPECT(HC3(grant_table_op, GNTTABOP_copy, &c, 1), 0);
	return c.status;
}

static void copy(void)
{
	struct gnttab_copy c = { .flags = GNTCOPY_source_gref | GNTCOPY_dest_gref, .len = 8 };

	setup();
	grant(17, GTF_permit_access | GTF_readonly, self, mfn_of(page[0]));
	*(uint64_t *)(page[0] + 64) = 0x1234;
	*(uint64_t *)(page[1] + 8) = 0;
	EXPECT(copy_grant(17, 64, page[1] + 8, 8), GNTST_okay);
	CHECK(*(volatile uint64_t *)(page[1] + 8) == 0x1234, "%lx", *(volatile uint64_t *)(page[1] + 8));
	CHECK(copy_grant(17, 4090, page[1], 8) < 0, "across the page's end");
	CHECK(copy_grant(17, 0, page[1] + 4092, 8) < 0, "across the page's end");
	CHECK(copy_grant(17, 0xffff, page[1], 0xffff) < 0, "huge");
	CHECK(copy_grant(500, 0, page[1], 8) < 0, "never granted");
	CHECK(copy_grant(17, 0, (void *)start_info->pt_base, 8) < 0, "onto a page table");
	c.source.domid = c.dest.domid = DOMID_SELF;
	c.source.u.ref = c.dest.u.ref = 17;
	EXPECT(HC3(grant_table_op, GNTTABOP_copy, &c, 1), 0);
	CHECK(c.status < 0, "written through a read-only grant");
	c.flags = 0;
	c.source.u.gmfn = 0x200;
	c.dest.u.gmfn = mfn_of(page[1]);
	EXPECT(HC3(grant_table_op, GNTTABOP_copy, &c, 1), 0);
	CHECK(c.status < 0, "the hypervisor's frame was read");
	CHECK(!(table[17].flags & (GTF_reading | GTF_writing)), "%x", table[17].flags);
}

static void too_many(void)
{
	struct gnttab_setup_table s = { .dom = DOMID_SELF, .nr_frames = ~0u };
	unsigned int ops[2] = { 0 }, n = 0, h;
	unsigned long frame;

	setup();
	set_xen_guest_handle(s.frame_list, &frame);
	EXPECT(HC3(grant_table_op, GNTTABOP_setup_table, &s, 1), 0);
	CHECK(s.status < 0, "all frames one can count");
	REFUSED(HC3(grant_table_op, 77, ops, 1));
	REFUSED(HC3(grant_table_op, GNTTABOP_map_grant_ref, 0x123456000, 1));
	/* One grant many times, at one place after another. */
	grant(18, GTF_permit_access, self, mfn_of(page[0]));
	for (; n < 400; n++) {
		EXPECT(map(18, 0, &h), GNTST_okay);
		EXPECT(unmap(h, MAP_VA), GNTST_okay);
	}
}

const struct test tests[] = {
	{ "grants.query", query },
	{ "grants.map_and_unmap", map_and_unmap },
	{ "grants.read_only", read_only },
	{ "grants.not_granted", not_granted },
	{ "grants.bad_places", bad_places },
	{ "grants.overwritten", overwritten },
	{ "grants.copy", copy },
	{ "grants.too_many", too_many },
	{ NULL },
};
