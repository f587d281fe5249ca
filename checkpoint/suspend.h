/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bringing a guest to a stop at its suspend hypercall, and back.
 *
 * Invariant: a guest that was asked either stands when suspend_guest() returns
 * 0, or runs on; one that takes the request but stands too late is resumed in
 * place by whoever finds it so (suspend_resume() is idempotent).
 *
 * Source: Linux drivers/xen/manage.c (control/shutdown "suspend", rdx = start
 * info); xen/sched.h SHUTDOWN_suspend; a return value of 1 means "cancelled".
 */
#ifndef CHECKPOINT_SUSPEND_H
#define CHECKPOINT_SUSPEND_H

#include <signal.h>

#include "toolstack/domain.h"

#define SUSPEND_DEFAULT_TIMEOUT_MS 10000

/**
 * suspend_check() - could it suspend, as far as one can see?
 * @ts:    TOOLSTACK_HCALL
 * @domid: the domain
 * @why:   gets one line on failure
 *
 * Return: 0; -EBUSY it is paused; -EALREADY it stands suspended, for a reason of
 * someone else's, who alone may resume it; -ESRCH; -errno.
 */
int suspend_check(struct toolstack *ts, domid_t domid, char why[200]);

/**
 * suspend_guest() - ask, and wait until it stands.
 * @ts:         TOOLSTACK_HCALL | TOOLSTACK_XS
 * @domid:      a running domain
 * @timeout_ms: longest wait
 * @cancel:     nonzero ends the wait; may be NULL
 * @why:        gets one line on failure
 *
 * When time is up the request is taken back; a guest that had taken it gets as
 * long again to arrive, since by then it may be half frozen.
 * Return: 0; -ETIMEDOUT; -ECANCELED; -ESRCH it is gone; -ECONNABORTED it shut
 * down for another reason; -EBUSY, -EALREADY as suspend_check() says; -errno.
 */
int suspend_guest(struct toolstack *ts, domid_t domid, unsigned int timeout_ms,
		  const volatile sig_atomic_t *cancel, char why[200]);

/**
 * suspend_resume() - let a suspended guest go on in place.
 * @ts:    TOOLSTACK_HCALL | TOOLSTACK_XS
 * @domid: the domain
 *
 * Its suspend hypercall returns 1.  A domain that does not stand suspended is
 * left alone.
 * Return: 0 (also when there was nothing to do); -ESRCH; -errno.
 */
int suspend_resume(struct toolstack *ts, domid_t domid);

#endif
