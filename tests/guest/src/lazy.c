/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A domain whose frames come after it started cannot tell: whatever touches a missing frame - a load, a
 * store, an operand of a hypercall, an upcall's frame, a table that is pinned - waits until the bytes
 * are there and then sees them; it never sees anything else.  What others do with a missing frame is put off, not
 * done.  Nothing is asked for that nobody touched.
 * run: smp=2 mem=320 dom0_max_vcpus=1
 */
#include "tests/guest/lib/domu.h"

#define PAGES	1024u
#define BATCH	64u
#define OLD	1111u
#define NEW	2222u

static uint64_t pfns[BATCH];
static uint8_t types[BATCH];
static uint8_t buffer[BATCH][PAGE_SIZE] __attribute__((aligned(4096)));
static struct godwit_lazy st;
static uint64_t nr_served, heap_before;
static bool served[PAGES];
/* Contents that differ from domu_word() of OLD. */
static uint64_t special_pfn, special[PAGE_SIZE / 8];

/* --- operations ------------------------------------------------------------------------------------ */

static long logdirty(unsigned int action)
{
	struct godwit_logdirty op = { .domid = domu.id, .action = (uint16_t)action };

	return godwit_op(GODWIT_OP_logdirty, &op);
}

static long lazy(unsigned int action, unsigned int nr)
{
	st = (struct godwit_lazy){ .domid = domu.id, .action = (uint16_t)action, .nr = nr, .pfns = (uint64_t)pfns };
	return godwit_op(GODWIT_OP_lazy, &st);
}

static long mark_one(uint64_t pfn)
{
	pfns[0] = pfn;
	return lazy(GODWIT_LAZY_MARK, 1);
}

static void mark(uint64_t first, uint64_t end)
{
	while (first < end) {
		unsigned int n = 0;

		while (n < BATCH && first < end)
			pfns[n++] = first++;
		EXPECT(lazy(GODWIT_LAZY_MARK, n), 0);
		CHECK(st.nr_done == n, "%u of %u marked", st.nr_done, n);
	}
}

static long write_one(uint64_t pfn, unsigned int type)
{
	struct godwit_frames op = { .domid = domu.id, .nr = 1 };

	pfns[0] = pfn;
	types[0] = (uint8_t)type;
	op.pfns = (uint64_t)pfns;
	op.types = (uint64_t)types;
	op.buffer = (uint64_t)buffer;
	return godwit_op(GODWIT_OP_write_frames, &op);
}

static void serve_one(uint64_t pfn)
{
	uint64_t *page = (uint64_t *)buffer[0];

	for (unsigned int i = 0; i < PAGE_SIZE / 8; i++)
		page[i] = domu_word(pfn, OLD);
	if (special_pfn == pfn)
		memcpy(page, special, PAGE_SIZE);
	EXPECT(write_one(pfn, GODWIT_PAGE_DATA), 0);
	CHECK(!served[pfn], "pfn %lu asked for twice", pfn);
	served[pfn] = true;
	nr_served++;
}

/* Give what is asked for until vCPU @vcpu is done. */
static void serve(unsigned int vcpu)
{
	uint64_t end = now_ns() + 20000000000ul;

	while (domu.control[vcpu]->order != DOMU_IDLE) {
		static uint64_t list[BATCH];

		CHECK(now_ns() < end, "vCPU %u is not done", vcpu);
		EXPECT(lazy(GODWIT_LAZY_FETCH, BATCH), 0);
		unsigned int n = st.nr_done;
		memcpy(list, pfns, n * sizeof(list[0]));
		for (unsigned int i = 0; i < n; i++)
			serve_one(list[i]);
		if (!n)
			HC2(sched_op, SCHEDOP_yield, 0);
	}
}

static void backends(void);

/* A domain that may run, with @first..@end missing. */
static void make(unsigned int nr_vcpus, uint64_t first, uint64_t end)
{
	static bool warm;

	if (domu.id)
		domu_destroy();
	if (!warm) {		/* some pages stay the hypervisor's from the first time on */
		warm = true;
		domu_upcall_stack = DOMU_VA(DOMU_STACK + 1) - 8;
		domu_create(PAGES, DOMU_MAX_VCPUS);
		domu_send_event();
		domu_destroy();
		domu_upcall_stack = 0;
		backends();
	}
	heap_before = heap_frames();
	memset(served, 0, sizeof(served));
	nr_served = special_pfn = 0;
	domu_build(PAGES, nr_vcpus);
	EXPECT(logdirty(GODWIT_LOGDIRTY_ENABLE), 0);
	mark(first, end);
	domu_unpause();
}

static void unmake(void)
{
	static bool warm;

	domu_destroy();
	domu_upcall_stack = 0;
	if (!warm)
		heap_before = heap_frames();
	warm = true;
	CHECK(heap_frames() == heap_before, "%lu frames free, %lu before", heap_frames(), heap_before);
}

static void order(unsigned int vcpu, uint32_t what, uint64_t first, uint64_t end, uint64_t value)
{
	struct domu_control *c = domu.control[vcpu];

	c->first = first;
	c->end = end;
	c->value = value;
	domu_start(vcpu, what);
}

static long lazy_call(unsigned int nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	struct domu_control *k = domu.control[0];

	k->call[0] = nr;
	k->call[1] = a;
	k->call[2] = b;
	k->call[3] = c;
	k->call[4] = d;
	domu_start(0, DOMU_CALL);
	serve(0);
	return (long)k->result;
}

static uint64_t domu_read(uint64_t pfn, unsigned int word)
{
	order(0, DOMU_READ, DOMU_VA(pfn) + word * 8, 0, 0);
	serve(0);
	return domu.control[0]->result;
}

/* --- tests ------------------------------------------------------------------------------------------- */

static void rules(void)
{
	struct godwit_snapshot snap = { .domid = 0, .action = GODWIT_SNAPSHOT_PREPARE };

	make(1, 0, 0);
	unmake();
	domu_build(PAGES, 1);
	EXPECT(mark_one(DOMU_DATA), -XEN_EINVAL);		/* no shadow mode */
	EXPECT(logdirty(GODWIT_LOGDIRTY_ENABLE), 0);
	EXPECT(lazy(GODWIT_LAZY_FETCH, 1), -XEN_EINVAL);
	EXPECT(mark_one(DOMU_L1), -XEN_EINVAL);
	EXPECT(mark_one(DOMU_L4), -XEN_EINVAL);
	EXPECT(mark_one(PAGES), -XEN_EINVAL);
	EXPECT(mark_one(~0ul), -XEN_EINVAL);
	EXPECT(mark_one(200), 0);
	EXPECT(mark_one(200), -XEN_EINVAL);
	EXPECT(mark_one(201), 0);
	EXPECT(mark_one(202), 0);
	EXPECT(write_one(202, GODWIT_PAGE_DATA), 0);		/* it came before the domain runs */
	CHECK(!lazy(GODWIT_LAZY_STATUS, 0) && st.nr_left == 2, "%lu left", st.nr_left);
	domu_unpause();
	EXPECT(mark_one(203), -XEN_EINVAL);
	EXPECT(logdirty(GODWIT_LOGDIRTY_DISABLE), -XEN_EBUSY);
	snap.domid = domu.id;
	EXPECT(godwit_op(GODWIT_OP_snapshot, &snap), 0);
	snap.action = GODWIT_SNAPSHOT_BEGIN;
	snap.flags = GODWIT_SNAPSHOT_FULL;
	domu_pause();
	EXPECT(godwit_op(GODWIT_OP_snapshot, &snap), -XEN_EBUSY);
	domu_unpause();
	EXPECT(write_one(202, GODWIT_PAGE_DATA), -XEN_EINVAL);	/* not missing any more */
	EXPECT(write_one(300, GODWIT_PAGE_DATA), -XEN_EINVAL);
	EXPECT(write_one(200, GODWIT_PAGE_L1), -XEN_EINVAL);
	EXPECT(write_one(200, GODWIT_PAGE_ABSENT), -XEN_EINVAL);
	EXPECT(write_one(200, GODWIT_PAGE_ZERO), 0);
	EXPECT(write_one(200, GODWIT_PAGE_ZERO), -XEN_EINVAL);
	EXPECT(write_one(201, GODWIT_PAGE_ZERO), 0);
	EXPECT(write_one(201, GODWIT_PAGE_ZERO), -XEN_EBUSY);	/* as for any domain that ran */
	EXPECT(logdirty(GODWIT_LOGDIRTY_DISABLE), 0);
	domu_fill(DOMU_DATA, PAGES, NEW);
	unmake();
}

static void loads(void)
{
	make(1, DOMU_DATA, PAGES);
	order(0, DOMU_READ_ALL, 200, 300, OLD);
	serve(0);
	CHECK(domu.control[0]->result == 0, "%lu pages are wrong", domu.control[0]->result);
	CHECK(nr_served == 100, "%lu pages asked for", nr_served);
	EXPECT(lazy(GODWIT_LAZY_STATUS, 0), 0);
	CHECK(st.nr_left == PAGES - DOMU_DATA - 100 && st.waits == 100 && !st.waiting, "%lu left, %lu waits, %u wait",
	      st.nr_left, st.waits, st.waiting);
	printf_("wait_us=%lu at the mean, %lu at most\n", st.wait_us / st.waits, st.wait_max_us);
	for (unsigned int pfn = 300; pfn < 400; pfn++)		/* what comes unasked is there when it is touched */
		serve_one(pfn);
	order(0, DOMU_READ_ALL, 300, 400, OLD);
	CHECK(domu_wait(0, 2000) && domu.control[0]->result == 0, "not there");
	EXPECT(lazy(GODWIT_LAZY_STATUS, 0), 0);
	CHECK(st.waits == 100, "%lu waits", st.waits);
	for (unsigned int pfn = DOMU_DATA; pfn < PAGES; pfn++)
		if (!served[pfn])
			serve_one(pfn);
	EXPECT(logdirty(GODWIT_LOGDIRTY_DISABLE), 0);
	order(0, DOMU_READ_ALL, DOMU_DATA, PAGES, OLD);
	CHECK(domu_wait(0, 5000) && domu.control[0]->result == 0, "wrong in the end");
	unmake();
}

/* A store goes into the bytes that came, not under them. */
static void stores(void)
{
	make(1, DOMU_DATA, PAGES);
	order(0, DOMU_FILL, 200, 240, NEW);
	serve(0);
	for (unsigned int pfn = 200; pfn < 240; pfn++) {
		CHECK(domu_read(pfn, 0) == domu_word(pfn, NEW), "pfn %u lost its store", pfn);
		CHECK(domu_read(pfn, 1) == domu_word(pfn, OLD), "pfn %u lost its bytes", pfn);
	}
	unmake();
}

static void hypercalls(void)
{
	struct multicall_entry *m = (struct multicall_entry *)special;
	struct mmu_update *u = (struct mmu_update *)special;

	make(1, DOMU_DATA, PAGES);
	/* a result into a missing page */
	EXPECT(lazy_call(__HYPERVISOR_xen_version, XENVER_extraversion, DOMU_VA(200) + 64, 0, 0), 0);
	CHECK(domu_read(200, 0) == domu_word(200, OLD) && domu_read(200, 8) != domu_word(200, OLD), "extraversion");

	/* a plain store into a missing page, by an operation in one that is missing */
	memset(special, 0, sizeof(special));
	u[0].ptr = domu.mfn[202] * PAGE_SIZE + 8;
	u[0].val = 77;
	special_pfn = 210;
	domu.control[0]->data[0] = domu.mfn[202] * PAGE_SIZE;
	domu.control[0]->data[1] = 66;
	EXPECT(lazy_call(__HYPERVISOR_mmu_update, domu_data(0), 1, 0, DOMID_SELF), 0);	/* plain store, missing page */
	EXPECT(lazy_call(__HYPERVISOR_mmu_update, DOMU_VA(210), 1, 0, DOMID_SELF), 0);
	CHECK(domu_read(202, 0) == 66 && domu_read(202, 1) == 77 && domu_read(202, 2) == domu_word(202, OLD),
	      "%lu %lu", domu_read(202, 0), domu_read(202, 1));

	/* a list that begins in a page that is there and ends in one that is missing: each once, for
	 * a table is not pinned twice */
	for (unsigned int i = 0; i < 2; i++) {
		domu.control[0]->data[0] = domu.mfn[240] * PAGE_SIZE + (509 + i) * 8;
		domu.control[0]->data[1] = i ? domu.mfn[DOMU_L1 + 1] : MMUEXT_PIN_L1_TABLE;
		EXPECT(lazy_call(__HYPERVISOR_mmu_update, domu_data(0), 1, 0, DOMID_SELF), 0);
	}
	memset(special, 0, sizeof(special));
	special[0] = MMUEXT_CLEAR_PAGE;
	special[1] = domu.mfn[242];
	special_pfn = 241;
	EXPECT(lazy_call(__HYPERVISOR_mmuext_op, DOMU_VA(241) - 24, 2, 0, DOMID_SELF), 0);
	CHECK(served[241] && domu_read(242, 3) == 0, "second operation");
	domu.control[0]->data[0] = MMUEXT_UNPIN_TABLE;
	domu.control[0]->data[1] = domu.mfn[DOMU_L1 + 1];
	EXPECT(lazy_call(__HYPERVISOR_mmuext_op, domu_data(0), 1, 0, DOMID_SELF), 0);

	/* a multicall, whose second call has a missing operand and whose third counts */
	memset(special, 0, sizeof(special));
	domu.control[0]->data[0] = MMUEXT_PIN_L1_TABLE;		/* can be had once */
	domu.control[0]->data[1] = domu.mfn[DOMU_L1 + 1];
	m[0].op = __HYPERVISOR_mmuext_op;
	m[0].args[0] = domu_data(0);
	m[0].args[1] = 1;
	m[0].args[3] = DOMID_SELF;
	m[1].op = __HYPERVISOR_xen_version;
	m[1].args[0] = XENVER_extraversion;
	m[1].args[1] = DOMU_VA(212);
	m[2].op = __HYPERVISOR_xen_version;
	m[2].args[0] = XENVER_version;
	special_pfn = 211;
	EXPECT(lazy_call(__HYPERVISOR_multicall, DOMU_VA(211), 3, 0, 0), 0);
	CHECK(domu_read(211, 1) == 0 && domu_read(211, 9) == 0 && (domu_read(211, 17) >> 16) == 4,
	      "results %lx %lx %lx", domu_read(211, 1), domu_read(211, 9), domu_read(211, 17));

	/* by frame number: copy from and to, clear, pin */
	domu.control[0]->data[0] = MMUEXT_COPY_PAGE;
	domu.control[0]->data[1] = domu.mfn[220];
	domu.control[0]->data[2] = domu.mfn[221];
	EXPECT(lazy_call(__HYPERVISOR_mmuext_op, domu_data(0), 1, 0, DOMID_SELF), 0);
	CHECK(domu_read(220, 5) == domu_word(221, OLD), "copy");
	memset(special, 0, sizeof(special));
	special[7] = domu.mfn[300] * PAGE_SIZE | RO_PAGE;
	special_pfn = 230;
	EXPECT(lazy_call(__HYPERVISOR_update_va_mapping, DOMU_VA(230), domu.mfn[230] * PAGE_SIZE | RO_PAGE,
			 UVMF_INVLPG, 0), 0);
	domu.control[0]->data[0] = MMUEXT_PIN_L1_TABLE;
	domu.control[0]->data[1] = domu.mfn[230];
	EXPECT(lazy_call(__HYPERVISOR_mmuext_op, domu_data(0), 1, 0, DOMID_SELF), 0);
	CHECK(served[230], "a table was validated without its entries");
	CHECK(domu_read(230, 7) == special[7], "entry %lx", domu_read(230, 7));
	domu.control[0]->data[0] = MMUEXT_UNPIN_TABLE;
	EXPECT(lazy_call(__HYPERVISOR_mmuext_op, domu_data(0), 1, 0, DOMID_SELF), 0);
	unmake();
}

/* An upcall's frame goes to a stack that is missing: the event waits, and comes once. */
static void upcall(void)
{
	/* The main loop's own words, six at most, are in the page above. */
	domu_upcall_stack = DOMU_VA(DOMU_STACK + 1) + 56;
	make(1, DOMU_STACK, DOMU_STACK + 1);
	order(0, DOMU_READ, DOMU_VA(DOMU_DATA), 0, 0);
	serve(0);
	CHECK(nr_served == 0, "the stack was used before: this proves nothing");
	domu_send_event();
	for (uint64_t end = now_ns() + 5000000000ul; !domu.control[0]->events && now_ns() < end;) {
		domu.control[0]->stop = 0;
		EXPECT(lazy(GODWIT_LAZY_FETCH, BATCH), 0);
		if (st.nr_done) {
			CHECK(!domu.control[0]->events, "it came before its stack");
			serve_one(pfns[0]);
		}
		HC2(sched_op, SCHEDOP_yield, 0);
	}
	CHECK(nr_served == 1 && served[DOMU_STACK], "%lu served", nr_served);
	CHECK(domu.control[0]->events == 1, "%lu upcalls", domu.control[0]->events);
	domu_fill(DOMU_DATA, DOMU_DATA + 8, NEW);		/* and it lives */
	unmake();
}

/* The same with a trap, which comes once whatever happens: rip is behind the instruction. */
static void trap(void)
{
	domu_upcall_stack = DOMU_VA(DOMU_STACK + 1) + 56;
	make(1, DOMU_STACK, DOMU_STACK + 1);
	order(0, DOMU_READ, DOMU_VA(DOMU_DATA), 0, 0);
	serve(0);
	CHECK(nr_served == 0, "the stack was used before: this proves nothing");
	domu_start(0, DOMU_TRAP);
	serve(0);
	CHECK(nr_served == 1 && served[DOMU_STACK], "%lu served", nr_served);
	CHECK(domu.control[0]->events == 1, "%lu breakpoints", domu.control[0]->events);
	domu_start(0, DOMU_TRAP);
	CHECK(domu_wait(0, 2000) && domu.control[0]->events == 2, "%lu breakpoints", domu.control[0]->events);
	unmake();
}

/* A backend is told to try again, and the page is fetched for it. */
static void backends(void)
{
	static unsigned long frame;
	struct gnttab_setup_table s = { .dom = 0, .nr_frames = 1 };
	struct gnttab_map_grant_ref m = { .flags = GNTMAP_host_map, .ref = 8 };
	struct gnttab_copy c = { .len = 16, .flags = GNTCOPY_dest_gref };
	struct gnttab_unmap_grant_ref u = { 0 };
	volatile struct grant_entry_v1 *grants;

	make(1, DOMU_DATA, PAGES);
	s.dom = m.dom = c.dest.domid = domu.id;
	set_xen_guest_handle(s.frame_list, &frame);
	EXPECT(HC3(grant_table_op, GNTTABOP_setup_table, &s, 1), 0);
	grants = foreign_map(8, domu.id, frame);
	for (unsigned int i = 0; i < 2; i++) {
		grants[8 + i].frame = (uint32_t)domu.mfn[500 + i];
		grants[8 + i].domid = 0;
		grants[8 + i].flags = GTF_permit_access;
	}
	m.host_addr = (uint64_t)foreign_map(10, domu.id, 0);
	EXPECT(HC3(grant_table_op, GNTTABOP_map_grant_ref, &m, 1), 0);
	EXPECT(m.status, GNTST_eagain);
	CHECK(grants[8].flags == GTF_permit_access, "flags %x", grants[8].flags);
	c.source.u.gmfn = mfn_of(special);
	c.source.domid = DOMID_SELF;
	c.dest.u.ref = 9;
	EXPECT(HC3(grant_table_op, GNTTABOP_copy, &c, 1), 0);
	EXPECT(c.status, GNTST_eagain);
	EXPECT(HC4(mmu_update, &((struct mmu_update){ pte_maddr(m.host_addr, 1), domu.mfn[502] * PAGE_SIZE | RW_PAGE }),
		   1, 0, domu.id), -XEN_EAGAIN);
	EXPECT(lazy(GODWIT_LAZY_FETCH, BATCH), 0);
	CHECK(st.nr_done == 3 && pfns[0] == 500 && pfns[1] == 501 && pfns[2] == 502, "%u asked for, %lu", st.nr_done, pfns[0]);
	serve_one(500);
	serve_one(501);
	EXPECT(HC3(grant_table_op, GNTTABOP_map_grant_ref, &m, 1), 0);
	EXPECT(m.status, GNTST_okay);
	CHECK(*(volatile uint64_t *)m.host_addr == domu_word(500, OLD), "mapped too early");
	EXPECT(HC3(grant_table_op, GNTTABOP_copy, &c, 1), 0);
	EXPECT(c.status, GNTST_okay);
	u.host_addr = m.host_addr;
	u.handle = m.handle;
	EXPECT(HC3(grant_table_op, GNTTABOP_unmap_grant_ref, &u, 1), 0);
	EXPECT(u.status, GNTST_okay);
	unmake();
}

/* Given back untouched, renamed: nobody waits for what will not come. */
static void balloon(void)
{
	struct xen_memory_reservation *r;
	unsigned int nr = 0;

	make(1, DOMU_DATA, PAGES);
	r = (void *)&domu.control[0]->data[8];
	EXPECT(lazy_call(__HYPERVISOR_update_va_mapping, DOMU_VA(400), 0, UVMF_INVLPG | UVMF_ALL, 0), 0);
	memset(r, 0, sizeof(*r));
	domu.control[0]->data[0] = domu.mfn[400];
	r->nr_extents = 1;
	r->domid = DOMID_SELF;
	r->extent_start.p = (void *)domu_data(0);
	EXPECT(lazy_call(__HYPERVISOR_memory_op, XENMEM_decrease_reservation, domu_data(8), 0, 0), 1);
	EXPECT(lazy(GODWIT_LAZY_STATUS, 0), 0);
	CHECK(st.nr_left == PAGES - DOMU_DATA - 1 && nr_served == 0, "%lu left", st.nr_left);
	EXPECT(write_one(400, GODWIT_PAGE_ZERO), -XEN_EINVAL);
	domu.control[0]->data[0] = 400;
	EXPECT(lazy_call(__HYPERVISOR_memory_op, XENMEM_populate_physmap, domu_data(8), 0, 0), 1);
	EXPECT(lazy_call(__HYPERVISOR_update_va_mapping, DOMU_VA(400), domu.control[0]->data[0] * PAGE_SIZE | RW_PAGE,
			 UVMF_INVLPG | UVMF_ALL, 0), 0);
	CHECK(domu_read(400, 0) == 0 && nr_served == nr, "new memory is not missing");
	unmake();
}

/* Four vCPUs want the same pages at once, and others arrive in the background. */
static void many(void)
{
	uint64_t back = PAGES;

	make(DOMU_MAX_VCPUS, DOMU_DATA, PAGES);
	for (unsigned int i = 0; i < DOMU_MAX_VCPUS; i++)
		order(i, DOMU_READ_ALL, DOMU_DATA + i, PAGES, OLD);
	for (unsigned int n = 0; n < 300; n++) {
		EXPECT(lazy(GODWIT_LAZY_FETCH, 1), 0);
		if (st.nr_done)
			serve_one(pfns[0]);
		while (n % 4 == 0 && back > DOMU_DATA && served[--back])
			;
		if (n % 4 == 0 && !served[back])
			serve_one(back);
	}
	for (unsigned int i = 0; i < DOMU_MAX_VCPUS; i++)
		serve(i);
	for (unsigned int i = 0; i < DOMU_MAX_VCPUS; i++)
		CHECK(domu.control[i]->result == 0, "vCPU %u saw %lu wrong pages", i, domu.control[i]->result);
	EXPECT(lazy(GODWIT_LAZY_STATUS, 0), 0);
	CHECK(st.nr_left == 0 && !st.waiting, "%lu left, %u wait", st.nr_left, st.waiting);
	unmake();
}

/* The channel tells of each page that is asked for. */
static void channel(void)
{
	struct evtchn_alloc_unbound a = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };

	make(1, 0, 0);
	domu_destroy();
	EXPECT(evtchn_op(EVTCHNOP_alloc_unbound, &a), 0);
	domu_build(PAGES, 1);
	EXPECT(logdirty(GODWIT_LOGDIRTY_ENABLE), 0);
	pfns[0] = 200;
	st = (struct godwit_lazy){ .domid = domu.id, .action = GODWIT_LAZY_MARK, .nr = 1, .port = a.port,
				   .pfns = (uint64_t)pfns };
	EXPECT(godwit_op(GODWIT_OP_lazy, &st), 0);
	domu_unpause();
	CHECK(!evtchn_pending(a.port), "too early");
	order(0, DOMU_READ, DOMU_VA(200), 0, 0);
	for (uint64_t end = now_ns() + 5000000000ul; !evtchn_pending(a.port) && now_ns() < end;)
		HC2(sched_op, SCHEDOP_yield, 0);
	CHECK(evtchn_pending(a.port), "no event");
	serve(0);
	evtchn_clear(a.port);
	EXPECT(evtchn_op(EVTCHNOP_close, &(struct evtchn_close){ a.port }), 0);
	unmake();
}

static void ends(void)
{
	make(2, DOMU_DATA, PAGES);
	order(0, DOMU_READ_ALL, DOMU_DATA, PAGES, OLD);
	order(1, DOMU_FILL, DOMU_DATA, PAGES, NEW);
	CHECK(!domu_wait(0, 100), "it does not wait");
	unmake();
}

const struct test tests[] = {
	{ "lazy.rules", rules },
	{ "lazy.loads", loads },
	{ "lazy.stores", stores },
	{ "lazy.hypercalls", hypercalls },
	{ "lazy.upcall", upcall },
	{ "lazy.trap", trap },
	{ "lazy.backends", backends },
	{ "lazy.balloon", balloon },
	{ "lazy.many", many },
	{ "lazy.channel", channel },
	{ "lazy.ends", ends },
	{ NULL }
};
