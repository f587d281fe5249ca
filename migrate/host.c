// SPDX-License-Identifier: Apache-2.0
/* See host.h.  The order of the steps is toolstack/domain.h's. */
#define LOG_PREFIX "host"
#include "migrate/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <xen/sys/gntdev.h>

#include "migrate/arrival.h"
#include "toolstack/domain.h"
#include "toolstack/lib/log.h"

#define PLUG_TIMEOUT_MS	20000u
#define SPARE_PAGES	1024u		/* the hypervisor's own needs for one more domain */
#define LIST_MAX	1024u

struct host {
	struct toolstack ts;
	struct domain_config cfg;
	struct domain_new dom;
	const char *suffix;		/* of the temporary name it was built under, or NULL */
};

/* --- warming up ---------------------------------------------------------------------- */

/*
 * xenstored maps the guest's ring when it is introduced, and the guest stands
 * meanwhile.  For its first foreign mapping Linux makes page structures for a
 * whole section of unpopulated memory, which took 130-200 ms on an emulated
 * host; it keeps them.  Asking for room for one grant makes them now, without
 * mapping anything.
 * Source: Linux drivers/xen/gntdev.c (IOCTL_GNTDEV_MAP_GRANT_REF only
 * allocates, mmap maps), drivers/xen/unpopulated-alloc.c.
 */
void host_warm_up(void)
{
	struct ioctl_gntdev_map_grant_ref op = { .count = 1 };
	int fd = open("/dev/xen/gntdev", O_RDWR | O_CLOEXEC);

	if (fd < 0 || ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, &op))
		log_debug("no warm-up: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* --- looking around ------------------------------------------------------------------ */

/* Calls @match for every living domain until it says true; its domid or 0. */
static domid_t find_domain(struct toolstack *ts,
			   bool (*match)(struct toolstack *ts,
					 const struct xen_domctl_getdomaininfo *i, const void *arg),
			   const void *arg)
{
	struct xen_domctl_getdomaininfo *infos = calloc(LIST_MAX, sizeof(*infos));
	domid_t found = 0;
	int n = infos ? hcall_domain_list(ts->hcall, 1, infos, LIST_MAX) : 0;

	for (int i = 0; i < n && !found; i++)
		if (!(infos[i].flags & XEN_DOMINF_dying) && match(ts, &infos[i], arg))
			found = infos[i].domain;
	free(infos);
	return found;
}

static bool has_uuid(struct toolstack *ts, const struct xen_domctl_getdomaininfo *i,
		     const void *uuid)
{
	return !memcmp(i->handle, uuid, 16);
}

static bool has_name(struct toolstack *ts, const struct xen_domctl_getdomaininfo *i,
		     const void *name)
{
	char found[CONFIG_MAX_NAME + 1];

	domain_get_name(ts, i->domain, found);
	return !strcmp(found, name);
}

static int check_memory(struct toolstack *ts, const struct target_demand *d, char why[200])
{
	struct xen_sysctl_physinfo info;
	uint64_t need = d->tot_pages + SPARE_PAGES;
	int ret = hcall_host_get_physinfo(ts->hcall, &info);

	if (ret) {
		snprintf(why, 200, "cannot ask for free memory: %s", strerror(-ret));
		return ret;
	}
	if (info.free_pages >= need)
		return 0;
	snprintf(why, 200, "too little memory: %llu MB are free, %llu MB are needed",
		 (unsigned long long)info.free_pages >> 8, (unsigned long long)need >> 8);
	return -ENOMEM;
}

/*
 * Within one host both copies live side by side for a while: the new one gets
 * the name when the old one is gone.  A standby gets it when it is activated.
 */
static int choose_name(struct host *h, bool standby, char why[200])
{
	size_t len = strlen(h->cfg.name);

	if (standby)
		h->suffix = ARRIVAL_STANDBY;
	else if (find_domain(&h->ts, has_uuid, h->cfg.uuid))
		h->suffix = ARRIVAL_SUFFIX;
	if (h->suffix) {
		if (len + strlen(h->suffix) > CONFIG_MAX_NAME)
			h->cfg.name[CONFIG_MAX_NAME - strlen(h->suffix)] = '\0';
		strcat(h->cfg.name, h->suffix);
	}
	if (!find_domain(&h->ts, has_name, h->cfg.name))
		return 0;
	snprintf(why, 200, "there is already a domain named %s", h->cfg.name);
	return -EEXIST;
}

/* --- prepare -------------------------------------------------------------------------- */

static int check(struct host *h, const struct target_demand *d, char why[200],
		 enum target_refusal *refusal)
{
	int ret;

	*refusal = TARGET_REFUSED_MEMORY;
	ret = check_memory(&h->ts, d, why);
	if (ret)
		return ret;
	*refusal = TARGET_REFUSED_NAME;
	return choose_name(h, d->standby, why);
}

static int build(struct host *h, enum target_refusal *refusal)
{
	int ret;

	*refusal = TARGET_REFUSED_HOST;
	/* Again: what the daemon's start made may have been used up. */
	host_warm_up();
	ret = domain_create_empty(&h->ts, &h->cfg, &h->dom);
	if (ret)
		return ret;
	ret = domain_xenstore_setup(&h->ts, &h->cfg, &h->dom);
	if (ret == -EEXIST)
		*refusal = TARGET_REFUSED_NAME;
	if (!ret)
		ret = domain_devices_plug(&h->ts, &h->cfg, &h->dom, PLUG_TIMEOUT_MS);
	if (ret)
		domain_destroy(&h->ts, h->dom.domid);
	return ret;
}

static void host_release(void *host)
{
	struct host *h = host;

	toolstack_close(&h->ts);
	config_release(&h->cfg);
	free(h);
}

static int host_prepare(void *ctx, const struct target_demand *d, void **host,
			struct restore_domain_ids *ids, char why[200],
			enum target_refusal *refusal)
{
	struct host *h = calloc(1, sizeof(*h));
	int ret = h ? config_copy(&h->cfg, &d->cfg) : -ENOMEM;

	*host = NULL;
	*refusal = TARGET_REFUSED_HOST;
	if (ret) {
		free(h);
		return ret;
	}
	log_clear_error();
	ret = toolstack_open(&h->ts, TOOLSTACK_HCALL | TOOLSTACK_XS);
	if (!ret)
		ret = check(h, d, why, refusal);
	if (!ret && !d->dry_run)
		ret = build(h, refusal);
	if (ret || d->dry_run) {
		/* The line that was logged where it failed is the best there is. */
		if (ret && !why[0])
			snprintf(why, 200, "%.199s", log_last_error());
		host_release(h);
		return ret;
	}
	*ids = (struct restore_domain_ids) {
		.domid = h->dom.domid, .store_port = h->dom.store_port,
		.console_port = h->dom.console_port,
		.max_pages = (uint64_t)h->cfg.maxmem_mb << 8,
	};
	*host = h;
	return 0;
}

/* --- the rest of its life ------------------------------------------------------------------ */

static struct hcall *host_hcall(void *host)
{
	return ((struct host *)host)->ts.hcall;
}

static int host_introduce(void *host, const struct restore_result *r)
{
	struct host *h = host;

	h->dom.store_mfn = r->store_mfn;
	h->dom.console_mfn = r->console_mfn;
	/*
	 * Not domain_introduce(): the guest stands, and of its work only this
	 * round trip is needed before it runs.  arrival.c does the rest.
	 */
	if (xs_introduce_domain(h->ts.xs, h->dom.domid, h->dom.store_mfn, h->dom.store_port))
		return 0;
	return errno ? -errno : -EIO;
}

static int host_unpause(void *host)
{
	struct host *h = host;

	return domain_unpause(&h->ts, h->dom.domid);
}

static void host_announce(void *host)
{
	struct host *h = host;

	arrival_start(&h->dom, &h->cfg, h->suffix);
}

static void host_destroy(void *host)
{
	struct host *h = host;

	domain_destroy(&h->ts, h->dom.domid);
}

/* --- without a session: questions and leftovers ---------------------------------------------- */

static bool is_suspended(const struct xen_domctl_getdomaininfo *i)
{
	return i->flags & XEN_DOMINF_shutdown;
}

static bool has_uuid_and_runs(struct toolstack *ts, const struct xen_domctl_getdomaininfo *i,
			      const void *uuid)
{
	return has_uuid(ts, i, uuid) && !is_suspended(i);
}

static int host_alive(void *ctx, domid_t domid, const uint8_t uuid[16])
{
	struct xen_domctl_getdomaininfo info;
	struct toolstack ts = { 0 };
	int alive;

	if (toolstack_open(&ts, TOOLSTACK_HCALL))
		return -EBUSY;
	if (domid)
		alive = !hcall_domain_get_info(ts.hcall, domid, &info) &&
			!(info.flags & XEN_DOMINF_dying) && has_uuid(&ts, &info, uuid);
	else if (find_domain(&ts, has_uuid_and_runs, uuid))
		alive = 1;
	else
		alive = find_domain(&ts, has_uuid, uuid) ? -EBUSY : 0;
	toolstack_close(&ts);
	return alive;
}

static void host_unpause_found(void *ctx, domid_t domid, const uint8_t uuid[16])
{
	struct domain_new dom = { .domid = domid };
	struct toolstack ts = { 0 };
	struct domain_config cfg;

	if (host_alive(ctx, domid, uuid) <= 0 || toolstack_open(&ts, TOOLSTACK_HCALL))
		return;
	domain_unpause(&ts, domid);
	if (!domain_config_load(&ts, domid, &cfg))
		arrival_start(&dom, &cfg, NULL);
	config_release(&cfg);
	toolstack_close(&ts);
}

static void host_reap(void *ctx, domid_t domid, const uint8_t uuid[16])
{
	struct toolstack ts = { 0 };

	if (!domid || host_alive(ctx, domid, uuid) <= 0 ||
	    toolstack_open(&ts, TOOLSTACK_HCALL | TOOLSTACK_XS))
		return;
	domain_destroy(&ts, domid);
	toolstack_close(&ts);
}

const struct target_host_ops host_ops = {
	.prepare = host_prepare, .hcall = host_hcall, .introduce = host_introduce,
	.unpause = host_unpause, .announce = host_announce, .destroy = host_destroy,
	.release = host_release, .alive = host_alive, .unpause_found = host_unpause_found,
	.reap = host_reap,
};
