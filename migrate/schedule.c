// SPDX-License-Identifier: Apache-2.0
/* See schedule.h. */
#include "migrate/schedule.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "toolstack/cmd.h"
#include "toolstack/lib/uuid.h"

#define VERSION		1
#define NS_PER_MS	UINT64_C(1000000)

/* --- durations ---------------------------------------------------------------------- */

static const struct {
	const char *name;
	unsigned int ms;
} units[] = {
	{ "d", 24 * 3600 * 1000 }, { "h", 3600 * 1000 }, { "m", 60 * 1000 }, { "s", 1000 },
	{ "ms", 1 },
};

#define NR_UNITS (sizeof(units) / sizeof(units[0]))

int schedule_parse_duration(const char *text, unsigned int *ms)
{
	uint64_t n = 0;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	for (; *text >= '0' && *text <= '9'; text++)
		if (n <= SCHEDULE_EVERY_MAX_MS)
			n = n * 10 + (uint64_t)(*text - '0');
	for (size_t i = 0; i < NR_UNITS; i++) {
		if (strcmp(text, units[i].name))
			continue;
		if (n > SCHEDULE_EVERY_MAX_MS / units[i].ms)
			return -ERANGE;
		*ms = (unsigned int)n * units[i].ms;
		return 0;
	}
	return -EINVAL;
}

void schedule_format_duration(unsigned int ms, char text[16])
{
	size_t i = 0;

	while (i < NR_UNITS - 1 && (ms % units[i].ms || !ms))
		i++;
	snprintf(text, 16, "%u%s", ms / units[i].ms, units[i].name);
}

/* --- JSON ------------------------------------------------------------------------------- */

/* A number of @lo..@hi, -1 for anything else. */
static json_int_t get_number(const json_t *json, const char *member, json_int_t lo, json_int_t hi)
{
	const json_t *j = json_object_get(json, member);
	json_int_t n = json_integer_value(j);

	return json_is_integer(j) && n >= lo && n <= hi ? n : -1;
}

/* false: it is no string, or too long, or has control characters (NUL among them). */
static bool get_text(const json_t *json, const char *member, char *out, size_t size)
{
	const json_t *j = json_object_get(json, member);
	const char *text = json_string_value(j);
	size_t len = json_string_length(j);

	if (!text || len >= size)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	memcpy(out, text, len + 1);
	return true;
}

/* What checkpoint/store.h takes, but for paths that depend on where one stands. */
static bool store_plausible(const char *store)
{
	const char *host = strstr(store, "://");

	if (store[0] == '/' || !strncmp(store, "file:/", 6))
		return true;
	if (strncmp(store, "http://", 7) && strncmp(store, "https://", 8) &&
	    strncmp(store, "s3://", 5))
		return false;
	/* A user name or password would end up in our file, and in lists. */
	return !memchr(host + 3, '@', strcspn(host + 3, "/?#"));
}

int schedule_spec_from_json(const json_t *json, struct schedule_spec *out, char why[200])
{
	char uuid[UUID_TEXT_BYTES];
	json_int_t every = get_number(json, "every_ms", SCHEDULE_EVERY_MIN_MS,
				      SCHEDULE_EVERY_MAX_MS);
	json_int_t keep = get_number(json, "keep", 1, SCHEDULE_KEEP_MAX);
	json_int_t full = get_number(json, "full_every", 0, SCHEDULE_FULL_EVERY_MAX);
	const char *bad = NULL;

	memset(out, 0, sizeof(*out));
	if (!get_text(json, "uuid", uuid, sizeof(uuid)) || uuid_parse(uuid, out->uuid))
		bad = "uuid: not a domain's";
	else if (!get_text(json, "name", out->name, sizeof(out->name)) ||
		 !config_name_valid(out->name))
		bad = "name: not a domain's";
	else if (!get_text(json, "store", out->store, sizeof(out->store)) ||
		 !store_plausible(out->store))
		bad = "store: an absolute path, or a file:, http:, https: or s3: address, without "
		      "user name and password";
	else if (every < 0)
		bad = "every_ms: 1000 (1s) to 604800000 (7d)";
	else if (keep < 0)
		bad = "keep: 1 to 10000";
	else if (full < 0)
		bad = "full_every: 0 (never) to 10000";
	if (bad) {
		snprintf(why, 200, "%s", bad);
		return -EINVAL;
	}
	out->every_ms = (unsigned int)every;
	out->keep = (unsigned int)keep;
	out->full_every = (unsigned int)full;
	return 0;
}

static int64_t due_real(const struct schedule *s, const struct schedule_now *now)
{
	return now->real_ns + (int64_t)(s->due_ns - now->mono_ns);
}

static json_t *success_to_json(const struct schedule_success *l)
{
	if (!l->time_ns)
		return json_null();
	return json_pack("{s:I, s:s, s:s, s:I, s:I, s:I, s:I}", "time_ns", (json_int_t)l->time_ns,
			 "id", l->id, "object", l->object, "seq", (json_int_t)l->seq,
			 "bytes", (json_int_t)l->bytes, "pause_us", (json_int_t)l->pause_us,
			 "us", (json_int_t)l->us);
}

static json_t *error_to_json(const struct schedule_error *e)
{
	if (!e->time_ns)
		return json_null();
	return json_pack("{s:I, s:s}", "time_ns", (json_int_t)e->time_ns, "text", e->text);
}

json_t *schedule_to_json(const struct schedule *s, const struct schedule_now *now)
{
	char uuid[UUID_TEXT_BYTES];

	uuid_format(s->spec.uuid, uuid);
	return json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:b, "
			 "s:o, s:o, s:o}",
			 "version", VERSION, "uuid", uuid, "name", s->spec.name,
			 "store", s->spec.store, "every_ms", (json_int_t)s->spec.every_ms,
			 "keep", (json_int_t)s->spec.keep,
			 "full_every", (json_int_t)s->spec.full_every,
			 "created_ns", (json_int_t)s->spec.created_ns,
			 "next_due_ns", (json_int_t)due_real(s, now),
			 "taken", (json_int_t)s->taken, "failed", (json_int_t)s->failed,
			 "missed", (json_int_t)s->missed, "here", !s->absent,
			 "failing", (int)s->failing,
			 "last_success", success_to_json(&s->last),
			 "last_error", error_to_json(&s->error),
			 "prune_error", error_to_json(&s->prune));
}

static uint64_t count_from(const json_t *json, const char *member)
{
	json_int_t n = get_number(json, member, 0, INT64_MAX);

	return n > 0 ? (uint64_t)n : 0;
}

/* The books are worth less than the schedule: what is not understood is forgotten. */
static void success_from_json(const json_t *json, struct schedule_success *l)
{
	if (!get_text(json, "id", l->id, sizeof(l->id)) ||
	    !get_text(json, "object", l->object, sizeof(l->object))) {
		*l = (struct schedule_success){ 0 };
		return;
	}
	l->time_ns = (int64_t)count_from(json, "time_ns");
	l->seq = count_from(json, "seq");
	l->bytes = count_from(json, "bytes");
	l->pause_us = count_from(json, "pause_us");
	l->us = count_from(json, "us");
}

static void error_from_json(const json_t *json, struct schedule_error *e)
{
	e->time_ns = (int64_t)count_from(json, "time_ns");
	if (!e->time_ns || !get_text(json, "text", e->text, sizeof(e->text)))
		*e = (struct schedule_error){ 0 };
}

int schedule_from_json(const json_t *json, const struct schedule_now *now, struct schedule *out,
		       char why[200])
{
	json_int_t due = get_number(json, "next_due_ns", 0, INT64_MAX);
	int64_t ahead, every_ns;
	int ret;

	memset(out, 0, sizeof(*out));
	if (get_number(json, "version", VERSION, VERSION) < 0) {
		snprintf(why, 200, "not a schedule of this version");
		return -EINVAL;
	}
	ret = schedule_spec_from_json(json, &out->spec, why);
	if (ret)
		return ret;
	every_ns = (int64_t)(out->spec.every_ms * NS_PER_MS);
	out->spec.created_ns = (int64_t)count_from(json, "created_ns");
	ahead = due < 0 ? 0 : due - now->real_ns;
	if (ahead > every_ns)
		ahead = every_ns;
	/* Before the clock began: as long ago as it can tell. */
	if (ahead < 0 && (uint64_t)-ahead > now->mono_ns)
		ahead = -(int64_t)now->mono_ns;
	out->due_ns = now->mono_ns + (uint64_t)ahead;
	out->taken = count_from(json, "taken");
	out->failed = count_from(json, "failed");
	out->missed = count_from(json, "missed");
	out->absent = json_is_false(json_object_get(json, "here"));
	out->failing = json_is_true(json_object_get(json, "failing"));
	success_from_json(json_object_get(json, "last_success"), &out->last);
	if (!out->last.time_ns)
		out->last = (struct schedule_success){ 0 };
	error_from_json(json_object_get(json, "last_error"), &out->error);
	error_from_json(json_object_get(json, "prune_error"), &out->prune);
	return 0;
}

/* --- deadlines ------------------------------------------------------------------------------ */

void schedule_init(struct schedule *s, const struct schedule_spec *spec,
		   const struct schedule_now *now)
{
	*s = (struct schedule){ .spec = *spec, .due_ns = now->mono_ns };
	s->spec.created_ns = now->real_ns;
}

uint64_t schedule_pass(uint64_t *due_ns, uint64_t every_ns, uint64_t now_ns)
{
	uint64_t nr;

	if (*due_ns > now_ns)
		return 0;
	nr = (now_ns - *due_ns) / every_ns + 1;
	*due_ns += nr * every_ns;
	return nr;
}

static uint64_t every_ns(const struct schedule *s)
{
	return s->spec.every_ms * NS_PER_MS;
}

uint64_t schedule_resume(struct schedule *s, const struct schedule_now *now)
{
	uint64_t nr = schedule_pass(&s->due_ns, every_ns(s), now->mono_ns);

	s->missed += nr;
	if (nr)
		s->due_ns = now->mono_ns;
	return nr;
}

enum schedule_step schedule_step(struct schedule *s, const struct schedule_now *now, bool running,
				 uint64_t *missed)
{
	uint64_t nr = schedule_pass(&s->due_ns, every_ns(s), now->mono_ns);
	bool start = nr && !running;

	/* The one that a job starts for is not missed; those before it, on a stalled host, are. */
	*missed = nr - start;
	s->missed += *missed;
	return start ? SCHEDULE_START : SCHEDULE_WAIT;
}

bool schedule_wants_full(const struct schedule *s)
{
	return s->spec.full_every && s->last.time_ns && s->last.seq + 1 >= s->spec.full_every;
}

/* --- results ----------------------------------------------------------------------------------- */

static void note_error(struct schedule_error *e, const struct schedule_now *now, const char *text)
{
	size_t n = 0;

	e->time_ns = now->real_ns;
	for (; *text && n < SCHEDULE_ERROR_MAX; text++) {
		unsigned char c = (unsigned char)*text;

		/* ASCII: a cut in the middle of a UTF-8 character would be no JSON. */
		e->text[n++] = c >= 0x20 && c < 0x7f ? *text : '?';
	}
	e->text[n] = '\0';
}

static void fail(struct schedule *s, const struct schedule_now *now, const char *text)
{
	s->failed++;
	s->failing = true;
	note_error(&s->error, now, text);
}

void schedule_start_failed(struct schedule *s, const struct schedule_now *now, int err)
{
	char text[200];

	snprintf(text, sizeof(text), "no job could be started: %s", strerror(err < 0 ? -err : err));
	fail(s, now, text);
}

/* The last line that says something, without who says it, and of whom. */
static void last_line(const char *text, char out[SCHEDULE_ERROR_MAX + 1])
{
	static const char name[] = "checkpoint: ", topic[] = ": no checkpoint: ";
	const char *line = text, *end, *reason;

	out[0] = '\0';
	for (; *line; line = *end ? end + 1 : end) {
		size_t len;

		end = line + strcspn(line, "\n");
		if (end == line)
			continue;
		if (!strncmp(line, name, sizeof(name) - 1))
			line += sizeof(name) - 1;
		reason = strstr(line, topic);
		if (reason && reason < end)
			line = reason + sizeof(topic) - 1;
		len = (size_t)(end - line) < SCHEDULE_ERROR_MAX ? (size_t)(end - line) :
		      SCHEDULE_ERROR_MAX;
		memcpy(out, line, len);
		out[len] = '\0';
	}
}

static void finish_failed(struct schedule *s, const struct schedule_now *now,
			  const struct schedule_result *r)
{
	char text[SCHEDULE_ERROR_MAX + 1];

	if (r->exit_code == CMD_NO_DOMAIN) {
		s->absent = true;
		fail(s, now, "domain is not here");
		return;
	}
	last_line(r->err, text);
	if (r->timed_out)
		snprintf(text, sizeof(text), "it took too long and was ended");
	else if (!text[0] && r->exit_code < 0)
		snprintf(text, sizeof(text), "the job died of signal %d", -r->exit_code);
	else if (!text[0])
		snprintf(text, sizeof(text), "the job ended with exit code %d", r->exit_code);
	fail(s, now, text);
}

static void finish_good(struct schedule *s, const struct schedule_now *now, const json_t *said)
{
	const char *prune = json_string_value(json_object_get(said, "retain_error"));
	char name[CONFIG_MAX_NAME + 1];

	s->taken++;
	s->absent = s->failing = false;
	success_from_json(said, &s->last);
	s->last.time_ns = now->real_ns;
	/* It may have been renamed; so are the objects. */
	if (get_text(said, "domain", name, sizeof(name)) && config_name_valid(name))
		strcpy(s->spec.name, name);
	s->prune = (struct schedule_error){ 0 };
	if (prune)
		note_error(&s->prune, now, prune);
}

bool schedule_finish(struct schedule *s, const struct schedule_now *now,
		     const struct schedule_result *r)
{
	json_t *said;

	if (r->exit_code != CMD_OK) {
		finish_failed(s, now, r);
		return false;
	}
	said = json_loads(r->out, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(said))
		finish_good(s, now, said);
	else
		fail(s, now, "the job's answer cannot be read");
	json_decref(said);
	return !s->failing;
}
