/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupt command words (SDM 3A, figure 11-12), for smp.c. */
#pragma once
#include <pv/types.h>

#define ICR_FIXED	0x00004000u	/* | vector; edge, asserted */
#define ICR_NMI		0x00004400u
#define ICR_INIT	0x00004500u
#define ICR_STARTUP	0x00004600u	/* | page of the start address */

/** apic_send_ipi_others() - to all CPUs but this one, by the APIC's shorthand. */
void apic_send_ipi_others(uint32_t icr_low);
