/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a move is going, for the one who waits for it.
 *
 * On a terminal: one line, repainted at most ten times a second, replaced by a
 * line per finished round.  Elsewhere (a pipe, a log): one `key=value` line
 * per round and nothing in between, so that bench/ and people read the same.
 * Output errors are ignored: showing progress never fails a move.
 */
#ifndef MIGRATE_PROGRESS_H
#define MIGRATE_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "migrate/policy.h"

#define PROGRESS_LINE_MAX 256

/** Where a running round is. */
struct progress_state {
	unsigned int round;
	uint64_t pages_done;		/* of this round */
	uint64_t pages_total;
	uint64_t bytes;			/* of this round, on the wire */
	uint64_t pages_dirty;		/* already written again, if known */
	uint64_t elapsed_us;		/* of this round */
};

struct progress {
	FILE *out;
	bool tty;
	bool painted;			/* a line without its newline is on the screen */
	unsigned int columns;
	uint64_t next_paint_us;
};

/**
 * progress_init() - find out what @out is.
 * @p:   the progress
 * @out: usually stderr; NULL for silence
 */
void progress_init(struct progress *p, FILE *out);

/**
 * progress_update() - a round is under way; call as often as convenient.
 * @p:      the progress
 * @s:      where it is
 * @now_us: monotonic time
 */
void progress_update(struct progress *p, const struct progress_state *s, uint64_t now_us);

/**
 * progress_round() - a round is over.
 * @p:     the progress
 * @round: its number, from 0
 * @r:     what it was
 * @v:     what was decided
 */
void progress_round(struct progress *p, unsigned int round,
		    const struct policy_round *r, const struct policy_verdict *v);

/**
 * progress_note() - a line of text between rounds ("suspending web1").
 * @p:    the progress
 * @text: one line without its newline; on a terminal only
 */
void progress_note(struct progress *p, const char *text);

/**
 * progress_end() - leave the screen with whole lines.
 * @p: the progress
 */
void progress_end(struct progress *p);

/**
 * progress_format_state() - the repainted line.
 * @s:   where the round is
 * @buf: receives the text, no newline
 * @len: its size, at least 1; what does not fit is cut
 */
void progress_format_state(const struct progress_state *s, char *buf, size_t len);

/**
 * progress_format_round() - the `key=value` line of a round.
 * @round: its number
 * @r:     what it was
 * @v:     what was decided
 * @buf:   receives "round= sent= zero= dirty= bytes= ms= rate_mb_s=
 *         dirty_per_s= predicted_ms= action=", no newline
 * @len:   its size, at least 1
 */
void progress_format_round(unsigned int round, const struct policy_round *r,
			   const struct policy_verdict *v, char *buf, size_t len);

#endif
