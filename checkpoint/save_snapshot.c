// SPDX-License-Identifier: Apache-2.0
/*
 * A live checkpoint: the guest stands for a moment, its memory is frozen, it runs
 * on, and the frozen memory is written while it runs (GODWIT_OP_snapshot).
 *
 * Invariant: from the moment the guest was asked to suspend it is resumed on every
 * way out of here; and unless the stream is complete the snapshot is aborted, so
 * that what it took is dirty again for the next one.
 */
#include <errno.h>
#include <string.h>

#include "checkpoint/save_priv.h"

/* Whoever reads one page of a checkpoint reads and hashes its whole record: small ones. */
#define BATCH		256u
#define RESERVE_MIN	2048u

static int snapshot_op(struct save *s, unsigned int action, unsigned int flags)
{
	struct godwit_snapshot *op = &s->out->snapshot;
	uint64_t reserve = s->p->snapshot->reserve_pages;

	*op = (struct godwit_snapshot) {
		.domid = s->p->domid, .action = (uint16_t)action, .flags = flags,
		.reserve_pages = reserve,
	};
	return hcall_godwit_snapshot(s->p->hcall, op);
}

static int prepare(struct save *s)
{
	int ret;

	save_phase(s, "prepare");
	ret = hcall_godwit_logdirty_enable_all(s->p->hcall, s->p->domid);
	/* Still on since the last checkpoint: that is what makes deltas possible. */
	if (ret && ret != -EEXIST)
		return save_fail(s, ret, "starting log-dirty: %s", strerror(-ret));
	if (!ret && s->p->snapshot->delta)
		return save_fail(s, -ESTALE, "nobody kept track of changes since the parent");
	ret = snapshot_op(s, GODWIT_SNAPSHOT_PREPARE, 0);
	if (ret)
		return save_fail(s, ret, "preparing the snapshot: %s", strerror(-ret));
	return 0;
}

/* What must happen in one piece while the guest stands. */
static int freeze(struct save *s)
{
	int ret;

	save_phase(s, "state");
	ret = save_state_capture(s);
	if (ret)
		return ret;
	save_phase(s, "protect");
	ret = snapshot_op(s, GODWIT_SNAPSHOT_BEGIN, s->p->snapshot->delta ?
			  GODWIT_SNAPSHOT_DELTA : GODWIT_SNAPSHOT_FULL);
	return ret ? save_fail(s, ret, "freezing the memory: %s", strerror(-ret)) : 0;
}

/* The pause.  Its parts are phases of the ledger; its end is resume_guest()'s. */
static int stop_freeze_resume(struct save *s)
{
	uint64_t begin = save_now_us();
	int ret, resumed;

	ret = save_stop_guest(s);
	if (ret)
		return ret;
	ret = freeze(s);
	save_phase(s, "resume");
	resumed = s->p->hooks->resume_guest(s->p->ctx);
	s->out->pause_us = save_now_us() - begin;
	s->out->stopped = resumed != 0;
	if (resumed && !ret)
		ret = save_fail(s, resumed, "the guest cannot be resumed: %s", strerror(-resumed));
	return ret;
}

static int fetch(struct save *s, unsigned int flags, uint64_t *cursor, struct godwit_snapshot *op)
{
	int ret;

	*op = (struct godwit_snapshot) {
		.domid = s->p->domid, .action = GODWIT_SNAPSHOT_FETCH, .flags = flags,
		.cursor = *cursor, .max_pfns = BATCH, .pfns = (uintptr_t)s->pfns,
	};
	ret = hcall_godwit_snapshot(s->p->hcall, op);
	if (ret == -ESTALE)
		return save_fail(s, ret, "the guest wrote faster than its memory was read");
	if (ret)
		return save_fail(s, ret, "listing frozen pages: %s", strerror(-ret));
	for (uint32_t i = 0; i < op->nr_out; i++)
		if (s->pfns[i] >= s->pfn_limit)
			return save_fail(s, -ERANGE, "pfn 0x%llx is beyond the guest's memory",
					 (unsigned long long)s->pfns[i]);
	*cursor = op->cursor;
	return 0;
}

static int send_frozen(struct save *s)
{
	struct godwit_snapshot op;
	uint64_t cursor = 0;
	int ret;

	do {
		ret = fetch(s, 0, &cursor, &op);
		if (!ret && op.nr_out)
			ret = save_send_batch(s, op.nr_out);
	} while (!ret && cursor < op.end_pfn);
	return ret;
}

static int write_all(struct save *s)
{
	int ret;

	save_phase(s, "copy");
	ret = save_round_begin(s, s->out->snapshot.nr_pfns, true);
	if (!ret)
		ret = send_frozen(s);
	if (!ret)
		ret = save_round_end(s);
	return ret ? ret : save_state_write(s);
}

int save_run_snapshot(struct save *s)
{
	uint64_t begin_us;
	int ret;

	ret = prepare(s);
	if (ret)
		return ret;
	ret = save_write_front(s);
	if (!ret)
		ret = stop_freeze_resume(s);
	begin_us = s->out->snapshot.begin_us;
	if (!ret)
		ret = write_all(s);
	/* The last look is for the totals; on failure it is the way back. */
	if (snapshot_op(s, ret ? GODWIT_SNAPSHOT_ABORT : GODWIT_SNAPSHOT_STATUS, 0) && !ret)
		ret = save_fail(s, -EIO, "the snapshot was lost");
	s->out->snapshot.begin_us = begin_us;
	return ret;
}

uint64_t save_tracked_since(struct hcall *h, domid_t domid)
{
	struct godwit_snapshot op = { .domid = domid, .action = GODWIT_SNAPSHOT_STATUS };

	return hcall_godwit_snapshot(h, &op) ? 0 : op.cookie;
}

int save_settle_snapshot(struct hcall *h, domid_t domid, uint64_t hash, bool durable)
{
	struct godwit_snapshot op = {
		.domid = domid, .cookie = hash,
		.action = durable ? GODWIT_SNAPSHOT_COMMIT : GODWIT_SNAPSHOT_ABORT,
	};

	return hcall_godwit_snapshot(h, &op);
}

uint64_t save_default_reserve(uint64_t tot_pages)
{
	return tot_pages / 4 < RESERVE_MIN ? RESERVE_MIN : tot_pages / 4;
}
