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

#include "tests/unit/ckpt_put.h"
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
		ret = retain_prune(&cat, keep, true, NULL, done, why);
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

/* Nothing is written: what the newest stand on stays until a full one comes. */
static void prune_without_merging(void **state)
{
	struct history *h = history_new(10, 300);
	struct retain_pruned done;
	char why[CATALOG_WHY];
	struct catalog cat;
	unsigned int i;

	assert_int_equal(merge(&h->f, "4", false), 0);	/* the next full one */
	cat = catalog(&h->f);
	assert_int_equal(retain_prune(&cat, 3, false, NULL, &done, why), 0);
	catalog_free(&cat);
	assert_int_equal(done.kept, 3);
	assert_int_equal(done.ancestors, 3);
	assert_int_equal(done.merged, 0);
	assert_int_equal(done.deleted, 4);
	for (i = 0; i < 10; i++) {
		assert_int_equal(is_there(h, &h->f, i), i >= 4);
		if (i >= 4)
			still_there(h, &h->f, i);
	}
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

/* Names that tell the wrong order (a clock that went back): children go first all the same. */
static void children_go_first_whatever_their_names(void **state)
{
	struct history *h = history_new(5, 200);
	unsigned int i;
	uint64_t n;
	int ret = -1;

	for (i = 0; i < 5; i++)		/* the parent's name is only a hint */
		snprintf(h->f.obj[i].name, sizeof(h->f.obj[i].name), "d/%c.ckpt", 'e' - (int)i);
	for (n = 1; ret < 0; n++) {
		struct fake_store f;

		fake_store_copy(&f, &h->f);
		f.die_at = n;
		ret = delete(&f, "e", true);	/* the first of the chain */
		f.die_at = 0;
		f.dead = false;
		for (i = 0; i < 5; i++) {
			if (is_there(h, &f, i))
				still_there(h, &f, i);
		}
		assert_int_equal(f.nr, ret < 0 ? 6 - n : 0);
		fake_store_release(&f);
	}
	assert_int_equal(n, 7);
	history_free(h);
}

/* --- a writer -------------------------------------------------------------------------- */

struct writer {
	uint8_t id[16], uuid[16];
	Stream__StreamInfo info;
	Stream__DomainInfo domain;
	Stream__Parent parent;
	char object[STORE_NAME_MAX + 1];
};

static void writer_init(struct writer *w)
{
	memset(w, 0, sizeof(*w));
	stream__stream_info__init(&w->info);
	stream__domain_info__init(&w->domain);
	stream__parent__init(&w->parent);
	assert_int_equal(ckpt_put_new_chain(w->id), 0);
	w->info.has_mode = w->info.has_chain_id = w->info.has_chain_seq = 1;
	w->info.mode = STREAM__MODE__CHECKPOINT;
	w->info.chain_id = (ProtobufCBinaryData){ 16, w->id };
	w->domain.name = (char *)"web";
	w->domain.has_uuid = w->domain.has_vcpus = w->domain.has_pfn_limit = 1;
	w->domain.uuid = (ProtobufCBinaryData){ 16, w->uuid };
	w->domain.vcpus = 1;
	w->domain.pfn_limit = 16;
	w->parent.has_stream_hash = w->parent.has_chain_seq = 1;
	w->parent.name = w->object;
}

/* One page with one byte in it; all that a live checkpoint writes, in its order. */
static int writer_put(struct writer *w, struct store *s, uint64_t pfn, uint8_t byte, char *why)
{
	static const uint64_t leaves[1] = { STREAM_P2M_NONE };
	Stream__RoundBegin b = STREAM__ROUND_BEGIN__INIT;
	Stream__RoundEnd e = STREAM__ROUND_END__INIT;
	Stream__VcpuContext v = STREAM__VCPU_CONTEXT__INIT;
	Stream__SharedInfo si = STREAM__SHARED_INFO__INIT;
	Stream__FinalState fs = STREAM__FINAL_STATE__INIT;
	uint8_t page[STREAM_PAGE_SIZE], type = GODWIT_PAGE_DATA;
	struct stream_writer *sw;
	struct ckpt_put *p;
	int ret;

	ret = ckpt_put_begin(s, "web", &w->info, &w->domain, w->info.chain_seq ? &w->parent : NULL,
			     &p, why);
	if (ret)
		return ret;
	sw = ckpt_put_writer(p);
	memset(page, byte, sizeof(page));
	b.has_number = b.has_last = b.last = e.has_number = e.has_pages = e.pages = 1;
	v.has_index = v.has_context = si.has_page = fs.has_start_info_pfn = 1;
	v.context = (ProtobufCBinaryData){ 8, page };
	si.page = (ProtobufCBinaryData){ sizeof(page), page };
	/* Errors stick to the writer: commit sees them. */
	stream_write_p2m(sw, leaves, 1, 16, 0);
	stream_write_msg(sw, STREAM_ROUND_BEGIN, &b.base);
	stream_write_pages(sw, &pfn, &type, page, 1);
	stream_write_msg(sw, STREAM_ROUND_END, &e.base);
	stream_write_msg(sw, STREAM_VCPU, &v.base);
	stream_write_msg(sw, STREAM_SHARED_INFO, &si.base);
	stream_write_msg(sw, STREAM_FINAL, &fs.base);
	ret = ckpt_put_commit(p, &w->parent.stream_hash, w->object, why);
	if (!ret) {
		w->parent.chain_seq = w->info.chain_seq++;
		w->info.time_ns += 1000000;
	}
	return ret;
}

static void a_writer_makes_a_chain(void **state)
{
	uint8_t page[2 * STREAM_PAGE_SIZE], types[2];
	const uint64_t pfns[2] = { 3, 4 };
	char why[CATALOG_WHY] = "";
	struct fake_store f;
	struct writer w;
	struct chain *c;
	uint64_t n;

	fake_store_init(&f);
	writer_init(&w);
	assert_int_equal(writer_put(&w, &f.store, 3, 7, why), -EINVAL);	/* no time_ns */
	w.info.has_time_ns = 1;
	w.info.time_ns = 1790000000000000000ull;
	assert_int_equal(writer_put(&w, &f.store, 3, 7, why), 0);
	/* Whatever fails, the chain stays as it was, and nothing half is seen. */
	for (n = 1;; n++) {
		f.writes = 0;
		f.die_at = n;
		why[0] = '\0';
		if (!writer_put(&w, &f.store, 4, 8, why))
			break;
		assert_non_null(strstr(why, "the store is dead"));
		f.dead = false;
		assert_int_equal(f.nr, 1);
	}
	assert_true(n > 10);
	f.die_at = 0;
	f.dead = false;
	if (chain_open(&f.store, "web", NULL, CHAIN_CHECK, &c, why))
		fail_msg("%s", why);
	assert_int_equal(chain_depth(c), 2);
	assert_true(chain_level(c, 0)->indexed);
	assert_int_equal(chain_read_pages(c, pfns, types, page, 2), 0);
	assert_int_equal(page[0], 7);
	assert_int_equal(page[STREAM_PAGE_SIZE], 8);
	chain_close(c);
	fake_store_release(&f);
}

/* --- a long life ------------------------------------------------------------------------ */

/* Checkpoints, merges, deletions and prunes in any order; what is listed, is right. */
static void a_random_life(void **state)
{
	struct history *h = history_new(1, 120);
	struct retain_pruned done;
	unsigned int step, i, seq;
	char id[20];

	for (step = 0; step < 160 && h->nr < NR_MAX; step++) {
		uint32_t dice = guest_random(&h->now, 10);

		seq = guest_random(&h->now, h->nr);
		snprintf(id, sizeof(id), "%016llx", (unsigned long long)h->hash[seq]);
		if (dice < 4) {
			guest_run(&h->now, 5);
			guest_checkpoint(&h->now, &h->f.store, &h->last);
			h->was[h->nr] = h->now;
			h->hash[h->nr++] = h->last.hash;
		} else if (dice < 7) {
			if (is_there(h, &h->f, seq))
				assert_true(merge(&h->f, id, dice == 6) >= 0);
		} else if (dice < 9) {
			if (is_there(h, &h->f, seq) && seq != h->nr - 1)
				assert_true(delete(&h->f, id, false) != -EIO);
		} else if (step % 7 == 0) {
			assert_int_equal(prune(&h->f, 6, &done), 0);
			assert_int_equal(done.broken, 0);
		}
		/* A few now and then, all at the end: probing takes its time. */
		for (i = step % 16; i < h->nr; i += 16) {
			if (is_there(h, &h->f, i))
				still_there(h, &h->f, i);
		}
	}
	for (i = 0; i < h->nr; i++) {
		if (is_there(h, &h->f, i))
			still_there(h, &h->f, i);
	}
	still_there(h, &h->f, h->nr - 1);
	assert_true(h->nr > 40);
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
		cmocka_unit_test(prune_without_merging),
		cmocka_unit_test(merge_checks_first),
		cmocka_unit_test(nothing_is_lost_when_the_store_dies),
		cmocka_unit_test(children_go_first_whatever_their_names),
		cmocka_unit_test(a_writer_makes_a_chain),
		cmocka_unit_test(a_random_life),
	};

	return cmocka_run_group_tests_name("retain", tests, NULL, NULL);
}
