// SPDX-License-Identifier: Apache-2.0
/*
 * The pre-copy policy.  Contract and aims in policy.h, numbers below.
 *
 * Everything rests on two estimates of the recent past: what a page costs to
 * move (ns, without throttling) and how fast the guest dirties distinct pages.
 * Downtime(set) = suspend + set * page + resume, where set grows by what is
 * dirtied during the suspend handshake.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "migrate/policy.h"

/* Page costs are averaged over the latest rounds with this many pages in all:
 * a last round of ten pages says more about a round trip than about pages. */
#define SAMPLE_PAGES		512
#define DEFAULT_PAGE_NS		100000
/* The dirty rate is the highest of this many rounds.  A long round hides
 * pages that were written twice; the short ones tell. */
#define RATE_ROUNDS		3
/* Over the limit: a round made progress if it lowered the prediction by 1/16.
 * Two without progress mean the floor is reached; up to five are spent waiting
 * for a moment no worse than 5/4 of the best seen. */
#define PROGRESS_DIV		16
#define STALL_FLOOR		2
#define STALL_PATIENCE		5
/* Under the limit: another round must promise to save a quarter of the whole
 * downtime, and at least 5 ms. */
#define GAIN_DIV		4
#define GAIN_MIN_US		5000

const struct policy_costs policy_default_costs = {
	.suspend_us = 25000,
	.resume_us = 15000,
};

const struct policy_costs policy_assumed_costs = {
	.suspend_us = 40000,
	.resume_us = 50000,
	.page_ns = 30000,
	.first_page_ns = 150000,
};

static uint64_t add_sat(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t sub_floor(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* a * b / c without overflow on the way; c == 0 counts as 1. */
static uint64_t mul_div(uint64_t a, uint64_t b, uint64_t c)
{
	unsigned __int128 v = (unsigned __int128)a * b / (c ? c : 1);

	return v > UINT64_MAX ? UINT64_MAX : (uint64_t)v;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static unsigned int clamp_nr(unsigned int nr)
{
	return nr < POLICY_MAX_ROUNDS ? nr : POLICY_MAX_ROUNDS;
}

static unsigned int rounds_allowed(const struct policy_limits *limits)
{
	return limits->max_rounds ? clamp_nr(limits->max_rounds) : 1;
}

static uint64_t page_cost_ns(const struct policy_costs *costs,
			     const struct policy_round *rounds, unsigned int nr)
{
	uint64_t pages = 0, busy_us = 0, ns;

	for (unsigned int i = nr; i-- > 0 && pages < SAMPLE_PAGES;) {
		pages = add_sat(pages, rounds[i].pages_sent);
		busy_us = add_sat(busy_us, sub_floor(rounds[i].duration_us,
						     rounds[i].throttled_us));
	}
	ns = pages ? mul_div(busy_us, 1000, pages) : DEFAULT_PAGE_NS;
	return ns > costs->page_ns ? ns : costs->page_ns;
}

static uint64_t dirty_per_s(const struct policy_round *rounds, unsigned int nr)
{
	uint64_t most = 0;

	for (unsigned int i = nr; i-- > 0 && nr - i <= RATE_ROUNDS;) {
		const struct policy_round *r = &rounds[i];
		uint64_t seen = mul_div(r->pages_dirty, 1000000, r->duration_us);

		if (seen < r->dirty_pages_per_s)
			seen = r->dirty_pages_per_s;
		if (seen > most)
			most = seen;
	}
	return most;
}

static uint64_t copy_us(const struct policy_costs *costs, const struct policy_round *rounds,
			unsigned int nr, uint64_t pages)
{
	return mul_div(pages, page_cost_ns(costs, rounds, nr), 1000);
}

uint64_t policy_predict_downtime(const struct policy_costs *costs,
				 const struct policy_round *rounds,
				 unsigned int nr, uint64_t pages)
{
	uint64_t late;

	nr = clamp_nr(nr);
	late = mul_div(dirty_per_s(rounds, nr), costs->suspend_us, 1000000);
	return add_sat(add_sat(costs->suspend_us, costs->resume_us),
		       copy_us(costs, rounds, nr, add_sat(pages, late)));
}

static uint64_t predict_after(const struct policy_costs *costs,
			      const struct policy_round *rounds, unsigned int nr)
{
	return policy_predict_downtime(costs, rounds, nr, rounds[nr - 1].pages_dirty);
}

/* How long sending @pages as a pre-copy round would take, and what its wire
 * bytes would be, at the last round's bytes per page. */
static uint64_t round_us(const struct policy_limits *limits, const struct policy_costs *costs,
			 const struct policy_round *rounds, unsigned int nr,
			 uint64_t pages, uint64_t *bytes)
{
	const struct policy_round *r = &rounds[nr - 1];
	uint64_t us = copy_us(costs, rounds, nr, pages), wire_us;

	*bytes = r->pages_sent ? mul_div(pages, r->bytes, r->pages_sent) :
				 mul_div(pages, 4096, 1);
	if (!limits->bandwidth_bytes_per_s)
		return us;
	wire_us = mul_div(*bytes, 1000000, limits->bandwidth_bytes_per_s);
	return wire_us > us ? wire_us : us;
}

/* The remaining set one more round would leave: no larger than what it sends,
 * since pages written again during it were written before. */
static uint64_t next_set(const struct policy_limits *limits, const struct policy_costs *costs,
			 const struct policy_round *rounds, unsigned int nr)
{
	uint64_t pages = rounds[nr - 1].pages_dirty, bytes;
	uint64_t us = round_us(limits, costs, rounds, nr, pages, &bytes);

	return min_u64(pages, mul_div(dirty_per_s(rounds, nr), us, 1000000));
}

/* How many rounds at the end did not lower the best prediction by 1/16, and
 * that best.  Predictions of old rounds are made with the history of then. */
static unsigned int count_stall(const struct policy_costs *costs,
				const struct policy_round *rounds,
				unsigned int nr, uint64_t *best)
{
	unsigned int stall = 0;

	*best = predict_after(costs, rounds, 1);
	for (unsigned int i = 2; i <= nr; i++) {
		uint64_t now = predict_after(costs, rounds, i);

		if (now < *best - *best / PROGRESS_DIV) {
			*best = now;
			stall = 0;
		} else {
			*best = min_u64(*best, now);
			stall++;
		}
	}
	return stall;
}

static void set_verdict(struct policy_verdict *v, enum policy_action action,
			const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void set_verdict(struct policy_verdict *v, enum policy_action action,
			const char *fmt, ...)
{
	va_list ap;

	v->action = action;
	va_start(ap, fmt);
	vsnprintf(v->reason, sizeof(v->reason), fmt, ap);
	va_end(ap);
}

#define MS(us) ((us) / 1000)

static void decide_under(const struct policy_limits *limits, unsigned int nr,
			 struct policy_verdict *v)
{
	uint64_t gain = sub_floor(v->downtime_us, v->next_downtime_us);

	if (nr < rounds_allowed(limits) && gain >= GAIN_MIN_US &&
	    gain >= v->downtime_us / GAIN_DIV)
		set_verdict(v, POLICY_CONTINUE,
			    "within the limit, but one more round should save %" PRIu64 " ms",
			    MS(gain));
	else
		set_verdict(v, POLICY_STOP_AND_COPY,
			    "predicted downtime %" PRIu64 " ms is within the limit of %"
			    PRIu32 " ms", MS(v->downtime_us), limits->max_downtime_ms);
}

static void end_over(const struct policy_limits *limits,
		     struct policy_verdict *v, const char *why)
{
	set_verdict(v, limits->abort_if_over ? POLICY_GIVE_UP : POLICY_STOP_AND_COPY,
		    "%s; predicted downtime %" PRIu64 " ms is over the limit of %" PRIu32 " ms",
		    why, MS(v->downtime_us), limits->max_downtime_ms);
}

static void decide_over(const struct policy_limits *limits,
			const struct policy_costs *costs,
			const struct policy_round *rounds, unsigned int nr,
			struct policy_verdict *v)
{
	uint64_t fixed = add_sat(costs->suspend_us, costs->resume_us), best;
	unsigned int stall = count_stall(costs, rounds, nr, &best);
	bool calm = v->downtime_us <= add_sat(best, best / 4);

	if (limits->abort_if_over && fixed > limits->max_downtime_ms * UINT64_C(1000))
		end_over(limits, v, "suspend and resume alone take longer");
	else if (nr >= rounds_allowed(limits))
		end_over(limits, v, "the last round allowed is over");
	else if (rounds[nr - 1].pages_dirty == 0)
		end_over(limits, v, "nothing is left to copy");
	else if (stall < STALL_FLOOR)
		set_verdict(v, POLICY_CONTINUE, "%" PRIu64 " pages left, %" PRIu64
			    " ms if stopped now", rounds[nr - 1].pages_dirty,
			    MS(v->downtime_us));
	else if (stall < STALL_PATIENCE && !calm)
		set_verdict(v, POLICY_CONTINUE, "%" PRIu64 " ms if stopped now, it was %" PRIu64
			    " ms: waiting for a calmer moment", MS(v->downtime_us), MS(best));
	else
		end_over(limits, v, "the guest dirties memory as fast as it is copied");
}

void policy_decide(const struct policy_limits *limits,
		   const struct policy_costs *costs,
		   const struct policy_round *rounds, unsigned int nr,
		   struct policy_verdict *out)
{
	memset(out, 0, sizeof(*out));
	nr = clamp_nr(nr);
	if (nr == 0) {
		set_verdict(out, POLICY_CONTINUE, "nothing was copied yet");
		return;
	}
	out->downtime_us = predict_after(costs, rounds, nr);
	out->next_downtime_us = policy_predict_downtime(costs, rounds, nr,
							next_set(limits, costs, rounds, nr));
	if (out->downtime_us <= limits->max_downtime_ms * UINT64_C(1000))
		decide_under(limits, nr, out);
	else
		decide_over(limits, costs, rounds, nr, out);
}

void policy_judge_final(const struct policy_limits *limits,
			const struct policy_costs *costs,
			const struct policy_round *rounds, unsigned int nr,
			uint64_t pages, uint64_t elapsed_us,
			struct policy_verdict *out)
{
	memset(out, 0, sizeof(*out));
	nr = clamp_nr(nr);
	out->downtime_us = add_sat(add_sat(elapsed_us, costs->resume_us),
				   copy_us(costs, rounds, nr, pages));
	out->next_downtime_us = out->downtime_us;
	if (out->downtime_us <= limits->max_downtime_ms * UINT64_C(1000))
		set_verdict(out, POLICY_STOP_AND_COPY, "%" PRIu64 " pages in the last set, %"
			    PRIu64 " ms in all", pages, MS(out->downtime_us));
	else
		end_over(limits, out, "the last set is larger than foreseen");
}

static void imagine_round(const struct policy_limits *limits, const struct policy_costs *costs,
			  const struct policy_round *rounds, unsigned int nr,
			  struct policy_round *next)
{
	uint64_t pages = rounds[nr - 1].pages_dirty;
	uint64_t busy = copy_us(costs, rounds, nr, pages);

	memset(next, 0, sizeof(*next));
	next->pages_sent = pages;
	next->pages_dirty = next_set(limits, costs, rounds, nr);
	next->duration_us = round_us(limits, costs, rounds, nr, pages, &next->bytes);
	next->throttled_us = sub_floor(next->duration_us, busy);
	next->dirty_pages_per_s = dirty_per_s(rounds, nr);
}

/*
 * What a measured round of a dry run would have been on the line: longer, and
 * the guest writes on meanwhile.  A later round's set is bounded by what it sent,
 * as in next_set().
 */
static void stretch_round(const struct policy_costs *costs, bool first, struct policy_round *r)
{
	uint64_t ns = first ? costs->first_page_ns : costs->page_ns;
	uint64_t us = add_sat(mul_div(r->pages_sent, ns, 1000), r->throttled_us);
	uint64_t most = first ? add_sat(r->pages_sent, r->pages_zero) : r->pages_sent;
	uint64_t dirty;

	if (us <= r->duration_us)
		return;
	dirty = min_u64(mul_div(r->pages_dirty, us, r->duration_us), most);
	if (dirty > r->pages_dirty)
		r->pages_dirty = dirty;
	r->duration_us = us;
}

void policy_forecast(const struct policy_limits *limits,
		     const struct policy_costs *costs,
		     const struct policy_round *rounds, unsigned int nr,
		     struct policy_forecast *out)
{
	struct policy_round h[POLICY_MAX_ROUNDS];
	uint64_t bytes;

	memset(out, 0, sizeof(*out));
	nr = clamp_nr(nr);
	if (nr == 0) {
		set_verdict(&out->verdict, POLICY_STOP_AND_COPY, "nothing is known yet");
		return;
	}
	memcpy(h, rounds, nr * sizeof(h[0]));
	for (unsigned int i = 0; i < nr; i++)
		stretch_round(costs, i == 0, &h[i]);
	for (;;) {
		policy_decide(limits, costs, h, nr, &out->verdict);
		if (out->verdict.action != POLICY_CONTINUE || nr == POLICY_MAX_ROUNDS)
			break;
		imagine_round(limits, costs, h, nr, &h[nr]);
		nr++;
	}
	out->rounds = nr;
	for (unsigned int i = 0; i < nr; i++) {
		out->total_us = add_sat(out->total_us, h[i].duration_us);
		out->bytes = add_sat(out->bytes, h[i].bytes);
	}
	if (out->verdict.action != POLICY_STOP_AND_COPY)
		return;
	round_us(limits, costs, h, nr, h[nr - 1].pages_dirty, &bytes);
	out->total_us = add_sat(out->total_us, out->verdict.downtime_us);
	out->bytes = add_sat(out->bytes, bytes);
}

const char *policy_action_name(enum policy_action action)
{
	switch (action) {
	case POLICY_CONTINUE:
		return "continue";
	case POLICY_STOP_AND_COPY:
		return "stop-and-copy";
	case POLICY_GIVE_UP:
		return "give-up";
	}
	return "unknown";
}
