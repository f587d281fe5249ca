/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The downtime ledger: where the microseconds of a move went.
 *
 * A ledger is a fixed table of phases: a name, the side it ran on, a begin and
 * an end stamp of that side's CLOCK_MONOTONIC.  Phases nest like calls: one
 * begun while another is open lies inside it, and ending a phase ends what is
 * still open within.  Two marks, "the guest stands" and "the guest runs", give
 * the downtime.  A full table loses further phases and says how many; it never
 * fails the move that it only watches.
 *
 * Each side keeps its own; the source merges the destination's, shifted by the
 * difference of the clocks.  That difference is known only as well as a round
 * trip is short, so the sum carries its uncertainty.
 *
 * Not locked; one ledger belongs to one thread.  Never allocates, but for JSON.
 */
#ifndef MIGRATE_LEDGER_H
#define MIGRATE_LEDGER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define LEDGER_MAX_PHASES	160
#define LEDGER_MAX_DEPTH	8
#define LEDGER_NAME_LEN		32	/* with the NUL; [a-z0-9_.-] */

enum ledger_side {
	LEDGER_SOURCE,
	LEDGER_DESTINATION,
};

struct ledger_phase {
	char name[LEDGER_NAME_LEN];
	enum ledger_side side;
	uint8_t depth;			/* 0 outermost */
	bool open;
	uint64_t begin_us;
	uint64_t end_us;		/* >= begin_us; 0 while open */
};

struct ledger {
	enum ledger_side side;		/* of new phases */
	unsigned int nr;
	unsigned int lost;		/* phases that found no room */
	unsigned int depth;
	unsigned int open[LEDGER_MAX_DEPTH];
	bool has_stop, has_run;
	uint64_t stop_us, run_us;
	uint64_t uncertainty_us;	/* of run_us against stop_us */
	struct ledger_phase phases[LEDGER_MAX_PHASES];
};

/** ledger_now_us() - CLOCK_MONOTONIC in microseconds. */
uint64_t ledger_now_us(void);

/**
 * ledger_init() - start an empty ledger.
 * @l:    the ledger
 * @side: where this process is
 */
void ledger_init(struct ledger *l, enum ledger_side side);

/**
 * ledger_begin() - open a phase.
 * @l:      the ledger
 * @name:   letters a-z, digits, '_', '.', '-'; cut at 31; others become '-'
 * @now_us: ledger_now_us()
 *
 * Return: a handle for ledger_end(), -1 (harmless there) when there is no room.
 */
int ledger_begin(struct ledger *l, const char *name, uint64_t now_us);

/**
 * ledger_end() - close a phase and all that is open within it.
 * @l:      the ledger
 * @handle: of ledger_begin(); -1, foreign or closed ones are ignored
 * @now_us: ledger_now_us(); before the begin it counts as the begin
 */
void ledger_end(struct ledger *l, int handle, uint64_t now_us);

/**
 * ledger_add() - note a phase that was timed elsewhere (the hypervisor's
 * restore_us, a round), inside what is open now.
 * @l:        the ledger
 * @name:     as for ledger_begin()
 * @begin_us: stamp
 * @end_us:   stamp, not before @begin_us
 */
void ledger_add(struct ledger *l, const char *name, uint64_t begin_us, uint64_t end_us);

/**
 * ledger_mark_stop() - the guest stands from now on (source).
 * @l:      the ledger
 * @now_us: ledger_now_us()
 */
void ledger_mark_stop(struct ledger *l, uint64_t now_us);

/**
 * ledger_mark_run() - the guest runs again from now on.
 * @l:      the ledger
 * @now_us: ledger_now_us()
 */
void ledger_mark_run(struct ledger *l, uint64_t now_us);

/**
 * ledger_confine_run() - what this side's own clock knows of the other's mark.
 * @l:           the ledger, after ledger_merge()
 * @earliest_us: the guest cannot have run before: it had not been let go
 * @latest_us:   it ran by then: that had been reported
 *
 * Whatever the clocks' comparison gave, the mark comes to lie within.
 */
void ledger_confine_run(struct ledger *l, uint64_t earliest_us, uint64_t latest_us);

/**
 * ledger_downtime_us() - time between the two marks.
 * @l:  the ledger
 * @us: receives it; 0 where the merged clocks put the run before the stop
 * Return: false while a mark is missing.
 */
bool ledger_downtime_us(const struct ledger *l, uint64_t *us);

/**
 * ledger_phase_us() - time in all closed phases of a name.
 * @l:    the ledger
 * @name: the name
 */
uint64_t ledger_phase_us(const struct ledger *l, const char *name);

/**
 * ledger_merge() - take over the other side's phases and marks.
 * @l:              the ledger
 * @other:          the other side's
 * @offset_us:      its clock minus ours; from a request sent at t0, answered
 *                  with its clock's d, received at t1: d - (t0 + t1) / 2
 * @uncertainty_us: (t1 - t0) / 2 of that exchange
 */
void ledger_merge(struct ledger *l, const struct ledger *other,
		  int64_t offset_us, uint64_t uncertainty_us);

/**
 * ledger_print() - a table for people, in order of time.
 * @l:   the ledger
 * @out: where to
 *
 * Phases in which the guest stood are marked.  The last line is the downtime.
 */
void ledger_print(const struct ledger *l, FILE *out);

/**
 * ledger_to_json() - the whole ledger as an object; the caller owns it.
 * @l: the ledger
 *
 * {"side", "lost", "stop_us"?, "run_us"?, "downtime_us"?, "uncertainty_us",
 *  "phases": [{"name", "side", "depth", "begin_us", "end_us"?, "us"?}]}
 * Stamps are absolute, so that the other side can merge.
 * Return: NULL out of memory.
 */
json_t *ledger_to_json(const struct ledger *l);

/**
 * ledger_from_json() - read what ledger_to_json() made; the text is hostile.
 * @l:   receives the ledger; empty on error
 * @obj: borrowed
 * Return: 0; -EINVAL for a wrong type, a missing member, a bad name, a number
 * out of range; -E2BIG for too many phases.
 */
int ledger_from_json(struct ledger *l, const json_t *obj);

#endif
