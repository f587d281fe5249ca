// SPDX-License-Identifier: Apache-2.0
/* See schedules.h. */
#define LOG_PREFIX "schedule"
#include "migrate/schedules.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "toolstack/lib/io.h"
#include "toolstack/lib/log.h"
#include "toolstack/lib/uuid.h"

#define POLL_MS		50u		/* while a job runs */
#define IDLE_MS		60000u
#define CLOSE_WAIT_S	10u
#define FILE_MODE	0600

/* A schedule, its job, or (gone) only the job of one that was removed. */
struct entry {
	struct entry *next;
	struct schedule s;
	struct schedule_job *job;
	uint64_t started_ns, asked_ns;
	unsigned int asked_to_end;	/* signals sent: TERM, then KILL */
	bool timed_out;
	bool gone;
};

struct schedules {
	struct schedules_params p;
	pthread_mutex_t lock;		/* of all below */
	pthread_cond_t changed;
	struct entry *list;
	bool stopping;
	bool running;
	pthread_t thread;
};

/* --- files ---------------------------------------------------------------------------- */

static int path_of(const struct schedules *s, const uint8_t uuid[16], char path[PATH_MAX])
{
	char text[UUID_TEXT_BYTES];

	uuid_format(uuid, text);
	return snprintf(path, PATH_MAX, "%s/%s.json", s->p.dir, text) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int store_file(const struct schedules *s, const struct schedule *one,
		      const struct schedule_now *now)
{
	json_t *json = schedule_to_json(one, now);
	char *text = json ? json_dumps(json, JSON_INDENT(2) | JSON_PRESERVE_ORDER) : NULL;
	char path[PATH_MAX];
	int ret = text ? path_of(s, one->spec.uuid, path) : -ENOMEM;

	if (!ret)
		ret = io_write_file_atomic(path, text, strlen(text), FILE_MODE);
	free(text);
	json_decref(json);
	return ret;
}

static int remove_file(const struct schedules *s, const struct schedule *one)
{
	char path[PATH_MAX];
	int ret = path_of(s, one->spec.uuid, path);

	if (ret)
		return ret;
	if (unlink(path) && errno != ENOENT)
		return -errno;
	ret = io_sync_dir_of(path);
	return ret == -EINVAL ? 0 : ret;
}

/* The file's name has to be the domain's: two files of one domain would both write to it. */
static int load_file(const struct schedules *s, const char *name, const struct schedule_now *now,
		     struct schedule *one, char why[200])
{
	char path[PATH_MAX], uuid[UUID_TEXT_BYTES], *text;
	json_t *json;
	size_t len;
	int ret;

	if (snprintf(path, sizeof(path), "%s/%s", s->p.dir, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	ret = io_read_file(path, SCHEDULES_FILE_MAX, &text, &len);
	if (ret) {
		snprintf(why, 200, "%s", strerror(-ret));
		return ret;
	}
	json = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	free(text);
	snprintf(why, 200, "no JSON object");
	ret = json_is_object(json) ? schedule_from_json(json, now, one, why) : -EINVAL;
	json_decref(json);
	if (ret)
		return ret;
	uuid_format(one->spec.uuid, uuid);
	if (strncmp(name, uuid, UUID_TEXT_BYTES - 1)) {
		snprintf(why, 200, "it is another domain's");
		return -EINVAL;
	}
	return 0;
}

/* --- the list ------------------------------------------------------------------------------ */

static unsigned int count(const struct schedules *s)
{
	unsigned int nr = 0;

	for (const struct entry *e = s->list; e; e = e->next)
		nr += !e->gone;
	return nr;
}

static struct entry *find_uuid(struct schedules *s, const uint8_t uuid[16])
{
	for (struct entry *e = s->list; e; e = e->next)
		if (!e->gone && !memcmp(e->s.spec.uuid, uuid, 16))
			return e;
	return NULL;
}

/* Behind the others: the list keeps the order in which they were set. */
static struct entry *append(struct schedules *s)
{
	struct entry *e = calloc(1, sizeof(*e)), **at = &s->list;

	while (*at)
		at = &(*at)->next;
	*at = e;
	return e;
}

static void drop(struct schedules *s, struct entry *e)
{
	struct entry **at = &s->list;

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	if (e->job)
		s->p.ops->release(s->p.ctx, e->job);
	free(e);
}

static int load_one(struct schedules *s, const char *name, const struct schedule_now *now)
{
	struct schedule one;
	struct entry *e;
	char every[16], why[200] = "";
	uint64_t missed;

	if (load_file(s, name, now, &one, why)) {
		log_warn("%s/%s is no schedule: %s; left alone", s->p.dir, name, why);
		return 0;
	}
	if (count(s) >= SCHEDULES_MAX) {
		log_warn("%s/%s: more than %u schedules; left alone", s->p.dir, name, SCHEDULES_MAX);
		return 0;
	}
	e = append(s);
	if (!e)
		return -ENOMEM;
	e->s = one;
	missed = schedule_resume(&e->s, now);
	schedule_format_duration(one.spec.every_ms, every);
	log_info("%s: every %s into %s", one.spec.name, every, one.spec.store);
	if (missed)
		log_warn("%s: missed %" PRIu64 " deadlines while godwitd was not there",
			 one.spec.name, missed);
	return 0;
}

static bool is_schedule(const char *name)
{
	char text[UUID_TEXT_BYTES];
	uint8_t uuid[16];

	if (strlen(name) != UUID_TEXT_BYTES - 1 + strlen(".json") ||
	    strcmp(name + UUID_TEXT_BYTES - 1, ".json"))
		return false;
	memcpy(text, name, UUID_TEXT_BYTES - 1);
	text[UUID_TEXT_BYTES - 1] = '\0';
	return uuid_parse(text, uuid) == 0;
}

static int load_all(struct schedules *s)
{
	DIR *dir = opendir(s->p.dir);
	struct schedule_now now;
	struct dirent *d;
	int ret = 0;

	if (!dir)
		return -errno;
	s->p.ops->now(s->p.ctx, &now);
	while (!ret && (d = readdir(dir)))
		if (is_schedule(d->d_name))
			ret = load_one(s, d->d_name, &now);
	closedir(dir);
	return ret;
}

/* --- jobs ------------------------------------------------------------------------------------- */

static void save(struct schedules *s, struct entry *e, const struct schedule_now *now)
{
	int ret = e->gone ? 0 : store_file(s, &e->s, now);

	if (ret)
		log_warn_errno(ret, "%s: what has happened is not written down", e->s.spec.name);
}

/* Failures are many when a store is full: the same one is told once. */
static void tell_result(const struct schedule *before, const struct schedule *after)
{
	if (after->failing && (!before->failing || strcmp(before->error.text, after->error.text)))
		log_err("%s: no checkpoint in %s: %s", after->spec.name, after->spec.store,
			after->error.text);
	if (!after->failing && before->failing)
		log_info("%s: checkpoints in %s again", after->spec.name, after->spec.store);
	if (after->prune.time_ns && strcmp(before->prune.text, after->prune.text))
		log_warn("%s: old checkpoints in %s stay: %s", after->spec.name, after->spec.store,
			 after->prune.text);
}

static void start(struct schedules *s, struct entry *e, const struct schedule_now *now)
{
	struct schedule before = e->s;
	int ret = s->p.ops->start(s->p.ctx, &e->s, schedule_wants_full(&e->s), &e->job);

	e->started_ns = now->mono_ns;
	e->asked_to_end = 0;
	e->timed_out = false;
	if (!ret)
		return;
	e->job = NULL;
	schedule_start_failed(&e->s, now, ret);
	tell_result(&before, &e->s);
	save(s, e, now);
}

static void end_job(struct schedules *s, struct entry *e, const struct schedule_now *now)
{
	static const int signals[] = { SIGTERM, SIGKILL };

	e->asked_ns = now->mono_ns;
	s->p.ops->kill(s->p.ctx, e->job, signals[e->asked_to_end++]);
}

static void watch_time(struct schedules *s, struct entry *e, const struct schedule_now *now)
{
	uint64_t ran_s = (now->mono_ns - e->started_ns) / 1000000000u;
	uint64_t asked_s = (now->mono_ns - e->asked_ns) / 1000000000u;

	if (!e->asked_to_end && ran_s >= s->p.job_timeout_s) {
		e->timed_out = true;
		log_warn("%s: a checkpoint is not done after %" PRIu64 " s and is ended",
			 e->s.spec.name, ran_s);
		end_job(s, e, now);
	} else if (e->asked_to_end == 1 && asked_s >= SCHEDULES_GRACE_S) {
		end_job(s, e, now);
	}
}

static void look_at_job(struct schedules *s, struct entry *e, const struct schedule_now *now)
{
	struct schedule before = e->s;
	struct schedule_result r = { 0 };

	if (!s->p.ops->poll(s->p.ctx, e->job, &r)) {
		watch_time(s, e, now);
		return;
	}
	r.timed_out = e->timed_out;
	/* One that was ended because we end is no failure: by its file it was not done. */
	if (s->stopping && r.exit_code)
		e->gone = true;
	if (!e->gone && schedule_finish(&e->s, now, &r))
		log_debug("%s: %s, paused %" PRIu64 " us", e->s.spec.name, e->s.last.object,
			  e->s.last.pause_us);
	s->p.ops->release(s->p.ctx, e->job);
	e->job = NULL;
	if (e->gone)
		return;
	tell_result(&before, &e->s);
	save(s, e, now);
}

static void tick_one(struct schedules *s, struct entry *e, const struct schedule_now *now)
{
	uint64_t missed = 0;

	if (e->job)
		look_at_job(s, e, now);
	if (e->gone)
		return;
	if (schedule_step(&e->s, now, e->job, &missed) == SCHEDULE_START)
		start(s, e, now);
	if (missed)
		log_warn("%s: missed %" PRIu64 " deadline%s: %s", e->s.spec.name, missed,
			 missed == 1 ? "" : "s", e->job && e->started_ns != now->mono_ns ?
			 "the last checkpoint is still being taken" : "the host stood still");
}

static unsigned int wait_ms(const struct entry *e, const struct schedule_now *now)
{
	uint64_t ms;

	if (e->job)
		return POLL_MS;
	ms = (e->s.due_ns - now->mono_ns + 999999) / 1000000;
	return ms < IDLE_MS ? (unsigned int)ms : IDLE_MS;
}

static unsigned int tick_locked(struct schedules *s)
{
	unsigned int wait = IDLE_MS;
	struct schedule_now now;
	struct entry *e, *next;

	s->p.ops->now(s->p.ctx, &now);
	for (e = s->list; e; e = next) {
		unsigned int ms;

		next = e->next;
		tick_one(s, e, &now);
		if (e->gone && !e->job) {
			drop(s, e);
			continue;
		}
		ms = wait_ms(e, &now);
		wait = ms < wait ? ms : wait;
	}
	return wait;
}

unsigned int schedules_tick(struct schedules *s)
{
	unsigned int ms;

	pthread_mutex_lock(&s->lock);
	ms = tick_locked(s);
	pthread_mutex_unlock(&s->lock);
	return ms;
}

/* --- the thread ---------------------------------------------------------------------------------- */

static void wait_locked(struct schedules *s, unsigned int ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_cond_timedwait(&s->changed, &s->lock, &until);
}

static void *thread_main(void *arg)
{
	struct schedules *s = arg;

	pthread_mutex_lock(&s->lock);
	while (!s->stopping)
		wait_locked(s, tick_locked(s));
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

int schedules_run(struct schedules *s)
{
	int ret = pthread_create(&s->thread, NULL, thread_main, s);

	s->running = !ret;
	return -ret;
}

/* --- requests -------------------------------------------------------------------------------------- */

static json_t *describe(const struct entry *e, const struct schedule_now *now)
{
	json_t *json = schedule_to_json(&e->s, now);

	if (json)
		json_object_set_new(json, "state", json_string(e->job ? "running" : e->s.absent ?
							       "inactive" : "waiting"));
	return json;
}

static int set_locked(struct schedules *s, const struct schedule_spec *spec, json_t **reply)
{
	struct entry *old = find_uuid(s, spec->uuid), *e = old;
	struct schedule_now now;
	struct schedule one;
	int ret;

	s->p.ops->now(s->p.ctx, &now);
	if (!e && count(s) >= SCHEDULES_MAX)
		return -ENOSPC;
	schedule_init(&one, spec, &now);
	/* A job that runs is the old one's, its result too; the new one gives it time. */
	if (old && old->job) {
		one.due_ns += spec->every_ms * UINT64_C(1000000);
		e = NULL;
	}
	if (!e)
		e = append(s);
	if (!e)
		return -ENOMEM;
	ret = store_file(s, &one, &now);
	if (ret) {
		if (e != old)
			drop(s, e);
		return ret;
	}
	if (old && old != e)
		old->gone = true;
	e->s = one;
	*reply = describe(e, &now);
	pthread_cond_signal(&s->changed);
	return 0;
}

int schedules_set(struct schedules *s, const struct schedule_spec *spec, json_t **reply)
{
	char every[16];
	int ret;

	pthread_mutex_lock(&s->lock);
	ret = set_locked(s, spec, reply);
	pthread_mutex_unlock(&s->lock);
	schedule_format_duration(spec->every_ms, every);
	if (ret)
		log_errno(ret, "%s: the schedule cannot be written", spec->name);
	else
		log_info("%s: every %s into %s from now on", spec->name, every, spec->store);
	return ret;
}

static int find_named(struct schedules *s, const char *domain, struct entry **out)
{
	uint8_t uuid[16];

	*out = uuid_parse(domain, uuid) ? NULL : find_uuid(s, uuid);
	if (*out)
		return 0;
	for (struct entry *e = s->list; e; e = e->next) {
		if (e->gone || strcmp(e->s.spec.name, domain))
			continue;
		if (*out)
			return -ENOTUNIQ;
		*out = e;
	}
	return *out ? 0 : -ENOENT;
}

static int stop_locked(struct schedules *s, const char *domain)
{
	struct schedule_now now;
	struct entry *e;
	int ret = find_named(s, domain, &e);

	s->p.ops->now(s->p.ctx, &now);

	if (!ret)
		ret = remove_file(s, &e->s);
	if (ret)
		return ret;
	log_info("%s: no more checkpoints into %s", e->s.spec.name, e->s.spec.store);
	e->gone = true;
	if (!e->job)
		drop(s, e);
	else if (!e->asked_to_end)
		end_job(s, e, &now);
	return 0;
}

int schedules_stop(struct schedules *s, const char *domain)
{
	int ret;

	pthread_mutex_lock(&s->lock);
	ret = stop_locked(s, domain);
	pthread_mutex_unlock(&s->lock);
	return ret;
}

json_t *schedules_list(struct schedules *s)
{
	json_t *list = json_array(), *out = list ? json_pack("{s:o}", "schedules", list) : NULL;
	struct schedule_now now;

	if (!out)
		return NULL;
	pthread_mutex_lock(&s->lock);
	s->p.ops->now(s->p.ctx, &now);
	for (const struct entry *e = s->list; e; e = e->next) {
		if (!e->gone && json_array_append_new(list, describe(e, &now))) {
			json_decref(out);
			out = NULL;
			break;
		}
	}
	pthread_mutex_unlock(&s->lock);
	return out;
}

/* --- beginning and end ------------------------------------------------------------------------------- */

int schedules_open(const struct schedules_params *p, struct schedules **out)
{
	struct schedules *s = calloc(1, sizeof(*s));
	pthread_condattr_t attr;
	char below[PATH_MAX];
	int ret;

	if (!s)
		return -ENOMEM;
	s->p = *p;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->changed, &attr);
	pthread_condattr_destroy(&attr);
	snprintf(below, sizeof(below), "%s/x", p->dir);
	ret = io_mkdir_parents(below);
	if (!ret)
		ret = load_all(s);
	if (ret) {
		schedules_close(s);
		return ret;
	}
	*out = s;
	return 0;
}

static bool any_job(struct schedules *s)
{
	for (struct entry *e = s->list; e; e = e->next)
		if (e->job)
			return true;
	return false;
}

/* What does not end in time is left to its own alarm clock (schedule_job.c). */
static void end_jobs(struct schedules *s)
{
	struct timespec nap = { .tv_nsec = 50000000 };
	struct schedule_now now;

	s->p.ops->now(s->p.ctx, &now);
	for (struct entry *e = s->list; e; e = e->next)
		if (e->job && !e->asked_to_end)
			end_job(s, e, &now);
	for (unsigned int i = 0; i < CLOSE_WAIT_S * 20 && any_job(s); i++) {
		s->p.ops->now(s->p.ctx, &now);
		for (struct entry *e = s->list; e; e = e->next)
			if (e->job)
				look_at_job(s, e, &now);
		if (any_job(s))
			nanosleep(&nap, NULL);
	}
}

void schedules_close(struct schedules *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
	if (s->running)
		pthread_join(s->thread, NULL);
	end_jobs(s);
	while (s->list)
		drop(s, s->list);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
