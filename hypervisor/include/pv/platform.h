/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine is and what boot left for us (x86/multiboot.c, x86/acpi.c,
 * x86/paging.c, x86/apic.c, x86/tsc.c, x86/smp.c, x86/uart.c).
 */
#pragma once
#include <pv/abi.h>

/* --- memory layout of the hypervisor (docs/memory-layout.md) --- */
#define HV_SLOT_FIRST		256
#define HV_SLOT_LAST		271
#define HV_M2P_BASE		0xffff800000000000UL	/* slot 256: M2P, read-only, guest-readable */
#define HV_IO_BASE		0xffff808000000000UL	/* slot 257: ioremap of MMIO, uncached */
#define HV_IMAGE_BASE		0xffff810000000000UL	/* slot 258: this image, W^X */
#define HV_DIRECT_BASE		0xffff830000000000UL	/* slots 262..271: all RAM, RW, NX */
#define HV_END			0xffff880000000000UL
#define HV_PHYS_BASE		0x200000UL		/* where the loader puts the image */

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

/** boot_alloc() - contiguous frames before the heap exists (or carved for dom0).
 *  @nr_frames, @align_frames (power of two), below @limit_maddr (0: anywhere).  Returns
 *  INVALID_MFN when no RAM region fits.  Frames are not zeroed. */
mfn_t boot_alloc(uint64_t nr_frames, uint64_t align_frames, uint64_t limit_maddr);
/** boot_for_each_free() - the RAM that boot_alloc() did not give out, as [start, end) mfns;
 *  ends the boot allocator: mm/alloc.c takes it all. */
void boot_for_each_free(void (*fn)(mfn_t start, mfn_t end));

/* --- CPU facts --- */
struct cpu_features {
	bool tcg;			/* leaf 0x40000000 says TCGTCGTCGTCG */
	bool smep, smap, umip, nx, gib_pages, xsave, fsgsbase, pat, invariant_tsc;
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
static inline void tlb_flush_page_local(uint64_t va)
{
	__asm__ __volatile__("invlpg (%0)" :: "r"(va) : "memory");
}
/** irq_window() - let pending interrupts in once; no lock may be held.  Preemption point. */
void irq_window(void);

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

/* --- ACPI facts others need --- */
extern uint16_t acpi_pm1a_cnt, acpi_pm1b_cnt;	/* I/O ports, 0 = none */
extern uint16_t acpi_pm_timer_port;		/* 0 = none */
extern uint64_t acpi_lapic_maddr;
extern unsigned int acpi_nr_ioapics;
extern uint64_t acpi_ioapic_maddr[8];
extern uint64_t acpi_hpet_maddr;		/* 0 = none */
/** machine_halt()/machine_reboot() - as the options noreboot, and isa-debug-exit, say. */
__noreturn void machine_halt(void);
__noreturn void machine_reboot(void);

/** ioremap() - map @size bytes of MMIO at @maddr uncached for the hypervisor; never unmapped. */
volatile void *ioremap(uint64_t maddr, uint64_t size);
/** paging: the idle L4 whose slots 256..271 every guest L4 copies. */
extern uint64_t *idle_l4;
extern mfn_t idle_l4_mfn;

/* CPUs come up, then call this, which enters the scheduler (x86/start.c, hypervisor_main). */
__noreturn void hypervisor_main(void);
__noreturn void secondary_main(void);
