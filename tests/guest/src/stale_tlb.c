/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A frame that changed hands cannot be reached through a translation made before: not by the CPU
 * that gave it up without flushing, and not by another one that still writes to it.  What it
 * becomes - somebody's fresh page, a page table - starts clean and stays so.
 * run: smp=2 dom0_max_vcpus=2
 * Source: SDM 3A 4.10.4, "Invalidation of TLBs"; hypervisor/mm/tlb.c.
 */
#include "tests/guest/lib/guest.h"

#define WINDOW	0x40000000ul
#define MS	1000000ul
#define MARK	0xdeadbeefdeadbeeful

static struct vcpu_guest_context ctx;
static volatile uint64_t writes, faults, go_on;

/* vCPU 1 writes the window for as long as it can; its first page fault parks it. */
void writer(void);
void writer(void)
{
	for (;;) {
		for (unsigned int i = 0; i < 512; i += 8)
			((volatile uint64_t *)WINDOW)[i] = MARK;
		writes++;
	}
}

void parked(void);
void parked(void)
{
	faults++;
	for (;;)
		HC2(sched_op, SCHEDOP_yield, 0);
}

static bool wait_for(volatile uint64_t *what, uint64_t atleast, uint64_t ns)
{
	for (uint64_t until = now_ns() + ns; *what < atleast; )
		if (now_ns() > until)
			return false;
	return true;
}

static void writer_start(void)
{
	static uint8_t stack[4 * PAGE_SIZE] __attribute__((aligned(4096)));

	ctx.flags = VGCF_in_kernel;
	ctx.user_regs.rip = (unsigned long)writer;
	ctx.user_regs.rsp = (unsigned long)stack + sizeof(stack) - 8;
	ctx.user_regs.cs = FLAT_KERNEL_CS;
	ctx.user_regs.ss = FLAT_KERNEL_SS;
	ctx.ctrlreg[3] = mfn_of((void *)start_info->pt_base) << 12;
	ctx.event_callback_eip = ctx.failsafe_callback_eip = (unsigned long)parked;
	for (unsigned int i = 0; i < 32; i++)
		ctx.trap_ctxt[i] = (struct trap_info){ i, 4, FLAT_KERNEL_CS, (unsigned long)parked };
	EXPECT(HC3(vcpu_op, VCPUOP_initialise, 1, &ctx), 0);
	EXPECT(HC3(vcpu_op, VCPUOP_up, 1, 0), 0);
	CHECK(wait_for(&writes, 10, 2000 * MS), "vCPU 1 does not write");
}

static long reservation(unsigned int cmd, unsigned long *frame)
{
	struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };

	set_xen_guest_handle(r.extent_start, frame);
	return HC2(memory_op, cmd, &r);
}

static uint8_t page[PAGE_SIZE] __attribute__((aligned(4096)));

/* Given back while vCPU 1 still writes through its old translation, and taken anew. */
static void freed_frame(void)
{
	unsigned long mfn = mfn_of(page), pfn = M2P[mfn], got = pfn;
	uint64_t before;

	map_page(WINDOW, mfn, RW_PAGE);
	EXPECT(HC3(update_va_mapping, page, 0, UVMF_INVLPG | UVMF_ALL), 0);
	writer_start();
	EXPECT(HC3(update_va_mapping, WINDOW, 0, 0), 0);	/* nobody flushes */
	before = writes;
	wait_for(&writes, before + 10, 100 * MS);
	EXPECT(reservation(XENMEM_decrease_reservation, &mfn), 1);
	before = writes;
	wait_for(&writes, before + 100, 100 * MS);		/* into a frame that is nobody's */
	EXPECT(reservation(XENMEM_populate_physmap, &got), 1);
	EXPECT(HC3(update_va_mapping, page, got * PAGE_SIZE | RW_PAGE, UVMF_INVLPG), 0);
	for (unsigned int i = 0; i < 512; i++)
		CHECK(((volatile uint64_t *)page)[i] == 0, "word %u of frame %lx (was %lx) is %lx", i, got, mfn,
		      ((volatile uint64_t *)page)[i]);
	p2m[pfn] = got;
	if (got == mfn)
		CHECK(wait_for(&faults, 1, 2000 * MS), "vCPU 1 still writes");
	EXPECT(HC3(vcpu_op, VCPUOP_down, 1, 0), 0);
}

/* Alone: unmapped without a flush, the page becomes a table; the old translation must not serve. */
static void table_of_stale_page(void)
{
	uint64_t *t = page_alloc();

	map_page(WINDOW, mfn_of(t), RW_PAGE);
	EXPECT(page_protect(t, false), 0);
	EXPECT(mmuext(MMUEXT_TLB_FLUSH_ALL, 0, 0), 0);
	*(volatile uint64_t *)WINDOW = 0;			/* now it is in the TLB */
	REFUSED(mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(t), 0));
	EXPECT(HC3(update_va_mapping, WINDOW, 0, 0), 0);
	EXPECT(mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(t), 0), 0);
	CHECK(!try_write(WINDOW, start_info->pt_base), "a page table was written");
	CHECK(t[0] == 0, "%lx", t[0]);
	EXPECT(mmuext(MMUEXT_UNPIN_TABLE, mfn_of(t), 0), 0);
}

/* The same for a page that was writable through an L1 of its own that went away. */
static void table_gone(void)
{
	uint64_t *t = page_alloc();
	const uint64_t va = WINDOW + (1ul << 30);

	map_page(va, mfn_of(t), RW_PAGE);
	EXPECT(page_protect(t, false), 0);
	EXPECT(mmuext(MMUEXT_TLB_FLUSH_ALL, 0, 0), 0);
	*(volatile uint64_t *)va = 0;
	EXPECT(mmu_update_one(pte_maddr(va, 2), 0), 0);		/* its L1 goes, and its references */
	EXPECT(mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(t), 0), 0);
	CHECK(!try_write(va, start_info->pt_base), "a page table was written");
	CHECK(t[0] == 0, "%lx", t[0]);
	EXPECT(mmuext(MMUEXT_UNPIN_TABLE, mfn_of(t), 0), 0);
}

const struct test tests[] = {
	{ "stale_tlb.table_of_stale_page", table_of_stale_page },
	{ "stale_tlb.table_gone", table_gone },
	{ "stale_tlb.freed_frame", freed_frame },
	{ NULL },
};
