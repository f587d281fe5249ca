// SPDX-License-Identifier: Apache-2.0
/*
 * A domain's life: see domain.h.  Creation takes things in one order and
 * destruction gives them back in the order that lets every holder let go:
 * front ends, back ends, frames, then names.
 */
#include "toolstack/domain.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "toolstack/devices/devices.h"
#include "toolstack/domain_internal.h"
#include "toolstack/xstree.h"
#define LOG_PREFIX "domain"
#include "toolstack/lib/io.h"
#include "toolstack/lib/log.h"

#define MAX_DEVICES 64u
#define DEVICE_GONE_MS 3000u
#define DOMAIN_GONE_MS 10000u
#define POLL_NS 2000000
/* A lost watch event costs at most this. */
#define WAIT_SLICE_MS 1000

/* --- handles -------------------------------------------------------------------------- */

int toolstack_open(struct toolstack *ts, unsigned int what)
{
	int ret = 0;

	if ((what & TOOLSTACK_HCALL) && !ts->hcall) {
		ret = hcall_open(&ts->hcall);
		if (ret) {
			log_errno(ret, "no hypercall device: is this the dom0 of a hypervisor?");
			return ret;
		}
	}
	if ((what & TOOLSTACK_FMAP) && !ts->fmap) {
		ret = fmap_open(&ts->fmap);
		if (ret) {
			log_errno(ret, "no foreign memory device (/dev/xen/privcmd)");
			return ret;
		}
	}
	if ((what & TOOLSTACK_XS) && !ts->xs) {
		ts->xs = xs_open(0);
		if (!ts->xs) {
			ret = errno ? -errno : -EIO;
			log_errno(ret, "no xenstore: is xenstored running?");
		}
	}
	return ret;
}

void toolstack_close(struct toolstack *ts)
{
	if (ts->xs)
		xs_close(ts->xs);
	fmap_close(ts->fmap);
	hcall_close(ts->hcall);
	*ts = (struct toolstack){ 0 };
}

/* --- creation -------------------------------------------------------------------------- */

/* Beside its memory a domain costs tables, its own page and its vCPUs' state. */
#define OVERHEAD_PAGES 512u
#define PAGES_PER_MB 256u

static int check_memory(struct toolstack *ts, const struct domain_config *cfg)
{
	struct xen_sysctl_physinfo phys;
	int ret = hcall_host_get_physinfo(ts->hcall, &phys);

	if (ret) {
		log_errno(ret, "cannot ask for free memory");
		return ret;
	}
	if (phys.free_pages >= (uint64_t)cfg->memory_mb * PAGES_PER_MB + OVERHEAD_PAGES)
		return 0;
	log_err("%s needs %u MB, this host has %llu MB free", cfg->name, cfg->memory_mb,
		(unsigned long long)phys.free_pages / PAGES_PER_MB);
	return -ENOMEM;
}

static int check_devices(const struct domain_config *cfg)
{
	char path[64];
	size_t i;
	int ret;

	for (i = 0; i < cfg->nr_vifs; i++) {
		snprintf(path, sizeof(path), "/sys/class/net/%s/bridge", cfg->vifs[i].bridge);
		if (access(path, F_OK)) {
			log_err("there is no bridge %s on this host", cfg->vifs[i].bridge);
			return -ENODEV;
		}
	}
	for (i = 0; i < cfg->nr_disks; i++) {
		if (access(cfg->disks[i].target, cfg->disks[i].readonly ? R_OK : R_OK | W_OK)) {
			ret = -errno;
			log_errno(ret, "disk %s", cfg->disks[i].target);
			return ret;
		}
	}
	return 0;
}

int domain_check_host(struct toolstack *ts, const struct domain_config *cfg)
{
	int ret;

	if (domain_name_taken(ts, cfg->name, DOMID_INVALID)) {
		log_err("there is already a domain named %s", cfg->name);
		return -EEXIST;
	}
	ret = check_memory(ts, cfg);
	return ret ? ret : check_devices(cfg);
}

static int set_limits(struct toolstack *ts, const struct domain_config *cfg,
		      struct domain_new *dom)
{
	int ret = hcall_domain_set_max_vcpus(ts->hcall, dom->domid, cfg->vcpus);

	if (!ret)
		ret = hcall_domain_set_max_mem(ts->hcall, dom->domid,
					       (uint64_t)cfg->maxmem_mb * 1024);
	if (!ret && cfg->weight)
		ret = hcall_domain_set_weight(ts->hcall, dom->domid, cfg->weight);
	if (!ret)
		ret = hcall_evtchn_alloc_unbound(ts->hcall, dom->domid, &dom->store_port);
	if (!ret)
		ret = hcall_evtchn_alloc_unbound(ts->hcall, dom->domid, &dom->console_port);
	return ret;
}

int domain_create_empty(struct toolstack *ts, const struct domain_config *cfg,
			struct domain_new *dom)
{
	int ret;

	*dom = (struct domain_new){ .domid = 0 };
	ret = hcall_domain_create(ts->hcall, cfg->uuid, cfg->vcpus, &dom->domid);
	if (ret) {
		log_errno(ret, "the hypervisor refuses a new domain");
		return ret;
	}
	ret = set_limits(ts, cfg, dom);
	if (ret) {
		log_errno(ret, "cannot set up domain %u (%u vCPUs, %u MB)", dom->domid,
			  cfg->vcpus, cfg->maxmem_mb);
		hcall_domain_destroy(ts->hcall, dom->domid);
	}
	return ret;
}

int domain_devices_plug(struct toolstack *ts, const struct domain_config *cfg,
			const struct domain_new *dom, unsigned int timeout_ms)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < cfg->nr_vifs; i++)
		ret = vif_plug(ts->xs, dom->domid, i, &cfg->vifs[i], timeout_ms);
	for (i = 0; !ret && i < cfg->nr_disks; i++)
		ret = vbd_plug(ts->xs, dom->domid, &cfg->disks[i]);
	return ret;
}

int domain_unpause(struct toolstack *ts, domid_t domid)
{
	int ret = hcall_domain_unpause(ts->hcall, domid);

	if (ret)
		log_errno(ret, "cannot unpause domain %u", domid);
	return ret;
}

/* --- destruction -------------------------------------------------------------------------- */

/* The back ends of a domain, remembered before their nodes go. */
struct backend {
	const char *kind;	/* "vif", "vbd" */
	unsigned int number;
	char loop[32];		/* "" if it is no image file */
};

struct backends {
	struct backend list[MAX_DEVICES];
	size_t nr;
};

static void find_backends(struct toolstack *ts, domid_t domid, const char *kind,
			  struct backends *b)
{
	char dir[XSTREE_PATH_MAX], sub[XSTREE_PATH_MAX + 16], **names;
	unsigned int n, i;

	snprintf(dir, sizeof(dir), "/local/domain/0/backend/%s/%u", kind, domid);
	names = xs_directory(ts->xs, XBT_NULL, dir, &n);
	for (i = 0; names && i < n && b->nr < MAX_DEVICES; i++) {
		struct backend *e = &b->list[b->nr++];

		e->kind = kind;
		e->number = (unsigned int)strtoul(names[i], NULL, 10);
		snprintf(sub, sizeof(sub), "%s/%u", dir, e->number);
		if (xs_read_text(ts->xs, sub, "node", e->loop, sizeof(e->loop)))
			e->loop[0] = '\0';
	}
	free(names);
}

/*
 * Take the front ends away.  A back end that is not "online" and sees its front
 * end vanish lets go of the guest's frames and unregisters itself.
 */
static int remove_frontends(struct toolstack *ts, domid_t domid, const struct backends *b)
{
	char path[XSTREE_PATH_MAX];
	struct xstree tr;
	size_t i;
	int ret;

	do {
		ret = xstree_begin(&tr, ts->xs);
		if (ret)
			break;
		for (i = 0; i < b->nr; i++) {
			snprintf(path, sizeof(path), "/local/domain/0/backend/%s/%u/%u",
				 b->list[i].kind, domid, b->list[i].number);
			xstree_write(&tr, path, "online", "0");
		}
		snprintf(path, sizeof(path), "/local/domain/%u/device", domid);
		xstree_remove(&tr, path);
		ret = xstree_commit(&tr);
	} while (ret == -EAGAIN);
	return ret;
}

static int remove_nodes(struct toolstack *ts, domid_t domid)
{
	static const char *const kinds[] = { "vif", "vbd" };
	char path[XSTREE_PATH_MAX];
	struct xstree tr;
	size_t i;
	int ret;

	do {
		ret = xstree_begin(&tr, ts->xs);
		if (ret)
			break;
		for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
			snprintf(path, sizeof(path), "/local/domain/0/backend/%s/%u", kinds[i],
				 domid);
			xstree_remove(&tr, path);
		}
		snprintf(path, sizeof(path), "/local/domain/%u", domid);
		xstree_remove(&tr, path);
		ret = xstree_commit(&tr);
	} while (ret == -EAGAIN);
	return ret;
}

static void nap(void)
{
	struct timespec ts = { .tv_nsec = POLL_NS };

	nanosleep(&ts, NULL);
}

/* Wait until dom0's driver core has let a back end go. */
static void wait_backend_gone(domid_t domid, const struct backend *e)
{
	uint64_t deadline = io_now_ns() + DEVICE_GONE_MS * 1000000ull;
	char path[128];

	snprintf(path, sizeof(path), "/sys/bus/xen-backend/devices/%s-%u-%u", e->kind, domid,
		 e->number);
	while (access(path, F_OK) == 0) {
		if (io_now_ns() > deadline) {
			log_warn("%s %u of domain %u does not close", e->kind, e->number, domid);
			return;
		}
		nap();
	}
}

/* The last frames go when xenstored and xenconsoled have unmapped their rings. */
int domain_wait_gone(struct toolstack *ts, domid_t domid, unsigned int timeout_ms)
{
	uint64_t deadline = io_now_ns() + timeout_ms * 1000000ull;
	struct xen_domctl_getdomaininfo info;

	while (hcall_domain_get_info(ts->hcall, domid, &info) == 0) {
		if (io_now_ns() > deadline)
			return -ETIMEDOUT;
		nap();
	}
	return 0;
}

int domain_destroy(struct toolstack *ts, domid_t domid)
{
	struct xen_domctl_getdomaininfo info;
	struct backends b = { .nr = 0 };
	int ret, first = 0;
	size_t i;

	if (domid == 0 || domid >= DOMID_FIRST_RESERVED)
		return -EINVAL;
	ret = hcall_domain_get_info(ts->hcall, domid, &info);
	if (ret) {
		if (ret != -ESRCH)
			log_errno(ret, "cannot look at domain %u", domid);
		return ret;
	}
	/* A running guest could re-create its front ends under our hands. */
	hcall_domain_pause(ts->hcall, domid);
	find_backends(ts, domid, "vif", &b);
	find_backends(ts, domid, "vbd", &b);
	first = remove_frontends(ts, domid, &b);
	for (i = 0; i < b.nr; i++)
		wait_backend_gone(domid, &b.list[i]);
	ret = remove_nodes(ts, domid);
	first = first ? first : ret;
	for (i = 0; i < b.nr; i++)
		vbd_release_loop(b.list[i].loop);
	ret = hcall_domain_destroy(ts->hcall, domid);
	first = first ? first : ret;
	/*
	 * xenstored learns of the death by VIRQ_DOM_EXC; saying it as well costs
	 * nothing, and an answer that it knows already is no error.  Never before
	 * the death: xenconsoled would look, see a living domain and keep its ring.
	 */
	xs_release_domain(ts->xs, domid);
	domain_config_forget(domid);
	if (first) {
		log_errno(first, "domain %u is not destroyed cleanly", domid);
		return first;
	}
	if (domain_wait_gone(ts, domid, DOMAIN_GONE_MS)) {
		log_err("domain %u is dead, but some of its frames are still mapped", domid);
		return -EBUSY;
	}
	return 0;
}

/* --- waiting for the end ---------------------------------------------------------------------- */

/* 0 shut down, -ESRCH gone, 1 still alive, or another error. */
static int look(struct toolstack *ts, domid_t domid, unsigned int *reason)
{
	struct xen_domctl_getdomaininfo info;
	int ret = hcall_domain_get_info(ts->hcall, domid, &info);

	if (ret)
		return ret;
	if (info.flags & XEN_DOMINF_dying)
		return -ESRCH;
	if (!(info.flags & XEN_DOMINF_shutdown))
		return 1;
	if (reason)
		*reason = info.flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask;
	return 0;
}

static void drain_watches(struct xs_handle *xs)
{
	char **event;

	while ((event = xs_check_watch(xs)))
		free(event);
}

int domain_wait_shutdown(struct toolstack *ts, domid_t domid, int timeout_ms,
			 unsigned int *reason)
{
	static const char path[] = "@releaseDomain", token[] = "wait";
	uint64_t start = io_now_ns();
	int ret;

	if (!xs_watch(ts->xs, path, token))
		return errno ? -errno : -EIO;
	while ((ret = look(ts, domid, reason)) == 1) {
		uint64_t spent_ms = (io_now_ns() - start) / 1000000;
		struct pollfd pfd = { .fd = xs_fileno(ts->xs), .events = POLLIN };
		int slice = WAIT_SLICE_MS;

		if (timeout_ms >= 0 && spent_ms >= (uint64_t)timeout_ms) {
			ret = -ETIMEDOUT;
			break;
		}
		if (timeout_ms >= 0 && timeout_ms - (int)spent_ms < slice)
			slice = timeout_ms - (int)spent_ms;
		if (poll(&pfd, 1, slice) > 0)
			drain_watches(ts->xs);
	}
	xs_unwatch(ts->xs, path, token);
	drain_watches(ts->xs);
	return ret;
}
