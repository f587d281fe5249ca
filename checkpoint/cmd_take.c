// SPDX-License-Identifier: Apache-2.0
/* checkpoint DOM STORE: take one, now. */
#define LOG_PREFIX ""
#include "checkpoint/cmd_take.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "checkpoint/cmd_standby.h"
#include "checkpoint/suspend.h"
#include "checkpoint/take.h"
#include "toolstack/cmd.h"
#include "toolstack/lib/log.h"

/* What cmd_options() prints usage from. */
const struct command commands[] = {
	{ "take", "[--full] [--stop | --local-only] [--reserve MB] [-t SECONDS] DOM STORE",
	  "take a checkpoint of a running domain", cmd_take },
	{ "restore", "[-p] [-n NAME] [--clone] [--no-monitor] STORE DOM[@ID]",
	  "make a domain from a checkpoint", cmd_restore_checkpoint },
	{ "standby", "--standby [--every MS] [--witness FILE|URL [--lease MS] [--failover-after MS]]\n"
	  "  [--output-commit] [--keep] [--reserve MB] [-t SECONDS] [--suspend-timeout SECONDS] DOM HOST[:PORT]",
	  "keep a copy of a running domain on another host", cmd_standby },
	{ "failover", "[--force] DOM", "run the standby that this host keeps", cmd_failover },
	{ 0 },
};

static volatile sig_atomic_t cancel;

static void on_signal(int sig)
{
	cancel = sig;
}

static void catch_signals(void)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
}

static void show_progress(void *ctx, uint64_t done, uint64_t all)
{
	fprintf(stderr, "\r%s: %" PRIu64 " of %" PRIu64 " pages ", (const char *)ctx, done, all);
}

static void report_json(const struct take_result *r)
{
	json_t *phases = json_object(), *j;
	char id[17];

	for (unsigned int i = 0; i < r->nr_phases; i++)
		json_object_set_new(phases, r->phase[i].name, json_integer((json_int_t)r->phase[i].us));
	snprintf(id, sizeof(id), "%016" PRIx64, r->id);
	j = json_pack("{s:s, s:s, s:s, s:I, s:b, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:I}",
		      "domain", r->name, "object", r->object, "id", id,
		      "seq", (json_int_t)r->seq, "full", !r->seq,
		      "bytes", (json_int_t)r->bytes, "pages", (json_int_t)r->pages,
		      "data_pages", (json_int_t)r->data_pages, "us", (json_int_t)r->us,
		      "pause_us", (json_int_t)r->pause_us, "phases_us", phases,
		      "protect_us", (json_int_t)r->snapshot.begin_us,
		      "copied_aside", (json_int_t)r->snapshot.copied,
		      "copies_max", (json_int_t)r->snapshot.copies_max,
		      "waits", (json_int_t)r->snapshot.waits,
		      "wait_us", (json_int_t)r->snapshot.wait_us);
	if (j)
		json_dumpf(j, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(j);
}

static void report_text(const struct take_result *r)
{
	printf("%s: %s %016" PRIx64 " in %s: %.1f MB in %.2f s, paused %.1f ms\n", r->name,
	       r->seq ? "delta" : "full", r->id, r->object, (double)r->bytes / 1e6,
	       (double)r->us / 1e6, (double)r->pause_us / 1e3);
	for (unsigned int i = 0; i < r->nr_phases; i++)
		printf("  %-10s %9" PRIu64 " us\n", r->phase[i].name, r->phase[i].us);
	if (r->snapshot.copied || r->snapshot.waits)
		printf("  copied aside: %" PRIu64 " pages, %" PRIu64 " at once; the guest waited %" PRIu64
		       " times, %" PRIu64 " us\n", r->snapshot.copied, r->snapshot.copies_max,
		       r->snapshot.waits, r->snapshot.wait_us);
}

static int take(struct take_params *p, const char *domain, const char *address, bool json)
{
	struct take_result r = { 0 };
	char why[200] = "";
	int ret = store_open(address, &p->store, why);

	if (ret) {
		log_err("%s: %s", address, why[0] ? why : strerror(-ret));
		return ret;
	}
	if (p->way == TAKE_OFF && strcmp(p->store->ops->scheme, "file")) {
		log_err("%s: --local-only wants a directory", address);
		store_close(p->store);
		return -EINVAL;
	}
	if (!json && isatty(STDERR_FILENO)) {
		p->progress = show_progress;
		p->ctx = (void *)domain;
	}
	catch_signals();
	ret = take_checkpoint(p, &r);
	if (p->progress)
		fprintf(stderr, "\r\033[K");
	if (ret)
		log_err("%s: no checkpoint: %s", domain, r.error);
	else if (json)
		report_json(&r);
	else
		report_text(&r);
	store_close(p->store);
	return ret;
}

int cmd_take(int argc, char **argv)
{
	unsigned int timeout_s = SUSPEND_DEFAULT_TIMEOUT_MS / 1000, reserve_mb = 0;
	bool json, stop = false, off = false, full = false;
	const struct cmd_option options[] = {
		{ .name = "full", .letter = 'f', .flag = &full },
		{ .name = "stop", .flag = &stop },
		{ .name = "local-only", .flag = &off },
		{ .name = "reserve", .number = &reserve_mb },
		{ .name = "timeout", .letter = 't', .number = &timeout_s },
		{ 0 },
	};
	struct toolstack ts = { 0 };
	struct take_params p = { .ts = &ts, .cancel = &cancel };
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
		p.way = off ? TAKE_OFF : stop ? TAKE_STOP : TAKE_LIVE;
		p.full = full;
		p.reserve_pages = reserve_mb ? (uint64_t)reserve_mb << 8 : TAKE_RESERVE_DEFAULT;
		p.suspend_timeout_ms = (timeout_s ? timeout_s : 1) * 1000;
		ret = take(&p, argv[i], argv[i + 1], json);
	}
	toolstack_close(&ts);
	return cmd_exit_code(ret);
}
