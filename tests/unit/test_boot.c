// SPDX-License-Identifier: Apache-2.0
/*
 * What happens to the loader's word before anything is built on it.  Rules tested:
 * the memory map comes out sorted, without overlaps, and says of each byte the most restrictive
 * type that anybody stated (compared with a naive twin, byte by byte, on random maps); the boot
 * allocator gives out each frame at most once, only RAM, nothing of image, modules or the
 * first megabyte; damaged multiboot information neither crashes nor reads out of bounds; text
 * formatting agrees with libc's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "tests/unit/fake/fake_boot.h"

#define UNIT		0x1000UL	/* random maps are made of these; the twin has one byte each */
#define UNITS		4096

static uint32_t twin[UNITS], used[UNITS];

static unsigned int rank(uint32_t type)
{
	static const unsigned int r[] = { 0, 1, 4, 2, 3, 5 };

	return r[type];
}

static void random_map(void)
{
	unsigned int n = 1 + (unsigned int)rand() % 40;

	memset(twin, 0, sizeof(twin));
	while (n--) {
		unsigned int from = (unsigned int)rand() % UNITS, len = 1 + (unsigned int)rand() % 900;
		uint32_t type = rand() % 3 ? E820_RAM : 1 + (uint32_t)rand() % 5;

		len = from + len > UNITS ? UNITS - from : len;
		e820_add(from * UNIT, len * UNIT, type);
		for (unsigned int i = from; i < from + len; i++) {
			if (!twin[i] || rank(type) > rank(twin[i]))
				twin[i] = type;
		}
	}
}

static bool map_has_ram(void)
{
	for (unsigned int i = 0; i < UNITS; i++) {
		if (twin[i] == E820_RAM)
			return true;
	}
	return false;
}

static void check_against_twin(void)
{
	uint64_t end = 0;

	memset(used, 0, sizeof(used));
	for (unsigned int i = 0; i < nr_e820; i++) {
		assert_true(e820[i].size > 0);
		assert_true(e820[i].addr >= end);
		end = e820[i].addr + e820[i].size;
		for (uint64_t u = e820[i].addr / UNIT; u < end / UNIT; u++)
			used[u] = e820[i].type;
	}
	assert_memory_equal(used, twin, sizeof(twin));
}

static void take_all_single_frames(void)
{
	mfn_t m;

	memset(used, 0, sizeof(used));
	while (m = boot_alloc(1, 1, 0), !mfn_eq(m, INVALID_MFN)) {
		uint64_t a = mfn_x(m) << PAGE_SHIFT;

		assert_int_equal(twin[mfn_x(m)], E820_RAM);
		assert_true(mfn_x(m) >= 256);
		assert_false(a >= HV_PHYS_BASE && a < HV_PHYS_BASE + FAKE_IMAGE_SIZE);
		for (unsigned int i = 0; i < nr_boot_modules; i++)
			assert_false(a + PAGE_SIZE > boot_modules[i].maddr &&
				     a < boot_modules[i].maddr + boot_modules[i].size);
		assert_int_equal(used[mfn_x(m)]++, 0);
	}
}

static bool frame_should_be_free(unsigned int mfn)
{
	uint64_t a = mfn * UNIT;

	if (twin[mfn] != E820_RAM || mfn < 256)
		return false;
	if (a >= HV_PHYS_BASE && a < HV_PHYS_BASE + FAKE_IMAGE_SIZE)
		return false;
	for (unsigned int i = 0; i < nr_boot_modules; i++) {
		if (a + PAGE_SIZE > boot_modules[i].maddr &&
		    a < boot_modules[i].maddr + boot_modules[i].size)
			return false;
	}
	return true;
}

static void test_map_equals_naive_twin(void **state)
{
	for (volatile unsigned int round = 0; round < 300; round++) {
		srand(round);
		fake_boot_reset();
		random_map();
		nr_boot_modules = 2;
		boot_modules[0] = (struct boot_module){ .maddr = 0x400123, .size = 0x5000 };
		boot_modules[1] = (struct boot_module){ .maddr = 0x800000, .size = 0x1234 };
		if (!map_has_ram())
			continue;
		if (setjmp(fake_panic_jmp))
			fail_msg("panic on an honest map, round %u", round);
		e820_finish();
		check_against_twin();
		take_all_single_frames();
		for (unsigned int i = 0; i < UNITS; i++)
			assert_int_equal(used[i], frame_should_be_free(i));
	}
}

static void test_boot_alloc_honours_alignment_and_limit(void **state)
{
	mfn_t m;

	fake_boot_reset();
	e820_add(0, 0xa0000, E820_RAM);
	e820_add(0x100000, 0x7ff00000, E820_RAM);
	e820_add(0x100000000, 0x40000000, E820_RAM);
	e820_finish();
	assert_int_equal(max_mfn, 0x140000);
	m = boot_alloc(3, 1, 0);
	assert_int_equal(mfn_x(m), 0x140000 - 3);
	m = boot_alloc(1024, 512, 0);
	assert_int_equal(mfn_x(m) % 512, 0);
	assert_true(mfn_x(m) + 1024 <= 0x140000 - 3);
	m = boot_alloc(16, 16, 0x1000000);
	assert_true((mfn_x(m) + 16) << PAGE_SHIFT <= 0x1000000);
	assert_true(mfn_eq(boot_alloc(16, 1, 0x100000), INVALID_MFN));
	assert_true(mfn_eq(boot_alloc(0x200000, 1, 0), INVALID_MFN));
}

static void test_no_ram_is_refused(void **state)
{
	unsigned int before = fake_panics;

	fake_boot_reset();
	e820_add(0, 0x100000, E820_RESERVED);
	if (!setjmp(fake_panic_jmp)) {
		e820_finish();
		fail_msg("a machine without memory was accepted");
	}
	assert_int_equal(fake_panics, before + 1);
}

/* An information structure as GRUB makes it, built tag by tag. */
static uint8_t info[4096];
static uint32_t info_len;

static void tag(uint32_t type, const void *body, uint32_t len)
{
	uint32_t head[2] = { type, len + 8 };

	memcpy(info + info_len, head, 8);
	memcpy(info + info_len + 8, body, len);
	info_len = ROUND_UP(info_len + 8 + len, 8u);
}

static void build_info(void)
{
	struct { uint32_t entry_size, version; struct mb2_mmap_entry e[2]; } map = {
		sizeof(struct mb2_mmap_entry), 0,
		{ { 0, 0x9fc00, 1, 0 }, { 0x100000, 0x10000000, 1, 0 } },
	};
	struct { uint32_t start, end; char text[24]; } module = { 0x600000, 0x612345, "root=/dev/vda ro" };

	memset(info, 0, sizeof(info));
	info_len = 8;
	tag(MB2_CMDLINE, "loglvl=3 noreboot", 18);
	tag(MB2_LOADER, "tester", 7);
	tag(MB2_MODULE, &module, sizeof(module));
	tag(MB2_MMAP, &map, sizeof(map));
	tag(MB2_END, "", 0);
	memcpy(info, &info_len, 4);
}

static void parse_info(uint32_t at)
{
	memcpy(fake_phys + at, info, sizeof(info));
	multiboot_parse(MB2_LOADER_MAGIC, at);
}

static void test_multiboot2_is_read(void **state)
{
	char value[8];

	fake_boot_reset();
	build_info();
	if (setjmp(fake_panic_jmp))
		fail_msg("panic on honest information");
	parse_info(0x10000);
	e820_finish();
	assert_string_equal(loader_name, "tester");
	assert_true(cmdline_get("noreboot", value, sizeof(value)));
	assert_int_equal(cmdline_get_u64("loglvl", 2), 3);
	assert_int_equal(nr_boot_modules, 1);
	assert_int_equal(boot_modules[0].maddr, 0x600000);
	assert_int_equal(boot_modules[0].size, 0x12345);
	assert_string_equal(boot_modules[0].cmdline, "root=/dev/vda ro");
	assert_int_equal(max_mfn, 0x10100);
}

static void test_multiboot2_damage_is_survived(void **state)
{
	for (volatile unsigned int round = 0; round < 20000; round++) {
		srand(round);
		fake_boot_reset();
		build_info();
		for (unsigned int n = 1 + (unsigned int)rand() % 6; n; n--)
			info[(unsigned int)rand() % info_len] = (uint8_t)rand();
		if (setjmp(fake_panic_jmp))
			continue;
		/* now and then at the very end of what is mapped: an overrun would fault */
		parse_info(round & 1 ? 0x10000u : 0u - (uint32_t)sizeof(info));
		e820_finish();
		assert_true(nr_boot_modules <= ARRAY_SIZE(boot_modules));
		assert_true(strnlen(hv_cmdline, sizeof(hv_cmdline)) < sizeof(hv_cmdline));
	}
}

static void test_multiboot1_of_qemu_drops_file_names(void **state)
{
	struct mb1_info i = {
		.flags = MB1_CMDLINE | MB1_MODS | MB1_MEM | MB1_LOADER, .mem_lower = 639,
		.mem_upper = 100 * 1024, .cmdline = 0x21000, .boot_loader_name = 0x22000,
		.mods_count = 1, .mods_addr = 0x23000,
	};
	struct mb1_mod m = { 0x500000, 0x501000, 0x24000, 0 };

	fake_boot_reset();
	memcpy(fake_phys + 0x20000, &i, sizeof(i));
	memcpy(fake_phys + 0x21000, "build/godwit loglvl=0", 22);
	memcpy(fake_phys + 0x22000, "qemu", 5);
	memcpy(fake_phys + 0x23000, &m, sizeof(m));
	memcpy(fake_phys + 0x24000, "vmlinuz quiet", 14);
	multiboot_parse(MB1_LOADER_MAGIC, 0x20000);
	e820_finish();
	assert_string_equal(hv_cmdline, "loglvl=0");
	assert_string_equal(boot_modules[0].cmdline, "quiet");
	assert_int_equal(max_mfn, (0x100000 + (100 << 20)) >> 12);
}

static void test_cmdline_words(void **state)
{
	char v[8];

	strlcpy(hv_cmdline, "a=1 ab=22\tc  a=3 long=123456789 d=0x10K e=9z", sizeof(hv_cmdline));
	assert_true(cmdline_get("a", v, sizeof(v)));
	assert_string_equal(v, "3");			/* the last one counts */
	assert_true(cmdline_get("c", v, sizeof(v)));
	assert_string_equal(v, "");
	assert_true(cmdline_get("long", v, sizeof(v)));
	assert_string_equal(v, "1234567");		/* cut, terminated */
	assert_false(cmdline_get("b", v, sizeof(v)));
	assert_int_equal(cmdline_get_u64("d", 5), 16384);
	assert_int_equal(cmdline_get_u64("e", 5), 5);	/* not a number: the default */
	assert_int_equal(cmdline_get_u64("none", 7), 7);
}

#pragma push_macro("snprintf")
#undef snprintf
static int libc_format(char *buf, size_t size, const char *fmt, uint64_t v)
{
	return snprintf(buf, size, fmt, v);
}
#pragma pop_macro("snprintf")

static void test_format_agrees_with_libc(void **state)
{
	static const char *const formats[] = {
		"%lu", "%ld", "%lx", "%lX", "%20lu|", "%-20ld|", "%020lx|", "%.10lx", "%.0lu",
		"%-5lx|", "%012ld", "%zu", "a%%b%lu",
	};
	char ours[128], libc[128];

	for (unsigned int i = 0; i < 20000; i++) {
		const char *f = formats[i % ARRAY_SIZE(formats)];
		uint64_t v = ((uint64_t)rand() << 33 ^ (uint64_t)rand()) >> (rand() % 64);
		size_t room = i % 7 ? sizeof(ours) : (size_t)(rand() % 24);
		int n, want;

		v = i % 5 ? v : -v;
		n = snprintf(ours, room, f, v);
		want = libc_format(libc, room, f, v);
		assert_int_equal(n, want);
		if (room)
			assert_string_equal(ours, libc);
	}
}

static void test_format_text(void **state)
{
	char b[64];

	snprintf(b, sizeof(b), "[%s|%5s|%-5s|%.2s|%.*s|%c|%d|%x|%p]", "s", "ab", "cd", "efg", 1, "hij",
		 'k', -7, 0xffu, (void *)0x1234);
	assert_string_equal(b, "[s|   ab|cd   |ef|h|k|-7|ff|0000000000001234]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_map_equals_naive_twin),
		cmocka_unit_test(test_boot_alloc_honours_alignment_and_limit),
		cmocka_unit_test(test_no_ram_is_refused),
		cmocka_unit_test(test_multiboot2_is_read),
		cmocka_unit_test(test_multiboot2_damage_is_survived),
		cmocka_unit_test(test_multiboot1_of_qemu_drops_file_names),
		cmocka_unit_test(test_cmdline_words),
		cmocka_unit_test(test_format_agrees_with_libc),
		cmocka_unit_test(test_format_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
