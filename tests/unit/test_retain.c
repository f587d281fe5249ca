/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merging, deleting and pruning checkpoints (checkpoint/retain.h): what stays
 * can be restored, byte for byte, at every moment: also when the store dies in
 * any operation, and after doing it again.
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

#include "checkpoint/retain.h"
#include "tests/unit/chain_util.h"
#include "tests/unit/fake/fake_store.h"

#define NR_MAX 110

/* A guest's history: what it was at each checkpoint, by chain_seq. */
struct history {
	struct fake_store f;
	struct guest now;
	struct guest was[NR_MAX];
	uint64_t hash[NR_MAX];
	struct last last;
	unsigned int nr;
};

static struct history *history_new(unsigned int nr, uint64_t pfns)
{
	struct history *h = calloc(1, sizeof(*h));

	assert_non_null(h);
	fake_store_init(&h->f);
	guest_init(&h->now, pfns, 17);
	while (h->nr < nr) {
		guest_checkpoint(&h->now, &h->f.store, &h->last);
		h->was[h->nr] = h->now;
		h->hash[h->nr++] = h->last.hash;
		guest_run(&h->now, 12);
	}
	return h;
}

static void history_free(struct history *h)
{
	fake_store_release(&h->f);
	free(h);
}

static struct catalog catalog(struct fake_store *f)
{
	struct catalog cat;
	char why[CATALOG_WHY];

	if (catalog_load(&cat, &f->store, "d", why))
		fail_msg("%s", why);
	return cat;
}

/* By the hash it was made with: merged or not, it is still found, and is the same. */
static void still_there(struct history *h, struct fake_store *f, unsigned int seq)
{
	char id[20], why[CHAIN_WHY];
	struct chain *c;

	snprintf(id, sizeof(id), "%016llx", (unsigned long long)h->hash[seq]);
	if (chain_open(&f->store, "d", id, 0, &c, why))
		fail_msg("checkpoint %u: %s", seq, why);
	guest_same(&h->was[seq], c);
	chain_close(c);
}

static bool is_there(struct history *h, struct fake_store *f, unsigned int seq)
{
	struct catalog cat = catalog(f);
	char id[20], why[CATALOG_WHY];
	size_t i;
	int ret;

	snprintf(id, sizeof(id), "%016llx", (unsigned long long)h->hash[seq]);
	ret = catalog_find(&cat, id, &i, why);
	catalog_free(&cat);
	return ret == 0;
}

static unsigned int depth_of(struct fake_store *f, const char *id)
{
	char why[CHAIN_WHY];
	struct chain *c;
	unsigned int depth;

	if (chain_open(&f->store, "d", id, 0, &c, why))
		fail_msg("%s: %s", id, why);
	depth = chain_depth(c);
	chain_close(c);
	return depth;
}

static int merge(struct fake_store *f, const char *id, bool keep)
{
	struct catalog cat = catalog(f);
	char why[CATALOG_WHY] = "";
	size_t i;
	int ret = catalog_find(&cat, id, &i, why);

	if (!ret)
		ret = retain_merge(&cat, i, keep, NULL, why);
	assert_true(ret >= 0 || why[0]);
	catalog_free(&cat);
	return ret;
}

static int delete(struct fake_store *f, const char *id, bool chain)
{
	struct catalog cat = catalog(f);
	char why[CATALOG_WHY] = "";
	size_t i;
	int ret = catalog_find(&cat, id, &i, why);

	if (!ret)
		ret = retain_delete(&cat, i, chain, NULL, why);
	assert_true(ret >= 0 || why[0]);
	catalog_free(&cat);
	return ret;
}

static int prune(struct fake_store *f, unsigned int keep, struct retain_pruned *done)
{
	struct catalog cat;
	char why[CATALOG_WHY] = "";
	int ret = catalog_load(&cat, &f->store, "d", why);

	if (!ret)
		ret = retain_prune(&cat, keep, NULL, done, why);
	assert_true(ret >= 0 || why[0]);
	catalog_free(&cat);
	return ret;
}

static void a_hundred_with_merges_between(void **state)
{
	struct history *h = history_new(100, 300);
	static const unsigned int at[] = { 40, 80, 20, 99, 60, 0 };
	unsigned int i;
	char id[8];

	assert_int_equal(depth_of(&h->f, "99"), 100);
	for (i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		snprintf(id, sizeof(id), "%u", at[i]);
		assert_int_equal(merge(&h->f, id, false), at[i] ? 0 : 1);
		assert_int_equal(merge(&h->f, id, false), 1);	/* it is full now */
	}
	assert_int_equal(h->f.nr, 100);
	assert_int_equal(depth_of(&h->f, "99"), 1);
	assert_int_equal(depth_of(&h->f, "98"), 19);
	assert_int_equal(depth_of(&h->f, "79"), 20);
	assert_int_equal(depth_of(&h->f, "19"), 20);
	for (i = 0; i < 100; i++)
		still_there(h, &h->f, i);
	/* And the chain goes on from the merged one, whose old hash the next one states. */
	for (i = 0; i < 5; i++) {
		guest_checkpoint(&h->now, &h->f.store, &h->last);
		h->was[h->nr] = h->now;
		h->hash[h->nr++] = h->last.hash;
		guest_run(&h->now, 12);
	}
	for (i = 99; i < 105; i++)
		still_there(h, &h->f, i);
	assert_int_equal(depth_of(&h->f, "104"), 6);
	history_free(h);
}

static void merge_may_keep_the_original(void **state)
{
	struct history *h = history_new(6, 300);
	unsigned int i;

	assert_int_equal(merge(&h->f, "3", true), 0);
	assert_int_equal(h->f.nr, 7);
	for (i = 0; i < 6; i++)
		still_there(h, &h->f, i);
	h->f.writes = 0;
	assert_int_equal(delete(&h->f, "0", false), -EBUSY);
	assert_int_equal(h->f.writes, 0);
	assert_int_equal(merge(&h->f, "3", true), 1);
	/* A second one, without keeping, finds the merge done and finishes it. */
	assert_int_equal(merge(&h->f, "3", false), 0);
	assert_int_equal(h->f.writes, 1);
	assert_int_equal(h->f.nr, 6);
	for (i = 0; i < 6; i++)
		still_there(h, &h->f, i);
	history_free(h);
}

static void delete_refuses_what_others_need(void **state)
{
	struct history *h = history_new(6, 300);
	unsigned int i;

	assert_int_equal(delete(&h->f, "2", false), -EBUSY);
	assert_int_equal(h->f.nr, 6);
	assert_int_equal(delete(&h->f, "5", false), 1);
	for (i = 0; i < 5; i++)
		still_there(h, &h->f, i);
	/* Nothing stands on 1 once 2 is full. */
	assert_int_equal(merge(&h->f, "2", false), 0);
	assert_int_equal(delete(&h->f, "1", false), 1);
	assert_int_equal(delete(&h->f, "0", false), 1);
	for (i = 2; i < 5; i++)
		still_there(h, &h->f, i);
	assert_int_equal(delete(&h->f, "3", true), 2);
	still_there(h, &h->f, 2);
	assert_int_equal(h->f.nr, 1);
	assert_int_equal(delete(&h->f, "7", false), -ENOENT);
	history_free(h);
}

/* Who cannot be read may be a child. */
static void delete_refuses_what_it_cannot_know(void **state)
{
	struct history *h = history_new(3, 300);

	h->f.get_fails = h->last.name;
	h->f.get_error = -ETIMEDOUT;
	assert_int_equal(delete(&h->f, strchr(h->last.name, '/') + 1, false), 1);
	assert_int_equal(h->f.nr, 2);
	history_free(h);
	h = history_new(3, 300);
	h->f.get_fails = h->last.name;
	h->f.get_error = -ETIMEDOUT;
	assert_int_equal(delete(&h->f, "1", false), -EIO);
	assert_int_equal(h->f.nr, 3);
	history_free(h);
}

static void prune_keeps_the_newest(void **state)
{
	struct history *h = history_new(20, 300);
	struct retain_pruned done;
	unsigned int i;

	assert_int_equal(prune(&h->f, 0, &done), -EINVAL);
	assert_int_equal(prune(&h->f, 5, &done), 0);
	assert_int_equal(done.kept, 5);
	assert_int_equal(done.merged, 1);
	assert_int_equal(done.deleted, 15);
	assert_int_equal(h->f.nr, 5);
	for (i = 0; i < 20; i++) {
		assert_int_equal(is_there(h, &h->f, i), i >= 15);
		if (i >= 15)
			still_there(h, &h->f, i);
	}
	/* Again: nothing to do. */
	assert_int_equal(prune(&h->f, 5, &done), 0);
	assert_int_equal(done.merged + done.deleted, 0);
	/* A damaged one does not count, and is left alone. */
	fake_store_find(&h->f, h->last.name)->len -= 8;
	assert_int_equal(prune(&h->f, 2, &done), 0);
	assert_int_equal(done.kept, 2);
	assert_int_equal(done.broken, 1);
	still_there(h, &h->f, 17);
	still_there(h, &h->f, 18);
	assert_int_equal(h->f.nr, 3);
	history_free(h);
}

/* A damaged page is found before anything is written or deleted. */
static void merge_checks_first(void **state)
{
	struct history *h = history_new(4, 300);
	struct fake_object *o = &h->f.obj[0];

	o->data[o->len / 2] ^= 1;
	h->f.writes = 0;
	assert_true(merge(&h->f, "3", false) < 0);
	assert_int_equal(h->f.writes, 0);
	history_free(h);
}

/* --- the store dies at every operation --------------------------------------------- */

enum what { MERGE, MERGE_KEPT, DELETE_CHAIN, PRUNE };

static int run(struct fake_store *f, enum what what)
{
	struct retain_pruned done;

	switch (what) {
	case MERGE:
	case MERGE_KEPT:
		return merge(f, "4", what == MERGE_KEPT);
	case DELETE_CHAIN:
		return delete(f, "4", true);
	default:
		return prune(f, 3, &done);
	}
}

/* The checkpoints of eight that must survive. */
static bool survives(enum what what, unsigned int seq)
{
	switch (what) {
	case DELETE_CHAIN:
		return seq < 4;
	case PRUNE:
		return seq >= 5;
	default:
		return true;
	}
}

static void nothing_is_lost_when_the_store_dies(void **state)
{
	struct history *h = history_new(8, 200);
	enum what what;
	unsigned int seq;
	uint64_t n;

	for (what = MERGE; what <= PRUNE; what++) {
		int ret = -1;

		for (n = 1; ret < 0; n++) {
			struct fake_store f;

			fake_store_copy(&f, &h->f);
			f.die_at = n;
			ret = run(&f, what);
			assert_true(f.dead == (ret < 0));
			f.die_at = 0;
			f.dead = false;
			for (seq = 0; seq < 8; seq++) {
				if (survives(what, seq))
					still_there(h, &f, seq);
			}
			/* What was begun can be finished. */
			run(&f, what);
			for (seq = 0; seq < 8; seq++) {
				if (survives(what, seq))
					still_there(h, &f, seq);
				if (what == PRUNE || what == DELETE_CHAIN)
					assert_int_equal(is_there(h, &f, seq), survives(what, seq));
			}
			if (what == MERGE)
				assert_int_equal(f.nr, 8);
			if (what == PRUNE)
				assert_int_equal(f.nr, 3);
			fake_store_release(&f);
		}
		assert_true(n > 3);
	}
	history_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hundred_with_merges_between),
		cmocka_unit_test(merge_may_keep_the_original),
		cmocka_unit_test(delete_refuses_what_others_need),
		cmocka_unit_test(delete_refuses_what_it_cannot_know),
		cmocka_unit_test(prune_keeps_the_newest),
		cmocka_unit_test(merge_checks_first),
		cmocka_unit_test(nothing_is_lost_when_the_store_dies),
	};

	return cmocka_run_group_tests_name("retain", tests, NULL, NULL);
}
