/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model-specific registers as a PV guest may see them.  What Linux reads on this
 * ABI has an answer; all else is #GP, which it expects.
 */
#include <pv/errno.h>
#include <pv/io.h>
#include <pv/x86.h>

#define MSR_MISC_ENABLE		0x1a0
#define MSR_UCODE_REV		0x8b
#define MSR_MCG_CAP		0x179
#define MSR_MCG_STATUS		0x17a
#define MSR_PLATFORM_INFO	0xce
#define MSR_FEATURE_CONTROL	0x3a

int x86_safe_rdmsr(uint32_t msr, uint64_t *out);

static bool canonical(uint64_t a) { return (uint64_t)((int64_t)(a << 16) >> 16) == a; }

int guest_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *val)
{
	switch (msr) {
	case MSR_FS_BASE:
	case MSR_GS_BASE:
	case MSR_KERNEL_GS_BASE:
		*val = rdmsr(msr);
		return 0;
	case MSR_TSC_AUX:
		*val = v->tsc_aux;
		return 0;
	case MSR_EFER:
		*val = rdmsr(MSR_EFER) & ~(1UL << 12);
		return 0;
	case MSR_PAT:
		*val = 0x0000050100070406UL;
		return 0;
	case MSR_APIC_BASE:
		*val = 0xfee00000UL | 0x800 | (v->id == 0 ? 0x100 : 0);
		return 0;
	case MSR_MISC_ENABLE:
	case MSR_UCODE_REV:
		return x86_safe_rdmsr(msr, val) ? -EPERM : 0;
	case MSR_FEATURE_CONTROL:
	case MSR_PLATFORM_INFO:
	case MSR_MCG_CAP:
	case MSR_MCG_STATUS:
		*val = 0;
		return 0;
	default:
		return -EPERM;
	}
}

int guest_wrmsr(struct vcpu *v, uint32_t msr, uint64_t val)
{
	switch (msr) {
	case MSR_FS_BASE:
	case MSR_GS_BASE:
	case MSR_KERNEL_GS_BASE:
		if (!canonical(val))
			return -EPERM;
		wrmsr(msr, val);
		return 0;
	case MSR_TSC_AUX:
		if (val >> 32 || !cpu_features.rdtscp)
			return -EPERM;
		v->tsc_aux = val;
		wrmsr(MSR_TSC_AUX, val);
		return 0;
	case MSR_EFER:
		return (val ^ rdmsr(MSR_EFER)) & ~(1UL << 12) ? -EPERM : 0;
	case MSR_MISC_ENABLE:
	case MSR_UCODE_REV:
	case MSR_MCG_STATUS:
		return 0;
	default:
		return -EPERM;
	}
}
