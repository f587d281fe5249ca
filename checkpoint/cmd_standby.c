// SPDX-License-Identifier: Apache-2.0
/* checkpoint DOM HOST --standby: keep a copy of a running guest on another host. */
#define LOG_PREFIX ""
#include "checkpoint/cmd_standby.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xen/sched.h>

#include "checkpoint/suspend.h"
#include "checkpoint/guard.h"
#include "checkpoint/lock.h"
#include "checkpoint/take.h"
#include "migrate/client.h"
#include "migrate/ledger.h"
#include "migrate/outbox.h"
#include "migrate/protect.h"
#include "toolstack/cmd.h"
#include "toolstack/lib/io.h"
#include "toolstack/lib/log.h"
#include "toolstack/lib/uuid.h"

#define LINE_TIMEOUT_MS	10000u
#define LEASE_DEFAULT_MS 3000u
#define EVERY_MAX_MS	30000u
#define TIMEOUT_S	60u

static volatile sig_atomic_t cancel;

static void on_signal(int sig)
{
	cancel = sig;
}

/* --- the guest ------------------------------------------------------------------------- */

struct ward {
	struct toolstack ts;
	pid_t pid;			/* whose handles these are */
	domid_t domid;
	uint8_t uuid[16];
	unsigned int suspend_timeout_ms;
	char state_path[128], fenced_path[128];
	struct outbox *outbox;		/* NULL: what it sends leaves at once */
};

static int ward_suspend(void *ctx, char why[200])
{
	struct ward *g = ctx;

	return suspend_guest(&g->ts, g->domid, g->suspend_timeout_ms, &cancel, why);
}

static int ward_resume(void *ctx)
{
	struct ward *g = ctx;

	return suspend_resume(&g->ts, g->domid);
}

static enum protect_guest ward_state(void *ctx)
{
	struct ward *g = ctx;
	struct xen_domctl_getdomaininfo info;
	unsigned int reason;

	if (hcall_domain_get_info(g->ts.hcall, g->domid, &info) ||
	    info.flags & XEN_DOMINF_dying || memcmp(info.handle, g->uuid, 16))
		return PROTECT_GUEST_ENDED;
	reason = info.flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask;
	if (info.flags & XEN_DOMINF_shutdown && reason == SHUTDOWN_crash)
		return PROTECT_GUEST_CRASHED;
	if (info.flags & XEN_DOMINF_shutdown && reason != SHUTDOWN_suspend)
		return PROTECT_GUEST_ENDED;
	return info.flags & XEN_DOMINF_paused ? PROTECT_GUEST_PAUSED : PROTECT_GUEST_RUNS;
}

/* The mark outlives us: the next source of this guest undoes the pause, and only that one. */
static int ward_pause(void *ctx, bool on)
{
	struct ward *g = ctx;
	int ret = 0;

	/* A forked process must not share the hypercall handle. */
	if (g->pid != getpid()) {
		g->ts = (struct toolstack) { 0 };
		ret = toolstack_open(&g->ts, TOOLSTACK_HCALL);
		if (ret)
			return ret;
		g->pid = getpid();
	}
	if (!on && access(g->fenced_path, F_OK))
		return 0;
	if (on)
		ret = io_write_file_atomic(g->fenced_path, "", 0, 0600);
	else
		unlink(g->fenced_path);
	/* Paused without a mark is better than not paused. */
	if (ret)
		log_errno(ret, "cannot write %s", g->fenced_path);
	return on ? hcall_domain_pause(g->ts.hcall, g->domid)
		  : hcall_domain_unpause(g->ts.hcall, g->domid);
}

static int ward_cut(void *ctx)
{
	struct ward *g = ctx;

	return g->outbox ? outbox_cut(g->outbox) : 0;
}

static void ward_commit(void *ctx)
{
	struct ward *g = ctx;

	if (g->outbox)
		outbox_commit(g->outbox);
}

static const struct protect_guest_ops ward_ops = {
	.suspend = ward_suspend, .resume = ward_resume, .state = ward_state,
	.pause = ward_pause, .cut = ward_cut, .commit = ward_commit,
};

/* --- what people see ------------------------------------------------------------------------ */

struct show {
	struct ward *ward;
	const char *name, *peer;
	bool json, tty;
	uint64_t shown_us;
};

static json_t *status_json(const struct show *v, const struct protect_status *st)
{
	return json_pack("{s:s, s:s, s:b, s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
			 "name", v->name, "peer", v->peer, "connected", st->connected,
			 "fenced", st->fenced, "why", st->why,
			 "checkpoints", (json_int_t)st->count, "failed", (json_int_t)st->failed,
			 "cut_us", (json_int_t)st->cut_us,
			 "pause_us", (json_int_t)st->pause_us,
			 "pause_median_us", (json_int_t)st->pause_median_us,
			 "pause_max_us", (json_int_t)st->pause_max_us,
			 "bytes", (json_int_t)st->bytes,
			 "total_bytes", (json_int_t)st->total_bytes,
			 "copy_us", (json_int_t)st->copy_us, "rpo_us", (json_int_t)st->rpo_us,
			 "rpo_median_us", (json_int_t)st->rpo_median_us,
			 "rpo_max_us", (json_int_t)st->rpo_max_us);
}

/* For `godwit info`; losing it harms nobody else. */
static void write_state(const struct show *v, const char *text)
{
	io_write_file_atomic(v->ward->state_path, text, strlen(text), 0644);
}

static void show(void *ctx, const struct protect_status *st)
{
	struct show *v = ctx;
	uint64_t now = ledger_now_us();
	json_t *j = status_json(v, st);
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;

	json_decref(j);
	if (text) {
		write_state(v, text);
		if (v->json) {
			puts(text);
			fflush(stdout);
		}
	}
	free(text);
	if (v->json || (v->shown_us && now - v->shown_us < 1000000) || !st->count)
		return;
	v->shown_us = now;
	printf("%s%s: %" PRIu64 " checkpoints, paused %.1f ms, %.2f MB in %.0f ms, RPO %.0f ms "
	       "(median %.0f, most %.0f)%s%s%s", v->tty ? "\r" : "", v->name, st->count,
	       (double)st->pause_us / 1e3, (double)st->bytes / 1e6, (double)st->copy_us / 1e3,
	       (double)st->rpo_us / 1e3, (double)st->rpo_median_us / 1e3,
	       (double)st->rpo_max_us / 1e3, st->why[0] ? ": " : "", st->why,
	       v->tty ? "\033[K" : "\n");
	fflush(stdout);
}

/* --- the command ------------------------------------------------------------------------------- */

/* "200ms", "2s", "200". */
static int parse_ms(const char *name, const char *text, unsigned int max, unsigned int *ms)
{
	unsigned long n, unit = 1;
	char *end;

	n = strtoul(text, &end, 10);
	if (!strcmp(end, "s"))
		unit = 1000;
	else if (*end && strcmp(end, "ms"))
		end = (char *)text;
	if (end == text || text[0] == '-' || n > max / unit) {
		log_err("--%s: \"%s\" is no time up to %u ms", name, text, max);
		return -EINVAL;
	}
	*ms = (unsigned int)(n * unit);
	return 0;
}

static int exit_code(enum protect_outcome outcome)
{
	switch (outcome) {
	case PROTECT_ENDED:
	case PROTECT_GUEST_GONE:
		return CMD_OK;
	case PROTECT_REFUSED:
		return STANDBY_EXIT_REFUSED;
	case PROTECT_GIVEN_UP:
		return STANDBY_EXIT_GIVEN_UP;
	case PROTECT_TAKEN_OVER:
		return STANDBY_EXIT_TAKEN_OVER;
	case PROTECT_RELEASED:
		return STANDBY_EXIT_RELEASED;
	default:
		return CMD_FAILED;
	}
}

static int run(struct protect_params *p, struct show *v)
{
	struct protect_result out;
	int ret = protect_run(p, &out);

	/* A guest that runs elsewhere has not sent what waits here. */
	outbox_close(v->ward->outbox, out.outcome == PROTECT_TAKEN_OVER ||
		     out.outcome == PROTECT_RELEASED);
	unlink(v->ward->state_path);
	if (v->tty && !v->json)
		putchar('\n');
	if (v->json)
		printf("{\"outcome\": %d, \"why\": \"%s\", \"checkpoints\": %" PRIu64
		       ", \"rpo_median_us\": %" PRIu64 ", \"rpo_max_us\": %" PRIu64
		       ", \"pause_median_us\": %" PRIu64 "}\n", exit_code(out.outcome),
		       out.outcome == PROTECT_ENDED ? "" : "see the messages",
		       out.status.count, out.status.rpo_median_us, out.status.rpo_max_us,
		       out.status.pause_median_us);
	if (exit_code(out.outcome))
		log_err("%s: %s", v->name, out.why);
	else if (!v->json)
		printf("%s: %s after %" PRIu64 " checkpoints\n", v->name, out.why,
		       out.status.count);
	return ret && !exit_code(out.outcome) ? CMD_FAILED : exit_code(out.outcome);
}

static int hold_output(struct ward *g, const struct domain_config *cfg)
{
	char why[200] = "";
	int ret = outbox_open(g->domid, cfg->nr_vifs, &g->outbox, why);

	if (ret)
		log_err("%s: %s", cfg->name, why);
	return ret;
}

static int protect(struct ward *g, struct protect_params *p, const char *host, bool json,
		   bool output_commit)
{
	char url[300], uuid[UUID_TEXT_BYTES];
	struct show v = { .ward = g, .name = p->cfg->name, .json = json, .peer = url };
	struct guard rescuer = { 0 };
	struct client *client;
	int code, lock = take_lock_domain(p->cfg->uuid);

	if (lock < 0) {
		log_err("%s: %s", p->cfg->name, lock == -EBUSY ?
			"another checkpoint of it is being taken" : strerror(-lock));
		return CMD_FAILED;
	}
	v.tty = isatty(STDOUT_FILENO);
	uuid_format(p->cfg->uuid, uuid);
	snprintf(g->state_path, sizeof(g->state_path), STANDBY_STATE_DIR "/%s.json", uuid);
	snprintf(g->fenced_path, sizeof(g->fenced_path), STANDBY_STATE_DIR "/%s.fenced", uuid);
	memcpy(g->uuid, p->cfg->uuid, sizeof(g->uuid));
	io_mkdir_parents(g->state_path);
	if (client_url(host, url, sizeof(url))) {
		log_err("\"%s\" is no HOST[:PORT]", host);
		return CMD_USAGE;
	}
	if (output_commit && hold_output(g, p->cfg))
		return CMD_FAILED;
	if (client_new(url, LINE_TIMEOUT_MS, &client)) {
		outbox_close(g->outbox, false);
		return CMD_FAILED;
	}
	client_use_standbys(client);
	client_set_cancel(client, &cancel);
	p->peer_name = url;
	p->peer = &client_ops;
	p->peer_ctx = client;
	p->report = show;
	p->report_ctx = &v;
	/* Killed while the guest stands for a checkpoint, we would leave it standing. */
	code = guard_start(&rescuer, g->domid, lock) ? CMD_FAILED : run(p, &v);
	if (rescuer.pid > 0)
		guard_release(&rescuer);
	client_free(client);
	close(lock);
	return code;
}

static int protect_named(struct ward *g, struct protect_params *p, const char *name,
			 const char *host, bool json, bool output_commit)
{
	struct domain_config cfg;
	int code, ret = domain_find(&g->ts, name, &g->domid);

	if (!ret && !g->domid)
		ret = -ESRCH;
	if (ret)
		return cmd_exit_code(ret);
	ret = domain_config_load(&g->ts, g->domid, &cfg);
	code = CMD_FAILED;
	if (!ret) {
		domain_get_name(&g->ts, g->domid, cfg.name);
		p->hcall = g->ts.hcall;
		p->domid = g->domid;
		p->cfg = &cfg;
		p->guest = &ward_ops;
		p->guest_ctx = g;
		code = protect(g, p, host, json, output_commit);
	}
	config_release(&cfg);
	return code;
}

int cmd_standby(int argc, char **argv)
{
	unsigned int timeout_s = TIMEOUT_S, suspend_s = SUSPEND_DEFAULT_TIMEOUT_MS / 1000;
	unsigned int reserve_mb = 0;
	const char *every = "0", *lease = NULL, *after = "0";
	struct sigaction sa = { .sa_handler = on_signal };
	struct ward g = { .pid = getpid() };
	struct protect_params p = { .cancel = &cancel, .lease_ms = LEASE_DEFAULT_MS };
	bool json, standby, output_commit = false;
	const struct cmd_option options[] = {
		{ .name = "standby", .flag = &standby },
		{ .name = "every", .text = &every },
		{ .name = "witness", .text = &p.witness },
		{ .name = "lease", .text = &lease },
		{ .name = "failover-after", .text = &after },
		{ .name = "output-commit", .flag = &output_commit },
		{ .name = "keep", .flag = &p.keep },
		{ .name = "reserve", .number = &reserve_mb },
		{ .name = "timeout", .letter = 't', .number = &timeout_s },
		{ .name = "suspend-timeout", .number = &suspend_s },
		{ 0 },
	};
	int code, i;

	argv[0] = (char *)"standby";
	i = cmd_options(argc, argv, options, &json, 2, 2, &code);
	if (i < 0)
		return code;
	if (parse_ms("every", every, EVERY_MAX_MS, &p.interval_ms) ||
	    parse_ms("failover-after", after, WITNESS_LEASE_MAX_MS, &p.failover_after_ms) ||
	    (lease && parse_ms("lease", lease, WITNESS_LEASE_MAX_MS, &p.lease_ms)))
		return CMD_USAGE;
	if (!p.witness && (p.failover_after_ms || lease)) {
		log_err("--lease and --failover-after need a --witness");
		return CMD_USAGE;
	}
	p.timeout_ms = (timeout_s ? timeout_s : 1) * 1000;
	p.reserve_pages = (uint64_t)reserve_mb << 8;
	g.suspend_timeout_ms = (suspend_s ? suspend_s : 1) * 1000;
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	code = CMD_NO_HOST;
	if (!toolstack_open(&g.ts, TOOLSTACK_HCALL | TOOLSTACK_XS))
		code = protect_named(&g, &p, argv[i], argv[i + 1], json, output_commit);
	toolstack_close(&g.ts);
	return code;
}
