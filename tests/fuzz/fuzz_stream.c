/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both readers of the stream format on hostile input, against each other: the
 * library (with pages unpacked, as a restore does) and checkpoint/verify.c must
 * agree whether a stream is sound.
 *
 * Checksums would keep a plain fuzzer at the first header for ever, so the
 * mutator repairs them after most mutations, and sometimes the totals of END.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/verify.h"
#include "tests/unit/test_stream_util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[512], why[256];
	struct stream_mem m;
	int ret, verdict;

	stream_mem_view(&m, data, size);
	ret = sample_read_all(&m.io, error, NULL, NULL, 0);
	verdict = sample_verify(data, size, why);
	if ((ret == 0) != (verdict == VERIFY_SOUND)) {
		fprintf(stderr, "readers disagree: library %d '%s', verify %d '%s'\n", ret, error,
			verdict, why);
		abort();
	}
	return 0;
}

static size_t begin_with_sample(uint8_t *data, size_t max_size, bool child)
{
	struct stream_mem m;
	size_t len;

	if (child)
		sample_build_child(&m);
	else
		sample_build_small(&m);
	len = m.len <= max_size ? m.len : 0;
	memcpy(data, m.data, len);
	stream_mem_release(&m);
	return len;
}

static size_t set_end(uint8_t *data, size_t size, size_t max_size)
{
	struct stream_mem m;

	stream_mem_init(&m);
	if (m.io.write(m.io.ctx, data, size))
		abort();
	raw_set_end(&m);
	if (m.len <= max_size) {
		memcpy(data, m.data, m.len);
		size = m.len;
	}
	stream_mem_release(&m);
	return size;
}

/* Swap, drop or repeat a whole record: what byte mutations rarely do. */
static size_t mutate_records(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	size_t at[64], pos = 32, nr = 0, i, len;
	uint64_t n;

	while (nr < 63 && pos < size && size - pos >= 32) {
		memcpy(&n, data + pos + 8, sizeof(n));
		if (n > size || (n + 7) / 8 * 8 > size - pos - 32)
			break;
		at[nr++] = pos;
		pos += 32 + (n + 7) / 8 * 8;
	}
	at[nr] = pos;
	if (nr < 2)
		return size;
	i = seed / 4 % nr;
	len = at[i + 1] - at[i];
	if (seed & 1) {		/* drop */
		memmove(data + at[i], data + at[i + 1], size - at[i + 1]);
		return size - len;
	}
	if (len > max_size - size)
		return size;
	/* repeat it in front of record k */
	pos = at[seed / 256 % nr];
	memmove(data + pos + len, data + pos, size - pos);
	memmove(data + pos, data + at[i] + (pos <= at[i] ? len : 0), len);
	return size + len;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	unsigned int dice = seed % 16;

	if (size < 64)
		size = begin_with_sample(data, max_size, seed & 0x1000);
	if (dice < 4)
		size = mutate_records(data, size, max_size, seed / 16);
	else
		size = LLVMFuzzerMutate(data, size, max_size);
	if (dice != 15)
		raw_fix_checks(data, size);
	if (dice != 15 && dice & 2) {
		raw_fix_index(data, size);
		raw_fix_checks(data, size);
	}
	if (dice & 1 && size >= 32 && dice != 15)
		size = set_end(data, size, max_size);
	return size;
}
