/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest needs right after it runs here, and not before: its console
 * joined, its MACs announced on their bridges (net-arp), somebody who acts when
 * it ends, and its own name back if it was built beside its former self.
 *
 * None of it can fail the move: it is logged and left.
 */
#ifndef MIGRATE_ARRIVAL_H
#define MIGRATE_ARRIVAL_H

#include "toolstack/domain.h"

#define ARRIVAL_SUFFIX "--incoming"
#define ARRIVAL_STANDBY "--standby"

/**
 * arrival_start() - begin, in a thread of its own; returns at once.
 * @dom:     the guest.  If its rings are known they are written to xenstore
 *           first: xenconsoled joins by that, xenstored has it already
 * @cfg:     copied
 * @suffix:  its name ends in this and shall lose it; NULL: it has its own name
 */
void arrival_start(const struct domain_new *dom, const struct domain_config *cfg, const char *suffix);

#endif
