/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Golden streams: tests/golden/stream-v1.bin was written by version 1 and must
 * load for ever, with the same contents, in both readers.  (What today's
 * writer makes need not be the same octets: LZ4 may pack better one day.)
 *
 * The generator: test_stream_golden --write FILE.  Use it for a new version's
 * first stream, never to replace an old file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkpoint/verify.h"
#include "tests/unit/test_stream_util.h"

#define GOLDEN_V1	"tests/golden/stream-v1.bin"
#define GOLDEN_V1_XXH3	0x8f4cd16af76a1168ull
#define PAGE		STREAM_PAGE_SIZE

static void load(const char *path, struct stream_mem *m)
{
	uint8_t buf[4096];
	size_t n;
	FILE *in = fopen(path, "re");

	stream_mem_init(m);
	assert_non_null(in);
	while ((n = fread(buf, 1, sizeof(buf), in)) > 0)
		assert_int_equal(m->io.write(m->io.ctx, buf, n), 0);
	fclose(in);
}

static void file_is_the_original(void **state)
{
	struct stream_mem m;

	load(GOLDEN_V1, &m);
	assert_true(m.len < 65536);
	assert_true(raw_hash(m.data, m.len) == GOLDEN_V1_XXH3);
	stream_mem_release(&m);
}

static void version_1_loads(void **state)
{
	uint8_t *memory = malloc((size_t)SAMPLE_PFN_LIMIT * PAGE), types[SAMPLE_PFN_LIMIT];
	uint8_t page[PAGE];
	char error[512];
	struct stream_mem m;
	uint64_t pfn;

	load(GOLDEN_V1, &m);
	sample_read_all(&m.io, error, memory, types, SAMPLE_PFN_LIMIT);
	assert_string_equal(error, "");
	for (pfn = 0; pfn < SAMPLE_PFN_LIMIT; pfn++) {
		uint8_t base = sample_type(pfn) & GODWIT_PAGE_TYPE_MASK;

		assert_int_equal(types[pfn], sample_type(pfn));
		memset(page, 0, sizeof(page));
		if (base == GODWIT_PAGE_DATA || (base >= GODWIT_PAGE_L1 && base <= GODWIT_PAGE_L4))
			sample_page(page, pfn, pfn % 4 == 0);
		assert_memory_equal(memory + pfn * PAGE, page, PAGE);
	}
	free(memory);
	stream_mem_release(&m);
}

static void version_1_verifies(void **state)
{
	static struct verify_report rep;
	FILE *in = fopen(GOLDEN_V1, "re");

	assert_non_null(in);
	assert_int_equal(verify_stream(in, &rep), VERIFY_SOUND);
	fclose(in);
	assert_string_equal(rep.name, SAMPLE_NAME);
	assert_int_equal(rep.vcpus, SAMPLE_VCPUS);
	assert_int_equal(rep.rounds, 2);
	assert_int_equal(rep.pages, 64 + 16);
	assert_int_equal(rep.final[GODWIT_PAGE_L1], 2);
	assert_int_equal(rep.final[GODWIT_PAGE_ABSENT], 2);
	assert_int_equal(rep.final_pinned, 2);
	assert_true(rep.raw_blocks >= 1);
	assert_true(rep.lz4_blocks >= 1);
	assert_int_equal(rep.nr_notes, 0);
}

static int write_golden(const char *path)
{
	struct stream_mem m;
	FILE *out = fopen(path, "wxe");
	int ok;

	if (!out) {
		perror(path);
		return 1;
	}
	sample_build(&m);
	ok = fwrite(m.data, 1, m.len, out) == m.len;
	ok = fclose(out) == 0 && ok;
	printf("%zu bytes, XXH3-64 0x%016llxull\n", m.len,
	       (unsigned long long)raw_hash(m.data, m.len));
	stream_mem_release(&m);
	return !ok;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(file_is_the_original),
		cmocka_unit_test(version_1_loads),
		cmocka_unit_test(version_1_verifies),
	};

	if (argc == 3 && !strcmp(argv[1], "--write"))
		return write_golden(argv[2]);
	return cmocka_run_group_tests_name("stream_golden", tests, NULL, NULL);
}
