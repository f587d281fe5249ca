/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot holds what the domain's memory held at one instant, whatever is done to it afterwards, by
 * whom and in what way: each test changes frozen memory by one way and then reads the old contents
 * and types.  What the set does not hold was clean; an aborted snapshot loses no dirtiness; a domain
 * never stands still for a reader that is gone; and no frame is lost.
 * run: smp=2 mem=320 dom0_max_vcpus=1
 */
#include "tests/guest/lib/domu.h"

#define PAGES	1024u
#define BATCH	64u
#define OLD	1111u
#define NEW	2222u

static struct godwit_snapshot st;		/* of the last operation */
static uint64_t pfns[BATCH];
static uint8_t types[BATCH];
static uint8_t buffer[BATCH][PAGE_SIZE] __attribute__((aligned(4096)));
static uint8_t type_of[DOMU_MAX_PAGES];		/* of the pages read; 0xff: not read */
static uint64_t heap_before, nr_waits;

#define NOT_READ	0xffu

/* --- operations ----------------------------------------------------------------------------------- */

static long logdirty(unsigned int action)
{
	struct godwit_logdirty op = { .domid = domu.id, .action = (uint16_t)action };

	return godwit_op(GODWIT_OP_logdirty, &op);
}

static long snap(unsigned int action, uint32_t flags, uint64_t value)
{
	st = (struct godwit_snapshot){ .domid = domu.id, .action = (uint16_t)action, .flags = flags };
	st.reserve_pages = value;
	st.cookie = value;
	return godwit_op(GODWIT_OP_snapshot, &st);
}

static long read_some(unsigned int nr, unsigned int *done)
{
	struct godwit_frames op = { .domid = domu.id, .nr = nr };
	long ret;

	op.pfns = (uint64_t)pfns;
	op.types = (uint64_t)types;
	op.buffer = (uint64_t)buffer;
	ret = godwit_op(GODWIT_OP_read_frames, &op);
	*done = op.nr_done;
	return ret;
}

static long fetch(uint64_t *cursor, unsigned int *nr)
{
	st = (struct godwit_snapshot){ .domid = domu.id, .action = GODWIT_SNAPSHOT_FETCH, .cursor = *cursor,
				       .max_pfns = BATCH, .pfns = (uint64_t)pfns };
	long ret = godwit_op(GODWIT_OP_snapshot, &st);

	*cursor = st.cursor;
	*nr = st.nr_out;
	return ret;
}

/* --- a domain, frozen ------------------------------------------------------------------------------- */

static void warm_up(void);

static void make(unsigned int nr_pages, unsigned int nr_vcpus)
{
	if (domu.id)
		domu_destroy();		/* a test before failed */
	warm_up();
	heap_before = heap_frames();
	domu_create(nr_pages, nr_vcpus);
	EXPECT(logdirty(GODWIT_LOGDIRTY_ENABLE), 0);
}

static void unmake(void)
{
	domu_destroy();
	CHECK(heap_frames() == heap_before, "%lu frames free, %lu before", heap_frames(), heap_before);
}

static void freeze(uint32_t how, uint64_t reserve)
{
	EXPECT(snap(GODWIT_SNAPSHOT_PREPARE, 0, reserve), 0);
	domu_pause();
	EXPECT(snap(GODWIT_SNAPSHOT_BEGIN, how, 0), 0);
	domu_unpause();
	memset(type_of, NOT_READ, sizeof(type_of));
}

/* A page as the test that runs wants it. */
typedef void check_fn(uint64_t pfn, unsigned int type, const uint64_t *page);
static check_fn *check;

static void check_filled(uint64_t pfn, uint64_t value, unsigned int type, const uint64_t *page)
{
	uint64_t want = domu_word(pfn, value);

	CHECK(type == GODWIT_PAGE_DATA, "pfn %lu has type %x", pfn, type);
	CHECK(page[0] == want && page[256] == want && page[511] == want, "pfn %lu: %lx %lx %lx, not %lx", pfn,
	      page[0], page[256], page[511], want);
}

static void check_old(uint64_t pfn, unsigned int type, const uint64_t *page)
{
	if (pfn >= DOMU_DATA)
		check_filled(pfn, OLD, type, page);
}

static void check_high(uint64_t pfn, unsigned int type, const uint64_t *page)
{
	if (pfn >= 512 && pfn != 600)
		check_filled(pfn, OLD, type, page);
}

/* Read at most @most of what is left, judging each page; how many. */
static unsigned int read_set(unsigned int most)
{
	unsigned int nr, done, total = 0;
	uint64_t cursor = 0;

	while (total < most) {
		EXPECT(fetch(&cursor, &nr), 0);
		if (!nr)
			break;
		if (nr > most - total)
			nr = most - total;
		for (unsigned int i = 0; i < nr; i += done) {
			if (i)
				memcpy(pfns, pfns + done, (nr - i) * sizeof(pfns[0]));
			EXPECT(read_some(nr - i, &done), 0);
			for (unsigned int k = 0; k < done; k++) {
				type_of[pfns[k]] = types[k];
				if (check)
					check(pfns[k], types[k], (const uint64_t *)buffer[k]);
			}
		}
		total += nr;
		cursor = 0;
	}
	return total;
}

static void finish(uint64_t cookie)
{
	read_set(~0u);
	EXPECT(snap(GODWIT_SNAPSHOT_STATUS, 0, 0), 0);
	nr_waits = st.waits;
	CHECK(st.nr_left == 0 && st.copies_now == 0, "%lu left, %lu copies", st.nr_left, st.copies_now);
	EXPECT(snap(GODWIT_SNAPSHOT_COMMIT, 0, cookie), 0);
	CHECK(st.cookie == cookie && st.state == GODWIT_SNAPSHOT_IS_NONE, "cookie %lu state %u", st.cookie, st.state);
}

/* --- tests -------------------------------------------------------------------------------------------- */

static void rules(void)
{
	unsigned int done;

	make(PAGES, 1);
	EXPECT(logdirty(GODWIT_LOGDIRTY_DISABLE), 0);
	EXPECT(snap(GODWIT_SNAPSHOT_PREPARE, 0, 10), -XEN_EINVAL);
	EXPECT(logdirty(GODWIT_LOGDIRTY_ENABLE), 0);
	EXPECT(snap(GODWIT_SNAPSHOT_BEGIN, GODWIT_SNAPSHOT_FULL, 0), -XEN_EINVAL);
	EXPECT(snap(GODWIT_SNAPSHOT_PREPARE, 1, 10), -XEN_EINVAL);
	EXPECT(snap(GODWIT_SNAPSHOT_PREPARE, 0, 10), 0);
	CHECK(st.state == GODWIT_SNAPSHOT_IS_PREPARED && st.cookie == 0, "state %u", st.state);
	EXPECT(snap(GODWIT_SNAPSHOT_FETCH, 0, 0), -116);
	EXPECT(snap(GODWIT_SNAPSHOT_COMMIT, 0, 1), -XEN_EINVAL);
	EXPECT(snap(GODWIT_SNAPSHOT_BEGIN, GODWIT_SNAPSHOT_FULL, 0), -XEN_EBUSY);	/* it runs */
	domu_pause();
	EXPECT(snap(GODWIT_SNAPSHOT_BEGIN, 0, 0), -XEN_EINVAL);
	EXPECT(snap(GODWIT_SNAPSHOT_BEGIN, 3, 0), -XEN_EINVAL);
	EXPECT(snap(GODWIT_SNAPSHOT_BEGIN, GODWIT_SNAPSHOT_FULL, 0), 0);
	EXPECT(snap(GODWIT_SNAPSHOT_BEGIN, GODWIT_SNAPSHOT_FULL, 0), -XEN_EINVAL);
	CHECK(st.state == GODWIT_SNAPSHOT_IS_OPEN && st.nr_pfns == PAGES, "state %u, %lu pfns", st.state, st.nr_pfns);
	EXPECT(snap(GODWIT_SNAPSHOT_COMMIT, 0, 1), -XEN_EBUSY);		/* nothing read yet */
	EXPECT(logdirty(GODWIT_LOGDIRTY_FETCH), -XEN_EINVAL);
	EXPECT(snap(99, 0, 0), -XEN_EINVAL);
	pfns[0] = PAGES;
	EXPECT(read_some(1, &done), -XEN_EINVAL);			/* not in the set */
	pfns[0] = 5;
	EXPECT(read_some(1, &done), 0);
	EXPECT(read_some(1, &done), -XEN_EINVAL);			/* once */
	EXPECT(snap(GODWIT_SNAPSHOT_STATUS, 0, 0), 0);
	CHECK(st.nr_left == PAGES - 1, "%lu left", st.nr_left);
	domu_unpause();
	EXPECT(snap(GODWIT_SNAPSHOT_ABORT, 0, 0), 0);
	EXPECT(snap(GODWIT_SNAPSHOT_ABORT, 0, 0), 0);
	unmake();
}

/* All pages are written after the instant; what is read is from before it. */
static void cut(void)
{
	make(PAGES, 1);
	domu_fill(DOMU_DATA, PAGES, OLD);
	freeze(GODWIT_SNAPSHOT_FULL, 100000);
	check = check_old;
	CHECK(read_set(200) == 200, "too few");
	domu_fill(DOMU_DATA, PAGES / 2, NEW);
	CHECK(read_set(300) == 300, "too few");
	domu_fill(DOMU_DATA, PAGES, NEW);
	EXPECT(snap(GODWIT_SNAPSHOT_STATUS, 0, 0), 0);
	CHECK(st.copied >= PAGES / 2 && st.waits == 0, "%lu copied, %lu waits", st.copied, st.waits);
	finish(7);
	for (unsigned int pfn = 0; pfn < PAGES; pfn++)
		CHECK(type_of[pfn] != NOT_READ, "pfn %u was not in the set", pfn);
	pfns[0] = DOMU_DATA;		/* and now what is there */
	unsigned int done;
	EXPECT(read_some(1, &done), 0);
	check_filled(DOMU_DATA, NEW, types[0], (uint64_t *)buffer[0]);
	unmake();
}

/* A path of tables that is made by a load does not carry a store. */
static void loads_first(void)
{
	make(PAGES, 1);
	domu_fill(512, 600, OLD);
	domu_fill(601, PAGES, OLD);
	freeze(GODWIT_SNAPSHOT_FULL, 100000);
	domu_fill(200, 201, NEW);		/* by the first L1; what follows is in the second */
	domu.control[0]->first = DOMU_VA(600);	/* never touched so far */
	domu_start(0, DOMU_READ);
	CHECK(domu_wait(0, 5000), "it does not read");
	domu_fill(512, PAGES, NEW);
	check = check_high;
	finish(8);
	unmake();
}

/* The set of the second snapshot is what was written since the first, not more than a little. */
static void delta(void)
{
	make(PAGES, 1);
	domu_fill(DOMU_DATA, PAGES, NEW);
	freeze(GODWIT_SNAPSHOT_FULL, 100000);
	check = NULL;
	domu_fill(200, 210, OLD);		/* while it is open: belongs to the next one */
	finish(1);
	domu_fill(300, 310, OLD);
	freeze(GODWIT_SNAPSHOT_DELTA, 100000);
	CHECK(st.nr_pfns >= 20 && st.nr_pfns < 40, "%lu pfns in the set", st.nr_pfns);
	domu_fill(DOMU_DATA, PAGES, NEW);
	check = check_old;
	finish(2);
	for (unsigned int pfn = 200; pfn < 210; pfn++)
		CHECK(type_of[pfn] == GODWIT_PAGE_DATA && type_of[pfn + 100] == GODWIT_PAGE_DATA, "pfn %u", pfn);
	CHECK(type_of[400] == NOT_READ, "a clean page was in the set");
	freeze(GODWIT_SNAPSHOT_DELTA, 100000);
	CHECK(st.nr_pfns >= PAGES - DOMU_DATA && st.nr_pfns < PAGES - DOMU_DATA + 40, "%lu pfns", st.nr_pfns);
	EXPECT(snap(GODWIT_SNAPSHOT_ABORT, 0, 0), 0);
	unmake();
}

static long domu_ext(unsigned int cmd, unsigned int pfn)
{
	domu.control[0]->data[0] = cmd;
	domu.control[0]->data[1] = domu.mfn[pfn];
	domu.control[0]->data[2] = 0;
	return domu_call(__HYPERVISOR_mmuext_op, domu_data(0), 1, 0, DOMID_SELF);
}

/* What the sets showed of the pages that one vCPU counts in. */
static struct count {
	uint64_t last, high, seen, behind;
} counts[2];
#define COUNT_SPLIT	576u		/* pages below are vCPU 1's, the others vCPU 2's */

static void check_count(uint64_t pfn, unsigned int type, const uint64_t *page)
{
	struct count *c = &counts[pfn >= COUNT_SPLIT];
	uint64_t n = type == GODWIT_PAGE_ZERO ? 0 : page[0];

	if (pfn < DOMU_DATA)
		return;
	if (!c->seen++)
		c->high = c->last = n;
	CHECK(n == c->high || n + 1 == c->high, "pfn %lu holds %lu, the first page %lu", pfn, n, c->high);
	CHECK(n <= c->last, "pfn %lu: pass %lu after %lu", pfn, n, c->last);
	c->behind += n != c->high;
	c->last = n;
}

static void wait_rounds(unsigned int vcpu, unsigned int n)
{
	uint64_t rounds = domu.control[vcpu]->rounds, end = now_ns() + 5000000000ul;

	while (domu.control[vcpu]->rounds < rounds + n && now_ns() < end)
		HC2(sched_op, SCHEDOP_yield, 0);
}

static void wait_until_stalled(void)
{
	uint64_t end = now_ns() + 1500000000ul;		/* the snapshot fails after two seconds */

	do {
		HC2(sched_op, SCHEDOP_yield, 0);
		EXPECT(snap(GODWIT_SNAPSHOT_STATUS, 0, 0), 0);
	} while (!st.waits && now_ns() < end);
}

/* Two vCPUs that never stop writing are cut between two of their stores: each pass over the pages shows
 * as finished up to one page and not begun behind it.  Full sets and deltas by turns, with a reserve
 * that is enough or not; a third vCPU pins and unpins a table meanwhile. */
static void running(void)
{
	uint64_t between = 0, waits = 0;

	make(PAGES, 3);
	for (unsigned int i = 0; i < 2; i++) {
		domu.control[1 + i]->first = i ? COUNT_SPLIT : DOMU_DATA;
		domu.control[1 + i]->end = i ? PAGES : COUNT_SPLIT;
		domu_start(1 + i, DOMU_COUNT);
	}
	for (unsigned int i = 0; i < 12; i++) {
		wait_rounds(1, 3);
		wait_rounds(2, 3);
		freeze(i % 2 ? GODWIT_SNAPSHOT_DELTA : GODWIT_SNAPSHOT_FULL, i % 3 ? 100000 : 20);
		check = check_count;
		memset(counts, 0, sizeof(counts));
		if (i % 3 == 0)
			wait_until_stalled();
		for (unsigned int k = 0; k < 4; k++) {
			if (i % 3)		/* else it waits, too, and this is the reader */
				EXPECT(domu_ext(k % 2 ? MMUEXT_UNPIN_TABLE : MMUEXT_PIN_L1_TABLE, DOMU_L1 + 1), 0);
			read_set(100);
		}
		finish(i + 1);
		for (unsigned int k = 0; k < 2; k++) {
			CHECK(counts[k].seen == (k ? PAGES - COUNT_SPLIT : COUNT_SPLIT - DOMU_DATA) && counts[k].high > 0,
			      "%lu pages in set %u, pass %lu", counts[k].seen, i, counts[k].high);
			between += counts[k].behind > 0;
		}
		waits += nr_waits;
	}
	CHECK(between > 0, "never cut within a pass: this proves nothing");
	CHECK(waits > 0, "no vCPU ever waited: this proves nothing");
	for (unsigned int i = 1; i < 3; i++) {
		domu.control[i]->stop = 1;
		CHECK(domu_wait(i, 5000), "vCPU %u does not stop", i);
	}
	unmake();
}

/* Entries, pins and types as they were: pages change places, a table is unpinned and becomes data. */
static void check_tables(uint64_t pfn, unsigned int type, const uint64_t *page)
{
	if (pfn == 300 || pfn == 301)
		check_filled(pfn, OLD, type, page);
	if (pfn == DOMU_L4)
		CHECK(type == (GODWIT_PAGE_L4 | GODWIT_PAGE_PINNED), "L4 has type %x", type);
	if (pfn == DOMU_L4 + 1 || pfn == DOMU_L4 + 2)
		CHECK(type == GODWIT_PAGE_L3 - (pfn - DOMU_L4 - 1), "pfn %lu has type %x", pfn, type);
	if (pfn == DOMU_L4 + 2)
		CHECK((page[3] & PTE_ADDR) / PAGE_SIZE == DOMU_L1 + 3, "L2 entry %lx", page[3]);
	if (pfn >= DOMU_L1 && pfn < DOMU_L1 + 4)
		for (unsigned int i = 0; i < 512; i++) {
			CHECK(type == GODWIT_PAGE_L1, "L1 has type %x", type);
			CHECK((page[i] & PTE_ADDR) / PAGE_SIZE == (pfn - DOMU_L1) * 512 + i, "entry %u is %lx", i, page[i]);
		}
	if (pfn == 600)		/* an L1 of its own, pinned */
		CHECK(type == (GODWIT_PAGE_L1 | GODWIT_PAGE_PINNED) && (page[3] & PTE_ADDR) / PAGE_SIZE == 700,
		      "type %x, entry %lx", type, page[3]);
	if (pfn == 601)		/* was data, becomes a table */
		CHECK(type == GODWIT_PAGE_ZERO, "type %x", type);
}

static long domu_map(unsigned int at, unsigned int pfn, uint64_t flags)
{
	return domu_call(__HYPERVISOR_update_va_mapping, DOMU_VA(at), domu.mfn[pfn] * PAGE_SIZE | flags,
			 UVMF_INVLPG | UVMF_ALL, 0);
}

static long domu_store(unsigned int pfn, unsigned int word, uint64_t val)
{
	domu.control[0]->data[0] = domu.mfn[pfn] * PAGE_SIZE + word * 8;
	domu.control[0]->data[1] = val;
	return domu_call(__HYPERVISOR_mmu_update, domu_data(0), 1, 0, DOMID_SELF);
}

static void tables(void)
{
	make(2 * PAGES, 1);
	domu_fill(300, 302, OLD);
	EXPECT(domu_store(600, 3, domu.mfn[700] * PAGE_SIZE | RO_PAGE), 0);	/* plain memory still */
	EXPECT(domu_map(600, 600, RO_PAGE), 0);
	EXPECT(domu_ext(MMUEXT_PIN_L1_TABLE, 600), 0);
	freeze(GODWIT_SNAPSHOT_FULL, 100000);
	/* two pages change places, by a table that is in use */
	EXPECT(domu_map(300, 301, RW_PAGE), 0);
	EXPECT(domu_map(301, 300, RW_PAGE), 0);
	domu_fill(300, 302, NEW);
	/* pins of tables that stay in use; a table that is in use no more, unpinned as ever */
	EXPECT(domu_ext(MMUEXT_PIN_L1_TABLE, DOMU_L1 + 2), 0);
	EXPECT(domu_ext(MMUEXT_UNPIN_TABLE, DOMU_L4), 0);
	EXPECT(domu_store(DOMU_L4 + 2, 3, 0), 0);
	EXPECT(domu_store(600, 3, domu.mfn[701] * PAGE_SIZE | RO_PAGE), 0);
	EXPECT(domu_ext(MMUEXT_UNPIN_TABLE, 600), 0);
	EXPECT(domu_map(600, 600, RW_PAGE), 0);
	EXPECT(domu_store(600, 3, 0x1234567), 0);		/* was a table, is memory */
	domu_fill(600, 601, NEW);
	EXPECT(domu_map(601, 601, RO_PAGE), 0);
	EXPECT(domu_ext(MMUEXT_PIN_L1_TABLE, 601), 0);
	EXPECT(domu_store(601, 0, domu.mfn[702] * PAGE_SIZE | RO_PAGE), 0);
	check = check_tables;
	finish(3);
	CHECK(type_of[DOMU_L1 + 3] == GODWIT_PAGE_L1 && type_of[301] == GODWIT_PAGE_DATA, "not read");
	CHECK(type_of[DOMU_L4] != NOT_READ && type_of[601] != NOT_READ && type_of[600] != NOT_READ, "not read");
	check = NULL;
	EXPECT(domu_ext(MMUEXT_UNPIN_TABLE, 601), 0);
	EXPECT(domu_ext(MMUEXT_UNPIN_TABLE, DOMU_L1 + 2), 0);
	unmake();
}

static long domu_reservation(unsigned int cmd, uint64_t frame)
{
	struct xen_memory_reservation *r = (void *)&domu.control[0]->data[8];

	memset(r, 0, sizeof(*r));
	domu.control[0]->data[0] = frame;
	r->nr_extents = 1;
	r->domid = DOMID_SELF;
	r->extent_start.p = (void *)domu_data(0);
	return domu_call(__HYPERVISOR_memory_op, cmd, domu_data(8), 0, 0);
}

static void check_balloon(uint64_t pfn, unsigned int type, const uint64_t *page)
{
	if (pfn == 400 || pfn == 402)
		check_filled(pfn, OLD, type, page);
	if (pfn == 401)
		CHECK(type == GODWIT_PAGE_ABSENT, "type %x", type);
}

/* Frames go, frames come, frames get another name: the set knows the old state. */
static void balloon(void)
{
	struct mmu_update u;

	make(PAGES, 1);
	domu_fill(DOMU_DATA, PAGES, OLD);
	EXPECT(domu_map(401, 401, 0), 0);
	EXPECT(domu_reservation(XENMEM_decrease_reservation, domu.mfn[401]), 1);
	freeze(GODWIT_SNAPSHOT_FULL, 100000);
	EXPECT(domu_map(400, 400, 0), 0);
	EXPECT(domu_reservation(XENMEM_decrease_reservation, domu.mfn[400]), 1);
	EXPECT(domu_reservation(XENMEM_populate_physmap, 401), 1);
	domu.mfn[401] = domu.control[0]->data[0];
	EXPECT(domu_map(401, 401, RW_PAGE), 0);
	EXPECT(domu_reservation(XENMEM_populate_physmap, 400), 1);
	domu.mfn[400] = domu.control[0]->data[0];
	EXPECT(domu_map(400, 400, RW_PAGE), 0);
	domu_fill(400, 402, NEW);
	/* pfn 402's frame is called 403 now, and the other way round */
	for (unsigned int i = 0; i < 2; i++) {
		u.ptr = domu.mfn[402 + i] * PAGE_SIZE | MMU_MACHPHYS_UPDATE;
		u.val = 403 - i;
		EXPECT(HC4(mmu_update, &u, 1, 0, domu.id), 0);
	}
	domu_fill(402, 404, NEW);
	check = check_balloon;
	finish(4);
	CHECK(type_of[400] != NOT_READ && type_of[401] != NOT_READ && type_of[402] != NOT_READ, "not read");
	unmake();
}

/* The frames that carry the tables' names change theirs: frozen tables still say the old ones. */
static void check_names(uint64_t pfn, unsigned int type, const uint64_t *page)
{
	if (pfn == DOMU_L1)
		for (unsigned int i = 400; i < 410; i++)
			CHECK((page[i] & PTE_ADDR) / PAGE_SIZE == i, "entry %u is %lx", i, page[i]);
}

static void names(void)
{
	struct mmu_update u;

	make(PAGES, 1);
	freeze(GODWIT_SNAPSHOT_FULL, 100000);
	for (unsigned int i = 0; i < 10; i++) {
		u.ptr = domu.mfn[400 + i] * PAGE_SIZE | MMU_MACHPHYS_UPDATE;
		u.val = 409 - i;
		EXPECT(HC4(mmu_update, &u, 1, 0, domu.id), 0);
	}
	check = check_names;
	finish(5);
	CHECK(type_of[DOMU_L1] == GODWIT_PAGE_L1, "type %x", type_of[DOMU_L1]);
	unmake();
}

static void reserve(void)
{
	make(PAGES, 1);
	domu_fill(DOMU_DATA, PAGES, OLD);
	freeze(GODWIT_SNAPSHOT_FULL, 16);
	domu.control[0]->first = DOMU_DATA;
	domu.control[0]->end = PAGES;
	domu.control[0]->value = NEW;
	domu_start(0, DOMU_FILL);
	CHECK(!domu_wait(0, 300), "it wrote everything with room for 16 copies");
	EXPECT(snap(GODWIT_SNAPSHOT_STATUS, 0, 0), 0);
	CHECK(st.state == GODWIT_SNAPSHOT_IS_OPEN && st.waits == 1 && st.copies_now == 16,
	      "state %u, %lu waits, %lu copies", st.state, st.waits, st.copies_now);
	check = check_old;
	CHECK(read_set(100) == 100, "too few");
	CHECK(!domu_wait(0, 300), "it wrote everything with room for some");
	EXPECT(snap(GODWIT_SNAPSHOT_STATUS, 0, 0), 0);
	CHECK(st.waits > 1 && st.copies_now == 16, "%lu waits, %lu copies", st.waits, st.copies_now);
	read_set(~0u);
	CHECK(domu_wait(0, 5000), "it still waits");
	finish(6);
	EXPECT(snap(GODWIT_SNAPSHOT_STATUS, 0, 0), 0);
	freeze(GODWIT_SNAPSHOT_FULL, 0);		/* a page that is read first needs no copy */
	domu_start(0, DOMU_FILL);
	check = NULL;
	read_set(~0u);
	CHECK(domu_wait(0, 5000), "it still waits");
	finish(6);
	CHECK(domu_wait(0, 5000), "it still waits");
	unmake();
}

/* Nobody reads: within some seconds the domain goes on, and the reader is told. */
static void no_reader(void)
{
	unsigned int done;
	uint64_t start;

	make(PAGES, 1);
	domu_fill(DOMU_DATA, PAGES, OLD);
	freeze(GODWIT_SNAPSHOT_FULL, 16);
	domu.control[0]->first = DOMU_DATA;
	domu.control[0]->end = PAGES;
	domu.control[0]->value = NEW;
	start = now_ns();
	domu_start(0, DOMU_FILL);
	CHECK(domu_wait(0, 10000), "it waits for ever");
	CHECK(now_ns() - start > 1900000000ul, "it waited only %lu us", (now_ns() - start) / 1000);
	EXPECT(snap(GODWIT_SNAPSHOT_STATUS, 0, 0), 0);
	CHECK(st.state == GODWIT_SNAPSHOT_IS_FAILED && st.waits == 1 && st.wait_us > 1900000, "state %u, %lu us",
	      st.state, st.wait_us);
	pfns[0] = DOMU_DATA;
	EXPECT(read_some(1, &done), -116);
	EXPECT(snap(GODWIT_SNAPSHOT_COMMIT, 0, 1), -116);
	EXPECT(snap(GODWIT_SNAPSHOT_ABORT, 0, 0), 0);
	freeze(GODWIT_SNAPSHOT_DELTA, 100000);		/* and nothing of the set was forgotten */
	CHECK(st.nr_pfns == PAGES, "%lu pfns", st.nr_pfns);
	unmake();
}

static void abort_(void)
{
	make(PAGES, 1);
	freeze(GODWIT_SNAPSHOT_FULL, 100000);
	check = NULL;
	finish(9);
	domu_fill(200, 210, OLD);
	freeze(GODWIT_SNAPSHOT_DELTA, 100000);
	CHECK(st.nr_pfns >= 10 && st.nr_pfns < 30, "%lu pfns", st.nr_pfns);
	domu_fill(205, 215, NEW);
	CHECK(read_set(4) == 4, "too few");
	EXPECT(snap(GODWIT_SNAPSHOT_ABORT, 0, 0), 0);
	CHECK(st.cookie == 9, "cookie %lu", st.cookie);
	EXPECT(snap(GODWIT_SNAPSHOT_STATUS, 0, 0), 0);
	CHECK(st.state == GODWIT_SNAPSHOT_IS_NONE, "state %u", st.state);
	freeze(GODWIT_SNAPSHOT_DELTA, 100000);
	CHECK(st.nr_pfns >= 15 && st.nr_pfns < 40, "%lu pfns", st.nr_pfns);
	finish(10);
	for (unsigned int pfn = 200; pfn < 215; pfn++)
		CHECK(type_of[pfn] == GODWIT_PAGE_DATA, "pfn %u", pfn);
	unmake();
}

/* What the hypervisor writes for the domain, or at its order. */
#define FLAT_RING0	0x00af9a000000fffful	/* a descriptor that has to be changed: ring 3 at least */

static void check_calls(uint64_t pfn, unsigned int type, const uint64_t *page)
{
	check_old(pfn, type, page);
	if (pfn == 203)
		CHECK(page[1] == FLAT_RING0, "descriptor %lx", page[1]);
}

static void hypercalls(void)
{
	volatile uint64_t *gdt;

	make(PAGES, 1);
	domu_fill(DOMU_DATA, PAGES, OLD);
	EXPECT(domu_store(203, 1, FLAT_RING0), 0);
	freeze(GODWIT_SNAPSHOT_FULL, 100000);
	EXPECT(domu_call(__HYPERVISOR_xen_version, XENVER_extraversion, DOMU_VA(200), 0, 0), 0);
	EXPECT(domu_store(201, 0, 1), 0);
	EXPECT(domu_ext(MMUEXT_CLEAR_PAGE, 202), 0);
	EXPECT(domu_map(203, 203, RO_PAGE), 0);
	domu.control[0]->data[0] = domu.mfn[203];
	EXPECT(domu_call(__HYPERVISOR_set_gdt, domu_data(0), 512, 0, 0), 0);
	EXPECT(domu_call(__HYPERVISOR_update_descriptor, domu.mfn[204] * PAGE_SIZE, 0, 0, 0), 0);
	gdt = foreign_map(9, domu.id, 0);
	CHECK(!HC4(mmu_update, &((struct mmu_update){ pte_maddr((uint64_t)gdt, 1), domu.mfn[203] * PAGE_SIZE | RO_PAGE }),
		   1, 0, domu.id), "no map");
	CHECK(gdt[1] == (FLAT_RING0 | 3ul << 45), "descriptor %lx", gdt[1]);
	EXPECT(snap(GODWIT_SNAPSHOT_STATUS, 0, 0), 0);
	CHECK(st.copied >= 5 && st.state == GODWIT_SNAPSHOT_IS_OPEN, "%lu copied, state %u", st.copied, st.state);
	check = check_calls;
	finish(11);
	CHECK(type_of[203] == GODWIT_PAGE_DATA, "type %x", type_of[203]);
	unmake();
}

/* With no reserve the hypervisor's store for the domain does not wait; the domain's own, of the
 * result, does. */
static void no_reserve(void)
{
	struct domu_control *c;

	make(PAGES, 1);
	c = domu.control[0];
	domu_fill(DOMU_DATA, PAGES, OLD);
	freeze(GODWIT_SNAPSHOT_FULL, 0);
	c->call[0] = __HYPERVISOR_xen_version;
	c->call[1] = XENVER_extraversion;
	c->call[2] = DOMU_VA(200);
	domu_start(0, DOMU_CALL);
	CHECK(!domu_wait(0, 100), "it did not wait");
	EXPECT(snap(GODWIT_SNAPSHOT_STATUS, 0, 0), 0);
	CHECK(st.copied == 1 && st.waits == 1, "%lu copied, %lu waits", st.copied, st.waits);
	check = check_old;
	finish(14);
	CHECK(domu_wait(0, 5000), "it still waits");
	unmake();
}

/* What another domain writes: by maps from before and after the instant, and by grant copy. */
static volatile struct grant_entry_v1 *grants;

static void grant_pages(void)
{
	static unsigned long frame;
	struct gnttab_setup_table s = { .dom = domu.id, .nr_frames = 1 };

	set_xen_guest_handle(s.frame_list, &frame);
	EXPECT(HC3(grant_table_op, GNTTABOP_setup_table, &s, 1), 0);
	EXPECT(s.status, GNTST_okay);
	grants = foreign_map(8, domu.id, frame);
	for (unsigned int i = 0; i < 4; i++) {
		grants[8 + i].frame = (uint32_t)domu.mfn[500 + i];
		grants[8 + i].domid = 0;
		grants[8 + i].flags = GTF_permit_access;
	}
}

static uint64_t *grant_map(unsigned int i, uint32_t *handle)
{
	struct gnttab_map_grant_ref m = { .flags = GNTMAP_host_map, .ref = 8 + i, .dom = domu.id };

	m.host_addr = (uint64_t)foreign_map(10 + i, domu.id, 0);
	EXPECT(HC3(grant_table_op, GNTTABOP_map_grant_ref, &m, 1), 0);
	EXPECT(m.status, GNTST_okay);
	*handle = m.handle;
	return (uint64_t *)m.host_addr;
}

static void grant_unmap(uint64_t *at, uint32_t handle)
{
	struct gnttab_unmap_grant_ref u = { .host_addr = (uint64_t)at, .handle = handle };

	EXPECT(HC3(grant_table_op, GNTTABOP_unmap_grant_ref, &u, 1), 0);
	EXPECT(u.status, GNTST_okay);
}

/* The first of its kind leaves some hypervisor pages behind for the next. */
static void warm_up(void)
{
	static bool done;
	uint32_t handle;
	uint64_t *at;

	if (done)
		return;
	done = true;
	domu_create(PAGES, DOMU_MAX_VCPUS);
	grant_pages();
	at = grant_map(0, &handle);
	grant_unmap(at, handle);
	EXPECT(logdirty(GODWIT_LOGDIRTY_ENABLE), 0);
	freeze(GODWIT_SNAPSHOT_FULL, 1);
	domu_destroy();
}

static void backends(void)
{
	struct gnttab_copy c = { .len = 16, .flags = GNTCOPY_dest_gref };
	uint64_t *early, *late;
	uint32_t h1, h2;

	make(PAGES, 1);
	domu_fill(DOMU_DATA, PAGES, OLD);
	grant_pages();
	early = grant_map(0, &h1);
	freeze(GODWIT_SNAPSHOT_FULL, 0);
	early[0] = 1;
	late = grant_map(1, &h2);
	late[511] = 1;
	c.source.u.gmfn = mfn_of(buffer);
	c.source.domid = DOMID_SELF;
	c.dest.u.ref = 8 + 2;
	c.dest.domid = domu.id;
	EXPECT(HC3(grant_table_op, GNTTABOP_copy, &c, 1), 0);
	EXPECT(c.status, GNTST_okay);
	*(uint64_t *)foreign_map(9, domu.id, domu.mfn[504]) = 1;
	check = check_old;
	finish(12);
	freeze(GODWIT_SNAPSHOT_DELTA, 0);
	check = NULL;
	finish(13);
	for (unsigned int pfn = 500; pfn < 503; pfn++)
		CHECK(type_of[pfn] == GODWIT_PAGE_DATA, "pfn %u is not in the delta", pfn);
	grant_unmap(early, h1);
	grant_unmap(late, h2);
	unmake();
}

/* Gone in the middle of it: log-dirty off, the domain destroyed, a new snapshot over the old one. */
static void ends(void)
{
	make(PAGES, 1);
	domu_fill(DOMU_DATA, PAGES, OLD);
	freeze(GODWIT_SNAPSHOT_FULL, 8);
	domu.control[0]->first = DOMU_DATA;
	domu.control[0]->end = PAGES;
	domu.control[0]->value = NEW;
	domu_start(0, DOMU_FILL);
	CHECK(!domu_wait(0, 100), "it does not wait");
	EXPECT(logdirty(GODWIT_LOGDIRTY_DISABLE), 0);
	CHECK(domu_wait(0, 5000), "it still waits");
	EXPECT(logdirty(GODWIT_LOGDIRTY_ENABLE), 0);
	domu_fill(DOMU_DATA, PAGES, NEW);
	freeze(GODWIT_SNAPSHOT_FULL, 100000);
	domu_fill(DOMU_DATA, PAGES, OLD);
	freeze(GODWIT_SNAPSHOT_DELTA, 100000);		/* aborts the first */
	CHECK(st.nr_pfns == PAGES, "%lu pfns", st.nr_pfns);
	domu_fill(DOMU_DATA, PAGES, NEW);
	CHECK(read_set(100) == 100, "too few");
	domu_start(0, DOMU_FILL);
	unmake();
}

static uint64_t time_begin(unsigned int pages)
{
	uint64_t us = ~0ul;

	make(pages, 1);
	for (unsigned int i = 0; i < 5; i++) {
		domu_fill(DOMU_DATA, pages, i + 1);
		freeze(GODWIT_SNAPSHOT_FULL, 100000);
		if (st.begin_us < us)
			us = st.begin_us;
		domu_fill(DOMU_DATA, pages, i);
		EXPECT(snap(GODWIT_SNAPSHOT_ABORT, 0, 0), 0);
	}
	unmake();
	return us;
}

/* Its vCPUs stand as long with four times the memory, or little longer. */
static void constant(void)
{
	uint64_t small = time_begin(4096), large = time_begin(16384);

	printf_("begin_us=%lu with 16 MiB, %lu with 64 MiB\n", small, large);
	CHECK(large < 2 * small + 100, "%lu us with 16 MiB, %lu with 64", small, large);
}

const struct test tests[] = {
	{ "snapshot.rules", rules },
	{ "snapshot.cut", cut },
	{ "snapshot.loads_first", loads_first },
	{ "snapshot.delta", delta },
	{ "snapshot.running", running },
	{ "snapshot.tables", tables },
	{ "snapshot.balloon", balloon },
	{ "snapshot.names", names },
	{ "snapshot.reserve", reserve },
	{ "snapshot.no_reader", no_reader },
	{ "snapshot.abort", abort_ },
	{ "snapshot.hypercalls", hypercalls },
	{ "snapshot.no_reserve", no_reserve },
	{ "snapshot.backends", backends },
	{ "snapshot.ends", ends },
	{ "snapshot.constant", constant },
	{ NULL }
};
