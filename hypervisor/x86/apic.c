/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local APIC: end of interrupt, the one-shot timer, interrupts between CPUs.
 *
 * Registers are reached by MMIO, or by MSRs when the firmware left the machine in x2APIC mode
 * (it may not be left again without a reset).  Each CPU programs only its own.  The timer counts
 * in TSC deadlines where the CPU has them, else in bus ticks calibrated against the TSC;
 * a deadline beyond the counter's reach interrupts early, and the timer code asks again.
 * Source: SDM 3A, chapter 11.
 */
#include <pv/io.h>
#include <pv/lib.h>
#include <pv/percpu.h>
#include <pv/platform.h>
#include <pv/apic.h>

#define APIC_ID		0x020
#define APIC_TPR	0x080
#define APIC_EOI	0x0b0
#define APIC_SVR	0x0f0
#define APIC_ESR	0x280
#define APIC_ICR_LOW	0x300
#define APIC_ICR_HIGH	0x310
#define APIC_LVT_TIMER	0x320
#define APIC_LVT_THERM	0x330
#define APIC_LVT_PERF	0x340
#define APIC_LVT_LINT0	0x350
#define APIC_LVT_LINT1	0x360
#define APIC_LVT_ERROR	0x370
#define APIC_TMICT	0x380
#define APIC_TMCCT	0x390
#define APIC_TDCR	0x3e0
#define APIC_VERSION	0x030

#define LVT_MASKED	BIT(16)
#define LVT_NMI		(4u << 8)
#define LVT_TSC_DEADLINE (2u << 17)
#define SVR_ENABLE	BIT(8)
#define ICR_BUSY	BIT(12)
#define TDCR_DIV_1	0xb
#define BASE_ENABLE	BIT(11)
#define BASE_X2APIC	BIT(10)
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC	0x800
#define MSR_X2APIC_ICR	0x830

static volatile uint32_t *lapic;
static bool x2apic, tsc_deadline;
static uint64_t timer_khz;		/* bus ticks per ms, when not by TSC deadline */

static uint32_t apic_read(unsigned int reg)
{
	return x2apic ? (uint32_t)rdmsr(MSR_X2APIC + reg / 16) : lapic[reg / 4];
}

static void apic_write(unsigned int reg, uint32_t v)
{
	if (x2apic)
		wrmsr(MSR_X2APIC + reg / 16, v);
	else
		lapic[reg / 4] = v;
}

uint32_t apic_id(void)
{
	return x2apic ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;
}

void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

void apic_send_ipi(uint32_t dest, uint32_t icr_low)
{
	if (x2apic) {
		smp_mb();	/* WRMSR to x2APIC registers is not ordered after earlier stores */
		wrmsr(MSR_X2APIC_ICR, (uint64_t)dest << 32 | icr_low);
		return;
	}
	for (unsigned int i = 0; i < 1000000 && (apic_read(APIC_ICR_LOW) & ICR_BUSY); i++)
		__builtin_ia32_pause();
	apic_write(APIC_ICR_HIGH, dest << 24);
	apic_write(APIC_ICR_LOW, icr_low);
}

void apic_send_ipi_others(uint32_t icr_low)
{
	apic_send_ipi(0, icr_low | 3u << 18);	/* shorthand: all but self */
}

void apic_timer_program(s_time_t deadline)
{
	s_time_t delta;
	uint64_t ticks;

	if (!deadline) {
		if (tsc_deadline)
			wrmsr(MSR_TSC_DEADLINE, 0);
		else
			apic_write(APIC_TMICT, 0);
		return;
	}
	delta = max(deadline - now_ns(), 0L);
	delta = min(delta, 3600000000000L);
	if (tsc_deadline) {
		ticks = (uint64_t)delta / 1000 * tsc_khz / 1000 +
			(uint64_t)delta % 1000 * tsc_khz / 1000000;
		wrmsr(MSR_TSC_DEADLINE, rdtsc() + ticks + 1);
		return;
	}
	ticks = (uint64_t)delta / 1000 * timer_khz / 1000 +
		(uint64_t)delta % 1000 * timer_khz / 1000000;
	apic_write(APIC_TMICT, (uint32_t)min(ticks + 1, (uint64_t)UINT32_MAX));
}

void apic_timer_interrupt(void)
{
	apic_eoi();
	softirq_raise(SOFTIRQ_TIMER);
}

/* A spurious interrupt sets no in-service bit: no EOI (SDM 3A 11.9). */
void apic_spurious_interrupt(void)
{
}

static void __init timer_calibrate(void)
{
	uint64_t tsc0, tsc1, want = tsc_khz * 10;
	uint32_t left;

	apic_write(APIC_TDCR, TDCR_DIV_1);
	apic_write(APIC_LVT_TIMER, LVT_MASKED | VEC_TIMER);
	tsc0 = rdtsc();
	apic_write(APIC_TMICT, UINT32_MAX);
	do {
		tsc1 = rdtsc();
	} while (tsc1 - tsc0 < want);
	left = apic_read(APIC_TMCCT);
	tsc1 = rdtsc();
	apic_write(APIC_TMICT, 0);
	timer_khz = (uint64_t)(UINT32_MAX - left) * tsc_khz / (tsc1 - tsc0);
	if (!timer_khz)
		panic("the local APIC's timer does not count");
}

void apic_init_cpu(void)
{
	unsigned int max_lvt;

	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | BASE_ENABLE | (x2apic ? BASE_X2APIC : 0));
	max_lvt = apic_read(APIC_VERSION) >> 16 & 0xff;
	apic_write(APIC_SVR, SVR_ENABLE | VEC_SPURIOUS);
	apic_write(APIC_TPR, 0);
	apic_write(APIC_LVT_LINT0, LVT_MASKED);		/* the old PIC is not listened to */
	apic_write(APIC_LVT_LINT1, LVT_NMI);
	if (max_lvt >= 4)
		apic_write(APIC_LVT_PERF, LVT_MASKED);
	if (max_lvt >= 5)
		apic_write(APIC_LVT_THERM, LVT_MASKED);
	apic_write(APIC_LVT_ERROR, LVT_MASKED);
	apic_write(APIC_ESR, 0);
	apic_write(APIC_TDCR, TDCR_DIV_1);
	apic_write(APIC_TMICT, 0);
	apic_write(APIC_LVT_TIMER, VEC_TIMER | (tsc_deadline ? LVT_TSC_DEADLINE : 0));
	smp_mb();	/* SDM 3A 11.5.4.1: the mode before the first deadline */
	/* whatever the firmware left in service would block our vectors */
	for (unsigned int i = 0; i < 8; i++)
		apic_eoi();
	percpu[cpu_id()].apic_id = apic_id();
}

void __init apic_init(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);
	uint32_t r[4];

	cpuid(1, 0, r);
	if (!(r[3] & BIT(9)))
		panic("this CPU has no local APIC");
	x2apic = (base & BASE_X2APIC) && (r[2] & BIT(21));
	tsc_deadline = r[2] & BIT(24);
	if (!x2apic) {
		if ((base & PAGE_MASK & ((1UL << cpu_features.phys_bits) - 1)) != acpi_lapic_maddr)
			pr_warn("apic: MADT says 0x%lx, the CPU 0x%lx; the CPU is right",
				acpi_lapic_maddr, base & PAGE_MASK);
		acpi_lapic_maddr = base & PAGE_MASK & ((1UL << cpu_features.phys_bits) - 1);
		lapic = ioremap(acpi_lapic_maddr, PAGE_SIZE);
	}
	apic_init_cpu();
	if (!tsc_deadline) {
		timer_calibrate();
		apic_init_cpu();
	}
	if (tsc_deadline)
		pr_info("apic: %s, timer by TSC deadline", x2apic ? "x2APIC" : "xAPIC");
	else
		pr_info("apic: %s, timer at %lu kHz", x2apic ? "x2APIC" : "xAPIC", timer_khz);
}
