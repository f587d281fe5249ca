/* SPDX-License-Identifier: Apache-2.0 */
/* Physical interrupts for domain 0 (irq/pirq.c, hypercall/physdev_op.c). */
#pragma once
#include <pv/abi.h>

struct domain;

/** pirq_init() - once, after ioapic_init(): nothing is bound, every line stays masked. */
void pirq_init(void);

/** pirq_valid() - is @pirq a GSI of this machine that domain 0 may use? */
bool pirq_valid(unsigned int pirq);

/**
 * pirq_setup() - program the line of @gsi as domain 0 read it from ACPI (PHYSDEVOP_setup_gsi).
 * Return: 0, -EEXIST when the line is programmed already (its settings stay; so is the
 * hypervisor's own), -EINVAL for no such GSI, -ENOSPC without a vector.
 */
int pirq_setup(unsigned int gsi, bool level, bool active_low);

/** pirq_level() - the line is level-triggered, so domain 0 must say when it is done. */
bool pirq_level(unsigned int pirq);

/** pirq_eoi() - domain 0 has served @pirq: let the line interrupt again (PHYSDEVOP_eoi).
 *  Return: 0, or -EINVAL when it is not bound. */
int pirq_eoi(unsigned int pirq);

/**
 * pirq_bind()/pirq_unbind() - event channel code ties @pirq of privileged @d to a port, with
 * @d's evtchn.lock held.  A legacy interrupt nobody set up is programmed as MADT has it.
 * Return: 0, -EBUSY (bound, or the hypervisor's own line), -EINVAL (no such GSI, or not set up).
 */
int pirq_bind(struct domain *d, unsigned int pirq, bool will_share);
void pirq_unbind(struct domain *d, unsigned int pirq);

/** do_physdev_op() - HYPERVISOR_physdev_op(@cmd, @arg); @arg guest address of the structure. */
long do_physdev_op(unsigned int cmd, uint64_t arg);
