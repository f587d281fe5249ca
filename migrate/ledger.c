// SPDX-License-Identifier: Apache-2.0
/*
 * The downtime ledger.  Contract in ledger.h; JSON is at the end.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "migrate/ledger.h"

/* Stamps stay below this (285 years), so that signed sums cannot overflow. */
#define STAMP_MAX	(UINT64_C(1) << 53)

uint64_t ledger_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void ledger_init(struct ledger *l, enum ledger_side side)
{
	memset(l, 0, sizeof(*l));
	l->side = side;
}

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '.' || c == '-';
}

static struct ledger_phase *new_phase(struct ledger *l, const char *name,
				      uint64_t begin_us)
{
	struct ledger_phase *p;

	if (l->nr == LEDGER_MAX_PHASES) {
		l->lost++;
		return NULL;
	}
	p = &l->phases[l->nr++];
	memset(p, 0, sizeof(*p));
	for (unsigned int i = 0; i < LEDGER_NAME_LEN - 1 && name[i]; i++)
		p->name[i] = name_char(name[i]) ? name[i] : '-';
	p->side = l->side;
	p->depth = (uint8_t)l->depth;
	p->begin_us = begin_us;
	return p;
}

int ledger_begin(struct ledger *l, const char *name, uint64_t now_us)
{
	struct ledger_phase *p;

	if (l->depth == LEDGER_MAX_DEPTH) {
		l->lost++;
		return -1;
	}
	p = new_phase(l, name, now_us);
	if (!p)
		return -1;
	p->open = true;
	l->open[l->depth++] = (unsigned int)(p - l->phases);
	return (int)(p - l->phases);
}

static void close_phase(struct ledger_phase *p, uint64_t now_us)
{
	p->open = false;
	p->end_us = now_us > p->begin_us ? now_us : p->begin_us;
}

void ledger_end(struct ledger *l, int handle, uint64_t now_us)
{
	unsigned int slot = (unsigned int)handle;

	if (handle < 0 || slot >= l->nr || !l->phases[slot].open)
		return;
	/* An open phase of this side is on the stack; merged ones are closed. */
	while (l->depth > 0) {
		unsigned int top = l->open[--l->depth];

		close_phase(&l->phases[top], now_us);
		if (top == slot)
			return;
	}
}

void ledger_add(struct ledger *l, const char *name, uint64_t begin_us, uint64_t end_us)
{
	struct ledger_phase *p = new_phase(l, name, begin_us);

	if (p)
		close_phase(p, end_us);
}

void ledger_mark_stop(struct ledger *l, uint64_t now_us)
{
	l->has_stop = true;
	l->stop_us = now_us;
}

void ledger_mark_run(struct ledger *l, uint64_t now_us)
{
	l->has_run = true;
	l->run_us = now_us;
}

void ledger_confine_run(struct ledger *l, uint64_t earliest_us, uint64_t latest_us)
{
	if (!l->has_run || latest_us < earliest_us)
		return;
	if (l->run_us < earliest_us)
		l->run_us = earliest_us;
	if (l->run_us > latest_us)
		l->run_us = latest_us;
}

bool ledger_downtime_us(const struct ledger *l, uint64_t *us)
{
	if (!l->has_stop || !l->has_run)
		return false;
	*us = l->run_us > l->stop_us ? l->run_us - l->stop_us : 0;
	return true;
}

uint64_t ledger_phase_us(const struct ledger *l, const char *name)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < l->nr; i++)
		if (!l->phases[i].open && !strcmp(l->phases[i].name, name))
			sum += l->phases[i].end_us - l->phases[i].begin_us;
	return sum;
}

/* The other clock's stamp on ours, kept within 0..STAMP_MAX. */
static uint64_t shift(uint64_t us, int64_t offset_us)
{
	__int128 v = (__int128)us - offset_us;

	if (v < 0)
		return 0;
	return v > (__int128)STAMP_MAX ? STAMP_MAX : (uint64_t)v;
}

void ledger_merge(struct ledger *l, const struct ledger *other,
		  int64_t offset_us, uint64_t uncertainty_us)
{
	l->lost += other->lost;
	if (uncertainty_us > l->uncertainty_us)
		l->uncertainty_us = uncertainty_us;
	if (other->has_stop && !l->has_stop)
		ledger_mark_stop(l, shift(other->stop_us, offset_us));
	if (other->has_run && !l->has_run)
		ledger_mark_run(l, shift(other->run_us, offset_us));
	for (unsigned int i = 0; i < other->nr; i++) {
		const struct ledger_phase *from = &other->phases[i];
		uint64_t begin = shift(from->begin_us, offset_us);
		struct ledger_phase *to = new_phase(l, from->name, begin);

		if (!to)
			continue;
		to->side = from->side;
		to->depth = from->depth;
		/* one still open over there will never be closed here */
		close_phase(to, from->open ? begin : shift(from->end_us, offset_us));
	}
}

/* --- the table ---------------------------------------------------------------- */

static const char *side_name(enum ledger_side side)
{
	return side == LEDGER_SOURCE ? "source" : "destination";
}

/* Order by begin, an outer phase before its inner ones; 160 entries. */
static void sort_phases(const struct ledger *l, const struct ledger_phase **order)
{
	for (unsigned int i = 0; i < l->nr; i++) {
		const struct ledger_phase *p = &l->phases[i];
		unsigned int at = i;

		while (at > 0 && order[at - 1]->begin_us > p->begin_us) {
			order[at] = order[at - 1];
			at--;
		}
		order[at] = p;
	}
}

static bool in_downtime(const struct ledger *l, const struct ledger_phase *p)
{
	return l->has_stop && l->has_run && !p->open &&
	       p->begin_us + l->uncertainty_us >= l->stop_us &&
	       p->end_us <= l->run_us + l->uncertainty_us;
}

static void print_phase(const struct ledger *l, const struct ledger_phase *p,
			uint64_t origin, FILE *out)
{
	fprintf(out, "%c %*s%-*s %-11s %12.3f ", in_downtime(l, p) ? '*' : ' ',
		2 * p->depth, "", 34 - 2 * p->depth, p->name, side_name(p->side),
		(double)(p->begin_us - origin) / 1000);
	if (p->open)
		fprintf(out, "%12s\n", "open");
	else
		fprintf(out, "%12" PRIu64 "\n", p->end_us - p->begin_us);
}

void ledger_print(const struct ledger *l, FILE *out)
{
	const struct ledger_phase *order[LEDGER_MAX_PHASES];
	uint64_t us;

	sort_phases(l, order);
	fprintf(out, "  %-34s %-11s %12s %12s\n", "phase", "where", "at ms", "us");
	for (unsigned int i = 0; i < l->nr; i++)
		print_phase(l, order[i], order[0]->begin_us, out);
	if (l->lost)
		fprintf(out, "  %u more phases found no room\n", l->lost);
	if (!ledger_downtime_us(l, &us))
		return;
	fprintf(out, "* downtime %" PRIu64 ".%03u ms", us / 1000, (unsigned int)(us % 1000));
	if (l->uncertainty_us)
		fprintf(out, " (two clocks, +/- %" PRIu64 " us)", l->uncertainty_us);
	fputc('\n', out);
}

/* --- JSON ---------------------------------------------------------------------- */

static_assert(STAMP_MAX <= INT64_MAX, "a stamp fits json_int_t");

static int put_us(json_t *obj, const char *key, uint64_t us)
{
	return json_object_set_new(obj, key,
				   json_integer((json_int_t)(us < STAMP_MAX ? us : STAMP_MAX)));
}

static json_t *phase_to_json(const struct ledger_phase *p)
{
	json_t *obj = json_pack("{s:s, s:s, s:i}", "name", p->name,
				"side", side_name(p->side), "depth", (int)p->depth);

	if (!obj)
		return NULL;
	put_us(obj, "begin_us", p->begin_us);
	if (!p->open) {
		put_us(obj, "end_us", p->end_us);
		put_us(obj, "us", p->end_us - p->begin_us);
	}
	return obj;
}

json_t *ledger_to_json(const struct ledger *l)
{
	json_t *obj = json_pack("{s:s, s:i, s:[]}", "side", side_name(l->side),
				"lost", (int)(l->lost & INT32_MAX), "phases");
	uint64_t us;

	if (!obj)
		return NULL;
	if (l->has_stop)
		put_us(obj, "stop_us", l->stop_us);
	if (l->has_run)
		put_us(obj, "run_us", l->run_us);
	if (ledger_downtime_us(l, &us))
		put_us(obj, "downtime_us", us);
	put_us(obj, "uncertainty_us", l->uncertainty_us);
	for (unsigned int i = 0; i < l->nr; i++)
		if (json_array_append_new(json_object_get(obj, "phases"),
					  phase_to_json(&l->phases[i]))) {
			json_decref(obj);
			return NULL;
		}
	return obj;
}

static int get_us(const json_t *obj, const char *key, bool *has, uint64_t *us)
{
	const json_t *v = json_object_get(obj, key);

	*has = v != NULL;
	*us = 0;
	if (!v)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0 ||
	    (uint64_t)json_integer_value(v) > STAMP_MAX)
		return -EINVAL;
	*us = (uint64_t)json_integer_value(v);
	return 0;
}

static int get_side(const json_t *obj, enum ledger_side *side)
{
	const char *text = json_string_value(json_object_get(obj, "side"));

	if (!text)
		return -EINVAL;
	if (!strcmp(text, side_name(LEDGER_SOURCE)))
		*side = LEDGER_SOURCE;
	else if (!strcmp(text, side_name(LEDGER_DESTINATION)))
		*side = LEDGER_DESTINATION;
	else
		return -EINVAL;
	return 0;
}

static int get_name(const json_t *obj, char name[LEDGER_NAME_LEN])
{
	const json_t *v = json_object_get(obj, "name");
	const char *text = json_string_value(v);
	size_t len = json_string_length(v);

	if (!text || len == 0 || len >= LEDGER_NAME_LEN)
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		if (!name_char(text[i]))
			return -EINVAL;
	memcpy(name, text, len + 1);
	return 0;
}

static int phase_from_json(struct ledger_phase *p, const json_t *obj)
{
	uint64_t depth;
	bool has_depth, has_begin, has_end;

	memset(p, 0, sizeof(*p));
	if (!json_is_object(obj) || get_name(obj, p->name) || get_side(obj, &p->side) ||
	    get_us(obj, "depth", &has_depth, &depth) ||
	    get_us(obj, "begin_us", &has_begin, &p->begin_us) ||
	    get_us(obj, "end_us", &has_end, &p->end_us))
		return -EINVAL;
	if (!has_depth || depth > LEDGER_MAX_DEPTH || !has_begin ||
	    (has_end && p->end_us < p->begin_us))
		return -EINVAL;
	p->depth = (uint8_t)depth;
	p->open = !has_end;
	return 0;
}

static int read_json(struct ledger *l, const json_t *obj)
{
	const json_t *phases = json_object_get(obj, "phases");
	bool has;
	uint64_t lost;

	if (!json_is_object(obj) || !json_is_array(phases) || get_side(obj, &l->side) ||
	    get_us(obj, "stop_us", &l->has_stop, &l->stop_us) ||
	    get_us(obj, "run_us", &l->has_run, &l->run_us) ||
	    get_us(obj, "uncertainty_us", &has, &l->uncertainty_us) ||
	    get_us(obj, "lost", &has, &lost) || lost > INT32_MAX)
		return -EINVAL;
	l->lost = (unsigned int)lost;
	if (json_array_size(phases) > LEDGER_MAX_PHASES)
		return -E2BIG;
	for (size_t i = 0; i < json_array_size(phases); i++)
		if (phase_from_json(&l->phases[i], json_array_get(phases, i)))
			return -EINVAL;
	l->nr = (unsigned int)json_array_size(phases);
	return 0;
}

int ledger_from_json(struct ledger *l, const json_t *obj)
{
	int ret;

	ledger_init(l, LEDGER_SOURCE);
	ret = read_json(l, obj);
	if (ret)
		ledger_init(l, LEDGER_SOURCE);
	return ret;
}
