// SPDX-License-Identifier: Apache-2.0
/* checkpoint restore STORE DOM[@ID]: a domain from a checkpoint. */
#define LOG_PREFIX ""
#include "checkpoint/cmd_take.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/chain.h"
#include "checkpoint/image.h"
#include "checkpoint/lazy.h"
#include "toolstack/cmd.h"
#include "toolstack/lib/log.h"

struct job {
	struct image_restore_params p;
	bool json, monitor, lazy;
	struct image_result r;
	struct lazy_stats later;
};

static void report_json(const struct job *j, const struct chain *c)
{
	char id[17];
	json_t *o;

	snprintf(id, sizeof(id), "%016" PRIx64, catalog_id(chain_level(c, 0)));
	o = json_pack("{s:s, s:s, s:i, s:i, s:I, s:I, s:I, s:b}", "domain", j->r.name, "id", id,
		      "depth", (int)chain_depth(c), "domid", (int)j->r.domid,
		      "bytes", (json_int_t)j->r.bytes, "pages", (json_int_t)j->r.pages,
		      "us", (json_int_t)j->r.us, "lazy", j->lazy);
	if (o && j->lazy)
		json_object_set_new(o, "later", json_pack("{s:I, s:I, s:I, s:I, s:I}",
			"pages", (json_int_t)j->later.pages, "asked", (json_int_t)j->later.asked,
			"waits", (json_int_t)j->later.waits, "wait_us", (json_int_t)j->later.wait_us,
			"wait_max_us", (json_int_t)j->later.wait_max_us));
	if (o)
		json_dumpf(o, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(o);
}

static void report_running(const struct job *j, const struct chain *c)
{
	printf("%s restored from %016" PRIx64 " (%u checkpoints): runs after %.2f s\n", j->r.name,
	       catalog_id(chain_level(c, 0)), chain_depth(c), (double)j->r.us / 1e6);
	fflush(stdout);
}

/* From here on the guest depends on us: a Ctrl-C would leave it waiting for ever. */
static int fill(struct job *j, struct lazy *lazy, const char *what)
{
	char why[CHAIN_WHY] = "";
	int ret;

	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	ret = lazy_fill(lazy, j->p.ts->hcall, j->r.domid, &j->later, why);
	if (ret)
		log_err("%s: its memory did not come whole: %s; destroy it and restore it again", what,
			why);
	else if (!j->json)
		printf("%s is whole: %" PRIu64 " pages came later, %" PRIu64 " because it waited for them "
		       "(%.1f ms at most)\n", j->r.name, j->later.pages, j->later.asked,
		       (double)j->later.wait_max_us / 1e3);
	return ret;
}

static int restore_open(struct job *j, struct chain *c, const char *what)
{
	char why[CHAIN_WHY] = "";
	struct lazy *lazy = NULL;
	int ret = j->lazy ? lazy_new(c, &lazy, why) : 0;

	if (!ret)
		ret = image_restore_chain(&j->p, c, lazy, &j->r);
	if (ret) {
		const char *cause = why[0] ? why : j->r.error[0] ? j->r.error : strerror(-ret);

		/* A cause that the log has named already is not named twice. */
		if (strncmp(cause, log_last_error(), strlen(cause)))
			log_err("%s: not restored: %s", what, cause);
		lazy_free(lazy);
		return ret;
	}
	if (j->monitor)
		domain_monitor_spawn(j->r.domid);
	if (!j->json)
		report_running(j, c);
	if (lazy)
		ret = fill(j, lazy, what);
	if (j->json && !ret)
		report_json(j, c);
	lazy_free(lazy);
	return ret;
}

static int restore(struct job *j, struct store *s, char *what)
{
	char why[CHAIN_WHY] = "", *id = strchr(what, '@');
	struct chain *c;
	int ret;

	if (id)
		*id++ = '\0';
	ret = chain_open(s, what, id, 0, &c, why);
	if (ret) {
		log_err("%s: %s", what, why[0] ? why : strerror(-ret));
		return ret == -ENOENT ? -ESRCH : ret;
	}
	ret = restore_open(j, c, what);
	chain_close(c);
	return ret;
}

int cmd_restore_checkpoint(int argc, char **argv)
{
	bool json, paused = false, no_monitor = false, clone = false, lazy = false;
	const char *name = NULL;
	const struct cmd_option options[] = {
		{ .name = "paused", .letter = 'p', .flag = &paused },
		{ .name = "name", .letter = 'n', .text = &name },
		{ .name = "clone", .letter = 'c', .flag = &clone },
		{ .name = "lazy", .letter = 'l', .flag = &lazy },
		{ .name = "no-monitor", .flag = &no_monitor },
		{ 0 },
	};
	struct toolstack ts = { 0 };
	struct job j;
	struct store *s;
	char why[200] = "";
	int code, ret, i = cmd_options(argc, argv, options, &json, 2, 2, &code);

	if (i < 0)
		return code;
	if ((name && (!*name || strlen(name) > CONFIG_MAX_NAME)) || (clone && !name)) {
		log_err(clone && !name ? "--clone: a name of its own, please: --name" :
			"--name: 1 to %u bytes", CONFIG_MAX_NAME);
		return CMD_USAGE;
	}
	j = (struct job) {
		.p = { .ts = &ts, .paused = paused, .name = name, .clone = clone },
		.json = json, .monitor = !no_monitor, .lazy = lazy,
	};
	if (toolstack_open(&ts, TOOLSTACK_HCALL | TOOLSTACK_XS)) {
		toolstack_close(&ts);
		return CMD_NO_HOST;
	}
	ret = store_open(argv[i], &s, why);
	if (ret) {
		log_err("%s: %s", argv[i], why[0] ? why : strerror(-ret));
	} else {
		ret = restore(&j, s, argv[i + 1]);
		store_close(s);
	}
	toolstack_close(&ts);
	return cmd_exit_code(ret);
}
