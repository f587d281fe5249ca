/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A golden chain: tests/golden/chain-v1/ holds a full checkpoint and two children
 * as the first writer of chains made them.  It must load for ever as the same
 * guest, page by page, in both readers.
 *
 * The generator: test_chain_golden --write DIR.  Use it for a new version's
 * first chain, never to replace old files.  guest_init(), guest_run() and
 * guest_page() say what the files hold, and so must not change either.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/chain_util.h"
#include "tests/unit/fake/fake_store.h"
#include "tests/unit/test_stream_util.h"

#define DIR_V1	"tests/golden/chain-v1"
#define NR	3
#define PFNS	48

static const struct {
	const char *name;
	uint64_t xxh3;
} golden[NR] = {
	{ "20260921T141320.000Z-000000-01020304.ckpt", 0x3cb0bfcbd8152d90ull },
	{ "20260921T141321.000Z-000001-01020304.ckpt", 0xf233c4df8f7d3c02ull },
	{ "20260921T141322.000Z-000002-01020304.ckpt", 0x7e5fa1835c378967ull },
};

/* The guest at each of its checkpoints, and what is written today. */
static void live(struct fake_store *f, struct guest was[NR])
{
	static struct guest g;
	struct last last = { 0 };
	unsigned int i;

	fake_store_init(f);
	guest_init(&g, PFNS, 99);
	for (i = 0; i < NR; i++) {
		guest_run(&g, i ? 8 : 0);
		guest_checkpoint(&g, &f->store, &last);
		assert_string_equal(last.name + 2, golden[i].name);
		was[i] = g;
	}
}

static void load(struct fake_store *f, unsigned int i)
{
	static uint8_t buf[1 << 18];
	char path[256], name[256];
	FILE *in;
	size_t n;

	snprintf(path, sizeof(path), DIR_V1 "/%s", golden[i].name);
	snprintf(name, sizeof(name), "d/%s", golden[i].name);
	in = fopen(path, "re");
	assert_non_null(in);
	n = fread(buf, 1, sizeof(buf), in);
	fclose(in);
	assert_true(n < sizeof(buf));
	if (raw_hash(buf, n) != golden[i].xxh3)
		fail_msg("%s is not the original: 0x%016llx", path,
			 (unsigned long long)raw_hash(buf, n));
	fake_store_set(f, name, buf, n);
}

static void version_1_loads(void **state)
{
	static struct guest was[NR];
	struct fake_store f;
	char why[CHAIN_WHY], id[4];
	unsigned int i, flags;
	struct chain *c;

	live(&f, was);
	fake_store_release(&f);
	fake_store_init(&f);
	for (i = 0; i < NR; i++)
		load(&f, i);
	for (i = 0; i < NR; i++) {
		snprintf(id, sizeof(id), "%u", i);
		for (flags = 0; flags <= CHAIN_CHECK; flags++) {
			if (chain_open(&f.store, "d", id, flags, &c, why))
				fail_msg("%s", why);
			assert_int_equal(chain_depth(c), i + 1);
			guest_same(&was[i], c);
			chain_close(c);
		}
	}
	fake_store_release(&f);
}

static void version_1_verifies(void **state)
{
	struct fake_store f;
	unsigned int i;
	char why[256];

	fake_store_init(&f);
	for (i = 0; i < NR; i++) {
		load(&f, i);
		assert_int_equal(sample_verify(f.obj[i].data, f.obj[i].len, why), 0);
		assert_string_equal(why, "");
	}
	fake_store_release(&f);
}

static int write_golden(const char *dir)
{
	static struct guest was[NR];
	struct fake_store f;
	unsigned int i;
	int ok = 1;

	live(&f, was);
	for (i = 0; i < NR; i++) {
		char path[512], name[256];
		struct fake_object *o;
		FILE *out;

		snprintf(name, sizeof(name), "d/%s", golden[i].name);
		snprintf(path, sizeof(path), "%s/%s", dir, golden[i].name);
		o = fake_store_find(&f, name);
		out = fopen(path, "wxe");
		if (!out) {
			perror(path);
			return 1;
		}
		ok &= fwrite(o->data, 1, o->len, out) == o->len;
		ok &= fclose(out) == 0;
		printf("%s %zu bytes, 0x%016llxull\n", golden[i].name, o->len,
		       (unsigned long long)raw_hash(o->data, o->len));
	}
	fake_store_release(&f);
	return !ok;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_1_loads),
		cmocka_unit_test(version_1_verifies),
	};

	if (argc == 3 && !strcmp(argv[1], "--write"))
		return write_golden(argv[2]);
	return cmocka_run_group_tests_name("chain_golden", tests, NULL, NULL);
}
