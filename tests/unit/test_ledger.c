// SPDX-License-Identifier: Apache-2.0
/*
 * migrate/ledger.c: nesting, full tables, two clocks, the table's text, and
 * JSON from a hostile peer.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "migrate/ledger.h"

static char *printed(const struct ledger *l)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	ledger_print(l, f);
	fclose(f);
	return text;
}

static void phases_nest_and_follow(void **state)
{
	struct ledger l;
	int outer, inner;

	ledger_init(&l, LEDGER_SOURCE);
	outer = ledger_begin(&l, "precopy", 1000);
	inner = ledger_begin(&l, "round", 1100);
	ledger_end(&l, inner, 1500);
	inner = ledger_begin(&l, "round", 1500);
	ledger_end(&l, outer, 2000);	/* closes the round, too */
	ledger_end(&l, inner, 9999);	/* closed: no effect */
	ledger_begin(&l, "suspend", 2000);
	assert_int_equal(l.nr, 4);
	assert_int_equal(l.phases[0].depth, 0);
	assert_int_equal(l.phases[1].depth, 1);
	assert_int_equal(l.phases[2].end_us, 2000);
	assert_int_equal(l.phases[3].depth, 0);
	assert_true(l.phases[3].open);
	assert_int_equal(ledger_phase_us(&l, "precopy"), 1000);
	assert_int_equal(ledger_phase_us(&l, "round"), 900);
	assert_int_equal(ledger_phase_us(&l, "suspend"), 0);
}

static void wild_handles_and_clocks_are_harmless(void **state)
{
	struct ledger l;
	int h;

	ledger_init(&l, LEDGER_SOURCE);
	ledger_end(&l, -1, 5);
	ledger_end(&l, 0, 5);
	ledger_end(&l, 1 << 30, 5);
	h = ledger_begin(&l, "x", 100);
	ledger_end(&l, h, 50);		/* the clock cannot go back */
	assert_int_equal(l.phases[0].end_us, 100);
	assert_int_equal(l.depth, 0);
}

static void names_are_made_safe(void **state)
{
	struct ledger l;

	ledger_init(&l, LEDGER_SOURCE);
	ledger_begin(&l, "Round 1\n\"x\"", 0);
	assert_string_equal(l.phases[0].name, "-ound-1--x-");
	ledger_begin(&l, "0123456789012345678901234567890123456789", 0);
	assert_string_equal(l.phases[1].name, "0123456789012345678901234567890");
}

static void full_table_counts_what_it_lost(void **state)
{
	struct ledger l;

	ledger_init(&l, LEDGER_SOURCE);
	for (unsigned int i = 0; i < LEDGER_MAX_PHASES + 7; i++) {
		int h = ledger_begin(&l, "p", i);

		assert_true(h < LEDGER_MAX_PHASES);
		ledger_end(&l, h, i + 1);
	}
	assert_int_equal(l.nr, LEDGER_MAX_PHASES);
	assert_int_equal(l.lost, 7);
	ledger_add(&l, "q", 1, 2);
	assert_int_equal(l.lost, 8);
}

static void deep_nesting_is_bounded(void **state)
{
	struct ledger l;
	int first = -1;

	ledger_init(&l, LEDGER_SOURCE);
	for (unsigned int i = 0; i < LEDGER_MAX_DEPTH + 3; i++) {
		int h = ledger_begin(&l, "d", i);

		if (i == 0)
			first = h;
		assert_int_equal(h < 0, i >= LEDGER_MAX_DEPTH);
	}
	ledger_end(&l, first, 100);
	assert_int_equal(l.depth, 0);
	for (unsigned int i = 0; i < l.nr; i++)
		assert_false(l.phases[i].open);
}

static void downtime_needs_both_marks(void **state)
{
	struct ledger l;
	uint64_t us = 1;

	ledger_init(&l, LEDGER_SOURCE);
	assert_false(ledger_downtime_us(&l, &us));
	ledger_mark_stop(&l, 5000);
	assert_false(ledger_downtime_us(&l, &us));
	ledger_mark_run(&l, 129000);
	assert_true(ledger_downtime_us(&l, &us));
	assert_int_equal(us, 124000);
	ledger_mark_run(&l, 1);
	assert_true(ledger_downtime_us(&l, &us));
	assert_int_equal(us, 0);
}

/* Source clock 1000000 is destination clock 51000000. */
static struct ledger two_sides(void)
{
	struct ledger src, dst;

	ledger_init(&src, LEDGER_SOURCE);
	ledger_add(&src, "precopy", 1000000, 1800000);
	ledger_mark_stop(&src, 1800000);
	ledger_add(&src, "final-set", 1800000, 1850000);
	ledger_init(&dst, LEDGER_DESTINATION);
	ledger_add(&dst, "receive", 51000000, 51852000);
	ledger_add(&dst, "pin", 51852000, 51870000);
	ledger_begin(&dst, "arp", 51871000);
	dst.lost = 3;
	ledger_mark_run(&dst, 51871000);
	ledger_merge(&src, &dst, 50000000, 300);
	return src;
}

static void merge_moves_the_other_clock(void **state)
{
	struct ledger l = two_sides();
	uint64_t us;

	assert_int_equal(l.nr, 5);
	assert_true(ledger_downtime_us(&l, &us));
	assert_int_equal(us, 71000);
	assert_int_equal(l.phases[2].begin_us, 1000000);
	assert_int_equal(l.phases[3].begin_us, 1852000);
	assert_int_equal(l.phases[3].side, LEDGER_DESTINATION);
	assert_false(l.phases[4].open);
	assert_int_equal(l.uncertainty_us, 300);
	assert_int_equal(l.lost, 3);
}

static void merge_survives_absurd_clocks(void **state)
{
	struct ledger l, other = two_sides();
	uint64_t us;

	for (unsigned int i = 0; i < 2; i++) {
		ledger_init(&l, LEDGER_SOURCE);
		ledger_merge(&l, &other, i ? INT64_MIN : INT64_MAX, UINT64_MAX);
		for (unsigned int j = 0; j < l.nr; j++)
			assert_true(l.phases[j].end_us >= l.phases[j].begin_us);
		assert_true(ledger_downtime_us(&l, &us));
		free(printed(&l));
	}
}

/* Clocks that put the run before the stop: never less than what one clock knows. */
static void run_is_confined(void **state)
{
	struct ledger l, other = two_sides();
	uint64_t us;

	for (unsigned int i = 0; i < 3; i++) {
		ledger_init(&l, LEDGER_SOURCE);
		ledger_mark_stop(&l, 1800000);
		ledger_confine_run(&l, 1, 2);
		assert_false(l.has_run);
		ledger_merge(&l, &other, i ? INT64_MIN : INT64_MAX, 5);
		ledger_confine_run(&l, 1850000, 1870000);
		assert_true(ledger_downtime_us(&l, &us));
		assert_int_equal(us, i ? 70000 : 50000);
		l.run_us = 1860000;
		ledger_confine_run(&l, 1850000, 1870000);
		ledger_confine_run(&l, 1900000, 1870000);	/* contradiction: no news */
		assert_true(ledger_downtime_us(&l, &us));
		assert_int_equal(us, 60000);
	}
}

static void table_is_for_people(void **state)
{
	struct ledger l = two_sides();
	char *text = printed(&l);
	char *precopy = strstr(text, "  precopy"), *final = strstr(text, "* final-set");
	char *pin = strstr(text, "* pin");

	assert_non_null(precopy);
	assert_non_null(final);
	assert_non_null(pin);
	assert_true(precopy < final && final < pin);
	/* merged later, began earlier than the final set */
	assert_true(strstr(text, "  receive") < final);
	assert_non_null(strstr(text, "destination      852.000        18000\n"));
	assert_non_null(strstr(text, "* downtime 71.000 ms (two clocks, +/- 300 us)\n"));
	free(text);
	ledger_init(&l, LEDGER_SOURCE);
	text = printed(&l);
	assert_null(strstr(text, "downtime"));
	free(text);
}

static void json_round_trips(void **state)
{
	struct ledger l = two_sides(), back;
	json_t *obj;

	ledger_begin(&l, "open", 1900000);
	obj = ledger_to_json(&l);
	assert_non_null(obj);
	assert_int_equal(json_integer_value(json_object_get(obj, "downtime_us")), 71000);
	assert_int_equal(ledger_from_json(&back, obj), 0);
	assert_int_equal(back.nr, l.nr);
	for (unsigned int i = 0; i < l.nr; i++)
		assert_memory_equal(&back.phases[i], &l.phases[i], sizeof(l.phases[i]));
	assert_int_equal(back.stop_us, l.stop_us);
	assert_int_equal(back.run_us, l.run_us);
	assert_int_equal(back.uncertainty_us, 300);
	json_decref(obj);
}

static int read_text(const char *text)
{
	struct ledger l;
	json_t *obj = json_loads(text, JSON_DECODE_ANY, NULL);
	int ret;

	assert_non_null(obj);
	ret = ledger_from_json(&l, obj);
	if (ret)
		assert_int_equal(l.nr, 0);
	json_decref(obj);
	return ret;
}

#define HEAD "{\"side\":\"source\",\"phases\":["
#define PHASE(rest) HEAD "{" rest "}]}"

static void hostile_json_is_refused(void **state)
{
	static const char *const bad[] = {
		"[]", "7", "{}", "{\"side\":\"source\"}", "{\"phases\":[]}",
		"{\"side\":\"both\",\"phases\":[]}", "{\"side\":1,\"phases\":[]}",
		"{\"side\":\"source\",\"phases\":{}}",
		"{\"side\":\"source\",\"phases\":[],\"stop_us\":-1}",
		"{\"side\":\"source\",\"phases\":[],\"run_us\":9223372036854775807}",
		"{\"side\":\"source\",\"phases\":[],\"run_us\":\"5\"}",
		"{\"side\":\"source\",\"phases\":[],\"lost\":4294967296}",
		HEAD "3]}", HEAD "null]}",
		PHASE("\"side\":\"source\",\"depth\":0,\"begin_us\":1,\"end_us\":2"),
		PHASE("\"name\":\"\",\"side\":\"source\",\"depth\":0,\"begin_us\":1"),
		PHASE("\"name\":\"A\",\"side\":\"source\",\"depth\":0,\"begin_us\":1"),
		PHASE("\"name\":\"a\\u001b[2J\",\"side\":\"source\",\"depth\":0,\"begin_us\":1"),
		PHASE("\"name\":\"01234567890123456789012345678901\",\"side\":\"source\","
		      "\"depth\":0,\"begin_us\":1"),
		PHASE("\"name\":\"a\",\"side\":\"source\",\"depth\":9,\"begin_us\":1"),
		PHASE("\"name\":\"a\",\"side\":\"source\",\"depth\":-1,\"begin_us\":1"),
		PHASE("\"name\":\"a\",\"side\":\"source\",\"begin_us\":1"),
		PHASE("\"name\":\"a\",\"side\":\"source\",\"depth\":0"),
		PHASE("\"name\":\"a\",\"side\":\"source\",\"depth\":0,\"begin_us\":3,\"end_us\":2"),
		PHASE("\"name\":\"a\",\"side\":\"source\",\"depth\":0,\"begin_us\":1.5"),
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(read_text(bad[i]), -EINVAL);
	assert_int_equal(read_text(HEAD "]}"), 0);
	assert_int_equal(read_text(PHASE("\"name\":\"a\",\"side\":\"destination\","
					 "\"depth\":8,\"begin_us\":1")), 0);
}

static void too_many_phases_are_refused(void **state)
{
	struct ledger l;
	json_t *obj = json_pack("{s:s, s:[]}", "side", "source", "phases");

	for (unsigned int i = 0; i < LEDGER_MAX_PHASES + 1; i++)
		json_array_append_new(json_object_get(obj, "phases"),
				      json_pack("{s:s, s:s, s:i, s:i}", "name", "a",
						"side", "source", "depth", 0, "begin_us", 1));
	assert_int_equal(ledger_from_json(&l, obj), -E2BIG);
	json_array_remove(json_object_get(obj, "phases"), 0);
	assert_int_equal(ledger_from_json(&l, obj), 0);
	assert_int_equal(l.nr, LEDGER_MAX_PHASES);
	json_decref(obj);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(phases_nest_and_follow),
		cmocka_unit_test(wild_handles_and_clocks_are_harmless),
		cmocka_unit_test(names_are_made_safe),
		cmocka_unit_test(full_table_counts_what_it_lost),
		cmocka_unit_test(deep_nesting_is_bounded),
		cmocka_unit_test(downtime_needs_both_marks),
		cmocka_unit_test(merge_moves_the_other_clock),
		cmocka_unit_test(merge_survives_absurd_clocks),
		cmocka_unit_test(run_is_confined),
		cmocka_unit_test(table_is_for_people),
		cmocka_unit_test(json_round_trips),
		cmocka_unit_test(hostile_json_is_refused),
		cmocka_unit_test(too_many_phases_are_refused),
	};

	return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
