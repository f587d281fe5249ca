/* SPDX-License-Identifier: Apache-2.0 */
/* The real guest below a source: source_guest_ops over the toolstack library. */
#ifndef MIGRATE_GUEST_H
#define MIGRATE_GUEST_H

#include <signal.h>

#include "migrate/source.h"
#include "toolstack/domain.h"

/** Context of guest_ops. */
struct guest {
	struct toolstack *ts;		/* TOOLSTACK_HCALL | TOOLSTACK_XS */
	domid_t domid;
	uint8_t uuid[16];
	unsigned int suspend_timeout_ms;
	const volatile sig_atomic_t *cancel;
};

extern const struct source_guest_ops guest_ops;

#endif
