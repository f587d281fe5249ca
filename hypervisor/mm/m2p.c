/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine-to-physical table: for each machine frame the pfn its owner knows
 * it by, ~0 for frames that are nobody's memory.  Guests read it at HV_M2P_BASE;
 * only the hypervisor writes it, through its direct map.  x86/paging.c allocates
 * it, all ~0.  A value is a hint of the owner about its own frame: wrong ones hurt
 * that owner only.
 */
#include <pv/mm.h>

uint64_t *m2p;
