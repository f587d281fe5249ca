// SPDX-License-Identifier: Apache-2.0
/*
 * migrate DOM HOST: the command.  Options, signals and what is printed; the
 * move itself is source.h.  docs/man/migrate.1.
 */
#define LOG_PREFIX ""
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint/lock.h"
#include "checkpoint/suspend.h"
#include "migrate/client.h"
#include "migrate/costs.h"
#include "migrate/guest.h"
#include "migrate/recover.h"
#include "migrate/source.h"
#include "toolstack/domain.h"
#include "toolstack/lib/io.h"
#include "toolstack/lib/log.h"
#include "toolstack/lib/uuid.h"

#define LEDGER_DIR	"/var/lib/godwit/ledger"
#define COSTS_FILE	"/var/lib/godwit/costs.json"

enum exit_code {
	EXIT_MOVED = 0,
	EXIT_FAILED = 1,		/* the guest goes on here */
	EXIT_USAGE = 2,
	EXIT_NO_DOMAIN = 3,
	EXIT_REFUSED = 4,		/* by the destination */
	EXIT_SUSPEND = 5,		/* the guest did not suspend in time */
	EXIT_UNREACHABLE = 6,		/* no Godwit here or there */
	EXIT_OVER = 7,			/* --abort-if-over */
	EXIT_IN_DOUBT = 8,		/* migrate --recover */
	EXIT_INTERRUPTED = 130,
};

struct options {
	const char *dom, *host;
	struct policy_limits limits;
	unsigned int timeout_ms, suspend_ms;
	bool dry_run, json, quiet, recover, force_local;
};

static volatile sig_atomic_t cancel;

static void on_signal(int sig)
{
	cancel = sig;
}

/* --- command line --------------------------------------------------------------------- */

static void usage(FILE *to)
{
	fprintf(to,
		"usage: migrate [OPTION]... DOM HOST[:PORT]\n"
		"       migrate --recover [--force-local] DOM\n"
		"Moves a running guest to another Godwit host.\n"
		"  --max-downtime MS   stop copying when the stop will be this short (%u)\n"
		"  --max-rounds N      copy at most N times before stopping the guest (%u)\n"
		"  --bandwidth RATE    bytes per second while the guest runs; K, M, G allowed\n"
		"  --abort-if-over     rather stay here than exceed --max-downtime\n"
		"  --dry-run           measure, predict, change nothing\n"
		"  --timeout S         longest silence of the other host (20)\n"
		"  --suspend-timeout S longest wait for the guest to suspend (10)\n"
		"  --recover           settle a move that was cut short\n"
		"  --force-local       with --recover: the other host is gone for good\n"
		"  --json              the result as JSON on standard output\n"
		"  --quiet             no progress\n"
		"  --help, --version\n"
		"Exit codes: 0 moved, 1 failed and the guest runs here as before, 2 usage,\n"
		"3 no such domain, 4 refused by HOST, 5 the guest did not suspend, 6 no Godwit\n"
		"here or there, 7 would exceed --max-downtime, 8 in doubt (--recover),\n"
		"130 interrupted and the guest runs here as before.\n",
		POLICY_DEFAULT_MAX_DOWNTIME_MS, POLICY_DEFAULT_MAX_ROUNDS);
}

static bool parse_number(const char *text, unsigned long max, unsigned long *out)
{
	char *end;

	errno = 0;
	*out = strtoul(text, &end, 10);
	return end != text && !*end && text[0] != '-' && !errno && *out <= max;
}

static bool parse_rate(const char *text, uint64_t *out)
{
	static const char units[] = "KMG";
	char digits[24];
	size_t len = strlen(text);
	unsigned int shift = 0;
	const char *u = len ? strchr(units, text[len - 1] & ~0x20) : NULL;
	unsigned long n;

	if (!len || len >= sizeof(digits))
		return false;
	if (u && *u) {
		shift = 10 * (unsigned int)(u - units + 1);
		len--;
	}
	snprintf(digits, sizeof(digits), "%.*s", (int)len, text);
	if (!parse_number(digits, UINT64_MAX >> shift, &n) || !n)
		return false;
	*out = (uint64_t)n << shift;
	return true;
}

static bool take_option(struct options *o, int c, const char *arg)
{
	unsigned long n;

	switch (c) {
	case 'd':
		if (!parse_number(arg, 3600000, &n))
			return false;
		o->limits.max_downtime_ms = n;
		return true;
	case 'r':
		if (!parse_number(arg, POLICY_MAX_ROUNDS, &n) || !n)
			return false;
		o->limits.max_rounds = n;
		return true;
	case 'b':
		return parse_rate(arg, &o->limits.bandwidth_bytes_per_s);
	case 't':
	case 's':
		if (!parse_number(arg, 3600, &n) || !n)
			return false;
		*(c == 't' ? &o->timeout_ms : &o->suspend_ms) = (unsigned int)n * 1000;
		return true;
	case 'a':
		o->limits.abort_if_over = true;
		return true;
	case 'n':
		o->dry_run = true;
		return true;
	case 'R':
		o->recover = true;
		return true;
	case 'F':
		o->force_local = true;
		return true;
	case 'j':
		o->json = true;
		return true;
	case 'q':
		o->quiet = true;
		return true;
	default:
		return false;
	}
}

/* Return: -1 go on, else the exit code. */
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "max-downtime", required_argument, NULL, 'd' },
		{ "max-rounds", required_argument, NULL, 'r' },
		{ "bandwidth", required_argument, NULL, 'b' },
		{ "abort-if-over", no_argument, NULL, 'a' },
		{ "dry-run", no_argument, NULL, 'n' },
		{ "timeout", required_argument, NULL, 't' },
		{ "suspend-timeout", required_argument, NULL, 's' },
		{ "recover", no_argument, NULL, 'R' },
		{ "force-local", no_argument, NULL, 'F' },
		{ "json", no_argument, NULL, 'j' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "nqh", longs, NULL)) != -1) {
		if (c == 'h' || c == 'V') {
			if (c == 'h')
				usage(stdout);
			else
				printf("migrate 0.1\n");
			return EXIT_MOVED;
		}
		if (!take_option(o, c, optarg)) {
			if (c != '?')
				log_err("\"%s\" is no value for this option", optarg);
			goto bad;
		}
	}
	if (argc - optind == (o->recover ? 1 : 2) && (o->recover || !o->force_local)) {
		o->dom = argv[optind];
		o->host = o->recover ? NULL : argv[optind + 1];
		return -1;
	}
bad:
	usage(stderr);
	return EXIT_USAGE;
}

/* --- what earlier moves cost ---------------------------------------------------------------- */

static void load_costs(struct costs_history *h)
{
	json_error_t err;
	json_t *j = json_load_file(COSTS_FILE, 0, &err);

	costs_from_json(h, j);
	json_decref(j);
}

static void store_costs(struct costs_history *h, const struct source_result *r)
{
	struct policy_costs seen;
	json_t *j;
	char *text;

	if (!costs_measure(&r->ledger, r->rounds, r->nr_rounds, r->last_pages, &seen))
		return;
	costs_add(h, &seen);
	j = costs_to_json(h);
	text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	if (text && !io_mkdir_parents(COSTS_FILE))
		io_write_file_atomic(COSTS_FILE, text, strlen(text), 0600);
	free(text);
	json_decref(j);
}

/* What the decisions of this run rest on. */
static struct policy_costs choose_costs(const struct costs_history *h, bool dry_run)
{
	struct policy_costs costs = policy_default_costs;

	if (h->nr || dry_run)
		costs_estimate(h, &costs);
	/* The rounds of a move measure the line themselves. */
	if (!dry_run)
		costs.page_ns = costs.first_page_ns = 0;
	return costs;
}

/* --- what is printed -------------------------------------------------------------------------- */

static const char *const outcome_names[] = {
	[SOURCE_OUT_MOVED] = "moved", [SOURCE_OUT_KEPT] = "kept",
	[SOURCE_OUT_IN_DOUBT] = "in-doubt", [SOURCE_OUT_DRY] = "dry-run",
};

static json_t *rounds_json(const struct source_result *r)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < r->nr_rounds; i++) {
		const struct policy_round *p = &r->rounds[i];

		json_array_append_new(list, json_pack("{s:i, s:I, s:I, s:I, s:I, s:I}",
						      "round", (int)i,
						      "pages", (json_int_t)p->pages_sent,
						      "zero", (json_int_t)p->pages_zero,
						      "dirty", (json_int_t)p->pages_dirty,
						      "bytes", (json_int_t)p->bytes,
						      "us", (json_int_t)p->duration_us));
	}
	return list;
}

/* A dry run's prediction, and what it rests on. */
static json_t *forecast_json(const struct source_result *r, const struct policy_costs *costs,
			     unsigned int nr_moves)
{
	const struct policy_forecast *f = &r->forecast;

	return json_pack("{s:s, s:s, s:I, s:i, s:I, s:I, s:{s:i, s:I, s:I, s:I, s:I}}",
			 "action", policy_action_name(f->verdict.action),
			 "reason", f->verdict.reason,
			 "downtime_us", (json_int_t)f->verdict.downtime_us,
			 "rounds", (int)f->rounds, "total_us", (json_int_t)f->total_us,
			 "bytes", (json_int_t)f->bytes,
			 "costs", "from_moves", (int)nr_moves,
			 "suspend_us", (json_int_t)costs->suspend_us,
			 "resume_us", (json_int_t)costs->resume_us,
			 "page_ns", (json_int_t)costs->page_ns,
			 "first_page_ns", (json_int_t)costs->first_page_ns);
}

static json_t *result_json(const struct options *o, const struct domain_config *cfg,
			   const struct source_result *r)
{
	json_t *j = json_pack("{s:s, s:s, s:s?, s:s, s:I, s:I, s:o, s:o}", "domain", cfg->name,
			      "outcome", outcome_names[r->outcome], "host", o->host,
			      "session", r->session, "total_us", (json_int_t)r->total_us,
			      "bytes", (json_int_t)r->bytes, "rounds", rounds_json(r),
			      "ledger", ledger_to_json(&r->ledger));
	uint64_t us;

	if (!j)
		return NULL;
	if (r->why[0])
		json_object_set_new(j, "error", json_string(r->why));
	if (ledger_downtime_us(&r->ledger, &us)) {
		json_object_set_new(j, "downtime_us", json_integer((json_int_t)us));
		json_object_set_new(j, "downtime_uncertainty_us",
				    json_integer((json_int_t)r->ledger.uncertainty_us));
	}
	if (r->domid_there >= 0)
		json_object_set_new(j, "domid", json_integer(r->domid_there));
	return j;
}

static void print_json(json_t *j)
{
	if (j)
		json_dumpf(j, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	putchar('\n');
}

static void print_text(const struct options *o, const struct domain_config *cfg,
		       const struct source_result *r, unsigned int nr_moves)
{
	uint64_t us = 0;

	if (r->outcome == SOURCE_OUT_DRY) {
		printf("%s to %s: predicted downtime %.1f ms after %u rounds, %.1f s and %.1f MB in all (%s)\n",
		       cfg->name, o->host, (double)r->forecast.verdict.downtime_us / 1e3,
		       r->forecast.rounds, (double)r->forecast.total_us / 1e6,
		       (double)r->forecast.bytes / 1e6, r->forecast.verdict.reason);
		if (nr_moves)
			printf("  fixed costs as in the last %u moves from here\n", nr_moves);
		else
			printf("  no guest was moved from here yet: fixed costs are assumed\n");
		return;
	}
	if (r->outcome != SOURCE_OUT_MOVED)
		return;
	ledger_print(&r->ledger, stdout);
	ledger_downtime_us(&r->ledger, &us);
	printf("%s runs on %s as domain %d: downtime %.1f ms (+/- %.1f), %u rounds, %.1f MB, %.2f s in all\n",
	       cfg->name, o->host, r->domid_there, (double)us / 1e3,
	       (double)r->ledger.uncertainty_us / 1e3, r->nr_rounds + 1,
	       (double)r->bytes / 1e6, (double)r->total_us / 1e6);
}

static void keep_ledger(const struct domain_config *cfg, json_t *j)
{
	char path[256];
	char *text = j ? json_dumps(j, JSON_INDENT(1)) : NULL;

	snprintf(path, sizeof(path), LEDGER_DIR "/%s-%lld.json", cfg->name,
		 (long long)time(NULL));
	if (text && !io_mkdir_parents(path))
		io_write_file_atomic(path, text, strlen(text), 0644);
	free(text);
}

static int exit_code(const struct source_result *r, int ret)
{
	if (r->outcome == SOURCE_OUT_IN_DOUBT)
		return EXIT_IN_DOUBT;
	if (!ret)
		return EXIT_MOVED;
	switch (r->cause) {
	case SOURCE_CAUSE_REFUSED:
		return EXIT_REFUSED;
	case SOURCE_CAUSE_UNREACHABLE:
		return EXIT_UNREACHABLE;
	case SOURCE_CAUSE_POLICY:
		return EXIT_OVER;
	case SOURCE_CAUSE_CANCELLED:
		return EXIT_INTERRUPTED;
	case SOURCE_CAUSE_SUSPEND:
		return EXIT_SUSPEND;
	default:
		return EXIT_FAILED;
	}
}

/* --- the two things it does --------------------------------------------------------------------- */

static int recover(const struct options *o, struct toolstack *ts, domid_t domid)
{
	struct xen_domctl_getdomaininfo info;
	struct source_result r;
	int ret = hcall_domain_get_info(ts->hcall, domid, &info);

	if (ret) {
		log_errno(ret, "domain %u", domid);
		return EXIT_FAILED;
	}
	ret = recover_guest(ts, info.handle, domid, o->force_local, o->timeout_ms, &r);
	if (o->json)
		print_json(json_pack("{s:s, s:s, s:s}", "domain", o->dom, "outcome",
				     ret && ret != -EAGAIN ? "failed" : outcome_names[r.outcome],
				     "error", r.why));
	else if (!ret)
		printf("%s %s\n", o->dom, r.outcome == SOURCE_OUT_MOVED ?
		       "runs on the other host; the copy here is gone" : "goes on here");
	if (ret)
		log_errno(r.why[0] ? 0 : ret, "%s: %s", o->dom,
			  r.why[0] ? r.why : "not recovered");
	return exit_code(&r, ret);
}

static int run_move(const struct options *o, struct toolstack *ts, domid_t domid,
		    const struct domain_config *cfg, const char *url)
{
	struct costs_history history;
	struct guest guest = {
		.ts = ts, .domid = domid, .suspend_timeout_ms = o->suspend_ms, .cancel = &cancel,
	};
	struct source_params p = {
		.hcall = ts->hcall, .domid = domid, .cfg = cfg, .peer_name = url,
		.journal_dir = RECOVER_SOURCE_DIR, .guest = &guest_ops, .guest_ctx = &guest,
		.peer = &client_ops, .limits = o->limits,
		.decide_timeout_ms = o->timeout_ms, .dry_run = o->dry_run,
		.leave_memory = true, .cancel = &cancel,
	};
	static struct source_result r;
	struct progress progress;
	struct client *client;
	json_t *j;
	int ret;

	memcpy(guest.uuid, cfg->uuid, 16);
	load_costs(&history);
	p.costs = choose_costs(&history, o->dry_run);
	ret = client_new(url, o->timeout_ms, &client);
	if (ret) {
		log_errno(ret, "no HTTP client");
		return EXIT_FAILED;
	}
	p.peer_ctx = client;
	client_set_cancel(client, &cancel);
	progress_init(&progress, o->quiet ? NULL : stderr);
	p.progress = &progress;
	ret = source_move(&p, &r);
	progress_end(&progress);
	client_free(client);
	j = result_json(o, cfg, &r);
	if (j && r.outcome == SOURCE_OUT_DRY)
		json_object_set_new(j, "forecast", forecast_json(&r, &p.costs, history.nr));
	if (r.why[0])
		log_err("%s: %s", cfg->name, r.why);
	if (r.outcome == SOURCE_OUT_KEPT)
		log_info("%s goes on here", cfg->name);
	if (o->json)
		print_json(j);
	else
		print_text(o, cfg, &r, history.nr);
	if (r.outcome == SOURCE_OUT_MOVED) {
		keep_ledger(cfg, j);
		store_costs(&history, &r);
	}
	json_decref(j);
	return exit_code(&r, ret);
}

/* No checkpoint is taken meanwhile: it would take dirty pages from us.  One that is makes room. */
static int move_alone(const struct options *o, struct toolstack *ts, domid_t domid,
		      const struct domain_config *cfg, const char *url)
{
	int code, lock = take_lock_overrule(cfg->uuid, &cancel);

	if (lock < 0) {
		const char *why = lock == -EBUSY ?
			"a checkpoint of it is being taken, or it is moved or saved" :
			strerror(-lock);

		log_err("%s: %s", cfg->name, why);
		if (o->json)
			print_json(json_pack("{s:s, s:s, s:s, s:s}", "domain", cfg->name, "outcome",
					     outcome_names[SOURCE_OUT_KEPT], "host", o->host,
					     "error", why));
		return lock == -ECANCELED ? EXIT_INTERRUPTED : EXIT_FAILED;
	}
	code = run_move(o, ts, domid, cfg, url);
	close(lock);
	return code;
}

static int move(const struct options *o, struct toolstack *ts, domid_t domid)
{
	struct domain_config cfg;
	char url[256];
	int code;

	if (client_url(o->host, url, sizeof(url))) {
		log_err("\"%s\" is no HOST[:PORT]", o->host);
		return EXIT_USAGE;
	}
	if (domain_config_load(ts, domid, &cfg)) {
		config_release(&cfg);
		return EXIT_FAILED;
	}
	/* It may have been renamed since. */
	domain_get_name(ts, domid, cfg.name);
	code = o->dry_run ? run_move(o, ts, domid, &cfg, url) :
	       move_alone(o, ts, domid, &cfg, url);
	config_release(&cfg);
	return code;
}

static void catch_signals(void)
{
	/* No SA_RESTART: a wait that can be cut short shall be. */
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
	struct options o = {
		.limits = {
			.max_downtime_ms = POLICY_DEFAULT_MAX_DOWNTIME_MS,
			.max_rounds = POLICY_DEFAULT_MAX_ROUNDS,
		},
		.timeout_ms = 20000, .suspend_ms = SUSPEND_DEFAULT_TIMEOUT_MS,
	};
	struct toolstack ts = { 0 };
	domid_t domid;
	int code;

	log_init("migrate", LOG_LEVEL_INFO);
	code = parse_options(argc, argv, &o);
	if (code >= 0)
		return code;
	catch_signals();
	if (toolstack_open(&ts, TOOLSTACK_HCALL | TOOLSTACK_XS) ||
	    io_mkdir_parents(RECOVER_SOURCE_DIR "/x"))
		code = EXIT_UNREACHABLE;
	else if (domain_find(&ts, o.dom, &domid) || !domid)
		code = EXIT_NO_DOMAIN;
	else
		code = o.recover ? recover(&o, &ts, domid) : move(&o, &ts, domid);
	toolstack_close(&ts);
	return code;
}
