/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chains of checkpoints read as whole images (checkpoint/chain.h), against a
 * guest that remembers what it was: every page of every checkpoint, read in
 * order, at random, and merged; then everything that can be wrong with a chain.
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

#include "checkpoint/chain_pipe.h"
#include "tests/unit/chain_util.h"
#include "tests/unit/fake/fake_store.h"
#include "tests/unit/test_stream_util.h"

#define PAGE STREAM_PAGE_SIZE

static struct chain *open_it(struct fake_store *f, const char *id, unsigned int flags)
{
	char why[CHAIN_WHY] = "";
	struct chain *c = NULL;

	if (chain_open(&f->store, "d", id, flags, &c, why))
		fail_msg("chain_open(%s): %s", id ? id : "latest", why);
	return c;
}

/* Opening must fail with @err and one line that has @text in it. */
static void refused(struct fake_store *f, const char *id, unsigned int flags, int err,
		    const char *text)
{
	char why[CHAIN_WHY] = "";
	struct chain *c = NULL;
	int ret = chain_open(&f->store, "d", id, flags, &c, why);

	if (ret != err || !strstr(why, text) || strchr(why, '\n'))
		fail_msg("%s: %d '%s', expected %d '%s'", id ? id : "latest", ret, why, err, text);
	chain_close(c);
}

/* --- what a chain holds ------------------------------------------------------------ */

static void every_checkpoint_is_its_moment(void **state)
{
	enum { NR = 12 };
	static struct guest g, was[NR];
	struct fake_store f;
	struct last last = { 0 };
	unsigned int i;

	fake_store_init(&f);
	guest_init(&g, 700, 1);
	for (i = 0; i < NR; i++) {
		guest_checkpoint(&g, &f.store, &last);
		was[i] = g;
		guest_run(&g, 40);
	}
	for (i = 0; i < NR; i++) {
		char id[16];
		struct chain *c;

		snprintf(id, sizeof(id), "%u", i);
		c = open_it(&f, id, i % 2 ? CHAIN_CHECK : 0);
		assert_int_equal(chain_depth(c), i + 1);
		assert_int_equal(chain_level(c, 0)->seq, i);
		guest_same(&was[i], c);
		chain_close(c);
	}
	fake_store_release(&f);
}

/* Single pages in random order, and many at once in disorder: what a lazy restore asks. */
static void random_reads_are_the_same(void **state)
{
	static struct guest g;
	static uint8_t pages[300 * PAGE];
	uint8_t types[300], page[PAGE];
	uint64_t pfns[300];
	struct fake_store f;
	struct last last = { 0 };
	struct chain *c;
	unsigned int i, k, n;

	fake_store_init(&f);
	guest_init(&g, 1500, 7);
	for (i = 0; i < 20; i++) {
		guest_run(&g, i ? 100 : 0);
		guest_checkpoint(&g, &f.store, &last);
	}
	c = open_it(&f, NULL, 0);
	for (i = 0; i < 300; i++) {
		n = i % 3 ? 1 : 1 + guest_random(&g, 300);
		for (k = 0; k < n; k++)
			pfns[k] = guest_random(&g, (uint32_t)g.limit);
		assert_int_equal(chain_read_pages(c, pfns, types, pages, n), 0);
		for (k = 0; k < n; k++) {
			guest_page(&g, pfns[k], page);
			assert_int_equal(types[k], g.type[pfns[k]]);
			assert_memory_equal(pages + (size_t)k * PAGE, page, PAGE);
			assert_int_equal(chain_page_type(c, pfns[k]), g.type[pfns[k]]);
		}
	}
	pfns[0] = g.limit;
	assert_int_equal(chain_read_pages(c, pfns, types, pages, 1), -EINVAL);
	assert_int_equal(chain_page_type(c, g.limit), CHAIN_NO_PAGE);
	chain_close(c);
	fake_store_release(&f);
}

/* The merged stream is sound to both readers, full, and the same guest. */
static void merged_is_the_same(void **state)
{
	static struct guest g;
	struct fake_store f;
	struct last last = { 0 };
	struct stream_writer *w;
	struct stream_mem m;
	struct chain *c, *merged;
	char why[CHAIN_WHY];
	unsigned int i, as;

	fake_store_init(&f);
	guest_init(&g, 1300, 3);
	for (i = 0; i < 9; i++) {
		guest_run(&g, i ? 60 : 0);
		guest_checkpoint(&g, &f.store, &last);
	}
	c = open_it(&f, NULL, CHAIN_CHECK);
	for (as = CHAIN_AS_IMAGE; as <= CHAIN_AS_REPLACEMENT; as++) {
		stream_mem_init(&m);
		assert_int_equal(stream_writer_new(&m.io, &w), 0);
		assert_int_equal(chain_write_merged(c, w, as), 0);
		stream_writer_free(w);
		why[0] = '\0';
		sample_verify(m.data, m.len, why);
		assert_string_equal(why, "");
		fake_store_set(&f, "m/x.ckpt", m.data, m.len);
		assert_int_equal(chain_open(&f.store, "m", NULL, CHAIN_CHECK, &merged, why), 0);
		assert_int_equal(chain_depth(merged), 1);
		assert_int_equal(chain_info(merged)->has_replaces, as == CHAIN_AS_REPLACEMENT);
		assert_int_equal(chain_info(merged)->has_chain_id, as == CHAIN_AS_REPLACEMENT);
		guest_same(&g, merged);
		chain_close(merged);
		stream_mem_release(&m);
	}
	chain_close(c);
	fake_store_release(&f);
}

/* What restore reads from a descriptor is the guest; a damaged page ends it with a reason. */
static void piped_is_the_same(void **state)
{
	static struct guest g;
	static uint8_t memory[900 * PAGE], types[900];
	char error[512], why[CHAIN_WHY] = "";
	struct stream_fd in;
	struct fake_store f;
	struct last last = { 0 };
	struct chain_pipe *p;
	uint8_t page[PAGE];
	struct chain *c;
	unsigned int i;

	fake_store_init(&f);
	guest_init(&g, 900, 13);
	for (i = 0; i < 4; i++) {
		guest_run(&g, i ? 60 : 0);
		guest_checkpoint(&g, &f.store, &last);
	}
	c = open_it(&f, NULL, 0);
	assert_int_equal(chain_pipe_open(c, NULL, NULL, &p), 0);
	assert_int_equal(stream_fd_init(&in, chain_pipe_fd(p), 10000), 0);
	sample_read_all(&in.io, error, memory, types, 900);
	assert_string_equal(error, "");
	stream_fd_release(&in);
	assert_int_equal(chain_pipe_close(p, why), 0);
	for (i = 0; i < 900; i++) {
		guest_page(&g, i, page);
		assert_int_equal(types[i], g.type[i]);
		assert_memory_equal(memory + (size_t)i * PAGE, page, PAGE);
	}
	/* Nobody reads: closing ends it all the same. */
	assert_int_equal(chain_pipe_open(c, NULL, NULL, &p), 0);
	assert_int_equal(chain_pipe_close(p, why), 0);
	chain_close(c);
	c = open_it(&f, NULL, 0);
	f.obj[0].data[f.obj[0].len / 2] ^= 1;
	assert_int_equal(chain_pipe_open(c, NULL, NULL, &p), 0);
	assert_int_equal(stream_fd_init(&in, chain_pipe_fd(p), 10000), 0);
	assert_int_equal(sample_read_all(&in.io, error, NULL, NULL, 0), -ENODATA);
	stream_fd_release(&in);
	assert_int_equal(chain_pipe_close(p, why), -EBADMSG);
	assert_non_null(strstr(why, "checksum of the payload"));
	chain_close(c);
	fake_store_release(&f);
}

/* A child costs what changed: no entries for the rest. */
static void same_pages_cost_nothing(void **state)
{
	static struct guest g;
	struct fake_store f;
	struct last last = { 0 };
	char root[2 * STORE_NAME_MAX + 2];

	fake_store_init(&f);
	guest_init(&g, 2000, 5);
	guest_checkpoint(&g, &f.store, &last);
	strcpy(root, last.name);
	guest_checkpoint(&g, &f.store, &last);
	assert_true(fake_store_find(&f, root)->len > 900000);
	assert_true(fake_store_find(&f, last.name)->len < 6144);	/* SHARED_INFO is 4 KiB */
	fake_store_release(&f);
}

/* Few bytes are read to open one, and more only for the pages asked for. */
static void skimming_reads_little(void **state)
{
	static struct guest g;
	static uint8_t page[PAGE];
	struct fake_store f;
	struct shot shot = { .chain = 1, .time_ns = 1, .batch = 1024 };
	struct stream_mem m;
	struct chain *c;
	uint64_t pfn = 777;
	uint8_t type;
	size_t total;

	fake_store_init(&f);
	guest_init(&g, 4000, 5);
	memset(g.type, 0, sizeof(g.type));
	for (pfn = 0; pfn < g.limit; pfn++)
		g.version[pfn] = 7;
	shot_write(&m, &g, &shot, NULL);
	/* A seventh is noise, so that it is large when packed, too. */
	total = m.len;
	fake_store_set(&f, "d/a.ckpt", m.data, m.len);
	stream_mem_release(&m);
	f.bytes_read = 0;
	c = open_it(&f, NULL, 0);
	assert_true(total > 2000000);
	assert_true(f.bytes_read < total / 8);
	pfn = 777;
	assert_int_equal(chain_read_pages(c, &pfn, &type, page, 1), 0);
	assert_true(f.bytes_read < total / 2);
	chain_close(c);
	fake_store_release(&f);
}

/* --- by name --------------------------------------------------------------------- */

static void found_by_what_people_type(void **state)
{
	static struct guest g;
	struct fake_store f;
	struct last last = { 0 };
	char hex[20], name[2 * STORE_NAME_MAX + 2];
	uint64_t second = 0;
	struct chain *c;
	unsigned int i;

	fake_store_init(&f);
	guest_init(&g, 100, 5);
	refused(&f, NULL, 0, -ENOENT, "no checkpoints of d");
	for (i = 0; i < 4; i++) {
		guest_checkpoint(&g, &f.store, &last);
		if (i == 1) {
			second = last.hash;
			strcpy(name, strchr(last.name, '/') + 1);
		}
	}
	snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)second);
	c = open_it(&f, hex, 0);
	assert_int_equal(chain_level(c, 0)->seq, 1);
	chain_close(c);
	hex[8] = '\0';
	c = open_it(&f, hex, 0);
	assert_int_equal(chain_level(c, 0)->seq, 1);
	chain_close(c);
	c = open_it(&f, name, 0);
	assert_int_equal(chain_level(c, 0)->seq, 1);
	chain_close(c);
	c = open_it(&f, "latest", 0);
	assert_int_equal(chain_level(c, 0)->seq, 3);
	chain_close(c);
	refused(&f, "4", 0, -ENOENT, "no such checkpoint");
	refused(&f, "abc", 0, -ENOENT, "no such checkpoint");
	refused(&f, "../../etc", 0, -ENOENT, "no such checkpoint");
	fake_store_release(&f);
}

/* --- what can be wrong ------------------------------------------------------------- */

/* A chain of three; names and hashes of its members. */
struct three {
	struct fake_store f;
	struct guest g;
	struct last l[3];
};

static void three_init(struct three *t)
{
	unsigned int i;

	fake_store_init(&t->f);
	guest_init(&t->g, 300, 11);
	memset(t->l, 0, sizeof(t->l));
	for (i = 0; i < 3; i++) {
		if (i)
			t->l[i] = t->l[i - 1];
		guest_run(&t->g, i ? 20 : 0);
		guest_checkpoint(&t->g, &t->f.store, &t->l[i]);
	}
}

/* Replace a member by another checkpoint. */
static void three_replace(struct three *t, unsigned int i, const struct shot *shot,
			  uint64_t *hash)
{
	struct stream_mem m;

	shot_write(&m, &t->g, shot, hash);
	fake_store_set(&t->f, t->l[i].name, m.data, m.len);
	stream_mem_release(&m);
}

static void missing_parent(void **state)
{
	static struct three t;

	three_init(&t);
	assert_int_equal(store_delete(&t.f.store, t.l[1].name), 0);
	refused(&t.f, NULL, 0, -ENOENT, "is missing");
	refused(&t.f, NULL, CHAIN_CHECK, -ENOENT, strchr(t.l[1].name, '/') + 1);
	fake_store_release(&t.f);
}

static void altered_parent(void **state)
{
	static struct three t;
	struct shot shot = { .chain = 1, .seq = 1, .time_ns = 5 };

	three_init(&t);
	shot.parent_hash = t.l[0].hash;
	guest_run(&t.g, 10);
	three_replace(&t, 1, &shot, NULL);	/* sound in itself */
	refused(&t.f, NULL, 0, -EBADMSG, "was altered");
	fake_store_release(&t.f);
}

static void foreign_parent(void **state)
{
	static struct three t;
	struct shot shot = { .chain = 2, .time_ns = 5 };
	struct shot child = { .chain = 1, .seq = 1, .time_ns = 6 };

	/* A parent of another chain, whose hash the child states. */
	three_init(&t);
	three_replace(&t, 0, &shot, &child.parent_hash);
	three_replace(&t, 1, &child, NULL);
	refused(&t.f, "1", 0, -EBADMSG, "of another chain");
	/* Of the right chain, but not its place in it. */
	shot.chain = 1;
	three_replace(&t, 0, &shot, &child.parent_hash);
	child.seq = 2;
	three_replace(&t, 1, &child, NULL);
	assert_int_equal(store_delete(&t.f.store, t.l[2].name), 0);
	refused(&t.f, "2", 0, -EBADMSG, "has chain_seq 0, not 1");
	/* Another domain's. */
	shot.uuid = 0x77;
	three_replace(&t, 0, &shot, &child.parent_hash);
	child.seq = 1;
	three_replace(&t, 1, &child, NULL);
	refused(&t.f, "1", 0, -EBADMSG, "of another domain");
	fake_store_release(&t.f);
}

/* END's hash is only END's word until the stream is read: so a loop can be forged. */
static void forge_hash(struct stream_mem *m, uint64_t hash)
{
	size_t pos = 32, at = 32;
	Stream__End *end;
	uint64_t n;

	for (; pos < m->len; pos += 32 + (n + 7) / 8 * 8) {
		memcpy(&n, m->data + pos + 8, sizeof(n));
		at = pos;
	}
	memcpy(&n, m->data + at + 8, sizeof(n));
	end = stream__end__unpack(NULL, n, m->data + at + 32);
	assert_non_null(end);
	end->stream_hash = hash;
	m->len = at;
	raw_msg(m, STREAM_END, (uint32_t)end->records, &end->base);
	stream__end__free_unpacked(end, NULL);
}

static void loops(void **state)
{
	static struct three t;
	struct shot a = { .chain = 1, .seq = 3, .time_ns = 7, .parent_hash = 0x111 };
	struct shot b = { .chain = 1, .seq = 2, .time_ns = 8, .parent_hash = 0x222 };
	struct stream_mem m;

	/* Its own parent. */
	three_init(&t);
	shot_write(&m, &t.g, &a, NULL);
	forge_hash(&m, 0x111);
	fake_store_set(&t.f, "d/zz.ckpt", m.data, m.len);
	stream_mem_release(&m);
	refused(&t.f, NULL, 0, -ELOOP, "the chain loops");
	/* a -> b -> a */
	shot_write(&m, &t.g, &a, NULL);
	forge_hash(&m, 0x222);
	fake_store_set(&t.f, "d/zz.ckpt", m.data, m.len);
	stream_mem_release(&m);
	shot_write(&m, &t.g, &b, NULL);
	forge_hash(&m, 0x111);
	fake_store_set(&t.f, "d/zy.ckpt", m.data, m.len);
	stream_mem_release(&m);
	refused(&t.f, NULL, 0, -ELOOP, "the chain loops");
	fake_store_release(&t.f);
}

/* The lie about the hash is found as soon as the stream is read. */
static void forged_hash(void **state)
{
	static struct three t;
	struct shot a = { .chain = 1, .time_ns = 7 };
	struct shot b = { .chain = 1, .seq = 1, .time_ns = 8, .parent_hash = 0x333 };
	struct stream_mem m;

	three_init(&t);
	shot_write(&m, &t.g, &a, NULL);
	forge_hash(&m, 0x333);
	fake_store_set(&t.f, t.l[0].name, m.data, m.len);
	stream_mem_release(&m);
	three_replace(&t, 1, &b, NULL);
	refused(&t.f, "1", 0, -EBADMSG, "stream hash does not match");
	refused(&t.f, "1", CHAIN_CHECK, -EBADMSG, "stream hash does not match");
	fake_store_release(&t.f);
}

static void too_deep(void **state)
{
	static struct guest g;
	struct fake_store f;
	struct last last = { 0 };
	char why[CHAIN_WHY];
	struct chain *c;
	unsigned int i;

	fake_store_init(&f);
	guest_init(&g, 64, 1);
	for (i = 0; i <= 1000; i++) {
		guest_run(&g, 1);
		guest_checkpoint(&g, &f.store, &last);
	}
	c = open_it(&f, "999", 0);
	assert_int_equal(chain_depth(c), 1000);
	chain_close(c);
	assert_int_equal(chain_open(&f.store, "d", "1000", 0, &c, why), -E2BIG);
	assert_non_null(strstr(why, "more than 1000"));
	fake_store_release(&f);
}

/* Cut at every record and in its middle: never accepted, always one line. */
static void truncated_at_each_record(void **state)
{
	static struct three t;
	struct fake_object *o;
	uint8_t *whole;
	size_t len, pos = 0, cuts = 0;
	char why[CHAIN_WHY];
	struct chain *c;
	uint64_t n;
	int ret;

	three_init(&t);
	o = fake_store_find(&t.f, t.l[1].name);
	len = o->len;
	whole = malloc(len);
	assert_non_null(whole);
	memcpy(whole, o->data, len);
	for (pos = 32; pos < len; pos += 32 + (n + 7) / 8 * 8) {
		size_t cut[] = { pos, pos + 8, pos + 32, pos + 40 }, k;

		memcpy(&n, whole + pos + 8, sizeof(n));
		for (k = 0; k < 4; k++, cuts++) {
			if (cut[k] >= len)
				continue;
			fake_store_set(&t.f, t.l[1].name, whole, cut[k]);
			ret = chain_open(&t.f.store, "d", "2", k % 2 ? CHAIN_CHECK : 0, &c, why);
			/* In its first records, or nowhere an END. */
			assert_true(ret == -ENODATA || ret == -EBADMSG);
			assert_non_null(strstr(why, t.l[1].name + 2));
			assert_null(strchr(why, '\n'));
		}
	}
	assert_true(cuts > 30);
	free(whole);
	fake_store_release(&t.f);
}

static void newer_version(void **state)
{
	static struct three t;
	struct fake_object *o;
	uint64_t check;

	three_init(&t);
	o = fake_store_find(&t.f, t.l[0].name);
	o->data[8] = 2;
	check = raw_hash(o->data, 24);
	memcpy(o->data + 24, &check, sizeof(check));
	refused(&t.f, NULL, 0, -EPROTONOSUPPORT, "version 2, this reader knows 1");
	fake_store_release(&t.f);
}

/* An index whose checks are right and whose rows are not. */
static void lying_index(void **state)
{
	static const size_t field[] = { 8, 16, 24, 32, 40, 44, 0, 4 };
	static struct three t;
	size_t k, pos, at;
	uint64_t n;

	for (k = 0; k < sizeof(field) / sizeof(field[0]); k++) {
		struct fake_object *o;
		struct stream_mem m;

		three_init(&t);
		o = fake_store_find(&t.f, t.l[0].name);
		for (pos = 32, at = 0; pos < o->len; pos += 32 + (n + 7) / 8 * 8) {
			memcpy(&n, o->data + pos + 8, sizeof(n));
			if (o->data[pos] == 0x0e && o->data[pos + 3] == 0x80)
				at = pos;
		}
		assert_true(at > 0);
		o->data[at + 32 + field[k]] ^= 1;
		raw_fix_checks(o->data, o->len);
		stream_mem_init(&m);
		assert_int_equal(m.io.write(m.io.ctx, o->data, o->len), 0);
		raw_set_end(&m);
		fake_store_set(&t.f, t.l[0].name, m.data, m.len);
		refused(&t.f, "0", k % 2 ? CHAIN_CHECK : 0, -EBADMSG, "(PAGE_INDEX)");
		stream_mem_release(&m);
		fake_store_release(&t.f);
	}
}

/* Any changed byte of any member: an error, or the page was not needed; never a wrong page. */
static void no_byte_can_change(void **state)
{
	static struct three t;
	char why[CHAIN_WHY];
	unsigned int i, refusals = 0, hidden = 0;
	size_t at;

	three_init(&t);
	for (i = 0; i < 3; i++) {
		struct fake_object *o = fake_store_find(&t.f, t.l[i].name);

		for (at = 0; at < o->len; at += i ? 37 : 1013) {
			struct chain *c = NULL;
			uint64_t pfns[1], pfn;
			uint8_t type, page[PAGE], want[PAGE];
			int ret;

			o->data[at] ^= 0x10;
			assert_int_not_equal(chain_open(&t.f.store, "d", NULL, CHAIN_CHECK, &c,
							why), 0);
			ret = chain_open(&t.f.store, "d", NULL, 0, &c, why);
			for (pfn = 0; !ret && pfn < t.g.limit; pfn++) {
				pfns[0] = pfn;
				ret = chain_read_pages(c, pfns, &type, page, 1);
				if (ret)
					break;
				guest_page(&t.g, pfn, want);
				assert_memory_equal(page, want, PAGE);
			}
			refusals += ret != 0;
			hidden += ret == 0;
			chain_close(c);
			o->data[at] ^= 0x10;
		}
	}
	assert_true(refusals > 100);
	assert_true(hidden < refusals / 10);
	fake_store_release(&t.f);
}

/* Who skims has read entries without their checksum: they are compared again later. */
static void entries_changed_under_the_map(void **state)
{
	static struct guest g;
	struct shot shot = { .chain = 1, .time_ns = 1 };
	struct fake_store f;
	struct stream_mem m;
	struct chain *c;
	uint8_t page[PAGE], type, *entry;
	uint64_t pfn = 20, n;
	size_t pos;
	char why[CHAIN_WHY];

	fake_store_init(&f);
	guest_init(&g, 40, 3);
	memset(g.type, 0, sizeof(g.type));
	shot_write(&m, &g, &shot, NULL);
	fake_store_set(&f, "d/a.ckpt", m.data, m.len);
	stream_mem_release(&m);
	for (pos = 32;; pos += 32 + (n + 7) / 8 * 8) {
		memcpy(&n, f.obj[0].data + pos + 8, sizeof(n));
		if (f.obj[0].data[pos] == STREAM_PAGES)
			break;
	}
	/* The last page is said to be a table, and then is data again: sound when read. */
	entry = f.obj[0].data + pos + 32 + 16 + 8 * 39;
	assert_int_equal(entry[0], 39);
	entry[7] = GODWIT_PAGE_L1;
	c = open_it(&f, NULL, 0);
	entry[7] = GODWIT_PAGE_DATA;
	assert_int_equal(chain_read_pages(c, &pfn, &type, page, 1), 0);
	pfn = 39;
	assert_int_equal(chain_read_pages(c, &pfn, &type, page, 1), -EBADMSG);
	assert_non_null(strstr(chain_error(c), "entries have changed"));
	chain_close(c);
	/* The same for who walks all pages. */
	entry[7] = GODWIT_PAGE_L1;
	c = open_it(&f, NULL, 0);
	entry[7] = GODWIT_PAGE_DATA;
	stream_mem_init(&m);
	{
		struct stream_writer *w;

		assert_int_equal(stream_writer_new(&m.io, &w), 0);
		assert_int_equal(chain_write_merged(c, w, CHAIN_AS_IMAGE), -EBADMSG);
		assert_non_null(strstr(chain_error(c), "entries have changed"));
		stream_writer_free(w);
	}
	stream_mem_release(&m);
	chain_close(c);
	entry[7] = GODWIT_PAGE_L1;
	assert_int_equal(chain_open(&f.store, "d", NULL, CHAIN_CHECK, &c, why), -EBADMSG);
	fake_store_release(&f);
}

/* Another object under the same name, between looking at it and reading it. */
static void swapped_between_looks(void **state)
{
	static struct three t;
	struct shot shot = { .chain = 1, .time_ns = 5 };
	char why[CHAIN_WHY] = "";
	struct catalog cat;
	struct chain *c;

	three_init(&t);
	assert_int_equal(catalog_load(&cat, &t.f.store, "d", why), 0);
	assert_int_equal(catalog_get(&cat, 0)->state, CKPT_SOUND);
	guest_run(&t.g, 5);
	three_replace(&t, 0, &shot, NULL);
	assert_int_equal(chain_open_at(&cat, 0, 0, &c, why), -EBADMSG);
	assert_non_null(strstr(why, "changed while it was being read"));
	/* Of a larger guest: its pfns do not fit what was looked at. */
	t.g.limit = 3000;
	three_replace(&t, 0, &shot, NULL);
	assert_int_equal(chain_open_at(&cat, 0, 0, &c, why), -EBADMSG);
	catalog_free(&cat);
	fake_store_release(&t.f);
}

static void lying_store(void **state)
{
	static struct three t;

	three_init(&t);
	t.f.lie_about_size = 8;
	refused(&t.f, NULL, 0, -EPROTO, "reading its end");
	t.f.lie_about_size = 0;
	t.f.get_fails = t.l[1].name;
	t.f.get_error = -ETIMEDOUT;
	refused(&t.f, NULL, 0, -ETIMEDOUT, t.l[1].name + 2);
	t.f.get_error = -EPROTO;
	refused(&t.f, NULL, 0, -EPROTO, t.l[1].name + 2);
	fake_store_release(&t.f);
}

static void a_stream_without_a_chain(void **state)
{
	struct fake_store f;
	struct stream_mem m;
	struct chain *c;
	char why[CHAIN_WHY];

	/* A stream of the time before chains is a checkpoint like any other. */
	fake_store_init(&f);
	sample_build(&m);
	fake_store_set(&f, "d/old.ckpt", m.data, m.len);
	stream_mem_release(&m);
	assert_int_equal(chain_open(&f.store, "d", NULL, 0, &c, why), 0);
	assert_int_equal(chain_page_type(c, 16), GODWIT_PAGE_P2M);
	chain_close(c);
	fake_store_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_checkpoint_is_its_moment),
		cmocka_unit_test(random_reads_are_the_same),
		cmocka_unit_test(merged_is_the_same),
		cmocka_unit_test(piped_is_the_same),
		cmocka_unit_test(same_pages_cost_nothing),
		cmocka_unit_test(skimming_reads_little),
		cmocka_unit_test(found_by_what_people_type),
		cmocka_unit_test(missing_parent),
		cmocka_unit_test(altered_parent),
		cmocka_unit_test(foreign_parent),
		cmocka_unit_test(loops),
		cmocka_unit_test(forged_hash),
		cmocka_unit_test(too_deep),
		cmocka_unit_test(truncated_at_each_record),
		cmocka_unit_test(newer_version),
		cmocka_unit_test(lying_index),
		cmocka_unit_test(no_byte_can_change),
		cmocka_unit_test(entries_changed_under_the_map),
		cmocka_unit_test(swapped_between_looks),
		cmocka_unit_test(lying_store),
		cmocka_unit_test(a_stream_without_a_chain),
	};

	return cmocka_run_group_tests_name("chain", tests, NULL, NULL);
}
