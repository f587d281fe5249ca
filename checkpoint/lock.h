/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One at a time: checkpoint, save, move of a domain.  Each suspends and resumes the
 * guest and empties its dirty bitmap, so two at once would be neither.
 *
 * Invariant: whoever does one of these holds an flock(2) on the domain's file in /run;
 * it dies with its holder (a guard of checkpoint/guard.h holds it on until the guest is
 * well).  A checkpoint writes its process id into the file: it may be ended for the sake
 * of a move or a save, since another one can be taken later.  Others leave it empty.
 */
#ifndef CHECKPOINT_LOCK_H
#define CHECKPOINT_LOCK_H

#include <signal.h>
#include <stdint.h>

/** Where the files are, and the time between two looks; tests have others. */
extern const char *take_lock_dir;
extern unsigned int take_lock_step_us;

/**
 * take_lock_domain() - be the only one who takes checkpoints of a domain.
 *
 * Waits a few seconds for what is soon done.
 * Return: descriptor that holds the lock while it is open; -EBUSY; -errno.
 */
int take_lock_domain(const uint8_t uuid[16]);

/** take_lock_yields() - let whoever wants to move or save the domain end this process. */
void take_lock_yields(int fd);

/**
 * take_lock_overrule() - the same for a move or a save: they go first.
 * @cancel: nonzero ends the wait; may be NULL
 *
 * A checkpoint gets 10 s to be done, then it is asked to end, and killed 10 s later.
 * Return: as take_lock_domain(); -EBUSY it is no checkpoint that holds the lock, or that one
 * does not go away; -ECANCELED.
 */
int take_lock_overrule(const uint8_t uuid[16], const volatile sig_atomic_t *cancel);

#endif
