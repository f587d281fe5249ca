/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking checkpoints out of a chain: merge, delete, prune.
 *
 * Invariant: nothing is deleted before what replaces it is committed, and a
 * child before its parent.  So whatever ends an operation in the middle, every
 * checkpoint that was to stay can still be restored, and doing it again goes on
 * where it stopped: at worst a checkpoint and the merged one that stands for it
 * are both there, which means the same as either.
 *
 * The catalogue follows what is done; objects that others put meanwhile are not
 * seen, which is safe: a child that names a merged checkpoint's old hash finds
 * the merged one (docs/spec/stream.md, "Chains").
 */
#ifndef CHECKPOINT_RETAIN_H
#define CHECKPOINT_RETAIN_H

#include "checkpoint/catalog.h"

/* Who wants to know of each step; @said may be NULL. */
struct retain_log {
	void (*said)(void *ctx, const char *verb, const char *object);	/* "merged", "deleted" */
	void *ctx;
};

/**
 * retain_merge() - make checkpoint @i a full one, which depends on nothing.
 * @cat:  the catalogue
 * @i:    a checkpoint; unless @keep, its entry becomes the merged one's
 * @keep: leave the original in the store as well
 * @log:  told of each step
 * @why:  one line on failure
 *
 * Every byte of the chain is checked before anything is written.  Of a merged one
 * whose original is still there, the original is deleted (unless @keep); the
 * catalogue's indices are other ones then.
 * Return: 0; 1 it is full already, nothing to do; errors of chain_open(), of the store, -EEXIST
 * something else has the merged one's name.
 */
int retain_merge(struct catalog *cat, size_t i, bool keep, const struct retain_log *log,
		 char why[CATALOG_WHY]);

/**
 * retain_delete() - remove checkpoint @i.
 * @chain: and all that depend on it; without this it must have none
 *
 * The catalogue's indices are other ones afterwards.
 * Return: how many were deleted; -EBUSY others depend on it; -EIO nobody knows whether;
 * errors of the store.
 */
int retain_delete(struct catalog *cat, size_t i, bool chain, const struct retain_log *log,
		  char why[CATALOG_WHY]);

struct retain_pruned {
	unsigned int kept, merged, deleted;
	unsigned int ancestors;		/* kept beyond the number, since those stand on them */
	unsigned int broken;		/* damaged, or without a parent: left alone */
};

/**
 * retain_prune() - keep the newest checkpoints, and nothing else.
 * @keep:  how many, at least 1; ones that cannot be restored do not count
 * @merge: make those full whose parent goes, so that exactly @keep are left.  Without
 *         this what they stand on stays as well: nothing is written, and with a full
 *         checkpoint every M the store never holds more than @keep + M.  That is for
 *         who prunes after every checkpoint: a merge writes a whole image.
 *
 * Return: 0; -EINVAL @keep is 0; errors as above.
 */
int retain_prune(struct catalog *cat, unsigned int keep, bool merge,
		 const struct retain_log *log, struct retain_pruned *done,
		 char why[CATALOG_WHY]);

/**
 * retain_only() - forget the checkpoints of others: a folder of a store is a name's, and
 * another domain may have had the name.  Nothing is deleted.
 * @cat:  those of @uuid are left in it, and those that cannot be read
 */
void retain_only(struct catalog *cat, const uint8_t uuid[16]);

#endif
