/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vCPUs block, wake, yield and come and go: block returns when an event is there and not before;
 * a second vCPU starts where its context says and with its registers, gets events of its own, goes
 * down and comes back where it was; runstates add up to the time that passed.
 * run: smp=2 dom0_max_vcpus=2
 * Source: Xen public sched.h, vcpu.h.
 */
#include "tests/guest/lib/guest.h"

#define MS	1000000ul
#define LATE	(300 * MS)

static unsigned int timer_port(void)
{
	static unsigned int port;
	struct evtchn_bind_virq v = { .virq = VIRQ_TIMER, .vcpu = 0 };

	if (!port) {
		memset(shared_info->evtchn_mask, 0xff, sizeof(shared_info->evtchn_mask));
		EXPECT(evtchn_op(EVTCHNOP_bind_virq, &v), 0);
		port = v.port;
	}
	evtchn_clear(port);
	evtchn_unmask(port);
	nr_events = 0;
	return port;
}

static void drop_pending(void)
{
	memset(shared_info->evtchn_pending, 0, sizeof(shared_info->evtchn_pending));
	vcpu_info()->evtchn_pending_sel = 0;
}

static void block_wakes(void)
{
	timer_port();
	event_hook = drop_pending;
	for (unsigned int i = 0; i < 5; i++) {
		uint64_t when = now_ns() + 10 * MS;

		vcpu_info()->evtchn_upcall_mask = 1;
		nr_events = 0;
		EXPECT(HC1(set_timer_op, when), 0);
		EXPECT(HC2(sched_op, SCHEDOP_block, 0), 0);	/* unmasks, too */
		CHECK(nr_events == 1, "%u events", nr_events);
		CHECK(vcpu_info()->evtchn_upcall_mask == 0, "still masked");
		CHECK(now_ns() >= when && now_ns() < when + LATE, "%ld ns late", (long)(now_ns() - when));
	}
}

static void block_with_event(void)
{
	struct evtchn_bind_ipi ipi = { .vcpu = 0 };
	struct evtchn_send s;
	uint64_t start;

	event_hook = drop_pending;
	memset(shared_info->evtchn_mask, 0xff, sizeof(shared_info->evtchn_mask));
	EXPECT(evtchn_op(EVTCHNOP_bind_ipi, &ipi), 0);
	vcpu_info()->evtchn_upcall_mask = 1;
	evtchn_unmask(ipi.port);
	s.port = ipi.port;
	EXPECT(evtchn_op(EVTCHNOP_send, &s), 0);
	nr_events = 0;
	start = now_ns();
	EXPECT(HC2(sched_op, SCHEDOP_block, 0), 0);
	CHECK(nr_events == 1 && now_ns() - start < LATE, "%u events after %lu ns", nr_events, now_ns() - start);
	EXPECT(evtchn_op(EVTCHNOP_close, &(struct evtchn_close){ ipi.port }), 0);
}

static void yield(void)
{
	uint64_t start = now_ns();

	for (unsigned int i = 0; i < 1000; i++)
		EXPECT(HC2(sched_op, SCHEDOP_yield, 0), 0);
	CHECK(now_ns() - start < 2000 * MS, "%lu ns", now_ns() - start);
}

static void refused(void)
{
	REFUSED(HC2(sched_op, 99, 0));
	EXPECT(HC3(vcpu_op, VCPUOP_is_up, 0, 0), 1);
	EXPECT(HC3(vcpu_op, VCPUOP_is_up, 1, 0), 0);
	EXPECT(HC3(vcpu_op, VCPUOP_is_up, 2, 0), -XEN_ENOENT);
	EXPECT(HC3(vcpu_op, VCPUOP_is_up, 8191, 0), -XEN_ENOENT);
	REFUSED(HC3(vcpu_op, VCPUOP_up, 1, 0));
	REFUSED(HC3(vcpu_op, 999, 0, 0));
}

static void runstate(void)
{
	struct vcpu_runstate_info a, b;
	uint64_t start, passed, sum = 0;

	EXPECT(HC3(vcpu_op, VCPUOP_get_runstate_info, 0, &a), 0);
	start = now_ns();
	while (now_ns() < start + 20 * MS)
		HC2(sched_op, SCHEDOP_poll, &(struct sched_poll){ .timeout = start + 10 * MS });
	EXPECT(HC3(vcpu_op, VCPUOP_get_runstate_info, 0, &b), 0);
	passed = now_ns() - start;
	CHECK(b.state == RUNSTATE_running, "%d", b.state);
	for (unsigned int i = 0; i < 4; i++) {
		CHECK(b.time[i] >= a.time[i], "state %u goes back", i);
		sum += b.time[i] - a.time[i];
	}
	CHECK(sum <= passed + 5 * MS && sum + 5 * MS >= passed, "%lu of %lu ns", sum, passed);
	CHECK(b.time[RUNSTATE_blocked] - a.time[RUNSTATE_blocked] >= 5 * MS, "%lu ns blocked",
	      b.time[RUNSTATE_blocked] - a.time[RUNSTATE_blocked]);
}

static void runstate_area(void)
{
	static struct vcpu_runstate_info area;
	struct vcpu_register_runstate_memory_area r = { .addr = { .p = (unsigned long)&area } };
	uint64_t until = now_ns() + 5 * MS;

	EXPECT(HC3(vcpu_op, VCPUOP_register_runstate_memory_area, 0, &r), 0);
	CHECK(area.state == RUNSTATE_running, "%d", area.state);
	EXPECT(HC2(sched_op, SCHEDOP_poll, &(struct sched_poll){ .timeout = until }), 0);
	CHECK(area.time[RUNSTATE_blocked] > 0, "no blocked time was written");
	/* An area whose page goes away is passed over. */
	r.addr.p = 0x123456000;
	HC3(vcpu_op, VCPUOP_register_runstate_memory_area, 0, &r);
	EXPECT(HC2(sched_op, SCHEDOP_poll, &(struct sched_poll){ .timeout = now_ns() + MS }), 0);
}

/* --- the second vCPU -------------------------------------------------------------------- */

static struct vcpu_guest_context ctx;
static volatile uint64_t second_regs[4], second_count, second_events, second_loops;
static volatile unsigned int second_order;
static unsigned int second_port;
enum { RUN, GO_DOWN, BLOCK };

void second_main(uint64_t rdi);
void second_event_c(void);
void second_main(uint64_t rdi)
{
	second_regs[0] = rdi;
	__asm__ __volatile__("mov %%gs:0, %0" : "=r"(second_regs[1]));
	for (;;) {
		second_count++;
		if (second_order == GO_DOWN) {
			second_order = RUN;
			HC3(vcpu_op, VCPUOP_down, 1, 0);
			second_loops++;
		} else if (second_order == BLOCK) {
			HC2(sched_op, SCHEDOP_block, 0);
			second_loops++;
		}
	}
}

/* Its upcalls come here, for guest_trap() knows of vCPU 0 only. */
extern const char second_event[];
__asm__(".text\nsecond_event: pop %rcx; pop %r11\n\t"
	"push %rax; push %rcx; push %rdx; push %rsi; push %rdi; push %r8; push %r9; push %r10; push %r11\n\t"
	"push %rbp; mov %rsp, %rbp; and $-16, %rsp; call second_event_c; mov %rbp, %rsp; pop %rbp\n\t"
	"pop %r11; pop %r10; pop %r9; pop %r8; pop %rdi; pop %rsi; pop %rdx; pop %rcx; pop %rax\n\t"
	"pushq $0; push %rcx; push %r11; push %rax; mov $23, %eax; syscall");

void second_event_c(void)
{
	struct vcpu_info *v = &shared_info->vcpu_info[1];

	v->evtchn_upcall_pending = 0;
	v->evtchn_pending_sel = 0;
	if (second_port && evtchn_pending(second_port)) {
		evtchn_clear(second_port);
		second_events++;
	}
}

static bool within(uint64_t ns, volatile uint64_t *what, uint64_t atleast)
{
	for (uint64_t until = now_ns() + ns; *what < atleast; )
		if (now_ns() > until)
			return false;
	return true;
}

static void second_starts(void)
{
	static uint8_t stack[4 * PAGE_SIZE] __attribute__((aligned(4096)));
	static uint64_t gs_word = 0x77;

	ctx.flags = VGCF_in_kernel;
	ctx.user_regs.rip = (unsigned long)second_main;
	ctx.user_regs.rsp = (unsigned long)stack + sizeof(stack) - 8;
	ctx.user_regs.cs = FLAT_KERNEL_CS;
	ctx.user_regs.ss = FLAT_KERNEL_SS;
	ctx.user_regs.rflags = 2;
	ctx.user_regs.rdi = 0xabcdef;
	ctx.gs_base_kernel = (unsigned long)&gs_word;
	ctx.ctrlreg[3] = mfn_of((void *)start_info->pt_base) << 12;
	ctx.event_callback_eip = (unsigned long)second_event;
	ctx.failsafe_callback_eip = (unsigned long)failsafe_entry;
	for (unsigned int i = 0; i < 32; i++)
		ctx.trap_ctxt[i] = (struct trap_info){ i, 4, FLAT_KERNEL_CS, stub_table[i] };
	EXPECT(HC3(vcpu_op, VCPUOP_initialise, 1, &ctx), 0);
	EXPECT(HC3(vcpu_op, VCPUOP_initialise, 1, &ctx), -XEN_EEXIST);
	EXPECT(HC3(vcpu_op, VCPUOP_is_up, 1, 0), 0);
	CHECK(second_count == 0, "it runs before it is up");
	EXPECT(HC3(vcpu_op, VCPUOP_up, 1, 0), 0);
	CHECK(within(2000 * MS, &second_count, 1000), "it does not run: %lu", second_count);
	EXPECT(HC3(vcpu_op, VCPUOP_is_up, 1, 0), 1);
	CHECK(second_regs[0] == 0xabcdef, "rdi %lx", second_regs[0]);
	CHECK(second_regs[1] == 0x77, "gs %lx", second_regs[1]);
}

static void second_gets_events(void)
{
	struct evtchn_bind_ipi ipi = { .vcpu = 1 };
	struct evtchn_send s;

	EXPECT(evtchn_op(EVTCHNOP_bind_ipi, &ipi), 0);
	evtchn_clear(ipi.port);
	second_port = s.port = ipi.port;
	shared_info->vcpu_info[1].evtchn_upcall_mask = 0;
	evtchn_unmask(ipi.port);
	for (unsigned int i = 1; i <= 20; i++) {
		EXPECT(evtchn_op(EVTCHNOP_send, &s), 0);
		CHECK(within(2000 * MS, &second_events, i), "event %u did not come", i);
	}
	/* Blocked, it is woken. */
	second_order = BLOCK;
	for (unsigned int i = 21; i <= 40; i++) {
		EXPECT(evtchn_op(EVTCHNOP_send, &s), 0);
		CHECK(within(2000 * MS, &second_events, i), "event %u did not wake it", i);
	}
	second_order = RUN;
	EXPECT(evtchn_op(EVTCHNOP_send, &s), 0);
	CHECK(within(2000 * MS, &second_events, 41), "it hangs");
}

static void second_down_and_up(void)
{
	uint64_t count, loops = second_loops;

	second_order = GO_DOWN;
	for (uint64_t until = now_ns() + 2000 * MS; HC3(vcpu_op, VCPUOP_is_up, 1, 0); )
		CHECK(now_ns() < until, "it stays up");
	for (uint64_t until = now_ns() + 5 * MS; now_ns() < until; )
		;
	count = second_count;
	for (uint64_t until = now_ns() + 20 * MS; now_ns() < until; )
		;
	CHECK(second_count == count, "it runs although down");
	EXPECT(HC3(vcpu_op, VCPUOP_up, 1, 0), 0);
	CHECK(within(2000 * MS, &second_loops, loops + 1), "it does not go on behind its VCPUOP_down");
	/* Taken down by another. */
	EXPECT(HC3(vcpu_op, VCPUOP_down, 1, 0), 0);
	for (uint64_t until = now_ns() + 20 * MS; now_ns() < until; )
		;
	count = second_count;
	for (uint64_t until = now_ns() + 20 * MS; now_ns() < until; )
		;
	CHECK(second_count == count, "it runs although down");
}

const struct test tests[] = {
	{ "sched.block_wakes", block_wakes },
	{ "sched.block_with_event", block_with_event },
	{ "sched.yield", yield },
	{ "sched.refused", refused },
	{ "sched.runstate", runstate },
	{ "sched.runstate_area", runstate_area },
	{ "sched.second_starts", second_starts },
	{ "sched.second_gets_events", second_gets_events },
	{ "sched.second_down_and_up", second_down_and_up },
	{ NULL },
};
