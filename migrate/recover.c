// SPDX-License-Identifier: Apache-2.0
/* See recover.h. */
#define LOG_PREFIX "recover"
#include "migrate/recover.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "migrate/client.h"
#include "migrate/guest.h"
#include "migrate/wire.h"
#include "toolstack/lib/log.h"
#include "toolstack/lib/uuid.h"

static int recover_with(struct toolstack *ts, const struct domain_config *cfg, domid_t domid,
			const char *url, bool force_local, unsigned int timeout_ms,
			struct source_result *out)
{
	struct guest guest = { .ts = ts, .domid = domid };
	struct source_params p = {
		.hcall = ts->hcall, .domid = domid, .cfg = cfg, .peer_name = url,
		.journal_dir = RECOVER_SOURCE_DIR, .guest = &guest_ops, .guest_ctx = &guest,
		.peer = &client_ops, .decide_timeout_ms = timeout_ms,
	};
	struct client *client;
	int ret;

	memcpy(guest.uuid, cfg->uuid, 16);
	ret = client_new(url, timeout_ms, &client);
	if (ret)
		return ret;
	p.peer_ctx = client;
	ret = source_recover(&p, force_local, out);
	client_free(client);
	return ret;
}

int recover_guest(struct toolstack *ts, const uint8_t uuid[16], domid_t fallback,
		  bool force_local, unsigned int timeout_ms, struct source_result *out)
{
	struct domain_config cfg;
	char url[256] = "http://localhost";
	json_t *rec = NULL;
	int ret;

	*out = (struct source_result) { 0 };
	config_init(&cfg);
	memcpy(cfg.uuid, uuid, 16);
	snprintf(cfg.name, sizeof(cfg.name), "domain");
	ret = source_journal_peek(RECOVER_SOURCE_DIR, uuid, &rec);
	if (!ret) {
		snprintf(url, sizeof(url), "%s", wire_text(rec, "peer", ""));
		snprintf(cfg.name, sizeof(cfg.name), "%s", wire_text(rec, "name", "domain"));
		fallback = (domid_t)json_integer_value(json_object_get(rec, "domid"));
		json_decref(rec);
	} else if (ret == -EBUSY) {
		snprintf(out->why, sizeof(out->why), "it is being moved by a running process");
	} else if (ret == -ENOENT && fallback) {
		ret = 0;
	}
	if (!ret)
		ret = recover_with(ts, &cfg, fallback, url, force_local, timeout_ms, out);
	config_release(&cfg);
	return ret;
}

/* --- the daemon's sweep ------------------------------------------------------------------- */

/* Of one file; true: say so next time only if it changes. */
static void sweep_one(struct toolstack *ts, const char *text, unsigned int timeout_ms)
{
	static char in_doubt[UUID_TEXT_BYTES];
	struct source_result out;
	uint8_t uuid[16];
	int ret;

	if (uuid_parse(text, uuid))
		return;
	ret = recover_guest(ts, uuid, 0, false, timeout_ms, &out);
	if (ret == -EBUSY || ret == -ENOENT)
		return;
	if (!ret) {
		log_info("%s: the move that was cut short is settled: the guest %s", text,
			 out.outcome == SOURCE_OUT_MOVED ? "runs at the other host" : "goes on here");
		return;
	}
	if (!strcmp(in_doubt, text))
		return;
	memcpy(in_doubt, text, sizeof(in_doubt));
	log_warn_errno(ret, "%s: %s", text, out.why);
}

void recover_sweep(unsigned int timeout_ms)
{
	struct toolstack ts = { 0 };
	DIR *dir = opendir(RECOVER_SOURCE_DIR);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		char text[UUID_TEXT_BYTES];

		if (strlen(e->d_name) != sizeof(text) - 1 + strlen(".journal") ||
		    strcmp(e->d_name + sizeof(text) - 1, ".journal"))
			continue;
		snprintf(text, sizeof(text), "%.36s", e->d_name);
		if (!ts.hcall && toolstack_open(&ts, TOOLSTACK_HCALL | TOOLSTACK_XS))
			break;
		sweep_one(&ts, text, timeout_ms);
	}
	if (dir)
		closedir(dir);
	toolstack_close(&ts);
}
