// SPDX-License-Identifier: Apache-2.0
/* See guest.h.  Each function names the domain by domid and makes sure of its uuid. */
#include "migrate/guest.h"

#include <errno.h>
#include <string.h>

#include "checkpoint/suspend.h"

static bool guest_exists(void *ctx)
{
	struct guest *g = ctx;
	struct xen_domctl_getdomaininfo info;

	return !hcall_domain_get_info(g->ts->hcall, g->domid, &info) &&
	       !(info.flags & XEN_DOMINF_dying) && !memcmp(info.handle, g->uuid, 16);
}

static int guest_check(void *ctx, char why[200])
{
	struct guest *g = ctx;

	return suspend_check(g->ts, g->domid, why);
}

static int guest_suspend(void *ctx, char why[200])
{
	struct guest *g = ctx;

	return suspend_guest(g->ts, g->domid, g->suspend_timeout_ms, g->cancel, why);
}

static int guest_resume(void *ctx)
{
	struct guest *g = ctx;
	int ret;

	if (!guest_exists(g))
		return -ESRCH;
	/* First the guest, then what only makes it slower. */
	ret = suspend_resume(g->ts, g->domid);
	hcall_godwit_logdirty_disable(g->ts->hcall, g->domid);
	return ret;
}

static int guest_destroy(void *ctx)
{
	struct guest *g = ctx;

	return guest_exists(g) ? domain_destroy(g->ts, g->domid) : 0;
}

const struct source_guest_ops guest_ops = {
	.check = guest_check, .suspend = guest_suspend, .resume = guest_resume, .destroy = guest_destroy,
	.exists = guest_exists,
};
