// SPDX-License-Identifier: Apache-2.0
/*
 * Grant tables: rules one by one, then long random sequences of three domains that
 * grant, revoke, map, unmap and copy - also by granters that overwrite entries in
 * use and mappers that clear their page table entries themselves - compared with a
 * naive twin: a plain list of mappings from which every count is recomputed.
 * Rules: Xen public grant_table.h.
 */
#include "tests/unit/fake/fake_machine.h"

#define ENTRIES	8u	/* of each domain, used at random */

static struct grant_entry_v1 *entry(unsigned int d, uint32_t ref)
{
	mfn_t m = grant_frame_mfn(machine_domain(d), ref / (uint32_t)GRANT_PER_FRAME);

	assert_true(mfn_x(m) < FAKE_FRAMES);
	return (struct grant_entry_v1 *)mfn_to_virt(m) + ref % GRANT_PER_FRAME;
}

static void grant(unsigned int d, uint32_t ref, unsigned int to, mfn_t m, uint16_t flags)
{
	*entry(d, ref) = (struct grant_entry_v1){ .flags = (uint16_t)(GTF_permit_access | flags),
						  .domid = (domid_t)to, .frame = (uint32_t)m.mfn };
}

/* As the caller's domain; the status, and the handle in *@handle. */
static int map(uint16_t dom, uint32_t ref, unsigned int slot, uint32_t flags, uint32_t *handle)
{
	struct gnttab_map_grant_ref op = { .host_addr = slot_addr(slot), .ref = ref, .dom = dom,
					   .flags = flags | GNTMAP_host_map, .status = 99 };

	assert_int_equal(do_grant_table_op(GNTTABOP_map_grant_ref, (uint64_t)&op, 1), 0);
	if (op.status == GNTST_okay) {
		*handle = op.handle;
		assert_int_equal(op.dev_bus_addr,
				 fake_slot(fake_current->domain->id, slot) & PTE_ADDR_MASK);
	}
	return op.status;
}

static int unmap(uint32_t handle, unsigned int slot)
{
	struct gnttab_unmap_grant_ref op = { .host_addr = slot_addr(slot), .handle = handle,
					     .status = 99 };

	assert_int_equal(do_grant_table_op(GNTTABOP_unmap_grant_ref, (uint64_t)&op, 1), 0);
	return op.status;
}

static int copy(struct gnttab_copy op)
{
	op.status = 99;
	assert_int_equal(do_grant_table_op(GNTTABOP_copy, (uint64_t)&op, 1), 0);
	return op.status;
}

static int setup(void **state)
{
	(void)state;
	machine_start(10, 4);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	machine_stop();
	return 0;
}

/* --- rules --- */

static void test_map_unmap(void **state)
{
	mfn_t m = give_frame(1);
	uint32_t h, h2;

	(void)state;
	grant(1, 3, 0, m, 0);
	run_on(0, 0);
	missing[m.mfn] = true;
	assert_int_equal(map(1, 3, 5, 5u << 16, &h), GNTST_eagain);
	assert_int_equal(entry(1, 3)->flags, GTF_permit_access);
	assert_int_equal(frame_refs(m), 1);
	missing[m.mfn] = false;
	assert_int_equal(map(1, 3, 5, 5u << 16, &h), GNTST_okay);
	assert_int_equal(fake_slot(0, 5), mfn_x(m) << PAGE_SHIFT | PTE_P | PTE_RW | PTE_US | PTE_A |
					  PTE_D | PTE_NX | 5UL << 9);
	assert_int_equal(entry(1, 3)->flags, GTF_permit_access | GTF_reading | GTF_writing);
	assert_int_equal(frame_refs(m), 3);
	assert_int_equal(frame_writers(m), 2);
	assert_int_equal(map(1, 3, 5, 0, &h2), GNTST_bad_virt_addr);	/* slot in use */
	assert_int_equal(map(1, 3, 6, GNTMAP_readonly | GNTMAP_contains_pte, &h2), GNTST_okay);
	assert_int_equal(fake_slot(0, 6) & PTE_RW, 0);

	grant_for_each_rw(machine_domain(1), logdirty_mark_mfn);
	assert_int_equal(nr_marks[m.mfn], 1);
	assert_int_equal(unmap(h, 6), GNTST_bad_virt_addr);
	assert_int_equal(unmap(h, 5), GNTST_okay);
	assert_int_equal(nr_marks[m.mfn], 2);		/* was writable: dirty now */
	assert_int_equal(nr_flushes, 1);
	assert_int_equal(entry(1, 3)->flags, GTF_permit_access | GTF_reading);
	assert_int_equal(unmap(h, 5), GNTST_bad_handle);
	assert_int_equal(unmap(h2, 6), GNTST_okay);
	assert_int_equal(nr_marks[m.mfn], 2);
	assert_int_equal(entry(1, 3)->flags, GTF_permit_access);
	assert_int_equal(frame_refs(m), 1);
	assert_int_equal(unmap(12345, 6), GNTST_bad_handle);
	assert_int_equal(unmap(UINT32_MAX, 6), GNTST_bad_handle);
}

static void test_refusals(void **state)
{
	mfn_t m = give_frame(1), other = give_frame(2), table = give_frame(1);
	uint32_t h;

	(void)state;
	grant(1, 3, 2, m, 0);
	run_on(0, 0);
	assert_int_equal(map(1, 3, 0, 0, &h), GNTST_bad_gntref);	/* not to me, privileged or not */
	assert_int_equal(map(1, 4, 0, 0, &h), GNTST_bad_gntref);	/* invalid entry */
	assert_int_equal(map(1, 2000, 0, 0, &h), GNTST_bad_gntref);	/* beyond the table */
	assert_int_equal(map(1, UINT32_MAX, 0, 0, &h), GNTST_bad_gntref);
	assert_int_equal(map(9, 3, 0, 0, &h), GNTST_bad_domain);
	run_on(2, 0);
	grant(1, 3, 2, m, GTF_readonly);
	assert_int_equal(map(1, 3, 0, 0, &h), GNTST_permission_denied);
	assert_int_equal(entry(1, 3)->flags, GTF_permit_access | GTF_readonly);
	grant(1, 3, 2, other, 0);					/* not the granter's frame */
	assert_int_equal(map(1, 3, 0, 0, &h), GNTST_bad_page);
	assert_int_equal(entry(1, 3)->flags, GTF_permit_access);
	grant(1, 3, 2, _mfn(FAKE_FRAMES + 5), 0);
	assert_int_equal(map(1, 3, 0, GNTMAP_readonly, &h), GNTST_bad_page);
	frame_make_table(table, true);
	grant(1, 3, 2, table, 0);
	assert_int_equal(map(1, 3, 0, 0, &h), GNTST_bad_page);		/* page tables stay RO */
	assert_int_equal(map(1, 3, 0, GNTMAP_readonly, &h), GNTST_okay);
	assert_int_equal(map(1, 3, 1, 0, &h), GNTST_bad_page);
	assert_int_equal(entry(1, 3)->flags, GTF_permit_access | GTF_reading);
	grant(1, 4, 2, m, GTF_sub_page);
	assert_int_equal(map(1, 4, 1, 0, &h), GNTST_bad_gntref);
	entry(1, 4)->flags = GTF_accept_transfer;
	assert_int_equal(map(1, 4, 1, 0, &h), GNTST_bad_gntref);
	assert_int_equal(map(1, 4, FAKE_SLOTS, 0, &h), GNTST_bad_gntref);
}

static void test_hostile_granter(void **state)
{
	mfn_t m = give_frame(1), n = give_frame(1);
	uint32_t h, h2;

	(void)state;
	grant(1, 3, 0, m, 0);
	run_on(0, 0);
	assert_int_equal(map(1, 3, 0, 0, &h), GNTST_okay);
	grant(1, 3, 2, n, GTF_readonly);	/* in use: somebody else's now, another frame */
	assert_int_equal(map(1, 3, 1, 0, &h2), GNTST_okay);	/* still the pinned one */
	assert_int_equal(pte_mfn(fake_slot(0, 1)).mfn, m.mfn);
	run_on(2, 0);
	assert_int_equal(map(1, 3, 0, GNTMAP_readonly, &h2), GNTST_bad_gntref);
	run_on(0, 0);
	assert_int_equal(unmap(h, 0), GNTST_okay);
	assert_int_equal(unmap(h2, 1), GNTST_okay);
	assert_int_equal(entry(1, 3)->flags, GTF_permit_access | GTF_readonly);
	assert_int_equal(frame_refs(m), 1);
	assert_int_equal(frame_refs(n), 1);
}

/* The frame number changes between our claim and our look at the frame: one fetch decides. */
static mfn_t swap_to;
static struct grant_entry_v1 *swap_in;
static void swap_frame(void)
{
	swap_in->frame = (uint32_t)swap_to.mfn;
}

static void test_frame_fetched_once(void **state)
{
	mfn_t m = give_frame(1), n = give_frame(1);
	uint32_t h;

	(void)state;
	grant(1, 3, 0, m, 0);
	swap_to = n;
	swap_in = entry(1, 3);
	after_claim_hook = swap_frame;
	run_on(0, 0);
	assert_int_equal(map(1, 3, 0, GNTMAP_readonly, &h), GNTST_okay);
	after_claim_hook = NULL;
	assert_int_equal(pte_mfn(fake_slot(0, 0)).mfn, m.mfn);
	assert_int_equal(unmap(h, 0), GNTST_okay);
	assert_int_equal(frame_refs(m), 1);
	assert_int_equal(frame_refs(n), 1);
}

static void test_lost_entry(void **state)
{
	mfn_t m = give_frame(1);
	uint32_t h;

	(void)state;
	grant(1, 3, 2, m, 0);
	run_on(2, 0);
	assert_int_equal(map(1, 3, 0, 0, &h), GNTST_okay);
	slot_overwrite(2, 0);
	assert_int_equal(unmap(h, 0), GNTST_general_error);
	/* It may be mapped elsewhere: the granter still sees it in use. */
	assert_int_equal(entry(1, 3)->flags & (GTF_reading | GTF_writing), GTF_reading | GTF_writing);
	assert_int_equal(frame_refs(m), 2);
	machine_kill(2);
	assert_int_equal(entry(1, 3)->flags, GTF_permit_access);
	assert_int_equal(frame_refs(m), 1);
}

static void test_batch_flushes_once(void **state)
{
	struct gnttab_map_grant_ref mop[20] = { 0 };
	struct gnttab_unmap_grant_ref uop[20] = { 0 };
	unsigned int i;

	(void)state;
	run_on(0, 0);
	for (i = 0; i < 20; i++) {
		grant(1, i, 0, give_frame(1), 0);
		mop[i] = (struct gnttab_map_grant_ref){ .host_addr = slot_addr(i), .ref = i,
			.dom = 1, .flags = GNTMAP_host_map };
	}
	mop[7].ref = 100;	/* one failure in the middle stops nobody */
	assert_int_equal(do_grant_table_op(GNTTABOP_map_grant_ref, (uint64_t)mop, 20), 0);
	for (i = 0; i < 20; i++) {
		assert_int_equal(mop[i].status, i == 7 ? GNTST_bad_gntref : GNTST_okay);
		uop[i] = (struct gnttab_unmap_grant_ref){ .host_addr = slot_addr(i),
			.handle = i == 7 ? 9999 : mop[i].handle };
	}
	nr_flushes = 0;
	assert_int_equal(do_grant_table_op(GNTTABOP_unmap_grant_ref, (uint64_t)uop, 20), 0);
	for (i = 0; i < 20; i++)
		assert_int_equal(uop[i].status, i == 7 ? GNTST_bad_handle : GNTST_okay);
	assert_int_equal(nr_flushes, 1);
	/* the second fetch faults: what the first one unmapped is finished nevertheless */
	assert_int_equal(do_grant_table_op(GNTTABOP_map_grant_ref, (uint64_t)mop, 20), 0);
	for (i = 0; i < 20; i++)
		uop[i].handle = mop[i].handle;
	fail_copy_after = 3;
	assert_int_equal(do_grant_table_op(GNTTABOP_unmap_grant_ref, (uint64_t)uop, 20), -EFAULT);
	for (i = 0; i < 20; i++)
		assert_int_equal(entry(1, i)->flags, i == 7 || i < 16 ? GTF_permit_access :
				 GTF_permit_access | GTF_reading | GTF_writing);
}

static void test_same_handle_twice(void **state)
{
	mfn_t m = give_frame(1);
	struct gnttab_unmap_grant_ref op[3];
	unsigned int i;
	uint32_t h;

	(void)state;
	grant(1, 3, 0, m, 0);
	run_on(0, 0);
	assert_int_equal(map(1, 3, 0, 0, &h), GNTST_okay);
	for (i = 0; i < 3; i++)
		op[i] = (struct gnttab_unmap_grant_ref){ .host_addr = slot_addr(0), .handle = h };
	assert_int_equal(do_grant_table_op(GNTTABOP_unmap_grant_ref, (uint64_t)op, 3), 0);
	assert_int_equal(op[0].status, GNTST_okay);
	assert_int_equal(op[1].status, GNTST_bad_handle);
	assert_int_equal(op[2].status, GNTST_bad_handle);
	assert_int_equal(frame_refs(m), 1);
	assert_int_equal(map(1, 3, 0, 0, &h), GNTST_okay);
}

static void test_handles_bounded(void **state)
{
	mfn_t m = give_frame(1);
	unsigned int i, n;
	uint32_t h;

	(void)state;
	grant(1, 3, 2, m, 0);
	run_on(2, 0);
	for (n = 0; n < 100000; n++) {
		if (map(1, 3, n % 8, 0, &h) != GNTST_okay)
			break;
		slot_overwrite(2, n % 8);	/* frees the slot, keeps the handle */
		for (i = 0; i < 3; i++)
			assert_int_equal(unmap(h, n % 8), GNTST_general_error);
		if (n == 200)
			break;
	}
	assert_int_equal(n, 200);
	fail_alloc_after = 1;
	run_on(0, 0);
	assert_int_equal(map(1, 3, 0, 0, &h), GNTST_no_space);
}

static void test_copy(void **state)
{
	mfn_t a = give_frame(1), b = give_frame(0), t = give_frame(0);
	uint8_t *pa = mfn_to_virt(a), *pb = mfn_to_virt(b);
	struct gnttab_copy op = { .source = { .u.ref = 3, .domid = 1, .offset = 100 },
				  .dest = { .u.gmfn = b.mfn, .domid = DOMID_SELF, .offset = 3996 },
				  .len = 100, .flags = GNTCOPY_source_gref };
	struct gnttab_copy bad;
	unsigned int i;

	(void)state;
	for (i = 0; i < PAGE_SIZE; i++)
		pa[i] = (uint8_t)i;
	grant(1, 3, 0, a, GTF_readonly);
	run_on(0, 0);
	assert_int_equal(copy(op), GNTST_okay);
	assert_memory_equal(pb + 3996, pa + 100, 100);
	assert_int_equal(pb[3995], 0);
	assert_int_equal(nr_marks[b.mfn], 1);
	assert_int_equal(nr_marks[a.mfn], 0);
	assert_int_equal(nr_preserved[b.mfn], 1);
	assert_int_equal(nr_preserved[a.mfn], 0);
	assert_int_equal(entry(1, 3)->flags, GTF_permit_access | GTF_readonly);

	missing[b.mfn] = true;
	assert_int_equal(copy(op), GNTST_eagain);
	assert_int_equal(nr_marks[b.mfn], 1);
	missing[b.mfn] = false;

	bad = op; bad.dest.offset = 3997;
	assert_int_equal(copy(bad), GNTST_bad_copy_arg);
	bad = op; bad.len = 65535;
	assert_int_equal(copy(bad), GNTST_bad_copy_arg);
	bad = op; bad.source.offset = 65535; bad.len = 0;
	assert_int_equal(copy(bad), GNTST_bad_copy_arg);
	bad = op; bad.dest.domid = 1;		/* frames of others go by grant only */
	assert_int_equal(copy(bad), GNTST_permission_denied);
	bad = op; bad.dest.u.gmfn = a.mfn;
	assert_int_equal(copy(bad), GNTST_bad_page);
	bad = op; bad.dest.u.gmfn = ~0UL;
	assert_int_equal(copy(bad), GNTST_bad_page);
	frame_make_table(t, true);
	bad = op; bad.dest.u.gmfn = t.mfn;
	assert_int_equal(copy(bad), GNTST_bad_page);
	bad = (struct gnttab_copy){ .source = { .u.gmfn = b.mfn, .domid = DOMID_SELF },
		.dest = { .u.ref = 3, .domid = 1 }, .len = 8, .flags = GNTCOPY_dest_gref };
	assert_int_equal(copy(bad), GNTST_permission_denied);	/* granted read-only */
	grant(1, 3, 0, a, 0);
	bad.source.offset = 3996;
	assert_int_equal(copy(bad), GNTST_okay);
	assert_memory_equal(pa, pb + 3996, 8);
	assert_int_equal(nr_marks[a.mfn], 1);
	grant(2, 1, 0, give_frame(2), 0);
	bad = (struct gnttab_copy){ .source = { .u.ref = 3, .domid = 1 },
		.dest = { .u.ref = 1, .domid = 2 }, .len = 4096,
		.flags = GNTCOPY_dest_gref | GNTCOPY_source_gref };
	assert_int_equal(copy(bad), GNTST_okay);
	assert_memory_equal(mfn_to_virt(_mfn(entry(2, 1)->frame)), pa, PAGE_SIZE);
	assert_int_equal(frame_refs(a), 1);
	assert_int_equal(frame_refs(b), 1);
}

static void test_copy_batch(void **state)
{
	struct gnttab_copy op[40];
	mfn_t src = give_frame(0), dst[3] = { give_frame(1), give_frame(1), give_frame(2) };
	uint8_t *s = mfn_to_virt(src);
	unsigned int i;

	(void)state;
	for (i = 0; i < PAGE_SIZE; i++)
		s[i] = (uint8_t)(i * 7 + 1);
	grant(1, 5, 0, dst[0], 0);
	grant(1, 6, 0, dst[1], 0);
	grant(2, 5, 0, dst[2], 0);
	for (i = 0; i < 40; i++)
		op[i] = (struct gnttab_copy){
			.source = { .u.gmfn = src.mfn, .domid = DOMID_SELF, .offset = (uint16_t)(i * 100) },
			.dest = { .u.ref = i < 10 ? 6 : 5, .domid = (domid_t)(1 + i / 20),
				  .offset = (uint16_t)(i * 100) },
			.len = 100, .flags = GNTCOPY_dest_gref };
	run_on(0, 0);
	assert_int_equal(do_grant_table_op(GNTTABOP_copy, (uint64_t)op, 40), 0);
	for (i = 0; i < 40; i++) {
		assert_int_equal(op[i].status, GNTST_okay);
		assert_memory_equal((uint8_t *)mfn_to_virt(dst[i < 10 ? 1 : i < 20 ? 0 : 2]) + i * 100,
				    s + i * 100, 100);
	}
	for (i = 0; i < 3; i++) {
		assert_int_equal(frame_refs(dst[i]), 1);
		assert_int_equal(frame_writers(dst[i]), 0);
	}
	assert_int_equal(entry(1, 5)->flags, GTF_permit_access);
	assert_int_equal(entry(2, 5)->flags, GTF_permit_access);
}

static void test_tables(void **state)
{
	uint64_t list[8] = { 0 };
	struct gnttab_setup_table st = { .dom = DOMID_SELF, .nr_frames = 3 };
	struct gnttab_query_size q = { .dom = DOMID_SELF };
	struct gnttab_set_version v = { .version = 2 };
	struct gnttab_get_version gv = { .dom = DOMID_SELF };

	(void)state;
	run_on(1, 0);
	st.frame_list.p = list;
	assert_int_equal(do_grant_table_op(GNTTABOP_setup_table, (uint64_t)&st, 1), 0);
	assert_int_equal(st.status, GNTST_okay);
	assert_true(list[2] && list[2] < FAKE_FRAMES && list[0] != list[1]);
	assert_int_equal(list[3], 0);
	assert_int_equal(frame_refs(_mfn(list[0])), 1);
	st.nr_frames = 5;	/* the limit is 4 */
	assert_int_equal(do_grant_table_op(GNTTABOP_setup_table, (uint64_t)&st, 1), 0);
	assert_int_equal(st.status, GNTST_general_error);
	st.nr_frames = UINT32_MAX;
	assert_int_equal(do_grant_table_op(GNTTABOP_setup_table, (uint64_t)&st, 1), 0);
	assert_int_equal(st.status, GNTST_general_error);
	st.dom = 2;
	assert_int_equal(do_grant_table_op(GNTTABOP_setup_table, (uint64_t)&st, 1), 0);
	assert_int_equal(st.status, GNTST_permission_denied);
	assert_int_equal(do_grant_table_op(GNTTABOP_query_size, (uint64_t)&q, 1), 0);
	assert_int_equal(q.nr_frames, 3);
	assert_int_equal(q.max_nr_frames, 4);
	assert_int_equal(do_grant_table_op(GNTTABOP_set_version, (uint64_t)&v, 1), -EINVAL);
	v.version = 1;
	assert_int_equal(do_grant_table_op(GNTTABOP_set_version, (uint64_t)&v, 1), 0);
	assert_int_equal(do_grant_table_op(GNTTABOP_get_version, (uint64_t)&gv, 1), 0);
	assert_int_equal(gv.version, 1);
	assert_int_equal(do_grant_table_op(GNTTABOP_setup_table, (uint64_t)&st, 2), -EINVAL);
	assert_int_equal(do_grant_table_op(GNTTABOP_copy, 0, 1), -EFAULT);
	assert_int_equal(do_grant_table_op(GNTTABOP_map_grant_ref, 0, UINT32_MAX), -E2BIG);
	assert_int_equal(do_grant_table_op(GNTTABOP_transfer, 0, 1), -ENOSYS);
	assert_int_equal(do_grant_table_op(1000, 0, 1), -ENOSYS);
}

static void test_seed(void **state)
{
	mfn_t m = give_frame(1);
	uint32_t h;

	(void)state;
	assert_int_equal(grant_seed(machine_domain(1), GNTTAB_RESERVED_XENSTORE, 0, m), 0);
	run_on(0, 0);
	assert_int_equal(map(1, GNTTAB_RESERVED_XENSTORE, 0, 0, &h), GNTST_okay);
	assert_int_equal(grant_seed(machine_domain(1), GNTTAB_RESERVED_XENSTORE, 0, m), -EBUSY);
	assert_int_equal(grant_seed(machine_domain(1), UINT32_MAX, 0, m), -EINVAL);
	assert_int_equal(grant_seed(machine_domain(1), 0, 0, _mfn(1UL << 40)), -EINVAL);
}

static void test_granter_dies(void **state)
{
	mfn_t m = give_frame(1);
	uint32_t h;

	(void)state;
	grant(1, 3, 0, m, 0);
	run_on(0, 0);
	assert_int_equal(map(1, 3, 0, 0, &h), GNTST_okay);
	machine_kill(1);
	assert_int_equal(frame_refs(m), 2);		/* the backend still has it */
	assert_int_equal(mfn_x(grant_frame_mfn(machine_domain(1), 0)), mfn_x(INVALID_MFN));
	assert_int_equal(map(1, 3, 1, 0, &h), GNTST_bad_domain);
	assert_int_equal(unmap(h, 0), GNTST_okay);
	assert_int_equal(frame_refs(m), 0);
}

/* --- the naive twin --- */

struct twin_map {
	bool live, write, lost;
	unsigned int granter, mapper, slot;
	uint32_t ref, handle;
	mfn_t mfn;
};
static struct twin_map maps[256];
/* what the first use fixes */
static struct { unsigned int user; mfn_t mfn; } first[FAKE_DOMAINS][ENTRIES];
static mfn_t own[FAKE_DOMAINS][4];

static unsigned int uses(unsigned int d, uint32_t ref, bool write)
{
	unsigned int i, n = 0;

	for (i = 0; i < ARRAY_SIZE(maps); i++)
		n += maps[i].live && maps[i].granter == d && maps[i].ref == ref &&
		     maps[i].write == write;
	return n;
}

static bool owns(unsigned int d, mfn_t m)
{
	unsigned int i;

	for (i = 0; i < 4; i++)
		if (mfn_eq(own[d][i], m))
			return true;
	return false;
}

/* What must come of mapping it: success or not, and which frame. */
static bool twin_allows(unsigned int granter, uint32_t ref, unsigned int user, bool write, mfn_t *m)
{
	struct grant_entry_v1 e = *entry(granter, ref);
	bool used = uses(granter, ref, true) || uses(granter, ref, false);
	bool look = !used || (write && !uses(granter, ref, true));

	if (used && first[granter][ref].user != user)
		return false;
	if (look && ((e.flags & GTF_type_mask) != GTF_permit_access || e.domid != user ||
		     (write && (e.flags & GTF_readonly))))
		return false;
	*m = used ? first[granter][ref].mfn : _mfn(e.frame);
	return owns(granter, *m);
}

static void twin_check(unsigned int d)
{
	unsigned int i, k;
	uint32_t ref;

	for (k = 0; k < 4; k++) {
		unsigned int refs = 1, writers = 0;

		for (i = 0; i < ARRAY_SIZE(maps); i++) {
			if (!maps[i].live || !mfn_eq(maps[i].mfn, own[d][k]))
				continue;
			refs += maps[i].lost ? 1 : 2;	/* the pin, and the page table entry */
			writers += maps[i].write ? (maps[i].lost ? 1 : 2) : 0;
		}
		assert_int_equal(frame_refs(own[d][k]), refs);
		assert_int_equal(frame_writers(own[d][k]), writers);
	}
	/* A frame nobody uses is never shown in use; one in use, only if its owner lied. */
	for (ref = 0; ref < ENTRIES; ref++) {
		uint16_t flags = entry(d, ref)->flags;

		if (!uses(d, ref, true) && !uses(d, ref, false))
			assert_int_equal(flags & (GTF_reading | GTF_writing), 0);
	}
}

static void random_grant(unsigned int d)
{
	uint32_t ref = rnd(ENTRIES);
	unsigned int who = rnd(FAKE_DOMAINS);
	mfn_t m = own[rnd(8) ? d : who][rnd(4)];	/* now and then a frame it does not own */
	uint16_t flags = (uint16_t)(rnd(3) ? 0 : GTF_readonly);
	bool used = uses(d, ref, true) || uses(d, ref, false);

	if (!used) {
		grant(d, ref, who, m, flags);
		if (!rnd(8))
			entry(d, ref)->flags = GTF_invalid;
	} else if (!rnd(4)) {
		/* hostile: overwrite an entry in use, keeping the flags that are ours */
		uint16_t ours = entry(d, ref)->flags & (GTF_reading | GTF_writing);

		grant(d, ref, who, m, flags | ours);
	}
}

static struct twin_map *twin_new(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(maps); i++)
		if (!maps[i].live)
			return &maps[i];
	return NULL;
}

static void random_map(unsigned int d)
{
	unsigned int granter = rnd(FAKE_DOMAINS), slot = rnd(FAKE_SLOTS);
	uint32_t ref = rnd(ENTRIES), h = 0;
	bool write = rnd(2), ok;
	struct twin_map *t = twin_new();
	mfn_t m = INVALID_MFN;

	if (!t)
		return;
	ok = twin_allows(granter, ref, d, write, &m) && !fake_slot(d, slot);
	run_on(d, 0);
	assert_int_equal(map((uint16_t)granter, ref, slot, write ? 0 : GNTMAP_readonly, &h) == GNTST_okay,
			 ok);
	if (!ok)
		return;
	if (!uses(granter, ref, true) && !uses(granter, ref, false)) {
		first[granter][ref].user = d;
		first[granter][ref].mfn = m;
	}
	*t = (struct twin_map){ true, write, false, granter, d, slot, ref, h, m };
	assert_int_equal(pte_mfn(fake_slot(d, slot)).mfn, m.mfn);
}

static void random_unmap(void)
{
	struct twin_map *t = &maps[rnd(ARRAY_SIZE(maps))];

	if (!t->live)
		return;
	run_on(t->mapper, 0);
	if (t->lost) {
		uint64_t e = fake_slot(t->mapper, t->slot);

		if (!e || !mfn_eq(pte_mfn(e), t->mfn))
			assert_int_equal(unmap(t->handle, t->slot), GNTST_general_error);
		return;
	}
	if (!rnd(8)) {
		slot_overwrite(t->mapper, t->slot);
		t->lost = true;
		return;
	}
	assert_int_equal(unmap(t->handle, t->slot), GNTST_okay);
	t->live = false;
}

static void random_copy(unsigned int d)
{
	unsigned int granter = rnd(FAKE_DOMAINS);
	uint32_t ref = rnd(ENTRIES);
	bool write = rnd(2), ok;
	mfn_t m, local = own[d][rnd(4)];
	struct gnttab_copy_ptr remote = { .u.ref = ref, .domid = (domid_t)granter };
	struct gnttab_copy_ptr here = { .u.gmfn = local.mfn, .domid = DOMID_SELF };

	ok = twin_allows(granter, ref, d, write, &m);
	run_on(d, 0);
	assert_int_equal(copy((struct gnttab_copy){
		.source = write ? here : remote, .dest = write ? remote : here, .len = 64,
		.flags = write ? GNTCOPY_dest_gref : GNTCOPY_source_gref }) == GNTST_okay, ok);
}

static void test_against_twin(void **state)
{
	unsigned int i, d, k;

	(void)state;
	memset(maps, 0, sizeof(maps));
	for (d = 0; d < FAKE_DOMAINS; d++)
		for (k = 0; k < 4; k++)
			own[d][k] = give_frame(d);
	for (i = 0; i < 30000; i++) {
		d = rnd(FAKE_DOMAINS);
		switch (rnd(5)) {
		case 0: random_grant(d); break;
		case 1: random_map(d); break;
		case 2: random_copy(d); break;
		default: random_unmap(); break;
		}
		for (d = 0; d < FAKE_DOMAINS; d++)
			twin_check(d);
	}
}

#define T(name)	cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_map_unmap), T(test_refusals), T(test_hostile_granter), T(test_frame_fetched_once),
		T(test_lost_entry), T(test_batch_flushes_once),
		T(test_same_handle_twice), T(test_handles_bounded), T(test_copy),
		T(test_copy_batch), T(test_tables), T(test_seed), T(test_granter_dies),
		T(test_against_twin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
