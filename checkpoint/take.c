// SPDX-License-Identifier: Apache-2.0
/* See take.h. */
#define LOG_PREFIX "checkpoint"
#include "checkpoint/take.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "checkpoint/catalog.h"
#include "checkpoint/describe.h"
#include "checkpoint/guard.h"
#include "checkpoint/lock.h"
#include "checkpoint/suspend.h"
#include "migrate/recover.h"
#include "toolstack/lib/io.h"
#include "toolstack/lib/log.h"
#include "toolstack/lib/uuid.h"

#define PUT_BUFFER	((size_t)1 << 20)
#define TIPS_LOOKED_AT	8		/* newest checkpoints that may be the hypervisor's */

struct take {
	const struct take_params *p;
	struct take_result *out;
	struct domain_config cfg;
	struct describe desc;
	Stream__Parent parent;
	char parent_name[STORE_NAME_MAX + 1];
	bool delta;
	uint8_t chain_id[16];

	struct store_put *put;
	uint8_t *buf;			/* bytes on their way into the store */
	size_t buf_len;

	int lock;			/* descriptor */
	struct guard guard;		/* while the guest stands for long */
	uint64_t phase_start_us;
};

static uint64_t now_us(void)
{
	return io_now_ns() / 1000;
}

static int fail(struct take *t, int err, const char *what)
{
	if (!t->out->error[0])
		snprintf(t->out->error, sizeof(t->out->error), "%.200s%s%s", what,
			 what[0] ? ": " : "", strerror(-err));
	return err;
}

/* --- the stream's bytes into the store ------------------------------------------------ */

static int put_flush(void *ctx)
{
	struct take *t = ctx;
	int ret = t->buf_len ? store_put_write(t->put, t->buf, t->buf_len) : 0;

	t->buf_len = 0;
	return ret;
}

static int put_write(void *ctx, const void *bytes, size_t len)
{
	const uint8_t *from = bytes;
	struct take *t = ctx;

	while (len) {
		size_t n = PUT_BUFFER - t->buf_len < len ? PUT_BUFFER - t->buf_len : len;
		int ret;

		memcpy(t->buf + t->buf_len, from, n);
		t->buf_len += n;
		from += n;
		len -= n;
		ret = t->buf_len == PUT_BUFFER ? put_flush(t) : 0;
		if (ret)
			return ret;
	}
	return 0;
}

/* --- hooks ------------------------------------------------------------------------------ */

static void end_phase(struct take *t)
{
	struct take_result *out = t->out;

	if (out->nr_phases)
		out->phase[out->nr_phases - 1].us = now_us() - t->phase_start_us;
}

static void hook_phase(void *ctx, const char *name)
{
	struct take *t = ctx;

	end_phase(t);
	t->phase_start_us = now_us();
	if (t->out->nr_phases < TAKE_PHASES_MAX)
		snprintf(t->out->phase[t->out->nr_phases++].name, sizeof(t->out->phase[0].name),
			 "%s", name);
}

static int hook_stop(void *ctx)
{
	struct take *t = ctx;
	char why[200] = "";
	int ret = suspend_guest(t->p->ts, t->p->domid, t->p->suspend_timeout_ms, t->p->cancel, why);

	if (ret && why[0])
		snprintf(t->out->error, sizeof(t->out->error), "%s", why);
	return ret;
}

static int hook_resume(void *ctx)
{
	struct take *t = ctx;

	return suspend_resume(t->p->ts, t->p->domid);
}

static int hook_batch(void *ctx, const struct save_round *so_far)
{
	struct take *t = ctx;

	t->out->pages = so_far->pages;
	t->out->data_pages = so_far->data_pages;
	if (t->p->progress)
		t->p->progress(t->p->ctx, so_far->pages, so_far->todo);
	return t->p->cancel && *t->p->cancel ? -ECANCELED : 0;
}

static const struct save_hooks take_hooks = {
	.stop_guest = hook_stop, .resume_guest = hook_resume, .batch = hook_batch,
	.phase = hook_phase,
};

/* --- the chain ----------------------------------------------------------------------------- */

static bool can_be_parent(const struct take *t, const struct ckpt *c, uint64_t hash)
{
	return c->state == CKPT_SOUND && c->in_chain && ckpt_provides(c, hash) &&
	       !memcmp(c->uuid, t->cfg.uuid, sizeof(c->uuid)) &&
	       c->pfn_limit == t->desc.domain.pfn_limit;
}

static void stand_on(struct take *t, const struct ckpt *c, uint64_t hash)
{
	t->delta = true;
	memcpy(t->chain_id, c->chain_id, sizeof(t->chain_id));
	t->out->seq = c->seq + 1;
	snprintf(t->parent_name, sizeof(t->parent_name), "%s", ckpt_object(c));
	stream__parent__init(&t->parent);
	t->parent.has_stream_hash = t->parent.has_chain_seq = 1;
	t->parent.stream_hash = hash;
	t->parent.chain_seq = c->seq;
	t->parent.name = t->parent_name;
}

/* A parent that cannot be read, or is not there, is no reason to fail: a full one then. */
static int choose_parent(struct take *t)
{
	uint64_t hash = t->p->way == TAKE_LIVE && !t->p->full ? save_tracked_since(t->p->ts->hcall, t->p->domid) : 0;
	struct catalog cat;
	char why[CATALOG_WHY] = "";
	size_t looked = 0;
	int ret;

	if (getrandom(t->chain_id, sizeof(t->chain_id), 0) != sizeof(t->chain_id))
		return -EIO;
	if (!hash)
		return 0;
	ret = catalog_load(&cat, t->p->store, t->cfg.name, why);
	if (ret) {
		snprintf(t->out->error, sizeof(t->out->error), "%.250s", why);
		return ret;
	}
	for (size_t i = cat.nr; i-- && looked++ < TIPS_LOOKED_AT && !t->delta;) {
		const struct ckpt *c = catalog_get(&cat, i);

		if (can_be_parent(t, c, hash))
			stand_on(t, c, hash);
	}
	catalog_free(&cat);
	return 0;
}

/* --- one checkpoint ------------------------------------------------------------------------- */

static uint64_t reserve_pages(const struct take *t)
{
	return t->p->reserve_pages == TAKE_RESERVE_DEFAULT ?
	       save_default_reserve(t->desc.domain.tot_pages) : t->p->reserve_pages;
}

static int write_stream(struct take *t, struct stream_writer *w)
{
	const struct save_snapshot snap = {
		.delta = t->delta, .parent = &t->parent, .reserve_pages = reserve_pages(t),
	};
	struct save_params sp = {
		.hcall = t->p->ts->hcall, .domid = t->p->domid, .writer = w,
		.info = &t->desc.info, .domain = &t->desc.domain,
		.snapshot = t->p->way == TAKE_LIVE ? &snap : NULL,
		.hooks = &take_hooks, .ctx = t,
	};
	struct save_result saved;
	int ret = save_domain(&sp, &saved);

	if (ret && !t->out->error[0])
		snprintf(t->out->error, sizeof(t->out->error), "%s", saved.error);
	t->out->pause_us = saved.pause_us;
	t->out->snapshot = saved.snapshot;
	t->out->bytes = saved.bytes;
	t->out->id = stream_writer_hash(w);
	return ret;
}

/* The record of changes moves on, or back. */
static void settle_snapshot(struct take *t, bool durable)
{
	int ret = save_settle_snapshot(t->p->ts->hcall, t->p->domid, t->out->id, durable);

	if (ret && durable)
		log_warn_errno(ret, "%s: the next checkpoint will be a full one", t->cfg.name);
}

static int write_guarded(struct take *t, struct stream_writer *w)
{
	struct guard g;
	int ret = guard_start(&g, t->p->domid, t->lock);

	if (ret)
		return fail(t, ret, "starting a guard");
	ret = write_stream(t, w);
	/* TAKE_STOP, TAKE_OFF: it stands until settle_guest(), and the guard until then. */
	if (t->p->way == TAKE_LIVE)
		guard_release(&g);
	else
		t->guard = g;
	return ret;
}

static int put_stream(struct take *t)
{
	struct stream_io io = { .write = put_write, .flush = put_flush, .ctx = t };
	struct stream_writer *w;
	int ret, put;

	ret = store_put_begin(t->p->store, t->out->object, &t->put);
	if (ret)
		return fail(t, ret, store_error(t->p->store));
	ret = stream_writer_new(&io, &w);
	if (!ret) {
		stream_writer_keep_index(w);
		ret = write_guarded(t, w);
		stream_writer_free(w);
	}
	if (ret) {
		store_put_abort(t->put);
		return fail(t, ret, "");
	}
	hook_phase(t, "commit");
	put = store_put_commit(t->put);
	if (put)
		fail(t, put, store_error(t->p->store));
	if (t->p->way == TAKE_LIVE)
		settle_snapshot(t, !put);
	return put;
}

/* TAKE_STOP and TAKE_OFF: the guest has stood all the while. */
static int settle_guest(struct take *t, int ret)
{
	int resumed = 0;

	if (t->p->way == TAKE_LIVE)
		return ret;
	if (!ret && t->p->way == TAKE_OFF) {
		ret = domain_destroy(t->p->ts, t->p->domid);
	} else {
		hook_phase(t, "resume");
		resumed = suspend_resume(t->p->ts, t->p->domid);
	}
	if (t->guard.pid)
		guard_release(&t->guard);
	if (resumed)
		fail(t, resumed, "the guest cannot be resumed");
	return ret ? ret : resumed;
}

static int describe(struct take *t)
{
	struct save_facts facts;
	int ret = save_get_facts(t->p->ts->hcall, t->p->domid, &facts);

	if (!ret)
		ret = describe_make(&t->desc, &t->cfg, &facts, STREAM__MODE__CHECKPOINT);
	return ret ? fail(t, ret, "looking at the domain") : 0;
}

static int take_configured(struct take *t)
{
	/* One that stands for another's sake must not be resumed as ours. */
	int ret = suspend_check(t->p->ts, t->p->domid, t->out->error);

	if (!ret)
		ret = describe(t);
	if (ret)
		return ret;
	ret = choose_parent(t);
	if (!ret) {
		t->desc.info.has_chain_id = t->desc.info.has_chain_seq = 1;
		t->desc.info.chain_id.data = t->chain_id;
		t->desc.info.chain_id.len = sizeof(t->chain_id);
		t->desc.info.chain_seq = t->out->seq;
		catalog_name(t->out->object, t->cfg.name, t->desc.info.time_ns, t->out->seq,
			     t->chain_id, false);
		t->buf = malloc(PUT_BUFFER);
		ret = t->buf ? settle_guest(t, put_stream(t)) : -ENOMEM;
		free(t->buf);
	}
	describe_release(&t->desc);
	return ret;
}

/*
 * A move whose process died holds no lock, but its journal is there until godwitd has
 * settled it, which ends log-dirty and may resume the guest.
 */
static bool is_being_moved(const uint8_t uuid[16])
{
	char text[UUID_TEXT_BYTES], path[sizeof(RECOVER_SOURCE_DIR) + UUID_TEXT_BYTES + 16];

	uuid_format(uuid, text);
	snprintf(path, sizeof(path), RECOVER_SOURCE_DIR "/%s.journal", text);
	return !access(path, F_OK);
}

static int take_locked(struct take *t)
{
	int ret;

	t->lock = take_lock_domain(t->cfg.uuid);
	if (t->lock == -EBUSY)
		return fail(t, t->lock,
			    "another checkpoint of it is being taken, or it is moved or saved");
	if (t->lock < 0)
		return fail(t, t->lock, take_lock_dir);
	take_lock_yields(t->lock);
	ret = is_being_moved(t->cfg.uuid) ? fail(t, -EBUSY, "a move of it is not settled yet") :
	      take_configured(t);
	close(t->lock);
	return ret;
}

int take_checkpoint(const struct take_params *p, struct take_result *out)
{
	struct take t = { .p = p, .out = out };
	uint64_t start = now_us();
	int ret;

	*out = (struct take_result) { 0 };
	ret = domain_config_load(p->ts, p->domid, &t.cfg);
	if (ret) {
		snprintf(out->error, sizeof(out->error), "%.200s", log_last_error());
	} else {
		/* It may have been renamed since. */
		domain_get_name(p->ts, p->domid, t.cfg.name);
		snprintf(out->name, sizeof(out->name), "%s", t.cfg.name);
		memcpy(out->uuid, t.cfg.uuid, sizeof(out->uuid));
		ret = take_locked(&t);
	}
	end_phase(&t);
	if (ret)
		fail(&t, ret, "");
	out->us = now_us() - start;
	config_release(&t.cfg);
	return ret;
}
