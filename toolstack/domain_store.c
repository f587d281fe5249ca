// SPDX-License-Identifier: Apache-2.0
/*
 * A domain's part of xenstore: its tree, its name, requests to its kernel.
 *
 * The whole tree appears in one transaction, so no watcher ever sees half a
 * domain.  The guest may write where it reports (shutdown acknowledgement,
 * feature nodes, its front ends) and nowhere else.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "toolstack/devices/devices.h"
#include "toolstack/domain_internal.h"
#include "toolstack/xstree.h"
#define LOG_PREFIX "store"
#include "toolstack/lib/log.h"

#define CONSOLE_LIMIT_BYTES (1u << 20)

static void domain_dir(domid_t domid, char path[XSTREE_PATH_MAX])
{
	snprintf(path, XSTREE_PATH_MAX, "/local/domain/%u", domid);
}

/* --- names ------------------------------------------------------------------------ */

void domain_get_name(struct toolstack *ts, domid_t domid, char name[CONFIG_MAX_NAME + 1])
{
	char dir[XSTREE_PATH_MAX];

	domain_dir(domid, dir);
	if (xs_read_text(ts->xs, dir, "name", name, CONFIG_MAX_NAME + 1))
		strcpy(name, "(null)");
}

/* The living domain of this name, or -ESRCH. */
static int find_name(struct toolstack *ts, const char *name, domid_t not_this)
{
	struct xen_domctl_getdomaininfo *infos;
	char found[CONFIG_MAX_NAME + 1];
	int n, i, ret = -ESRCH;

	infos = calloc(DOMAIN_LIST_MAX, sizeof(*infos));
	if (!infos)
		return -ENOMEM;
	n = hcall_domain_list(ts->hcall, 0, infos, DOMAIN_LIST_MAX);
	for (i = 0; i < n && ret < 0; i++) {
		if (infos[i].domain == not_this || (infos[i].flags & XEN_DOMINF_dying))
			continue;
		domain_get_name(ts, infos[i].domain, found);
		if (!strcmp(found, name))
			ret = infos[i].domain;
	}
	free(infos);
	return n < 0 ? n : ret;
}

bool domain_name_taken(struct toolstack *ts, const char *name, domid_t self)
{
	return find_name(ts, name, self) >= 0;
}

int domain_find(struct toolstack *ts, const char *text, domid_t *domid)
{
	struct xen_domctl_getdomaininfo info;
	unsigned long number;
	char *end;
	int ret = find_name(ts, text, DOMID_INVALID);

	if (ret >= 0) {
		*domid = (domid_t)ret;
		return 0;
	}
	number = strtoul(text, &end, 10);
	if (ret == -ESRCH && end != text && !*end && number < DOMID_FIRST_RESERVED)
		ret = hcall_domain_get_info(ts->hcall, (domid_t)number, &info);
	if (!ret)
		*domid = (domid_t)number;
	else if (ret == -ESRCH)
		log_err("there is no domain \"%s\"", text);
	else
		log_errno(ret, "cannot look for domain \"%s\"", text);
	return ret;
}

int domain_find_uuid(struct toolstack *ts, const uint8_t uuid[16], domid_t *domid)
{
	struct xen_domctl_getdomaininfo *infos = calloc(DOMAIN_LIST_MAX, sizeof(*infos));
	int n = infos ? hcall_domain_list(ts->hcall, 1, infos, DOMAIN_LIST_MAX) : -ENOMEM;
	bool runs = false;
	int ret = n < 0 ? n : -ESRCH;

	for (int i = 0; i < n && !runs; i++) {
		if ((infos[i].flags & XEN_DOMINF_dying) || memcmp(infos[i].handle, uuid, 16))
			continue;
		runs = !(infos[i].flags & (XEN_DOMINF_shutdown | XEN_DOMINF_paused));
		*domid = infos[i].domain;
		ret = 0;
	}
	free(infos);
	return ret;
}

int domain_rename(struct toolstack *ts, domid_t domid, const char *name)
{
	char path[XSTREE_PATH_MAX];
	int lock = domain_lock_names(), ret = 0;

	if (lock < 0)
		return lock;
	snprintf(path, sizeof(path), "/local/domain/%u/name", domid);
	if (domain_name_taken(ts, name, domid))
		ret = -EEXIST;
	else if (!xs_write(ts->xs, XBT_NULL, path, name, (unsigned int)strlen(name)))
		ret = -errno;
	close(lock);
	if (ret)
		log_errno(ret, "cannot rename domain %u to %s", domid, name);
	return ret;
}

/* --- the tree ------------------------------------------------------------------------ */

static void write_control(struct xstree *tr, domid_t domid, const char *dir)
{
	static const char *const guest_nodes[] = {
		"shutdown", "feature-suspend", "feature-poweroff", "feature-reboot", "sysrq",
	};
	char control[XSTREE_PATH_MAX + 16], path[XSTREE_PATH_MAX];
	size_t i;

	snprintf(control, sizeof(control), "%s/control", dir);
	xstree_mkdir(tr, control, 0, domid);
	xstree_write(tr, control, "platform-feature-multiprocessor-suspend", "1");
	xstree_write(tr, control, "platform-feature-xs_reset_watches", "1");
	for (i = 0; i < sizeof(guest_nodes) / sizeof(guest_nodes[0]); i++) {
		snprintf(path, sizeof(path), "/local/domain/%u/control/%s", domid, guest_nodes[i]);
		xstree_mkdir(tr, path, domid, 0);
	}
}

/* Directories that the guest's kernel and agents write to. */
static void write_guest_dirs(struct xstree *tr, domid_t domid)
{
	static const char *const names[] = { "data", "drivers", "error", "attr", "feature" };
	char path[XSTREE_PATH_MAX];
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "/local/domain/%u/%s", domid, names[i]);
		xstree_mkdir(tr, path, domid, 0);
	}
}

static void write_tree(struct xstree *tr, const struct domain_config *cfg,
		       const struct domain_new *dom)
{
	char dir[XSTREE_PATH_MAX], node[32];
	domid_t domid = dom->domid;
	unsigned int i;

	/* What a former domain of this id left (a killed tool) would show through. */
	snprintf(dir, sizeof(dir), "/local/domain/0/backend/vif/%u", domid);
	xstree_remove(tr, dir);
	snprintf(dir, sizeof(dir), "/local/domain/0/backend/vbd/%u", domid);
	xstree_remove(tr, dir);
	domain_dir(domid, dir);
	xstree_remove(tr, dir);
	xstree_mkdir(tr, dir, 0, domid);
	xstree_write(tr, dir, "name", "%s", cfg->name);
	xstree_write(tr, dir, "domid", "%u", domid);
	xstree_write(tr, dir, "memory/static-max", "%u", cfg->maxmem_mb * 1024);
	xstree_write(tr, dir, "memory/target", "%u", cfg->memory_mb * 1024);
	for (i = 0; i < cfg->vcpus; i++) {
		snprintf(node, sizeof(node), "cpu/%u/availability", i);
		xstree_write(tr, dir, node, "online");
	}
	xstree_write(tr, dir, "store/port", "%u", dom->store_port);
	xstree_write(tr, dir, "console/port", "%u", dom->console_port);
	xstree_write(tr, dir, "console/limit", "%u", CONSOLE_LIMIT_BYTES);
	xstree_write(tr, dir, "console/type", "xenconsoled");
	xstree_write(tr, dir, "console/output", "pty");
	xstree_write(tr, dir, "console/tty", "%s", "");
	write_control(tr, domid, dir);
	write_guest_dirs(tr, domid);
	snprintf(dir, sizeof(dir), "/local/domain/%u/device", domid);
	xstree_mkdir(tr, dir, 0, domid);
	for (i = 0; i < cfg->nr_vifs; i++)
		vif_write_nodes(tr, domid, i, &cfg->vifs[i]);
	for (i = 0; i < cfg->nr_disks; i++)
		vbd_write_nodes(tr, domid, &cfg->disks[i]);
}

int domain_xenstore_setup(struct toolstack *ts, const struct domain_config *cfg,
			  const struct domain_new *dom)
{
	struct xstree tr;
	int lock, ret;

	if (cfg->nr_vifs)
		driver_require("vif", "xen-netback");
	if (cfg->nr_disks)
		driver_require("vbd", "xen-blkback");
	ret = domain_config_save(dom->domid, cfg);
	if (ret)
		return ret;
	/* Two creators must not both find the name free. */
	lock = domain_lock_names();
	if (lock < 0) {
		log_errno(lock, "cannot lock the list of names");
		return lock;
	}
	if (domain_name_taken(ts, cfg->name, dom->domid)) {
		log_err("there is already a domain named %s", cfg->name);
		ret = -EEXIST;
	}
	while (!ret) {
		ret = xstree_begin(&tr, ts->xs);
		if (ret)
			break;
		write_tree(&tr, cfg, dom);
		ret = xstree_commit(&tr);
		if (ret != -EAGAIN)
			break;
		ret = 0;
	}
	close(lock);
	if (ret && ret != -EEXIST)
		log_errno(ret, "cannot write the xenstore tree of domain %u", dom->domid);
	return ret;
}

int domain_introduce(struct toolstack *ts, const struct domain_new *dom)
{
	char dir[XSTREE_PATH_MAX];
	struct xstree tr;
	int ret;

	domain_dir(dom->domid, dir);
	do {
		ret = xstree_begin(&tr, ts->xs);
		if (ret)
			break;
		xstree_write(&tr, dir, "store/ring-ref", "%llu",
			     (unsigned long long)dom->store_mfn);
		xstree_write(&tr, dir, "console/ring-ref", "%llu",
			     (unsigned long long)dom->console_mfn);
		ret = xstree_commit(&tr);
	} while (ret == -EAGAIN);
	if (!ret && !xs_introduce_domain(ts->xs, dom->domid, dom->store_mfn, dom->store_port))
		ret = -errno;
	if (ret)
		log_errno(ret, "xenstored refuses domain %u", dom->domid);
	return ret;
}

/* --- requests to the guest's kernel ---------------------------------------------------------- */

int domain_request_shutdown(struct toolstack *ts, domid_t domid, const char *how)
{
	char path[XSTREE_PATH_MAX];
	int ret = 0;

	snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", domid);
	if (!xs_exists(ts->xs, path))
		ret = -ESRCH;
	else if (!xs_write(ts->xs, XBT_NULL, path, how, (unsigned int)strlen(how)))
		ret = -errno;
	if (ret == -ESRCH)
		log_err("domain %u has no control node: it cannot be asked to %s", domid, how);
	else if (ret)
		log_errno(ret, "cannot ask domain %u to %s", domid, how);
	return ret;
}

int domain_cancel_request(struct toolstack *ts, domid_t domid, const char *how)
{
	char path[XSTREE_PATH_MAX];
	bool held;

	snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", domid);
	for (;;) {
		xs_transaction_t t = xs_transaction_start(ts->xs);
		unsigned int len;
		char *value;

		if (t == XBT_NULL)
			return errno ? -errno : -EIO;
		value = xs_read(ts->xs, t, path, &len);
		held = value && len == strlen(how) && !memcmp(value, how, len);
		free(value);
		if (held && !xs_write(ts->xs, t, path, "", 0))
			held = false;
		if (xs_transaction_end(ts->xs, t, !held))
			return held ? 0 : -EALREADY;
		if (errno != EAGAIN)
			return errno ? -errno : -EIO;
	}
}
