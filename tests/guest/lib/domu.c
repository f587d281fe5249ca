/* SPDX-License-Identifier: Apache-2.0 */
/* A domain made by a micro-guest: domu.h.  Sources: Xen public domctl.h, memory.h. */
#define __XEN_TOOLS__ 1
#include "tests/guest/lib/domu.h"
#include <xen/domctl.h>

#define WINDOW_VA	0x50000000ul
#define NR_SLOTS	16u
#define MS		1000000ul
#define FLAT_CS		0xe033
#define FLAT_SS		0xe02b

struct domu domu;
uint64_t domu_upcall_stack;

/* --- what its vCPUs execute, anywhere in memory: no calls outside, no data -------------------- */

extern const char __start_domu_code[], __stop_domu_code[];
#define STR_(x) #x
#define STR(x) STR_(x)
#define DOMU_TEXT __attribute__((section("domu_code"), noinline, used, \
				 optimize("no-jump-tables", "no-tree-switch-conversion", "no-tree-loop-distribute-patterns")))

static DOMU_TEXT void domu_run_fill(struct domu_control *c)
{
	for (uint64_t pfn = c->first; pfn < c->end; pfn++) {
		volatile uint64_t *page = (uint64_t *)DOMU_VA(pfn);

		page[0] = page[256] = page[511] = domu_word(pfn, c->value);
	}
}

/* Pass n writes n to each page in turn: at any instant some first pages hold n, the others n - 1. */
static DOMU_TEXT void domu_run_count(struct domu_control *c)
{
	while (!c->stop) {
		uint64_t n = ++c->rounds;

		for (uint64_t pfn = c->first; pfn < c->end; pfn++)
			*(volatile uint64_t *)DOMU_VA(pfn) = n;
	}
}

static DOMU_TEXT void domu_run_read_all(struct domu_control *c)
{
	uint64_t wrong = 0;

	for (uint64_t pfn = c->first; pfn < c->end; pfn++)
		wrong += *(volatile uint64_t *)DOMU_VA(pfn) != domu_word(pfn, c->value);
	c->result = wrong;
}

/* vCPU 0's upcall, and breakpoint: pending bits off, count, iret (Xen public arch-x86/xen-x86_64.h, iret_context). */
extern const char domu_event[];
#define EVENTS_AT	96		/* offset of events */
_Static_assert(offsetof(struct domu_control, events) == EVENTS_AT, "the code below");
__asm__(".pushsection domu_code, \"ax\"\n"
	"domu_event:\n"
	"	movabs	$0x800000f000, %rcx\n"		/* DOMU_VA(DOMU_SHARED) */
	"	movb	$0, (%rcx)\n"			/* vcpu_info[0].evtchn_upcall_pending */
	"	movq	$0, 8(%rcx)\n"			/* evtchn_pending_sel */
	"	movabs	$0x8000004000, %rcx\n"		/* DOMU_VA(DOMU_CONTROL) */
	"	lock incq " STR(EVENTS_AT) "(%rcx)\n"
	"	pop	%rcx\n"
	"	pop	%r11\n"
	"	push	$0\n"
	"	push	%rcx\n"
	"	push	%r11\n"
	"	push	%rax\n"
	"	mov	$23, %eax\n"
	"	syscall\n"
	".popsection");

static DOMU_TEXT void domu_main(struct domu_control *c)
{
	for (;;) {
		uint32_t order = c->order;

		if (order == DOMU_IDLE) {
			HC2(sched_op, SCHEDOP_yield, 0);
			continue;
		}
		if (order == DOMU_FILL)
			domu_run_fill(c);
		if (order == DOMU_COUNT)
			domu_run_count(c);
		if (order == DOMU_READ_ALL)
			domu_run_read_all(c);
		if (order == DOMU_TRAP)
			__asm__ __volatile__("int3" ::: "memory");
		if (order == DOMU_CALL)
			c->result = (uint64_t)hypercall((unsigned int)c->call[0], c->call[1], c->call[2], c->call[3],
							c->call[4], c->call[5]);
		if (order == DOMU_READ)
			c->result = *(volatile uint64_t *)c->first;
		__atomic_store_n(&c->order, DOMU_IDLE, __ATOMIC_RELEASE);
	}
}

/* --- making it ------------------------------------------------------------------------------------ */

long godwit_op(unsigned int cmd, void *arg)
{
	return hypercall(__HYPERVISOR_godwit_op, cmd, (uint64_t)arg, 0, 0, 0);
}

uint64_t heap_frames(void)
{
	struct godwit_audit a = { 0 };

	EXPECT(godwit_op(GODWIT_OP_audit, &a), 0);
	CHECK(a.errors == 0, "%lu errors in the frame table", a.errors);
	return a.free_frames;
}

static long domctl(struct xen_domctl *op, uint32_t cmd)
{
	op->cmd = cmd;
	op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
	op->domain = domu.id;
	return HC1(domctl, op);
}

static long simple_domctl(uint32_t cmd)
{
	struct xen_domctl op = { 0 };

	return domctl(&op, cmd);
}

void *foreign_map(unsigned int slot, domid_t domid, uint64_t mfn)
{
	uint64_t va = WINDOW_VA + slot * PAGE_SIZE;
	struct mmu_update u;
	static bool ready;

	if (!ready)
		map_page(WINDOW_VA, mfn_of(&domu), RW_PAGE);	/* for its tables; the entry goes at once */
	if (!ready)
		EXPECT(HC3(update_va_mapping, WINDOW_VA, 0, UVMF_INVLPG), 0);
	ready = true;
	u.ptr = pte_maddr(va, 1);
	u.val = mfn ? mfn * PAGE_SIZE | RW_PAGE : 0;
	EXPECT(HC4(mmu_update, &u, 1, 0, mfn ? domid : DOMID_SELF), 0);
	EXPECT(mmuext(MMUEXT_TLB_FLUSH_LOCAL, 0, 0), 0);
	return (void *)va;
}

static void populate(void)
{
	struct xen_memory_reservation r = { .domid = domu.id };

	for (unsigned int i = 0; i < domu.nr_pages; i++)
		domu.mfn[i] = i;
	r.nr_extents = domu.nr_pages;
	set_xen_guest_handle(r.extent_start, domu.mfn);
	EXPECT(HC2(memory_op, XENMEM_populate_physmap, &r), domu.nr_pages);
}

static unsigned int nr_l1(void) { return (domu.nr_pages + 511) / 512; }

static bool is_table_pfn(unsigned int pfn)
{
	return (pfn >= DOMU_L4 && pfn < DOMU_L4 + 3) || (pfn >= DOMU_L1 && pfn < DOMU_L1 + nr_l1());
}

static uint64_t shared_info_mfn(void)
{
	struct xen_domctl op = { 0 };

	EXPECT(domctl(&op, XEN_DOMCTL_getdomaininfo), 0);
	return op.u.getdomaininfo.shared_info_frame;
}

static void fill_tables(void)
{
	uint64_t *t;

	t = foreign_map(0, domu.id, domu.mfn[DOMU_L4]);
	t[DOMU_BASE >> 39 & 511] = domu.mfn[DOMU_L4 + 1] * PAGE_SIZE | TABLE;
	t = foreign_map(0, domu.id, domu.mfn[DOMU_L4 + 1]);
	t[DOMU_BASE >> 30 & 511] = domu.mfn[DOMU_L4 + 2] * PAGE_SIZE | TABLE;
	t = foreign_map(0, domu.id, domu.mfn[DOMU_L4 + 2]);
	for (unsigned int i = 0; i < nr_l1(); i++)
		t[i] = domu.mfn[DOMU_L1 + i] * PAGE_SIZE | TABLE;
	for (unsigned int pfn = 0; pfn < domu.nr_pages; pfn++) {
		if (pfn % 512 == 0)
			t = foreign_map(0, domu.id, domu.mfn[DOMU_L1 + pfn / 512]);
		/* A and D are set, or are left to be set at the first touch. */
		t[pfn % 512] = domu.mfn[pfn] * PAGE_SIZE | PTE_P | PTE_US | (is_table_pfn(pfn) ? 0 : PTE_RW) |
			       (pfn & 1 ? PTE_A | PTE_D : 0);
	}
	t = foreign_map(0, domu.id, domu.mfn[DOMU_L1]);
	if (domu_upcall_stack)
		t[DOMU_SHARED] = shared_info_mfn() * PAGE_SIZE | PTE_P | PTE_US | PTE_RW;
	foreign_map(0, domu.id, 0);
}

static void load_code(void)
{
	size_t size = (size_t)(__stop_domu_code - __start_domu_code);

	CHECK(size <= PAGE_SIZE, "%lu bytes of code", size);
	memcpy(foreign_map(0, domu.id, domu.mfn[0]), __start_domu_code, size);
	foreign_map(0, domu.id, 0);
}

static void pin_tables(void)
{
	struct mmuext_op op = { .cmd = MMUEXT_PIN_L4_TABLE };

	op.arg1.mfn = domu.mfn[DOMU_L4];
	EXPECT(HC4(mmuext_op, &op, 1, 0, domu.id), 0);
}

static void start_vcpu(unsigned int i)
{
	static struct vcpu_guest_context ctx;
	struct xen_domctl op = { .u.vcpucontext.vcpu = i };

	memset(&ctx, 0, sizeof(ctx));
	ctx.flags = VGCF_IN_KERNEL | VGCF_online;
	ctx.user_regs.rip = DOMU_BASE + (uint64_t)((const char *)domu_main - __start_domu_code);
	ctx.user_regs.rsp = i == 0 && domu_upcall_stack ? domu_upcall_stack : DOMU_VA(DOMU_STACK + i + 1) - 8;
	ctx.trap_ctxt[3] = (struct trap_info){ 3, 0, FLAT_CS, DOMU_BASE + (uint64_t)(domu_event - __start_domu_code) };
	ctx.event_callback_eip = DOMU_BASE + (uint64_t)(domu_event - __start_domu_code);
	ctx.user_regs.rdi = DOMU_VA(DOMU_CONTROL + i);
	ctx.user_regs.cs = FLAT_CS;
	ctx.user_regs.ss = FLAT_SS;
	ctx.user_regs.rflags = 0x202;
	ctx.ctrlreg[3] = domu.mfn[DOMU_L4] * PAGE_SIZE;
	set_xen_guest_handle(op.u.vcpucontext.ctxt, &ctx);
	EXPECT(domctl(&op, XEN_DOMCTL_setvcpucontext), 0);
	domu.control[i] = foreign_map(1 + i, domu.id, domu.mfn[DOMU_CONTROL + i]);
}

void domu_build(unsigned int nr_pages, unsigned int nr_vcpus)
{
	struct xen_domctl op = { 0 };

	domu.id = 0;
	domu.nr_pages = nr_pages;
	domu.nr_vcpus = nr_vcpus;
	op.u.createdomain.max_vcpus = nr_vcpus;
	op.u.createdomain.max_evtchn_port = 1023;
	op.u.createdomain.max_grant_frames = 4;
	EXPECT(domctl(&op, XEN_DOMCTL_createdomain), 0);
	domu.id = op.domain;
	op.u.max_mem.max_memkb = (nr_pages + 64) * 4ul;
	EXPECT(domctl(&op, XEN_DOMCTL_max_mem), 0);
	op.u.max_vcpus.max = nr_vcpus;
	EXPECT(domctl(&op, XEN_DOMCTL_max_vcpus), 0);
	populate();
	load_code();
	fill_tables();
	pin_tables();
	for (unsigned int i = 0; i < nr_vcpus; i++)
		start_vcpu(i);
}

void domu_create(unsigned int nr_pages, unsigned int nr_vcpus)
{
	domu_build(nr_pages, nr_vcpus);
	domu_unpause();
}

void domu_destroy(void)
{
	for (unsigned int i = 0; i < NR_SLOTS; i++)
		foreign_map(i, domu.id, 0);
	while (simple_domctl(XEN_DOMCTL_destroydomain) == -XEN_EAGAIN)
		;
	domu.id = 0;
}

void domu_send_event(void)
{
	struct evtchn_alloc_unbound a = { .dom = domu.id, .remote_dom = DOMID_SELF };
	struct evtchn_bind_interdomain b = { .remote_dom = domu.id };
	struct evtchn_send send;
	struct shared_info *s = foreign_map(15, domu.id, shared_info_mfn());

	EXPECT(evtchn_op(EVTCHNOP_alloc_unbound, &a), 0);
	b.remote_port = a.port;
	EXPECT(evtchn_op(EVTCHNOP_bind_interdomain, &b), 0);
	s->vcpu_info[0].evtchn_upcall_mask = 0;
	send.port = b.local_port;
	EXPECT(evtchn_op(EVTCHNOP_send, &send), 0);
	EXPECT(evtchn_op(EVTCHNOP_close, &(struct evtchn_close){ b.local_port }), 0);
}

void domu_pause(void) { EXPECT(simple_domctl(XEN_DOMCTL_pausedomain), 0); }

void domu_unpause(void) { EXPECT(simple_domctl(XEN_DOMCTL_unpausedomain), 0); }

/* --- orders ----------------------------------------------------------------------------------------- */

void domu_start(unsigned int vcpu, uint32_t order)
{
	domu.control[vcpu]->stop = 0;
	__atomic_store_n(&domu.control[vcpu]->order, order, __ATOMIC_RELEASE);
}

bool domu_wait(unsigned int vcpu, unsigned int ms)
{
	uint64_t end = now_ns() + ms * MS;

	while (domu.control[vcpu]->order != DOMU_IDLE) {
		if (now_ns() > end)
			return false;
		HC2(sched_op, SCHEDOP_yield, 0);
	}
	return true;
}

void domu_fill(uint64_t first, uint64_t end, uint64_t value)
{
	struct domu_control *c = domu.control[0];

	c->first = first;
	c->end = end;
	c->value = value;
	domu_start(0, DOMU_FILL);
	CHECK(domu_wait(0, 20000), "the domain does not fill its pages");
}

long domu_call(unsigned int nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	struct domu_control *k = domu.control[0];

	k->call[0] = nr;
	k->call[1] = a;
	k->call[2] = b;
	k->call[3] = c;
	k->call[4] = d;
	domu_start(0, DOMU_CALL);
	CHECK(domu_wait(0, 20000), "the domain does not make hypercall %u", nr);
	return (long)k->result;
}

uint64_t domu_data(unsigned int i)
{
	return DOMU_VA(DOMU_CONTROL) + offsetof(struct domu_control, data) + i * 8;
}
