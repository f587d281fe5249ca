// SPDX-License-Identifier: Apache-2.0
/*
 * migrate/ratelimit.c: the long-run rate, the burst, hostile numbers, and a
 * naive twin that adds up real-valued tokens.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "migrate/ratelimit.h"

static void no_limit_never_waits(void **state)
{
	struct ratelimit rl;

	ratelimit_init(&rl, 0, 5);
	assert_int_equal(ratelimit_take(&rl, UINT64_MAX, 5), 0);
	assert_int_equal(ratelimit_take(&rl, UINT64_MAX, 5), 0);
	assert_int_equal(ratelimit_wait(&rl, 0), 0);
}

static void burst_passes_then_the_rate_holds(void **state)
{
	struct ratelimit rl;

	ratelimit_init(&rl, 1000000, 0);	/* burst is the minimum, 65536 */
	assert_int_equal(ratelimit_take(&rl, 65536, 0), 0);
	assert_int_equal(ratelimit_take(&rl, 4096, 0), 4096);
	assert_int_equal(ratelimit_wait(&rl, 4095), 1);
	assert_int_equal(ratelimit_wait(&rl, 4096), 0);
	assert_int_equal(ratelimit_take(&rl, 0, 1000000), 0);
	assert_int_equal(rl.tokens, 65536);	/* idle time saves no more than the burst */
}

/* A sender that always obeys moves rate * time, whatever its chunks are. */
static void obedient_sender_gets_the_rate(void **state)
{
	static const uint64_t rates[] = { 1, 3, 999, 1500000, 999999937, 10000000000 };
	static const uint64_t chunks[] = { 1, 4096, 4194304 };

	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++)
		for (size_t j = 0; j < sizeof(chunks) / sizeof(chunks[0]); j++) {
			struct ratelimit rl;
			uint64_t now = 77, sent = 0, wait = 0;

			ratelimit_init(&rl, rates[i], now);
			for (unsigned int n = 0; n < 20000; n++) {
				now += wait;
				wait = ratelimit_take(&rl, chunks[j], now);
				sent += chunks[j];
			}
			now += wait;
			/* never faster than burst + rate * time ... */
			assert_true((unsigned __int128)(sent - rl.burst_bytes) * 1000000 <=
				    (unsigned __int128)(now - 77) * rates[i] || sent < rl.burst_bytes);
			/* ... and, once limited, late by less than 1 us a write */
			if (sent > 2 * rl.burst_bytes)
				assert_true((unsigned __int128)sent * 1000000 + rates[i] >=
					    (unsigned __int128)(now - 77 - 20000) * rates[i]);
		}
}

static void polling_gains_and_loses_nothing(void **state)
{
	struct ratelimit rl;
	uint64_t now = 0, sent = 0;

	ratelimit_init(&rl, 1500000, 0);
	ratelimit_take(&rl, rl.burst_bytes, 0);
	for (now = 1; now <= 1000000; now++)
		if (!ratelimit_wait(&rl, now)) {
			ratelimit_take(&rl, 1, now);
			sent++;
		}
	/* one byte at most each microsecond; the rest of 1.5 a us is saved up */
	assert_int_equal(sent, 1000000);
	assert_in_range(rl.tokens, 65535, 65536);
}

/* At 3 bytes a second a byte takes 333334 us; a look in between changes nothing. */
static void carried_fraction_counts_in_the_wait(void **state)
{
	struct ratelimit rl;

	ratelimit_init(&rl, 3, 0);
	assert_int_equal(ratelimit_take(&rl, rl.burst_bytes + 1, 0), 333334);
	assert_int_equal(ratelimit_wait(&rl, 333000), 334);
	assert_int_equal(ratelimit_wait(&rl, 333333), 1);
	assert_int_equal(ratelimit_wait(&rl, 333334), 0);
}

static void twin_agrees(void **state)
{
	srand(4);
	for (unsigned int run = 0; run < 300; run++) {
		uint64_t rate = (uint64_t)rand() % 50000000 + 1, now = (uint64_t)rand();
		struct ratelimit rl;
		long double level, last;

		ratelimit_init(&rl, rate, now);
		level = rl.burst_bytes;
		last = now;
		for (unsigned int n = 0; n < 300; n++) {
			uint64_t bytes = (uint64_t)rand() % 300000, wait;
			long double right;

			now += (uint64_t)rand() % 20000;
			level += ((long double)now - last) * rate / 1e6L;
			if (level > rl.burst_bytes)
				level = rl.burst_bytes;
			last = now;
			level -= bytes;
			wait = ratelimit_take(&rl, bytes, now);
			right = level < 0 ? -level * 1e6L / rate : 0;
			assert_true(wait + 2.0L + 1e6L / rate >= right);
			assert_true(wait <= right + 2.0L + 1e6L / rate);
		}
	}
}

static void hostile_numbers_saturate(void **state)
{
	struct ratelimit rl;

	ratelimit_init(&rl, UINT64_MAX, UINT64_MAX);
	ratelimit_take(&rl, UINT64_MAX, 0);
	ratelimit_take(&rl, UINT64_MAX, UINT64_MAX);
	ratelimit_init(&rl, 1, 0);
	ratelimit_take(&rl, UINT64_MAX, 0);
	assert_int_equal(ratelimit_take(&rl, UINT64_MAX, 0), UINT64_MAX);
	assert_int_equal(rl.debt, UINT64_MAX);
	ratelimit_init(&rl, 1000, 1000000);
	ratelimit_take(&rl, 65536 + 1000, 1000000);
	assert_int_equal(ratelimit_wait(&rl, 0), 1000000);	/* the clock went back */
	assert_int_equal(ratelimit_wait(&rl, 2000000), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_limit_never_waits),
		cmocka_unit_test(burst_passes_then_the_rate_holds),
		cmocka_unit_test(obedient_sender_gets_the_rate),
		cmocka_unit_test(polling_gains_and_loses_nothing),
		cmocka_unit_test(carried_fraction_counts_in_the_wait),
		cmocka_unit_test(twin_agrees),
		cmocka_unit_test(hostile_numbers_saturate),
	};

	return cmocka_run_group_tests_name("ratelimit", tests, NULL, NULL);
}
