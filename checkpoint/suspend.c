// SPDX-License-Identifier: Apache-2.0
/* See suspend.h. */
#include "checkpoint/suspend.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <xen/sched.h>

#include "toolstack/lib/io.h"

/* How late a cancel is seen; also bounds what a lost watch event costs. */
#define SLICE_MS 500u
/*
 * A willing guest stands within some ten ms.  The hypervisor knows first: asking
 * it is quicker than waiting for xenstored to hear of it and to tell us.
 */
#define QUICK_MS	250u
#define QUICK_STEP_NS	2000000l

struct look {
	bool shut_down;			/* for whatever reason */
	bool suspended;
	bool paused;			/* by us: it cannot even hear a request */
};

static int look(struct toolstack *ts, domid_t domid, struct look *l)
{
	struct xen_domctl_getdomaininfo info;
	int ret = hcall_domain_get_info(ts->hcall, domid, &info);

	*l = (struct look) { 0 };
	if (ret)
		return ret;
	l->shut_down = info.flags & (XEN_DOMINF_shutdown | XEN_DOMINF_dying);
	l->suspended = (info.flags & XEN_DOMINF_shutdown) &&
		       ((info.flags >> XEN_DOMINF_shutdownshift) & XEN_DOMINF_shutdownmask) ==
		       SHUTDOWN_suspend;
	l->paused = info.flags & XEN_DOMINF_paused;
	return 0;
}

/* 0 it stands; -ETIMEDOUT not yet, or something is odd. */
static int wait_quick(struct toolstack *ts, domid_t domid, unsigned int timeout_ms,
		      const volatile sig_atomic_t *cancel)
{
	unsigned int ms = timeout_ms < QUICK_MS ? timeout_ms : QUICK_MS;
	uint64_t until = io_now_ns() + ms * 1000000ull;
	struct timespec step = { .tv_nsec = QUICK_STEP_NS };
	struct look l = { 0 };

	do {
		if (look(ts, domid, &l) || l.shut_down)
			break;
		nanosleep(&step, NULL);
	} while (io_now_ns() < until && !(cancel && *cancel));
	return l.suspended ? 0 : -ETIMEDOUT;
}

/* 0 it stands; -ETIMEDOUT, -ECANCELED; other errors are final. */
static int wait_suspended(struct toolstack *ts, domid_t domid, unsigned int timeout_ms,
			  const volatile sig_atomic_t *cancel, char why[200])
{
	uint64_t until = io_now_ns() + timeout_ms * 1000000ull;
	unsigned int reason;
	int ret;

	do {
		uint64_t now = io_now_ns();
		uint64_t left_ms = until > now ? (until - now) / 1000000 : 0;

		if (cancel && *cancel)
			return -ECANCELED;
		ret = domain_wait_shutdown(ts, domid,
					   (int)(left_ms < SLICE_MS ? left_ms : SLICE_MS), &reason);
	} while (ret == -ETIMEDOUT && io_now_ns() < until);
	if (ret == -ESRCH)
		snprintf(why, 200, "the guest is gone");
	else if (!ret && reason != SHUTDOWN_suspend) {
		snprintf(why, 200, "the guest shut down instead of suspending (reason %u)", reason);
		ret = -ECONNABORTED;
	}
	return ret;
}

/* Time is up, or the user does not want it any more. */
static int take_back(struct toolstack *ts, domid_t domid, unsigned int timeout_ms, int why_ret,
		     char why[200])
{
	int ret = domain_cancel_request(ts, domid, "suspend");
	struct look l;

	if (ret == -EALREADY) {
		/* It is freezing: see it through, so that it is not resumed too early. */
		ret = wait_suspended(ts, domid, timeout_ms, NULL, why);
		if (!ret && why_ret == -ECANCELED)
			ret = suspend_resume(ts, domid);
		else if (!ret)
			return 0;	/* late, but there */
	}
	if (why_ret == -ETIMEDOUT)
		snprintf(why, 200, "the guest did not answer the suspend request within %u ms%s",
			 timeout_ms, !look(ts, domid, &l) && l.paused ?
			 ": it is paused (godwit unpause)" : "");
	else
		snprintf(why, 200, "interrupted");
	return why_ret;
}

int suspend_check(struct toolstack *ts, domid_t domid, char why[200])
{
	struct look l;
	int ret = look(ts, domid, &l);

	if (ret)
		snprintf(why, 200, "the guest cannot be looked at: %s", strerror(-ret));
	else if (l.suspended)
		snprintf(why, 200, "the guest stands suspended already; run: migrate --recover");
	else if (l.paused)
		snprintf(why, 200, "the guest is paused and cannot suspend; first: godwit unpause");
	return ret ? ret : l.suspended ? -EALREADY : l.paused ? -EBUSY : 0;
}

int suspend_guest(struct toolstack *ts, domid_t domid, unsigned int timeout_ms,
		  const volatile sig_atomic_t *cancel, char why[200])
{
	int ret = suspend_check(ts, domid, why);

	if (ret)
		return ret;
	ret = domain_request_shutdown(ts, domid, "suspend");
	if (ret) {
		snprintf(why, 200, "the guest cannot be asked: %s", strerror(-ret));
		return ret;
	}
	if (!wait_quick(ts, domid, timeout_ms, cancel))
		return 0;
	ret = wait_suspended(ts, domid, timeout_ms, cancel, why);
	if (ret == -ETIMEDOUT || ret == -ECANCELED)
		ret = take_back(ts, domid, timeout_ms, ret, why);
	return ret;
}

int suspend_resume(struct toolstack *ts, domid_t domid)
{
	struct vcpu_guest_context ctx;
	struct look l;
	int ret;

	ret = look(ts, domid, &l);
	if (ret || !l.suspended)
		return ret;
	ret = hcall_vcpu_get_context(ts->hcall, domid, 0, &ctx);
	if (ret)
		return ret;
	ctx.user_regs.rax = 1;
	ret = hcall_vcpu_set_context(ts->hcall, domid, 0, &ctx);
	if (!ret)
		ret = hcall_domain_resume(ts->hcall, domid);
	/* xenstored has noted the shutdown and would not report the next one. */
	if (!ret && !xs_resume_domain(ts->xs, domid))
		ret = -errno;
	return ret;
}
