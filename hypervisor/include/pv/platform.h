/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine is and what boot left for us (x86/multiboot.c, x86/acpi.c,
 * x86/paging.c, x86/apic.c, x86/tsc.c, x86/smp.c, x86/uart.c).
 */
#pragma once
#include <pv/abi.h>
#include <pv/layout.h>

/* --- memory layout of the hypervisor: pv/layout.h, docs/memory-layout.md --- */
static inline void *maddr_to_virt(uint64_t maddr) { return (void *)(HV_DIRECT_BASE + maddr); }
static inline void *mfn_to_virt(mfn_t m) { return (void *)(HV_DIRECT_BASE + (m.mfn << PAGE_SHIFT)); }
static inline mfn_t virt_to_mfn(const void *v)	/* direct-map addresses only */
{
	return _mfn(((uint64_t)v - HV_DIRECT_BASE) >> PAGE_SHIFT);
}

/* --- the machine's memory map, sorted, not overlapping --- */
struct e820_entry { uint64_t addr, size; uint32_t type; };	/* type as ACPI 15: 1 RAM ... */
#define E820_RAM	1
#define E820_RESERVED	2
#define E820_ACPI	3
#define E820_NVS	4
#define E820_UNUSABLE	5
#define E820_MAX	256
extern struct e820_entry e820[E820_MAX];
extern unsigned int nr_e820;
extern uint64_t max_mfn;	/* one past the highest RAM frame: size of M2P and frame table */

/* --- boot modules; pages [mfn, mfn + size) are reserved until boot_modules_free() --- */
struct boot_module { uint64_t maddr, size; char cmdline[1024]; };
extern struct boot_module boot_modules[8];
extern unsigned int nr_boot_modules;
extern char hv_cmdline[1024];
/** boot_modules_free() - hand the frames of all modules to @fn; their contents are gone then. */
void boot_modules_free(void (*fn)(mfn_t start, mfn_t end));
/* The linear framebuffer the loader left (type as in multiboot2 tag 8; addr 0: none). */
struct boot_framebuffer {
	uint64_t addr;
	uint32_t pitch, width, height;
	uint8_t bpp, type;
	uint8_t red_pos, red_size, green_pos, green_size, blue_pos, blue_size;
};
extern struct boot_framebuffer boot_framebuffer;
extern bool boot_by_efi;	/* the loader ran on EFI firmware */

/** multiboot_parse() - take over all the loader tells (once, on the boot tables).
 *  @magic, @info_maddr: EAX and EBX at entry.  Panics on an unknown loader. */
void multiboot_parse(uint32_t magic, uint32_t info_maddr);
/** e820_add() - one region as the firmware states it, unsorted; e820_finish() puts the map in
 *  order, computes max_mfn and opens the boot allocator. */
void e820_add(uint64_t addr, uint64_t size, uint32_t type);
void e820_finish(void);

/** boot_alloc() - contiguous frames before the heap exists (or carved for dom0).
 *  @nr_frames, @align_frames (power of two), below @limit_maddr (0: anywhere).  Returns
 *  INVALID_MFN when no RAM region fits.  Frames are not zeroed. */
mfn_t boot_alloc(uint64_t nr_frames, uint64_t align_frames, uint64_t limit_maddr);
/** boot_for_each_free() - the RAM that boot_alloc() did not give out, as [start, end) mfns;
 *  ends the boot allocator: mm/alloc.c takes it all. */
void boot_for_each_free(void (*fn)(mfn_t start, mfn_t end));
bool boot_alloc_is_open(void);	/* false once boot_for_each_free() has been called */

/* --- CPU facts --- */
struct cpu_features {
	bool tcg;			/* leaf 0x40000000 says TCGTCGTCGTCG */
	bool smep, smap, umip, nx, gib_pages, xsave, fsgsbase, pat, rdtscp, invariant_tsc;
	uint8_t phys_bits;
	uint64_t xcr0;			/* all the host's state components we enable */
	uint32_t xsave_size;		/* bytes of the area for xcr0 (standard format) */
};
extern struct cpu_features cpu_features;
extern uint64_t tsc_khz;
extern uint64_t boot_tsc;
extern uint64_t wallclock_boot_ns;	/* UTC ns at system time 0, from the RTC */

/** now_ns() - system time: ns since boot, monotonic on all CPUs (TSC based). */
s_time_t now_ns(void);
uint64_t rdtsc(void);
/** apic_timer_program() - one-shot local APIC timer of this CPU for absolute system time
 *  @deadline (ns); a past one fires at once; 0 stops.  Raises SOFTIRQ_TIMER from its vector. */
void apic_timer_program(s_time_t deadline);
/** smp_send_kick() - interrupt @cpu so that it looks at its softirqs. */
void smp_send_kick(unsigned int cpu);
/** tlb_flush_mask() - flush all non-global translations on each CPU in @mask (bit = cpu,
 *  own CPU included when set) and return when done.  May be called with locks held. */
void tlb_flush_mask(uint64_t mask);
void tlb_flush_local(void);
/** smp_init() - start all other CPUs; smp_online_mask() - those that run. */
void smp_init(void);
uint64_t smp_online_mask(void);
/** smp_stop_others() - at a panic or power-off: the others halt for good (best effort). */
void smp_stop_others(void);
/* Handlers that traps.c calls for the vectors of io.h; each ends its interrupt itself. */
void apic_timer_interrupt(void);
void apic_spurious_interrupt(void);
void smp_kick_interrupt(void);
void smp_flush_interrupt(void);
void ioapic_interrupt(uint8_t vector);
static inline void tlb_flush_page_local(uint64_t va)
{
	__asm__ __volatile__("invlpg (%0)" :: "r"(va) : "memory");
}
/** irq_window() - let pending interrupts in once; no lock may be held.  Preemption point. */
void irq_window(void);

/* --- bring-up of a CPU, in this order (x86/start.c, x86/smp.c) --- */
/** cpu_detect() - fill cpu_features (boot CPU). */
void cpu_detect(void);
/** cpu_init() - CR0, CR4, EFER, XCR0, PAT of this CPU. */
void cpu_init(void);
/** desc_init_cpu() - GDT, TSS, IDT and SYSCALL MSRs of @cpu, which is this CPU (x86/desc.c). */
void desc_init_cpu(unsigned int cpu);
/** early_idt_load() - until desc_init_cpu(): exceptions panic with their registers. */
void early_idt_load(void);
/** apic_init() - boot CPU: find the local APIC, calibrate its timer; apic_init_cpu(): each CPU. */
void apic_init(void);
void apic_init_cpu(void);
uint32_t apic_id(void);
/** apic_send_ipi() - write the interrupt command @icr_low to the CPU with APIC id @dest. */
void apic_send_ipi(uint32_t dest, uint32_t icr_low);
void ioapic_init(void);
/** tsc_init() - calibrate tsc_khz; wants acpi_init() done.  rtc_init(): wallclock_boot_ns. */
void tsc_init(void);
void rtc_init(void);
/** udelay() - busy wait; answers other CPUs meanwhile. */
void udelay(unsigned int us);
/* ns = ((tsc - boot_tsc) scaled by tsc_shift) * tsc_to_system_mul >> 32, as in Xen's public
 * vcpu_time_info: shift left when tsc_shift >= 0, right otherwise. */
extern uint32_t tsc_to_system_mul;
extern int8_t tsc_shift;

/* --- interrupts of devices (x86/ioapic.c) --- */
/** ioapic_route() - program @gsi to a new vector on CPU 0, masked.  @level, @active_low.
 *  Returns the vector or -EINVAL (no such pin), -ENOSPC, -EEXIST (already routed: its vector
 *  is kept and the settings are those of the first caller). */
int ioapic_route(unsigned int gsi, bool level, bool active_low);
void ioapic_mask(unsigned int gsi);
void ioapic_unmask(unsigned int gsi);
unsigned int ioapic_nr_gsis(void);
/** ioapic_isa_override() - trigger and polarity of ISA IRQ @irq per MADT; returns its GSI. */
unsigned int ioapic_isa_override(unsigned int irq, bool *level, bool *active_low);
void apic_eoi(void);
/** irq_handle_vector() - device vectors arrive here from traps (irq/pirq.c implements it). */
void irq_handle_gsi(unsigned int gsi);

/* --- consoles --- */
void uart_init(void);
void uart_write(const char *s, size_t n);
/** uart_getc() - next received byte or -1. */
int uart_getc(void);
/** uart_owns_port() - dom0 is refused these I/O ports. */
bool uart_owns_port(unsigned int port);
unsigned int uart_gsi(void);
/** uart_enable_rx() - input by interrupt from now on (after ioapic_init()). */
void uart_enable_rx(void);
/** uart_interrupt() - drain the port into console_rx(); called by ioapic_interrupt(). */
void uart_interrupt(void);
/** console_rx() - a byte typed at the serial console (console/console.c). */
void console_rx(char c);

/* --- ACPI facts others need --- */
struct acpi_cpu { uint32_t apic_id, acpi_id; };
extern struct acpi_cpu acpi_cpus[];	/* MADT's enabled CPUs, the first MAX_CPUS */
extern unsigned int acpi_nr_cpus;
extern uint64_t acpi_rsdp_maddr;	/* 0: only a copy came from the loader */
extern uint8_t acpi_rsdp_copy[36];
extern unsigned int acpi_rsdp_len;	/* 20 or 36; 0: none found */
extern uint64_t acpi_efi_system_table;	/* 0: not booted by EFI */
/** acpi_init() - find and read RSDP, XSDT/RSDT, MADT, FADT, HPET. */
void acpi_init(void);
extern uint16_t acpi_pm1a_cnt, acpi_pm1b_cnt;	/* I/O ports, 0 = none */
extern uint16_t acpi_pm_timer_port;		/* 0 = none */
extern uint64_t acpi_lapic_maddr;
extern unsigned int acpi_nr_ioapics;
extern uint64_t acpi_ioapic_maddr[8];
extern uint64_t acpi_hpet_maddr;		/* 0 = none */
extern uint8_t acpi_century_reg;		/* CMOS index of the century, 0 = none */
/** machine_halt()/machine_reboot() - as the options noreboot, and isa-debug-exit, say. */
__noreturn void machine_halt(void);
__noreturn void machine_reboot(void);

/** ioremap() - map @size bytes of MMIO at @maddr uncached for the hypervisor; never unmapped. */
volatile void *ioremap(uint64_t maddr, uint64_t size);
/** paging: the idle L4 whose slots 256..271 every guest L4 copies. */
/** paging_init() - the final tables, frame table and M2P; switches to them. */
void paging_init(void);
/** paging_init_cpu() - load idle_l4 on a CPU that comes up. */
void paging_init_cpu(void);
/** paging_seal() - end of boot: what is __ro_after_init becomes read-only, __init code and data
 *  vanish and their frames go to @fn (may be NULL).  On one CPU, when nothing __init runs. */
void paging_seal(void (*fn)(mfn_t start, mfn_t end));
/** paging_guard_page() - unmap the direct-map page at @page so that an overrun faults. */
void paging_guard_page(void *page);
extern uint64_t *idle_l4;
extern mfn_t idle_l4_mfn;

/* CPUs come up, then call this, which enters the scheduler (x86/start.c, hypervisor_main). */
__noreturn void hypervisor_main(void);
__noreturn void secondary_main(void);
