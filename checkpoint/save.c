// SPDX-License-Identifier: Apache-2.0
/* See save.h for the invariant that every function here keeps. */
#include "checkpoint/save_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "toolstack/lib/io.h"

#define P2M_TRIES	20
#define PFN_SLACK	8192u		/* for pfns the guest adds meanwhile */
#define SLEEP_SLICE_US	20000		/* so that a cancel is seen while throttled */

uint64_t save_now_us(void)
{
	return io_now_ns() / 1000;
}

/* Keep the first cause: later ones are its consequences. */
int save_fail(struct save *s, int err, const char *fmt, ...)
{
	va_list ap;

	if (!s->out->error[0]) {
		va_start(ap, fmt);
		vsnprintf(s->out->error, sizeof(s->out->error), fmt, ap);
		va_end(ap);
	}
	return err;
}

int save_fail_writer(struct save *s, int err)
{
	const char *why = stream_writer_error(s->p->writer);

	return save_fail(s, err, "writing the stream: %s", why[0] ? why : strerror(-err));
}

void save_phase(struct save *s, const char *name)
{
	if (s->p->hooks->phase)
		s->p->hooks->phase(s->p->ctx, name);
}

/* The walk is refused while the guest's list is in motion, which is microseconds. */
int save_ask_p2m(struct hcall *h, struct godwit_p2m_frames *op)
{
	int ret = -EAGAIN;

	for (int i = 0; i < P2M_TRIES && ret == -EAGAIN; i++) {
		struct timespec pause = { .tv_nsec = i ? 1000000 : 0 };

		nanosleep(&pause, NULL);
		ret = hcall_godwit_p2m_frames(h, op);
	}
	return ret;
}

int save_get_facts(struct hcall *h, domid_t domid, struct save_facts *out)
{
	struct godwit_p2m_frames p2m = { .domid = domid };
	uint64_t limit;
	int ret;

	*out = (struct save_facts) { .facts.domid = domid };
	ret = hcall_godwit_domain_facts(h, &out->facts);
	if (!ret)
		ret = save_ask_p2m(h, &p2m);
	if (ret)
		return ret;
	limit = out->facts.end_pfn;
	if (limit < out->facts.max_pages)
		limit = out->facts.max_pages;
	if (limit < p2m.max_pfn)
		limit = p2m.max_pfn;
	if (limit > STREAM_PFN_LIMIT_MAX - PFN_SLACK - 511)
		return -ERANGE;
	out->pfn_limit = (limit + PFN_SLACK + 511) & ~511ull;
	return 0;
}

/* --- one batch --------------------------------------------------------------- */

static int throttle(struct save *s, uint64_t bytes)
{
	uint64_t wait = ratelimit_take(&s->limit, bytes, save_now_us());
	uint64_t begin = save_now_us();
	int ret = 0;

	while (wait && !ret) {
		uint64_t slice = wait < SLEEP_SLICE_US ? wait : SLEEP_SLICE_US;
		struct timespec ts = { .tv_nsec = (long)slice * 1000 };

		nanosleep(&ts, NULL);
		if (s->p->hooks->batch)
			ret = s->p->hooks->batch(s->p->ctx, &s->round);
		wait = ratelimit_wait(&s->limit, save_now_us());
	}
	s->round.throttled_us += save_now_us() - begin;
	return ret;
}

/* What each entry of the batch in hand means for the sets of save.h. */
static int account(struct save *s, unsigned int nr)
{
	bool delta = s->p->snapshot && s->p->snapshot->delta;

	for (unsigned int i = 0; i < nr; i++) {
		uint64_t pfn = s->pfns[i];

		if (s->retry[pfn]) {
			s->retry[pfn] = 0;
			s->nr_retry--;
		}
		if (s->types[i] == GODWIT_PAGE_RETRY) {
			if (s->round.last)
				return save_fail(s, -EIO, "page table at pfn 0x%llx names a frame that is not the guest's",
					    (unsigned long long)pfn);
			s->retry[pfn] = 1;
			s->nr_retry++;
			s->round.retry_pages++;
			continue;
		}
		/* "No frame" is no news where the other side starts with nothing. */
		if (s->types[i] == GODWIT_PAGE_ABSENT && s->sent[pfn] == SAVE_UNSENT && !delta) {
			s->types[i] = GODWIT_PAGE_RETRY;
			continue;
		}
		s->sent[pfn] = s->types[i];
		s->round.pages++;
		if (s->types[i] == GODWIT_PAGE_ZERO)
			s->round.zero_pages++;
		else if (s->types[i] != GODWIT_PAGE_P2M && s->types[i] != GODWIT_PAGE_ABSENT)
			s->round.data_pages++;
	}
	return 0;
}

int save_send_batch(struct save *s, unsigned int nr)
{
	uint64_t before = stream_writer_totals(s->p->writer)->bytes;
	uint64_t after;
	int ret;

	ret = hcall_godwit_read_frames_all(s->p->hcall, s->p->domid, s->pfns, s->types,
					   s->pages, nr);
	if (ret)
		return save_fail(s, ret, "reading guest frames from pfn 0x%llx: %s",
			    (unsigned long long)s->pfns[0], strerror(-ret));
	ret = account(s, nr);
	if (ret)
		return ret;
	delta_encode(s->delta, s->pfns, s->types, s->pages, nr);
	/* Entries of type RETRY are left out by the writer. */
	ret = stream_write_pages(s->p->writer, s->pfns, s->types, s->pages, nr);
	if (ret)
		return save_fail_writer(s, ret);
	after = stream_writer_totals(s->p->writer)->bytes;
	s->round.bytes = after - s->round_start_bytes;
	if (s->p->hooks->batch) {
		ret = s->p->hooks->batch(s->p->ctx, &s->round);
		if (ret)
			return ret;
	}
	/* A standing guest waits for nobody. */
	return s->round.last && !s->p->snapshot ? 0 : throttle(s, after - before);
}

/* --- the sets of a round -------------------------------------------------------- */

static int send_all(struct save *s, uint64_t end_pfn)
{
	for (uint64_t pfn = 0; pfn < end_pfn;) {
		unsigned int nr = 0;
		int ret;

		while (nr < STREAM_BATCH_MAX && pfn < end_pfn)
			s->pfns[nr++] = pfn++;
		ret = save_send_batch(s, nr);
		if (ret)
			return ret;
	}
	return 0;
}

/*
 * Fetch cleans the bits before the frames are read: a write in between is
 * marked again and comes back in the next round.
 */
static int send_dirty(struct save *s)
{
	uint64_t cursor = 0, end;

	do {
		int nr = hcall_godwit_logdirty_fetch(s->p->hcall, s->p->domid, s->pfns,
						     STREAM_BATCH_MAX, &cursor, &end);
		int ret;

		if (nr < 0)
			return save_fail(s, nr, "fetching dirty pages: %s", strerror(-nr));
		for (int i = 0; i < nr; i++)
			if (s->pfns[i] >= s->pfn_limit)
				return save_fail(s, -ERANGE, "the guest grew beyond its memory limit while it was copied");
		if (!nr)
			continue;
		ret = save_send_batch(s, nr);
		if (ret)
			return ret;
	} while (cursor < end);
	return 0;
}

/* Tables left over from before; what fails again is set again by account(). */
static int send_retries(struct save *s)
{
	uint64_t left = s->nr_retry - s->round.retry_pages;
	uint64_t pfn = 0;

	while (left && pfn < s->pfn_limit) {
		unsigned int nr = 0;
		int ret;

		for (; nr < STREAM_BATCH_MAX && left && pfn < s->pfn_limit; pfn++) {
			if (!s->retry[pfn])
				continue;
			s->pfns[nr++] = pfn;
			left--;
		}
		if (!nr)
			break;
		ret = save_send_batch(s, nr);
		if (ret)
			return ret;
	}
	return 0;
}

/* --- rounds ------------------------------------------------------------------------ */

int save_round_begin(struct save *s, uint64_t todo, bool last)
{
	Stream__RoundBegin m = STREAM__ROUND_BEGIN__INIT;
	int ret;

	s->round = (struct save_round) {
		.number = s->out->rounds, .last = last, .todo = todo,
	};
	s->round_start_us = save_now_us();
	s->round_start_bytes = stream_writer_totals(s->p->writer)->bytes;
	m.has_number = m.has_dirty = m.has_last = m.has_time_us = 1;
	m.number = s->round.number;
	m.dirty = todo;
	m.last = last;
	m.time_us = s->round_start_us - s->start_us;
	ret = stream_write_msg(s->p->writer, STREAM_ROUND_BEGIN, &m.base);
	return ret ? save_fail_writer(s, ret) : 0;
}

int save_round_end(struct save *s)
{
	Stream__RoundEnd m = STREAM__ROUND_END__INIT;
	uint64_t dirty = 0;
	int ret;

	if (!s->round.last) {
		ret = hcall_godwit_logdirty_collect(s->p->hcall, s->p->domid, &dirty);
		if (ret)
			return save_fail(s, ret, "collecting dirty pages: %s", strerror(-ret));
		dirty += s->nr_retry;
	}
	s->round.dirty = dirty;
	m.has_number = m.has_pages = m.has_dirty = m.has_time_us = 1;
	m.number = s->round.number;
	m.pages = s->round.pages;
	m.dirty = dirty;
	m.time_us = save_now_us() - s->start_us;
	ret = stream_write_msg(s->p->writer, STREAM_ROUND_END, &m.base);
	if (ret)
		return save_fail_writer(s, ret);
	s->round.bytes = stream_writer_totals(s->p->writer)->bytes - s->round_start_bytes;
	s->round.duration_us = save_now_us() - s->round_start_us;
	s->out->rounds++;
	s->out->pages += s->round.pages;
	return 0;
}

int save_get_domain_facts(struct save *s, struct godwit_domain_facts *facts, bool with_page)
{
	int ret;

	*facts = (struct godwit_domain_facts) {
		.domid = s->p->domid,
		.shared_info = with_page ? (uintptr_t)s->shared_info : 0,
	};
	ret = hcall_godwit_domain_facts(s->p->hcall, facts);
	if (ret)
		return save_fail(s, ret, "asking for the domain's facts: %s", strerror(-ret));
	if (facts->end_pfn > s->pfn_limit)
		return save_fail(s, -ERANGE, "the guest grew beyond its memory limit while it was copied");
	return 0;
}

/* Rounds on a running guest, until the hook says stop. */
static int rounds_live(struct save *s)
{
	struct godwit_domain_facts facts;
	int next = SAVE_NEXT_ROUND;
	int ret;

	save_phase(s, "log-dirty");
	s->logdirty = true;
	ret = hcall_godwit_logdirty_enable_all(s->p->hcall, s->p->domid);
	if (ret == -EEXIST) {
		/* A chain of checkpoints has it on; its next one will be a full one. */
		ret = hcall_godwit_logdirty_disable(s->p->hcall, s->p->domid);
		if (!ret)
			ret = hcall_godwit_logdirty_enable_all(s->p->hcall, s->p->domid);
	}
	if (ret)
		return save_fail(s, ret, "starting log-dirty: %s", strerror(-ret));
	ret = save_get_domain_facts(s, &facts, false);
	if (ret)
		return ret;
	save_phase(s, "precopy");
	for (uint64_t todo = facts.end_pfn; next == SAVE_NEXT_ROUND; todo = s->round.dirty) {
		ret = save_round_begin(s, todo, false);
		if (!ret)
			ret = s->round.number ? send_dirty(s) : send_all(s, todo);
		if (!ret)
			ret = send_retries(s);
		if (!ret)
			ret = save_round_end(s);
		if (ret)
			return ret;
		next = SAVE_STOP_GUEST;
		if (s->p->hooks->round_end)
			next = s->p->hooks->round_end(s->p->ctx, &s->round);
		if (next < 0)
			return next;
	}
	return next == SAVE_END_EARLY ? -ECANCELED : 0;
}

int save_stop_guest(struct save *s)
{
	int ret;

	save_phase(s, "suspend");
	ret = s->p->hooks->stop_guest(s->p->ctx);
	if (ret)
		return save_fail(s, ret, "the guest did not suspend: %s", strerror(-ret));
	s->out->stopped = true;
	return 0;
}

/* --- the last round and the state beside memory --------------------------------------- */

static int send_one(struct save *s, uint64_t pfn)
{
	if (pfn >= s->pfn_limit)
		return save_fail(s, -ERANGE, "start_info at pfn 0x%llx, beyond the guest's memory",
			    (unsigned long long)pfn);
	s->pfns[0] = pfn;
	return save_send_batch(s, 1);
}

static int round_last(struct save *s, const struct godwit_domain_facts *facts)
{
	uint64_t todo = facts->end_pfn;
	int ret;

	if (s->logdirty) {
		ret = hcall_godwit_logdirty_collect(s->p->hcall, s->p->domid, &todo);
		if (ret)
			return save_fail(s, ret, "collecting the last dirty pages: %s", strerror(-ret));
		todo += s->nr_retry;
	}
	if (s->p->hooks->stopped) {
		ret = s->p->hooks->stopped(s->p->ctx, todo);
		if (ret)
			return ret;
	}
	save_phase(s, "last-round");
	ret = save_round_begin(s, todo, true);
	if (!ret)
		ret = s->logdirty ? send_dirty(s) : send_all(s, facts->end_pfn);
	if (!ret)
		ret = send_retries(s);
	/*
	 * start_info is what a restore rewrites first; one page is a cheap
	 * guard against a store to it that no dirty bit saw.
	 */
	if (!ret && s->logdirty)
		ret = send_one(s, facts->start_info_pfn);
	if (!ret)
		ret = save_round_end(s);
	return ret;
}

static int stop_and_copy(struct save *s)
{
	int ret;

	ret = save_stop_guest(s);
	if (!ret) {
		save_phase(s, "state");
		ret = save_state_capture(s);
	}
	if (!ret)
		ret = round_last(s, &s->state.facts);
	return ret ? ret : save_state_write(s);
}

/* --- entry point -------------------------------------------------------------------------- */

static int save_alloc(struct save *s)
{
	struct hcall *h = s->p->hcall;

	s->pfns = hcall_buf_alloc(h, STREAM_BATCH_MAX * sizeof(*s->pfns));
	s->types = hcall_buf_alloc(h, STREAM_BATCH_MAX);
	s->pages = hcall_buf_alloc(h, STREAM_BATCH_BYTES);
	s->context = hcall_buf_alloc(h, SAVE_CONTEXT_MAX);
	s->shared_info = hcall_buf_alloc(h, STREAM_PAGE_SIZE);
	s->leaves = hcall_buf_alloc(h, save_leaves_bytes(s));
	s->sent = malloc(s->pfn_limit);
	s->retry = calloc(1, s->pfn_limit);
	if (!s->pfns || !s->types || !s->pages || !s->context || !s->shared_info ||
	    !s->leaves || !s->sent || !s->retry)
		return save_fail(s, -ENOMEM, "out of memory");
	if (s->p->live)			/* one round has nothing to be a delta of */
		s->delta = delta_new(s->pfn_limit, s->p->delta_pages);
	memset(s->sent, SAVE_UNSENT, s->pfn_limit);
	return 0;
}

static void save_free(struct save *s)
{
	struct hcall *h = s->p->hcall;

	hcall_buf_free(h, s->pfns, STREAM_BATCH_MAX * sizeof(*s->pfns));
	hcall_buf_free(h, s->types, STREAM_BATCH_MAX);
	hcall_buf_free(h, s->pages, STREAM_BATCH_BYTES);
	hcall_buf_free(h, s->context, SAVE_CONTEXT_MAX);
	hcall_buf_free(h, s->shared_info, STREAM_PAGE_SIZE);
	hcall_buf_free(h, s->leaves, save_leaves_bytes(s));
	save_state_free(s);
	free(s->sent);
	free(s->retry);
	delta_free(s->delta);
}

int save_write_front(struct save *s)
{
	const struct save_snapshot *snap = s->p->snapshot;
	int ret = stream_write_header(s->p->writer);

	if (!ret)
		ret = stream_write_msg(s->p->writer, STREAM_INFO, &s->p->info->base);
	if (!ret)
		ret = stream_write_msg(s->p->writer, STREAM_DOMAIN, &s->p->domain->base);
	if (!ret && snap && snap->delta)
		ret = stream_write_msg(s->p->writer, STREAM_PARENT, &snap->parent->base);
	return ret ? save_fail_writer(s, ret) : 0;
}

static int save_run(struct save *s)
{
	int ret;

	if (s->p->snapshot)
		return save_run_snapshot(s);
	ret = save_write_front(s);
	if (!ret && s->p->live)
		ret = rounds_live(s);
	return ret ? ret : stop_and_copy(s);
}

int save_domain(const struct save_params *p, struct save_result *out)
{
	struct save s = { .p = p, .out = out, .pfn_limit = p->domain->pfn_limit };
	int ret;

	*out = (struct save_result) { 0 };
	if (!s.pfn_limit || s.pfn_limit > STREAM_PFN_LIMIT_MAX)
		return save_fail(&s, -EINVAL, "memory size out of range");
	s.start_us = save_now_us();
	ratelimit_init(&s.limit, p->bandwidth_bytes_per_s, s.start_us);
	ret = save_alloc(&s);
	if (!ret)
		ret = save_run(&s);
	out->bytes = stream_writer_totals(p->writer)->bytes;
	if (!ret && p->hooks->sent)
		ret = p->hooks->sent(p->ctx);
	/* A guest that stands shall go on first: whoever resumes it ends log-dirty. */
	if (s.logdirty && (ret ? !out->stopped : !p->leave_logdirty))
		hcall_godwit_logdirty_disable(p->hcall, p->domid);
	if (!p->leave_memory)
		save_free(&s);
	return ret;
}
