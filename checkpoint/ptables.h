/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page tables inside an image, which hold pfns (docs/spec/stream.md,
 * "PAGES"): who maps a page, and at which addresses.
 *
 * Invariant: an entry is followed only to a page whose type is the table type
 * one level below, and no table is read more often than stated, so that tables
 * made to fold back or to be shared without end cost no more than a sound
 * image's.
 */
#ifndef CHECKPOINT_PTABLES_H
#define CHECKPOINT_PTABLES_H

#include "checkpoint/chain.h"

/** ptables_bitmap() - a bit for each pfn of @c, all 0; NULL without memory.  free() it. */
uint64_t *ptables_bitmap(const struct chain *c);

static inline bool ptables_bit(const uint64_t *map, uint64_t pfn)
{
	return map[pfn / 64] >> (pfn % 64) & 1;
}

/**
 * ptables_mark_user() - pages that some address space maps in its lower half.
 * @user: gets the bits
 *
 * Everything else is the kernel's: a PV kernel runs in ring 3 too, so that the
 * user bit of an entry tells nothing, and the address does.
 *
 * Return: 0; -ENOMEM; errors of chain_read_pages().
 */
int ptables_mark_user(struct chain *c, uint64_t *user);

/* Addresses and pfns that go on side by side. */
struct ptables_run {
	uint64_t va;
	uint64_t pfn;
	uint64_t nr;			/* pages */
};

struct ptables_runs {
	struct ptables_run *run;	/* ascending addresses */
	size_t nr;
	size_t cap;
	bool truncated;			/* there are more than was allowed */
};

/**
 * ptables_kernel_runs() - the kernel half of an address space (slots 272..511).
 * @root: pfn of the L4
 * @max:  runs, at most
 * @out:  free(@out->run)
 *
 * Only pages that have a frame in the image.
 * Return: 0; -EBADMSG @root is no L4; -ENOMEM; errors of chain_read_pages().
 */
int ptables_kernel_runs(struct chain *c, uint64_t root, size_t max, struct ptables_runs *out);

#endif
