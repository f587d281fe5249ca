/* SPDX-License-Identifier: Apache-2.0 */
/* Physical interrupts for domain 0 (irq/pirq.c, hypercall/physdev_op.c). */
#pragma once
#include <pv/abi.h>
struct domain;
void pirq_init(void);
/** pirq_bind()/pirq_unbind() - event channel code ties @pirq of domain 0 to a port. */
int pirq_bind(struct domain *d, unsigned int pirq, bool will_share);
void pirq_unbind(struct domain *d, unsigned int pirq);
long do_physdev_op(unsigned int cmd, uint64_t arg);
