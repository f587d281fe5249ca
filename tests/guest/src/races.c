/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two vCPUs do to the same few pages, at the same time and at random, all that changes page types:
 * entries written, pages mapped and unmapped, tables pinned, unpinned, loaded, frames given back and
 * taken anew.  Each request may be granted or refused; nobody crashes.  Afterwards all is undone:
 * then every page can be made writable again and given back, and the domain's count of pages goes
 * down by exactly that - a reference lost or gained on the way would show.
 * run: smp=2 dom0_max_vcpus=2
 */
#include "tests/guest/lib/guest.h"

#define WINDOW	0x40000000ul
#define SLOTS	48u
#define PAGES	20u
#define MS	1000000ul
#define RUN_NS	(3000 * MS)
#define MAX_NS	(40000 * MS)		/* on a busy machine */
#define KINDS	7u
#define ENOUGH	10u			/* granted requests of each kind that a run must have seen */

static uint8_t pool[PAGES][PAGE_SIZE] __attribute__((aligned(4096)));
static struct vcpu_guest_context ctx;
static volatile uint64_t stop, stopped, faults, done_ops[2], granted[2][8];
#define NO_FRAME	(~0ul >> 12)
static volatile uint8_t busy[PAGES];	/* a page whose frame is being exchanged */

/* Frames given back: one still pinned then stays the domain's until somebody unpins it. */
static uint64_t given[65536];
static unsigned int nr_given;

struct dice {
	uint64_t x;
	unsigned int cpu;
};

static uint64_t roll(struct dice *d, uint64_t n)
{
	d->x ^= d->x << 13;
	d->x ^= d->x >> 7;
	d->x ^= d->x << 17;
	return (d->x >> 11) % n;
}

static uint64_t pool_mfn(unsigned int i)
{
	return __atomic_load_n(&p2m[((uint64_t)pool[i] - VIRT_BASE) / PAGE_SIZE], __ATOMIC_RELAXED);
}

static uint64_t random_entry(struct dice *d)
{
	static const uint64_t flags[] = { RW_PAGE, RO_PAGE, TABLE, TABLE, TABLE, RW_PAGE | PTE_PSE, 0, RO_PAGE | PTE_NX };

	return pool_mfn(roll(d, PAGES)) * PAGE_SIZE | flags[roll(d, ARRAY_SIZE(flags))];
}

static long reservation(unsigned int cmd, unsigned long *frame)
{
	struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };

	set_xen_guest_handle(r.extent_start, frame);
	return HC2(memory_op, cmd, &r);
}

/* A new frame for a page that has none.  A domain at its limit gets one only when the old one is
 * really gone, and that is when the last who uses it lets go. */
static bool refill(unsigned int i)
{
	unsigned long frame = ((uint64_t)pool[i] - VIRT_BASE) / PAGE_SIZE, pfn = frame;

	if (reservation(XENMEM_populate_physmap, &frame) != 1)
		return false;
	__atomic_store_n(&p2m[pfn], frame, __ATOMIC_RELAXED);
	return !HC3(update_va_mapping, pool[i], frame * PAGE_SIZE | RW_PAGE, UVMF_INVLPG | UVMF_ALL);
}

/* Give the frame back and take another for it. */
static long renew(unsigned int i)
{
	unsigned long mfn, pfn = ((uint64_t)pool[i] - VIRT_BASE) / PAGE_SIZE;
	bool good = true;

	if (__atomic_exchange_n(&busy[i], 1, __ATOMIC_ACQUIRE))
		return -1;
	mfn = pool_mfn(i);
	if (mfn != NO_FRAME) {
		HC3(update_va_mapping, pool[i], 0, UVMF_INVLPG | UVMF_ALL);
		if (reservation(XENMEM_decrease_reservation, &mfn) == 1) {
			given[__atomic_fetch_add(&nr_given, 1, __ATOMIC_RELAXED) % ARRAY_SIZE(given)] = mfn;
			__atomic_store_n(&p2m[pfn], NO_FRAME, __ATOMIC_RELAXED);
		} else {
			HC3(update_va_mapping, pool[i], mfn * PAGE_SIZE | RW_PAGE, UVMF_INVLPG | UVMF_ALL);
			good = false;
		}
	}
	if (good)
		good = refill(i);
	__atomic_store_n(&busy[i], 0, __ATOMIC_RELEASE);
	return good ? 0 : -1;
}

static long ext(unsigned int cmd, uint64_t mfn)
{
	struct mmuext_op op = { .cmd = cmd };

	op.arg1.mfn = mfn;
	return HC4(mmuext_op, &op, 1, 0, DOMID_SELF);
}

static void one(struct dice *d)
{
	unsigned int i = roll(d, PAGES), what = roll(d, 16);
	uint64_t mfn = pool_mfn(i), flush = roll(d, 2) ? UVMF_INVLPG | UVMF_ALL : UVMF_TLB_FLUSH;
	struct mmu_update u;
	long ret;

	if (what < 6) {
		/* mostly tables of tables, so that deep ones come about */
		u.ptr = (mfn * PAGE_SIZE + roll(d, 4) * 8) | (roll(d, 4) ? 0 : MMU_PT_UPDATE_PRESERVE_AD);
		u.val = roll(d, 4) ? random_entry(d) : 0;
		ret = HC4(mmu_update, &u, 1, 0, DOMID_SELF);
		what = 0;
	} else if (what < 8) {
		ret = HC3(update_va_mapping, WINDOW + roll(d, SLOTS) * PAGE_SIZE, roll(d, 3) ? random_entry(d) : 0, flush);
		what = 1;
	} else if (what < 10) {
		ret = ext(MMUEXT_PIN_L1_TABLE + roll(d, 4), mfn);
		what = 2;
	} else if (what < 12) {
		ret = ext(MMUEXT_UNPIN_TABLE, mfn);
		what = 3;
	} else if (what < 14) {
		ret = busy[i] ? -1 : HC3(update_va_mapping, pool[i], mfn * PAGE_SIZE | (roll(d, 3) ? RO_PAGE : RW_PAGE), flush);
		what = 4;
	} else if (what < 15) {
		ret = ext(MMUEXT_NEW_USER_BASEPTR, roll(d, 3) ? mfn : 0);
		what = 5;
	} else {
		ret = renew(i);
		what = 6;
	}
	granted[d->cpu][what] += ret == 0;
	done_ops[d->cpu]++;
}

void second(void);
void second(void)
{
	struct dice d = { 0x9e3779b97f4a7c15, 1 };

	while (!stop)
		one(&d);
	ext(MMUEXT_NEW_USER_BASEPTR, 0);
	stopped = 1;
	for (;;)
		HC2(sched_op, SCHEDOP_yield, 0);
}

void parked(void);
void parked(void)
{
	faults++;
	stopped = 1;
	for (;;)
		HC2(sched_op, SCHEDOP_yield, 0);
}

static void second_start(void)
{
	static uint8_t stack[4 * PAGE_SIZE] __attribute__((aligned(4096)));

	ctx.flags = VGCF_in_kernel;
	ctx.user_regs.rip = (unsigned long)second;
	ctx.user_regs.rsp = (unsigned long)stack + sizeof(stack) - 8;
	ctx.user_regs.cs = FLAT_KERNEL_CS;
	ctx.user_regs.ss = FLAT_KERNEL_SS;
	ctx.ctrlreg[3] = mfn_of((void *)start_info->pt_base) << 12;
	ctx.event_callback_eip = ctx.failsafe_callback_eip = (unsigned long)parked;
	for (unsigned int i = 0; i < 32; i++)
		ctx.trap_ctxt[i] = (struct trap_info){ i, 4, FLAT_KERNEL_CS, (unsigned long)parked };
	EXPECT(HC3(vcpu_op, VCPUOP_initialise, 1, &ctx), 0);
	EXPECT(HC3(vcpu_op, VCPUOP_up, 1, 0), 0);
}

static long pages_of_domain(void)
{
	domid_t self = DOMID_SELF;

	return HC2(memory_op, XENMEM_current_reservation, &self);
}

/* Unpin it, and should it be a table still, empty it. */
static void undo_frame(uint64_t mfn)
{
	while (!ext(MMUEXT_UNPIN_TABLE, mfn))
		;
	for (unsigned int slot = 0; slot < 4; slot++)
		mmu_update_one(mfn * PAGE_SIZE + slot * 8, 0);
}

/* No use of any page is left: nothing is mapped, pinned or loaded; contents are harmless. */
static void undo(void)
{
	CHECK(nr_given < ARRAY_SIZE(given), "%u", nr_given);
	ext(MMUEXT_NEW_USER_BASEPTR, 0);
	for (unsigned int i = 0; i < SLOTS; i++)
		EXPECT(HC3(update_va_mapping, WINDOW + i * PAGE_SIZE, 0, UVMF_INVLPG | UVMF_ALL), 0);
	for (unsigned int i = 0; i < PAGES; i++)
		undo_frame(pool_mfn(i));
	for (unsigned int i = 0; i < nr_given; i++)
		undo_frame(given[i]);
	for (unsigned int i = 0; i < PAGES; i++)
		if (pool_mfn(i) == NO_FRAME)
			CHECK(refill(i), "no frame for page %u", i);
}

static bool enough(void)
{
	for (unsigned int i = 0; i < KINDS; i++)
		if (granted[0][i] + granted[1][i] < ENOUGH)
			return false;
	return true;
}

static void everything(void)
{
	struct dice d = { 88172645463325252, 0 };
	long before;

	map_page(WINDOW, mfn_of(pool[0]), RW_PAGE);
	before = pages_of_domain();
	second_start();
	for (uint64_t start = now_ns(); now_ns() < start + RUN_NS || (!enough() && now_ns() < start + MAX_NS); )
		one(&d);
	stop = 1;
	for (uint64_t until = now_ns() + 5000 * MS; !stopped; )
		CHECK(now_ns() < until, "vCPU 1 hangs after %lu", done_ops[1]);
	CHECK(!faults, "vCPU 1 faulted");
	EXPECT(HC3(vcpu_op, VCPUOP_down, 1, 0), 0);
	printf_("%lu and %lu requests; granted:", done_ops[0], done_ops[1]);
	for (unsigned int i = 0; i < KINDS; i++)
		printf_(" %lu", granted[0][i] + granted[1][i]);
	printf_("\n");
	CHECK(enough(), "some kind of request was hardly ever granted");
	undo();
	for (unsigned int i = 0; i < PAGES; i++)
		EXPECT(page_protect(pool[i], true), 0);
	EXPECT(pages_of_domain(), before);
	for (unsigned int i = 0; i < PAGES; i++) {
		unsigned long mfn = pool_mfn(i);

		EXPECT(HC3(update_va_mapping, pool[i], 0, UVMF_INVLPG | UVMF_ALL), 0);
		EXPECT(reservation(XENMEM_decrease_reservation, &mfn), 1);
	}
	EXPECT(pages_of_domain(), before - PAGES);
}

const struct test tests[] = {
	{ "races.everything", everything },
	{ NULL },
};
