/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time goes forward, at the pace its own scale says, and timers fire not before their time and not
 * much after it (an emulator shares the machine, so "much" is generous).
 * Source: Xen public xen.h, "vcpu_time_info"; vcpu.h, VCPUOP_set_singleshot_timer and others.
 */
#include "tests/guest/lib/guest.h"

#define MS	1000000ul
#define LATE	(200 * MS)

static uint64_t fired_at;
static unsigned int timer_port;

static void note_timer(void)
{
	if (evtchn_pending(timer_port)) {
		evtchn_clear(timer_port);
		fired_at = now_ns();
	}
	vcpu_info()->evtchn_pending_sel = 0;
}

static void timer_setup(void)
{
	struct evtchn_bind_virq v = { .virq = VIRQ_TIMER, .vcpu = 0 };

	event_hook = note_timer;
	fired_at = 0;
	if (!timer_port) {
		memset(shared_info->evtchn_mask, 0xff, sizeof(shared_info->evtchn_mask));
		EXPECT(evtchn_op(EVTCHNOP_bind_virq, &v), 0);
		timer_port = v.port;
		evtchn_unmask(timer_port);
	}
	vcpu_info()->evtchn_upcall_mask = 0;
}

static long singleshot(uint64_t when, uint32_t flags)
{
	struct vcpu_set_singleshot_timer t = { when, flags };

	return HC3(vcpu_op, VCPUOP_set_singleshot_timer, 0, &t);
}

static void wait_until(uint64_t ns)
{
	while (!fired_at && now_ns() < ns)
		__asm__ __volatile__("pause");
}

/* For LATE after @when at least, and for many turns: an emulator that was not run for long sees its
 * clock jump before it sees its timer. */
static void wait_for_timer(uint64_t when)
{
	for (unsigned int turns = 0; !fired_at && (now_ns() < when + LATE || turns < 2000000); turns++)
		__asm__ __volatile__("pause");
}

static void monotonic(void)
{
	uint64_t last = now_ns(), start = last;

	for (unsigned int i = 0; i < 200000; i++) {
		uint64_t t = now_ns();

		CHECK(t >= last, "%lu after %lu", t, last);
		last = t;
		if (i % 1000 == 0)
			HC2(sched_op, SCHEDOP_yield, 0);
	}
	CHECK(last > start, "it stands still");
	CHECK(last - start < 30000 * MS, "%lu ns", last - start);
}

/* The scale agrees, roughly as an emulator goes, with the seconds of the CMOS clock. */
static uint8_t cmos_second(void)
{
	uint8_t v;

	__asm__ __volatile__("xor %%eax, %%eax; out %%al, $0x70; in $0x71, %%al" : "=a"(v));
	return v;
}

static void next_second(void)
{
	uint8_t s = cmos_second();

	while (cmos_second() == s)
		;
}

static void pace(void)
{
	struct physdev_set_iopl set = { 1 };
	uint64_t t0, t1;

	if (!privileged())
		return;			/* no ports, nothing to compare with */
	EXPECT(HC2(physdev_op, PHYSDEVOP_set_iopl, &set), 0);
	next_second();
	t0 = now_ns();
	for (unsigned int i = 0; i < 4; i++)
		next_second();
	t1 = now_ns();
	CHECK(t1 - t0 > 2600 * MS && t1 - t0 < 5400 * MS, "4 s of %lu ns", t1 - t0);
}

static void wallclock(void)
{
	uint64_t now = ((uint64_t)shared_info->wc_sec_hi << 32 | shared_info->wc_sec) + now_ns() / 1000000000;

	CHECK(!(shared_info->wc_version & 1), "%x", shared_info->wc_version);
	CHECK(now > 1700000000 && now < 4000000000, "%lu", now);
	CHECK(shared_info->wc_nsec < 1000000000, "%u", shared_info->wc_nsec);
}

static void settime(void)
{
	struct xen_platform_op op = { .cmd = XENPF_settime64, .interface_version = XENPF_INTERFACE_VERSION };
	uint32_t version = shared_info->wc_version;

	if (!privileged()) {
		REFUSED(HC1(platform_op, &op));
		return;
	}
	op.u.settime64.secs = 2000000000;
	op.u.settime64.nsecs = 5;
	op.u.settime64.system_time = now_ns();
	EXPECT(HC1(platform_op, &op), 0);
	CHECK(shared_info->wc_version != version, "version did not change");
	CHECK(((uint64_t)shared_info->wc_sec_hi << 32 | shared_info->wc_sec) <= 2000000000, "%u", shared_info->wc_sec);
	op.u.settime64.nsecs = 2000000000;
	REFUSED(HC1(platform_op, &op));
}

static void singleshot_timer(void)
{
	timer_setup();
	for (uint64_t ns = 1 * MS; ns <= 64 * MS; ns *= 4) {
		uint64_t when = now_ns() + ns;

		fired_at = 0;
		EXPECT(singleshot(when, 0), 0);
		wait_for_timer(when);
		CHECK(fired_at, "a timer of %lu ns never fired", ns);
		CHECK(fired_at >= when, "%lu ns early", when - fired_at);
	}
}

static void past_and_stop(void)
{
	timer_setup();
	EXPECT(singleshot(now_ns() - MS, 0), 0);
	wait_for_timer(now_ns());
	CHECK(fired_at, "a timer in the past did not fire");
	fired_at = 0;
	EXPECT(singleshot(now_ns() - MS, VCPU_SSHOTTMR_future), -XEN_ETIME);
	EXPECT(singleshot(now_ns() + 60 * MS, 0), 0);
	EXPECT(HC3(vcpu_op, VCPUOP_stop_singleshot_timer, 0, 0), 0);
	wait_until(now_ns() + 100 * MS);
	CHECK(!fired_at, "a stopped timer fired");
	/* Set anew: only the last one counts. */
	EXPECT(singleshot(now_ns() + 60 * MS, 0), 0);
	EXPECT(singleshot(~0ul >> 2, 0), 0);
	wait_until(now_ns() + 100 * MS);
	CHECK(!fired_at, "a replaced timer fired");
	EXPECT(singleshot(~0ul, 0), 0);		/* negative as a signed number: long ago */
	EXPECT(HC1(set_timer_op, now_ns() + 2 * MS), 0);
	wait_for_timer(now_ns());
	CHECK(fired_at, "set_timer_op");
	EXPECT(HC1(set_timer_op, 0), 0);
}

static void periodic(void)
{
	struct vcpu_set_periodic_timer p = { 2 * MS };
	uint64_t start;

	timer_setup();
	start = now_ns();
	EXPECT(HC3(vcpu_op, VCPUOP_set_periodic_timer, 0, &p), 0);
	for (unsigned int i = 0; i < 5; i++) {
		fired_at = 0;
		wait_for_timer(now_ns());
		CHECK(fired_at, "tick %u is missing", i);
	}
	CHECK(now_ns() - start >= 8 * MS, "too fast: 5 ticks in %lu ns", now_ns() - start);
	EXPECT(HC3(vcpu_op, VCPUOP_stop_periodic_timer, 0, 0), 0);
	fired_at = 0;
	wait_until(now_ns() + 10 * MS);
	CHECK(!fired_at, "it ticks on");
	p.period_ns = 10;
	REFUSED(HC3(vcpu_op, VCPUOP_set_periodic_timer, 0, &p));
}

static void time_area(void)
{
	static struct vcpu_time_info area __attribute__((aligned(64)));
	struct vcpu_register_time_memory_area r = { .addr = { .p = (unsigned long)&area } };

	EXPECT(HC3(vcpu_op, VCPUOP_register_vcpu_time_memory_area, 0, &r), 0);
	CHECK(area.tsc_to_system_mul == vcpu_info()->time.tsc_to_system_mul, "%u", area.tsc_to_system_mul);
	r.addr.p = 0xffff830000000000;
	REFUSED(HC3(vcpu_op, VCPUOP_register_vcpu_time_memory_area, 0, &r));
	r.addr.p = 0;
	EXPECT(HC3(vcpu_op, VCPUOP_register_vcpu_time_memory_area, 0, &r), 0);
}

const struct test tests[] = {
	{ "time.monotonic", monotonic },
	{ "time.pace", pace },
	{ "time.wallclock", wallclock },
	{ "time.settime", settime },
	{ "time.singleshot_timer", singleshot_timer },
	{ "time.past_and_stop", past_and_stop },
	{ "time.periodic", periodic },
	{ "time.time_area", time_area },
	{ NULL },
};
