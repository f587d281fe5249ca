/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What earlier moves from this host cost, for predictions.
 *
 * Invariant: a history holds at most COSTS_MAX_MOVES moves, oldest first; each
 * number was measured by this program, or is refused when the file is read.  The
 * estimate is the median of each number, so that one move on a busy machine
 * spoils nothing; without a history it is an assumption and says so.
 */
#ifndef MIGRATE_COSTS_H
#define MIGRATE_COSTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "migrate/ledger.h"
#include "migrate/policy.h"

#define COSTS_MAX_MOVES	8

/** One move; the members are policy_costs'. */
struct costs_history {
	unsigned int nr;
	struct policy_costs moves[COSTS_MAX_MOVES];
};

/**
 * costs_measure() - what a finished move says.
 * @l:          both sides' ledger
 * @rounds:     its live rounds
 * @nr:         how many
 * @last_pages: pages of the last round
 * @out:        receives it
 *
 * The stop less the suspend and less what the last pages cost at the rate of the
 * rounds is what every stop costs: resume_us.
 * Return: false if the move has no downtime, or an absurd one.
 */
bool costs_measure(const struct ledger *l, const struct policy_round *rounds, unsigned int nr,
		   uint64_t last_pages, struct policy_costs *out);

/** costs_add() - append a move; the oldest goes when it is full. */
void costs_add(struct costs_history *h, const struct policy_costs *move);

/**
 * costs_estimate() - what a move from here is expected to cost.
 * @h:   may be empty: then policy_assumed_costs
 * @out: receives it, page_ns included
 */
void costs_estimate(const struct costs_history *h, struct policy_costs *out);

/** costs_to_json() - {"moves": [{"suspend_us", "resume_us", "page_ns", "first_page_ns"}]}; NULL: no memory. */
json_t *costs_to_json(const struct costs_history *h);

/**
 * costs_from_json() - read it back.
 * @h:   receives the history; whatever is no move of a sane size is left out
 * @obj: borrowed; NULL or nonsense gives an empty history
 */
void costs_from_json(struct costs_history *h, const json_t *obj);

#endif
