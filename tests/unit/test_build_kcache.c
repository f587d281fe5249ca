// SPDX-License-Identifier: Apache-2.0
/*
 * toolstack/build/kcache.c: an entry is found again, by the same file only; a
 * damaged one is not; the directory stays small.
 */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "toolstack/build/kcache.h"
#include "toolstack/lib/io.h"

#define ELF_BYTES 100000u

static char dir[64], sub[96];
static uint8_t image[ELF_BYTES];

static int setup(void **state)
{
	size_t i;

	strcpy(dir, "/tmp/test_kcache.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(sub, sizeof(sub), "%s/a/b", dir);
	for (i = 0; i < sizeof(image); i++)
		image[i] = (uint8_t)(i / 100);
	return 0;
}

/* The one entry of the directory, or how many there are. */
static unsigned int entries(char path[512])
{
	DIR *d = opendir(sub);
	struct dirent *e;
	unsigned int n = 0;

	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, 512, "%s/%s", sub, e->d_name);
		n++;
	}
	if (d)
		closedir(d);
	return n;
}

static int teardown(void **state)
{
	char path[512];

	while (entries(path))
		unlink(path);
	rmdir(sub);
	snprintf(path, sizeof(path), "%s/a", dir);
	rmdir(path);
	return rmdir(dir);
}

static struct stat identity(unsigned int n)
{
	return (struct stat){ .st_dev = 1, .st_ino = n, .st_size = 77, .st_mtim.tv_sec = 5,
			      .st_ctim.tv_nsec = 9 };
}

static int get(const struct stat *st)
{
	uint8_t *elf = NULL;
	size_t len = 0;
	int ret = kcache_get(sub, st, &elf, &len);

	if (!ret) {
		assert_int_equal(len, sizeof(image));
		assert_memory_equal(elf, image, sizeof(image));
		free(elf);
	}
	return ret;
}

static void found_by_the_same_file_only(void **state)
{
	struct stat st = identity(3), other;

	assert_int_equal(get(&st), -ENOENT);
	kcache_put(sub, &st, image, sizeof(image));
	assert_int_equal(get(&st), 0);
	other = st;
	other.st_ctim.tv_nsec++;
	assert_int_equal(get(&other), -ENOENT);
	other = st;
	other.st_mtim.tv_sec++;
	assert_int_equal(get(&other), -ENOENT);
	other = st;
	other.st_size++;
	assert_int_equal(get(&other), -ENOENT);
	other = st;
	other.st_dev++;
	assert_int_equal(get(&other), -ENOENT);
}

static void damage_is_absence(void **state)
{
	struct stat st = identity(3);
	char path[512], *file;
	size_t len, i;

	kcache_put(sub, &st, image, sizeof(image));
	assert_int_equal(entries(path), 1);
	assert_int_equal(io_read_file(path, 1 << 20, &file, &len), 0);
	for (i = 0; i < len; i += i < 64 ? 1 : 37) {
		file[i] ^= 0x10;
		assert_int_equal(io_write_file_atomic(path, file, len, 0600), 0);
		assert_int_equal(get(&st), -ENOENT);
		file[i] ^= 0x10;
	}
	for (i = 0; i < len; i += 61) {
		assert_int_equal(io_write_file_atomic(path, file, i, 0600), 0);
		assert_int_equal(get(&st), -ENOENT);
	}
	assert_int_equal(io_write_file_atomic(path, file, len, 0600), 0);
	assert_int_equal(get(&st), 0);
	free(file);
}

static void the_oldest_go(void **state)
{
	char path[512];
	unsigned int i;

	for (i = 0; i < KCACHE_MAX_ENTRIES + 5; i++) {
		struct stat st = identity(i);

		kcache_put(sub, &st, image, sizeof(image));
		/* File times have the kernel's tick for resolution. */
		usleep(10000);
	}
	assert_int_equal(entries(path), KCACHE_MAX_ENTRIES);
	for (i = 0; i < KCACHE_MAX_ENTRIES + 5; i++) {
		struct stat st = identity(i);

		assert_int_equal(get(&st), i < 5 ? -ENOENT : 0);
	}
}

static void no_directory_no_harm(void **state)
{
	struct stat st = identity(1);
	uint8_t *elf;
	size_t len;

	kcache_put("/proc/no/such", &st, image, sizeof(image));
	assert_int_equal(kcache_get("/proc/no/such", &st, &elf, &len), -ENOENT);
	kcache_put(sub, &st, image, 0);
	assert_int_equal(get(&st), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(found_by_the_same_file_only, setup, teardown),
		cmocka_unit_test_setup_teardown(damage_is_absence, setup, teardown),
		cmocka_unit_test_setup_teardown(the_oldest_go, setup, teardown),
		cmocka_unit_test_setup_teardown(no_directory_no_harm, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
