// SPDX-License-Identifier: Apache-2.0
/*
 * toolstack/build/elf.c and unpack.c: kernels made here byte by byte, whole and
 * damaged.  Every length of a truncated file is tried, on an exact heap copy,
 * so that the sanitizer sees any read behind the end.
 */
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include "toolstack/build/elf.h"
#include "toolstack/build/unpack.h"

#define BASE 0xffffffff80000000ull
#define FILE_BYTES 8192u
#define NOTES_AT 512u
#define DATA_AT 4096u

/* A kernel of two segments and a note segment. */
struct image {
	uint8_t bytes[FILE_BYTES];
	size_t notes_len;
};

static Elf64_Ehdr *header(struct image *im)
{
	return (Elf64_Ehdr *)(void *)im->bytes;
}

static Elf64_Phdr *phdr(struct image *im, int i)
{
	return (Elf64_Phdr *)(void *)(im->bytes + sizeof(Elf64_Ehdr)) + i;
}

static void add_note(struct image *im, uint32_t type, const void *desc, uint32_t len)
{
	Elf64_Nhdr h = { .n_namesz = 4, .n_descsz = len, .n_type = type };
	uint8_t *p = im->bytes + NOTES_AT + im->notes_len;

	memcpy(p, &h, sizeof(h));
	memcpy(p + sizeof(h), "Xen", 4);
	memcpy(p + sizeof(h) + 4, desc, len);
	im->notes_len += sizeof(h) + 4 + ((len + 3) & ~3u);
	phdr(im, 2)->p_filesz = im->notes_len;
}

static void add_number(struct image *im, uint32_t type, uint64_t value)
{
	add_note(im, type, &value, sizeof(value));
}

static void make_image(struct image *im)
{
	unsigned int i;

	memset(im, 0, sizeof(*im));
	*header(im) = (Elf64_Ehdr){
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 3,
	};
	/* Like Linux: a segment whose virtual address is 0. */
	*phdr(im, 0) = (Elf64_Phdr){ .p_type = PT_LOAD, .p_offset = DATA_AT + 1024,
				     .p_paddr = 0x1400000, .p_vaddr = 0, .p_filesz = 512,
				     .p_memsz = 0x3000 };
	*phdr(im, 1) = (Elf64_Phdr){ .p_type = PT_LOAD, .p_offset = DATA_AT,
				     .p_paddr = 0x1000000, .p_vaddr = BASE + 0x1000000,
				     .p_filesz = 1024, .p_memsz = 1024 };
	*phdr(im, 2) = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = NOTES_AT };
	for (i = 0; i < 2048; i++)
		im->bytes[DATA_AT + i] = (uint8_t)(i * 7);
	add_note(im, 5, "xen-3.0", 8);
	add_number(im, 3, BASE);
	add_number(im, 1, BASE + 0x1000010);
	add_number(im, 15, 0x8000000000);
	add_note(im, 16, "\1\0\0\0", 4);
	add_note(im, 10, "!writable_page_tables|x", 24);
	add_number(im, 14, 1);
}

static struct elf_kernel kernel;
static const char *why;

static int parse_len(const struct image *im, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	int ret;

	assert_non_null(copy);
	memcpy(copy, im->bytes, len);
	why = NULL;
	ret = elf_parse(copy, len, &kernel, &why);
	if (ret)
		assert_true(ret == -ENOEXEC && why && why[0]);
	free(copy);
	return ret;
}

static int parse(const struct image *im)
{
	return parse_len(im, FILE_BYTES);
}

static void good_kernel(void **state)
{
	struct image im;

	make_image(&im);
	assert_int_equal(parse(&im), 0);
	assert_int_equal(kernel.nr_segments, 2);
	assert_int_equal(kernel.segments[0].paddr, 0x1000000);
	assert_int_equal(kernel.segments[1].paddr, 0x1400000);
	assert_int_equal(kernel.segments[1].filesz, 512);
	assert_int_equal(kernel.paddr_start, 0x1000000);
	assert_int_equal(kernel.paddr_end, 0x1403000);
	assert_int_equal(kernel.entry, BASE + 0x1000010);
	assert_int_equal(kernel.init_p2m, 0x8000000000);
	assert_true(kernel.mod_start_pfn);
	assert_true(kernel.suspend_cancel);
	assert_int_equal(kernel.hypercall_page, ~0ull);
}

static void hypercall_page_and_offset(void **state)
{
	struct image im;

	make_image(&im);
	add_number(&im, 4, 0x1000000);	/* PADDR_OFFSET: pfn 0 is at 16 MB */
	im.notes_len = 0;
	add_note(&im, 5, "xen-3.0", 8);
	add_number(&im, 3, BASE);
	add_number(&im, 4, 0x1000000);
	add_number(&im, 1, BASE + 0x10);
	add_number(&im, 2, BASE + 0x400000);
	assert_int_equal(parse(&im), 0);
	assert_int_equal(kernel.paddr_start, 0);
	assert_int_equal(kernel.hypercall_page, 0x400000);
	assert_int_equal(kernel.init_p2m, ~0ull);
	assert_false(kernel.mod_start_pfn);
}

static void every_truncation(void **state)
{
	struct image im;
	size_t len;

	make_image(&im);
	/* The last byte that is used is the end of segment 0's file part. */
	for (len = 0; len < DATA_AT + 1024 + 512; len++)
		assert_int_equal(parse_len(&im, len), -ENOEXEC);
	assert_int_equal(parse_len(&im, len), 0);
}

#define REFUSED(change, words)                                 \
	do {                                                   \
		struct image im;                               \
							       \
		make_image(&im);                               \
		change;                                        \
		assert_int_equal(parse(&im), -ENOEXEC);        \
		assert_non_null(strstr(why, words));           \
	} while (0)

static void damaged_headers(void **state)
{
	REFUSED(header(&im)->e_ident[0] = 0, "not an ELF");
	REFUSED(header(&im)->e_ident[EI_CLASS] = ELFCLASS32, "x86-64");
	REFUSED(header(&im)->e_machine = EM_AARCH64, "x86-64");
	REFUSED(header(&im)->e_type = ET_REL, "executable");
	REFUSED(header(&im)->e_phnum = 0, "program header");
	REFUSED(header(&im)->e_phnum = 0xffff, "program header");
	REFUSED(header(&im)->e_phoff = ~0ull - 8, "program header");
	REFUSED(header(&im)->e_phentsize = 8, "program header");
	REFUSED(phdr(&im, 0)->p_offset = ~0ull - 100, "outside the file");
	REFUSED(phdr(&im, 0)->p_filesz = ~0ull, "outside the file");
	REFUSED(phdr(&im, 0)->p_filesz = 0x4000, "outside the file");
	REFUSED(phdr(&im, 0)->p_memsz = ~0ull, "beyond");
	REFUSED(phdr(&im, 0)->p_paddr = ~0ull - 0xfff, "beyond");
	REFUSED(phdr(&im, 0)->p_paddr = 0x1000200, "overlapping");
	REFUSED(phdr(&im, 0)->p_paddr = 0xfff000, "overlapping");
	REFUSED((phdr(&im, 0)->p_memsz = phdr(&im, 0)->p_filesz = 0,
		 phdr(&im, 1)->p_memsz = phdr(&im, 1)->p_filesz = 0),
		"without segments");
}

static void damaged_notes(void **state)
{
	REFUSED(phdr(&im, 2)->p_filesz = 0, "no Xen notes");
	REFUSED(phdr(&im, 2)->p_offset = FILE_BYTES, "no Xen notes");
	REFUSED(phdr(&im, 2)->p_filesz = 24, "VIRT_BASE");
	REFUSED(im.bytes[NOTES_AT + 16] = 'y', "no Xen notes");
	REFUSED(im.bytes[NOTES_AT + 3] = 0xff, "no Xen notes");	/* a huge name */
	REFUSED(im.bytes[NOTES_AT + 7] = 0xff, "no Xen notes");	/* a huge text */
	REFUSED(add_number(&im, 3, 0xffffffffc0000000), "VIRT_BASE");
	REFUSED(add_number(&im, 3, BASE + 1), "VIRT_BASE");
	REFUSED(add_number(&im, 1, BASE), "entry");
	REFUSED(add_number(&im, 1, 0), "entry");
	REFUSED(add_number(&im, 1, BASE + 0x1403000), "entry");
	REFUSED(add_number(&im, 2, 0x1000000), "HYPERCALL_PAGE");
	REFUSED(add_number(&im, 2, BASE + 0x1000010), "HYPERCALL_PAGE");
	REFUSED(add_number(&im, 4, 0x1000001), "PADDR_OFFSET");
}

/* Random damage must never do more than be refused. */
static void random_damage(void **state)
{
	unsigned int round, i;

	srand(1);
	for (round = 0; round < 20000; round++) {
		struct image im;

		make_image(&im);
		for (i = 0; i < 4; i++)
			im.bytes[(unsigned int)rand() % (NOTES_AT + 256)] = (uint8_t)rand();
		if (parse(&im) == 0) {
			assert_true(kernel.paddr_end <= ELF_MAX_PADDR);
			assert_true(kernel.nr_segments <= ELF_MAX_SEGMENTS);
		}
	}
}

/* --- bzImage -------------------------------------------------------------------------- */

#define SETUP 1024u	/* (setup_sects + 1) * 512 */

struct bz {
	uint8_t *bytes;
	size_t len;
};

static void put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, 4);
}

static struct bz wrap(const uint8_t *payload, size_t len, bool size_behind, uint32_t size)
{
	size_t total = len + (size_behind ? 4 : 0);
	struct bz b = { .bytes = calloc(1, SETUP + 16 + total), .len = SETUP + 16 + total };

	assert_non_null(b.bytes);
	b.bytes[0x1f1] = 1;
	b.bytes[0x1fe] = 0x55;
	b.bytes[0x1ff] = 0xaa;
	memcpy(b.bytes + 0x202, "HdrS", 4);
	b.bytes[0x206] = 0x0f;
	b.bytes[0x207] = 0x02;
	put32(b.bytes + 0x248, 16);
	put32(b.bytes + 0x24c, (uint32_t)total);
	memcpy(b.bytes + SETUP + 16, payload, len);
	if (size_behind)
		put32(b.bytes + SETUP + 16 + len, size);
	return b;
}

static size_t gzip_of(const uint8_t *in, size_t len, uint8_t *out, size_t cap)
{
	z_stream z = { .next_in = (uint8_t *)(uintptr_t)in, .avail_in = (uInt)len,
		       .next_out = out, .avail_out = (uInt)cap };

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 16 + 15, 8, 0), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return z.total_out;
}

/* As Linux does it: x86 filter before LZMA2, CRC32. */
static size_t xz_of(const uint8_t *in, size_t len, uint8_t *out, size_t cap)
{
	lzma_options_lzma opt;
	lzma_filter filters[] = { { LZMA_FILTER_X86, NULL },
				  { LZMA_FILTER_LZMA2, &opt },
				  { LZMA_VLI_UNKNOWN, NULL } };
	size_t pos = 0;

	assert_false(lzma_lzma_preset(&opt, 6));
	assert_int_equal(lzma_stream_buffer_encode(filters, LZMA_CHECK_CRC32, NULL, in, len, out,
						   &pos, cap), LZMA_OK);
	return pos;
}

static size_t zstd_of(const uint8_t *in, size_t len, uint8_t *out, size_t cap)
{
	size_t n = ZSTD_compress(out, cap, in, len, 3);

	assert_false(ZSTD_isError(n));
	return n;
}

static size_t lz4_of(const uint8_t *in, size_t len, uint8_t *out, size_t cap)
{
	int n = LZ4_compress_default((const char *)in, (char *)out + 8, (int)len, (int)cap - 8);

	assert_true(n > 0);
	put32(out, 0x184c2102);
	put32(out + 4, (uint32_t)n);
	return 8 + (size_t)n;
}

static const struct {
	size_t (*compress)(const uint8_t *in, size_t len, uint8_t *out, size_t cap);
	bool size_behind;
} formats[] = { { gzip_of, false }, { xz_of, true }, { zstd_of, true }, { lz4_of, true } };

static int unpack(const struct bz *b, size_t len, uint8_t **elf, size_t *elf_len)
{
	uint8_t *copy = malloc(len ? len : 1);
	int ret;

	assert_non_null(copy);
	memcpy(copy, b->bytes, len);
	why = NULL;
	ret = unpack_kernel(copy, len, elf, elf_len, &why);
	free(copy);
	return ret;
}

static void all_compressions(void **state)
{
	static struct image im;
	static uint8_t packed[FILE_BYTES * 2];
	size_t i, len, elf_len;
	uint8_t *elf;

	make_image(&im);
	for (i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		size_t n = formats[i].compress(im.bytes, FILE_BYTES, packed, sizeof(packed));
		struct bz b = wrap(packed, n, formats[i].size_behind, FILE_BYTES);

		assert_int_equal(unpack(&b, b.len, &elf, &elf_len), 0);
		assert_int_equal(elf_len, FILE_BYTES);
		assert_memory_equal(elf, im.bytes, FILE_BYTES);
		free(elf);
		for (len = 0; len < b.len; len++)
			assert_int_equal(unpack(&b, len, &elf, &elf_len), -ENOEXEC);
		free(b.bytes);
	}
}

/* A size that lies, in both directions and absurdly. */
static void lying_sizes(void **state)
{
	static const uint32_t sizes[] = { FILE_BYTES - 1, FILE_BYTES + 1, 4, 0, 0xffffffff,
					  UNPACK_MAX_BYTES + 1 };
	static struct image im;
	static uint8_t packed[FILE_BYTES * 2];
	size_t i, j, elf_len;
	uint8_t *elf;

	make_image(&im);
	for (i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		size_t n = formats[i].compress(im.bytes, FILE_BYTES, packed, sizeof(packed));
		struct bz b = wrap(packed, n, formats[i].size_behind, FILE_BYTES);

		for (j = 0; j < sizeof(sizes) / sizeof(sizes[0]); j++) {
			put32(b.bytes + b.len - 4, sizes[j]);
			assert_true(unpack(&b, b.len, &elf, &elf_len) < 0);
			assert_true(why[0]);
		}
		free(b.bytes);
	}
}

static void flipped_bits(void **state)
{
	static struct image im;
	static uint8_t packed[FILE_BYTES * 2];
	size_t i, elf_len;
	unsigned int round;
	uint8_t *elf;

	make_image(&im);
	srand(2);
	for (i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		size_t n = formats[i].compress(im.bytes, FILE_BYTES, packed, sizeof(packed));
		struct bz b = wrap(packed, n, formats[i].size_behind, FILE_BYTES);

		for (round = 0; round < 3000; round++) {
			size_t at = 0x1f1 + (size_t)rand() % (b.len - 0x1f1);
			uint8_t bit = (uint8_t)(1u << (rand() % 8));

			b.bytes[at] ^= bit;
			if (unpack(&b, b.len, &elf, &elf_len) == 0)
				free(elf);
			b.bytes[at] ^= bit;
		}
		free(b.bytes);
	}
}

static void other_files(void **state)
{
	struct image im;
	struct bz b = wrap((const uint8_t *)"0123456789abcdef", 16, false, 0);
	uint8_t *elf;
	size_t len;

	assert_int_equal(unpack(&b, b.len, &elf, &len), -ENOEXEC);
	assert_non_null(strstr(why, "compression"));
	b.bytes[0x207] = 1;
	assert_int_equal(unpack(&b, b.len, &elf, &len), -ENOEXEC);
	assert_non_null(strstr(why, "2.08"));
	b.bytes[0x202] = 'X';
	assert_int_equal(unpack(&b, b.len, &elf, &len), -ENOEXEC);
	assert_non_null(strstr(why, "neither"));
	free(b.bytes);
	make_image(&im);
	assert_int_equal(unpack_kernel(im.bytes, FILE_BYTES, &elf, &len, &why), 0);
	assert_ptr_equal(elf, im.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_kernel),	    cmocka_unit_test(hypercall_page_and_offset),
		cmocka_unit_test(every_truncation), cmocka_unit_test(damaged_headers),
		cmocka_unit_test(damaged_notes),    cmocka_unit_test(random_damage),
		cmocka_unit_test(all_compressions), cmocka_unit_test(lying_sizes),
		cmocka_unit_test(flipped_bits),	    cmocka_unit_test(other_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
