// SPDX-License-Identifier: Apache-2.0
/*
 * What is remembered of running domains: one JSON file for each in
 * /run/godwit/domains, named by domid.  The file counts only while its uuid is
 * that of the domain the hypervisor has under this id.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "toolstack/domain_internal.h"
#define LOG_PREFIX "state"
#include "toolstack/lib/io.h"
#include "toolstack/lib/log.h"

static void config_path(domid_t domid, char path[64])
{
	snprintf(path, 64, DOMAIN_RUN_DIR "/domains/%u.json", domid);
}

int domain_config_save(domid_t domid, const struct domain_config *cfg)
{
	json_t *root = config_to_json(cfg);
	char *text = root ? json_dumps(root, JSON_INDENT(2) | JSON_PRESERVE_ORDER) : NULL;
	char path[64];
	int ret = 0;

	config_path(domid, path);
	if (!root) {
		/* jansson packs valid UTF-8 only; xl.cfg may hold any bytes. */
		log_err("the configuration of %s holds text that is not UTF-8", cfg->name);
		return -EINVAL;
	}
	if (!text)
		ret = -ENOMEM;
	if (!ret) {
		ret = io_mkdir_parents(path);
		if (!ret)
			ret = io_write_file_atomic(path, text, strlen(text), 0600);
	}
	if (ret)
		log_errno(ret, "cannot write %s", path);
	free(text);
	json_decref(root);
	return ret;
}

void domain_config_forget(domid_t domid)
{
	char path[64];

	config_path(domid, path);
	if (unlink(path) < 0 && errno != ENOENT)
		log_warn_errno(errno, "cannot remove %s", path);
}

int domain_config_load(struct toolstack *ts, domid_t domid, struct domain_config *cfg)
{
	struct xen_domctl_getdomaininfo info;
	struct config_error err = { "" };
	char path[64], *text;
	size_t len;
	int ret = hcall_domain_get_info(ts->hcall, domid, &info);

	config_init(cfg);
	config_path(domid, path);
	if (!ret)
		ret = io_read_file(path, CONFIG_MAX_FILE_BYTES, &text, &len);
	if (ret) {
		log_errno(ret, "domain %u: no configuration", domid);
		return ret;
	}
	ret = config_from_json_text(cfg, text, len, &err);
	free(text);
	if (ret) {
		log_err("%s: %s", path, err.text);
	} else if (memcmp(cfg->uuid, info.handle, sizeof(cfg->uuid))) {
		log_err("domain %u was not made by godwit: no configuration", domid);
		ret = -ENOENT;
	}
	return ret;
}

int domain_lock_names(void)
{
	static const char path[] = DOMAIN_RUN_DIR "/names.lock";
	int ret = io_mkdir_parents(path), fd;

	if (ret)
		return ret;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX) < 0) {
		if (errno == EINTR)
			continue;
		ret = -errno;
		close(fd);
		return ret;
	}
	return fd;
}
