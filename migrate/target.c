// SPDX-License-Identifier: Apache-2.0
/* See target.h.  Lock order: target.lock only; no hook that may block long is called under it. */
#define LOG_PREFIX "incoming"
#include "migrate/target.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "migrate/cpu.h"
#include "migrate/journal.h"
#include "migrate/ledger.h"
#include "migrate/wire.h"
#include "toolstack/lib/log.h"
#include "toolstack/lib/uuid.h"

#define MAX_ACTIVE	16
#define MAX_KEPT	64		/* ended sessions that still answer */
#define CLEANUP_WAIT_S	20
#define PROTOCOL	1
#define MAX_PINGS	16

struct target_session {
	struct target_session *next;
	char id[SESSION_ID_BYTES];
	enum target_state state;
	struct target_demand demand;
	unsigned int pings;		/* the source wants to compare the clocks */
	struct restore_domain_ids ids;
	void *host;			/* NULL once released */
	struct journal journal;		/* fd -1: none */
	bool receiving;			/* target_receive() is inside */
	bool from_journal;		/* of an earlier daemon; no host, no demand.cfg */
	unsigned int users;		/* calls that hold a pointer */
	uint64_t deadline_us;		/* of PREPARED and READY */
	char error[256];
	struct ledger ledger;
	int phase;
	struct stream_totals totals;
};

struct target {
	struct target_params p;
	char *dir;
	pthread_mutex_t lock;
	pthread_cond_t changed;		/* a session changed its state or lost its host */
	struct target_session *sessions;
};

static const char *const refusal_names[] = {
	[TARGET_REFUSED_INVALID] = "invalid", [TARGET_REFUSED_VERSION] = "version",
	[TARGET_REFUSED_MEMORY] = "memory", [TARGET_REFUSED_NAME] = "name",
	[TARGET_REFUSED_CPU] = "cpu", [TARGET_REFUSED_BUSY] = "busy",
	[TARGET_REFUSED_HOST] = "host",
};

const char *target_refusal_name(enum target_refusal r)
{
	return refusal_names[r];
}

int target_refusal_status(enum target_refusal r)
{
	switch (r) {
	case TARGET_REFUSED_INVALID:
	case TARGET_REFUSED_VERSION:
		return 400;
	case TARGET_REFUSED_NAME:
	case TARGET_REFUSED_BUSY:
		return 409;
	case TARGET_REFUSED_CPU:
		return 422;
	case TARGET_REFUSED_MEMORY:
		return 507;
	default:
		return 500;
	}
}

/* --- sessions ------------------------------------------------------------------------ */

static struct target_session *find_locked(struct target *t, const char *id)
{
	for (struct target_session *s = t->sessions; s; s = s->next)
		if (!strcmp(s->id, id))
			return s;
	return NULL;
}

static bool is_over(const struct target_session *s)
{
	return (s->state == TARGET_ABORTED || s->state == TARGET_RUNNING) && !s->receiving &&
	       !s->users && !s->host;
}

static void session_free(struct target_session *s)
{
	journal_close(&s->journal, false);
	config_release(&s->demand.cfg);
	free(s);
}

/* Forget the oldest that are over; the list is newest first. */
static void prune_locked(struct target *t)
{
	struct target_session **link = &t->sessions;
	unsigned int kept = 0;

	while (*link) {
		struct target_session *s = *link;

		/* One that owns a guest answers until the source says "forget". */
		if (!is_over(s) || s->state == TARGET_RUNNING || kept++ < MAX_KEPT) {
			link = &s->next;
			continue;
		}
		*link = s->next;
		session_free(s);
	}
}

static unsigned int count_active_locked(const struct target *t)
{
	unsigned int nr = 0;

	for (const struct target_session *s = t->sessions; s; s = s->next)
		nr += s->state != TARGET_ABORTED && s->state != TARGET_RUNNING;
	return nr;
}

static struct target_session *session_new(const char *id)
{
	struct target_session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	snprintf(s->id, sizeof(s->id), "%s", id);
	s->state = TARGET_PREPARING;
	s->journal.fd = -1;
	s->phase = -1;
	config_init(&s->demand.cfg);
	ledger_init(&s->ledger, LEDGER_DESTINATION);
	return s;
}

static void phase_begin(struct target_session *s, const char *name)
{
	uint64_t now = ledger_now_us();

	ledger_end(&s->ledger, s->phase, now);
	s->phase = name ? ledger_begin(&s->ledger, name, now) : -1;
}

static int journal_note(struct target_session *s, enum target_state state, bool durable)
{
	char uuid[UUID_TEXT_BYTES];
	json_t *j;
	int ret;

	if (s->journal.fd < 0)
		return -EBADF;
	uuid_format(s->demand.cfg.uuid, uuid);
	j = json_pack("{s:s, s:s, s:s, s:s, s:i, s:I}", "session", s->id,
		      "state", target_state_name(state), "name", s->demand.cfg.name,
		      "uuid", uuid, "domid", (int)s->ids.domid, "time", (json_int_t)time(NULL));
	ret = j ? journal_write(&s->journal, j, durable) : -ENOMEM;
	json_decref(j);
	return ret;
}

/* The one place where a state changes.  Caller holds the lock. */
static int move_locked(struct target *t, struct target_session *s, enum target_state to)
{
	if (!target_may(s->state, to))
		return -EPERM;
	s->state = to;
	pthread_cond_broadcast(&t->changed);
	return 0;
}

static void note_error(struct target_session *s, const char *text)
{
	if (!s->error[0])
		snprintf(s->error, sizeof(s->error), "%s", text);
}

/*
 * An aborted session loses its domain.  Called without the lock by the one
 * who made the transition, or by target_receive() if that was inside.
 */
static void clean_up(struct target *t, struct target_session *s)
{
	if (s->host) {
		t->p.ops->destroy(s->host);
		t->p.ops->release(s->host);
	}
	journal_close(&s->journal, true);
	pthread_mutex_lock(&t->lock);
	s->host = NULL;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
}

/*
 * Return true if the caller has to clean up after releasing the lock.  A call
 * that is inside target_prepare() or target_receive() cleans up itself.
 */
static bool abort_locked(struct target *t, struct target_session *s, const char *why)
{
	bool inside = s->receiving || s->state == TARGET_PREPARING;

	if (move_locked(t, s, TARGET_ABORTED))
		return false;
	note_error(s, why);
	log_warn("%s: session %s aborted: %s", s->demand.cfg.name, s->id, s->error);
	return !inside;
}

/*
 * READY to RUNNING.  The journal is durable before the guest executes an
 * instruction here: from this write on the source must never run it again.
 */
static int commit_locked(struct target *t, struct target_session *s)
{
	int ret;

	if (target_state_owns(s->state))
		return 0;
	if (s->state != TARGET_READY)
		return -EPERM;
	phase_begin(s, "own");
	ret = journal_note(s, TARGET_OWNER, true);
	if (ret) {
		log_errno(ret, "%s: cannot make the hand-over durable", s->demand.cfg.name);
		return ret;
	}
	move_locked(t, s, TARGET_OWNER);
	phase_begin(s, "unpause");
	ret = t->p.ops->unpause(s->host);
	if (ret) {
		/* Ours, complete and paused: a repeated commit tries again. */
		note_error(s, "the guest is complete but could not be unpaused");
		return ret;
	}
	ledger_mark_run(&s->ledger, ledger_now_us());
	phase_begin(s, NULL);
	move_locked(t, s, TARGET_RUNNING);
	t->p.ops->announce(s->host);
	journal_note(s, TARGET_RUNNING, false);
	log_info("%s: runs here as domain %u", s->demand.cfg.name, s->ids.domid);
	return 0;
}

/* --- prepare ----------------------------------------------------------------------------- */

json_t *target_refuse(enum target_refusal r, const char *why)
{
	return json_pack("{s:s, s:s}", "error", why, "reason", target_refusal_name(r));
}

bool target_id_valid(const char *id)
{
	uint8_t raw[16];
	char text[UUID_TEXT_BYTES];

	if (!id || uuid_parse(id, raw))
		return false;
	uuid_format(raw, text);
	return !strcmp(text, id);	/* canonical: it becomes a file name */
}

static int parse_number(const json_t *obj, const char *member, uint64_t max, uint64_t *out)
{
	const json_t *v = json_object_get(obj, member);

	if (!json_is_integer(v) || json_integer_value(v) < 0 ||
	    (uint64_t)json_integer_value(v) > max)
		return -EINVAL;
	*out = (uint64_t)json_integer_value(v);
	return 0;
}

static int check_cpu(const json_t *request, char why[200], enum target_refusal *refusal)
{
	struct cpu_features need, have;
	char names[160];

	*refusal = TARGET_REFUSED_INVALID;
	if (cpu_features_from_json(&need, json_object_get(request, "cpu"))) {
		snprintf(why, 200, "the request has no usable member \"cpu\"");
		return -EINVAL;
	}
	cpu_features_read(&have);
	if (cpu_features_missing(&need, &have, names, sizeof(names))) {
		*refusal = TARGET_REFUSED_CPU;
		snprintf(why, 200, "CPU features missing here: %s", names);
		return -EOPNOTSUPP;
	}
	return 0;
}

static int parse_demand(const json_t *request, struct target_demand *d, char why[200],
			enum target_refusal *refusal)
{
	struct config_error err = { "" };
	uint64_t protocol, stream;

	*refusal = TARGET_REFUSED_INVALID;
	if (parse_number(request, "protocol", UINT32_MAX, &protocol) ||
	    parse_number(request, "stream_version", UINT32_MAX, &stream) ||
	    parse_number(request, "tot_pages", STREAM_PFN_LIMIT_MAX, &d->tot_pages)) {
		snprintf(why, 200, "protocol, stream_version or tot_pages is missing or wrong");
		return -EINVAL;
	}
	if (protocol != PROTOCOL || stream != STREAM_VERSION) {
		*refusal = TARGET_REFUSED_VERSION;
		snprintf(why, 200, "this host speaks protocol %u and stream version %u",
			 PROTOCOL, STREAM_VERSION);
		return -EPROTONOSUPPORT;
	}
	if (config_from_json(&d->cfg, json_object_get(request, "domain"), &err)) {
		snprintf(why, 200, "domain: %.180s", err.text);
		return -EINVAL;
	}
	d->dry_run = json_is_true(json_object_get(request, "dry_run"));
	return check_cpu(request, why, refusal);
}

/* Enter the session in the list, so that a second one for the id or name finds it. */
static int enter(struct target *t, struct target_session *s, char why[200])
{
	struct target_session *other;
	int ret = 0;

	pthread_mutex_lock(&t->lock);
	prune_locked(t);
	if (find_locked(t, s->id)) {
		snprintf(why, 200, "session %s exists", s->id);
		ret = -EEXIST;
	} else if (count_active_locked(t) >= MAX_ACTIVE) {
		snprintf(why, 200, "%u moves are under way here already", MAX_ACTIVE);
		ret = -EBUSY;
	}
	for (other = t->sessions; !ret && other; other = other->next) {
		if (other->state != TARGET_RUNNING && !is_over(other) &&
		    !strcmp(other->demand.cfg.name, s->demand.cfg.name)) {
			snprintf(why, 200, "a domain of that name is arriving already");
			ret = -EBUSY;
		}
	}
	if (!ret) {
		s->next = t->sessions;
		t->sessions = s;
		s->users++;
	}
	pthread_mutex_unlock(&t->lock);
	return ret;
}

static int open_journal(struct target *t, struct target_session *s)
{
	json_t *latest;
	char path[512];
	int ret;

	if (snprintf(path, sizeof(path), "%s/%s.journal", t->dir, s->id) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	ret = journal_open(&s->journal, path, true, &latest);
	json_decref(latest);
	return ret;
}

static int build(struct target *t, struct target_session *s, char why[200],
		 enum target_refusal *refusal)
{
	int ret;

	phase_begin(s, "prepare");
	*refusal = TARGET_REFUSED_HOST;
	ret = open_journal(t, s);
	if (ret) {
		snprintf(why, 200, "cannot write a journal in %.100s: %s", t->dir, strerror(-ret));
		return ret;
	}
	ret = t->p.ops->prepare(t->p.ctx, &s->demand, &s->host, &s->ids, why, refusal);
	/* Before any page arrives the journal can name the domain to reap. */
	if (!ret)
		ret = journal_note(s, TARGET_PREPARED, false);
	phase_begin(s, NULL);
	return ret;
}

int target_prepare(struct target *t, const json_t *request, json_t **reply)
{
	const char *id = wire_text(request, "session", "");
	enum target_refusal refusal = TARGET_REFUSED_INVALID;
	char why[200] = "";
	struct target_session *s;
	bool cleanup = false;
	uint64_t pings;
	int ret;

	if (!target_id_valid(id)) {
		*reply = target_refuse(refusal, "member \"session\" is no UUID");
		return target_refusal_status(refusal);
	}
	s = session_new(id);
	if (!s)
		return 500;
	ret = parse_demand(request, &s->demand, why, &refusal);
	if (!parse_number(request, "pings", MAX_PINGS, &pings))
		s->pings = (unsigned int)pings;
	if (!ret && s->demand.dry_run) {
		ret = t->p.ops->prepare(t->p.ctx, &s->demand, &s->host, &s->ids, why, &refusal);
		*reply = ret ? target_refuse(refusal, why) : json_pack("{s:s}", "state", "would-accept");
		session_free(s);
		return ret ? target_refusal_status(refusal) : 200;
	}
	if (!ret) {
		ret = enter(t, s, why);
		refusal = ret ? TARGET_REFUSED_BUSY : refusal;
	}
	if (ret) {
		*reply = target_refuse(refusal, why);
		session_free(s);
		return target_refusal_status(refusal);
	}
	ret = build(t, s, why, &refusal);
	pthread_mutex_lock(&t->lock);
	if (!ret && move_locked(t, s, TARGET_PREPARED))
		ret = -ECANCELED;	/* aborted meanwhile */
	s->deadline_us = ledger_now_us() + t->p.prepared_timeout_ms * 1000ull;
	if (ret) {
		if (!why[0])
			snprintf(why, sizeof(why), "%s", strerror(-ret));
		abort_locked(t, s, why);
		cleanup = true;
	}
	pthread_mutex_unlock(&t->lock);
	if (cleanup)
		clean_up(t, s);
	*reply = ret ? target_refuse(refusal, why)
		     : json_pack("{s:s, s:s, s:i}", "session", s->id, "state", "prepared",
				 "domid", (int)s->ids.domid);
	pthread_mutex_lock(&t->lock);
	s->users--;
	pthread_mutex_unlock(&t->lock);
	return ret ? target_refusal_status(refusal) : 201;
}

/* --- receive ------------------------------------------------------------------------------- */

struct receive {
	struct target *t;
	struct target_session *s;
	const struct stream_io *in, *out;
};

static int hook_prepare(void *ctx, const Stream__StreamInfo *info,
			const Stream__DomainInfo *d, struct restore_domain_ids *ids,
			char why[200])
{
	struct receive *rx = ctx;

	if (d->uuid.len != 16 || memcmp(d->uuid.data, rx->s->demand.cfg.uuid, 16) ||
	    d->vcpus != rx->s->demand.cfg.vcpus) {
		snprintf(why, 200, "the stream is of another domain than the one announced");
		return -EBADMSG;
	}
	*ids = rx->s->ids;
	return 0;
}

static int hook_batch(void *ctx, const struct stream_totals *so_far)
{
	struct receive *rx = ctx;
	int ret;

	pthread_mutex_lock(&rx->t->lock);
	rx->s->totals = *so_far;
	ret = rx->s->state == TARGET_RECEIVING ? 0 : -ECANCELED;
	pthread_mutex_unlock(&rx->t->lock);
	return ret;
}

/*
 * The source waits for this before it goes on: when it stops the guest, nothing
 * is left in front of the last round.
 */
static int hook_round_end(void *ctx, unsigned int number, bool last)
{
	struct receive *rx = ctx;

	if (last)
		return 0;
	return wire_send(rx->out, json_pack("{s:s, s:i}", "msg", "round", "number", (int)number));
}

static void hook_phase(void *ctx, const char *name)
{
	struct receive *rx = ctx;

	phase_begin(rx->s, name);
}

/* The connection died in READY: the source may still decide through HTTP. */
static void wait_decision(struct target *t, struct target_session *s)
{
	pthread_mutex_lock(&t->lock);
	while (s->state == TARGET_READY && ledger_now_us() < s->deadline_us) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += 1;
		pthread_cond_timedwait(&t->changed, &t->lock, &until);
	}
	if (s->state == TARGET_READY)
		abort_locked(t, s, "the source did not decide in time");
	pthread_mutex_unlock(&t->lock);
}

static int go(struct target *t, struct target_session *s, const struct stream_io *out)
{
	int ret;

	pthread_mutex_lock(&t->lock);
	ret = commit_locked(t, s);
	pthread_mutex_unlock(&t->lock);
	if (ret)
		return ret;
	/* The guest runs: whether this answer arrives is the source's worry. */
	wire_send(out, json_pack("{s:s, s:i, s:o}", "msg", "running", "domid",
				 (int)s->ids.domid, "ledger", ledger_to_json(&s->ledger)));
	return 0;
}

static void hand_over(struct target *t, struct target_session *s, const struct stream_io *in,
		      const struct stream_io *out)
{
	json_t *msg = NULL;
	int ret;

	ret = wire_send(out, json_pack("{s:s, s:I}", "msg", "ready", "clock_us",
				       (json_int_t)ledger_now_us()));
	if (!ret)
		ret = wire_recv(in, &msg);
	if (!ret && wire_is(msg, "go"))
		go(t, s, out);
	else if (!ret) {
		pthread_mutex_lock(&t->lock);
		abort_locked(t, s, "the source took the move back");
		pthread_mutex_unlock(&t->lock);
	}
	json_decref(msg);
	wait_decision(t, s);
}

/* Complete: from here on the source decides. */
static int become_ready(struct target *t, struct target_session *s)
{
	int ret;

	pthread_mutex_lock(&t->lock);
	ret = move_locked(t, s, TARGET_READY) ? -ECANCELED : 0;
	if (!ret)
		s->deadline_us = ledger_now_us() + t->p.ready_timeout_ms * 1000ull;
	pthread_mutex_unlock(&t->lock);
	return ret;
}

static int hook_complete(void *ctx, const struct restore_result *result)
{
	struct receive *rx = ctx;
	struct target_session *s = rx->s;
	int ret;

	phase_begin(s, "introduce");
	ret = rx->t->p.ops->introduce(s->host, result);
	phase_begin(s, NULL);
	if (ret) {
		pthread_mutex_lock(&rx->t->lock);
		note_error(s, "xenstored or xenconsoled did not take the domain");
		pthread_mutex_unlock(&rx->t->lock);
		return ret;
	}
	ret = become_ready(rx->t, s);
	if (!ret)
		hand_over(rx->t, s, rx->in, rx->out);
	return ret;
}

static const struct restore_hooks receive_hooks = {
	.prepare = hook_prepare, .batch = hook_batch, .round_end = hook_round_end,
	.phase = hook_phase, .complete = hook_complete,
};

/* 0: it was READY and its hand-over is over, one way or the other. */
static int receive_stream(struct receive *rx)
{
	struct target_session *s = rx->s;
	struct restore_result result = { 0 };
	struct stream_reader *reader;
	int ret;

	ret = stream_reader_new(rx->in, &reader);
	if (ret)
		return ret;
	ret = restore_domain(rx->t->p.ops->hcall(s->host), reader, &receive_hooks, rx, &result);
	stream_reader_free(reader);
	if (ret) {
		pthread_mutex_lock(&rx->t->lock);
		note_error(s, result.error[0] ? result.error : strerror(-ret));
		pthread_mutex_unlock(&rx->t->lock);
	}
	return ret;
}

static json_t *with_clock(const char *msg)
{
	return json_pack("{s:s, s:I}", "msg", msg, "clock_us", (json_int_t)ledger_now_us());
}

/* A word, and as many answers about the clock as the source asked for. */
static int greet(struct target_session *s, const struct stream_io *in,
		 const struct stream_io *out)
{
	json_t *msg = with_clock("hello");
	int ret;

	if (msg)
		json_object_set_new(msg, "pings", json_integer(s->pings));
	ret = wire_send(out, msg);
	for (unsigned int i = 0; !ret && i < s->pings; i++) {
		ret = wire_recv(in, &msg);
		if (!ret && !wire_is(msg, "ping"))
			ret = -EPROTO;
		json_decref(msg);
		if (!ret)
			ret = wire_send(out, with_clock("pong"));
	}
	return ret;
}

static void send_error(struct target_session *s, const struct stream_io *out)
{
	wire_send(out, json_pack("{s:s, s:s}", "msg", "error", "error", s->error));
}

static struct target_session *start_receiving(struct target *t, const char *id, int *err)
{
	struct target_session *s;

	pthread_mutex_lock(&t->lock);
	s = find_locked(t, id);
	*err = s ? 0 : -ESRCH;
	if (s && move_locked(t, s, TARGET_RECEIVING))
		*err = -EBUSY;
	if (!*err)
		s->receiving = true;
	pthread_mutex_unlock(&t->lock);
	return *err ? NULL : s;
}

int target_receive(struct target *t, const char *id, const struct stream_io *in,
		   const struct stream_io *out)
{
	struct target_session *s;
	struct receive rx;
	bool owns;
	int ret;

	s = start_receiving(t, id, &ret);
	if (!s)
		return ret;
	rx = (struct receive) { .t = t, .s = s, .in = in, .out = out };
	ret = greet(s, in, out);
	if (!ret)
		ret = receive_stream(&rx);
	pthread_mutex_lock(&t->lock);
	if (ret)
		abort_locked(t, s, strerror(-ret));
	pthread_mutex_unlock(&t->lock);
	if (ret)
		send_error(s, out);

	pthread_mutex_lock(&t->lock);
	owns = target_state_owns(s->state);
	if (s->state == TARGET_RUNNING) {
		t->p.ops->release(s->host);
		s->host = NULL;
	}
	pthread_mutex_unlock(&t->lock);
	if (!owns)
		clean_up(t, s);
	pthread_mutex_lock(&t->lock);
	s->receiving = false;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
	return owns ? 0 : ret ? ret : -ECANCELED;
}

/* --- questions ------------------------------------------------------------------------------- */

static json_t *describe_locked(struct target *t, const struct target_session *s)
{
	char uuid[UUID_TEXT_BYTES];
	bool alive = s->state == TARGET_PREPARING ||
		     t->p.ops->alive(t->p.ctx, s->ids.domid, s->demand.cfg.uuid) > 0;
	json_t *j;

	uuid_format(s->demand.cfg.uuid, uuid);
	j = json_pack("{s:s, s:s, s:s, s:s, s:i, s:b, s:I, s:I, s:I}", "session", s->id,
		      "state", target_state_name(s->state), "name", s->demand.cfg.name,
		      "uuid", uuid, "domid", (int)s->ids.domid, "alive", alive,
		      "clock_us", (json_int_t)ledger_now_us(),
		      "bytes", (json_int_t)s->totals.bytes,
		      "pages", (json_int_t)s->totals.pages);
	if (j && s->error[0])
		json_object_set_new(j, "error", json_string(s->error));
	if (j && s->state == TARGET_RUNNING)
		json_object_set_new(j, "ledger", ledger_to_json(&s->ledger));
	return j;
}

/*
 * Not known: no journal says that it was ever owned here, or the source was
 * told and had it forgotten.  What lives here decides.
 */
static int ask_unknown(struct target *t, const char *id, const uint8_t *uuid, json_t **reply)
{
	int alive;

	if (!uuid) {
		*reply = json_pack("{s:s}", "error", "no such session");
		return 404;
	}
	alive = t->p.ops->alive(t->p.ctx, 0, uuid);
	if (alive < 0) {
		*reply = json_pack("{s:s}", "error", "a copy stands here, but the session is not known");
		return 409;
	}
	*reply = json_pack("{s:s, s:s, s:b}", "session", id, "state",
			   alive ? "running" : "aborted", "alive", alive);
	return 200;
}

static void wait_clean_locked(struct target *t, struct target_session *s)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += CLEANUP_WAIT_S;
	while (s->host || s->receiving)
		if (pthread_cond_timedwait(&t->changed, &t->lock, &until))
			return;
}

static int do_abort_locked(struct target *t, struct target_session *s)
{
	if (target_state_owns(s->state))
		return 200;		/* the answer says who owns it */
	if (abort_locked(t, s, "the source gave the move up")) {
		s->users++;
		pthread_mutex_unlock(&t->lock);
		clean_up(t, s);
		pthread_mutex_lock(&t->lock);
		s->users--;
	} else {
		s->users++;
		wait_clean_locked(t, s);
		s->users--;
	}
	return 200;
}

static int do_verb_locked(struct target *t, struct target_session *s, const char *verb)
{
	if (!strcmp(verb, "commit")) {
		int ret = s->state == TARGET_ABORTED ? 0 : commit_locked(t, s);

		return ret == -EPERM ? 409 : ret ? 500 : 200;
	}
	if (!strcmp(verb, "abort"))
		return do_abort_locked(t, s);
	if (!strcmp(verb, "forget")) {
		if (s->state != TARGET_RUNNING)
			return 409;
		journal_close(&s->journal, true);
	}
	return 200;
}

int target_ask(struct target *t, const char *id, const char *verb, const uint8_t *uuid,
	       json_t **reply)
{
	struct target_session *s;
	int status;

	if (strcmp(verb, "status") && strcmp(verb, "commit") && strcmp(verb, "abort") &&
	    strcmp(verb, "forget")) {
		*reply = json_pack("{s:s}", "error", "no such verb");
		return 404;
	}
	pthread_mutex_lock(&t->lock);
	s = find_locked(t, id);
	if (s) {
		status = do_verb_locked(t, s, verb);
		*reply = describe_locked(t, s);
	}
	pthread_mutex_unlock(&t->lock);
	return s ? status : ask_unknown(t, id, uuid, reply);
}

json_t *target_list(struct target *t)
{
	json_t *list = json_array();

	pthread_mutex_lock(&t->lock);
	for (struct target_session *s = t->sessions; s; s = s->next)
		json_array_append_new(list, describe_locked(t, s));
	pthread_mutex_unlock(&t->lock);
	return json_pack("{s:o}", "sessions", list);
}

void target_tick(struct target *t)
{
	struct target_session *late = NULL;

	pthread_mutex_lock(&t->lock);
	for (struct target_session *s = t->sessions; s && !late; s = s->next) {
		if ((s->state != TARGET_PREPARED && s->state != TARGET_READY) ||
		    ledger_now_us() < s->deadline_us)
			continue;
		if (abort_locked(t, s, s->state == TARGET_READY ?
				 "the source did not decide in time" :
				 "the source did not connect in time")) {
			late = s;
			s->users++;
		}
	}
	pthread_mutex_unlock(&t->lock);
	if (!late)
		return;
	clean_up(t, late);
	pthread_mutex_lock(&t->lock);
	late->users--;
	pthread_mutex_unlock(&t->lock);
}

/* --- start and end ------------------------------------------------------------------------------ */

static int adopt_record(struct target_session *s, const json_t *rec)
{
	uint64_t domid;

	if (target_state_parse(wire_text(rec, "state", ""), &s->state) ||
	    uuid_parse(wire_text(rec, "uuid", ""), s->demand.cfg.uuid) ||
	    parse_number(rec, "domid", 0x7fef, &domid))
		return -EBADMSG;
	s->ids.domid = (domid_t)domid;
	snprintf(s->demand.cfg.name, sizeof(s->demand.cfg.name), "%s",
		 wire_text(rec, "name", "?"));
	return 0;
}

/* An owner that crashed between its journal and the unpause finishes the job. */
static void judge(struct target *t, struct target_session *s)
{
	if (target_state_owns(s->state)) {
		if (s->state == TARGET_OWNER)
			t->p.ops->unpause_found(t->p.ctx, s->ids.domid, s->demand.cfg.uuid);
		s->state = TARGET_RUNNING;
		log_info("%s: session %s had arrived before the restart", s->demand.cfg.name, s->id);
		return;
	}
	t->p.ops->reap(t->p.ctx, s->ids.domid, s->demand.cfg.uuid);
	s->state = TARGET_ABORTED;
	note_error(s, "the daemon on the destination was restarted");
	log_warn("%s: session %s was cut short by a restart", s->demand.cfg.name, s->id);
	journal_close(&s->journal, true);
}

static void adopt(struct target *t, const char *file)
{
	char id[SESSION_ID_BYTES], path[512];
	struct target_session *s;
	json_t *rec = NULL;
	int ret;

	if (strlen(file) != SESSION_ID_BYTES - 1 + strlen(".journal") ||
	    strcmp(file + SESSION_ID_BYTES - 1, ".journal"))
		return;
	snprintf(id, sizeof(id), "%.36s", file);
	if (!target_id_valid(id))
		return;
	s = session_new(id);
	if (!s)
		return;
	snprintf(path, sizeof(path), "%.400s/%s.journal", t->dir, id);
	ret = journal_open(&s->journal, path, false, &rec);
	if (!ret && !rec) {
		/* Made, but nothing was ever built for it. */
		journal_close(&s->journal, true);
		session_free(s);
		return;
	}
	if (!ret)
		ret = adopt_record(s, rec);
	json_decref(rec);
	if (ret) {
		log_errno(ret, "journal %s is left alone", path);
		session_free(s);
		return;
	}
	s->from_journal = true;
	judge(t, s);
	s->next = t->sessions;
	t->sessions = s;
}

int target_open(const struct target_params *p, struct target **out)
{
	struct target *t = calloc(1, sizeof(*t));
	struct dirent *e;
	DIR *dir;

	if (!t)
		return -ENOMEM;
	t->p = *p;
	t->dir = strdup(p->dir);
	dir = t->dir ? opendir(t->dir) : NULL;
	if (!dir) {
		int ret = t->dir ? -errno : -ENOMEM;

		free(t->dir);
		free(t);
		return ret;
	}
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->changed, NULL);
	while ((e = readdir(dir)))
		adopt(t, e->d_name);
	closedir(dir);
	*out = t;
	return 0;
}

void target_close(struct target *t)
{
	if (!t)
		return;
	for (struct target_session *s = t->sessions, *next; s; s = next) {
		next = s->next;
		if (s->host && !target_state_owns(s->state)) {
			s->state = TARGET_ABORTED;
			clean_up(t, s);
		}
		session_free(s);
	}
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->lock);
	free(t->dir);
	free(t);
}
