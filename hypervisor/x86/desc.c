/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GDT, IDT, TSS and SYSCALL set-up of each CPU, and its descriptor window.
 *
 * The window is 2 MB of hypervisor address space for each CPU: 14 pages of
 * the running guest's GDT, one page of our own descriptors behind them (so that
 * selectors 0xe000 and up are ours whatever the guest loads), and 16 pages of the
 * guest's LDT.  Guest pages in it are of type segdesc, so their contents are
 * harmless; the window maps them read-write for the CPU alone (it sets accessed
 * bits).  Unused guest pages show one page of null descriptors.
 * Sources: SDM 3A 2.1.1, 3.5.1, 7.2; Xen public arch-x86/xen-x86_64.h.
 */
#include <pv/io.h>
#include <pv/lib.h>
#include <pv/x86.h>

#define DESC_SLOT	259
#define DESC_BASE	0xffff818000000000UL
#define DESC_WINDOW	(2UL << 20)
#define GDT_PAGES	15
#define LDT_PAGE	16		/* first page of the LDT in the window */
#define NR_LDT_PAGES	16

#define IOBITMAP_BYTES	8192

struct tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7];
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t iomap_base;
	uint8_t iobitmap[IOBITMAP_BYTES + 1];	/* the last byte is all ones (SDM 1, 19.5.2) */
} __packed;
#define IOMAP_OPEN	__builtin_offsetof(struct tss, iobitmap)
#define IOMAP_CLOSED	(sizeof(struct tss) + 1)
#define TSS_PAGES	((sizeof(struct tss) + PAGE_SIZE - 1) / PAGE_SIZE)

struct idt_entry { uint64_t lo, hi; };

static uint64_t desc_l3[512] __aligned(4096);
static uint64_t desc_l2[512] __aligned(4096);
static uint64_t null_page[512] __aligned(4096);
static struct idt_entry idt[256] __aligned(4096);
static uint64_t *desc_l1[MAX_CPUS];
static struct tss *cpu_tss[MAX_CPUS];

extern const uint64_t vector_table[256];	/* entry.S */
extern const uint64_t syscall_stub_table[MAX_CPUS];
extern const uint64_t cstar_stub_table[MAX_CPUS];

static uint64_t image_maddr(const void *p) { return (uint64_t)p - HV_IMAGE_BASE + HV_PHYS_BASE; }
static uint64_t window(unsigned int cpu) { return DESC_BASE + cpu * DESC_WINDOW; }

static void *desc_alloc(unsigned int nr)
{
	void *p;

	if (boot_alloc_is_open()) {
		mfn_t m = boot_alloc(nr, 1, 0);

		BUG_ON(mfn_eq(m, INVALID_MFN));
		p = mfn_to_virt(m);
	} else {
		unsigned int order = 0;
		struct frame *f;

		while ((1u << order) < nr)
			order++;
		f = heap_alloc(order, 0);
		BUG_ON(!f);
		p = frame_to_virt(f);
	}
	memset(p, 0, nr * PAGE_SIZE);
	return p;
}

static void idt_build(void)
{
	unsigned int i;

	for (i = 0; i < 256; i++) {
		uint64_t a = vector_table[i];
		uint64_t dpl = i == 3 || i == 4 || i == VEC_LEGACY_SYSCALL ? 3 : 0;
		uint64_t ist = i == 8 || i == 18 ? 1 : i == 2 ? 2 : i == 1 ? 3 : 0;

		idt[i].lo = (a & 0xffff) | (uint64_t)SEL_HV_CS << 16 | ist << 32 | 0x8e00UL << 32 |
			    dpl << 45 | (a >> 16 & 0xffff) << 48;
		idt[i].hi = a >> 32;
	}
}

static uint64_t system_desc_lo(uint64_t base, uint32_t limit, uint64_t type)
{
	return (limit & 0xffff) | (base & 0xffffff) << 16 | (0x80 | type) << 40 |
	       (uint64_t)(limit >> 16 & 0xf) << 48 | (base >> 24 & 0xff) << 56;
}

/* Our own page: indexes are (selector - 0xe000) / 8. */
static void own_gdt_build(uint64_t *g, unsigned int cpu, const struct tss *tss)
{
	g[1] = 0x00af9a000000ffffUL;		/* 0xe008 ring 0 code 64 */
	g[2] = 0x00cf92000000ffffUL;		/* 0xe010 ring 0 data */
	g[4] = 0x00cffa000000ffffUL;		/* 0xe023 ring 3 code 32 */
	g[5] = 0x00cff2000000ffffUL;		/* 0xe02b ring 3 data */
	g[6] = 0x00affa000000ffffUL;		/* 0xe033 ring 3 code 64 */
	g[8] = system_desc_lo((uint64_t)tss, sizeof(*tss) - 1, 9);
	g[9] = (uint64_t)tss >> 32;
}

bool ioport_denied(unsigned int port)
{
	/* PICs, PIT and its gate, PCI configuration stays dom0's, our console. */
	return (port & ~1u) == 0x20 || (port & ~1u) == 0xa0 || (port & ~3u) == 0x40 || port == 0x61 ||
	       uart_owns_port(port);
}

static void tss_build(struct tss *t, unsigned int cpu)
{
	uint64_t top = (uint64_t)(cpu_info() + 1), base = top - CPU_STACK_SIZE;
	unsigned int port;

	/* cpu_info's frame, from ss down (entry.S). */
	t->rsp[0] = (uint64_t)&cpu_info()->guest_regs.es;
	/* Page 0 of the stack block is a guard; 1..3 serve #DF and #MC, NMI, #DB. */
	t->ist[0] = base + 2 * PAGE_SIZE;
	t->ist[1] = base + 3 * PAGE_SIZE;
	t->ist[2] = base + 4 * PAGE_SIZE;
	t->iomap_base = IOMAP_CLOSED;
	t->iobitmap[IOBITMAP_BYTES] = 0xff;
	for (port = 0; port < 65536; port++)
		if (ioport_denied(port))
			t->iobitmap[port / 8] |= 1u << (port % 8);
	percpu[cpu].syscall_stack = t->rsp[0];
}

static void window_build(unsigned int cpu, uint64_t *own_gdt)
{
	uint64_t *l1 = desc_alloc(1);
	unsigned int i;

	desc_l1[cpu] = l1;
	for (i = 0; i < GDT_PAGES - 1; i++)
		l1[i] = image_maddr(null_page) | PTE_P | PTE_A | PTE_D | PTE_NX;
	l1[GDT_PAGES - 1] = virt_to_mfn(own_gdt).mfn << PAGE_SHIFT | PTE_P | PTE_RW | PTE_A | PTE_D | PTE_NX;
	desc_l2[cpu] = virt_to_mfn(l1).mfn << PAGE_SHIFT | PTE_P | PTE_RW | PTE_A;
	desc_l3[0] = image_maddr(desc_l2) | PTE_P | PTE_RW | PTE_A;
	idle_l4[DESC_SLOT] = image_maddr(desc_l3) | PTE_P | PTE_RW | PTE_A;
}

static void load_tables(unsigned int cpu)
{
	struct { uint16_t limit; uint64_t base; } __packed gdtr = { GDT_PAGES * PAGE_SIZE - 1, window(cpu) },
		idtr = { sizeof(idt) - 1, (uint64_t)idt };

	__asm__ __volatile__("lgdt %0" :: "m"(gdtr));
	__asm__ __volatile__(
		"pushq %0\n\tleaq 1f(%%rip), %%rax\n\tpushq %%rax\n\tlretq\n1:\n\t"
		"movl %1, %%eax\n\tmov %%eax, %%ss\n\txorl %%eax, %%eax\n\t"
		"mov %%eax, %%ds\n\tmov %%eax, %%es\n\tmov %%eax, %%fs\n\tmov %%eax, %%gs\n"
		:: "i"(SEL_HV_CS), "i"(SEL_HV_DS) : "rax", "memory");
	__asm__ __volatile__("lidt %0" :: "m"(idtr));
	__asm__ __volatile__("ltr %w0" :: "r"(SEL_TSS));
	__asm__ __volatile__("lldt %w0" :: "r"(0));
}

void desc_init_cpu(unsigned int cpu)
{
	uint64_t *own_gdt = desc_alloc(1);
	struct tss *tss = desc_alloc(TSS_PAGES);

	if (cpu == 0)
		idt_build();
	cpu_tss[cpu] = tss;
	tss_build(tss, cpu);
	own_gdt_build(own_gdt, cpu, tss);
	window_build(cpu, own_gdt);
	load_tables(cpu);

	wrmsr(MSR_STAR, (uint64_t)(SEL_HV_CS) << 32 | (uint64_t)0xe023 << 48);
	wrmsr(MSR_LSTAR, syscall_stub_table[cpu]);
	wrmsr(MSR_CSTAR, cstar_stub_table[cpu]);
	/* Everything a user could hand over in flags that ring 0 must not inherit:
	 * IF, TF, DF, IOPL, NT, RF, VM, AC. */
	wrmsr(MSR_FMASK, 0x77700);
	wrmsr(0x174, 0);		/* IA32_SYSENTER_CS 0: SYSENTER is #GP */
}

/* --- the guest's tables in the window ------------------------------------------- */

static void window_set(unsigned int page, mfn_t m)
{
	unsigned int cpu = cpu_id();
	uint64_t e = 0;

	if (!mfn_eq(m, INVALID_MFN))
		e = m.mfn << PAGE_SHIFT | PTE_P | PTE_RW | PTE_A | PTE_D | PTE_NX;
	else if (page < GDT_PAGES)
		e = image_maddr(null_page) | PTE_P | PTE_A | PTE_D | PTE_NX;
	if (desc_l1[cpu][page] == e)
		return;
	desc_l1[cpu][page] = e;
	tlb_flush_page_local(window(cpu) + page * PAGE_SIZE);
}

void x86_load_gdt(struct vcpu *v)
{
	unsigned int i;

	for (i = 0; i < GDT_PAGES - 1; i++)
		window_set(i, v->gdt_mfn[i]);
}

void x86_load_ldt(struct vcpu *v)
{
	unsigned int cpu = cpu_id(), i;
	uint64_t *own = (uint64_t *)(window(cpu) + (GDT_PAGES - 1) * PAGE_SIZE);
	uint64_t base = window(cpu) + LDT_PAGE * PAGE_SIZE;

	if (!v->ldt_ents) {
		__asm__ __volatile__("lldt %w0" :: "r"(0));
		return;
	}
	for (i = 0; i < NR_LDT_PAGES; i++)
		window_set(LDT_PAGE + i, v->ldt_mfn[i]);
	own[10] = system_desc_lo(base, v->ldt_ents * 8 - 1, 2);
	own[11] = base >> 32;
	__asm__ __volatile__("lldt %w0" :: "r"(SEL_LDT));
}

void x86_map_ldt_page(unsigned int page, mfn_t m) { window_set(LDT_PAGE + page, m); }

void x86_unmap_ldt_pages(void)
{
	unsigned int i;

	for (i = 0; i < NR_LDT_PAGES; i++)
		window_set(LDT_PAGE + i, INVALID_MFN);
}

int ldt_window_page(uint64_t va)
{
	uint64_t off = va - (window(cpu_id()) + LDT_PAGE * PAGE_SIZE);

	return off < NR_LDT_PAGES * PAGE_SIZE ? (int)(off >> PAGE_SHIFT) : -1;
}

void x86_set_iobitmap(bool open)
{
	cpu_tss[cpu_id()]->iomap_base = open ? IOMAP_OPEN : IOMAP_CLOSED;
}
