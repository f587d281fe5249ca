// SPDX-License-Identifier: Apache-2.0
/* See fake_ioapic.h. */
#include <pv/errno.h>

#include "tests/unit/fake/fake_ioapic.h"

struct fake_line fake_lines[FAKE_GSIS];

void fake_ioapic_reset(void)
{
	unsigned int i;

	for (i = 0; i < FAKE_GSIS; i++)
		fake_lines[i] = (struct fake_line){ .routed = false };
}

int ioapic_route(unsigned int gsi, bool level, bool active_low)
{
	if (gsi >= FAKE_GSIS)
		return -EINVAL;
	if (fake_lines[gsi].routed)
		return -EEXIST;
	fake_lines[gsi] = (struct fake_line){ .routed = true, .level = level,
					      .active_low = active_low };
	return (int)(0x30 + gsi);
}

void ioapic_mask(unsigned int gsi) { fake_lines[gsi].unmasked = false; }
void ioapic_unmask(unsigned int gsi) { fake_lines[gsi].unmasked = true; }
unsigned int ioapic_nr_gsis(void) { return FAKE_GSIS; }
unsigned int uart_gsi(void) { return 4; }

unsigned int ioapic_isa_override(unsigned int irq, bool *level, bool *active_low)
{
	*level = irq == 9;
	*active_low = false;
	return irq == 0 ? 2 : irq;
}
