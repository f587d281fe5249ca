/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hypercalls with arguments from hell: every number with wild pointers, huge counts, senseless
 * sub-commands.  What comes back is an error (or harmless success); the hypervisor stays, the
 * guest's own memory beside the buffers it named stays, and the next test still runs.
 * run: smp=2 dom0_max_vcpus=2
 * Source: Xen public xen.h and the header of each hypercall.
 */
#include "tests/guest/lib/guest.h"

/* Nothing mapped; the hypervisor's slots; not canonical; wrapping; the edges of all that. */
static const uint64_t wild[] = {
	0, 8, 0x123456000, 0x7ffffffffff8, 0x800000000000, 0xffff7ffffffffff8, 0xffff800000000000,
	0xffff810000000000, 0xffff810000047000, 0xffff818000000000, 0xffff830000000000,
	0xffff830000200000, 0xffff87fffffffff8, 0xffff880000000000, 0xfffffffffffffff8, 0xffffffffffffffff,
	1ul << 63,
};
static const uint64_t counts[] = { 1, 2, 0x7fffffff, 0x80000000, 0xffffffff };

/* A page at the end of a mapped range: buffers that begin in it and run out of it. */
static uint64_t edge(void)
{
	static const uint64_t va = 0x50000000;
	static bool done;

	if (!done)
		map_page(va, mfn_of(page_alloc()), RW_PAGE);
	done = true;
	return va + PAGE_SIZE - 8;
}

static bool spared(unsigned int nr)
{
	/* iret goes elsewhere by design; multicall runs what it is given; sched_op may shut down;
	 * set_trap_table(NULL) clears the table; callbacks by number register nonsense. */
	return nr == __HYPERVISOR_iret || nr == __HYPERVISOR_sched_op || nr == __HYPERVISOR_set_callbacks;
}

static void pointers(void)
{
	for (unsigned int nr = 0; nr < 64; nr++) {
		if (spared(nr))
			continue;
		for (unsigned int i = 0; i <= ARRAY_SIZE(wild); i++) {
			uint64_t p = i < ARRAY_SIZE(wild) ? wild[i] : edge();

			for (unsigned int c = 0; c < ARRAY_SIZE(counts); c++)
				hypercall(nr, p, counts[c], p, DOMID_SELF, 0);
		}
	}
	traps_install();
}

/* Those whose first argument is a command and whose second is the pointer. */
static void commands(void)
{
	static const unsigned int calls[] = {
		__HYPERVISOR_memory_op, __HYPERVISOR_xen_version, __HYPERVISOR_callback_op,
		__HYPERVISOR_event_channel_op, __HYPERVISOR_physdev_op, __HYPERVISOR_set_gdt,
		__HYPERVISOR_stack_switch, 49, 50,
	};

	for (unsigned int n = 0; n < ARRAY_SIZE(calls); n++)
		for (unsigned int cmd = 0; cmd < 64; cmd++)
			for (unsigned int i = 0; i <= ARRAY_SIZE(wild); i++)
				hypercall(calls[n], cmd, i < ARRAY_SIZE(wild) ? wild[i] : edge(), 1, 0, 0);
	EXPECT(HC2(set_gdt, 0, 0), 0);
}

/* grant_table_op, vcpu_op, console_io, mmu_update ... : a command or count, then a pointer. */
static void commands_then_pointer(void)
{
	for (unsigned int cmd = 0; cmd < 32; cmd++)
		for (unsigned int i = 0; i <= ARRAY_SIZE(wild); i++) {
			uint64_t p = i < ARRAY_SIZE(wild) ? wild[i] : edge();

			for (unsigned int c = 0; c < ARRAY_SIZE(counts); c++)
				HC3(grant_table_op, cmd, p, counts[c]);
			if (cmd != VCPUOP_down && cmd != VCPUOP_up) {
				HC3(vcpu_op, cmd, 1, p);
				HC3(vcpu_op, cmd, 0x80000000, p);
			}
			if (cmd != VCPUOP_down && cmd != VCPUOP_register_vcpu_info)
				HC3(vcpu_op, cmd, 0, p);
			if (cmd != SCHEDOP_shutdown && cmd != SCHEDOP_block && cmd != SCHEDOP_yield &&
			    (cmd != SCHEDOP_remote_shutdown || p != edge()))	/* 8 bytes: would do */
				REFUSED(HC2(sched_op, cmd, p ? p : 1));
		}
	HC3(vcpu_op, VCPUOP_stop_periodic_timer, 0, 0);
}

static void huge_counts(void)
{
	struct mmu_update u = { ~0ul, 0 };
	struct mmuext_op op = { .cmd = 99 };

	REFUSED(HC4(mmu_update, &u, 0xffffffff, 0, DOMID_SELF));
	REFUSED(HC4(mmuext_op, &op, 0xffffffff, 0, DOMID_SELF));
	REFUSED(HC2(multicall, edge(), 0xffffffff));
	REFUSED(HC3(console_io, CONSOLEIO_write, 0xffffffff, edge()));
	REFUSED(HC2(set_gdt, edge(), 0xffffffff));
}

/* A list as long as a guest can make it: the same page of requests mapped a thousand times.  The
 * hypervisor has to look up from it now and then, or a guest could keep a CPU for minutes. */
#define LIST		0x100000000ul
#define LIST_PAGES	4096ul

static unsigned int ticks;

static void count_tick(void)
{
	ticks++;
	memset(shared_info->evtchn_pending, 0, sizeof(shared_info->evtchn_pending));
	vcpu_info()->evtchn_pending_sel = 0;
}

static void map_list(const void *page)
{
	uint64_t *l1;

	map_page(LIST, mfn_of(page), RW_PAGE);
	for (unsigned int i = 0; i < 512; i++)
		EXPECT(mmu_update_one(pte_maddr(LIST, 1) + i * 8, maddr_of(page) | RW_PAGE), 0);
	l1 = (uint64_t *)pte_of(LIST, 1);
	for (unsigned long va = LIST; va < LIST + LIST_PAGES * PAGE_SIZE; va += 2ul << 20)
		EXPECT(mmu_update_one(pte_maddr(va, 2), maddr_of(l1) | TABLE), 0);
	EXPECT(mmuext(MMUEXT_TLB_FLUSH_LOCAL, 0, 0), 0);
}

static void long_lists(void)
{
	static uint8_t page[PAGE_SIZE] __attribute__((aligned(4096)));
	struct evtchn_bind_virq v = { .virq = VIRQ_TIMER };
	struct vcpu_set_periodic_timer period = { 5000000 };
	struct multicall_entry *e = (struct multicall_entry *)page;
	struct mmu_update *u = (struct mmu_update *)page;
	uint64_t start, took, mfn = mfn_of(page);
	unsigned int done;

	map_list(page);
	memset(shared_info->evtchn_mask, 0xff, sizeof(shared_info->evtchn_mask));
	EXPECT(evtchn_op(EVTCHNOP_bind_virq, &v), 0);
	evtchn_unmask(v.port);
	event_hook = count_tick;
	vcpu_info()->evtchn_upcall_mask = 0;
	EXPECT(HC3(vcpu_op, VCPUOP_set_periodic_timer, 0, &period), 0);

	for (unsigned int i = 0; i < 64; i++)
		e[i] = (struct multicall_entry){ .op = __HYPERVISOR_xen_version, .args = { XENVER_pagesize } };
	ticks = 0;
	start = now_ns();
	EXPECT(HC2(multicall, LIST, LIST_PAGES * 64), 0);
	took = now_ns() - start;
	CHECK(ticks > took / 100000000, "multicall: %u ticks in %lu ns", ticks, took);

	for (unsigned int i = 0; i < 256; i++)
		u[i] = (struct mmu_update){ mfn * PAGE_SIZE | MMU_MACHPHYS_UPDATE, M2P[mfn] };
	ticks = 0;
	start = now_ns();
	EXPECT(HC4(mmu_update, LIST, LIST_PAGES * 256, &done, DOMID_SELF), 0);
	took = now_ns() - start;
	CHECK(done == LIST_PAGES * 256, "done %u", done);
	CHECK(ticks > took / 100000000, "mmu_update: %u ticks in %lu ns", ticks, took);
	EXPECT(HC3(vcpu_op, VCPUOP_stop_periodic_timer, 0, 0), 0);
	EXPECT(evtchn_op(EVTCHNOP_close, &(struct evtchn_close){ v.port }), 0);
}

static void multicall_nesting(void)
{
	struct multicall_entry inner = { .op = __HYPERVISOR_xen_version };
	struct multicall_entry e[3] = {
		{ .op = __HYPERVISOR_multicall, .args = { (unsigned long)e, 3 } },
		{ .op = __HYPERVISOR_multicall, .args = { (unsigned long)&inner, 1 } },
		{ .op = __HYPERVISOR_iret },
	};

	EXPECT(HC2(multicall, e, 3), 0);
	for (unsigned int i = 0; i < 3; i++)
		CHECK((long)e[i].result < 0, "entry %u is %ld", i, (long)e[i].result);
}

/* Reservations and exchanges that lie about what they have. */
static void memory(void)
{
	static uint8_t page[PAGE_SIZE] __attribute__((aligned(4096)));
	unsigned long own = mfn_of(page), foreign = 0x200, out = 0;
	struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };
	struct xen_memory_exchange x = { .in = r, .out = r };

	set_xen_guest_handle(r.extent_start, &foreign);
	EXPECT(HC2(memory_op, XENMEM_decrease_reservation, &r), 0);	/* none done */
	r.extent_order = 63;
	REFUSED(HC2(memory_op, XENMEM_decrease_reservation, &r) - 1);
	REFUSED(HC2(memory_op, XENMEM_populate_physmap, &r) - 1);
	r.extent_order = 0;
	r.nr_extents = ~0ul;
	REFUSED(HC2(memory_op, XENMEM_increase_reservation, &r) - 1);
	r.nr_extents = 1;
	r.domid = 0x7ff4;
	REFUSED(HC2(memory_op, XENMEM_decrease_reservation, &r));
	/* Mapped pages cannot be exchanged, nor others' frames. */
	set_xen_guest_handle(x.in.extent_start, &own);
	set_xen_guest_handle(x.out.extent_start, &out);
	REFUSED(HC2(memory_op, XENMEM_exchange, &x));
	CHECK(x.nr_exchanged == 0, "%lu", (unsigned long)x.nr_exchanged);
	own = foreign;
	REFUSED(HC2(memory_op, XENMEM_exchange, &x));
	x.in.extent_order = x.out.extent_order = 40;
	REFUSED(HC2(memory_op, XENMEM_exchange, &x));
	x.in.extent_order = x.out.extent_order = 0;
	x.in.nr_extents = x.out.nr_extents = 1ul << 60;
	REFUSED(HC2(memory_op, XENMEM_exchange, &x));
}

static void trap_table(void)
{
	struct trap_info t[2] = { { .vector = 0x42, .cs = FLAT_KERNEL_CS, .address = 0xffff830000000000 } };

	REFUSED(HC1(set_trap_table, t));
	t[0].address = 1ul << 47;
	REFUSED(HC1(set_trap_table, t));
	t[0].address = (unsigned long)event_entry;
	t[0].cs = 8;
	HC1(set_trap_table, t);		/* whatever it says, the handler runs at ring 3 */
	REFUSED(HC1(set_trap_table, edge() - 8));
	traps_install();
}

static void callbacks(void)
{
	struct callback_register c = { .type = CALLBACKTYPE_event, .address = 0xffff810000000000 };

	REFUSED(HC2(callback_op, CALLBACKOP_register, &c));
	c.address = 1ul << 47;
	REFUSED(HC2(callback_op, CALLBACKOP_register, &c));
	c.type = 1000;
	c.address = (unsigned long)event_entry;
	REFUSED(HC2(callback_op, CALLBACKOP_register, &c));
	REFUSED(HC3(set_callbacks, 1ul << 47, 1ul << 47, 1ul << 47));
}

static struct vcpu_guest_context ctx;

static long initialise(void)
{
	return HC3(vcpu_op, VCPUOP_initialise, 1, &ctx);
}

static void good_context(void)
{
	static uint8_t stack[PAGE_SIZE] __attribute__((aligned(4096)));

	memset(&ctx, 0, sizeof(ctx));
	ctx.flags = VGCF_in_kernel;
	ctx.user_regs.rip = (unsigned long)event_entry;
	ctx.user_regs.rsp = (unsigned long)stack + sizeof(stack);
	ctx.user_regs.cs = FLAT_KERNEL_CS;
	ctx.user_regs.ss = FLAT_KERNEL_SS;
	ctx.ctrlreg[3] = mfn_of((void *)start_info->pt_base) << 12;
}

/* The context of a second vCPU: each field that could bring the hypervisor down. */
static void vcpu_context(void)
{
	static uint8_t page[PAGE_SIZE] __attribute__((aligned(4096)));

	if (HC3(vcpu_op, VCPUOP_is_up, 1, 0) < 0)
		test_fail("needs a second vCPU");
	good_context();
	ctx.ctrlreg[3] = 0;
	REFUSED(initialise());
	ctx.ctrlreg[3] = mfn_of(page) << 12;
	REFUSED(initialise());
	ctx.ctrlreg[3] = 0x200 << 12;
	REFUSED(initialise());
	ctx.ctrlreg[3] = ~0ul;
	REFUSED(initialise());
	good_context();
	ctx.flags = 0;				/* user mode without tables for it */
	REFUSED(initialise());
	good_context();
	ctx.user_regs.rip = 0xffff810000000000;
	REFUSED(initialise());
	good_context();
	ctx.gdt_ents = 8000;
	REFUSED(initialise());
	ctx.gdt_ents = 512;
	ctx.gdt_frames[0] = 0x200;
	REFUSED(initialise());
	good_context();
	ctx.ldt_ents = 8192;
	ctx.ldt_base = 0xffff810000000000;
	REFUSED(initialise());
	good_context();
	ctx.fs_base = 1ul << 47;
	REFUSED(initialise());
	good_context();
	ctx.gs_base_kernel = 1ul << 62;
	REFUSED(initialise());
	/* Entry points that IRETQ would refuse, the failsafe callback among them, or that are ours. */
	good_context();
	ctx.event_callback_eip = 1ul << 61;
	REFUSED(initialise());
	good_context();
	ctx.failsafe_callback_eip = 1ul << 60;
	REFUSED(initialise());
	good_context();
	ctx.syscall_callback_eip = 0xffff810000000000;
	REFUSED(initialise());
	good_context();
	ctx.trap_ctxt[255].address = 0xffff830000000000;
	REFUSED(initialise());
	REFUSED(HC3(vcpu_op, VCPUOP_up, 1, 0));	/* not initialised yet */
}

/* A vCPU whose registers, selectors, FPU and callbacks are nonsense starts, and faults by itself:
 * either it comes to a stop or the domain is crashed, which is why this one has a boot of its own. */
static void vcpu_wild_start(void)
{
	good_context();
	memset(&ctx.fpu_ctxt, 0xff, sizeof(ctx.fpu_ctxt));
	ctx.flags |= VGCF_i387_valid;
	ctx.user_regs.cs = 0xe008;
	ctx.user_regs.ss = 0xe010;
	ctx.user_regs.ds = ctx.user_regs.es = 0xe040;
	ctx.user_regs.fs = ctx.user_regs.gs = 0xffff;
	ctx.user_regs.rflags = ~0ul;
	ctx.user_regs.rsp = 1ul << 62;
	ctx.event_callback_eip = ctx.failsafe_callback_eip = ctx.syscall_callback_eip = 0x1000;
	memset(ctx.debugreg, 0xff, sizeof(ctx.debugreg));
	for (unsigned int i = 0; i < 256; i++)
		ctx.trap_ctxt[i].address = 0x2000 + i;
	EXPECT(initialise(), 0);
	EXPECT(HC3(vcpu_op, VCPUOP_up, 1, 0), 0);
	for (uint64_t until = now_ns() + 500000000; now_ns() < until; )
		HC2(sched_op, SCHEDOP_yield, 0);
	test_fail("it neither crashed nor stopped");
}

const struct test tests[] = {
	{ "hostile_calls.pointers", pointers },
	{ "hostile_calls.commands", commands },
	{ "hostile_calls.commands_then_pointer", commands_then_pointer },
	{ "hostile_calls.huge_counts", huge_counts },
	{ "hostile_calls.long_lists", long_lists },
	{ "hostile_calls.multicall_nesting", multicall_nesting },
	{ "hostile_calls.memory", memory },
	{ "hostile_calls.trap_table", trap_table },
	{ "hostile_calls.callbacks", callbacks },
	{ "hostile_calls.vcpu_context", vcpu_context },
	{ "hostile_calls.crash.vcpu_wild_start", vcpu_wild_start, "v1: " },
	{ NULL },
};
