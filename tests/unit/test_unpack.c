/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The unpacker of domain 0's kernel: what liblzma packs comes out as it was, for many settings of
 * the packer; damage anywhere is noticed; the bzImage around it is not believed either.  Buffers
 * are of exact size, so that the address sanitizer sees a step outside.
 */
#include <pv/build0.h>
#include <pv/errno.h>
#include <pv/lib.h>
#include <pv/unxz.h>

#include <fcntl.h>
#include <lzma.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <cmocka.h>

#define SAMPLE	(300u << 10)
#define PACKED	(SAMPLE + (64u << 10))

struct buf {
	uint8_t *p;
	size_t n;
};

static char last_log[256];
static size_t alloc_asked;
static bool alloc_fails;

void printk(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(last_log, sizeof(last_log), fmt, ap);
	va_end(ap);
}

static void *test_alloc(size_t n)
{
	alloc_asked = n;
	return alloc_fails ? NULL : malloc(n);
}

static struct buf buf_new(size_t n)
{
	struct buf b = { malloc(n ? n : 1), n };

	assert_non_null(b.p);
	return b;
}

static uint32_t rnd(void)
{
	static uint64_t x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x >> 16;
}

/* Code (this program's own), text, chance, and bytes that are nearly all e8, e9, 00 and ff. */
static void fill(uint8_t *p, size_t n, int kind)
{
	static const uint8_t branchy[] = { 0xe8, 0xe9, 0, 0xff, 0xe8, 0, 0x12 };
	static const char *const words[] = { "frame ", "guest ", "domain ", "\n", "page " };
	int fd;

	memset(p, 0, n);
	switch (kind) {
	case 0:
		fd = open("/proc/self/exe", O_RDONLY);
		assert_true(read(fd, p, n) > 0);
		close(fd);
		break;
	case 1:
		for (size_t i = 0; i + 8 < n; ) {
			const char *w = words[rnd() % ARRAY_SIZE(words)];

			memcpy(p + i, w, strlen(w));
			i += strlen(w);
		}
		break;
	case 2:
		for (size_t i = 0; i < n; i++)
			p[i] = rnd();
		break;
	case 3:
		for (size_t i = 0; i < n; i++)
			p[i] = branchy[rnd() % sizeof(branchy)];
		break;
	}
}

struct packing {
	uint32_t preset;
	bool x86;
	uint32_t x86_start;
	unsigned int lc, lp, pb;
	lzma_check check;
};

#define DEFAULT_PACKING { .preset = 6, .lc = 3, .pb = 2, .check = LZMA_CHECK_CRC32 }

static struct buf pack(const struct packing *how, const uint8_t *src, size_t n)
{
	struct buf out = buf_new(PACKED);
	lzma_options_bcj bcj = { .start_offset = how->x86_start };
	lzma_options_lzma opt;
	lzma_filter f[3];
	unsigned int nr = 0;
	size_t len = 0;

	assert_false(lzma_lzma_preset(&opt, how->preset));
	opt.dict_size = 1u << 20;
	opt.lc = how->lc;
	opt.lp = how->lp;
	opt.pb = how->pb;
	if (how->x86)
		f[nr++] = (lzma_filter){ LZMA_FILTER_X86, how->x86_start ? &bcj : NULL };
	f[nr++] = (lzma_filter){ LZMA_FILTER_LZMA2, &opt };
	f[nr].id = LZMA_VLI_UNKNOWN;
	assert_int_equal(lzma_stream_buffer_encode(f, how->check, NULL, src, n, out.p, &len, out.n),
			 LZMA_OK);
	out.p = realloc(out.p, len);
	out.n = len;
	return out;
}

static void check_round_trip(const struct packing *how, const uint8_t *src, size_t n)
{
	struct buf x = pack(how, src, n), out = buf_new(n);

	assert_int_equal(unxz(x.p, x.n, out.p, n), 0);
	assert_memory_equal(out.p, src, n);
	/* The data must be of the announced size exactly. */
	assert_int_equal(unxz(x.p, x.n, out.p, n - 1), -EBADMSG);
	free(x.p);
	free(out.p);
}

static void test_presets(void **state)
{
	uint8_t *src = malloc(SAMPLE);

	for (uint32_t preset = 0; preset <= 9; preset += 3)
		for (int kind = 0; kind < 5; kind++) {
			struct packing how = DEFAULT_PACKING;

			how.preset = preset;
			how.x86 = kind & 1;
			fill(src, SAMPLE, kind);
			check_round_trip(&how, src, SAMPLE);
		}
	free(src);
}

static void test_properties(void **state)
{
	uint8_t *src = malloc(SAMPLE);

	for (unsigned int lc = 0; lc <= 4; lc++)
		for (unsigned int lp = 0; lp + lc <= 4; lp++) {
			struct packing how = DEFAULT_PACKING;

			how.preset = 1;
			how.lc = lc;
			how.lp = lp;
			how.pb = rnd() % 5;
			fill(src, SAMPLE / 4, lc & 1);
			check_round_trip(&how, src, SAMPLE / 4);
		}
	free(src);
}

/* The filter's hard part is opcodes close to each other: short random runs of the bytes that matter. */
static void test_x86_filter(void **state)
{
	uint8_t src[64];

	for (int i = 0; i < 3000; i++) {
		struct packing how = DEFAULT_PACKING;
		size_t n = 1 + rnd() % sizeof(src);

		how.preset = 0;
		how.x86 = true;
		how.x86_start = rnd() % 3 ? 0 : rnd();
		fill(src, n, 3);
		check_round_trip(&how, src, n);
	}
}

/* Blocks, as a multi-threaded xz makes them, and sizes in their headers. */
static void test_blocks(void **state)
{
	uint8_t *src = malloc(SAMPLE);
	lzma_mt mt = { .threads = 2, .block_size = 20000, .preset = 1, .check = LZMA_CHECK_CRC32 };
	lzma_stream s = LZMA_STREAM_INIT;
	struct buf x = buf_new(PACKED), out = buf_new(SAMPLE);

	fill(src, SAMPLE, 0);
	assert_int_equal(lzma_stream_encoder_mt(&s, &mt), LZMA_OK);
	s.next_in = src;
	s.avail_in = SAMPLE;
	s.next_out = x.p;
	s.avail_out = x.n;
	assert_int_equal(lzma_code(&s, LZMA_FINISH), LZMA_STREAM_END);
	assert_int_equal(unxz(x.p, s.total_out, out.p, SAMPLE), 0);
	assert_memory_equal(out.p, src, SAMPLE);
	lzma_end(&s);
	free(x.p);
	free(out.p);
	free(src);
}

static void test_unsupported(void **state)
{
	uint8_t src[100] = { 1 }, out[100];
	struct packing how = DEFAULT_PACKING;
	lzma_options_delta delta = { .type = LZMA_DELTA_TYPE_BYTE, .dist = 1 };
	lzma_options_lzma opt;
	lzma_filter f[3] = { { LZMA_FILTER_DELTA, &delta }, { LZMA_FILTER_LZMA2, &opt },
			     { LZMA_VLI_UNKNOWN, NULL } };
	uint8_t packed[1000];
	size_t len = 0;
	struct buf x;

	how.check = LZMA_CHECK_CRC64;
	x = pack(&how, src, sizeof(src));
	assert_int_equal(unxz(x.p, x.n, out, sizeof(out)), -EOPNOTSUPP);
	free(x.p);
	lzma_lzma_preset(&opt, 0);
	assert_int_equal(lzma_stream_buffer_encode(f, LZMA_CHECK_CRC32, NULL, src, sizeof(src), packed,
						   &len, sizeof(packed)), LZMA_OK);
	assert_int_equal(unxz(packed, len, out, sizeof(out)), -EOPNOTSUPP);
}

/* Every prefix and every flipped bit of a small stream. */
static void test_damage(void **state)
{
	uint8_t src[600];
	struct packing how = DEFAULT_PACKING;
	struct buf x, out = buf_new(sizeof(src));

	how.x86 = true;
	fill(src, sizeof(src), 1);
	x = pack(&how, src, sizeof(src));
	for (size_t n = 0; n < x.n; n++) {
		struct buf cut = buf_new(n);

		memcpy(cut.p, x.p, n);
		assert_int_not_equal(unxz(cut.p, n, out.p, out.n), 0);
		free(cut.p);
	}
	for (size_t bit = 0; bit < x.n * 8; bit++) {
		x.p[bit / 8] ^= 1u << bit % 8;
		assert_int_not_equal(unxz(x.p, x.n, out.p, out.n), 0);
		x.p[bit / 8] ^= 1u << bit % 8;
	}
	assert_int_equal(unxz(x.p, x.n, out.p, out.n), 0);
	free(x.p);
	free(out.p);
}

/* --- gzip --- */

static struct buf gzip(const uint8_t *src, size_t n, int level, int strategy, gz_header *header)
{
	struct buf out = buf_new(n + n / 8 + 4096);
	z_stream z = { .next_in = (uint8_t *)src, .avail_in = n, .next_out = out.p, .avail_out = out.n };

	assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, 15 + 16, 9, strategy), Z_OK);
	if (header)
		deflateSetHeader(&z, header);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	out.n = z.total_out;
	out.p = realloc(out.p, out.n);
	deflateEnd(&z);
	return out;
}

static void check_gzip(struct buf x, const uint8_t *src, size_t n)
{
	struct buf out = buf_new(n);

	assert_int_equal(gunzip(x.p, x.n, out.p, n), 0);
	assert_memory_equal(out.p, src, n);
	assert_int_equal(gunzip(x.p, x.n, out.p, n - 1), -EBADMSG);
	free(out.p);
	free(x.p);
}

static void test_gzip(void **state)
{
	static const int strategies[] = { Z_DEFAULT_STRATEGY, Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE };
	gz_header header = { .extra = (uint8_t *)"extra", .extra_len = 5, .name = (uint8_t *)"name",
			     .comment = (uint8_t *)"a comment", .hcrc = 1 };
	uint8_t *src = malloc(SAMPLE);

	for (int kind = 0; kind < 5; kind++) {
		fill(src, SAMPLE, kind);
		for (int level = 0; level <= 9; level += 3)
			check_gzip(gzip(src, SAMPLE, level, Z_DEFAULT_STRATEGY, NULL), src, SAMPLE);
		for (unsigned int i = 0; i < ARRAY_SIZE(strategies); i++)
			check_gzip(gzip(src, SAMPLE, 6, strategies[i], &header), src, SAMPLE);
	}
	for (size_t n = 1; n < 300; n++)
		check_gzip(gzip(src, n, 9, Z_DEFAULT_STRATEGY, NULL), src, n);
	free(src);
}

/* Every prefix; every flipped bit but those of the header's fields that say nothing of the data. */
static void test_gzip_damage(void **state)
{
	uint8_t src[600];
	struct buf x, out = buf_new(sizeof(src));

	fill(src, sizeof(src), 1);
	x = gzip(src, sizeof(src), 9, Z_DEFAULT_STRATEGY, NULL);
	for (size_t n = 0; n < x.n; n++) {
		struct buf cut = buf_new(n);

		memcpy(cut.p, x.p, n);
		assert_int_not_equal(gunzip(cut.p, n, out.p, out.n), 0);
		free(cut.p);
	}
	for (size_t bit = 0; bit < x.n * 8; bit++) {
		bool idle = (bit >= 4 * 8 && bit < 10 * 8) || bit == 3 * 8 /* "text" */;
		int ret;

		x.p[bit / 8] ^= 1u << bit % 8;
		ret = gunzip(x.p, x.n, out.p, out.n);
		assert_true(idle || ret || !memcmp(src, out.p, sizeof(src)));
		x.p[bit / 8] ^= 1u << bit % 8;
	}
	assert_int_equal(gunzip(x.p, x.n, out.p, out.n), 0);
	free(x.p);
	free(out.p);
}

/* --- the bzImage around it --- */

#define SECTS	3u

static void put32(uint8_t *p, uint32_t v) { memcpy(p, &v, 4); }

/* @x: the payload without the size behind it. */
static struct buf wrap_bzimage(struct buf x, uint32_t claim)
{
	struct buf img = buf_new((SECTS + 1) * 512 + 16 + x.n + 4);

	memset(img.p, 0, img.n);
	img.p[0x1f1] = SECTS;
	img.p[0x1fe] = 0x55;
	img.p[0x1ff] = 0xaa;
	memcpy(img.p + 0x202, "HdrS", 4);
	img.p[0x206] = 0x0f;
	img.p[0x207] = 2;
	put32(img.p + 0x248, 16);
	put32(img.p + 0x24c, x.n + 4);
	memcpy(img.p + (SECTS + 1) * 512 + 16, x.p, x.n);
	put32(img.p + img.n - 4, claim);
	free(x.p);
	return img;
}

static struct buf make_bzimage(const uint8_t *data, size_t n, uint32_t claim)
{
	struct packing how = DEFAULT_PACKING;

	return wrap_bzimage(pack(&how, data, n), claim);
}

static void test_bzimage(void **state)
{
	uint8_t data[5000];
	struct buf img;
	const void *elf;
	size_t size;

	fill(data, sizeof(data), 0);
	img = make_bzimage(data, sizeof(data), sizeof(data));
	assert_int_equal(unpack_kernel(img.p, img.n, test_alloc, &elf, &size), 0);
	assert_int_equal(size, sizeof(data));
	assert_int_equal(alloc_asked, sizeof(data));
	assert_memory_equal(elf, data, size);
	free((void *)elf);
	alloc_fails = true;
	assert_int_equal(unpack_kernel(img.p, img.n, test_alloc, &elf, &size), -ENOMEM);
	alloc_fails = false;
	free(img.p);
}

/* gzip's own trailer ends with the size, and nothing is behind it. */
static void test_gzip_bzimage(void **state)
{
	uint8_t data[5000];
	struct buf x, img;
	const void *elf;
	size_t size;

	fill(data, sizeof(data), 0);
	x = gzip(data, sizeof(data), 9, Z_DEFAULT_STRATEGY, NULL);
	x.n -= 4;
	img = wrap_bzimage(x, sizeof(data));
	assert_int_equal(unpack_kernel(img.p, img.n, test_alloc, &elf, &size), 0);
	assert_int_equal(size, sizeof(data));
	assert_memory_equal(elf, data, size);
	free((void *)elf);
	free(img.p);
}

static void test_elf_is_passed_on(void **state)
{
	static const uint8_t image[64] = "\x7f""ELF";
	const void *elf;
	size_t size;

	assert_int_equal(unpack_kernel(image, sizeof(image), test_alloc, &elf, &size), 0);
	assert_ptr_equal(elf, image);
	assert_int_equal(size, sizeof(image));
}

static int unpack_changed(struct buf img, size_t at, uint32_t val, unsigned int bytes)
{
	uint8_t saved[4];
	const void *elf;
	size_t size;
	int ret;

	memcpy(saved, img.p + at, 4);
	memcpy(img.p + at, &val, bytes);
	last_log[0] = 0;
	ret = unpack_kernel(img.p, img.n, test_alloc, &elf, &size);
	assert_true(ret == 0 || last_log[0]);
	memcpy(img.p + at, saved, 4);
	return ret;
}

static void test_hostile_header(void **state)
{
	uint8_t data[3000];
	size_t payload = (SECTS + 1) * 512 + 16;
	struct buf img;

	alloc_fails = true;	/* what is accepted shows as -ENOMEM, and no test leaks */
	fill(data, sizeof(data), 1);
	img = make_bzimage(data, sizeof(data), sizeof(data));
	assert_int_equal(unpack_changed(img, 0x1fe, 0, 1), -ENOEXEC);
	assert_int_equal(unpack_changed(img, 0x202, 0, 1), -ENOEXEC);
	assert_int_equal(unpack_changed(img, 0x206, 0x207, 2), -ENOEXEC);
	assert_int_equal(unpack_changed(img, 0x1f1, 255, 1), -ENOEXEC);
	assert_int_equal(unpack_changed(img, 0x248, ~0u, 4), -ENOEXEC);
	assert_int_equal(unpack_changed(img, 0x24c, ~0u, 4), -ENOEXEC);
	assert_int_equal(unpack_changed(img, 0x24c, 4, 4), -ENOEXEC);
	assert_int_equal(unpack_changed(img, 0x24c, img.n - payload + 1, 4), -ENOEXEC);
	assert_int_equal(unpack_changed(img, img.n - 4, 0, 4), -E2BIG);
	assert_int_equal(unpack_changed(img, img.n - 4, (1u << 30) + 1, 4), -E2BIG);
	assert_int_equal(unpack_changed(img, payload, 0xfd2fb528, 4), -EOPNOTSUPP);
	assert_non_null(strstr(last_log, "zstd"));
	assert_int_equal(unpack_changed(img, payload, 0x12345678, 4), -EOPNOTSUPP);
	for (size_t n = 0; n < payload + 4; n += n < 0x250 ? 1 : 37) {
		struct buf cut = buf_new(n);
		const void *elf;
		size_t size;

		memcpy(cut.p, img.p, n);
		assert_int_equal(unpack_kernel(cut.p, n, test_alloc, &elf, &size), -ENOEXEC);
		free(cut.p);
	}
	alloc_fails = false;
	free(img.p);
}

/* The real thing: the lab's stock Debian kernel, against liblzma. */
static void test_debian_kernel(void **state)
{
	const char *build = getenv("GODWIT_BUILD");
	uint64_t limit = UINT64_MAX;
	size_t size, in_pos = 0, out_pos = 0, start;
	struct buf img, want;
	char path[4096];
	struct stat st;
	const void *elf;
	int fd;

	snprintf(path, sizeof(path), "%s/lab/vmlinuz", build ? build : "build");
	fd = open(path, O_RDONLY);
	if (fd < 0) {
		print_message("%s is not there (make image): skipped\n", path);
		skip();
	}
	assert_int_equal(fstat(fd, &st), 0);
	img = buf_new(st.st_size);
	assert_int_equal(read(fd, img.p, img.n), img.n);
	close(fd);
	assert_int_equal(unpack_kernel(img.p, img.n, test_alloc, &elf, &size), 0);
	start = (img.p[0x1f1] + 1) * 512 + *(uint32_t *)(img.p + 0x248);
	want = buf_new(size);
	assert_int_equal(lzma_stream_buffer_decode(&limit, 0, NULL, img.p + start, &in_pos,
						   img.n - start, want.p, &out_pos, size), LZMA_OK);
	assert_int_equal(out_pos, size);
	assert_int_equal(memcmp(want.p, elf, size), 0);
	free(want.p);
	free((void *)elf);
	free(img.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_presets),
		cmocka_unit_test(test_properties),
		cmocka_unit_test(test_x86_filter),
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_unsupported),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_gzip),
		cmocka_unit_test(test_gzip_damage),
		cmocka_unit_test(test_bzimage),
		cmocka_unit_test(test_gzip_bzimage),
		cmocka_unit_test(test_elf_is_passed_on),
		cmocka_unit_test(test_hostile_header),
		cmocka_unit_test(test_debian_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
