/* SPDX-License-Identifier: Apache-2.0 */
/* What only the APIC code wants of ACPI. */
#pragma once
#include <pv/types.h>

/* MADT interrupt source overrides, by ISA IRQ; an absent one is GSI = IRQ, edge, active high. */
struct acpi_override {
	bool present, level, active_low;
	uint32_t gsi;
};
extern struct acpi_override acpi_override[16];
extern uint32_t acpi_ioapic_gsi_base[8];
