/* SPDX-License-Identifier: Apache-2.0 */
/*
 * More than one CPU: starting them, interrupting them, flushing their TLBs.
 *
 * CPU numbers are dense: 0 is the boot CPU, the others follow MADT order; one that does
 * not come up leaves no gap.  Each has a stack from smp_init(), the page below it unmapped.
 *
 * TLB flush: the asker sets its bit in each target's flush_pending and waits until all have
 * cleared theirs in flush_wait[asker].  A target takes all bits at once, flushes, then answers
 * each: whoever sets a bit after the take is answered by the next one.  Whoever waits, here or
 * for a lock, calls smp_poll(), so two CPUs that flush each other both get answers; nobody
 * needs an interrupt for that.  A CPU never asks itself, so its own bit means: stop for good.
 */
#include <pv/io.h>
#include <pv/lib.h>
#include <pv/mm.h>
#include <pv/percpu.h>
#include <pv/platform.h>
#include <pv/spinlock.h>
#include <pv/apic.h>

#define BIOS_SAFE_START	0x1000UL	/* not the interrupt table and BIOS data */
#define BIOS_SAFE_END	0x9f000UL

extern char trampoline_start[], trampoline_end[], trampoline_stack[];

struct percpu percpu[MAX_CPUS];
unsigned int nr_cpus = 1;

static uint64_t online_mask = 1;
static uint64_t flush_wait[MAX_CPUS];
static uint64_t secondary_tsc;		/* what a starting CPU's TSC showed */

void start_secondary_cpu(void) __noreturn;

uint64_t smp_online_mask(void)
{
	return atomic_load(&online_mask);
}

void tlb_flush_local(void)
{
	tlb_write_cr3(READ_CR(3));
}

static void __noreturn stop_this_cpu(void)
{
	for (;;)
		__asm__ __volatile__("cli; hlt");
}

static void flush_answer(void)
{
	uint64_t *pending = &this_cpu()->flush_pending;
	uint64_t mine = BIT(cpu_id()), askers = atomic_xchg(pending, 0UL);

	if (!askers)
		return;
	if (askers & mine)
		stop_this_cpu();
	tlb_flush_local();
	while (askers) {
		unsigned int asker = (unsigned int)__builtin_ctzl(askers);

		askers &= askers - 1;
		atomic_and(&flush_wait[asker], ~mine);
	}
}

void smp_poll(void)
{
	if (unlikely(ACCESS_ONCE(this_cpu()->flush_pending)))
		flush_answer();
}

void tlb_flush_mask(uint64_t mask)
{
	unsigned int me = cpu_id();
	uint64_t others = mask & smp_online_mask() & ~BIT(me);

	if (others) {
		atomic_store(&flush_wait[me], others);
		for (uint64_t m = others; m; m &= m - 1) {
			unsigned int cpu = (unsigned int)__builtin_ctzl(m);

			/* Bits already there: their setter's interrupt is on its way. */
			if (!atomic_or(&percpu[cpu].flush_pending, BIT(me)))
				apic_send_ipi(percpu[cpu].apic_id, ICR_FIXED | VEC_TLB_FLUSH);
		}
	}
	if (mask & BIT(me))
		tlb_flush_local();
	while (atomic_load(&flush_wait[me])) {
		__builtin_ia32_pause();
		smp_poll();
	}
}

void smp_send_kick(unsigned int cpu)
{
	apic_send_ipi(percpu[cpu].apic_id, ICR_FIXED | VEC_KICK);
}

void smp_kick_interrupt(void)
{
	apic_eoi();
	smp_poll();
}

void smp_flush_interrupt(void)
{
	apic_eoi();
	smp_poll();
}

void irq_window(void)
{
	/* STI's shadow covers the NOP: what is pending comes in after it */
	__asm__ __volatile__("sti; nop; nop; cli" ::: "memory");
}

void smp_stop_others(void)
{
	uint64_t left = atomic_xchg(&online_mask, BIT(cpu_id())) & ~BIT(cpu_id());

	if (!left)
		return;
	for (uint64_t m = left; m; m &= m - 1) {
		unsigned int cpu = (unsigned int)__builtin_ctzl(m);

		atomic_or(&percpu[cpu].flush_pending, BIT(cpu));
		apic_send_ipi(percpu[cpu].apic_id, ICR_FIXED | VEC_KICK);
	}
	for (uint64_t start = rdtsc(); rdtsc() - start < tsc_khz * 10;)
		__builtin_ia32_pause();
	/* One stuck with interrupts off: INIT halts it - but sends the boot CPU to its firmware. */
	for (uint64_t m = left & ~1UL; m; m &= m - 1)
		apic_send_ipi(percpu[__builtin_ctzl(m)].apic_id, ICR_INIT);
}

/* --- start --- */

static bool __init page_is_low_ram(uint64_t maddr)
{
	for (unsigned int i = 0; i < nr_boot_modules; i++) {
		const struct boot_module *m = &boot_modules[i];

		if (m->maddr < maddr + PAGE_SIZE && m->maddr + m->size > maddr)
			return false;
	}
	for (unsigned int i = 0; i < nr_e820; i++) {
		const struct e820_entry *e = &e820[i];

		if (e->type == E820_RAM && maddr >= e->addr && maddr + PAGE_SIZE <= e->addr + e->size)
			return true;
	}
	return false;
}

static uint64_t __init trampoline_place(void)
{
	uint64_t maddr;

	for (maddr = BIOS_SAFE_END - PAGE_SIZE; maddr >= BIOS_SAFE_START; maddr -= PAGE_SIZE) {
		if (page_is_low_ram(maddr))
			break;
	}
	if (maddr < BIOS_SAFE_START)
		return 0;
	memcpy(maddr_to_virt(maddr), trampoline_start, (size_t)(trampoline_end - trampoline_start));
	return maddr;
}

/* A stack for @cpu, its cpu_info at the top and nothing mapped below; NULL: no memory. */
static struct cpu_info *__init stack_make(unsigned int cpu)
{
	uint64_t frames = 2 * CPU_STACK_SIZE >> PAGE_SHIFT;
	mfn_t m = boot_alloc(frames, frames, 0);
	struct cpu_info *info;
	char *stack;

	if (mfn_eq(m, INVALID_MFN))
		return NULL;
	stack = (char *)mfn_to_virt(m) + CPU_STACK_SIZE;
	memset(stack, 0, CPU_STACK_SIZE);
	paging_guard_page(stack - PAGE_SIZE);
	info = (struct cpu_info *)(stack + CPU_STACK_SIZE) - 1;
	info->cpu = cpu;
	return info;
}

static bool __init wait_online(unsigned int cpu, unsigned int ms)
{
	for (unsigned int i = 0; i < ms * 10; i++) {
		if (atomic_load(&percpu[cpu].online))
			return true;
		udelay(100);
	}
	return atomic_load(&percpu[cpu].online);
}

/* SDM 3A 9.4.4.1: INIT, 10 ms, start-up, and a second start-up for whoever missed the first. */
static bool __init cpu_start(unsigned int cpu, uint32_t id, uint64_t trampoline)
{
	uint32_t startup = ICR_STARTUP | (uint32_t)(trampoline >> PAGE_SHIFT);
	uint64_t tsc;

	percpu[cpu].apic_id = id;
	tsc = rdtsc();
	apic_send_ipi(id, ICR_INIT);
	udelay(10000);
	apic_send_ipi(id, startup);
	if (!wait_online(cpu, 10)) {
		apic_send_ipi(id, startup);
		if (!wait_online(cpu, 1000)) {
			apic_send_ipi(id, ICR_INIT);
			return false;
		}
	}
	if (secondary_tsc - tsc > rdtsc() - tsc)
		pr_warn("smp: the TSC of CPU %u is apart by more than %ld ticks: time will jump", cpu,
			(int64_t)(secondary_tsc - tsc));
	return true;
}

void __init smp_init(void)
{
	uint64_t trampoline = trampoline_place(), *stack_word;
	uint32_t boot_id = apic_id();
	char unused[4];

	percpu[0].online = true;
	if (acpi_nr_cpus < 2 || cmdline_get("nosmp", unused, sizeof(unused)))
		return;
	if (!trampoline) {
		pr_warn("smp: no RAM below 1 MB to start other CPUs from; running on one");
		return;
	}
	stack_word = maddr_to_virt(trampoline + (uint64_t)(trampoline_stack - trampoline_start));
	for (unsigned int i = 0; i < acpi_nr_cpus && nr_cpus < MAX_CPUS; i++) {
		struct cpu_info *info;

		if (acpi_cpus[i].apic_id == boot_id)
			continue;
		info = stack_make(nr_cpus);
		if (!info)
			break;
		*stack_word = (uint64_t)info;
		if (!cpu_start(nr_cpus, acpi_cpus[i].apic_id, trampoline)) {
			pr_warn("smp: the CPU with APIC id %u does not start", acpi_cpus[i].apic_id);
			continue;
		}
		atomic_or(&online_mask, BIT(nr_cpus));
		nr_cpus++;
	}
	pr_info("smp: %u CPUs", nr_cpus);
}

/* From trampoline.S, on this CPU's own stack and on idle_l4. */
void start_secondary_cpu(void)
{
	unsigned int cpu = cpu_id();

	secondary_tsc = rdtsc();
	early_idt_load();
	cpu_init();
	desc_init_cpu(cpu);
	apic_init_cpu();
	atomic_store(&percpu[cpu].online, true);
	secondary_main();
}
