/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One schedule: "checkpoint this domain into that store, every so often".  Rules
 * and bookkeeping only; no clock, process or file is touched here.
 *
 * Invariants: a deadline is met once or missed once.  It is missed when the last
 * job still runs then, or nobody was there to start one; what was missed is
 * counted and never made up for, except that after an absence one job starts at
 * once.  So there is at most one job of a schedule, whatever the store does.
 *
 * Deadlines live on a clock that never steps (mono_ns) and are written down as
 * wall-clock time, since that is what a restart of the host leaves.
 *
 * No credential is ever part of a schedule: the store's address cannot hold one.
 */
#ifndef MIGRATE_SCHEDULE_H
#define MIGRATE_SCHEDULE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "toolstack/config.h"

#define SCHEDULE_EVERY_MIN_MS	1000u
#define SCHEDULE_EVERY_MAX_MS	(7u * 24 * 3600 * 1000)
#define SCHEDULE_KEEP_MAX	10000u
#define SCHEDULE_FULL_EVERY_MAX	10000u
#define SCHEDULE_STORE_MAX	1024u
#define SCHEDULE_ERROR_MAX	300u
#define SCHEDULE_OBJECT_MAX	260u
#define SCHEDULE_KEEP_DEFAULT	12u
#define SCHEDULE_FULL_EVERY_DEFAULT 20u

/** What a user asked for. */
struct schedule_spec {
	uint8_t uuid[16];		/* the domain; the name is for people */
	char name[CONFIG_MAX_NAME + 1];
	char store[SCHEDULE_STORE_MAX + 1];
	unsigned int every_ms;
	unsigned int keep;		/* newest ones that stay */
	unsigned int full_every;	/* every so manieth starts a new chain; 0 never */
	int64_t created_ns;		/* wall clock */
};

/** The newest checkpoint that was taken. */
struct schedule_success {
	int64_t time_ns;		/* wall clock; 0: there is none */
	char id[17];
	char object[SCHEDULE_OBJECT_MAX + 1];
	uint64_t seq, bytes, pause_us, us;
};

struct schedule_error {
	int64_t time_ns;		/* wall clock; 0: there is none */
	char text[SCHEDULE_ERROR_MAX + 1];
};

struct schedule {
	struct schedule_spec spec;
	uint64_t due_ns;		/* mono_ns of the next deadline */
	uint64_t taken, failed, missed;
	bool absent;			/* the domain was not here the last time */
	bool failing;			/* the last job came to nothing */
	struct schedule_success last;
	struct schedule_error error;	/* the last one, also when all is well since */
	struct schedule_error prune;	/* why old ones are still there; gone with the next good prune */
};

/** Both clocks, read together. */
struct schedule_now {
	uint64_t mono_ns;
	int64_t real_ns;
};

/** What a finished job left: docs/schedules.md. */
struct schedule_result {
	int exit_code;			/* enum cmd_exit, or minus the signal that ended it */
	const char *out, *err;		/* its two outputs, NUL-terminated */
	bool timed_out;
};

/**
 * schedule_parse_duration() - "200ms", "5s", "2m", "1h", "7d".
 * @ms: gets it
 *
 * Return: 0; -EINVAL no such thing; -ERANGE beyond SCHEDULE_EVERY_MAX_MS.
 */
int schedule_parse_duration(const char *text, unsigned int *ms);

/** schedule_format_duration() - the inverse, in the largest unit that fits whole. */
void schedule_format_duration(unsigned int ms, char text[16]);

/**
 * schedule_spec_from_json() - judge what somebody asks for.
 * @json: members uuid, name, store, every_ms, keep, full_every; others are ignored
 * @out:  created_ns is left 0
 * @why:  the member at fault, one line
 *
 * Return: 0; -EINVAL.
 */
int schedule_spec_from_json(const json_t *json, struct schedule_spec *out, char why[200]);

/** schedule_init() - a new schedule whose first checkpoint is due now. */
void schedule_init(struct schedule *s, const struct schedule_spec *spec,
		   const struct schedule_now *now);

/** schedule_to_json() - what the file holds and the list shows; NULL: no memory. */
json_t *schedule_to_json(const struct schedule *s, const struct schedule_now *now);

/**
 * schedule_from_json() - the inverse, of a file that anything may have happened to.
 *
 * A deadline further away than one interval (the clock was set back) is brought near.
 * Return: 0; -EINVAL with @why.
 */
int schedule_from_json(const json_t *json, const struct schedule_now *now, struct schedule *out,
		       char why[200]);

/**
 * schedule_pass() - take note of deadlines that have come.
 * @due_ns:   the next one; moved behind @now_ns
 * @every_ns: between two, not 0
 *
 * Return: how many have come, @now_ns included.
 */
uint64_t schedule_pass(uint64_t *due_ns, uint64_t every_ns, uint64_t now_ns);

/**
 * schedule_resume() - after nobody looked for a while.
 *
 * Return: how many deadlines were missed; if any, the next one is now.
 */
uint64_t schedule_resume(struct schedule *s, const struct schedule_now *now);

enum schedule_step {
	SCHEDULE_WAIT,			/* nothing to do */
	SCHEDULE_START,			/* start a job */
};

/**
 * schedule_step() - what is to be done now.
 * @running: is its last job?
 * @missed:  gets how many deadlines were missed just now
 */
enum schedule_step schedule_step(struct schedule *s, const struct schedule_now *now, bool running,
				 uint64_t *missed);

/** schedule_wants_full() - shall the next one start a new chain? */
bool schedule_wants_full(const struct schedule *s);

/** schedule_start_failed() - no job could be started. */
void schedule_start_failed(struct schedule *s, const struct schedule_now *now, int err);

/** schedule_finish() - a job has ended; true if it took a checkpoint. */
bool schedule_finish(struct schedule *s, const struct schedule_now *now,
		     const struct schedule_result *r);

#endif
