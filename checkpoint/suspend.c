// SPDX-License-Identifier: Apache-2.0
/* See suspend.h. */
#include "checkpoint/suspend.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <xen/sched.h>

#include "toolstack/lib/io.h"

/* How late a cancel is seen; also bounds what a lost watch event costs. */
#define SLICE_MS 500u

static int get_info(struct toolstack *ts, domid_t domid, bool *suspended)
{
	struct xen_domctl_getdomaininfo info;
	int ret = hcall_domain_get_info(ts->hcall, domid, &info);

	if (ret)
		return ret;
	*suspended = (info.flags & XEN_DOMINF_shutdown) &&
		     ((info.flags >> XEN_DOMINF_shutdownshift) & XEN_DOMINF_shutdownmask) ==
		     SHUTDOWN_suspend;
	return 0;
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

	if (ret == -EALREADY) {
		/* It is freezing: see it through, so that it is not resumed too early. */
		ret = wait_suspended(ts, domid, timeout_ms, NULL, why);
		if (!ret && why_ret == -ECANCELED)
			ret = suspend_resume(ts, domid);
		else if (!ret)
			return 0;	/* late, but there */
	}
	if (why_ret == -ETIMEDOUT)
		snprintf(why, 200, "the guest did not answer the suspend request within %u ms",
			 timeout_ms);
	else
		snprintf(why, 200, "interrupted");
	return why_ret;
}

int suspend_guest(struct toolstack *ts, domid_t domid, unsigned int timeout_ms,
		  const volatile sig_atomic_t *cancel, char why[200])
{
	bool suspended;
	int ret;

	ret = get_info(ts, domid, &suspended);
	if (!ret && suspended) {
		snprintf(why, 200, "the guest stands suspended already; run: migrate --recover");
		return -EBUSY;
	}
	if (!ret)
		ret = domain_request_shutdown(ts, domid, "suspend");
	if (ret) {
		snprintf(why, 200, "the guest cannot be asked: %s", strerror(-ret));
		return ret;
	}
	ret = wait_suspended(ts, domid, timeout_ms, cancel, why);
	if (ret == -ETIMEDOUT || ret == -ECANCELED)
		ret = take_back(ts, domid, timeout_ms, ret, why);
	return ret;
}

int suspend_resume(struct toolstack *ts, domid_t domid)
{
	struct vcpu_guest_context ctx;
	bool suspended;
	int ret;

	ret = get_info(ts, domid, &suspended);
	if (ret || !suspended)
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
