/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint/delta.c against a naive reader: after each batch it holds what the guest has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkpoint/delta.h"
#include "hypervisor/include/public/godwit.h"

#define PFNS	64u
#define BATCH	16u

static uint64_t seed = 0x9e3779b97f4a7c15ull;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

struct world {
	uint8_t guest[PFNS][4096], reader[PFNS][4096];
	uint8_t reader_type[PFNS];
};

/* What restore does with one entry. */
static void reader_takes(struct world *w, uint64_t pfn, uint8_t type, const uint8_t *bytes)
{
	switch (type) {
	case GODWIT_PAGE_RETRY:
		return;
	case GODWIT_PAGE_ZERO:
		memset(w->reader[pfn], 0, 4096);
		break;
	case GODWIT_PAGE_DELTA:
		assert_int_equal(w->reader_type[pfn], GODWIT_PAGE_DATA);
		for (unsigned int i = 0; i < 4096; i++)
			w->reader[pfn][i] ^= bytes[i];
		type = GODWIT_PAGE_DATA;
		break;
	default:
		memcpy(w->reader[pfn], bytes, 4096);
	}
	w->reader_type[pfn] = type;
}

static uint8_t some_type(void)
{
	static const uint8_t types[] = { GODWIT_PAGE_DATA, GODWIT_PAGE_DATA, GODWIT_PAGE_DATA, GODWIT_PAGE_DATA,
					 GODWIT_PAGE_ZERO, GODWIT_PAGE_L1, GODWIT_PAGE_RETRY };

	return types[rnd() % sizeof(types)];
}

static unsigned int one_batch(struct world *w, struct delta *d)
{
	static uint8_t pages[BATCH][4096];
	uint64_t pfns[BATCH];
	uint8_t types[BATCH];
	unsigned int i, deltas = 0;

	for (i = 0; i < BATCH; i++) {
		uint64_t pfn = pfns[i] = i * (PFNS / BATCH) + rnd() % (PFNS / BATCH);

		types[i] = some_type();
		if (types[i] == GODWIT_PAGE_ZERO)
			memset(w->guest[pfn], 0, 4096);
		else if (types[i] != GODWIT_PAGE_RETRY)
			((uint64_t *)(void *)w->guest[pfn])[rnd() % 512] = rnd();
		memcpy(pages[i], w->guest[pfn], 4096);
	}
	delta_encode(d, pfns, types, &pages[0][0], BATCH);
	for (i = 0; i < BATCH; i++) {
		deltas += types[i] == GODWIT_PAGE_DELTA;
		reader_takes(w, pfns[i], types[i], pages[i]);
		if (types[i] != GODWIT_PAGE_RETRY)
			assert_memory_equal(w->reader[pfns[i]], w->guest[pfns[i]], 4096);
	}
	return deltas;
}

static void run(uint64_t max_pages, bool expect_deltas)
{
	struct world *w = calloc(1, sizeof(*w));
	struct delta *d = delta_new(PFNS, max_pages);
	unsigned int deltas = 0;

	memset(w->reader_type, 0xff, sizeof(w->reader_type));
	for (unsigned int i = 0; i < 2000; i++)
		deltas += one_batch(w, d);
	assert_int_equal(deltas > 0, expect_deltas);
	delta_free(d);
	free(w);
}

static void test_follows_the_guest(void **state) { run(PFNS, true); }
static void test_small_cache(void **state) { run(5, true); }
static void test_no_cache(void **state) { run(0, false); }

/* A page that changed in one word goes as zeros but for that word. */
static void test_delta_is_sparse(void **state)
{
	static uint8_t page[4096];
	const uint64_t pfn = 3;
	uint8_t type = GODWIT_PAGE_DATA;
	struct delta *d = delta_new(PFNS, PFNS);
	unsigned int nonzero = 0;

	for (unsigned int i = 0; i < 512; i++)
		((uint64_t *)(void *)page)[i] = rnd();
	delta_encode(d, &pfn, &type, page, 1);
	assert_int_equal(type, GODWIT_PAGE_DATA);
	((uint64_t *)(void *)page)[100] ^= 0xff;
	delta_encode(d, &pfn, &type, page, 1);
	assert_int_equal(type, GODWIT_PAGE_DELTA);
	for (unsigned int i = 0; i < 4096; i++)
		nonzero += page[i] != 0;
	assert_int_equal(nonzero, 1);
	assert_int_equal(page[800], 0xff);
	delta_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_follows_the_guest),
		cmocka_unit_test(test_small_cache),
		cmocka_unit_test(test_no_cache),
		cmocka_unit_test(test_delta_is_sparse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
