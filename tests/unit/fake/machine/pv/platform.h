/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real platform header, but machine frames are pages of an array: a host
 * process has no direct map at HV_DIRECT_BASE.
 */
#pragma once
#define maddr_to_virt real_maddr_to_virt
#define mfn_to_virt real_mfn_to_virt
#define virt_to_mfn real_virt_to_mfn
#include_next <pv/platform.h>
#undef maddr_to_virt
#undef mfn_to_virt
#undef virt_to_mfn

#define FAKE_FRAMES	64u
extern uint8_t fake_ram[FAKE_FRAMES][PAGE_SIZE];

static inline void *mfn_to_virt(mfn_t m) { return fake_ram[m.mfn]; }
static inline mfn_t virt_to_mfn(const void *v)
{
	return _mfn((uint64_t)((const uint8_t *)v - fake_ram[0]) >> PAGE_SHIFT);
}
