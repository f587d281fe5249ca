/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of schedules: schedules_ops of the real world.
 *
 * A job is `checkpoint take --json --keep N UUID STORE` with the daemon's
 * environment (the credentials of stores are there, or in a file it names) and
 * none of its descriptors.  Its outputs go into memory files: it never waits for
 * us, and goes on when the daemon dies.  Then nobody would end it should it hang:
 * so it gets an alarm clock that does, which an exec leaves running.
 */
#ifndef MIGRATE_SCHEDULE_JOB_H
#define MIGRATE_SCHEDULE_JOB_H

#include "migrate/schedules.h"

struct schedule_world {
	char program[512];		/* that takes checkpoints */
	unsigned int alarm_s;		/* the job's own end, longer than its time-out */
};

/**
 * schedule_world_init() - the program `checkpoint` beside this one.
 * @job_timeout_s: of schedules_params
 */
void schedule_world_init(struct schedule_world *w, unsigned int job_timeout_s);

/** The operations; their ctx is a struct schedule_world. */
extern const struct schedules_ops schedule_job_ops;

#endif
