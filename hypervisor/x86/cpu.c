/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this CPU can do, and its control registers.
 *
 * All CPUs get the same settings, those of the boot CPU's features: vCPUs move between them.
 * Off on purpose: FSGSBASE (guests are told it is absent and use the hypercall), PGE and PCID
 * (a CR3 load must drop every translation of a guest), SMAP under QEMU's emulation (below).
 */
#include <pv/io.h>
#include <pv/lib.h>
#include <pv/percpu.h>
#include <pv/platform.h>

#define CR0_MP		BIT(1)
#define CR0_TS		BIT(3)
#define CR0_NE		BIT(5)
#define CR0_WP		BIT(16)
#define CR0_EM		BIT(2)
#define CR4_PAE		BIT(5)
#define CR4_MCE		BIT(6)
#define CR4_OSFXSR	BIT(9)
#define CR4_OSXMMEXCPT	BIT(10)
#define CR4_UMIP	BIT(11)
#define CR4_OSXSAVE	BIT(18)
#define CR4_SMEP	BIT(20)
#define CR4_SMAP	BIT(21)
#define EFER_SCE	BIT(0)
#define EFER_NXE	BIT(11)
/* Entry by entry WB, WT, UC-, UC, WC, WP, UC, UC: what PV guests are told to count on. */
#define PAT_VALUE	0x0000050100070406UL
/* x87, SSE, AVX, and the three AVX-512 parts; the rest needs more than XSAVE to switch. */
#define XCR0_WANTED	0xe7UL
#define XCR0_AVX512	0xe0UL

struct cpu_features cpu_features __ro_after_init;

static void detect_leaf1_and_7(struct cpu_features *f)
{
	uint32_t r[4], max_leaf;

	cpuid(0, 0, r);
	max_leaf = r[0];
	cpuid(1, 0, r);
	f->xsave = r[2] & BIT(26);
	f->pat = r[3] & BIT(16);
	if (max_leaf < 7)
		return;
	cpuid(7, 0, r);
	f->fsgsbase = r[1] & BIT(0);
	f->smep = r[1] & BIT(7);
	f->smap = r[1] & BIT(20);
	f->umip = r[2] & BIT(2);
}

static void detect_extended(struct cpu_features *f)
{
	uint32_t r[4], max_leaf;

	cpuid(0x80000000, 0, r);
	max_leaf = r[0];
	cpuid(0x80000001, 0, r);
	f->nx = r[3] & BIT(20);
	f->rdtscp = r[3] & BIT(27);
	f->gib_pages = r[3] & BIT(26);
	f->phys_bits = 36;
	if (max_leaf >= 0x80000007) {
		cpuid(0x80000007, 0, r);
		f->invariant_tsc = r[3] & BIT(8);
	}
	if (max_leaf >= 0x80000008) {
		cpuid(0x80000008, 0, r);
		f->phys_bits = (uint8_t)min(r[0] & 0xff, 52u);
	}
}

static void detect_tcg(struct cpu_features *f)
{
	uint32_t r[4];

	cpuid(1, 0, r);
	if (!(r[2] & BIT(31)))		/* "a hypervisor is present": leaf 0x40000000 exists */
		return;
	cpuid(0x40000000, 0, r);
	f->tcg = !memcmp(&r[1], "TCGTCGTCGTCG", 12);
}

static uint64_t detect_xcr0(void)
{
	uint32_t r[4];
	uint64_t mask;

	cpuid(0xd, 0, r);
	mask = (r[0] | (uint64_t)r[3] << 32) & XCR0_WANTED;
	if ((mask & XCR0_AVX512) != XCR0_AVX512)
		mask &= ~XCR0_AVX512;
	return mask | 3;
}

void __init cpu_detect(void)
{
	struct cpu_features *f = &cpu_features;

	detect_leaf1_and_7(f);
	detect_extended(f);
	detect_tcg(f);
	if (f->tcg && f->smap && !cmdline_get_u64("smap", 0)) {
		/* Its IRETQ from ring 3 reads the stack with kernel rights, which SMAP refuses;
		 * a PV kernel executes IRETQ in ring 3 to synchronise its core.  smap=1 is for
		 * tests with kernels that do not. */
		pr_info("cpu: SMAP left off: QEMU's emulation breaks IRETQ in ring 3 with it");
		f->smap = false;
	}
	f->xcr0 = f->xsave ? detect_xcr0() : 3;
	f->xsave_size = 512 + 64;
}

static void write_pat(void)
{
	if (!cpu_features.pat)
		return;
	/* SDM 3A 12.12.4: no line may stay cached under the type its page had before. */
	__asm__ __volatile__("wbinvd" ::: "memory");
	wrmsr(MSR_PAT, PAT_VALUE);
	tlb_flush_local();
	__asm__ __volatile__("wbinvd" ::: "memory");
}

static void write_xcr0(uint64_t v)
{
	__asm__ __volatile__("xsetbv" :: "c"(0), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
}

void cpu_init(void)
{
	struct cpu_features *f = &cpu_features;
	uint64_t cr4 = CR4_PAE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	uint32_t r[4];

	cr4 |= f->smep ? CR4_SMEP : 0;
	cr4 |= f->umip ? CR4_UMIP : 0;
	cr4 |= f->smap ? CR4_SMAP : 0;
	cr4 |= f->xsave ? CR4_OSXSAVE : 0;
	WRITE_CR(4, cr4);
	WRITE_CR(0, (READ_CR(0) & ~(CR0_TS | CR0_EM)) | CR0_WP | CR0_MP | CR0_NE);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE | EFER_NXE);
	write_pat();
	__asm__ __volatile__("fninit");
	if (f->xsave) {
		write_xcr0(f->xcr0);
		cpuid(0xd, 0, r);
		if (cpu_id() == 0)
			f->xsave_size = r[1];
		else if (f->xsave_size != r[1])
			panic("CPUs differ in the size of their XSAVE area");
	}
}
