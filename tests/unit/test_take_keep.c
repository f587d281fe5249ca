/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stays behind a scheduled checkpoint (checkpoint/take_keep.h): the newest ones,
 * whole, with what they stand on; nothing of another domain goes; and a store that
 * dies at any operation costs nothing that was to stay.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkpoint/chain.h"
#include "checkpoint/take_keep.h"
#include "tests/unit/chain_util.h"
#include "tests/unit/fake/fake_store.h"

#define NR_MAX	64
#define T0_NS	UINT64_C(1700000000000000000)
#define PFNS	200

struct diary {
	struct fake_store f;
	struct guest now;
	struct guest was[NR_MAX];
	uint64_t hash[NR_MAX];
	uint64_t seq;
	uint8_t uuid[16];		/* of its domain, as stored */
	char name[2 * STORE_NAME_MAX + 2];
	unsigned int nr, chain;
};

static struct diary *diary_new(void)
{
	struct diary *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	fake_store_init(&d->f);
	guest_init(&d->now, PFNS, 5);
	return d;
}

static void diary_free(struct diary *d)
{
	fake_store_release(&d->f);
	free(d);
}

static void put(struct fake_store *f, const char *name, const struct stream_mem *m)
{
	struct store_put *p;

	assert_int_equal(store_put_begin(&f->store, name, &p), 0);
	assert_int_equal(store_put_write(p, m->data, m->len), 0);
	assert_int_equal(store_put_commit(p), 0);
}

/* Checkpoint number d->nr, a full one that begins a chain or a child of the last. */
static void take(struct diary *d, bool full)
{
	uint8_t id[16] = { 0 };
	struct shot shot;
	struct stream_mem m;
	char parent[sizeof(d->name)];

	full |= !d->nr;
	d->chain += full;
	d->seq = full ? 0 : d->seq + 1;
	strcpy(parent, full ? "" : strchr(d->name, '/') + 1);
	shot = (struct shot){
		.chain = (uint8_t)d->chain, .seq = d->seq, .time_ns = T0_NS + d->nr * 1000000000ull,
		.parent_hash = full ? 0 : d->hash[d->nr - 1], .parent_name = full ? NULL : parent,
	};
	shot_write(&m, &d->now, &shot, &d->hash[d->nr]);
	id[0] = (uint8_t)d->chain;
	catalog_name(d->name, "d", shot.time_ns, shot.seq, id, false);
	put(&d->f, d->name, &m);
	stream_mem_release(&m);
	memset(d->now.changed, 0, sizeof(d->now.changed));
	d->was[d->nr++] = d->now;
	guest_run(&d->now, 8);
}

/* Of another domain that had the name before. */
static void take_foreign(struct diary *d, unsigned int nr)
{
	struct shot shot = { .chain = 99, .time_ns = T0_NS + nr * 1000000000ull + 500000000,
			     .uuid = 77 };
	char name[2 * STORE_NAME_MAX + 2];
	uint8_t id[16] = { 99 };
	struct stream_mem m;
	uint64_t hash;

	shot_write(&m, &d->now, &shot, &hash);
	catalog_name(name, "d", shot.time_ns, 0, id, false);
	put(&d->f, name, &m);
	stream_mem_release(&m);
}

static void learn_uuid(struct diary *d)
{
	char why[CATALOG_WHY];
	struct catalog cat;

	assert_int_equal(catalog_load(&cat, &d->f.store, "d", why), 0);
	memcpy(d->uuid, catalog_get(&cat, cat.nr - 1)->uuid, sizeof(d->uuid));
	catalog_free(&cat);
}

static int keep(struct diary *d, struct fake_store *f, unsigned int nr, bool merge,
		struct retain_pruned *done)
{
	char why[CATALOG_WHY] = "";
	int ret = take_keep(&f->store, "d", d->uuid, nr, merge, done, why);

	assert_int_equal(ret != 0, why[0] != '\0');
	return ret;
}

static void still_there(struct diary *d, struct fake_store *f, unsigned int nr)
{
	char id[20], why[CHAIN_WHY];
	struct chain *c;

	snprintf(id, sizeof(id), "%016llx", (unsigned long long)d->hash[nr]);
	if (chain_open(&f->store, "d", id, CHAIN_CHECK, &c, why))
		fail_msg("checkpoint %u: %s", nr, why);
	guest_same(&d->was[nr], c);
	chain_close(c);
}

/* The schedule of docs/schedules.md: keep 3, a full one every 4. */
static void old_chains_go_whole(void **state)
{
	struct diary *d = diary_new();
	struct retain_pruned done;

	for (unsigned int n = 0; n < 40; n++) {
		unsigned int first = n < 2 ? 0 : n - 2, expected;

		take(d, n % 4 == 0);
		if (!n)
			learn_uuid(d);
		assert_int_equal(keep(d, &d->f, 3, false, &done), 0);
		/* from the full one below the oldest that is kept */
		expected = n - first / 4 * 4 + 1;
		assert_int_equal(d->f.nr, expected);
		assert_int_equal(done.kept, n < 2 ? n + 1 : 3);
		assert_int_equal(done.ancestors, first % 4);
		assert_int_equal(done.merged, 0);
		for (unsigned int i = first; i <= n; i++)
			still_there(d, &d->f, i);
	}
	diary_free(d);
}

/* Never another full one: now and then one is made of what there is. */
static void endless_chain_is_merged(void **state)
{
	unsigned int merges = 0, most = 0;
	struct diary *d = diary_new();
	struct retain_pruned done;

	for (unsigned int n = 0; n < 40; n++) {
		take(d, false);
		if (!n)
			learn_uuid(d);
		assert_int_equal(keep(d, &d->f, 4, true, &done), 0);
		merges += done.merged;
		most = d->f.nr > most ? d->f.nr : most;
		for (unsigned int i = n < 3 ? 0 : n - 3; i <= n; i++)
			still_there(d, &d->f, i);
	}
	assert_true(most < 8);
	/* one in four times */
	assert_true(merges >= 8 && merges <= 10);
	diary_free(d);
}

static void foreign_and_damaged_stay(void **state)
{
	struct diary *d = diary_new();
	struct retain_pruned done;
	struct fake_object *o;

	for (unsigned int n = 0; n < 6; n++)
		take(d, true);
	learn_uuid(d);
	for (unsigned int n = 1; n < 6; n++)
		take_foreign(d, n);
	/* the newest is damaged: it is no substitute for one that is kept */
	o = fake_store_find(&d->f, d->name);
	o->len -= 8;
	assert_int_equal(keep(d, &d->f, 2, false, &done), 0);
	assert_int_equal(done.kept, 2);
	assert_int_equal(done.deleted, 3);
	assert_int_equal(done.broken, 1);
	assert_int_equal(d->f.nr, 5 + 3);
	still_there(d, &d->f, 3);
	still_there(d, &d->f, 4);
	/* nothing of ours is there: nothing happens */
	memset(d->uuid, 0xee, sizeof(d->uuid));
	assert_int_equal(keep(d, &d->f, 1, true, &done), 0);
	assert_int_equal(d->f.nr, 8);
	assert_int_equal(keep(d, &d->f, 0, true, &done), -EINVAL);
	assert_int_equal(d->f.nr, 8);
	diary_free(d);
}

static void a_dying_store_costs_nothing(void **state)
{
	struct diary *d = diary_new();
	struct retain_pruned done;

	for (unsigned int n = 0; n < 9; n++)
		take(d, n == 5);
	learn_uuid(d);
	for (int merge = 0; merge < 2; merge++) {
		int ret = -1;
		uint64_t n;

		for (n = 1; ret < 0; n++) {
			struct fake_store f;

			fake_store_copy(&f, &d->f);
			f.die_at = n;
			ret = keep(d, &f, 2, merge, &done);
			assert_true(f.dead == (ret < 0));
			f.die_at = 0;
			f.dead = false;
			still_there(d, &f, 7);
			still_there(d, &f, 8);
			/* what was begun can be finished */
			assert_int_equal(keep(d, &f, 2, merge, &done), 0);
			still_there(d, &f, 7);
			still_there(d, &f, 8);
			assert_int_equal(f.nr, merge ? 2 : 4);
			fake_store_release(&f);
		}
		assert_true(n > 5);
	}
	diary_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(old_chains_go_whole),
		cmocka_unit_test(endless_chain_is_merged),
		cmocka_unit_test(foreign_and_damaged_stay),
		cmocka_unit_test(a_dying_store_costs_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
