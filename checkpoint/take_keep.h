/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After a checkpoint was taken: the newest ones stay, older ones of the same domain
 * go.  The new one is durable by then, and is never touched by a failure here.
 */
#ifndef CHECKPOINT_TAKE_KEEP_H
#define CHECKPOINT_TAKE_KEEP_H

#include "checkpoint/retain.h"

/**
 * take_keep() - thin out one domain's checkpoints.
 * @s:      the store
 * @domain: the domain's name
 * @uuid:   only checkpoints of this domain count, and go
 * @keep:   how many stay, with those they stand on; at least 1
 * @merge:  if as many are stood on as are kept, merge, so that they can go: for a chain
 *          that never gets another full one, and once in @keep times, since it writes a
 *          full one
 * @done:   what it came to
 * @why:    one line on failure
 *
 * Return: 0; errors of retain_prune().
 */
int take_keep(struct store *s, const char *domain, const uint8_t uuid[16], unsigned int keep,
	      bool merge, struct retain_pruned *done, char why[CATALOG_WHY]);

#endif
