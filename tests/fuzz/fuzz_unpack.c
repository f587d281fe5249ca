/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The unpacker of domain 0's kernel on hostile input.  The first byte chooses:
 *   0: the rest is a bzImage as the boot loader would give it;
 *   1, 2: the rest is LZMA2 data, put into a sound .xz container (2: behind the x86 filter), so
 *         that checksums do not stop the fuzzer at the door.  liblzma decodes the same data and
 *         both must agree: on whether it is sound and on what comes out.
 */
#include <pv/build0.h>
#include <pv/lib.h>
#include <pv/unxz.h>

#include <lzma.h>
#include <stdlib.h>

#define OUT_MAX	(256u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0] % 3 == 0)
		try_bzimage(data + 1, size - 1);
	else
		try_chunks(data[0] % 3 == 2, data + 1, size - 1);
	return 0;
}
