/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source's side of a lease (witness.h): it is renewed by a thread, and a process
 * of its own pauses the guest when it was not.
 *
 * Invariant: the guest runs only before the deadline, which is the start of the last
 * renewal that succeeded plus nine tenths of the lease.  The fencer is a process, so
 * that it outlives its parent: should that be killed, nobody renews, and the guest
 * stands before anybody else may run it.  A renewal that succeeds moves the deadline
 * and lets the guest go on; the exchange that failed because another holds the lease
 * leaves it paused for good.
 */
#ifndef MIGRATE_FENCE_H
#define MIGRATE_FENCE_H

#include <stdbool.h>

#include "migrate/witness.h"

struct fence;

struct fence_params {
	const char *where;		/* witness_open()'s */
	const char *session;
	unsigned int lease_ms;
	/** pause() - called in the fencer's process: stop the guest, or let it go on. */
	int (*pause)(void *ctx, bool on);
	void *ctx;
};

enum fence_state {
	FENCE_HELD,			/* the guest may run */
	FENCE_OVERDUE,			/* it is paused until the lease can be renewed */
	FENCE_LOST,			/* somebody else has the lease */
};

/**
 * fence_start() - take the lease and keep it.
 * @why: gets a line on failure
 *
 * Forks: call it before there are threads.  A lease that another host may still hold
 * is waited for, as long as it lasts.
 * Return: 0; -EOWNERDEAD the standby took the guest over before; -EBUSY another host
 * holds it; -EOPNOTSUPP the witness is none; -errno.
 */
int fence_start(const struct fence_params *p, struct fence **out, char why[200]);

/** fence_state() - now; @why gets the last failure of a renewal, or "". */
enum fence_state fence_state(struct fence *f, char why[200]);

/** How it ends. */
enum fence_end {
	FENCE_END_PROTECTION,		/* nobody shall fail over any more; the guest runs on */
	FENCE_END_RELEASE,		/* the guest is gone: whoever wants may take it */
	FENCE_END_LOST,			/* as it is: the guest stays paused */
};

/**
 * fence_stop() - end it.  Frees @f.
 *
 * Return: 0; -errno the witness could not be told: the guest will be paused when the
 * lease ends, and stays so.
 */
int fence_stop(struct fence *f, enum fence_end end, char why[200]);

#endif
