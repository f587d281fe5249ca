// SPDX-License-Identifier: Apache-2.0
/* See standby.h. */
#define LOG_PREFIX "standby"
#include "migrate/standby.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "migrate/cpu.h"
#include "migrate/journal.h"
#include "migrate/ledger.h"
#include "migrate/spool.h"
#include "migrate/wire.h"
#include "toolstack/lib/io.h"
#include "toolstack/lib/log.h"
#include "toolstack/lib/uuid.h"

#define PROTOCOL	1
#define MAX_STANDBYS	16
#define MAX_ENDED	32		/* that still answer */
#define HELD		".held.json"
#define SPOOL_MEM	((size_t)256 << 20)
#define WATCHES_A_LEASE	4
#define SERVING_WAIT_S	3

struct standby {
	struct standby *next;
	char id[SESSION_ID_BYTES];
	enum standby_state state;
	struct target_demand demand;
	char name[CONFIG_MAX_NAME + 1];	/* the guest's own */
	struct restore_domain_ids ids;
	void *host;
	struct journal journal;
	struct restore *restore;
	struct restore_result result;
	struct spool spool;
	void *scratch;			/* pages unpacked only to be checked */
	bool serving;			/* standbys_serve() is inside */
	bool applying;			/* ... and changes the domain */
	bool released;
	unsigned int users;
	char error[256];

	uint64_t last, before;		/* stream hashes; 0: none */
	uint64_t seq, count, bytes;
	uint64_t cut_us;		/* of the last one, on this host's clock, or earlier */
	uint64_t apply_us;
	unsigned int interval_ms;

	char witness[WITNESS_WHERE_MAX + 1]; /* "": none */
	unsigned int lease_ms, auto_ms;	/* auto_ms 0: not by itself */
	pthread_t watch;
	bool watching, stop_watch;
	struct witness_version seen;
	uint64_t seen_us;		/* when this version was first seen; 0: never */
	uint64_t seen_lease_ms;

	struct ledger ledger;		/* of the activation */
	int phase;
};

struct standbys {
	struct standbys_params p;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct standby *list;
};

static const char *const state_names[] = {
	[STANDBY_PREPARING] = "preparing", [STANDBY_EMPTY] = "empty",
	[STANDBY_READY] = "ready", [STANDBY_OWNER] = "owner",
	[STANDBY_RUNNING] = "running", [STANDBY_GONE] = "gone",
};

/* --- small helpers ---------------------------------------------------------------------- */

static struct standby *find_locked(struct standbys *t, const char *id)
{
	for (struct standby *s = t->list; s; s = s->next)
		if (!strcmp(s->id, id))
			return s;
	return NULL;
}

static bool is_waiting(const struct standby *s)
{
	return s->state == STANDBY_EMPTY || s->state == STANDBY_READY;
}

static void phase_begin(struct standby *s, const char *name)
{
	uint64_t now = ledger_now_us();

	ledger_end(&s->ledger, s->phase, now);
	s->phase = name ? ledger_begin(&s->ledger, name, now) : -1;
}

static void standby_free(struct standby *s)
{
	restore_free(s->restore);
	spool_release(&s->spool);
	free(s->scratch);
	journal_close(&s->journal, false);
	config_release(&s->demand.cfg);
	free(s);
}

static int journal_note(struct standby *s, bool durable)
{
	char uuid[UUID_TEXT_BYTES];
	json_t *j;
	int ret;

	uuid_format(s->demand.cfg.uuid, uuid);
	j = json_pack("{s:s, s:s, s:s, s:s, s:i, s:I}", "session", s->id, "state",
		      state_names[s->state], "name", s->name, "uuid", uuid, "domid",
		      (int)s->ids.domid, "time", (json_int_t)time(NULL));
	ret = j ? journal_write(&s->journal, j, durable) : -ENOMEM;
	json_decref(j);
	return ret;
}

static json_t *describe_locked(const struct standby *s)
{
	char uuid[UUID_TEXT_BYTES], last[17] = "";
	json_t *j;

	uuid_format(s->demand.cfg.uuid, uuid);
	if (s->last)
		snprintf(last, sizeof(last), "%016" PRIx64, s->last);
	j = json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:I, s:I, s:I, s:I, s:i, s:b, s:b, s:s}",
		      "id", s->id, "name", s->name, "uuid", uuid, "state",
		      state_names[s->state], "domid", (int)s->ids.domid, "last", last,
		      "checkpoints", (json_int_t)s->count, "bytes", (json_int_t)s->bytes,
		      "cut_us", (json_int_t)s->cut_us, "apply_us", (json_int_t)s->apply_us,
		      "interval_ms", (int)s->interval_ms, "connected", s->serving, "released",
		      s->released, "witness", s->witness);
	if (j && s->cut_us && is_waiting(s))
		json_object_set_new(j, "rpo_us",
				    json_integer((json_int_t)(ledger_now_us() - s->cut_us)));
	if (j && s->error[0])
		json_object_set_new(j, "error", json_string(s->error));
	if (j && s->ledger.nr)
		json_object_set_new(j, "ledger", ledger_to_json(&s->ledger));
	return j;
}

static void state_path(struct standbys *t, const struct standby *s, char path[512])
{
	char uuid[UUID_TEXT_BYTES];

	uuid_format(s->demand.cfg.uuid, uuid);
	snprintf(path, 512, "%.400s/%s" HELD, t->p.state_dir, uuid);
}

/* For `godwit info` and `godwit failover`; without one only these lose. */
static void publish_locked(struct standbys *t, struct standby *s)
{
	char path[512], *text;
	json_t *j;

	if (!t->p.state_dir)
		return;
	state_path(t, s, path);
	if (!is_waiting(s)) {
		unlink(path);
		return;
	}
	j = describe_locked(s);
	if (j && t->p.address)
		json_object_set_new(j, "daemon", json_string(t->p.address));
	text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	if (text)
		io_write_file_atomic(path, text, strlen(text), 0644);
	free(text);
	json_decref(j);
}

static void set_state_locked(struct standbys *t, struct standby *s, enum standby_state to)
{
	s->state = to;
	publish_locked(t, s);
	pthread_cond_broadcast(&t->changed);
}

static bool is_over(const struct standby *s)
{
	return (s->state == STANDBY_RUNNING || s->state == STANDBY_GONE) && !s->users &&
	       !s->serving && !s->watching;
}

static void prune_locked(struct standbys *t)
{
	struct standby **link = &t->list;
	unsigned int kept = 0;

	while (*link) {
		struct standby *s = *link;

		if (!is_over(s) || kept++ < MAX_ENDED) {
			link = &s->next;
			continue;
		}
		*link = s->next;
		standby_free(s);
	}
}

static void wait_locked(struct standbys *t)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 1;
	pthread_cond_timedwait(&t->changed, &t->lock, &until);
}

/* The restore's memory is the host handle's. */
static void let_go(struct standbys *t, struct standby *s)
{
	restore_free(s->restore);
	s->restore = NULL;
	if (s->host)
		t->p.ops->release(s->host);
	s->host = NULL;
}

/* The one who made it GONE takes the domain away; the lock is not held. */
static void demolish(struct standbys *t, struct standby *s)
{
	pthread_mutex_lock(&t->lock);
	while (s->applying)
		wait_locked(t);
	pthread_mutex_unlock(&t->lock);
	if (s->host)
		t->p.ops->destroy(s->host);
	let_go(t, s);
	journal_close(&s->journal, true);
}

/* Caller holds the lock and a use; true: it shall call demolish(). */
static bool end_locked(struct standbys *t, struct standby *s, const char *why)
{
	if (!is_waiting(s) && s->state != STANDBY_PREPARING)
		return false;
	if (!s->error[0])
		snprintf(s->error, sizeof(s->error), "%s", why);
	s->stop_watch = true;
	set_state_locked(t, s, STANDBY_GONE);
	log_info("%s: standby %s ends: %s", s->name, s->id, why);
	return true;
}

/* --- activation ----------------------------------------------------------------------------- */

static void fill_host(char host[65])
{
	if (gethostname(host, 64))
		strcpy(host, "unknown");
	host[64] = '\0';
}

/* What the lease says must not have changed while the watch counted. */
static int take_lease(struct standby *s, bool force, char why[200])
{
	struct witness_lease old = { 0 }, mine = { .standby = true, .lease_ms = s->lease_ms };
	struct witness_version v;
	struct witness *w;
	uint64_t now, waited;
	int ret = witness_open(s->witness, s->lease_ms, &w, why);

	if (ret)
		return ret;
	ret = witness_read(w, &old, &v, why);
	now = ledger_now_us();
	waited = s->seen_us && !strcmp(s->seen.tag, v.tag) ? now - s->seen_us : 0;
	if (!ret && !force && !old.released && waited < old.lease_ms * UINT64_C(1000)) {
		snprintf(why, 200, "the source's lease has not expired: last renewed %" PRIu64
			 " ms ago, it holds for %u ms", waited / 1000, old.lease_ms);
		ret = -EBUSY;
	}
	if (!ret && strcmp(old.session, s->id) && !force) {
		snprintf(why, 200, "the lease at the witness is of another protection");
		ret = -EBUSY;
	}
	if (ret == -ENOENT && force)
		ret = 0;
	if (!ret) {
		memcpy(mine.session, s->id, sizeof(mine.session));
		fill_host(mine.host);
		mine.renewal = old.renewal + 1;
		ret = witness_swap(w, &mine, &v, why);
	}
	witness_close(w);
	return ret;
}

/* The domain is complete, durable as ours, and runs. */
static int bring_up(struct standbys *t, struct standby *s, char why[200])
{
	int ret;

	phase_begin(s, "complete");
	ret = restore_complete(s->restore);
	if (ret) {
		snprintf(why, 200, "the standby cannot be completed: %.150s",
			 s->result.error[0] ? s->result.error : strerror(-ret));
		return ret;
	}
	phase_begin(s, "introduce");
	ret = t->p.ops->introduce(s->host, &s->result);
	if (ret) {
		snprintf(why, 200, "xenstored did not take the domain: %s", strerror(-ret));
		return ret;
	}
	phase_begin(s, "own");
	ret = journal_note(s, true);
	if (ret) {
		snprintf(why, 200, "the journal: %s", strerror(-ret));
		return ret;
	}
	phase_begin(s, "unpause");
	ret = t->p.ops->unpause(s->host);
	if (ret) {
		snprintf(why, 200, "it cannot be unpaused: %s", strerror(-ret));
		return ret;
	}
	ledger_mark_run(&s->ledger, ledger_now_us());
	phase_begin(s, NULL);
	t->p.ops->announce(s->host);
	return 0;
}

/* Caller has a use of @s.  Return: HTTP status. */
static int activate(struct standbys *t, struct standby *s, bool force, char why[200])
{
	uint64_t begin = ledger_now_us();
	int ret = 0;

	pthread_mutex_lock(&t->lock);
	while (s->applying)
		wait_locked(t);
	if (s->state != STANDBY_READY) {
		snprintf(why, 200, "it is %s: %.150s", state_names[s->state], s->error[0] ?
			 s->error : "there is no complete checkpoint to run");
		ret = -EBUSY;
	} else if (!s->witness[0] && !force && !s->released) {
		snprintf(why, 200, "without a witness only you can know that the source is dead: "
			 "--force says so");
		ret = -EBUSY;
	}
	if (!ret) {
		ledger_init(&s->ledger, LEDGER_DESTINATION);
		ledger_mark_stop(&s->ledger, begin);
		/* From here on nothing is applied any more. */
		s->state = STANDBY_OWNER;
	}
	pthread_mutex_unlock(&t->lock);
	if (ret)
		return 409;
	phase_begin(s, "lease");
	ret = s->witness[0] ? take_lease(s, force, why) : 0;
	if (ret) {
		phase_begin(s, NULL);
		pthread_mutex_lock(&t->lock);
		set_state_locked(t, s, STANDBY_READY);
		pthread_mutex_unlock(&t->lock);
		return 409;
	}
	ret = bring_up(t, s, why);
	pthread_mutex_lock(&t->lock);
	s->stop_watch = true;
	if (ret)
		snprintf(s->error, sizeof(s->error), "%s", why);
	set_state_locked(t, s, ret ? STANDBY_GONE : STANDBY_RUNNING);
	pthread_mutex_unlock(&t->lock);
	if (ret) {
		log_err("%s: fail-over: %s", s->name, why);
		demolish(t, s);
		return 500;
	}
	journal_note(s, false);
	log_info("%s: failed over: runs here as domain %u after %" PRIu64 " ms", s->name,
		 s->ids.domid, (s->ledger.run_us - begin) / 1000);
	let_go(t, s);
	return 200;
}

/* --- the watch over the lease ------------------------------------------------------------------ */

static void look_at_lease(struct standbys *t, struct standby *s, struct witness *w)
{
	struct witness_lease l;
	struct witness_version v;
	char why[200];
	int ret = witness_read(w, &l, &v, why);
	uint64_t now = ledger_now_us();

	pthread_mutex_lock(&t->lock);
	if (!ret && (!s->seen_us || strcmp(v.tag, s->seen.tag))) {
		s->seen = v;
		s->seen_us = now;
		s->seen_lease_ms = l.lease_ms;
	}
	pthread_mutex_unlock(&t->lock);
	if (ret && ret != -ENOENT)
		log_debug("%s: %s", s->name, why);
}

static bool is_due(struct standbys *t, struct standby *s)
{
	bool due;

	pthread_mutex_lock(&t->lock);
	due = s->auto_ms && s->state == STANDBY_READY && s->seen_us &&
	      ledger_now_us() - s->seen_us >= s->auto_ms * UINT64_C(1000) &&
	      ledger_now_us() - s->seen_us >= s->seen_lease_ms * 1000;
	pthread_mutex_unlock(&t->lock);
	return due;
}

static void nap(unsigned int ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l };

	nanosleep(&ts, NULL);
}

static bool watch_goes_on(struct standbys *t, struct standby *s)
{
	bool on;

	pthread_mutex_lock(&t->lock);
	on = !s->stop_watch;
	pthread_mutex_unlock(&t->lock);
	return on;
}

static void *watch_thread(void *arg)
{
	struct { struct standbys *t; struct standby *s; } *a = arg;
	struct standbys *t = a->t;
	struct standby *s = a->s;
	struct witness *w = NULL;
	char why[200] = "", said[200] = "";

	free(arg);
	if (witness_open(s->witness, s->lease_ms, &w, why))
		log_warn("%s: %s", s->name, why);
	while (w && watch_goes_on(t, s)) {
		look_at_lease(t, s, w);
		if (is_due(t, s) && activate(t, s, false, why) != 200 && strcmp(why, said)) {
			log_warn("%s: no fail-over: %s", s->name, why);
			memcpy(said, why, sizeof(said));
		}
		nap(s->lease_ms / WATCHES_A_LEASE > 250 ? 250 : s->lease_ms / WATCHES_A_LEASE);
	}
	witness_close(w);
	pthread_mutex_lock(&t->lock);
	s->watching = false;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

static int start_watch(struct standbys *t, struct standby *s)
{
	struct { struct standbys *t; struct standby *s; } *a = malloc(sizeof(*a));
	int ret;

	if (!a)
		return -ENOMEM;
	a->t = t;
	a->s = s;
	s->watching = true;
	ret = -pthread_create(&s->watch, NULL, watch_thread, a);
	if (ret) {
		s->watching = false;
		free(a);
		return ret;
	}
	pthread_detach(s->watch);
	return 0;
}

/* --- prepare ------------------------------------------------------------------------------------- */

static bool parse_number(const json_t *obj, const char *member, uint64_t max, uint64_t *out)
{
	const json_t *v = json_object_get(obj, member);

	*out = 0;
	if (!v)
		return true;
	if (!json_is_integer(v) || json_integer_value(v) < 0 ||
	    (uint64_t)json_integer_value(v) > max)
		return false;
	*out = (uint64_t)json_integer_value(v);
	return true;
}

static int parse_cpu(const json_t *request, char why[200], enum target_refusal *refusal)
{
	struct cpu_features need, have;
	char names[160];

	if (cpu_features_from_json(&need, json_object_get(request, "cpu"))) {
		snprintf(why, 200, "the request has no usable member \"cpu\"");
		return -EINVAL;
	}
	cpu_features_read(&have);
	if (!cpu_features_missing(&need, &have, names, sizeof(names)))
		return 0;
	*refusal = TARGET_REFUSED_CPU;
	snprintf(why, 200, "CPU features missing here: %s", names);
	return -EOPNOTSUPP;
}

static int parse_witness(struct standby *s, const json_t *request, char why[200])
{
	const char *where = wire_text(request, "witness", "");
	uint64_t lease, after;
	struct witness *w;
	int ret;

	if (!parse_number(request, "lease_ms", WITNESS_LEASE_MAX_MS, &lease) ||
	    !parse_number(request, "failover_after_ms", WITNESS_LEASE_MAX_MS, &after)) {
		snprintf(why, 200, "lease_ms or failover_after_ms is wrong");
		return -EINVAL;
	}
	if (!*where) {
		if (after)
			snprintf(why, 200, "failing over by itself needs a witness");
		return after ? -EINVAL : 0;
	}
	if (lease < WITNESS_LEASE_MIN_MS || (after && after < lease)) {
		snprintf(why, 200, "a lease lasts at least %u ms, and failing over waits for it",
			 WITNESS_LEASE_MIN_MS);
		return -EINVAL;
	}
	ret = witness_open(where, (unsigned int)lease, &w, why);
	if (ret)
		return ret;
	witness_close(w);
	snprintf(s->witness, sizeof(s->witness), "%s", where);
	s->lease_ms = (unsigned int)lease;
	s->auto_ms = (unsigned int)after;
	return 0;
}

static int parse_request(struct standby *s, const json_t *request, char why[200],
			 enum target_refusal *refusal)
{
	struct config_error err = { "" };
	uint64_t protocol, stream, interval;

	*refusal = TARGET_REFUSED_INVALID;
	if (!parse_number(request, "protocol", UINT32_MAX, &protocol) ||
	    !parse_number(request, "stream_version", UINT32_MAX, &stream) ||
	    !parse_number(request, "interval_ms", 3600000, &interval) ||
	    !parse_number(request, "tot_pages", STREAM_PFN_LIMIT_MAX, &s->demand.tot_pages)) {
		snprintf(why, 200, "a number of the request is wrong");
		return -EINVAL;
	}
	if (protocol != PROTOCOL || stream != STREAM_VERSION) {
		*refusal = TARGET_REFUSED_VERSION;
		snprintf(why, 200, "this host speaks protocol %u and stream version %u",
			 PROTOCOL, STREAM_VERSION);
		return -EPROTONOSUPPORT;
	}
	s->interval_ms = (unsigned int)interval;
	if (config_from_json(&s->demand.cfg, json_object_get(request, "domain"), &err)) {
		snprintf(why, 200, "domain: %.180s", err.text);
		return -EINVAL;
	}
	s->demand.standby = true;
	snprintf(s->name, sizeof(s->name), "%s", s->demand.cfg.name);
	return parse_cpu(request, why, refusal) ? -EOPNOTSUPP : parse_witness(s, request, why);
}

static struct standby *standby_new(struct standbys *t, const char *id)
{
	struct standby *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	snprintf(s->id, sizeof(s->id), "%s", id);
	s->journal.fd = -1;
	s->phase = -1;
	config_init(&s->demand.cfg);
	spool_init(&s->spool, SPOOL_MEM, t->p.spool_dir);
	return s;
}

/* An older standby of the guest goes if nobody feeds it. */
static int enter(struct standbys *t, struct standby *s, struct standby **old, char why[200])
{
	unsigned int nr = 0;
	int ret = 0;

	*old = NULL;
	pthread_mutex_lock(&t->lock);
	prune_locked(t);
	for (struct standby *o = t->list; o && !ret; o = o->next) {
		bool same = !memcmp(o->demand.cfg.uuid, s->demand.cfg.uuid, 16);

		nr += o->state != STANDBY_RUNNING && o->state != STANDBY_GONE;
		if (!strcmp(o->id, s->id) || (same && (o->serving || o->state == STANDBY_OWNER ||
						       o->state == STANDBY_PREPARING))) {
			snprintf(why, 200, "there is a standby of it, and a source for that");
			ret = -EBUSY;
		} else if (same && end_locked(t, o, "replaced by a new one")) {
			*old = o;
			o->users++;
		}
	}
	if (!ret && nr >= MAX_STANDBYS) {
		snprintf(why, 200, "there are %u standbys here already", nr);
		ret = -EBUSY;
	}
	if (!ret) {
		s->users++;
		s->next = t->list;
		t->list = s;
	}
	pthread_mutex_unlock(&t->lock);
	return ret;
}

static void unuse(struct standbys *t, struct standby *s)
{
	pthread_mutex_lock(&t->lock);
	s->users--;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
}

static int hook_prepare(void *ctx, const Stream__StreamInfo *info,
			const Stream__DomainInfo *d, struct restore_domain_ids *ids, char why[200])
{
	struct standby *s = ctx;

	if (d->uuid.len != 16 || memcmp(d->uuid.data, s->demand.cfg.uuid, 16) ||
	    d->vcpus != s->demand.cfg.vcpus) {
		snprintf(why, 200, "the checkpoint is of another domain than the one announced");
		return -EBADMSG;
	}
	*ids = s->ids;
	return 0;
}

static const struct restore_hooks hooks = { .prepare = hook_prepare };

static int build(struct standbys *t, struct standby *s, char why[200],
		 enum target_refusal *refusal)
{
	char path[512];
	json_t *latest = NULL;
	int ret;

	*refusal = TARGET_REFUSED_HOST;
	snprintf(path, sizeof(path), "%.400s/%s.journal", t->p.dir, s->id);
	ret = journal_open(&s->journal, path, true, &latest);
	json_decref(latest);
	if (ret) {
		snprintf(why, 200, "cannot write a journal in %.100s: %s", t->p.dir, strerror(-ret));
		return ret;
	}
	ret = t->p.ops->prepare(t->p.ctx, &s->demand, &s->host, &s->ids, why, refusal);
	if (!ret)
		ret = journal_note(s, false);
	if (!ret)
		ret = restore_new(t->p.ops->hcall(s->host), &hooks, s, &s->result, &s->restore);
	if (!ret && s->witness[0])
		ret = start_watch(t, s);
	return ret;
}

int standbys_prepare(struct standbys *t, const json_t *request, json_t **reply)
{
	const char *id = wire_text(request, "session", "");
	enum target_refusal refusal = TARGET_REFUSED_INVALID;
	struct standby *s, *old = NULL;
	char why[200] = "";
	int ret;

	if (!target_id_valid(id)) {
		*reply = target_refuse(refusal, "member \"session\" is no UUID");
		return 400;
	}
	s = standby_new(t, id);
	if (!s)
		return 500;
	ret = parse_request(s, request, why, &refusal);
	if (!ret) {
		ret = enter(t, s, &old, why);
		refusal = ret ? TARGET_REFUSED_BUSY : refusal;
	}
	if (old) {
		demolish(t, old);
		unuse(t, old);
	}
	if (ret) {
		*reply = target_refuse(refusal, why);
		standby_free(s);
		return target_refusal_status(refusal);
	}
	ret = build(t, s, why, &refusal);
	pthread_mutex_lock(&t->lock);
	if (!ret)
		set_state_locked(t, s, STANDBY_EMPTY);
	else
		end_locked(t, s, why[0] ? why : strerror(-ret));
	pthread_mutex_unlock(&t->lock);
	if (ret)
		demolish(t, s);
	else
		log_info("%s: standby %s is domain %u", s->name, s->id, s->ids.domid);
	*reply = ret ? target_refuse(refusal, s->error)
		     : json_pack("{s:s, s:s, s:i}", "session", s->id, "state", "empty", "domid",
				 (int)s->ids.domid);
	unuse(t, s);
	return ret ? target_refusal_status(refusal) : 201;
}

/* --- one checkpoint ---------------------------------------------------------------------------------- */

struct tee {
	const struct stream_io *from;
	struct spool *to;
};

static ssize_t tee_read(void *ctx, void *buf, size_t len)
{
	struct tee *t = ctx;
	ssize_t n = t->from->read(t->from->ctx, buf, len);
	int ret = n > 0 ? t->to->io.write(t->to->io.ctx, buf, (size_t)n) : 0;

	return ret ? ret : n;
}

/* What is known of a checkpoint once all of it has been looked at. */
struct examined {
	bool child;
	uint64_t parent, hash, seq;
	unsigned int vcpus, nr_vcpus;
	bool shared_info, final;
};

static int examine_record(struct standby *s, struct stream_reader *r,
			  const struct stream_record *rec, struct examined *x)
{
	struct stream_batch *batch = (void *)((uint8_t *)s->scratch + STREAM_BATCH_BYTES);
	const Stream__DomainInfo *d = rec->domain;

	switch (rec->type) {
	case STREAM_INFO:
		x->child = rec->info->chain_seq > 0;
		x->seq = rec->info->chain_seq;
		return 0;
	case STREAM_DOMAIN:
		x->vcpus = d->vcpus;
		return d->uuid.len == 16 && !memcmp(d->uuid.data, s->demand.cfg.uuid, 16) &&
		       d->vcpus == s->demand.cfg.vcpus ? 0 : -EBADMSG;
	case STREAM_PARENT:
		x->parent = rec->parent->stream_hash;
		return 0;
	case STREAM_PAGES:
		return stream_read_pages(r, batch, s->scratch);
	case STREAM_VCPU:
		x->nr_vcpus++;
		return 0;
	case STREAM_SHARED_INFO:
		x->shared_info = rec->shared_info->page.len == STREAM_PAGE_SIZE;
		return 0;
	case STREAM_FINAL:
		x->final = true;
		return 0;
	default:
		return 0;
	}
}

/* Everything that can be wrong with it is found here, before anything is touched. */
static int examine(struct standby *s, const struct stream_io *in, struct examined *x,
		   char why[200])
{
	struct tee tee = { .from = in, .to = &s->spool };
	struct stream_io io = { .read = tee_read, .ctx = &tee };
	struct stream_reader *r;
	struct stream_record rec;
	int ret;

	*x = (struct examined) { 0 };
	if (!s->scratch)
		s->scratch = malloc(STREAM_BATCH_BYTES + sizeof(struct stream_batch));
	ret = s->scratch ? stream_reader_new(&io, &r) : -ENOMEM;
	if (ret)
		return ret;
	stream_reader_allow_parent(r);
	do {
		ret = stream_read_next(r, &rec);
		if (!ret)
			ret = examine_record(s, r, &rec, x);
	} while (!ret && rec.type != STREAM_END);
	if (ret)
		snprintf(why, 200, "%.190s", stream_error(r)[0] ? stream_error(r) :
			 "it is of another domain");
	x->hash = stream_reader_hash(r);
	stream_reader_free(r);
	if (!ret && (x->nr_vcpus != x->vcpus || !x->shared_info || !x->final)) {
		snprintf(why, 200, "the checkpoint lacks a part of the guest's state");
		ret = -EBADMSG;
	}
	if (!ret && x->child && x->parent != s->last && x->parent != s->before) {
		snprintf(why, 200, "its parent is %016" PRIx64 ", this standby holds %016" PRIx64,
			 x->parent, s->last);
		ret = -ESTALE;
	}
	return ret;
}

/* false: it is not ours to change any more. */
static bool begin_applying(struct standbys *t, struct standby *s)
{
	bool ok;

	pthread_mutex_lock(&t->lock);
	ok = is_waiting(s);
	s->applying = ok;
	pthread_mutex_unlock(&t->lock);
	return ok;
}

static int apply_from(struct standby *s, const struct stream_io *io, bool child,
		      struct examined *x, char why[200])
{
	struct stream_reader *r;
	int ret = stream_reader_new(io, &r);

	if (ret)
		return ret;
	if (child)
		stream_reader_allow_parent(r);
	ret = restore_apply(s->restore, r, child);
	x->hash = stream_reader_hash(r);
	stream_reader_free(r);
	if (ret)
		snprintf(why, 200, "%.199s", s->result.error);
	return ret;
}

/* The first one: there is nothing yet that it could spoil. */
static int take_first(struct standbys *t, struct standby *s, const struct stream_io *in,
		      struct examined *x, char why[200])
{
	*x = (struct examined) { 0 };
	if (!begin_applying(t, s))
		return -ECANCELED;
	return apply_from(s, in, false, x, why);
}

static int take_next(struct standbys *t, struct standby *s, const struct stream_io *in,
		     struct examined *x, bool *touched, char why[200])
{
	int ret = examine(s, in, x, why);

	if (ret)
		return ret;
	if (!begin_applying(t, s))
		return -ECANCELED;
	*touched = true;
	return apply_from(s, &s->spool.io, x->child, x, why);
}

static int take_checkpoint(struct standbys *t, struct standby *s, const struct stream_io *in,
			   uint64_t begun_us, char why[200])
{
	uint64_t begin = ledger_now_us();
	bool touched = s->state == STANDBY_EMPTY;
	struct examined x;
	int ret;

	spool_clear(&s->spool);
	ret = touched ? take_first(t, s, in, &x, why) : take_next(t, s, in, &x, &touched, why);
	pthread_mutex_lock(&t->lock);
	s->applying = false;
	if (!ret) {
		s->before = x.child ? s->last : 0;
		s->last = x.hash;
		s->count++;
		s->bytes += s->result.bytes;
		s->cut_us = begun_us;
		s->apply_us = ledger_now_us() - begin;
		s->error[0] = '\0';
	} else if (touched && is_waiting(s)) {
		s->last = s->before = s->cut_us = 0;
		snprintf(s->error, sizeof(s->error), "%s", why[0] ? why : strerror(-ret));
	}
	if (is_waiting(s))
		set_state_locked(t, s, s->last ? STANDBY_READY : STANDBY_EMPTY);
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
	return ret;
}

/* --- a connection -------------------------------------------------------------------------------------- */

static int send_applied(struct standby *s, const struct stream_io *out)
{
	char hash[17];

	snprintf(hash, sizeof(hash), "%016" PRIx64, s->last);
	return wire_send(out, json_pack("{s:s, s:s, s:I}", "msg", "applied", "hash", hash,
					"apply_us", (json_int_t)s->apply_us));
}

static void send_error(struct standbys *t, struct standby *s, const struct stream_io *out,
		       int err, const char *why)
{
	bool taken;

	pthread_mutex_lock(&t->lock);
	taken = s->state == STANDBY_OWNER || s->state == STANDBY_RUNNING;
	pthread_mutex_unlock(&t->lock);
	wire_send(out, json_pack("{s:s, s:s, s:s}", "msg", "error", "reason",
				 taken ? "taken-over" : "failed", "error",
				 why[0] ? why : strerror(-err)));
}

/* The cut was later than the word that announced it: the age is never too small. */
static uint64_t cut_at(const json_t *msg)
{
	json_int_t age = json_integer_value(json_object_get(msg, "age_us"));
	uint64_t now = ledger_now_us();

	return age > 0 && (uint64_t)age < now ? now - (uint64_t)age : now;
}

static int serve_loop(struct standbys *t, struct standby *s, const struct stream_io *in,
		      const struct stream_io *out)
{
	char why[200] = "";
	int ret = 0;

	while (!ret) {
		json_t *msg = NULL;

		ret = wire_recv(in, &msg);
		if (ret == -ENODATA)
			return 0;
		if (!ret && wire_is(msg, "bye")) {
			json_decref(msg);
			return 0;
		}
		if (!ret && wire_is(msg, "checkpoint"))
			ret = take_checkpoint(t, s, in, cut_at(msg), why);
		else if (!ret && !wire_is(msg, "alive"))
			ret = -EPROTO;
		json_decref(msg);
		if (!ret)
			ret = send_applied(s, out);
	}
	send_error(t, s, out, ret, why);
	return ret;
}

static int begin_serving(struct standbys *t, const char *id, struct standby **out)
{
	struct standby *s;
	int ret = 0;

	pthread_mutex_lock(&t->lock);
	s = find_locked(t, id);
	if (s)
		s->users++;
	/* The server has cut the older connection: it only has to notice. */
	for (int i = 0; s && s->serving && i < SERVING_WAIT_S; i++)
		wait_locked(t);
	if (!s)
		ret = -ESRCH;
	else if (s->serving)
		ret = -EBUSY;
	else
		s->serving = true;
	if (s)
		s->users--;
	pthread_mutex_unlock(&t->lock);
	*out = s;
	return ret;
}

int standbys_serve(struct standbys *t, const char *id, const struct stream_io *in,
		   const struct stream_io *out)
{
	struct standby *s;
	char last[17];
	int ret = begin_serving(t, id, &s);

	if (ret) {
		wire_send(out, json_pack("{s:s, s:s, s:s}", "msg", "error", "reason",
					 ret == -EBUSY ? "busy" : "unknown", "error",
					 ret == -EBUSY ? "another connection feeds this standby" :
					 "there is no such standby"));
		return ret;
	}
	snprintf(last, sizeof(last), "%016" PRIx64, s->last);
	pthread_mutex_lock(&t->lock);
	ret = is_waiting(s) ? 0 : -ECANCELED;
	pthread_mutex_unlock(&t->lock);
	if (ret)
		send_error(t, s, out, ret, "this standby has ended");
	else
		ret = wire_send(out, json_pack("{s:s, s:s}", "msg", "hello", "last", last));
	if (!ret)
		ret = serve_loop(t, s, in, out);
	pthread_mutex_lock(&t->lock);
	s->serving = false;
	publish_locked(t, s);
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
	return ret;
}

/* --- questions and orders --------------------------------------------------------------------------------- */

static int order_drop(struct standbys *t, struct standby *s, char why[200])
{
	bool mine;

	pthread_mutex_lock(&t->lock);
	mine = end_locked(t, s, "the source ended the protection");
	pthread_mutex_unlock(&t->lock);
	if (mine)
		demolish(t, s);
	if (mine || s->state == STANDBY_GONE)
		return 200;
	snprintf(why, 200, "it runs here: it was failed over");
	return 409;
}

static int order(struct standbys *t, struct standby *s, const char *verb, const json_t *body,
		 char why[200])
{
	if (!strcmp(verb, "status"))
		return 200;
	if (!strcmp(verb, "drop"))
		return order_drop(t, s, why);
	if (!strcmp(verb, "failover"))
		return activate(t, s, json_is_true(json_object_get(body, "force")), why);
	if (!strcmp(verb, "release")) {
		pthread_mutex_lock(&t->lock);
		s->released = true;
		publish_locked(t, s);
		pthread_mutex_unlock(&t->lock);
		return 200;
	}
	snprintf(why, 200, "no such verb");
	return 404;
}

int standbys_ask(struct standbys *t, const char *id, const char *verb, const json_t *body,
		 json_t **reply)
{
	char why[200] = "";
	struct standby *s;
	int status;

	pthread_mutex_lock(&t->lock);
	s = find_locked(t, id);
	if (s)
		s->users++;
	pthread_mutex_unlock(&t->lock);
	if (!s) {
		*reply = json_pack("{s:s}", "error", "there is no such standby");
		return 404;
	}
	status = order(t, s, verb, body, why);
	pthread_mutex_lock(&t->lock);
	*reply = describe_locked(s);
	s->users--;
	pthread_mutex_unlock(&t->lock);
	if (*reply && why[0])
		json_object_set_new(*reply, "error", json_string(why));
	return status;
}

json_t *standbys_list(struct standbys *t)
{
	json_t *list = json_array();

	pthread_mutex_lock(&t->lock);
	for (struct standby *s = t->list; s; s = s->next)
		json_array_append_new(list, describe_locked(s));
	pthread_mutex_unlock(&t->lock);
	return json_pack("{s:o}", "standbys", list);
}

/* --- start and end ---------------------------------------------------------------------------------------- */

/* A standby's state is in memory alone: what an earlier daemon held is worth nothing now. */
static void judge(struct standbys *t, const char *file)
{
	const char *state, *name;
	struct journal j = { .fd = -1 };
	json_t *rec = NULL;
	uint8_t uuid[16];
	char path[512];
	domid_t domid;
	size_t len = strlen(file);

	if (len < strlen(".journal") || strcmp(file + len - strlen(".journal"), ".journal"))
		return;
	snprintf(path, sizeof(path), "%.400s/%.100s", t->p.dir, file);
	if (journal_open(&j, path, false, &rec))
		return;
	state = wire_text(rec, "state", "");
	name = wire_text(rec, "name", "?");
	domid = (domid_t)json_integer_value(json_object_get(rec, "domid"));
	if (rec && !uuid_parse(wire_text(rec, "uuid", ""), uuid)) {
		if (!strcmp(state, state_names[STANDBY_OWNER])) {
			t->p.ops->unpause_found(t->p.ctx, domid, uuid);
		} else if (strcmp(state, state_names[STANDBY_RUNNING])) {
			t->p.ops->reap(t->p.ctx, domid, uuid);
			log_warn("%s: its standby was lost with the daemon", name);
		}
	}
	json_decref(rec);
	journal_close(&j, true);
}

/* Of standbys that are no more. */
static void forget_states(const char *state_dir)
{
	DIR *dir = state_dir ? opendir(state_dir) : NULL;
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		char path[512];
		size_t len = strlen(e->d_name);

		if (len < strlen(HELD) || strcmp(e->d_name + len - strlen(HELD), HELD))
			continue;
		snprintf(path, sizeof(path), "%.300s/%.200s", state_dir, e->d_name);
		unlink(path);
	}
	if (dir)
		closedir(dir);
}

int standbys_open(const struct standbys_params *p, struct standbys **out)
{
	struct standbys *t = calloc(1, sizeof(*t));
	struct dirent *e;
	DIR *dir;
	int ret;

	if (!t)
		return -ENOMEM;
	t->p = *p;
	dir = opendir(p->dir);
	if (!dir) {
		ret = -errno;
		free(t);
		return ret;
	}
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->changed, NULL);
	while ((e = readdir(dir)))
		judge(t, e->d_name);
	closedir(dir);
	forget_states(p->state_dir);
	*out = t;
	return 0;
}

void standbys_close(struct standbys *t)
{
	if (!t)
		return;
	for (struct standby *s = t->list, *next; s; s = next) {
		bool mine;

		next = s->next;
		pthread_mutex_lock(&t->lock);
		s->stop_watch = true;
		mine = end_locked(t, s, "the daemon ends");
		while (s->watching || s->serving)
			wait_locked(t);
		pthread_mutex_unlock(&t->lock);
		if (mine)
			demolish(t, s);
		standby_free(s);
	}
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->lock);
	free(t);
}
