/* SPDX-License-Identifier: Apache-2.0 */
/*
 * save_domain() and restore_domain() over a fake hypervisor: what arrives is
 * the guest's last memory, however it wrote meanwhile, and what is wrong with
 * a stream or a host is an error, never a wrong guest.
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

#include "checkpoint/describe.h"
#include "checkpoint/restore.h"
#include "checkpoint/save.h"
#include "tests/unit/fake/fake_hcall.h"

static const uint8_t uuid[16] = { 1, 2, 3, 4, 5, 6, 0x47, 8, 0x89, 10, 11, 12, 13, 14, 15, 16 };

struct rig {
	struct hcall *src, *dst;
	domid_t domid, there;
	unsigned int nr_pages;
	struct stream_mem mem;
	unsigned int max_rounds;
	unsigned int rounds_seen;
	int cancel_at_batch;		/* 0 = never */
	int batches;
	struct save_result saved;
	struct restore_result restored;
};

static int stop(void *ctx)
{
	struct rig *r = ctx;

	fake_suspend(r->src, r->domid);
	return 0;
}

static int resume(void *ctx)
{
	struct rig *r = ctx;

	fake_resume(r->src, r->domid);
	return 0;
}

static int round_end(void *ctx, const struct save_round *round)
{
	struct rig *r = ctx;

	assert_int_equal(round->number, r->rounds_seen);
	assert_true(round->data_pages + round->zero_pages <= round->pages);
	return ++r->rounds_seen >= r->max_rounds ? SAVE_STOP_GUEST : SAVE_NEXT_ROUND;
}

static int batch(void *ctx, const struct save_round *so_far)
{
	struct rig *r = ctx;

	return ++r->batches == r->cancel_at_batch ? -ECANCELED : 0;
}

static const struct save_hooks hooks = {
	.stop_guest = stop, .resume_guest = resume, .round_end = round_end, .batch = batch,
};

static void make_config(struct domain_config *cfg)
{
	config_init(cfg);
	strcpy(cfg->name, "web1");
	memcpy(cfg->uuid, uuid, 16);
	cfg->has_uuid = true;
	cfg->memory_mb = cfg->maxmem_mb = 16;
	cfg->vcpus = 1;
	cfg->cmdline = strdup("quiet");
}

static int save_snapshot(struct rig *r, bool live, const struct save_snapshot *snapshot)
{
	struct save_facts facts;
	struct domain_config cfg;
	struct describe desc;
	struct stream_writer *w;
	struct save_params p = {
		.hcall = r->src, .domid = r->domid, .info = &desc.info, .domain = &desc.domain,
		.live = live, .snapshot = snapshot, .delta_pages = 64, .hooks = &hooks, .ctx = r,
	};
	int ret;

	make_config(&cfg);
	assert_int_equal(save_get_facts(r->src, r->domid, &facts), 0);
	assert_int_equal(describe_make(&desc, &cfg, &facts, STREAM__MODE__SAVE), 0);
	stream_mem_init(&r->mem);
	assert_int_equal(stream_writer_new(&r->mem.io, &w), 0);
	p.writer = w;
	ret = save_domain(&p, &r->saved);
	stream_writer_free(w);
	describe_release(&desc);
	config_release(&cfg);
	return ret;
}

static int save(struct rig *r, bool live)
{
	return save_snapshot(r, live, NULL);
}

static int prepare(void *ctx, const Stream__StreamInfo *info, const Stream__DomainInfo *d,
		   struct restore_domain_ids *ids, char why[200])
{
	struct rig *r = ctx;
	struct domain_config cfg;
	int ret;

	config_init(&cfg);
	ret = describe_read(d, &cfg, why);
	config_release(&cfg);
	if (ret)
		return ret;
	r->there = fake_domain_empty(r->dst, d->uuid.data, r->nr_pages, d->vcpus);
	ids->domid = r->there;
	ids->max_pages = r->nr_pages;
	return 0;
}

static const struct restore_hooks restore_hooks = { .prepare = prepare };

static int restore(struct rig *r)
{
	struct stream_reader *reader;
	struct stream_mem view;
	int ret;

	stream_mem_view(&view, r->mem.data, r->mem.len);
	assert_int_equal(stream_reader_new(&view.io, &reader), 0);
	ret = restore_domain(r->dst, reader, &restore_hooks, r, &r->restored);
	stream_reader_free(reader);
	return ret;
}

static void rig_init(struct rig *r, unsigned int nr_pages, unsigned int writes, unsigned int seed)
{
	*r = (struct rig) { .nr_pages = nr_pages, .max_rounds = 4 };
	r->src = fake_host_new("src");
	r->dst = fake_host_new("dst");
	r->domid = fake_guest_build(r->src, uuid, nr_pages, writes, seed);
}

static void rig_release(struct rig *r)
{
	stream_mem_release(&r->mem);
	fake_host_free(r->src);
	fake_host_free(r->dst);
}

static void arrive(struct rig *r)
{
	int ret = restore(r);

	assert_string_equal(r->restored.error, "");
	assert_int_equal(ret, 0);
	assert_true(fake_same_memory(r->dst, r->there));
	assert_memory_equal(r->dst->doms[r->there].contexts[0], r->src->doms[r->domid].contexts[0],
			    FAKE_CONTEXT);
	assert_int_equal(fake_state(r->dst, r->there), FAKE_NEVER_RAN);
	fake_destroy(r->src, r->domid);
	fake_run(r->dst, r->there);
}

static void test_plain(void **state)
{
	struct rig r;

	rig_init(&r, 3000, 5, 1);
	assert_int_equal(save(&r, false), 0);
	assert_int_equal(r.saved.rounds, 1);
	assert_true(r.saved.stopped);
	arrive(&r);
	rig_release(&r);
}

static void test_live(void **state)
{
	for (unsigned int seed = 0; seed < 12; seed++) {
		struct rig r;

		rig_init(&r, seed % 2 ? 3000 : 700, seed * 7, seed);
		r.max_rounds = 1 + seed % 5;
		assert_int_equal(save(&r, true), 0);
		assert_int_equal(r.saved.rounds, r.max_rounds + 1);
		assert_false(r.src->doms[r.domid].logdirty);
		arrive(&r);
		rig_release(&r);
	}
}

/* It runs on and writes while the frozen memory is read: what arrives is the moment of the stop. */
static void test_snapshot_is_the_moment(void **state)
{
	const struct save_snapshot snap = { .reserve_pages = 100 };

	for (unsigned int seed = 0; seed < 8; seed++) {
		struct rig r;

		rig_init(&r, seed % 2 ? 3000 : 700, seed * 9, seed);
		assert_int_equal(save_snapshot(&r, false, &snap), 0);
		assert_string_equal(r.saved.error, "");
		assert_false(r.saved.stopped);
		assert_int_equal(fake_state(r.src, r.domid), FAKE_RUNNING);
		assert_true(r.src->doms[r.domid].logdirty);
		if (seed)
			assert_false(fake_same_memory(r.src, r.domid));
		arrive(&r);
		rig_release(&r);
	}
}

static void test_snapshot_given_up(void **state)
{
	const struct save_snapshot snap = { .reserve_pages = 100 };
	struct rig r;

	rig_init(&r, 3000, 9, 5);
	r.cancel_at_batch = 2;
	assert_int_equal(save_snapshot(&r, false, &snap), -ECANCELED);
	assert_int_equal(fake_state(r.src, r.domid), FAKE_RUNNING);
	assert_int_equal(r.src->doms[r.domid].snapshot, GODWIT_SNAPSHOT_IS_NONE);
	assert_true(r.src->doms[r.domid].pages[0].dirty);
	rig_release(&r);
}

/* Log-dirty was off: a delta would lack what was written meanwhile. */
static void test_delta_needs_tracking(void **state)
{
	Stream__Parent parent = STREAM__PARENT__INIT;
	const struct save_snapshot snap = { .delta = true, .parent = &parent };
	struct rig r;

	rig_init(&r, 700, 9, 5);
	assert_int_equal(save_snapshot(&r, false, &snap), -ESTALE);
	assert_int_equal(fake_state(r.src, r.domid), FAKE_RUNNING);
	rig_release(&r);
}

static void test_cancel_leaves_guest(void **state)
{
	for (int at = 1; at < 8; at++) {
		struct rig r;

		rig_init(&r, 3000, 5, at);
		r.cancel_at_batch = at;
		assert_int_equal(save(&r, true), -ECANCELED);
		assert_false(r.src->doms[r.domid].logdirty);
		assert_int_equal(fake_state(r.src, r.domid), FAKE_RUNNING);
		assert_int_not_equal(restore(&r), 0);
		rig_release(&r);
	}
}

static void test_truncated(void **state)
{
	struct rig r;
	size_t len;

	rig_init(&r, 300, 5, 3);
	assert_int_equal(save(&r, true), 0);
	len = r.mem.len;
	for (unsigned int i = 0; i < 60; i++) {
		r.mem.len = len * i / 60;
		assert_int_equal(restore(&r), -ENODATA);
		assert_string_not_equal(r.restored.error, "");
		if (r.there)
			fake_destroy(r.dst, r.there);
		r.there = 0;
	}
	r.mem.len = len;
	arrive(&r);
	rig_release(&r);
}

static void test_flipped(void **state)
{
	struct rig r;

	rig_init(&r, 300, 5, 4);
	assert_int_equal(save(&r, false), 0);
	for (unsigned int i = 0; i < 80; i++) {
		size_t at = r.mem.len * i / 80 + i % 5;

		r.mem.data[at] ^= 0x10;
		assert_int_not_equal(restore(&r), 0);
		assert_string_not_equal(r.restored.error, "");
		r.mem.data[at] ^= 0x10;
		if (r.there)
			fake_destroy(r.dst, r.there);
		r.there = 0;
	}
	rig_release(&r);
}

/* The stream's pfn space must fit what the host is willing to give. */
static void test_too_large(void **state)
{
	struct rig r;

	rig_init(&r, 4096, 0, 5);
	assert_int_equal(save(&r, false), 0);
	r.nr_pages = 1000;
	assert_int_equal(restore(&r), -ENOMEM);
	assert_non_null(strstr(r.restored.error, "writing guest frames"));
	rig_release(&r);
}

static int never_stops(void *ctx)
{
	return -ETIMEDOUT;
}

static void test_deaf_guest(void **state)
{
	struct save_hooks deaf = hooks;
	struct save_facts facts;
	struct domain_config cfg;
	struct describe desc;
	struct save_params p;
	struct rig r;

	rig_init(&r, 300, 5, 6);
	deaf.stop_guest = never_stops;
	make_config(&cfg);
	assert_int_equal(save_get_facts(r.src, r.domid, &facts), 0);
	describe_make(&desc, &cfg, &facts, STREAM__MODE__LIVE);
	stream_mem_init(&r.mem);
	p = (struct save_params) {
		.hcall = r.src, .domid = r.domid, .info = &desc.info, .domain = &desc.domain,
		.live = true, .hooks = &deaf, .ctx = &r,
	};
	stream_writer_new(&r.mem.io, &p.writer);
	assert_int_equal(save_domain(&p, &r.saved), -ETIMEDOUT);
	assert_false(r.saved.stopped);
	assert_false(r.src->doms[r.domid].logdirty);
	assert_int_equal(fake_state(r.src, r.domid), FAKE_RUNNING);
	stream_writer_free(p.writer);
	describe_release(&desc);
	config_release(&cfg);
	rig_release(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_live),
		cmocka_unit_test(test_snapshot_is_the_moment),
		cmocka_unit_test(test_snapshot_given_up),
		cmocka_unit_test(test_delta_needs_tracking),
		cmocka_unit_test(test_cancel_leaves_guest),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_flipped),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_deaf_guest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
