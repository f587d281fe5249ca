/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When to go on copying, when to stop the guest, when to give the move up.
 *
 * A pure function of the rounds so far: no clock, no memory between calls, no
 * allocation.  The same history always gives the same verdict, so a verdict
 * in a log can be replayed.  All inputs are only numbers measured by the
 * session (partly reported by the other end), so every sum saturates: a wild
 * number gives a poor verdict, never a crash, and never more rounds than
 * max_rounds.
 *
 * What is best for the guest, in this order:
 *   1. Its stop is as short as the user asked (max_downtime).
 *   2. Below that it is still made shorter while a further round buys much.
 *   3. When copying no longer helps, because the guest writes as fast as pages
 *      travel, further rounds only slow it down: stop there, at a calm
 *      moment if its writing comes in bursts.
 *   4. The move fails only if the user asked for that (abort_if_over).
 */
#ifndef MIGRATE_POLICY_H
#define MIGRATE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

/** Rounds a history can hold; max_rounds is cut to this. */
#define POLICY_MAX_ROUNDS	128

#define POLICY_DEFAULT_MAX_DOWNTIME_MS	300
#define POLICY_DEFAULT_MAX_ROUNDS	30

/** What the user wants. */
struct policy_limits {
	uint32_t max_downtime_ms;	/* 0: as short as copying can make it */
	uint32_t max_rounds;		/* pre-copy rounds with round 0; 0 counts as 1 */
	uint64_t bandwidth_bytes_per_s;	/* of pre-copy, 0 no limit; the final set,
					 * while the guest stands, is never throttled */
	bool abort_if_over;		/* give up rather than exceed max_downtime_ms */
};

/** What one round was. */
struct policy_round {
	uint64_t pages_sent;		/* pages that travelled with contents */
	uint64_t pages_zero;		/* pages that travelled as a mere mark */
	uint64_t pages_dirty;		/* remaining set when the round was over */
	uint64_t bytes;			/* on the wire */
	uint64_t duration_us;		/* from collecting its set to collecting the next */
	uint64_t throttled_us;		/* part of it spent waiting for the bandwidth limit */
	uint64_t dirty_pages_per_s;	/* measured some other way, 0 if not */
};

/** What a stop costs beside its pages. */
struct policy_costs {
	uint64_t suspend_us;		/* request until the guest stands; it writes meanwhile */
	uint64_t resume_us;		/* last page until the guest runs on the destination */
	/*
	 * For a dry run, whose rounds meet neither line nor destination; both 0
	 * for a move, whose rounds tell.
	 */
	uint64_t page_ns;		/* least cost of a page in a late round */
	uint64_t first_page_ns;		/* ... in round 0, where it travels whole */
};

/**
 * For the decisions of a first move from a host: low, since with abort_if_over
 * a guess must not refuse what may well succeed.  Later moves use costs.h.
 */
extern const struct policy_costs policy_default_costs;

/**
 * For a dry run on a host that never moved a guest: medians of moves between
 * emulated hosts (docs/migration.md); real ones are quicker.
 */
extern const struct policy_costs policy_assumed_costs;

enum policy_action {
	POLICY_CONTINUE,
	POLICY_STOP_AND_COPY,
	POLICY_GIVE_UP,
};

struct policy_verdict {
	enum policy_action action;
	uint64_t downtime_us;		/* predicted if the guest were stopped now */
	uint64_t next_downtime_us;	/* predicted after one more round */
	char reason[160];		/* one line of text for people */
};

/** What a whole move is expected to be (--dry-run). */
struct policy_forecast {
	struct policy_verdict verdict;	/* the last one, never POLICY_CONTINUE */
	unsigned int rounds;		/* with those already done */
	uint64_t total_us;		/* rounds, then the downtime */
	uint64_t bytes;			/* on the wire */
};

/**
 * policy_predict_downtime() - downtime in us for a remaining set.
 * @costs:  fixed part
 * @rounds: history, oldest first
 * @nr:     rounds in it, 0..POLICY_MAX_ROUNDS
 * @pages:  the remaining set
 *
 * Pages written during the suspend handshake are added at the recent dirty
 * rate.  A page costs what it cost lately, without throttling (100 us when
 * nothing was measured).
 */
uint64_t policy_predict_downtime(const struct policy_costs *costs,
				 const struct policy_round *rounds,
				 unsigned int nr, uint64_t pages);

/**
 * policy_decide() - what to do after a round.
 * @limits: the user's wishes
 * @costs:  fixed part of the downtime
 * @rounds: history, oldest first; the last one has just ended
 * @nr:     rounds in it, 1..POLICY_MAX_ROUNDS
 * @out:    receives the verdict
 *
 * POLICY_GIVE_UP only with abort_if_over.  With nr >= max_rounds never
 * POLICY_CONTINUE.
 */
void policy_decide(const struct policy_limits *limits,
		   const struct policy_costs *costs,
		   const struct policy_round *rounds, unsigned int nr,
		   struct policy_verdict *out);

/**
 * policy_judge_final() - the guest stands and the real last set is known: go on?
 * @limits:     the user's wishes
 * @costs:      fixed part; only resume_us is still to come
 * @rounds:     history
 * @nr:         rounds in it
 * @pages:      the last set
 * @elapsed_us: downtime so far
 * @out:        POLICY_STOP_AND_COPY, or POLICY_GIVE_UP (cancel the suspend; the
 *              guest goes on at the source) with abort_if_over when the
 *              downtime would exceed the limit
 */
void policy_judge_final(const struct policy_limits *limits,
			const struct policy_costs *costs,
			const struct policy_round *rounds, unsigned int nr,
			uint64_t pages, uint64_t elapsed_us,
			struct policy_verdict *out);

/**
 * policy_forecast() - play the move to its end on paper.
 * @limits: the user's wishes; a bandwidth limit slows the imagined rounds
 * @costs:  fixed part
 * @rounds: history, at least round 0
 * @nr:     rounds in it, 1..POLICY_MAX_ROUNDS
 * @out:    receives the expectation
 *
 * Further rounds are imagined at the recent page cost and dirty rate; none
 * leaves more dirty than it sent.  The verdicts are policy_decide()'s own.
 * Rounds measured quicker than the costs of a page allow are first stretched.
 */
void policy_forecast(const struct policy_limits *limits,
		     const struct policy_costs *costs,
		     const struct policy_round *rounds, unsigned int nr,
		     struct policy_forecast *out);

/**
 * policy_action_name() - "continue", "stop-and-copy" or "give-up".
 * @action: the action
 */
const char *policy_action_name(enum policy_action action);

#endif
