/* SPDX-License-Identifier: Apache-2.0 */
/* An IO-APIC of FAKE_GSIS lines; ISA interrupt 0 is GSI 2, 9 is level, the console has 4. */
#pragma once
#include <pv/platform.h>

#define FAKE_GSIS	24u
struct fake_line { bool routed, level, active_low, unmasked; };
extern struct fake_line fake_lines[FAKE_GSIS];
void fake_ioapic_reset(void);
