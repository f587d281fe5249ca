/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The unpacker of domain 0's kernel on hostile input.  The first byte chooses:
 *   0: the rest is a bzImage as the boot loader would give it;
 *   1, 2: the rest is LZMA2 data, put into a sound .xz container (2: behind the x86 filter), so
 *         that checksums do not stop the fuzzer at the door.  liblzma decodes the same data and
 *         both must agree: on whether it is sound and on what comes out;
 *   3: the rest is deflate data, put into a gzip file; zlib is the judge.
 */
#include <pv/build0.h>
#include <pv/lib.h>
#include <pv/unxz.h>

#include <lzma.h>
#include <stdlib.h>
#include <zlib.h>

#define OUT_MAX	(256u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

void printk(enum log_level level, const char *fmt, ...)
{
}

static void *small_alloc(size_t n)
{
	return n <= 1u << 20 ? malloc(n) : NULL;
}

static void try_bzimage(const uint8_t *data, size_t size)
{
	const void *elf = NULL;
	size_t elf_size;

	if (!unpack_kernel(data, size, small_alloc, &elf, &elf_size) && elf != data)
		free((void *)elf);
}

/* What liblzma makes of @data: bytes written, or -1.  All of the input must be used. */
static int64_t judge(const lzma_filter *filters, const uint8_t *data, size_t size, uint8_t *out)
{
	size_t in_pos = 0, out_pos = 0;

	if (lzma_raw_buffer_decode(filters, NULL, data, &in_pos, size, out, &out_pos, OUT_MAX))
		return -1;
	return in_pos == size ? (int64_t)out_pos : -1;
}

static size_t put_number(uint8_t *p, uint64_t v)
{
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		p[n++] = v | 0x80;
	p[n++] = v;
	return n;
}

static size_t put_crc(uint8_t *p, size_t n)
{
	uint32_t crc = lzma_crc32(p, n, 0);

	memcpy(p + n, &crc, 4);
	return n + 4;
}

static size_t wrap(uint8_t *x, bool x86, const uint8_t *data, size_t size, uint32_t check, size_t out)
{
	static const uint8_t plain[] = { 2, 0, 0x21, 1, 40, 0, 0, 0 };
	static const uint8_t filtered[] = { 2, 1, 0x04, 0, 0x21, 1, 40, 0 };
	uint8_t *p = x, *index, *footer;
	uint32_t backward;

	memcpy(p, "\xfd""7zXZ\0\0\1", 8);
	memcpy(p + 8, (uint32_t[]){ lzma_crc32(p + 6, 2, 0) }, 4);
	p += 12;
	memcpy(p, x86 ? filtered : plain, 8);
	p += put_crc(p, 8);
	memcpy(p, data, size);
	p += size;
	for (; (p - x) % 4; p++)
		*p = 0;
	memcpy(p, &check, 4);
	p += 4;
	index = p;
	*p++ = 0;
	*p++ = 1;
	p += put_number(p, 12 + size + 4);
	p += put_number(p, out);
	for (; (p - index) % 4; p++)
		*p = 0;
	p = index + put_crc(index, p - index);
	footer = p;
	backward = (p - index) / 4 - 1;
	memcpy(footer + 4, &backward, 4);
	memcpy(footer + 8, "\0\1YZ", 4);
	memcpy(footer, (uint32_t[]){ lzma_crc32(footer + 4, 6, 0) }, 4);
	return footer + 12 - x;
}

static void try_chunks(bool x86, const uint8_t *data, size_t size)
{
	lzma_options_lzma opt = { .dict_size = 1u << 20 };
	lzma_filter filters[3] = { { LZMA_FILTER_X86, NULL }, { LZMA_FILTER_LZMA2, &opt },
				   { LZMA_VLI_UNKNOWN, NULL } };
	static uint8_t want[OUT_MAX];
	int64_t n = judge(filters + !x86, data, size, want);
	uint8_t *x = malloc(size + 100), *out;
	size_t len, out_size = n < 0 ? OUT_MAX : n;
	int ret;

	len = wrap(x, x86, data, size, n < 0 ? 0 : lzma_crc32(want, n, 0), out_size);
	x = realloc(x, len);
	out = malloc(out_size + 1);
	ret = unxz(x, len, out, out_size);
	if ((ret == 0) != (n >= 0) || (n > 0 && memcmp(out, want, n)))
		abort();
	free(out);
	free(x);
}

static void try_deflate(const uint8_t *data, size_t size)
{
	static uint8_t want[OUT_MAX];
	z_stream z = { .next_in = (uint8_t *)data, .avail_in = size, .next_out = want, .avail_out = OUT_MAX };
	uint8_t *x = malloc(size + 18), *out;
	bool good;
	size_t n;
	int ret;

	if (inflateInit2(&z, -15) != Z_OK)
		abort();
	good = inflate(&z, Z_FINISH) == Z_STREAM_END && !z.avail_in;
	n = good ? z.total_out : OUT_MAX;
	inflateEnd(&z);
	memcpy(x, "\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);
	memcpy(x + 10, data, size);
	memcpy(x + 10 + size, (uint32_t[]){ good ? lzma_crc32(want, n, 0) : 0, n }, 8);
	out = malloc(n + 1);
	ret = gunzip(x, size + 18, out, n);
	if ((ret == 0) != good || (good && memcmp(out, want, n)))
		abort();
	free(out);
	free(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	switch (data[0] % 4) {
	case 0:
		try_bzimage(data + 1, size - 1);
		break;
	case 3:
		try_deflate(data + 1, size - 1);
		break;
	default:
		try_chunks(data[0] % 4 == 2, data + 1, size - 1);
	}
	return 0;
}

/* Sound data to begin with: chance alone hardly ever makes a Huffman code. */
static size_t sample(uint8_t *data, size_t max_size, unsigned int seed)
{
	lzma_options_lzma opt;
	lzma_filter filters[3] = { { LZMA_FILTER_X86, NULL }, { LZMA_FILTER_LZMA2, &opt },
				   { LZMA_VLI_UNKNOWN, NULL } };
	uint8_t text[700];
	uLongf n = max_size - 1;
	size_t used = 0;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 7 < seed % 8 ? "\xe8\0\0\xff words"[(i * (seed % 5 + 1)) % 10] : i * i / 9;
	data[0] = seed % 3 + 1;
	if (data[0] == 3) {
		/* zlib's container is 2 bytes before and 4 behind the deflate data */
		if (compress2(data + 1, &n, text, sizeof(text), seed / 3 % 10) || n < 6)
			return 1;
		memmove(data + 1, data + 3, n - 6);
		return n - 6 + 1;
	}
	lzma_lzma_preset(&opt, seed / 3 % 10);
	opt.dict_size = 1u << 20;
	if (lzma_raw_buffer_encode(filters + (data[0] == 1), NULL, text, sizeof(text), data + 1, &used,
				   max_size - 1))
		return 1;
	return used + 1;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	if (max_size > 2048 && (size < 8 || seed % 16 == 0))
		return sample(data, max_size, seed / 16);
	return LLVMFuzzerMutate(data, size, max_size);
}
