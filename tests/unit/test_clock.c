/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two clocks compared: the truth always lies within what clock.c believes, the
 * shortest round trip wins, and nonsense teaches nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "migrate/clock.h"

/* Question at @t0 here; ways of @out and @back; the other side takes @busy. */
static struct clock_exchange exchange(int64_t offset, uint64_t t0, uint64_t out, uint64_t busy,
				      uint64_t back)
{
	return (struct clock_exchange) {
		.t0_us = t0, .t1_us = t0 + out + busy + back,
		.d0_us = (uint64_t)((int64_t)(t0 + out) + offset),
		.d1_us = (uint64_t)((int64_t)(t0 + out + busy) + offset),
	};
}

static void one_exchange(void **state)
{
	struct clock_estimate c = { 0 };
	struct clock_exchange x = exchange(5000, 100000, 300, 0, 300);

	assert_int_equal(clock_uncertainty_us(&c), 0);
	clock_sample(&c, &x);
	assert_true(c.known);
	assert_int_equal(clock_offset_us(&c), 5000);
	assert_int_equal(clock_uncertainty_us(&c), 300);
	/* uneven ways: off by half the difference, and it says so */
	c = (struct clock_estimate) { 0 };
	x = exchange(-5000, 100000, 900, 0, 100);
	clock_sample(&c, &x);
	assert_int_equal(clock_offset_us(&c), -4600);
	assert_int_equal(clock_uncertainty_us(&c), 500);
}

/* What the other side does meanwhile costs no accuracy. */
static void time_spent_there_does_not_count(void **state)
{
	struct clock_estimate c = { 0 };
	struct clock_exchange x = exchange(70000, 1000000, 200, 40000, 200);

	clock_sample(&c, &x);
	assert_int_equal(clock_offset_us(&c), 70000);
	assert_int_equal(clock_uncertainty_us(&c), 200);
}

static void shortest_wins(void **state)
{
	struct clock_exchange far = exchange(1234, 100000, 20000, 0, 1000);
	struct clock_exchange near = exchange(1234, 200000, 150, 0, 151);
	struct clock_estimate c = { 0 };

	clock_sample(&c, &far);
	clock_sample(&c, &near);
	assert_int_equal(clock_uncertainty_us(&c), 151);
	clock_sample(&c, &far);
	assert_int_equal(clock_uncertainty_us(&c), 151);
	assert_in_range(clock_offset_us(&c) + 1000, 1234 + 1000 - 151, 1234 + 1000 + 151);
}

static void confined_by_what_is_nearest(void **state)
{
	struct clock_exchange before = exchange(1000, 100000, 400, 0, 400);
	struct clock_exchange late = exchange(1000, 200000, 100, 0, 3000);
	struct clock_exchange drifted = exchange(90000, 300000, 100, 0, 300);
	struct clock_estimate c = { 0 };

	clock_sample(&c, &before);
	clock_confine(&c, &late);	/* -2000..1100 with 600..1400 */
	assert_int_equal(c.low_us, 600);
	assert_int_equal(c.high_us, 1100);
	clock_confine(&c, &drifted);
	assert_int_equal(c.low_us, 90000 - 300);
	assert_int_equal(c.high_us, 90000 + 100);
	c = (struct clock_estimate) { 0 };
	clock_confine(&c, &late);
	assert_int_equal(c.low_us, -2000);
}

static void nonsense_is_ignored(void **state)
{
	static const struct clock_exchange bad[] = {
		{ .t0_us = 10, .t1_us = 9 },
		{ .t0_us = 1, .t1_us = 2, .d0_us = 9, .d1_us = 8 },
		{ .t0_us = 1, .t1_us = 2, .d0_us = 8, .d1_us = 800 },
		{ .t0_us = 1, .t1_us = 2, .d0_us = UINT64_MAX, .d1_us = UINT64_MAX },
		{ .t0_us = 1, .t1_us = UINT64_MAX, .d0_us = 1, .d1_us = 1 },
	};
	struct clock_estimate c = { 0 };

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		clock_sample(&c, &bad[i]);
		clock_confine(&c, &bad[i]);
		assert_false(c.known);
	}
}

static void the_truth_is_always_within(void **state)
{
	srand(21);
	for (unsigned int run = 0; run < 20000; run++) {
		int64_t truth = rand() % 2000000 - 1000000;
		struct clock_estimate c = { 0 };
		struct clock_exchange x;
		int64_t best = INT64_MAX;

		for (unsigned int i = 0; i < 9; i++) {
			uint64_t out = rand() % 5000, back = rand() % 5000;

			x = exchange(truth, 2000000 + rand() % 1000000, out,
				     rand() % 2 ? rand() % 100000 : 0, back);
			if ((int64_t)(out + back) < best)
				best = (int64_t)(out + back);
			if (i < 8)
				clock_sample(&c, &x);
			else
				clock_confine(&c, &x);
			assert_true(c.low_us <= truth && truth <= c.high_us);
		}
		/* never worse than the best exchange alone */
		assert_true(c.high_us - c.low_us <= best);
		assert_true(llabs(clock_offset_us(&c) - truth) <=
			    (int64_t)clock_uncertainty_us(&c));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_exchange),
		cmocka_unit_test(time_spent_there_does_not_count),
		cmocka_unit_test(shortest_wins),
		cmocka_unit_test(confined_by_what_is_nearest),
		cmocka_unit_test(nonsense_is_ignored),
		cmocka_unit_test(the_truth_is_always_within),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
