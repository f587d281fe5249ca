/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System time from the time-stamp counter.
 *
 * System time 0 is when tsc_init() ran on the boot CPU.  The scale is the one guests get in
 * vcpu_time_info, so guest and hypervisor compute the same nanosecond from the same TSC.
 * Calibrated against the ACPI PM timer, else the HPET, else the PIT.  Each edge of the
 * measured interval is the tightest of several TSC-clock-TSC sandwiches, so being
 * descheduled by an emulator's host in between does not bend the result.
 * Sources: ACPI 6.4, 4.8.3.3 (PM timer); IA-PC HPET 1.0a, 2.3; Intel 8254 data sheet.
 */
#include <pv/io.h>
#include <pv/lib.h>
#include <pv/platform.h>
#include <pv/spinlock.h>

#define PM_TIMER_HZ	3579545UL
#define PM_TIMER_MASK	0xffffffUL	/* 24 bits are always there */
#define PIT_HZ		1193182UL
#define CALIBRATE_MS	50
#define SANDWICHES	16

uint64_t tsc_khz;
uint64_t boot_tsc;
uint32_t tsc_to_system_mul;
int8_t tsc_shift;

static volatile uint8_t *hpet;

uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	/* LFENCE: not before what precedes it (SDM 2B, RDTSC) */
	__asm__ __volatile__("lfence; rdtsc" : "=a"(lo), "=d"(hi) :: "memory");
	return lo | (uint64_t)hi << 32;
}

s_time_t now_ns(void)
{
	uint64_t delta;

	if (unlikely(!tsc_to_system_mul))
		return 0;
	delta = rdtsc() - boot_tsc;
	if ((int64_t)delta < 0)			/* another CPU's TSC is a little behind at the start */
		return 0;
	delta = tsc_shift >= 0 ? delta << tsc_shift : delta >> -tsc_shift;
	return (s_time_t)(((unsigned __int128)delta * tsc_to_system_mul) >> 32);
}

void udelay(unsigned int us)
{
	uint64_t start = rdtsc(), ticks = tsc_khz ? tsc_khz * us / 1000 : (uint64_t)us * 4000;

	while (rdtsc() - start < ticks) {
		__builtin_ia32_pause();
		smp_poll();
	}
}

struct clock {
	const char *name;
	uint64_t hz, mask;
	uint64_t (*read)(void);
};

static uint64_t __init pm_timer_read(void)
{
	return inl(acpi_pm_timer_port) & PM_TIMER_MASK;
}

static uint64_t __init hpet_read(void)
{
	return *(volatile uint32_t *)(hpet + 0xf0);
}

/* Channel 2 counts down from 0xffff in mode 0; turned round to count up. */
static uint64_t __init pit_read(void)
{
	uint8_t lo, hi;

	outb(0x43, 0x80);
	lo = inb(0x42);
	hi = inb(0x42);
	return 0xffffu - (lo | (unsigned int)hi << 8);
}

static void __init pit_start(void)
{
	outb(0x61, (inb(0x61) & ~2) | 1);	/* gate on, speaker off */
	outb(0x43, 0xb0);
	outb(0x42, 0xff);
	outb(0x42, 0xff);
}

static bool __init hpet_start(struct clock *c)
{
	uint32_t period_fs;

	if (!acpi_hpet_maddr)
		return false;
	hpet = ioremap(acpi_hpet_maddr, 0x400);
	period_fs = *(volatile uint32_t *)(hpet + 4);
	if (period_fs < 1000 || period_fs > 100000000)	/* HPET 1.0a, 2.3.4: at most 100 ns */
		return false;
	*(volatile uint32_t *)(hpet + 0x10) |= 1;
	*c = (struct clock){ "HPET", 1000000000000000UL / period_fs, 0xffffffff, hpet_read };
	return true;
}

static bool __init pm_timer_runs(void)
{
	uint64_t first;

	if (!acpi_pm_timer_port)
		return false;
	first = pm_timer_read();
	for (unsigned int i = 0; i < 100000; i++) {
		if (pm_timer_read() != first)
			return true;
	}
	return false;
}

/* One edge: the clock's value and the TSC at the same moment, as tight as it gets. */
static void __init sandwich(const struct clock *c, uint64_t *tsc, uint64_t *value)
{
	uint64_t best = UINT64_MAX;

	for (unsigned int i = 0; i < SANDWICHES; i++) {
		uint64_t t0 = rdtsc(), v = c->read(), t1 = rdtsc();

		if (t1 - t0 < best) {
			best = t1 - t0;
			*tsc = t0 + (t1 - t0) / 2;
			*value = v;
		}
	}
}

/* a * b / c in 128 bits; the quotient must fit in 64 (the CPU faults otherwise). */
static uint64_t __init mul_div(uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t lo, hi;

	__asm__("mulq %3" : "=a"(lo), "=d"(hi) : "a"(a), "rm"(b));
	__asm__("divq %2" : "+a"(lo), "+d"(hi) : "rm"(c));
	return lo;
}

static uint64_t __init calibrate_khz(const struct clock *c)
{
	uint64_t tsc0 = 0, tsc1 = 0, v0 = 0, v1 = 0;
	uint64_t want = c->hz * CALIBRATE_MS / 1000;

	sandwich(c, &tsc0, &v0);
	while (((c->read() - v0) & c->mask) < want)
		__builtin_ia32_pause();
	sandwich(c, &tsc1, &v1);
	return mul_div(tsc1 - tsc0, c->hz, ((v1 - v0) & c->mask) * 1000);
}

/* tsc_shift and tsc_to_system_mul so that mul lies in [2^31, 2^32): full precision. */
static void __init compute_scale(void)
{
	uint64_t hz = tsc_khz * 1000;
	int shift = 0;

	/* ns = ticks * (1e9 / hz); mul = (1e9 << 32) / (hz scaled by shift) */
	while (hz > 2000000000UL) {
		hz >>= 1;
		shift--;
	}
	while (hz <= 1000000000UL) {
		hz <<= 1;
		shift++;
	}
	tsc_to_system_mul = (uint32_t)((1000000000UL << 32) / hz);
	tsc_shift = (int8_t)shift;
}

void __init tsc_init(void)
{
	struct clock c = { "PM timer", PM_TIMER_HZ, PM_TIMER_MASK, pm_timer_read };

	if (!pm_timer_runs() && !hpet_start(&c)) {
		pit_start();
		c = (struct clock){ "PIT", PIT_HZ, 0xffff, pit_read };
	}
	tsc_khz = calibrate_khz(&c);
	if (tsc_khz < 1000)
		panic("the TSC runs at %lu kHz by the %s: unusable", tsc_khz, c.name);
	compute_scale();
	boot_tsc = rdtsc();
	pr_info("time: TSC %lu.%03lu MHz by the %s%s", tsc_khz / 1000, tsc_khz % 1000, c.name,
		cpu_features.invariant_tsc ? ", invariant" : "");
}
