/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schedules: every deadline is met or counted as missed, also over a restart; one
 * schedule's hanging job is nobody else's trouble; nothing from outside is believed.
 * The clock is ours and jobs are played, but for the last tests, which run real
 * processes.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "migrate/schedule_api.h"
#include "migrate/schedule_job.h"
#include "migrate/schedules.h"
#include "toolstack/cmd.h"
#include "toolstack/lib/io.h"
#include "toolstack/lib/log.h"
#include "toolstack/lib/uuid.h"

#define SECOND	UINT64_C(1000000000)
#define REAL0	INT64_C(1800000000000000000)	/* wall clock when mono is MONO0 */
#define MONO0	(1000000 * SECOND)

#define U1 "11111111-2222-4333-8444-555555555555"
#define U2 "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"

#define GOOD_OUT "{\"domain\": \"web1\", \"id\": \"00000000000000aa\", \"object\": \"web1/x.ckpt\", " \
	"\"seq\": 3, \"bytes\": 1000, \"pause_us\": 4200, \"us\": 9000}"

static struct schedule_now at(uint64_t s)
{
	return (struct schedule_now){ MONO0 + s * SECOND, REAL0 + (int64_t)(s * SECOND) };
}

/* --- durations ------------------------------------------------------------------------ */

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		int ret;
		unsigned int ms;
		const char *back;
	} t[] = {
		{ "200ms", 0, 200, "200ms" }, { "5s", 0, 5000, "5s" }, { "2m", 0, 120000, "2m" },
		{ "1h", 0, 3600000, "1h" }, { "7d", 0, 604800000, "7d" }, { "90s", 0, 90000, "90s" },
		{ "1000ms", 0, 1000, "1s" }, { "0s", 0, 0, "0ms" }, { "8d", -ERANGE, 0, NULL },
		{ "604801s", -ERANGE, 0, NULL }, { "99999999999999999999s", -ERANGE, 0, NULL },
		{ "18446744073709551621ms", -ERANGE, 0, NULL }, { "", -EINVAL, 0, NULL },
		{ "5", -EINVAL, 0, NULL }, { "s", -EINVAL, 0, NULL }, { "-5s", -EINVAL, 0, NULL },
		{ " 5s", -EINVAL, 0, NULL }, { "5 s", -EINVAL, 0, NULL }, { "5ss", -EINVAL, 0, NULL },
		{ "1.5s", -EINVAL, 0, NULL }, { "5sec", -EINVAL, 0, NULL },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		unsigned int ms = 0;
		char back[16];

		assert_int_equal(schedule_parse_duration(t[i].text, &ms), t[i].ret);
		assert_int_equal(ms, t[i].ms);
		if (t[i].ret)
			continue;
		schedule_format_duration(ms, back);
		assert_string_equal(back, t[i].back);
	}
}

/* --- deadlines -------------------------------------------------------------------------- */

static struct schedule make(unsigned int every_s, unsigned int full_every)
{
	struct schedule_spec spec = {
		.name = "web1", .store = "/store", .every_ms = every_s * 1000, .keep = 3,
		.full_every = full_every,
	};
	struct schedule_now now = at(0);
	struct schedule s;

	uuid_parse(U1, spec.uuid);
	schedule_init(&s, &spec, &now);
	return s;
}

/* Against a naive twin that goes from deadline to deadline. */
static void test_pass(void **state)
{
	uint64_t due = 100, seed = 12345;

	assert_int_equal(schedule_pass(&due, 10, 99), 0);
	assert_int_equal(due, 100);
	assert_int_equal(schedule_pass(&due, 10, 100), 1);
	assert_int_equal(due, 110);
	assert_int_equal(schedule_pass(&due, 10, 139), 3);
	assert_int_equal(due, 140);
	for (int i = 0; i < 20000; i++) {
		uint64_t every, now, naive_due, nr = 0;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		every = 1 + (seed >> 40) % 50;
		due = (seed >> 20) % 1000;
		now = (seed >> 30) % 2000;
		for (naive_due = due; naive_due <= now; naive_due += every)
			nr++;
		assert_int_equal(schedule_pass(&due, every, now), nr);
		assert_int_equal(due, naive_due);
	}
}

static void test_steps(void **state)
{
	struct schedule s = make(5, 20);
	struct schedule_now now = at(0);
	uint64_t missed;

	/* the first one is due at once, the next after the interval */
	assert_int_equal(schedule_step(&s, &now, false, &missed), SCHEDULE_START);
	assert_int_equal(missed, 0);
	now = at(4);
	assert_int_equal(schedule_step(&s, &now, true, &missed), SCHEDULE_WAIT);
	assert_int_equal(missed, 0);
	/* still running when the next is due: missed, once */
	now = at(5);
	assert_int_equal(schedule_step(&s, &now, true, &missed), SCHEDULE_WAIT);
	assert_int_equal(missed, 1);
	assert_int_equal(schedule_step(&s, &now, true, &missed), SCHEDULE_WAIT);
	assert_int_equal(missed, 0);
	/* done at 7: nothing is made up for, the next is that of 10 */
	now = at(7);
	assert_int_equal(schedule_step(&s, &now, false, &missed), SCHEDULE_WAIT);
	now = at(10);
	assert_int_equal(schedule_step(&s, &now, false, &missed), SCHEDULE_START);
	assert_int_equal(s.missed, 1);
	/* the host stood still over 15, 20, 25, 30: one starts, three are missed */
	now = at(32);
	assert_int_equal(schedule_step(&s, &now, false, &missed), SCHEDULE_START);
	assert_int_equal(missed, 3);
	assert_int_equal(s.missed, 4);
	now = at(35);
	assert_int_equal(schedule_step(&s, &now, false, &missed), SCHEDULE_START);
	assert_int_equal(s.missed, 4);
}

static void test_resume(void **state)
{
	struct schedule s = make(10, 20);
	struct schedule_now now = at(5);

	s.due_ns = at(10).mono_ns;
	assert_int_equal(schedule_resume(&s, &now), 0);
	assert_int_equal(s.due_ns, at(10).mono_ns);
	/* away from 5 to 31: 10, 20 and 30 are missed, and one is due now */
	now = at(31);
	assert_int_equal(schedule_resume(&s, &now), 3);
	assert_int_equal(s.missed, 3);
	assert_int_equal(s.due_ns, now.mono_ns);
}

static void test_wants_full(void **state)
{
	struct schedule s = make(5, 4);
	unsigned int fulls = 0;

	assert_false(schedule_wants_full(&s));	/* take finds out by itself */
	s.last.time_ns = 1;
	for (unsigned int i = 0; i < 40; i++) {
		bool full = schedule_wants_full(&s);

		fulls += full;
		s.last.seq = full ? 0 : s.last.seq + 1;
		assert_true(s.last.seq < 4);
	}
	assert_int_equal(fulls, 10);
	s.spec.full_every = 1;
	s.last.seq = 0;
	assert_true(schedule_wants_full(&s));
	s.spec.full_every = 0;
	s.last.seq = 900;
	assert_false(schedule_wants_full(&s));
}

/* --- results ------------------------------------------------------------------------------- */

static bool finish(struct schedule *s, int code, const char *out, const char *err)
{
	struct schedule_now now = at(50);
	struct schedule_result r = { .exit_code = code, .out = out, .err = err };

	return schedule_finish(s, &now, &r);
}

static void test_results(void **state)
{
	struct schedule s = make(5, 4);
	struct schedule_now now = at(60);
	struct schedule_result late = { .exit_code = -9, .out = "", .err = "", .timed_out = true };

	assert_true(finish(&s, 0, GOOD_OUT, ""));
	assert_int_equal(s.taken, 1);
	assert_int_equal(s.last.time_ns, at(50).real_ns);
	assert_string_equal(s.last.id, "00000000000000aa");
	assert_int_equal(s.last.seq, 3);
	assert_int_equal(s.last.pause_us, 4200);

	/* the last line is the reason; no control character gets through */
	assert_false(finish(&s, 1, "", "checkpoint: one thing\n"
			    "checkpoint: " U1 ": no checkpoint: no \x1b[31mspace\n\n"));
	assert_string_equal(s.error.text, "no ?[31mspace");
	assert_int_equal(s.failed, 1);
	assert_true(s.failing);
	assert_string_equal(s.last.id, "00000000000000aa");

	assert_false(finish(&s, CMD_NO_DOMAIN, "", "whatever"));
	assert_string_equal(s.error.text, "domain is not here");
	assert_true(s.absent);
	assert_false(finish(&s, -11, "", ""));
	assert_string_equal(s.error.text, "the job died of signal 11");
	assert_false(finish(&s, 126, "", ""));
	assert_string_equal(s.error.text, "the job ended with exit code 126");
	assert_false(schedule_finish(&s, &now, &late));
	assert_string_equal(s.error.text, "it took too long and was ended");
	assert_false(finish(&s, 0, "not JSON", ""));
	assert_false(finish(&s, 0, "[1]", ""));
	assert_int_equal(s.failed, 7);
	assert_int_equal(s.taken, 1);

	/* all is well again; what goes wrong behind it is told, and is no failure */
	assert_true(finish(&s, 0, "{\"domain\": \"web2\", \"id\": \"b\", \"object\": \"o\", \"seq\": 0, "
			   "\"retain_error\": \"store is odd\"}", ""));
	assert_false(s.absent || s.failing);
	assert_string_equal(s.spec.name, "web2");
	assert_string_equal(s.prune.text, "store is odd");
	assert_true(finish(&s, 0, "{\"domain\": \"../web3\", \"id\": \"c\", \"object\": \"o\"}", ""));
	assert_string_equal(s.spec.name, "web2");
	assert_int_equal(s.prune.time_ns, 0);
	assert_int_equal(s.taken, 3);
}

static void test_long_error(void **state)
{
	struct schedule s = make(5, 4);
	char text[5000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_false(finish(&s, 1, "", text));
	assert_int_equal(strlen(s.error.text), SCHEDULE_ERROR_MAX);
}

/* --- JSON ------------------------------------------------------------------------------------ */

static void test_round_trip(void **state)
{
	struct schedule s = make(10, 4), back;
	struct schedule_now now = at(3), later;
	char why[200] = "";
	json_t *json;

	finish(&s, 1, "", "checkpoint: disk full\n");
	finish(&s, 0, GOOD_OUT, "");
	s.missed = 7;
	s.due_ns = at(10).mono_ns;
	json = schedule_to_json(&s, &now);
	assert_non_null(json);
	/* another boot, 4 s later: the monotonic clock is another one */
	later = (struct schedule_now){ 777 * SECOND, at(7).real_ns };
	assert_int_equal(schedule_from_json(json, &later, &back, why), 0);
	assert_int_equal(back.due_ns, later.mono_ns + 3 * SECOND);
	assert_memory_equal(&back.spec, &s.spec, sizeof(s.spec));
	assert_int_equal(back.missed, 7);
	assert_int_equal(back.taken, 1);
	assert_int_equal(back.failed, 1);
	assert_memory_equal(&back.last, &s.last, sizeof(s.last));
	assert_string_equal(back.error.text, "disk full");
	/* an hour later: 359 or so were missed */
	later.real_ns = at(3600).real_ns;
	later.mono_ns = MONO0;
	assert_int_equal(schedule_from_json(json, &later, &back, why), 0);
	assert_int_equal(schedule_resume(&back, &later), 360);
	/* the clock was set back a year: not waited for longer than one interval */
	later.real_ns -= INT64_C(365) * 86400 * (int64_t)SECOND;
	assert_int_equal(schedule_from_json(json, &later, &back, why), 0);
	assert_int_equal(back.due_ns, later.mono_ns + 10 * SECOND);
	/* a deadline of before the clock began */
	later.real_ns = REAL0;
	later.mono_ns = 5;
	json_object_set_new(json, "next_due_ns", json_integer(0));
	assert_int_equal(schedule_from_json(json, &later, &back, why), 0);
	assert_int_equal(back.due_ns, 0);
	json_object_set_new(json, "version", json_integer(2));
	assert_int_equal(schedule_from_json(json, &later, &back, why), -EINVAL);
	json_decref(json);
}

#define SPEC(uuid, name, store, every, keep, full) \
	"{\"uuid\": " uuid ", \"name\": \"" name "\", \"store\": \"" store "\", \"every_ms\": " every \
	", \"keep\": " keep ", \"full_every\": " full "}"
#define Q1 "\"" U1 "\""

static const char *const bad_specs[] = {
	"{}",
	SPEC("5", "a", "/s", "5000", "1", "1"),
	SPEC("\"../../etc\"", "a", "/s", "5000", "1", "1"),
	SPEC(Q1, "a/b", "/s", "5000", "1", "1"),
	SPEC(Q1, "", "/s", "5000", "1", "1"),
	SPEC(Q1, "a", "s", "5000", "1", "1"),
	SPEC(Q1, "a", "--help", "5000", "1", "1"),
	SPEC(Q1, "a", "ftp://h/s", "5000", "1", "1"),
	SPEC(Q1, "a", "http://u:p@h/s", "5000", "1", "1"),
	SPEC(Q1, "a", "/s\\nx", "5000", "1", "1"),
	SPEC(Q1, "a", "/s", "999", "1", "1"),
	SPEC(Q1, "a", "/s", "604800001", "1", "1"),
	SPEC(Q1, "a", "/s", "4294968296", "1", "1"),
	SPEC(Q1, "a", "/s", "5000.5", "1", "1"),
	SPEC(Q1, "a", "/s", "\"5000\"", "1", "1"),
	SPEC(Q1, "a", "/s", "5000", "0", "1"),
	SPEC(Q1, "a", "/s", "5000", "10001", "1"),
	SPEC(Q1, "a", "/s", "5000", "1", "-1"),
	"{\"uuid\": " Q1 ", \"name\": \"a\", \"store\": \"/s\", \"every_ms\": 5000, \"keep\": 1}",
};

static void test_bad_specs(void **state)
{
	static const char good[] = SPEC(Q1, "a", "s3://b/p@q", "1000", "10000", "0");
	struct schedule_spec spec;
	json_t *json;
	char why[200];

	for (size_t i = 0; i < sizeof(bad_specs) / sizeof(bad_specs[0]); i++) {
		json = json_loads(bad_specs[i], 0, NULL);
		assert_non_null(json);
		why[0] = '\0';
		assert_int_equal(schedule_spec_from_json(json, &spec, why), -EINVAL);
		assert_string_not_equal(why, "");
		assert_null(strstr(why, "u:p"));
		json_decref(json);
	}
	json = json_loads(good, 0, NULL);
	assert_int_equal(schedule_spec_from_json(json, &spec, why), 0);
	assert_int_equal(spec.keep, 10000);
	json_decref(json);
}

/* --- a world of our own ------------------------------------------------------------------------- */

struct schedule_job {
	bool done, dead;
	int code, signals;
	const char *out, *err;
	bool full;
	char domain[UUID_TEXT_BYTES];
};

#define JOBS_MAX 64

struct world {
	struct schedule_now now;
	struct schedule_job job[JOBS_MAX];
	unsigned int started, released;
	int start_error;
	char dir[256];
	struct schedules *s;
};

static void fake_now(void *ctx, struct schedule_now *now)
{
	*now = ((struct world *)ctx)->now;
}

static int fake_start(void *ctx, const struct schedule *s, bool full, struct schedule_job **job)
{
	struct world *w = ctx;

	if (w->start_error)
		return w->start_error;
	assert_true(w->started < JOBS_MAX);
	*job = &w->job[w->started++];
	**job = (struct schedule_job){ .full = full, .out = GOOD_OUT, .err = "" };
	uuid_format(s->spec.uuid, (*job)->domain);
	return 0;
}

static bool fake_poll(void *ctx, struct schedule_job *job, struct schedule_result *r)
{
	*r = (struct schedule_result){ .exit_code = job->dead ? -SIGKILL : job->code,
				       .out = job->out, .err = job->err };
	return job->done || job->dead;
}

static void fake_kill(void *ctx, struct schedule_job *job, int sig)
{
	job->signals += sig == SIGTERM ? 1 : 100;
	job->dead |= sig == SIGKILL;
}

static void fake_release(void *ctx, struct schedule_job *job)
{
	((struct world *)ctx)->released++;
}

static const struct schedules_ops fake_ops = {
	.now = fake_now, .start = fake_start, .poll = fake_poll, .kill = fake_kill,
	.release = fake_release,
};

static void world_open(struct world *w)
{
	struct schedules_params p = { .dir = w->dir, .job_timeout_s = 60, .ops = &fake_ops, .ctx = w };

	assert_int_equal(schedules_open(&p, &w->s), 0);
}

static void world_init(struct world *w)
{
	const char *tmp = getenv("TEST_TMP");

	*w = (struct world){ .now = at(0) };
	snprintf(w->dir, sizeof(w->dir), "%s/sched-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(w->dir));
	log_init("test", LOG_LEVEL_ERR);
	world_open(w);
}

static unsigned int files(const struct world *w)
{
	DIR *d = opendir(w->dir);
	unsigned int nr = 0;
	struct dirent *e;

	assert_non_null(d);
	while ((e = readdir(d)))
		nr += e->d_name[0] != '.';
	closedir(d);
	return nr;
}

static void world_release(struct world *w)
{
	char command[512];

	schedules_close(w->s);
	assert_int_equal(w->started, w->released);
	snprintf(command, sizeof(command), "rm -r '%s'", w->dir);
	assert_int_equal(system(command), 0);
}

/* Killed: what is in memory is lost, jobs go on without us. */
static void world_kill(struct world *w)
{
	for (unsigned int i = 0; i < w->started; i++)
		w->job[i].dead = true;	/* so that close does not wait; its result is not kept */
	schedules_close(w->s);
	world_open(w);
}

static void tick_at(struct world *w, uint64_t s)
{
	w->now = at(s);
	schedules_tick(w->s);
}

static int set(struct world *w, const char *uuid, const char *name, unsigned int every_s)
{
	struct schedule_spec spec = { .every_ms = every_s * 1000, .keep = 3, .full_every = 4 };
	json_t *reply = NULL;
	int ret;

	uuid_parse(uuid, spec.uuid);
	strcpy(spec.name, name);
	strcpy(spec.store, "/store");
	ret = schedules_set(w->s, &spec, &reply);
	assert_int_equal(!ret, json_is_object(reply));
	json_decref(reply);
	return ret;
}

/* A member of the schedule at @index, -1 if that has none (or there is no such schedule). */
static json_int_t member(struct world *w, unsigned int index, const char *name)
{
	json_t *list = schedules_list(w->s);
	const json_t *j = json_object_get(json_array_get(json_object_get(list, "schedules"), index),
					  name);
	json_int_t n = json_is_integer(j) ? json_integer_value(j) : -1;

	json_decref(list);
	return n;
}

static bool member_is(struct world *w, unsigned int index, const char *name, const char *text)
{
	json_t *list = schedules_list(w->s);
	const json_t *one = json_array_get(json_object_get(list, "schedules"), index);
	const json_t *j = json_object_get(one, name);
	const char *have = json_string_value(json_is_object(j) ? json_object_get(j, "text") : j);
	bool same = have && !strcmp(have, text);

	json_decref(list);
	return same;
}

static void test_life(void **state)
{
	struct world w;

	world_init(&w);
	assert_int_equal(set(&w, U1, "web1", 5), 0);
	assert_int_equal(files(&w), 1);
	tick_at(&w, 0);
	assert_int_equal(w.started, 1);
	assert_false(w.job[0].full);
	assert_string_equal(w.job[0].domain, U1);
	assert_true(member_is(&w, 0, "state", "running"));
	w.job[0].done = true;
	tick_at(&w, 1);
	assert_true(member_is(&w, 0, "state", "waiting"));
	assert_int_equal(member(&w, 0, "taken"), 1);
	tick_at(&w, 4);
	assert_int_equal(w.started, 1);
	tick_at(&w, 5);
	assert_int_equal(w.started, 2);
	assert_true(w.job[1].full);	/* seq was 3 of 4 */
	/* it takes until 17: 10 and 15 are missed */
	tick_at(&w, 10);
	tick_at(&w, 15);
	assert_int_equal(member(&w, 0, "missed"), 2);
	w.job[1].done = true;
	w.job[1].code = 1;
	w.job[1].err = "checkpoint: web1: no checkpoint: No space left on device\n";
	tick_at(&w, 17);
	assert_int_equal(w.started, 2);
	assert_int_equal(member(&w, 0, "failed"), 1);
	assert_true(member_is(&w, 0, "last_error", "No space left on device"));
	tick_at(&w, 20);
	assert_int_equal(w.started, 3);
	assert_int_equal(member(&w, 0, "missed"), 2);
	/* stopped while it runs: the file goes now, the job is asked, nothing is started */
	assert_int_equal(schedules_stop(w.s, "web1"), 0);
	assert_int_equal(files(&w), 0);
	assert_int_equal(w.job[2].signals, 1);
	assert_int_equal(member(&w, 0, "missed"), -1);
	w.job[2].done = true;
	tick_at(&w, 25);
	tick_at(&w, 60);
	assert_int_equal(w.started, 3);
	assert_int_equal(w.released, 3);
	assert_int_equal(schedules_stop(w.s, "web1"), -ENOENT);
	world_release(&w);
}

static void test_restart(void **state)
{
	struct world w;

	world_init(&w);
	set(&w, U1, "web1", 5);
	tick_at(&w, 0);
	w.job[0].done = true;
	tick_at(&w, 1);
	/* killed at 1, back at 3: nothing was missed, the next one is that of 5 */
	world_kill(&w);
	tick_at(&w, 3);
	assert_int_equal(member(&w, 0, "missed"), 0);
	assert_int_equal(member(&w, 0, "taken"), 1);
	assert_int_equal(w.started, 1);
	tick_at(&w, 5);
	assert_int_equal(w.started, 2);
	tick_at(&w, 11);		/* misses 10 */
	assert_int_equal(member(&w, 0, "missed"), 1);
	/* killed with a job at work, back at 23: 5, whose end nobody saw, 10, 15 and 20 */
	w.now = at(23);
	world_kill(&w);
	assert_int_equal(member(&w, 0, "missed"), 4);
	schedules_tick(w.s);
	assert_int_equal(w.started, 3);
	w.job[2].done = true;
	tick_at(&w, 24);
	assert_int_equal(member(&w, 0, "taken"), 2);
	tick_at(&w, 27);
	assert_int_equal(w.started, 3);
	tick_at(&w, 28);
	assert_int_equal(w.started, 4);
	world_release(&w);
}

/* A clean end: what is under way is asked to end, and is no failure afterwards. */
static void test_clean_end(void **state)
{
	struct world w;

	world_init(&w);
	set(&w, U1, "web1", 5);
	tick_at(&w, 0);
	w.job[0].done = true;
	w.job[0].code = 1;
	schedules_close(w.s);
	assert_int_equal(w.job[0].signals, 1);
	w.now = at(1);
	world_open(&w);
	assert_int_equal(member(&w, 0, "failed"), 0);
	assert_int_equal(member(&w, 0, "missed"), 1);
	world_release(&w);
}

/* One hangs in its store: it alone misses; in the end it is asked, then killed. */
static void test_hang(void **state)
{
	struct world w;

	world_init(&w);
	set(&w, U1, "web1", 5);
	set(&w, U2, "web2", 10);
	tick_at(&w, 0);
	assert_int_equal(w.started, 2);
	for (uint64_t s = 1; s <= 59; s++) {
		for (unsigned int i = 1; i < w.started; i++)
			w.job[i].done = true;
		tick_at(&w, s);
	}
	assert_int_equal(w.started, 7);
	assert_int_equal(member(&w, 0, "missed"), 11);
	assert_int_equal(member(&w, 1, "missed"), 0);
	assert_int_equal(member(&w, 1, "taken"), 6);
	assert_int_equal(w.job[0].signals, 0);
	for (unsigned int i = 1; i < w.started; i++)
		w.job[i].done = true;
	tick_at(&w, 60);
	w.job[7].done = true;
	assert_int_equal(w.job[0].signals, 1);
	tick_at(&w, 89);
	assert_int_equal(w.job[0].signals, 1);
	tick_at(&w, 90);
	assert_int_equal(w.job[0].signals, 101);
	tick_at(&w, 91);
	assert_int_equal(member(&w, 0, "failed"), 1);
	assert_true(member_is(&w, 0, "last_error", "it took too long and was ended"));
	for (unsigned int i = 0; i < w.started; i++)
		w.job[i].done = true;
	tick_at(&w, 95);
	assert_true(member_is(&w, 0, "state", "running"));
	for (unsigned int i = 0; i < w.started; i++)
		w.job[i].done = true;
	world_release(&w);
}

static void test_absent(void **state)
{
	struct world w;

	world_init(&w);
	set(&w, U1, "web1", 5);
	for (unsigned int i = 0; i < 4; i++) {
		tick_at(&w, i * 5);
		assert_int_equal(w.started, i + 1);
		w.job[i].done = true;
		w.job[i].code = i < 3 ? CMD_NO_DOMAIN : 0;
		tick_at(&w, i * 5 + 1);
		assert_true(member_is(&w, 0, "state", i < 3 ? "inactive" : "waiting"));
	}
	assert_int_equal(member(&w, 0, "missed"), 0);
	assert_int_equal(member(&w, 0, "taken"), 1);
	/* no process can be made: tried again at the next deadline */
	w.start_error = -EAGAIN;
	tick_at(&w, 20);
	w.start_error = 0;
	assert_int_equal(member(&w, 0, "failed"), 4);
	tick_at(&w, 25);
	assert_int_equal(w.started, 5);
	w.job[4].done = true;
	world_release(&w);
}

static void test_replace(void **state)
{
	struct world w;

	world_init(&w);
	set(&w, U1, "web1", 5);
	tick_at(&w, 0);
	/* the old one's job is not the new one's */
	assert_int_equal(set(&w, U1, "web1", 7), 0);
	assert_int_equal(files(&w), 1);
	assert_int_equal(member(&w, 0, "every_ms"), 7000);
	assert_int_equal(member(&w, 1, "every_ms"), -1);
	tick_at(&w, 6);
	w.job[0].done = true;
	tick_at(&w, 6);
	assert_int_equal(member(&w, 0, "taken"), 0);
	assert_int_equal(member(&w, 0, "missed"), 0);
	tick_at(&w, 7);
	assert_int_equal(w.started, 2);
	w.job[1].done = true;
	/* two domains of one name */
	assert_int_equal(set(&w, U2, "web1", 5), 0);
	assert_int_equal(schedules_stop(w.s, "web1"), -ENOTUNIQ);
	assert_int_equal(schedules_stop(w.s, U2), 0);
	assert_int_equal(schedules_stop(w.s, "web1"), 0);
	assert_int_equal(files(&w), 0);
	w.job[1].done = true;
	world_release(&w);
}

static void test_many(void **state)
{
	struct world w;
	char uuid[64], name[16];

	world_init(&w);
	for (unsigned int i = 0; i <= SCHEDULES_MAX; i++) {
		snprintf(uuid, sizeof(uuid), "%08x-2222-4333-8444-555555555555", i);
		snprintf(name, sizeof(name), "d%u", i);
		assert_int_equal(set(&w, uuid, name, 5), i < SCHEDULES_MAX ? 0 : -ENOSPC);
	}
	assert_int_equal(files(&w), SCHEDULES_MAX);
	assert_int_equal(set(&w, "00000003-2222-4333-8444-555555555555", "d3", 9), 0);
	world_release(&w);
}

/* Whatever lies in the folder: what is no schedule is neither obeyed nor removed. */
static void test_spoilt_files(void **state)
{
	static const char *const text[] = {
		"", "{", "[]", "null", "{\"version\": 1}", "{\"version\": 9}", NULL,
	};
	struct world w;
	char path[600], *whole;
	size_t len;

	world_init(&w);
	set(&w, U1, "web1", 5);
	schedules_close(w.s);
	snprintf(path, sizeof(path), "%s/" U1 ".json", w.dir);
	assert_int_equal(io_read_file(path, 65536, &whole, &len), 0);
	for (size_t i = 0; text[i]; i++) {
		assert_int_equal(io_write_file_atomic(path, text[i], strlen(text[i]), 0600), 0);
		world_open(&w);
		assert_int_equal(member(&w, 0, "missed"), -1);
		schedules_close(w.s);
		assert_int_equal(files(&w), 1);
	}
	/* cut at any byte, too long, and under another domain's name */
	for (size_t n = 0; n < len - 2; n += 7) {
		assert_int_equal(io_write_file_atomic(path, whole, n, 0600), 0);
		world_open(&w);
		assert_int_equal(member(&w, 0, "missed"), -1);
		schedules_close(w.s);
	}
	assert_int_equal(truncate(path, SCHEDULES_FILE_MAX + 1), 0);
	world_open(&w);
	assert_int_equal(member(&w, 0, "missed"), -1);
	schedules_close(w.s);
	unlink(path);
	snprintf(path, sizeof(path), "%s/" U2 ".json", w.dir);
	assert_int_equal(io_write_file_atomic(path, whole, len, 0600), 0);
	world_open(&w);
	assert_int_equal(member(&w, 0, "missed"), -1);
	free(whole);
	world_release(&w);
}

/* --- HTTP --------------------------------------------------------------------------------------------- */

static int request(struct world *w, bool local, const char *method, const char *path,
		   const char *body, json_t **reply)
{
	int status = schedule_api_handle(w->s, local, method, path, body, body ? strlen(body) : 0,
					 reply);

	assert_true(json_is_object(*reply));
	if (status != 200)
		assert_true(json_string_length(json_object_get(*reply, "error")) > 0);
	return status;
}

static int status_of(struct world *w, bool local, const char *method, const char *path,
		     const char *body)
{
	json_t *reply;
	int status = request(w, local, method, path, body, &reply);

	json_decref(reply);
	return status;
}

#define GOOD_SPEC SPEC(Q1, "web1", "/s", "5000", "12", "20")
#define STOP "/v1/schedules/stop"

static void test_api(void **state)
{
	static const char *const foreign[][2] = {
		{ "GET", "/v1/schedules" }, { "POST", "/v1/schedules" }, { "POST", STOP },
		{ "PUT", "/v1/schedules" }, { "GET", "/v1/schedules/no" },
	};
	struct world w;
	char away[300];
	json_t *reply;
	char *big;

	world_init(&w);
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		assert_int_equal(status_of(&w, false, foreign[i][0], foreign[i][1], GOOD_SPEC), 403);
	assert_int_equal(files(&w), 0);
	for (size_t i = 0; i < sizeof(bad_specs) / sizeof(bad_specs[0]); i++)
		assert_int_equal(status_of(&w, true, "POST", "/v1/schedules", bad_specs[i]), 400);
	assert_int_equal(status_of(&w, true, "POST", "/v1/schedules", NULL), 400);
	assert_int_equal(status_of(&w, true, "POST", "/v1/schedules", "[]"), 400);
	assert_int_equal(status_of(&w, true, "POST", "/v1/schedules", "{\"a\": 1, \"a\": 2}"), 400);
	big = malloc(SCHEDULE_API_BODY_MAX + 2);
	assert_non_null(big);
	memset(big, '[', SCHEDULE_API_BODY_MAX + 1);
	big[SCHEDULE_API_BODY_MAX + 1] = '\0';
	assert_int_equal(status_of(&w, true, "POST", "/v1/schedules", big), 413);
	big[SCHEDULE_API_BODY_MAX] = '\0';
	assert_int_equal(status_of(&w, true, "POST", "/v1/schedules", big), 400);
	free(big);
	assert_int_equal(status_of(&w, true, "GET", "/v1/schedules/stop", NULL), 405);
	assert_int_equal(status_of(&w, true, "DELETE", "/v1/schedules", NULL), 405);
	assert_int_equal(status_of(&w, true, "GET", "/v1/schedules/" U1, NULL), 404);
	assert_int_equal(files(&w), 0);

	assert_int_equal(request(&w, true, "POST", "/v1/schedules", GOOD_SPEC, &reply), 200);
	assert_string_equal(json_string_value(json_object_get(reply, "uuid")), U1);
	assert_int_equal(json_integer_value(json_object_get(reply, "next_due_ns")), REAL0);
	json_decref(reply);
	assert_int_equal(request(&w, true, "GET", "/v1/schedules", NULL, &reply), 200);
	assert_int_equal(json_array_size(json_object_get(reply, "schedules")), 1);
	json_decref(reply);
	assert_int_equal(status_of(&w, true, "POST", STOP, "{}"), 400);
	assert_int_equal(status_of(&w, true, "POST", STOP, "{\"domain\": 7}"), 400);
	assert_int_equal(status_of(&w, true, "POST", STOP, "{\"domain\": \"x\"}"), 404);
	assert_int_equal(status_of(&w, true, "POST", STOP, "{\"domain\": \"web1\"}"), 200);
	assert_int_equal(files(&w), 0);
	/* a folder that went away: said, and nothing is promised */
	snprintf(away, sizeof(away), "%s.away", w.dir);
	assert_int_equal(rename(w.dir, away), 0);
	assert_int_equal(status_of(&w, true, "POST", "/v1/schedules", GOOD_SPEC), 500);
	assert_int_equal(rename(away, w.dir), 0);
	assert_int_equal(member(&w, 0, "missed"), -1);
	world_release(&w);
}

static struct sockaddr_storage address(const char *text)
{
	struct sockaddr_storage sa = { 0 };
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&sa;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&sa;

	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
		sa.ss_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1)
		sa.ss_family = AF_INET6;
	return sa;
}

static void test_local(void **state)
{
	static const struct {
		const char *peer, *self;
		bool local;
	} t[] = {
		{ "127.0.0.1", "127.0.0.1", true }, { "127.9.9.9", "127.0.0.1", true },
		{ "::1", "::1", true }, { "::ffff:127.0.0.1", "::ffff:127.0.0.1", true },
		{ "10.77.0.1", "10.77.0.1", true }, { "::ffff:10.77.0.1", "10.77.0.1", true },
		{ "10.77.0.2", "10.77.0.1", false }, { "::ffff:10.77.0.2", "::ffff:10.77.0.1", false },
		{ "fe80::1", "fe80::2", false }, { "fe80::2", "fe80::2", true },
		{ "128.0.0.1", "127.0.0.1", false }, { "::", "::1", false },
		{ "::7f00:1", "::1", false }, { "unix", "127.0.0.1", false },
		{ "10.0.0.1", "unix", false },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct sockaddr_storage p = address(t[i].peer), s = address(t[i].self);

		assert_int_equal(schedule_api_is_local((struct sockaddr *)&p, (struct sockaddr *)&s),
				 t[i].local);
	}
	assert_false(schedule_api_is_local(NULL, NULL));
	assert_true(schedule_api_is_mine("/v1/schedules"));
	assert_true(schedule_api_is_mine("/v1/schedules/stop"));
	assert_false(schedule_api_is_mine("/v1/schedulesx"));
	assert_false(schedule_api_is_mine("/v1/sessions"));
}

/* --- real processes ------------------------------------------------------------------------------------ */

#define POLLS 500		/* of 10 ms */

/* What a job that runs @script came to; killed after @kill_after polls, if not 0. */
static struct schedule run_real(const char *script, unsigned int alarm_s, int sig,
				unsigned int kill_after)
{
	struct schedule_world w = { .alarm_s = alarm_s };
	struct schedule s = make(5, 0);
	struct schedule_result r = { 0 };
	struct schedule_job *job;
	struct schedule_now now;
	const char *tmp = getenv("TEST_TMP");
	unsigned int i = 0;

	snprintf(w.program, sizeof(w.program), "%s/schedule-job.%d", tmp ? tmp : "/tmp", getpid());
	if (script)
		assert_int_equal(io_write_file_atomic(w.program, script, strlen(script), 0755), 0);
	assert_int_equal(schedule_job_ops.start(&w, &s, true, &job), 0);
	while (!schedule_job_ops.poll(&w, job, &r)) {
		assert_true(++i < POLLS);
		if (kill_after && i == kill_after)
			schedule_job_ops.kill(&w, job, sig);
		usleep(10000);
	}
	schedule_job_ops.now(&w, &now);
	schedule_finish(&s, &now, &r);
	schedule_job_ops.release(&w, job);
	if (script)
		unlink(w.program);
	return s;
}

static void test_real_job(void **state)
{
	int leak = dup(STDERR_FILENO);	/* not close-on-exec */
	struct schedule s;

	assert_true(leak > STDERR_FILENO);
	setenv("SCHEDULE_TEST", "inherited", 1);
	/* arguments, environment, descriptors: ls has one of its own beside 0, 1 and 2 */
	s = run_real("#!/bin/sh\n"
		     "fds=$(ls /proc/self/fd | wc -l)\n"
		     "printf '{\"domain\": \"web1\", \"id\": \"%s\", \"object\": \"%s\", \"seq\": %d}' "
		     "\"$SCHEDULE_TEST\" \"$*\" $fds\n"
		     "echo odd >&2\n", 60, 0, 0);
	close(leak);
	assert_int_equal(s.taken, 1);
	assert_string_equal(s.last.id, "inherited");
	assert_string_equal(s.last.object, "take --json --keep 3 --full --merge -- " U1 " /store");
	assert_int_equal(s.last.seq, 4);
}

static void test_real_failures(void **state)
{
	struct schedule s = run_real("#!/bin/sh\necho 'checkpoint: it is full' >&2\nexit 1\n", 60, 0, 0);

	assert_string_equal(s.error.text, "it is full");
	s = run_real("#!/bin/sh\nexit 3\n", 60, 0, 0);
	assert_true(s.absent);
	s = run_real(NULL, 60, 0, 0);
	assert_string_equal(s.error.text, "the job ended with exit code 127");
	/* more than anybody reads: its end counts */
	s = run_real("#!/bin/sh\nhead -c 300000 /dev/zero | tr '\\0' 'x' >&2\necho >&2\n"
		     "echo last >&2\nexit 1\n", 60, 0, 0);
	assert_string_equal(s.error.text, "last");
	/* asked to end, killed, and ended by its own alarm clock when nobody is there to do so */
	s = run_real("#!/bin/sh\nexec sleep 100\n", 60, SIGTERM, 20);
	assert_string_equal(s.error.text, "the job died of signal 15");
	s = run_real("#!/bin/sh\ntrap '' TERM\nexec sleep 100\n", 60, SIGKILL, 20);
	assert_string_equal(s.error.text, "the job died of signal 9");
	s = run_real("#!/bin/sh\nexec sleep 100\n", 1, 0, 0);
	assert_string_equal(s.error.text, "the job died of signal 14");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_durations), cmocka_unit_test(test_pass),
		cmocka_unit_test(test_steps), cmocka_unit_test(test_resume),
		cmocka_unit_test(test_wants_full), cmocka_unit_test(test_results),
		cmocka_unit_test(test_long_error), cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_bad_specs), cmocka_unit_test(test_life),
		cmocka_unit_test(test_restart), cmocka_unit_test(test_clean_end),
		cmocka_unit_test(test_hang), cmocka_unit_test(test_absent),
		cmocka_unit_test(test_replace), cmocka_unit_test(test_many),
		cmocka_unit_test(test_spoilt_files), cmocka_unit_test(test_api),
		cmocka_unit_test(test_local), cmocka_unit_test(test_real_job),
		cmocka_unit_test(test_real_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
