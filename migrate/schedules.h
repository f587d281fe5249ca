/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All schedules of this host: godwitd's part of `checkpoint DOM STORE --every`.
 *
 * Each checkpoint is a process of its own, `checkpoint take`: one that hangs in a
 * slow store, or crashes, takes nothing with it, neither other schedules nor moves,
 * and can be ended from outside.  The daemon only keeps the times.
 *
 * Invariant: a schedule exists if and only if its file does, FOLDER/UUID.json; it
 * is written when it is set and after each job, so that time of next deadline and
 * number of missed ones in it belong together, and whatever came between that and
 * a restart is counted then.
 *
 * One lock over all of it; no job is waited for under it.
 */
#ifndef MIGRATE_SCHEDULES_H
#define MIGRATE_SCHEDULES_H

#include <sys/types.h>

#include "migrate/schedule.h"

#define SCHEDULES_DIR		"/var/lib/godwit/schedules"
#define SCHEDULES_MAX		64u
#define SCHEDULES_FILE_MAX	(16u * 1024)
#define SCHEDULES_GRACE_S	30u	/* between asking a job to end, and ending it */

struct schedules;
struct schedule_job;

/** What schedules need of the world; tests have a world of their own. */
struct schedules_ops {
	/** now() - both clocks; mono_ns far enough from 0 to tell deadlines of long ago. */
	void (*now)(void *ctx, struct schedule_now *now);
	/** start() - begin a job.  0 or -errno. */
	int (*start)(void *ctx, const struct schedule *s, bool full, struct schedule_job **job);
	/** poll() - has it ended?  Then @r is filled, valid until release(). */
	bool (*poll)(void *ctx, struct schedule_job *job, struct schedule_result *r);
	/** kill() - SIGTERM, SIGKILL. */
	void (*kill)(void *ctx, struct schedule_job *job, int sig);
	/** release() - free a job, ended or not. */
	void (*release)(void *ctx, struct schedule_job *job);
};

struct schedules_params {
	const char *dir;
	unsigned int job_timeout_s;	/* then a job is ended */
	const struct schedules_ops *ops;
	void *ctx;			/* of ops */
};

/**
 * schedules_open() - read what was set before.
 * @p: strings and tables must stay
 *
 * A file that is no schedule is named in the log and left alone.
 * Return: 0; -ENOMEM; -errno of the folder.
 */
int schedules_open(const struct schedules_params *p, struct schedules **out);

/** schedules_run() - start the thread that calls schedules_tick().  0 or -errno. */
int schedules_run(struct schedules *s);

/** schedules_close() - end the thread, ask jobs to end, wait for them a while; free. */
void schedules_close(struct schedules *s);

/**
 * schedules_tick() - look at jobs, start those that are due.
 *
 * Return: milliseconds until there is something to look at again.
 */
unsigned int schedules_tick(struct schedules *s);

/**
 * schedules_set() - make or replace a domain's schedule, durably.
 * @spec:  judged by schedule_spec_from_json()
 * @reply: gets what schedules_list() says of it
 *
 * Return: 0; -ENOSPC there are SCHEDULES_MAX (or no space on the disk); -ENOMEM;
 * -errno of the file.
 */
int schedules_set(struct schedules *s, const struct schedule_spec *spec, json_t **reply);

/**
 * schedules_stop() - remove one; its job, if one runs, is asked to end.
 * @domain: uuid, or the name it had at its last checkpoint
 *
 * Return: 0; -ENOENT; -ENOTUNIQ several domains had that name; -errno of the file.
 */
int schedules_stop(struct schedules *s, const char *domain);

/** schedules_list() - {"schedules": [...]}; NULL: no memory. */
json_t *schedules_list(struct schedules *s);

#endif
