/* SPDX-License-Identifier: Apache-2.0 */
/* The real host below a target: target_host_ops over the toolstack library. */
#ifndef MIGRATE_HOST_H
#define MIGRATE_HOST_H

#include "migrate/target.h"

/** Needs no context: each session opens handles of its own. */
extern const struct target_host_ops host_ops;

/**
 * host_warm_up() - do what the first arrival on this host would pay for while
 * its guest stands.  A host that cannot (no /dev/xen/gntdev) loses only time.
 */
void host_warm_up(void);

#endif
