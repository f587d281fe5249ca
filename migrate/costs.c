// SPDX-License-Identifier: Apache-2.0
/* See costs.h. */
#include "migrate/costs.h"

#include <stdlib.h>
#include <string.h>

#define US_MAX		60000000u	/* a stop of a minute is no model for the next */
#define PAGE_NS_MAX	100000000u
#define SAMPLE_PAGES	512u		/* as in policy.c */

/* Time in a phase of the source; the merged ledger has the other side's as well. */
static uint64_t own_phase_us(const struct ledger *l, const char *name)
{
	uint64_t us = 0;

	for (unsigned int i = 0; i < l->nr; i++)
		if (l->phases[i].side == LEDGER_SOURCE && !l->phases[i].open &&
		    !strcmp(l->phases[i].name, name))
			us += l->phases[i].end_us - l->phases[i].begin_us;
	return us;
}

static uint64_t page_ns(const struct policy_round *rounds, unsigned int from, unsigned int to)
{
	uint64_t pages = 0, busy_us = 0;

	/* Backwards: the latest rounds are most like the last one. */
	for (unsigned int i = to; i-- > from && pages < SAMPLE_PAGES;) {
		const struct policy_round *r = &rounds[i];

		pages += r->pages_sent;
		if (r->duration_us > r->throttled_us)
			busy_us += r->duration_us - r->throttled_us;
	}
	return pages && busy_us < UINT64_MAX / 1000 ? busy_us * 1000 / pages : 0;
}

bool costs_measure(const struct ledger *l, const struct policy_round *rounds, unsigned int nr,
		   uint64_t last_pages, struct policy_costs *out)
{
	uint64_t all, copy;

	*out = (struct policy_costs) { 0 };
	if (!nr || !ledger_downtime_us(l, &all) || all > US_MAX)
		return false;
	out->first_page_ns = page_ns(rounds, 0, 1);
	out->page_ns = nr > 1 ? page_ns(rounds, 1, nr) : out->first_page_ns;
	/* A round of a few pages tells of a round trip. */
	if (out->page_ns > out->first_page_ns)
		out->page_ns = out->first_page_ns;
	if (out->first_page_ns > PAGE_NS_MAX)
		return false;
	out->suspend_us = own_phase_us(l, "suspend");
	if (out->suspend_us > all)
		out->suspend_us = all;
	copy = last_pages < UINT32_MAX ? last_pages * out->page_ns / 1000 : all;
	all -= out->suspend_us;
	out->resume_us = all > copy ? all - copy : 0;
	return true;
}

void costs_add(struct costs_history *h, const struct policy_costs *move)
{
	if (h->nr == COSTS_MAX_MOVES) {
		h->nr--;
		memmove(h->moves, h->moves + 1, h->nr * sizeof(h->moves[0]));
	}
	h->moves[h->nr++] = *move;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t median(uint64_t *v, unsigned int nr)
{
	qsort(v, nr, sizeof(*v), compare);
	return (v[(nr - 1) / 2] + v[nr / 2]) / 2;
}

void costs_estimate(const struct costs_history *h, struct policy_costs *out)
{
	uint64_t suspend[COSTS_MAX_MOVES], resume[COSTS_MAX_MOVES];
	uint64_t page[COSTS_MAX_MOVES], first[COSTS_MAX_MOVES];

	*out = policy_assumed_costs;
	if (!h->nr)
		return;
	for (unsigned int i = 0; i < h->nr; i++) {
		suspend[i] = h->moves[i].suspend_us;
		resume[i] = h->moves[i].resume_us;
		page[i] = h->moves[i].page_ns;
		first[i] = h->moves[i].first_page_ns;
	}
	out->suspend_us = median(suspend, h->nr);
	out->resume_us = median(resume, h->nr);
	out->page_ns = median(page, h->nr);
	out->first_page_ns = median(first, h->nr);
}

json_t *costs_to_json(const struct costs_history *h)
{
	json_t *list = json_array();

	for (unsigned int i = 0; list && i < h->nr; i++) {
		const struct policy_costs *m = &h->moves[i];

		json_array_append_new(list, json_pack("{s:I, s:I, s:I, s:I}",
						      "suspend_us", (json_int_t)m->suspend_us,
						      "resume_us", (json_int_t)m->resume_us,
						      "page_ns", (json_int_t)m->page_ns,
						      "first_page_ns",
						      (json_int_t)m->first_page_ns));
	}
	return list ? json_pack("{s:o}", "moves", list) : NULL;
}

static bool member(const json_t *obj, const char *name, uint64_t max, uint64_t *out)
{
	const json_t *v = json_object_get(obj, name);

	if (!json_is_integer(v) || json_integer_value(v) < 0 ||
	    (uint64_t)json_integer_value(v) > max)
		return false;
	*out = (uint64_t)json_integer_value(v);
	return true;
}

void costs_from_json(struct costs_history *h, const json_t *obj)
{
	const json_t *list = json_object_get(obj, "moves");
	struct policy_costs m = { 0 };

	*h = (struct costs_history) { 0 };
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *one = json_array_get(list, i);

		if (member(one, "suspend_us", US_MAX, &m.suspend_us) &&
		    member(one, "resume_us", US_MAX, &m.resume_us) &&
		    member(one, "page_ns", PAGE_NS_MAX, &m.page_ns) &&
		    member(one, "first_page_ns", PAGE_NS_MAX, &m.first_page_ns))
			costs_add(h, &m);
	}
}
