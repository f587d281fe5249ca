// SPDX-License-Identifier: Apache-2.0
/* godwit save, godwit restore. */
#define LOG_PREFIX ""
#include "checkpoint/cmd_save.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "checkpoint/image.h"
#include "checkpoint/lock.h"
#include "checkpoint/suspend.h"
#include "toolstack/cmd.h"
#include "toolstack/lib/log.h"

static void report(bool json, const char *verb, const char *file, const struct image_result *r)
{
	json_t *j;

	if (!json) {
		printf("%s %s %s: %.1f MB in %.2f s\n", r->name, verb, file,
		       (double)r->bytes / 1e6, (double)r->us / 1e6);
		return;
	}
	j = json_pack("{s:s, s:s, s:i, s:I, s:I, s:I, s:I}", "domain", r->name, "file", file,
		      "domid", (int)r->domid, "bytes", (json_int_t)r->bytes,
		      "pages", (json_int_t)r->pages, "us", (json_int_t)r->us,
		      "stopped_us", (json_int_t)r->stopped_us);
	if (j)
		json_dumpf(j, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(j);
}

/* A save has the guest for itself; a checkpoint of it makes room. */
static int save_alone(struct image_save_params *p, struct image_result *r)
{
	struct xen_domctl_getdomaininfo info;
	int ret = hcall_domain_get_info(p->ts->hcall, p->domid, &info);
	int lock = ret ? ret : take_lock_overrule(info.handle, p->cancel);

	if (lock < 0) {
		snprintf(r->error, sizeof(r->error), "%s", lock == -EBUSY ?
			 "a checkpoint of it is being taken, or it is moved or saved" :
			 strerror(-lock));
		return lock == -EBUSY ? -EAGAIN : lock;
	}
	ret = image_save(p, r);
	close(lock);
	return ret;
}

int cmd_save(int argc, char **argv)
{
	unsigned int timeout_s = SUSPEND_DEFAULT_TIMEOUT_MS / 1000;
	bool json, keep = false;
	const struct cmd_option options[] = {
		{ .name = "keep-running", .letter = 'k', .flag = &keep },
		{ .name = "timeout", .letter = 't', .number = &timeout_s },
		{ 0 },
	};
	struct toolstack ts = { 0 };
	struct image_save_params p = { .ts = &ts, .cancel = &cmd_signal };
	struct image_result r = { 0 };
	int code, ret, i = cmd_options(argc, argv, options, &json, 2, 2, &code);

	if (i < 0)
		return code;
	if (toolstack_open(&ts, TOOLSTACK_HCALL | TOOLSTACK_XS)) {
		toolstack_close(&ts);
		return CMD_NO_HOST;
	}
	ret = domain_find(&ts, argv[i], &p.domid);
	if (!ret && !p.domid)
		ret = -ESRCH;
	if (!ret) {
		p.path = argv[i + 1];
		p.keep_running = keep;
		p.suspend_timeout_ms = (timeout_s ? timeout_s : 1) * 1000;
		cmd_catch_signals();
		ret = save_alone(&p, &r);
		if (ret)
			log_err("%s: not saved: %s", argv[i], r.error);
		else
			report(json, keep ? "saved, running on, to" : "saved to", argv[i + 1], &r);
	}
	toolstack_close(&ts);
	/* Paused, or standing already: it cannot suspend, as one that does not answer. */
	return ret == -EBUSY || ret == -EALREADY ? CMD_TIMEOUT : cmd_exit_code(ret);
}

int cmd_restore(int argc, char **argv)
{
	bool json, paused = false, no_monitor = false;
	const char *name = NULL;
	const struct cmd_option options[] = {
		{ .name = "paused", .letter = 'p', .flag = &paused },
		{ .name = "name", .letter = 'n', .text = &name },
		{ .name = "no-monitor", .flag = &no_monitor },
		{ 0 },
	};
	struct toolstack ts = { 0 };
	struct image_restore_params p = { .ts = &ts };
	struct image_result r = { 0 };
	int code, ret, i = cmd_options(argc, argv, options, &json, 1, 1, &code);

	if (i < 0)
		return code;
	p.paused = paused;
	p.name = name;
	if (name && strlen(name) > CONFIG_MAX_NAME) {
		log_err("--name: longer than %u", CONFIG_MAX_NAME);
		return CMD_USAGE;
	}
	if (toolstack_open(&ts, TOOLSTACK_HCALL | TOOLSTACK_XS)) {
		toolstack_close(&ts);
		return CMD_NO_HOST;
	}
	ret = image_restore(&p, argv[i], &r);
	if (ret) {
		/* A cause that the log has named already is not named twice. */
		if (!r.error[0] || strncmp(r.error, log_last_error(), strlen(r.error)))
			log_err("%s: not restored: %s", argv[i], r.error);
	} else {
		if (!no_monitor)
			domain_monitor_spawn(r.domid);
		report(json, "restored from", argv[i], &r);
	}
	toolstack_close(&ts);
	return cmd_exit_code(ret);
}
