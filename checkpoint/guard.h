/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A second process that sees to it that a guest does not stand for ever because
 * the one that stopped it was killed.
 *
 * Invariant: from guard_start() on, if this process ends before guard_release(),
 * whatever its end, the guard resumes the domain (if it stands suspended) and
 * gives up its open snapshot.  It shares nothing with us but a pipe, whose end it
 * notices; it is in a session of its own, so that what kills a process group
 * does not kill both.
 */
#ifndef CHECKPOINT_GUARD_H
#define CHECKPOINT_GUARD_H

#include <sys/types.h>

#include "toolstack/domain.h"

struct guard {
	int fd;				/* our end of the pipe */
	pid_t pid;
};

/**
 * guard_start() - set one over a domain, before it is asked to suspend.
 * @lock: descriptor with the domain's lock, which the guard holds as long as it lives
 *
 * Return: 0; -errno of pipe(2), fork(2) or of starting the program.
 */
int guard_start(struct guard *g, domid_t domid, int lock);

/** guard_release() - nothing can go wrong any more: it ends.  Waits for that. */
void guard_release(struct guard *g);

/** guard_main() - what it runs: `checkpoint guard DOMID`, the pipe as standard input. */
int guard_main(int argc, char **argv);

#endif
