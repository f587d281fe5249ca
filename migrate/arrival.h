/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest needs right after it runs here: its MACs announced on their
 * bridges (net-arp), somebody who acts when it ends, and its own name back if
 * it was built beside its former self.
 *
 * None of it can fail the move: it is logged and left.
 */
#ifndef MIGRATE_ARRIVAL_H
#define MIGRATE_ARRIVAL_H

#include <stdbool.h>

#include "toolstack/config.h"
#include "toolstack/lib/hcall.h"

#define ARRIVAL_SUFFIX "--incoming"

/**
 * arrival_start() - begin, in a thread of its own; returns at once.
 * @domid:   the guest
 * @cfg:     copied
 * @renamed: its name ends in ARRIVAL_SUFFIX and shall lose that
 */
void arrival_start(domid_t domid, const struct domain_config *cfg, bool renamed);

/** arrival_run() - the same in the caller's thread, for commands that end after it. */
void arrival_run(domid_t domid, const struct domain_config *cfg);

#endif
