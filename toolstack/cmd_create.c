// SPDX-License-Identifier: Apache-2.0
/* godwit create, godwit monitor. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "toolstack/cmd.h"
#include "toolstack/domain.h"
#include "toolstack/lib/io.h"
#include "toolstack/lib/log.h"
#include "toolstack/lib/uuid.h"

static void warn(void *arg, const char *line)
{
	log_warn("%s", line);
}

/* The file, with the KEY=VALUE arguments behind it as further lines. */
static int read_config(struct domain_config *cfg, const char *path, char **extra, int nr_extra)
{
	const char *base = strrchr(path, '/');
	struct config_error err = { "" };
	char *text, *joined = NULL;
	size_t len;
	int ret = io_read_file(path, CONFIG_MAX_FILE_BYTES, &text, &len), i;

	if (ret) {
		log_errno(ret, "%s", path);
		return ret;
	}
	for (i = 0; !ret && i < nr_extra; i++) {
		size_t add = strlen(extra[i]) + 2;

		joined = realloc(text, len + add);
		if (!joined) {
			ret = -ENOMEM;
			break;
		}
		text = joined;
		len += (size_t)snprintf(text + len, add, "\n%s", extra[i]);
	}
	if (!ret)
		ret = config_parse(cfg, base ? base + 1 : path, text, len, &err, warn, NULL);
	if (!ret)
		ret = config_finalise(cfg, &err);
	if (ret)
		log_err("%s", err.text[0] ? err.text : strerror(-ret));
	free(text);
	return ret;
}

static void report(const struct domain_config *cfg, domid_t domid, bool json)
{
	char uuid[UUID_TEXT_BYTES];
	json_t *root;

	if (!json) {
		printf("%s is domain %u\n", cfg->name, domid);
		fflush(stdout);
		return;
	}
	uuid_format(cfg->uuid, uuid);
	root = json_pack("{s:i, s:s, s:s}", "domid", (int)domid, "name", cfg->name, "uuid", uuid);
	json_dumpf(root, stdout, JSON_PRESERVE_ORDER);
	putchar('\n');
	fflush(stdout);
	json_decref(root);
}

int cmd_create(int argc, char **argv)
{
	bool json, paused = false, console = false, no_monitor = false;
	const struct cmd_option options[] = {
		{ .name = "paused", .letter = 'p', .flag = &paused },
		{ .name = "console", .letter = 'c', .flag = &console },
		{ .name = "no-monitor", .flag = &no_monitor },
		{ 0 },
	};
	struct toolstack ts = { 0 };
	struct domain_config cfg;
	domid_t domid;
	int code, ret, first = cmd_options(argc, argv, options, &json, 1, -1, &code);

	if (first < 0)
		return code;
	config_init(&cfg);
	code = CMD_USAGE;
	if (read_config(&cfg, argv[first], argv + first + 1, argc - first - 1))
		goto out;
	code = CMD_NO_HOST;
	if (toolstack_open(&ts, TOOLSTACK_ALL))
		goto out;
	ret = domain_create(&ts, &cfg, paused, &domid);
	code = cmd_exit_code(ret);
	if (!ret) {
		report(&cfg, domid, json);
		if (!no_monitor)
			domain_monitor_spawn(domid);
		if (console)
			code = cmd_exit_code(console_attach(&ts, domid));
	}
out:
	toolstack_close(&ts);
	config_release(&cfg);
	return code;
}

int cmd_monitor(int argc, char **argv)
{
	struct toolstack ts = { 0 };
	domid_t domid;
	int code, ret, first = cmd_options(argc, argv, NULL, NULL, 1, 1, &code);

	if (first < 0)
		return code;
	code = CMD_NO_HOST;
	if (!toolstack_open(&ts, TOOLSTACK_ALL)) {
		ret = domain_find(&ts, argv[first], &domid);
		if (!ret)
			ret = domain_monitor_run(&ts, domid);
		code = cmd_exit_code(ret);
	}
	toolstack_close(&ts);
	return code;
}
