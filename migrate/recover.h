/* SPDX-License-Identifier: Apache-2.0 */
/* `migrate --recover`, and what godwitd does by itself after a crash. */
#ifndef MIGRATE_RECOVER_H
#define MIGRATE_RECOVER_H

#include <stdbool.h>

#include "migrate/source.h"
#include "toolstack/domain.h"

#define RECOVER_SOURCE_DIR "/var/lib/godwit/source"
#define RECOVER_TARGET_DIR "/var/lib/godwit/target"

/**
 * recover_guest() - finish what an interrupted move of a guest left.
 * @ts:          TOOLSTACK_HCALL | TOOLSTACK_XS
 * @uuid:        the guest's
 * @fallback:    its domid where no journal names one, 0 = none
 * @force_local: see source_recover()
 * @timeout_ms:  to reach the other host
 * @out:         outcome and reason
 *
 * Return: as source_recover(); -ENOENT nothing to recover.
 */
int recover_guest(struct toolstack *ts, const uint8_t uuid[16], domid_t fallback,
		  bool force_local, unsigned int timeout_ms, struct source_result *out);

/**
 * recover_sweep() - recover every journal whose process has died.
 * @timeout_ms: to reach another host, for each
 *
 * Quiet about moves in progress; logs what it settles, and once for each that
 * stays in doubt.
 */
void recover_sweep(unsigned int timeout_ms);

#endif
