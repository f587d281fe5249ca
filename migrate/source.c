// SPDX-License-Identifier: Apache-2.0
/* See source.h.  The story is source_move(); everything above it is a step of it. */
#include "migrate/source.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint/delta.h"
#include "checkpoint/describe.h"
#include "migrate/clock.h"
#include "migrate/cpu.h"
#include "migrate/journal.h"
#include "migrate/wire.h"
#include "toolstack/lib/uuid.h"

#define PROTOCOL	1
#define RETRY_MS	500
#define PINGS		8	/* short exchanges before the copying */
#define DRY_RUN_ROUNDS	3

struct source {
	const struct source_params *p;
	struct source_result *out;
	enum source_state state;
	struct journal journal;
	char uuid[UUID_TEXT_BYTES];
	const struct stream_io *to, *from;	/* data connection, NULL = none */
	bool prepared;				/* the target knows the session */
	bool settled;				/* outcome is final */
	bool foreign;				/* someone else suspended the guest meanwhile */
	bool unexplained;			/* out->why is only our side of it */
	struct clock_estimate clock;
	uint64_t go_us;				/* when "go" was sent; 0 not yet */
	int phase;
	uint64_t start_us;
};

/* --- small helpers ------------------------------------------------------------------ */

static int fail(struct source *s, enum source_cause cause, int err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Keep the first cause. */
static int fail(struct source *s, enum source_cause cause, int err, const char *fmt, ...)
{
	va_list ap;

	if (!s->out->why[0]) {
		s->out->cause = cause;
		va_start(ap, fmt);
		vsnprintf(s->out->why, sizeof(s->out->why), fmt, ap);
		va_end(ap);
	}
	return err;
}

static int broken(struct source *s, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The line failed, or so it seems: explain_break() may learn more. */
static int broken(struct source *s, int err, const char *fmt, ...)
{
	va_list ap;

	if (!s->out->why[0]) {
		s->unexplained = true;
		s->out->cause = SOURCE_CAUSE_FAILED;
		va_start(ap, fmt);
		vsnprintf(s->out->why, sizeof(s->out->why), fmt, ap);
		va_end(ap);
	}
	return err;
}

/* The line may be dead: all that is asked from now on may take this long. */
static void hurry(struct source *s, unsigned int ms)
{
	if (s->p->peer->hurry)
		s->p->peer->hurry(s->p->peer_ctx, ms);
}

static void phase_begin(struct source *s, const char *name)
{
	uint64_t now = ledger_now_us();

	ledger_end(&s->out->ledger, s->phase, now);
	s->phase = name ? ledger_begin(&s->out->ledger, name, now) : -1;
}

static bool cancelled(const struct source *s)
{
	return s->p->cancel && *s->p->cancel;
}

static int journal_path(const char *dir, const char *uuid, char *path, size_t len)
{
	return snprintf(path, len, "%s/%s.journal", dir, uuid) >= (int)len ? -ENAMETOOLONG : 0;
}

/*
 * The one place where the source's state changes.  Only HANDED_OVER must
 * survive a crash of the machine; for a crash of this process the page cache
 * is enough.
 */
static int move_to(struct source *s, enum source_state to)
{
	json_t *rec;
	int ret;

	if (!source_may(s->state, to))
		return -EPERM;
	rec = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:I}", "session", s->out->session,
			"state", source_state_name(to), "name", s->p->cfg->name,
			"uuid", s->uuid, "peer", s->p->peer_name, "domid", (int)s->p->domid,
			"pid", (int)getpid(), "time", (json_int_t)time(NULL));
	ret = rec ? journal_write(&s->journal, rec, to == SOURCE_HANDED_OVER) : -ENOMEM;
	json_decref(rec);
	/* An end is an end even if it cannot be written: the facts are elsewhere. */
	if (!ret || to == SOURCE_KEPT || to == SOURCE_MOVED)
		s->state = to;
	return ret;
}

static int open_journal(struct source *s)
{
	json_t *latest;
	char path[512];
	int ret;

	ret = journal_path(s->p->journal_dir, s->uuid, path, sizeof(path));
	if (!ret)
		ret = journal_open(&s->journal, path, true, &latest);
	if (ret == -EBUSY)
		return fail(s, SOURCE_CAUSE_FAILED, ret, "%s is being moved by another process",
			    s->p->cfg->name);
	if (ret)
		return fail(s, SOURCE_CAUSE_FAILED, ret, "cannot write a journal in %s: %s",
			    s->p->journal_dir, strerror(-ret));
	if (latest) {
		json_decref(latest);
		journal_close(&s->journal, false);
		return fail(s, SOURCE_CAUSE_FAILED, -EBUSY,
			    "an earlier move of %s was cut short; run: migrate --recover %s",
			    s->p->cfg->name, s->p->cfg->name);
	}
	return 0;
}

/* --- talking to the target -------------------------------------------------------------- */

static int post(struct source *s, const char *path, json_t *body, int *status, json_t **reply,
		char why[200])
{
	int ret;

	*reply = NULL;
	ret = body ? s->p->peer->post(s->p->peer_ctx, path, body, status, reply, why) : -ENOMEM;
	json_decref(body);
	return ret;
}

/* A verb of target_ask(); gets the state in the answer. */
static int ask(struct source *s, const char *verb, enum target_state *state, json_t **reply)
{
	char path[128], why[200] = "";
	int status = 0;
	int ret;

	snprintf(path, sizeof(path), "/v1/sessions/%s/%s", s->out->session, verb);
	ret = post(s, path, json_pack("{s:s}", "uuid", s->uuid), &status, reply, why);
	if (!ret && status != 200)
		ret = -EPROTO;
	if (!ret && target_state_parse(wire_text(*reply, "state", ""), state))
		ret = -EPROTO;
	if (ret) {
		json_decref(*reply);
		*reply = NULL;
	}
	return ret;
}

static json_t *prepare_request(struct source *s, const struct save_facts *facts)
{
	struct cpu_features cpu;

	cpu_features_read(&cpu);
	return json_pack("{s:s, s:i, s:i, s:o, s:I, s:o, s:b, s:i}", "session", s->out->session,
			 "protocol", PROTOCOL, "stream_version", (int)STREAM_VERSION,
			 "domain", config_to_json(s->p->cfg),
			 "tot_pages", (json_int_t)facts->facts.tot_pages,
			 "cpu", cpu_features_to_json(&cpu), "dry_run", s->p->dry_run,
			 "pings", PINGS);
}

static int prepare(struct source *s, const struct save_facts *facts)
{
	char why[200] = "";
	json_t *reply;
	int status = 0;
	int ret;

	phase_begin(s, "prepare");
	ret = post(s, "/v1/sessions", prepare_request(s, facts), &status, &reply, why);
	/* An answer that did not come may be on a request that did. */
	s->prepared = (ret == -ETIMEDOUT || ret == -ECANCELED) && !s->p->dry_run;
	if (ret)
		return fail(s, ret == -ECANCELED ? SOURCE_CAUSE_CANCELLED :
			    SOURCE_CAUSE_UNREACHABLE, ret, "%s: %s", s->p->peer_name, why);
	if (status != (s->p->dry_run ? 200 : 201)) {
		fail(s, SOURCE_CAUSE_REFUSED, 0, "%s refuses: %s", s->p->peer_name,
		     wire_text(reply, "error", "no reason given"));
		json_decref(reply);
		return -ECONNREFUSED;
	}
	s->prepared = !s->p->dry_run;
	json_decref(reply);
	return 0;
}

static uint64_t member_us(const json_t *msg, const char *name)
{
	json_int_t v = json_integer_value(json_object_get(msg, name));

	return v > 0 ? (uint64_t)v : 0;
}

static void learn_clock(struct source *s, uint64_t asked_us, const json_t *answer)
{
	uint64_t there = member_us(answer, "clock_us");
	struct clock_exchange x = {
		.t0_us = asked_us, .t1_us = ledger_now_us(), .d0_us = there, .d1_us = there,
	};

	clock_sample(&s->clock, &x);
}

/* An answer of that name to what was asked just now. */
static int exchange(struct source *s, uint64_t asked_us, const char *name, json_t **answer)
{
	int ret = wire_recv(s->from, answer);

	if (!ret && !wire_is(*answer, name))
		ret = -EPROTO;
	if (!ret)
		learn_clock(s, asked_us, *answer);
	return ret;
}

/* The clocks are compared while nobody waits; the shortest exchange counts. */
static int ping(struct source *s, json_int_t nr)
{
	json_t *pong;
	int ret = 0;

	for (json_int_t i = 0; !ret && i < nr; i++) {
		uint64_t asked_us = ledger_now_us();

		ret = wire_send(s->to, json_pack("{s:s}", "msg", "ping"));
		if (ret)
			return ret;
		ret = exchange(s, asked_us, "pong", &pong);
		json_decref(pong);
	}
	return ret;
}

static int connect_stream(struct source *s)
{
	uint64_t asked_us = ledger_now_us();
	char why[200] = "";
	json_t *hello;
	json_int_t nr;
	int ret;

	phase_begin(s, "connect");
	ret = s->p->peer->connect(s->p->peer_ctx, s->out->session, &s->to, &s->from, why);
	if (ret)
		return fail(s, SOURCE_CAUSE_UNREACHABLE, ret, "data connection to %s: %s",
			    s->p->peer_name, why);
	ret = exchange(s, asked_us, "hello", &hello);
	/* What it agreed to: an older host knows no pings. */
	nr = json_integer_value(json_object_get(hello, "pings"));
	json_decref(hello);
	if (!ret)
		ret = nr < 0 || nr > PINGS ? -EPROTO : ping(s, nr);
	if (ret)
		return fail(s, SOURCE_CAUSE_FAILED, ret,
			    "%s does not begin as a Godwit host does: %s", s->p->peer_name,
			    strerror(-ret));
	return 0;
}

/* --- hooks of save_domain() ------------------------------------------------------------------ */

static void to_policy_round(const struct save_round *r, struct policy_round *p)
{
	*p = (struct policy_round) {
		.pages_sent = r->data_pages, .pages_zero = r->zero_pages,
		.pages_dirty = r->dirty, .bytes = r->bytes,
		.duration_us = r->duration_us, .throttled_us = r->throttled_us,
	};
}

static int hook_batch(void *ctx, const struct save_round *r)
{
	struct source *s = ctx;
	struct progress_state st = {
		.round = r->number, .pages_done = r->pages, .pages_total = r->todo,
		.bytes = r->bytes,
	};

	if (cancelled(s))
		return fail(s, SOURCE_CAUSE_CANCELLED, -ECANCELED, "interrupted");
	if (s->p->progress && !r->last)
		progress_update(s->p->progress, &st, ledger_now_us());
	return 0;
}

/* The target has taken the round in: only then is its time known. */
static int wait_round(struct source *s, unsigned int number)
{
	json_t *msg;
	int ret;

	ret = wire_recv(s->from, &msg);
	if (ret)
		return broken(s, ret, "the target fell silent in round %u: %s", number,
			      strerror(-ret));
	if (!wire_is(msg, "round") ||
	    json_integer_value(json_object_get(msg, "number")) != number) {
		fail(s, SOURCE_CAUSE_FAILED, 0, "%s: %s", s->p->peer_name,
		     wire_text(msg, "error", "unexpected answer"));
		ret = -EREMOTEIO;
	}
	json_decref(msg);
	return ret;
}

static int hook_round_end(void *ctx, const struct save_round *r)
{
	struct source *s = ctx;
	struct source_result *out = s->out;
	uint64_t begin = ledger_now_us();
	struct policy_verdict v;

	if (!s->p->dry_run) {
		int ret = wait_round(s, r->number);

		if (ret)
			return ret;
	}
	if (out->nr_rounds >= POLICY_MAX_ROUNDS)
		return SAVE_STOP_GUEST;
	to_policy_round(r, &out->rounds[out->nr_rounds++]);
	out->rounds[out->nr_rounds - 1].duration_us += ledger_now_us() - begin;
	policy_decide(&s->p->limits, &s->p->costs, out->rounds, out->nr_rounds, &v);
	if (s->p->progress)
		progress_round(s->p->progress, r->number, &out->rounds[out->nr_rounds - 1], &v);
	if (s->p->dry_run) {
		policy_forecast(&s->p->limits, &s->p->costs, out->rounds, out->nr_rounds,
				&out->forecast);
		return v.action == POLICY_CONTINUE && out->nr_rounds < DRY_RUN_ROUNDS ?
		       SAVE_NEXT_ROUND : SAVE_END_EARLY;
	}
	if (v.action == POLICY_GIVE_UP)
		return fail(s, SOURCE_CAUSE_POLICY, -ETIME, "given up: %s", v.reason);
	return v.action == POLICY_CONTINUE ? SAVE_NEXT_ROUND : SAVE_STOP_GUEST;
}

static int hook_stop(void *ctx)
{
	struct source *s = ctx;
	char why[200] = "";
	int ret;

	if (cancelled(s))
		return fail(s, SOURCE_CAUSE_CANCELLED, -ECANCELED, "interrupted");
	if (s->p->progress)
		progress_note(s->p->progress, "suspending the guest");
	ret = move_to(s, SOURCE_STOPPED);
	if (ret)
		return fail(s, SOURCE_CAUSE_FAILED, ret, "journal: %s", strerror(-ret));
	/* The guest begins to freeze as soon as it is asked: count from here. */
	ledger_mark_stop(&s->out->ledger, ledger_now_us());
	ret = s->p->guest->suspend(s->p->guest_ctx, why);
	s->foreign = ret == -EALREADY;
	if (ret)
		return fail(s, cancelled(s) ? SOURCE_CAUSE_CANCELLED : SOURCE_CAUSE_SUSPEND, ret,
			    "%s", why[0] ? why : strerror(-ret));
	return 0;
}

static int hook_stopped(void *ctx, uint64_t pages)
{
	struct source *s = ctx;
	struct policy_verdict v;

	s->out->last_pages = pages;
	policy_judge_final(&s->p->limits, &s->p->costs, s->out->rounds, s->out->nr_rounds, pages,
			   ledger_now_us() - s->out->ledger.stop_us, &v);
	if (v.action == POLICY_GIVE_UP)
		return fail(s, SOURCE_CAUSE_POLICY, -ETIME, "given up: %s", v.reason);
	return 0;
}

static void hook_phase(void *ctx, const char *name)
{
	phase_begin(ctx, name);
}

/* A dry run's bytes go nowhere; they were counted on the way. */
static int drop_bytes(void *ctx, const void *buf, size_t len)
{
	return 0;
}

static const struct stream_io nowhere = { .write = drop_bytes };

/* --- handing over -------------------------------------------------------------------------------- */

static int wait_ready(struct source *s)
{
	json_t *msg;
	int ret;

	phase_begin(s, "await-ready");
	ret = wire_recv(s->from, &msg);
	if (ret)
		return broken(s, ret, "the target does not say ready: %s", strerror(-ret));
	if (!wire_is(msg, "ready")) {
		fail(s, SOURCE_CAUSE_FAILED, 0, "%s: %s", s->p->peer_name,
		     wire_text(msg, "error", "unexpected answer"));
		ret = -EREMOTEIO;
	}
	json_decref(msg);
	return ret;
}

/* When the destination took the guest over, on its own clock. */
static uint64_t own_begin_us(const struct ledger *there)
{
	for (unsigned int i = 0; i < there->nr; i++)
		if (!strcmp(there->phases[i].name, "own"))
			return there->phases[i].begin_us;
	return there->run_us;
}

/*
 * The hand-over itself is the best exchange there is: the guest ran after "go"
 * was sent and before "running" came, by this side's clock alone.
 */
static void merge_ledger(struct source *s, const json_t *msg)
{
	struct clock_exchange x = { .t0_us = s->go_us, .t1_us = ledger_now_us() };
	uint64_t there_us;
	struct ledger there;

	if (ledger_from_json(&there, json_object_get(msg, "ledger")) || !there.has_run)
		return;
	x.d0_us = own_begin_us(&there);
	x.d1_us = there.run_us;
	if (s->go_us)
		clock_confine(&s->clock, &x);
	ledger_merge(&s->out->ledger, &there, clock_offset_us(&s->clock),
		     clock_uncertainty_us(&s->clock));
	if (!s->go_us)
		return;
	there_us = x.d1_us > x.d0_us ? x.d1_us - x.d0_us : 0;
	if (there_us > x.t1_us - x.t0_us)
		there_us = 0;
	ledger_confine_run(&s->out->ledger, x.t0_us + there_us, x.t1_us);
}

static void note_domid(struct source *s, const json_t *msg)
{
	const json_t *v = json_object_get(msg, "domid");

	s->out->domid_there = json_is_integer(v) ? (int)json_integer_value(v) : -1;
}

/* Ask through HTTP until the target has decided.  0: it runs there. */
static int decide_over_http(struct source *s)
{
	uint64_t until = ledger_now_us() + s->p->decide_timeout_ms * 1000ull;
	struct timespec pause = { .tv_nsec = RETRY_MS * 1000000l };
	enum target_state state;
	json_t *reply;

	hurry(s, s->p->decide_timeout_ms);
	for (;;) {
		if (!ask(s, "commit", &state, &reply)) {
			bool gone = target_state_owns(state) &&
				    json_is_false(json_object_get(reply, "alive"));

			if (state == TARGET_RUNNING)
				merge_ledger(s, reply);
			note_domid(s, reply);
			json_decref(reply);
			if (gone)
				return fail(s, SOURCE_CAUSE_FAILED, -EOWNERDEAD,
					    "the guest ran at %s and is gone there; the copy here is older: migrate --recover %s --force-local, or godwit destroy",
					    s->p->peer_name, s->p->cfg->name);
			if (state == TARGET_RUNNING)
				return 0;
			if (state == TARGET_ABORTED)
				return fail(s, SOURCE_CAUSE_FAILED, -ECANCELED,
					    "%s gave the move up", s->p->peer_name);
		}
		if (ledger_now_us() + RETRY_MS * UINT64_C(1000) >= until)
			return -EAGAIN;
		nanosleep(&pause, NULL);
	}
}

static int go(struct source *s)
{
	json_t *msg = NULL;
	int ret;

	phase_begin(s, "hand-over");
	s->go_us = ledger_now_us();
	ret = wire_send(s->to, json_pack("{s:s}", "msg", "go"));
	if (!ret)
		ret = wire_recv(s->from, &msg);
	if (!ret && wire_is(msg, "running")) {
		merge_ledger(s, msg);
		phase_begin(s, "release");
		note_domid(s, msg);
		json_decref(msg);
		return 0;
	}
	json_decref(msg);
	return decide_over_http(s);
}

static int hand_over(struct source *s)
{
	int ret;

	phase_begin(s, "journal");
	if (cancelled(s))
		return fail(s, SOURCE_CAUSE_CANCELLED, -ECANCELED, "interrupted");
	ret = move_to(s, SOURCE_HANDED_OVER);
	if (ret)
		return fail(s, SOURCE_CAUSE_FAILED, ret, "cannot make the hand-over durable: %s",
			    strerror(-ret));
	return go(s);
}

/* --- sending ---------------------------------------------------------------------------------- */

static int hook_sent(void *ctx)
{
	struct source *s = ctx;
	int ret = wait_ready(s);

	return ret ? ret : hand_over(s);
}

static const struct save_hooks move_hooks = {
	.stop_guest = hook_stop, .round_end = hook_round_end, .stopped = hook_stopped,
	.batch = hook_batch, .sent = hook_sent, .phase = hook_phase,
};

static int send_stream(struct source *s, const struct save_facts *facts)
{
	struct describe desc;
	struct save_result saved;
	struct stream_writer *w;
	struct save_params sp = {
		.hcall = s->p->hcall, .domid = s->p->domid, .live = true,
		.info = &desc.info, .domain = &desc.domain,
		.leave_logdirty = true, .leave_memory = s->p->leave_memory,
		.bandwidth_bytes_per_s = s->p->limits.bandwidth_bytes_per_s,
		.delta_pages = delta_pages_sensible(),
		.hooks = &move_hooks, .ctx = s,
	};
	int ret;

	ret = describe_make(&desc, s->p->cfg, facts, STREAM__MODE__LIVE);
	if (!ret)
		ret = stream_writer_new(s->p->dry_run ? &nowhere : s->to, &w);
	if (ret)
		return fail(s, SOURCE_CAUSE_FAILED, ret, "%s", strerror(-ret));
	sp.writer = w;
	ret = save_domain(&sp, &saved);
	s->out->bytes = saved.bytes;
	stream_writer_free(w);
	describe_release(&desc);
	if (!ret || (s->p->dry_run && ret == -ECANCELED && !s->out->why[0]))
		return 0;
	/* Handed over: what became of it is not for save_domain() to say. */
	if (s->state == SOURCE_HANDED_OVER)
		return ret;
	return broken(s, ret, "%s", saved.error[0] ? saved.error : strerror(-ret));
}

/* --- the three ends ---------------------------------------------------------------------------------- */

static void finish_moved(struct source *s)
{
	enum target_state state;
	json_t *reply;
	int ret;

	phase_begin(s, "destroy");
	s->out->outcome = SOURCE_OUT_MOVED;
	move_to(s, SOURCE_MOVED);
	ret = s->p->guest->destroy(s->p->guest_ctx);
	phase_begin(s, NULL);
	s->settled = true;
	if (ret) {
		/* Suspended for good: only memory is lost until someone destroys it. */
		fail(s, SOURCE_CAUSE_FAILED, ret, "moved, but the copy here could not be destroyed: %s",
		     strerror(-ret));
		journal_close(&s->journal, false);
		return;
	}
	journal_close(&s->journal, true);
	if (!ask(s, "forget", &state, &reply))
		json_decref(reply);
}

/*
 * Our end of the line broke; the target may know why.  Only after the guest
 * goes on: a question may wait for its answer in vain.
 */
static void explain_break(struct source *s)
{
	enum target_state state;
	json_t *reply;
	const char *why;

	if (!s->unexplained || !s->prepared || ask(s, "status", &state, &reply))
		return;
	why = wire_text(reply, "error", "");
	if (why[0])
		snprintf(s->out->why, sizeof(s->out->why), "%s: %s", s->p->peer_name, why);
	json_decref(reply);
}

static void finish_kept(struct source *s)
{
	enum target_state state;
	json_t *reply;
	int ret;

	phase_begin(s, "resume");
	s->out->outcome = SOURCE_OUT_KEPT;
	/* The guest first: its users wait; the target's half-built copy can. */
	ret = s->foreign ? 0 : s->p->guest->resume(s->p->guest_ctx);
	phase_begin(s, NULL);
	move_to(s, SOURCE_KEPT);
	s->settled = true;
	/* Each has its half, lest the question takes the time of the order. */
	hurry(s, s->p->decide_timeout_ms / 2);
	explain_break(s);
	hurry(s, s->p->decide_timeout_ms / 2);
	if (s->p->peer->disconnect)
		s->p->peer->disconnect(s->p->peer_ctx);
	s->to = s->from = NULL;
	if (s->prepared && !ask(s, "abort", &state, &reply))
		json_decref(reply);
	if (ret) {
		fail(s, SOURCE_CAUSE_FAILED, ret, "the guest could not be resumed: %s",
		     strerror(-ret));
		journal_close(&s->journal, false);
		return;
	}
	journal_close(&s->journal, true);
}

static void finish_in_doubt(struct source *s)
{
	s->out->outcome = SOURCE_OUT_IN_DOUBT;
	s->settled = true;
	fail(s, SOURCE_CAUSE_FAILED, 0,
	     "%s was told to take %s and does not answer; it stands here until: migrate --recover %s",
	     s->p->peer_name, s->p->cfg->name, s->p->cfg->name);
	journal_close(&s->journal, false);
}

/* @ret: of the last step.  What it means depends only on the state. */
static void finish(struct source *s, int ret)
{
	if (!ret)
		finish_moved(s);
	else if (s->state != SOURCE_HANDED_OVER || ret == -ECANCELED)
		finish_kept(s);
	else
		finish_in_doubt(s);
}

/* --- the story ------------------------------------------------------------------------------------------ */

static int get_facts(struct source *s, struct save_facts *facts)
{
	int ret = save_get_facts(s->p->hcall, s->p->domid, facts);

	if (ret)
		return fail(s, SOURCE_CAUSE_FAILED, ret, "asking for the domain's facts: %s",
			    strerror(-ret));
	return 0;
}

static void source_init(struct source *s, const struct source_params *p,
			struct source_result *out)
{
	*s = (struct source) { .p = p, .out = out, .phase = -1, .journal.fd = -1 };
	*out = (struct source_result) { .domid_there = -1 };
	ledger_init(&out->ledger, LEDGER_SOURCE);
	uuid_format(p->cfg->uuid, s->uuid);
	s->start_us = ledger_now_us();
}

static int check_guest(struct source *s)
{
	char why[200] = "";
	int ret = s->p->guest->check(s->p->guest_ctx, why);

	return ret ? fail(s, SOURCE_CAUSE_SUSPEND, ret, "%s", why) : 0;
}

static int new_session(struct source *s)
{
	uint8_t raw[16];
	int ret = uuid_generate(raw);

	if (ret)
		return fail(s, SOURCE_CAUSE_FAILED, ret, "no random numbers: %s", strerror(-ret));
	uuid_format(raw, s->out->session);
	ret = open_journal(s);
	if (ret)
		return ret;
	s->state = SOURCE_PREPARING;
	return 0;
}

static int move_steps(struct source *s)
{
	struct save_facts facts;
	int ret;

	ret = get_facts(s, &facts);
	if (!ret)
		ret = prepare(s, &facts);
	if (!ret && !s->p->dry_run)
		ret = connect_stream(s);
	if (ret)
		return ret;
	ret = move_to(s, SOURCE_COPYING);
	if (ret)
		return fail(s, SOURCE_CAUSE_FAILED, ret, "journal: %s", strerror(-ret));
	return send_stream(s, &facts);
}

int source_move(const struct source_params *p, struct source_result *out)
{
	struct source s;
	int ret;

	source_init(&s, p, out);
	/* Nothing is begun yet, so nothing is undone: it may stand for another's sake. */
	ret = check_guest(&s);
	if (!ret)
		ret = new_session(&s);
	if (ret) {
		out->outcome = SOURCE_OUT_KEPT;
		return ret;
	}
	ret = move_steps(&s);
	if (p->dry_run) {
		/* save_domain() has put log-dirty away; nothing else was touched. */
		move_to(&s, SOURCE_KEPT);
		journal_close(&s.journal, true);
		out->outcome = ret ? SOURCE_OUT_KEPT : SOURCE_OUT_DRY;
	} else {
		finish(&s, ret);
	}
	if (p->peer->disconnect)
		p->peer->disconnect(p->peer_ctx);
	phase_begin(&s, NULL);
	out->total_us = ledger_now_us() - s.start_us;
	return ret;
}

/* --- after a crash ---------------------------------------------------------------------------------------- */

int source_journal_peek(const char *dir, const uint8_t uuid[16], json_t **rec)
{
	char text[UUID_TEXT_BYTES], path[512];
	struct journal j;
	int ret;

	uuid_format(uuid, text);
	*rec = NULL;
	ret = journal_path(dir, text, path, sizeof(path));
	if (!ret)
		ret = journal_open(&j, path, false, rec);
	if (ret)
		return ret;
	journal_close(&j, false);
	return *rec ? 0 : -ENOENT;
}

static int recover_decide(struct source *s, bool force_local)
{
	switch (s->state) {
	case SOURCE_MOVED:
		return 0;
	case SOURCE_HANDED_OVER:
		return force_local ? -ECANCELED : decide_over_http(s);
	default:
		return -ECANCELED;
	}
}

static int recover_without_journal(struct source *s)
{
	int ret = s->p->guest->resume(s->p->guest_ctx);

	s->out->outcome = SOURCE_OUT_KEPT;
	if (ret)
		return fail(s, SOURCE_CAUSE_FAILED, ret, "the guest could not be resumed: %s",
			    strerror(-ret));
	return 0;
}

int source_recover(const struct source_params *p, bool force_local, struct source_result *out)
{
	json_t *rec = NULL;
	struct source s;
	char path[512];
	int ret;

	source_init(&s, p, out);
	ret = journal_path(p->journal_dir, s.uuid, path, sizeof(path));
	if (!ret)
		ret = journal_open(&s.journal, path, false, &rec);
	if (ret == -ENOENT)
		return recover_without_journal(&s);
	if (ret == -EBUSY)
		return fail(&s, SOURCE_CAUSE_FAILED, ret, "%s is being moved by a running process",
			    p->cfg->name);
	if (!ret && rec)
		ret = source_state_parse(wire_text(rec, "state", ""), &s.state);
	if (ret) {
		json_decref(rec);
		journal_close(&s.journal, false);
		return fail(&s, SOURCE_CAUSE_FAILED, ret, "%s is unreadable", path);
	}
	if (!rec) {
		/* Opened, nothing begun. */
		journal_close(&s.journal, true);
		return recover_without_journal(&s);
	}
	snprintf(out->session, sizeof(out->session), "%s", wire_text(rec, "session", ""));
	json_decref(rec);
	s.prepared = true;
	if (!p->guest->exists(p->guest_ctx)) {
		out->outcome = SOURCE_OUT_MOVED;
		journal_close(&s.journal, true);
		return 0;
	}
	ret = recover_decide(&s, force_local);
	if (ret == -ECANCELED && !force_local)
		out->why[0] = '\0';
	finish(&s, ret);
	return out->outcome == SOURCE_OUT_IN_DOUBT ? -EAGAIN : 0;
}
