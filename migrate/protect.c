// SPDX-License-Identifier: Apache-2.0
/* See protect.h.  The story is protect_run(). */
#define LOG_PREFIX "standby"
#include "migrate/protect.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "checkpoint/describe.h"
#include "checkpoint/save.h"
#include "migrate/cpu.h"
#include "migrate/ledger.h"
#include "migrate/spool.h"
#include "migrate/wire.h"
#include "toolstack/lib/log.h"
#include "toolstack/lib/uuid.h"

#define PROTOCOL	1
#define RETRY_MS	300u
#define NAP_MS		20u
#define PIPE_MAX	((size_t)96 << 20)	/* bytes that may wait for the line */
#define KEPT_SAMPLES	256u		/* medians are of so many, the newest */
#define GUEST_FAILS_MAX	30u			/* checkpoints in a row that the guest refused */

struct protect {
	const struct protect_params *p;
	struct protect_result *out;
	char uuid[UUID_TEXT_BYTES];
	struct describe desc;
	bool described;
	bool prepared;			/* the other host knows the session */
	const struct stream_io *to, *from;	/* NULL: not connected */
	uint64_t there;			/* what the standby holds, 0: nothing */
	uint64_t sent;			/* the last one sent, applied or not */
	uint64_t lost_us;		/* since when there is no standby; 0: there is */
	uint64_t seq;
	uint8_t chain_id[16];
	struct fence *fence;
	bool ended;
	unsigned int guest_fails;

	/* the checkpoint in hand */
	struct spool_pipe *pipe;
	uint64_t asked_us, cut_us;
	bool let_go;

	uint64_t rpo[KEPT_SAMPLES], pause[KEPT_SAMPLES];
};

/* --- small helpers ---------------------------------------------------------------------- */

static bool cancelled(const struct protect *s)
{
	return s->p->cancel && *s->p->cancel;
}

static void nap(unsigned int ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l };

	nanosleep(&ts, NULL);
}

static void report(struct protect *s)
{
	if (s->p->report)
		s->p->report(s->p->report_ctx, &s->out->status);
}

static int end(struct protect *s, enum protect_outcome outcome, int err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int end(struct protect *s, enum protect_outcome outcome, int err, const char *fmt, ...)
{
	va_list ap;

	if (!s->ended) {
		s->ended = true;
		s->out->outcome = outcome;
		va_start(ap, fmt);
		vsnprintf(s->out->why, sizeof(s->out->why), fmt, ap);
		va_end(ap);
	}
	return err;
}

static void trouble(struct protect *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Said once for each new trouble: the retries are many. */
static void trouble(struct protect *s, const char *fmt, ...)
{
	char text[sizeof(s->out->status.why)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (strcmp(text, s->out->status.why)) {
		memcpy(s->out->status.why, text, sizeof(text));
		log_warn("%s: %s", s->p->cfg->name, text);
		report(s);
	}
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t median(const uint64_t *values, uint64_t nr)
{
	uint64_t copy[KEPT_SAMPLES];

	if (nr > KEPT_SAMPLES)
		nr = KEPT_SAMPLES;
	if (!nr)
		return 0;
	memcpy(copy, values, nr * sizeof(*copy));
	qsort(copy, nr, sizeof(*copy), by_value);
	return copy[nr / 2];
}

/* --- the other host ------------------------------------------------------------------------ */

static int ask(struct protect *s, const char *verb, int *status, char why[200])
{
	char path[128];
	json_t *body = json_pack("{s:s}", "uuid", s->uuid), *reply = NULL;
	int ret;

	snprintf(path, sizeof(path), "/v1/standbys/%s/%s", s->out->session, verb);
	ret = s->p->peer->post(s->p->peer_ctx, path, body, status, &reply, why);
	if (!ret && *status != 200)
		snprintf(why, 200, "%s", wire_text(reply, "error", "no reason given"));
	json_decref(body);
	json_decref(reply);
	return ret;
}

static int describe(struct protect *s, struct save_facts *facts)
{
	int ret = save_get_facts(s->p->hcall, s->p->domid, facts);

	if (!ret && s->described)
		describe_release(&s->desc);
	s->described = false;
	if (!ret)
		ret = describe_make(&s->desc, s->p->cfg, facts, STREAM__MODE__CHECKPOINT);
	s->described = !ret;
	if (!ret && getrandom(s->chain_id, sizeof(s->chain_id), 0) != sizeof(s->chain_id))
		ret = -EIO;
	return ret;
}

static json_t *request(struct protect *s, const struct save_facts *facts)
{
	struct cpu_features cpu;
	json_t *j;

	cpu_features_read(&cpu);
	j = json_pack("{s:s, s:i, s:i, s:o, s:I, s:o, s:i, s:i, s:i}", "session", s->out->session,
		      "protocol", PROTOCOL, "stream_version", (int)STREAM_VERSION,
		      "domain", config_to_json(s->p->cfg),
		      "tot_pages", (json_int_t)facts->facts.tot_pages,
		      "cpu", cpu_features_to_json(&cpu),
		      "interval_ms", (int)s->p->interval_ms, "lease_ms", (int)s->p->lease_ms,
		      "failover_after_ms", (int)s->p->failover_after_ms);
	if (j && s->p->witness)
		json_object_set_new(j, "witness", json_string(s->p->witness));
	return j;
}

static int new_session(char id[SESSION_ID_BYTES])
{
	uint8_t raw[16];

	if (getrandom(raw, sizeof(raw), 0) != sizeof(raw))
		return -EIO;
	raw[6] = (raw[6] & 0x0f) | 0x40;
	raw[8] = (raw[8] & 0x3f) | 0x80;
	uuid_format(raw, id);
	return 0;
}

/* Have an empty standby made.  -ECONNREFUSED: the other host says no. */
static int prepare(struct protect *s)
{
	struct save_facts facts;
	char why[200] = "";
	json_t *body, *reply = NULL;
	int status = 0, ret;

	ret = describe(s, &facts);
	body = ret ? NULL : request(s, &facts);
	if (!ret)
		ret = body ? s->p->peer->post(s->p->peer_ctx, "/v1/standbys", body, &status, &reply,
					      why) : -ENOMEM;
	json_decref(body);
	if (ret) {
		trouble(s, "%.60s: %.120s", s->p->peer_name, why[0] ? why : strerror(-ret));
	} else if (status != 201) {
		trouble(s, "%.60s refuses: %.110s", s->p->peer_name,
			wire_text(reply, "error", "no reason given"));
		ret = -ECONNREFUSED;
	}
	json_decref(reply);
	s->prepared = !ret;
	s->there = 0;
	return ret;
}

static void disconnect(struct protect *s)
{
	s->p->peer->disconnect(s->p->peer_ctx);
	s->to = s->from = NULL;
	if (!s->lost_us)
		s->lost_us = ledger_now_us();
	if (s->out->status.connected) {
		s->out->status.connected = false;
		report(s);
	}
}

static uint64_t parse_hash(const char *text)
{
	char *rest;
	uint64_t h = strtoull(text, &rest, 16);

	return *text && !*rest ? h : 0;
}

/* The standby was activated: this copy must not run on. */
static int taken_over(struct protect *s)
{
	s->p->guest->pause(s->p->guest_ctx, true);
	return end(s, PROTECT_TAKEN_OVER, -EOWNERDEAD,
		   "%s has failed over: the guest runs there and is paused here", s->p->peer_name);
}

/* An answer that is no progress; what to do about it. */
static int complaint(struct protect *s, const json_t *msg)
{
	const char *reason = wire_text(msg, "reason", "");

	if (!strcmp(reason, "taken-over"))
		return taken_over(s);
	if (!strcmp(reason, "unknown"))
		s->prepared = false;
	trouble(s, "%.60s: %.120s", s->p->peer_name, wire_text(msg, "error", "unexpected answer"));
	return -EREMOTEIO;
}

static int connect_stream(struct protect *s)
{
	char why[200] = "";
	json_t *msg = NULL;
	int ret;

	ret = s->p->peer->connect(s->p->peer_ctx, s->out->session, &s->to, &s->from, why);
	if (!ret)
		ret = wire_recv(s->from, &msg);
	if (ret)
		trouble(s, "%.60s: %.120s", s->p->peer_name, why[0] ? why : strerror(-ret));
	else if (!wire_is(msg, "hello"))
		ret = complaint(s, msg);
	else
		s->there = parse_hash(wire_text(msg, "last", ""));
	json_decref(msg);
	if (ret)
		disconnect(s);
	s->out->status.connected = !ret;
	return ret;
}

static int reach_standby(struct protect *s)
{
	int ret = 0;

	if (!s->lost_us)
		s->lost_us = ledger_now_us();
	if (!s->prepared)
		ret = prepare(s);
	if (!ret)
		ret = connect_stream(s);
	return ret;
}

/* --- one checkpoint ---------------------------------------------------------------------------- */

static int hook_stop(void *ctx)
{
	struct protect *s = ctx;
	char why[200] = "";
	int ret;

	s->asked_us = ledger_now_us();
	ret = s->p->guest->suspend(s->p->guest_ctx, why);
	s->cut_us = ledger_now_us();
	if (ret)
		trouble(s, "%.190s", why[0] ? why : strerror(-ret));
	else if (s->p->guest->cut && s->p->guest->cut(s->p->guest_ctx))
		/* It leaves with a later checkpoint then, and the guest must go on. */
		trouble(s, "what the guest sends cannot be marked");
	return ret;
}

/* The guest runs on; only now is there something to send. */
static int hook_resume(void *ctx)
{
	struct protect *s = ctx;
	int ret = s->p->guest->resume(s->p->guest_ctx);

	if (ret)
		return ret;
	/* That the line is gone is found again, by the pipe: the guest is well. */
	wire_send(s->to, json_pack("{s:s, s:I}", "msg", "checkpoint", "age_us",
				   (json_int_t)(ledger_now_us() - s->cut_us)));
	s->let_go = true;
	spool_pipe_let_go(s->pipe);
	return 0;
}

static const struct save_hooks protect_hooks = {
	.stop_guest = hook_stop, .resume_guest = hook_resume,
};

static void settle(struct protect *s, uint64_t hash, bool applied)
{
	int ret = save_settle_snapshot(s->p->hcall, s->p->domid, hash, applied);

	if (ret && applied)
		trouble(s, "the next checkpoint will be a full one: %s", strerror(-ret));
}

static uint64_t reserve_pages(const struct protect *s)
{
	return s->p->reserve_pages ? s->p->reserve_pages :
	       save_default_reserve(s->desc.domain.tot_pages);
}

/* A parent that the standby has, or the one that it can do without (standby.h). */
static bool can_be_delta(struct protect *s, Stream__Parent *parent)
{
	uint64_t cookie = save_tracked_since(s->p->hcall, s->p->domid);

	stream__parent__init(parent);
	parent->has_stream_hash = parent->has_chain_seq = 1;
	parent->stream_hash = cookie;
	parent->chain_seq = s->seq - 1;
	return cookie && s->seq && (s->there == cookie || s->there == s->sent);
}

static int write_stream(struct protect *s, struct stream_writer *w, struct save_result *saved)
{
	Stream__Parent parent;
	struct save_snapshot snap = { .parent = &parent, .reserve_pages = reserve_pages(s) };
	struct save_params sp = {
		.hcall = s->p->hcall, .domid = s->p->domid, .writer = w, .info = &s->desc.info,
		.domain = &s->desc.domain, .snapshot = &snap, .hooks = &protect_hooks, .ctx = s,
	};
	struct timespec now;

	snap.delta = can_be_delta(s, &parent);
	if (!snap.delta)
		s->seq = 0;
	clock_gettime(CLOCK_REALTIME, &now);
	s->desc.info.time_ns = (uint64_t)now.tv_sec * 1000000000ull + now.tv_nsec;
	s->desc.info.has_chain_id = s->desc.info.has_chain_seq = 1;
	s->desc.info.chain_id.data = s->chain_id;
	s->desc.info.chain_id.len = sizeof(s->chain_id);
	s->desc.info.chain_seq = s->seq;
	return save_domain(&sp, saved);
}

static int wait_applied(struct protect *s, uint64_t hash)
{
	json_t *msg = NULL;
	int ret = wire_recv(s->from, &msg);

	if (ret)
		trouble(s, "%.60s does not answer: %s", s->p->peer_name, strerror(-ret));
	else if (!wire_is(msg, "applied"))
		ret = complaint(s, msg);
	else if (parse_hash(wire_text(msg, "hash", "")) != hash)
		ret = -EPROTO;
	json_decref(msg);
	return ret;
}

static void account(struct protect *s, const struct save_result *saved)
{
	struct protect_status *st = &s->out->status;
	uint64_t now = ledger_now_us();

	if (st->cut_us) {
		st->rpo_us = now - st->cut_us;
		s->rpo[(st->count - 1) % KEPT_SAMPLES] = st->rpo_us;
		st->rpo_median_us = median(s->rpo, st->count);
		if (st->rpo_us > st->rpo_max_us)
			st->rpo_max_us = st->rpo_us;
	}
	s->pause[st->count % KEPT_SAMPLES] = saved->pause_us;
	st->count++;
	st->pause_median_us = median(s->pause, st->count);
	st->cut_us = s->cut_us;
	st->copy_us = now - s->asked_us;
	st->pause_us = saved->pause_us;
	if (st->pause_us > st->pause_max_us)
		st->pause_max_us = st->pause_us;
	st->bytes = saved->bytes;
	st->pages = saved->pages;
	st->total_bytes += saved->bytes;
	st->why[0] = '\0';
	s->lost_us = 0;
	s->guest_fails = 0;
}

/* 0: applied.  Whatever it is otherwise, the guest runs and the set is dirty again. */
static int checkpoint(struct protect *s)
{
	struct stream_writer *w = NULL;
	struct save_result saved = { 0 };
	uint64_t hash = 0;
	int ret, line;

	s->let_go = false;
	ret = spool_pipe_new(s->to, PIPE_MAX, true, &s->pipe);
	if (ret)
		return ret;
	ret = stream_writer_new(spool_pipe_io(s->pipe), &w);
	if (!ret) {
		ret = write_stream(s, w, &saved);
		s->sent = hash = stream_writer_hash(w);
		stream_writer_free(w);
	}
	line = spool_pipe_finish(s->pipe, ret != 0, NULL);
	s->pipe = NULL;
	if (line)
		trouble(s, "the line to %.60s: %s", s->p->peer_name, strerror(-line));
	else if (ret)
		trouble(s, "no checkpoint: %.150s", saved.error);
	if (ret && !s->let_go)
		s->guest_fails++;
	/* save_domain() has taken back the snapshot that failed. */
	if (!ret) {
		ret = line ? line : wait_applied(s, hash);
		settle(s, hash, !ret);
	}
	if (ret) {
		s->out->status.failed++;
		if (s->let_go)
			disconnect(s);
		return ret;
	}
	s->there = hash;
	s->seq++;
	account(s, &saved);
	if (s->p->guest->commit)
		s->p->guest->commit(s->p->guest_ctx);
	report(s);
	return 0;
}

/* --- the life of a protection ----------------------------------------------------------------------- */

static int fence_up(struct protect *s)
{
	struct fence_params fp = {
		.where = s->p->witness, .session = s->out->session, .lease_ms = s->p->lease_ms,
		.pause = s->p->guest->pause, .ctx = s->p->guest_ctx,
	};
	char why[200] = "";
	int ret = s->p->witness ? fence_start(&fp, &s->fence, why) : 0;

	if (ret)
		return end(s, PROTECT_REFUSED, ret, "%s", why[0] ? why : strerror(-ret));
	return 0;
}

/* true: the guest may not run now, or never again. */
static bool is_fenced(struct protect *s)
{
	enum fence_state st;
	char why[200];
	bool was = s->out->status.fenced;

	if (!s->fence)
		return false;
	st = fence_state(s->fence, why);
	s->out->status.fenced = st != FENCE_HELD;
	if (st == FENCE_LOST)
		end(s, PROTECT_TAKEN_OVER, 0, "the lease was taken: the guest runs on the other "
		    "host, if anywhere, and is paused here");
	else if (st == FENCE_OVERDUE)
		trouble(s, "paused, since the lease cannot be renewed: %.120s", why);
	else if (was)
		log_info("%s: the lease is renewed, the guest goes on", s->p->cfg->name);
	return st != FENCE_HELD;
}

/* true: there is nothing left to protect. */
static bool guest_is_over(struct protect *s)
{
	switch (s->p->guest->state(s->p->guest_ctx)) {
	case PROTECT_GUEST_ENDED:
		end(s, PROTECT_GUEST_GONE, 0, "the guest has ended");
		return true;
	case PROTECT_GUEST_CRASHED:
		end(s, PROTECT_RELEASED, 0, "the guest has crashed; the standby may be activated");
		return true;
	default:
		return false;
	}
}

static bool too_long(struct protect *s)
{
	uint64_t away;

	if (s->guest_fails > GUEST_FAILS_MAX) {
		end(s, PROTECT_GIVEN_UP, 0, "the guest does not suspend: %.200s",
		    s->out->status.why);
		return true;
	}
	away = s->lost_us ? ledger_now_us() - s->lost_us : 0;
	if (away < s->p->timeout_ms * UINT64_C(1000))
		return false;
	end(s, PROTECT_GIVEN_UP, 0, "no standby for %u s: %.200s", s->p->timeout_ms / 1000,
	    s->out->status.why);
	return true;
}

/* One turn of the loop. */
static void turn(struct protect *s)
{
	uint64_t begin = ledger_now_us(), took;

	if (is_fenced(s)) {
		nap(NAP_MS);
		return;
	}
	if (!s->to && reach_standby(s)) {
		nap(RETRY_MS);
		return;
	}
	if (checkpoint(s)) {
		nap(NAP_MS);
		return;
	}
	while (!cancelled(s) && !s->ended) {
		took = (ledger_now_us() - begin) / 1000;
		if (took >= s->p->interval_ms)
			return;
		nap(s->p->interval_ms - took < NAP_MS ? (unsigned int)(s->p->interval_ms - took)
						      : NAP_MS);
		if (s->fence && is_fenced(s))
			return;
	}
}

static int begin(struct protect *s)
{
	int ret = new_session(s->out->session);

	if (ret)
		return end(s, PROTECT_FAILED, ret, "no random numbers");
	uuid_format(s->p->cfg->uuid, s->uuid);
	/* The fencer is forked, so before any thread. */
	ret = fence_up(s);
	if (ret)
		return ret;
	/* The lease is ours: what paused the guest for want of one has passed. */
	if (s->fence)
		s->p->guest->pause(s->p->guest_ctx, false);
	ret = reach_standby(s);
	if (ret)
		return end(s, PROTECT_REFUSED, ret, "%s", s->out->status.why);
	return 0;
}

static void drop_standby(struct protect *s)
{
	char why[200] = "";
	int status = 0, ret;

	if (!s->prepared)
		return;
	ret = ask(s, s->out->outcome == PROTECT_RELEASED ? "release" : "drop", &status, why);
	if (ret || (status != 200 && status != 404))
		log_warn("%s: the standby on %s: %s", s->p->cfg->name, s->p->peer_name, why);
}

static int finish(struct protect *s)
{
	enum fence_end how = s->out->outcome == PROTECT_TAKEN_OVER ? FENCE_END_LOST :
			     s->out->outcome == PROTECT_RELEASED ? FENCE_END_RELEASE :
			     FENCE_END_PROTECTION;
	char why[200] = "";
	int ret = 0;

	if (s->to && s->out->outcome != PROTECT_TAKEN_OVER)
		wire_send(s->to, json_pack("{s:s}", "msg", "bye"));
	s->p->peer->disconnect(s->p->peer_ctx);
	if (s->out->outcome == PROTECT_RELEASED ||
	    (!s->p->keep && s->out->outcome != PROTECT_TAKEN_OVER))
		drop_standby(s);
	if (s->fence)
		ret = fence_stop(s->fence, how, why);
	if (ret)
		log_err("%s: the witness cannot be told that the protection ends; the guest will be "
			"paused when the lease does (godwit unpause): %s", s->p->cfg->name, why);
	if (s->described)
		describe_release(&s->desc);
	return ret;
}

static int outcome_error(const struct protect_result *out)
{
	switch (out->outcome) {
	case PROTECT_ENDED:
	case PROTECT_GUEST_GONE:
		return 0;
	case PROTECT_RELEASED:
	case PROTECT_TAKEN_OVER:
		return -EOWNERDEAD;
	case PROTECT_REFUSED:
		return -ECONNREFUSED;
	case PROTECT_GIVEN_UP:
		return -ETIMEDOUT;
	default:
		return -EIO;
	}
}

int protect_run(const struct protect_params *p, struct protect_result *out)
{
	struct protect *s = calloc(1, sizeof(*s));
	int ret;

	*out = (struct protect_result) { .outcome = PROTECT_FAILED };
	if (!s)
		return -ENOMEM;
	s->p = p;
	s->out = out;
	ret = begin(s);
	while (!ret && !s->ended && !cancelled(s))
		if (!guest_is_over(s) && !too_long(s))
			turn(s);
	end(s, PROTECT_ENDED, 0, "the protection ended");
	ret = finish(s);
	free(s);
	return ret ? ret : outcome_error(out);
}
