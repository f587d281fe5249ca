// SPDX-License-Identifier: Apache-2.0
/* checkpoint restore STORE DOM[@ID]: a domain from a checkpoint. */
#define LOG_PREFIX ""
#include "checkpoint/cmd_take.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/chain.h"
#include "checkpoint/image.h"
#include "toolstack/cmd.h"
#include "toolstack/lib/log.h"

static void report(bool json, const struct chain *c, const struct image_result *r)
{
	uint64_t id = catalog_id(chain_level(c, 0));
	char text[17];
	json_t *j;

	if (!json) {
		printf("%s restored from %016" PRIx64 " (%u checkpoints): %.1f MB in %.2f s\n",
		       r->name, id, chain_depth(c), (double)r->bytes / 1e6, (double)r->us / 1e6);
		return;
	}
	snprintf(text, sizeof(text), "%016" PRIx64, id);
	j = json_pack("{s:s, s:s, s:i, s:i, s:I, s:I, s:I}", "domain", r->name, "id", text,
		      "depth", (int)chain_depth(c), "domid", (int)r->domid,
		      "bytes", (json_int_t)r->bytes, "pages", (json_int_t)r->pages,
		      "us", (json_int_t)r->us);
	if (j)
		json_dumpf(j, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(j);
}

static int restore(const struct image_restore_params *p, struct store *s, char *what, bool json,
		   bool monitor)
{
	char why[CHAIN_WHY] = "", *id = strchr(what, '@');
	struct image_result r = { 0 };
	struct chain *c;
	int ret;

	if (id)
		*id++ = '\0';
	ret = chain_open(s, what, id, 0, &c, why);
	if (ret) {
		log_err("%s: %s", what, why[0] ? why : strerror(-ret));
		return ret == -ENOENT ? -ESRCH : ret;
	}
	ret = image_restore_chain(p, c, &r);
	if (ret) {
		/* A cause that the log has named already is not named twice. */
		if (!r.error[0] || strncmp(r.error, log_last_error(), strlen(r.error)))
			log_err("%s: not restored: %s", what, r.error[0] ? r.error : strerror(-ret));
	} else {
		if (monitor)
			domain_monitor_spawn(r.domid);
		report(json, c, &r);
	}
	chain_close(c);
	return ret;
}

int cmd_restore_checkpoint(int argc, char **argv)
{
	bool json, paused = false, no_monitor = false, clone = false;
	const char *name = NULL;
	const struct cmd_option options[] = {
		{ .name = "paused", .letter = 'p', .flag = &paused },
		{ .name = "name", .letter = 'n', .text = &name },
		{ .name = "clone", .letter = 'c', .flag = &clone },
		{ .name = "no-monitor", .flag = &no_monitor },
		{ 0 },
	};
	struct toolstack ts = { 0 };
	struct image_restore_params p = { .ts = &ts };
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
	p.paused = paused;
	p.name = name;
	p.clone = clone;
	if (toolstack_open(&ts, TOOLSTACK_HCALL | TOOLSTACK_XS)) {
		toolstack_close(&ts);
		return CMD_NO_HOST;
	}
	ret = store_open(argv[i], &s, why);
	if (ret) {
		log_err("%s: %s", argv[i], why[0] ? why : strerror(-ret));
	} else {
		ret = restore(&p, s, argv[i + 1], json, !no_monitor);
		store_close(s);
	}
	toolstack_close(&ts);
	return cmd_exit_code(ret);
}
