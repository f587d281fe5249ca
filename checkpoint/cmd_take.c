// SPDX-License-Identifier: Apache-2.0
/* checkpoint DOM STORE: take one now, or (--every) every so often: cmd_schedule.c. */
#define LOG_PREFIX ""
#include "checkpoint/cmd_take.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "checkpoint/cmd_standby.h"
#include "checkpoint/suspend.h"
#include "checkpoint/take.h"
#include "checkpoint/take_keep.h"
#include "migrate/schedule.h"
#include "toolstack/cmd.h"
#include "toolstack/lib/log.h"
#include "toolstack/lib/uuid.h"

/* What cmd_options() prints usage from. */
const struct command commands[] = {
	{ "take", "[--full] [--stop | --local-only] [--reserve MB] [-t SECONDS] [--keep N [--merge]] "
	  "DOM STORE\n   or: checkpoint take --every TIME [--keep N] [--full-every N] "
	  "[--daemon ADDRESS] DOM STORE",
	  "take a checkpoint of a running domain", cmd_take },
	{ "schedule", "list [--json] | stop [--json] DOM   [--daemon ADDRESS]",
	  "what godwitd takes every so often", cmd_schedule },
	{ "restore", "[-p] [-n NAME] [--clone] [--lazy] [--no-monitor] STORE DOM[@ID]",
	  "make a domain from a checkpoint", cmd_restore_checkpoint },
	{ "standby", "--standby [--every MS] [--witness FILE|URL [--lease MS] [--failover-after MS]]\n"
	  "  [--output-commit] [--keep] [--reserve MB] [-t SECONDS] [--suspend-timeout SECONDS] DOM HOST[:PORT]",
	  "keep a copy of a running domain on another host", cmd_standby },
	{ "failover", "[--force] DOM", "run the standby that this host keeps", cmd_failover },
	{ 0 },
};

static void show_progress(void *ctx, uint64_t done, uint64_t all)
{
	fprintf(stderr, "\r%s: %" PRIu64 " of %" PRIu64 " pages ", (const char *)ctx, done, all);
}

/* What --keep came to. */
struct kept {
	unsigned int keep;		/* 0: not asked for */
	bool merge;
	struct retain_pruned done;
	char error[CATALOG_WHY];
};

static void add_kept(json_t *j, const struct kept *k)
{
	if (!j || !k->keep)
		return;
	json_object_set_new(j, "retained", json_pack("{s:i, s:i, s:i, s:i, s:i}",
						     "kept", (int)k->done.kept,
						     "ancestors", (int)k->done.ancestors,
						     "merged", (int)k->done.merged,
						     "deleted", (int)k->done.deleted,
						     "broken", (int)k->done.broken));
	if (k->error[0])
		json_object_set_new(j, "retain_error", json_string(k->error));
}

static void report_json(const struct take_result *r, const struct kept *k)
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
	add_kept(j, k);
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

/* Not fatal: what was asked for first is done. */
static void keep_newest(struct store *s, const struct take_result *r, struct kept *k)
{
	int ret = take_keep(s, r->name, r->uuid, k->keep, k->merge, &k->done, k->error);

	if (!ret)
		return;
	if (!k->error[0])
		snprintf(k->error, sizeof(k->error), "%s", strerror(-ret));
	log_warn("%s: old checkpoints stay: %s", r->name, k->error);
}

static int take(struct take_params *p, const char *domain, const char *address, struct kept *k,
		bool json)
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
	cmd_catch_signals();
	ret = take_checkpoint(p, &r);
	if (p->progress)
		fprintf(stderr, "\r\033[K");
	if (!ret && k->keep)
		keep_newest(p->store, &r, k);
	if (ret)
		log_err("%s: no checkpoint: %s", domain, r.error);
	else if (json)
		report_json(&r, k);
	else
		report_text(&r);
	store_close(p->store);
	return ret;
}

/* A domain by name, number or uuid. */
static int find_domain(struct toolstack *ts, const char *text, domid_t *domid)
{
	uint8_t uuid[16];
	bool by_uuid = !uuid_parse(text, uuid);
	int ret = by_uuid ? domain_find_uuid(ts, uuid, domid) : domain_find(ts, text, domid);

	if (ret && by_uuid)
		log_err("%s: %s", text, ret == -ESRCH ? "there is no such domain" : strerror(-ret));
	if (!ret && !*domid) {
		log_err("%s: dom0 cannot be checkpointed", text);
		ret = -ESRCH;
	}
	return ret;
}

/* Return: what is wrong with the options, or NULL. */
static const char *judge(const struct take_params *p, const struct schedule_request *rq,
			 const struct kept *k)
{
	if (rq->keep != SCHEDULE_UNSET && (!rq->keep || rq->keep > SCHEDULE_KEEP_MAX))
		return "--keep: 1 to 10000";
	if (rq->full_every != SCHEDULE_UNSET && rq->full_every > SCHEDULE_FULL_EVERY_MAX)
		return "--full-every: 0 (never) to 10000";
	if (!rq->every && (rq->full_every != SCHEDULE_UNSET || rq->daemon))
		return "--full-every and --daemon go with --every";
	if (rq->every && (p->full || p->way != TAKE_LIVE || k->merge))
		return "--every goes with --keep and --full-every only";
	if (k->merge && !k->keep)
		return "--merge goes with --keep";
	return NULL;
}

int cmd_take(int argc, char **argv)
{
	unsigned int timeout_s = SUSPEND_DEFAULT_TIMEOUT_MS / 1000, reserve_mb = 0;
	struct schedule_request rq = {
		.keep = SCHEDULE_UNSET, .full_every = SCHEDULE_UNSET,
	};
	bool stop = false, off = false;
	struct toolstack ts = { 0 };
	struct take_params p = { .ts = &ts, .cancel = &cmd_signal };
	struct kept k = { 0 };
	const char *wrong;
	const struct cmd_option options[] = {
		{ .name = "full", .letter = 'f', .flag = &p.full },
		{ .name = "stop", .flag = &stop },
		{ .name = "local-only", .flag = &off },
		{ .name = "reserve", .number = &reserve_mb },
		{ .name = "timeout", .letter = 't', .number = &timeout_s },
		{ .name = "every", .text = &rq.every },
		{ .name = "keep", .number = &rq.keep },
		{ .name = "full-every", .number = &rq.full_every },
		{ .name = "merge", .flag = &k.merge },
		{ .name = "daemon", .text = &rq.daemon },
		{ 0 },
	};
	int code, ret, i = cmd_options(argc, argv, options, &rq.json, 2, 2, &code);

	if (i < 0)
		return code;
	k.keep = rq.keep == SCHEDULE_UNSET ? 0 : rq.keep;
	p.way = off ? TAKE_OFF : stop ? TAKE_STOP : TAKE_LIVE;
	wrong = judge(&p, &rq, &k);
	if (wrong) {
		log_err("%s", wrong);
		return CMD_USAGE;
	}
	if (toolstack_open(&ts, TOOLSTACK_HCALL | TOOLSTACK_XS)) {
		toolstack_close(&ts);
		return CMD_NO_HOST;
	}
	ret = find_domain(&ts, argv[i], &p.domid);
	if (!ret && rq.every) {
		code = schedule_request(&ts, p.domid, argv[i + 1], &rq);
		toolstack_close(&ts);
		return code;
	}
	if (!ret) {
		p.reserve_pages = reserve_mb ? (uint64_t)reserve_mb << 8 : TAKE_RESERVE_DEFAULT;
		p.suspend_timeout_ms = (timeout_s ? timeout_s : 1) * 1000;
		ret = take(&p, argv[i], argv[i + 1], &k, rq.json);
	}
	toolstack_close(&ts);
	return cmd_exit_code(ret);
}
