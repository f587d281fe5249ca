/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What CPUID says to a guest kernel (by the forced-emulation prefix; user space sees
 * the hardware's own).  A feature is shown when a PV guest can use it at ring 3 as it
 * is and the hypervisor saves its state.  The lists are of what is kept, so that
 * a feature unknown to us stays hidden.
 * Sources: SDM 2A, CPUID; AMD APM 3, appendix E; Xen public arch-x86/cpuid.h.
 */
#include <pv/io.h>
#include <pv/lib.h>
#include <pv/x86.h>

#define B(n) (1u << (n))

/* Leaf 1 EDX: fpu de tsc msr pae mce cx8 apic sep mca cmov pat clflush mmx fxsr sse sse2 ht.
 * Not pse, mtrr, pge, pse36: superpages and global pages are not for PV guests. */
#define L1_EDX (B(0) | B(2) | B(4) | B(5) | B(6) | B(7) | B(8) | B(9) | B(11) | B(14) | B(15) | B(16) | \
		B(19) | B(23) | B(24) | B(25) | B(26) | B(28))
/* Leaf 1 ECX: pni pclmul ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt aes xsave avx f16c rdrand. */
#define L1_ECX (B(0) | B(1) | B(9) | B(12) | B(13) | B(19) | B(20) | B(22) | B(23) | B(25) | B(26) | B(28) | \
		B(29) | B(30))
#define L1_ECX_OSXSAVE		B(27)
#define L1_ECX_HYPERVISOR	B(31)
/* Leaf 7 EBX: bmi1 avx2 bmi2 erms avx512* rdseed adx clflushopt clwb sha. */
#define L7_EBX (B(3) | B(5) | B(8) | B(9) | B(16) | B(17) | B(18) | B(19) | B(21) | B(23) | B(24) | B(28) | \
		B(29) | B(30) | B(31))
/* Leaf 7 ECX: avx512vbmi vbmi2 gfni vaes vpclmulqdq vnni bitalg vpopcntdq. */
#define L7_ECX (B(1) | B(6) | B(8) | B(9) | B(10) | B(11) | B(12) | B(14))
#define L7_EDX (B(4))					/* fsrm */
/* 0x80000001 EDX: as leaf 1's low bits, syscall nx mmxext fxsr_opt rdtscp lm 3dnow*. */
#define E1_EDX ((L1_EDX & 0x0183f3ffu & ~(B(3) | B(12) | B(13) | B(17))) | B(11) | B(20) | B(22) | B(25) | \
	       B(27) | B(29) | B(30) | B(31))
/* 0x80000001 ECX: lahf cmp_legacy-less abm sse4a misalignsse 3dnowprefetch xop fma4 tbm. */
#define E1_ECX (B(0) | B(5) | B(6) | B(7) | B(8) | B(11) | B(16) | B(21))
#define E7_EDX (B(8))					/* invariant TSC */

static void leaf_xen(const struct vcpu *v, uint32_t n, uint32_t o[4])
{
	o[0] = o[1] = o[2] = o[3] = 0;
	switch (n) {
	case 0:
		o[0] = XEN_CPUID_FIRST_LEAF + 5;
		o[1] = XEN_CPUID_SIGNATURE_EBX;
		o[2] = XEN_CPUID_SIGNATURE_ECX;
		o[3] = XEN_CPUID_SIGNATURE_EDX;
		break;
	case 1:
		o[0] = 4u << 16 | 17;
		break;
	case 2:
		o[0] = 1;
		o[1] = 0x40000000;
		o[2] = XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD;
		break;
	case 5:
		o[1] = cpu_features.phys_bits;
		break;
	}
}

static void leaf_xsave(uint32_t sub, uint32_t o[4])
{
	uint64_t x = cpu_features.xcr0;

	if (!cpu_features.xsave) {
		o[0] = o[1] = o[2] = o[3] = 0;
	} else if (sub == 0) {
		o[0] = (uint32_t)x;
		o[1] = o[2] = cpu_features.xsave_size;
		o[3] = (uint32_t)(x >> 32);
	} else if (sub == 1) {
		o[0] &= 1;		/* XSAVEOPT; no XSAVEC, XGETBV1, XSAVES */
		o[1] = o[2] = o[3] = 0;
	} else if (sub >= 63 || !(x >> sub & 1)) {
		o[0] = o[1] = o[2] = o[3] = 0;
	}
}

void guest_cpuid(const struct vcpu *v, uint32_t leaf, uint32_t sub, uint32_t o[4])
{
	bool dom0_view = is_privileged(v->domain);

	if (leaf >= XEN_CPUID_FIRST_LEAF && leaf < XEN_CPUID_FIRST_LEAF + 0x10000) {
		if (leaf < XEN_CPUID_FIRST_LEAF + 0x100)
			leaf_xen(v, leaf - XEN_CPUID_FIRST_LEAF, o);
		else
			o[0] = o[1] = o[2] = o[3] = 0;
		return;
	}
	cpuid(leaf, sub, o);
	switch (leaf) {
	case 1:
		o[1] = (o[1] & 0x0000ffff) | 1u << 16;	/* one logical CPU, APIC id 0 */
		o[2] = (o[2] & L1_ECX) | L1_ECX_HYPERVISOR;
		if (cpu_features.xsave)
			o[2] |= L1_ECX_OSXSAVE;
		else
			o[2] &= ~(B(26) | B(28) | B(12) | B(29));
		o[3] &= L1_EDX;
		if (!dom0_view)
			o[3] &= ~B(9);
		break;
	case 4:
		o[0] &= 0x3fff;			/* cores and threads sharing: one */
		break;
	case 7:
		if (sub == 0) {
			o[0] = 0;
			o[1] &= L7_EBX;
			o[2] &= L7_ECX;
			o[3] &= L7_EDX;
		} else {
			o[0] = o[1] = o[2] = o[3] = 0;
		}
		break;
	case 0xd:
		leaf_xsave(sub, o);
		break;
	case 0xb:
		o[0] = o[1] = o[3] = 0;
		break;
	case 5: case 6: case 9: case 0xa: case 0xf: case 0x10: case 0x12: case 0x14: case 0x18 ... 0x1f:
		o[0] = o[1] = o[2] = o[3] = 0;
		break;
	case 0x80000001:
		o[2] &= E1_ECX;
		o[3] &= E1_EDX;
		break;
	case 0x80000007:
		o[0] = o[1] = o[2] = 0;
		o[3] &= E7_EDX;
		break;
	case 0x80000008:
		o[1] = o[2] = o[3] = 0;
		break;
	case 0x8000000a: case 0x80000019 ... 0x8000001f:
		o[0] = o[1] = o[2] = o[3] = 0;
		break;
	}
}
