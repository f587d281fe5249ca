/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hypercall on a list of any length gives way: a timer of 2 ms goes on ticking while the list is
 * worked through, and at its end everything was done once, and counted once.  The list is one
 * frame mapped over and over, which is how a hostile guest makes a list of any length cheaply.
 */
#include "tests/guest/lib/guest.h"

#define LIST		0x60000000ul
#define LIST_PAGES	1024u
#define PER_PAGE	(PAGE_SIZE / sizeof(struct mmu_update))
#define NR_REQUESTS	(LIST_PAGES * PER_PAGE)
#define PERIOD_NS	2000000ul
#define MIN_TICKS	5u

static struct mmu_update requests[PER_PAGE] __attribute__((aligned(4096)));
static volatile uint64_t target[512] __attribute__((aligned(4096)));
static unsigned int timer_port;
static volatile bool in_call;
static volatile unsigned int ticks;

static void note_timer(void)
{
	if (evtchn_pending(timer_port)) {
		evtchn_clear(timer_port);
		if (in_call)
			ticks++;
	}
	vcpu_info()->evtchn_pending_sel = 0;
}

static void timer_start(void)
{
	struct evtchn_bind_virq v = { .virq = VIRQ_TIMER, .vcpu = 0 };
	struct vcpu_set_periodic_timer p = { PERIOD_NS };

	event_hook = note_timer;
	if (!timer_port) {
		memset(shared_info->evtchn_mask, 0xff, sizeof(shared_info->evtchn_mask));
		EXPECT(evtchn_op(EVTCHNOP_bind_virq, &v), 0);
		timer_port = v.port;
		evtchn_unmask(timer_port);
	}
	EXPECT(HC3(vcpu_op, VCPUOP_set_periodic_timer, 0, &p), 0);
	vcpu_info()->evtchn_upcall_mask = 0;
	ticks = 0;
}

static void list_make(void)
{
	for (unsigned int i = 0; i < PER_PAGE; i++)
		requests[i] = (struct mmu_update){ maddr_of((const void *)&target[i]), i + 1000 };
	for (unsigned int i = 0; i < LIST_PAGES; i++)
		map_page(LIST + i * PAGE_SIZE, mfn_of(requests), RW_PAGE);
	memset((void *)target, 0, sizeof(target));
}

static void list_check(unsigned int done)
{
	CHECK(done == NR_REQUESTS, "%u of %lu done", done, NR_REQUESTS);
	for (unsigned int i = 0; i < PER_PAGE; i++)
		CHECK(target[i] == i + 1000, "request %u left %lu", i, target[i]);
	CHECK(ticks >= MIN_TICKS, "%u ticks", ticks);
}

static void updates(void)
{
	unsigned int done = 77;

	list_make();
	timer_start();
	in_call = true;
	EXPECT(HC4(mmu_update, LIST, NR_REQUESTS, &done, DOMID_SELF), 0);
	in_call = false;
	list_check(done);
}

/* The one that fails ends the list; what was done before it is counted over all pieces. */
static void updates_fail(void)
{
	unsigned int done = 77;

	list_make();
	timer_start();
	in_call = true;
	EXPECT(HC4(mmu_update, LIST, NR_REQUESTS + 1, &done, DOMID_SELF), -XEN_EFAULT);
	in_call = false;
	list_check(done);
}

static void multicall(void)
{
	static struct multicall_entry e[3];
	unsigned int done = 77;

	list_make();
	timer_start();
	e[0] = e[2] = (struct multicall_entry){ .op = __HYPERVISOR_xen_version, .args = { XENVER_pagesize } };
	e[1] = (struct multicall_entry){ .op = __HYPERVISOR_mmu_update, .result = 5,
					 .args = { LIST, NR_REQUESTS, (uint64_t)&done, DOMID_SELF } };
	in_call = true;
	EXPECT(HC2(multicall, e, 3), 0);
	in_call = false;
	EXPECT(e[0].result, PAGE_SIZE);
	EXPECT(e[1].result, 0);
	EXPECT(e[2].result, PAGE_SIZE);
	list_check(done);
}

static void memory(void)
{
	static uint64_t mfns[8192];
	struct xen_memory_reservation r = { .nr_extents = ARRAY_SIZE(mfns), .domid = DOMID_SELF };

	if (!privileged())	/* an ordinary guest has an allowance */
		test_done();
	set_xen_guest_handle(r.extent_start, mfns);
	timer_start();
	in_call = true;
	EXPECT(HC2(memory_op, XENMEM_increase_reservation, &r), ARRAY_SIZE(mfns));
	for (unsigned int i = 1; i < ARRAY_SIZE(mfns); i++)
		CHECK(mfns[i] && mfns[i] != mfns[i - 1], "extent %u is mfn %lx", i, mfns[i]);
	EXPECT(HC2(memory_op, XENMEM_decrease_reservation, &r), ARRAY_SIZE(mfns));
	in_call = false;
	CHECK(ticks, "no tick");
	/* A start beyond the end is an error, not a count. */
	EXPECT(HC2(memory_op, XENMEM_decrease_reservation | 9000u << 6, &r), -XEN_EINVAL);
}

const struct test tests[] = {
	{ "preempt.updates", updates },
	{ "preempt.updates_fail", updates_fail },
	{ "preempt.multicall", multicall },
	{ "preempt.memory", memory },
	{ NULL },
};
