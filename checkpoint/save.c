// SPDX-License-Identifier: Apache-2.0
/* See save.h for the invariant that every function here keeps. */
#include "checkpoint/delta.h"
#include "checkpoint/save.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "migrate/ratelimit.h"
#include "toolstack/lib/io.h"

#define TYPE_UNSENT	0xff		/* in save.sent[]: nothing in the stream yet */
#define CONTEXT_MAX	(64u * 1024)	/* one vCPU: registers and XSAVE area */
#define LEAVES_MAX	(STREAM_PFN_LIMIT_MAX / 512)
#define P2M_TRIES	20
#define PFN_SLACK	8192u		/* for pfns the guest adds meanwhile */
#define SLEEP_SLICE_US	20000		/* so that a cancel is seen while throttled */

struct save {
	const struct save_params *p;
	struct save_result *out;
	uint64_t pfn_limit;
	struct delta *delta;		/* NULL: everything is sent whole */
	uint64_t start_us;

	/* hypercall memory */
	uint64_t *pfns;
	uint8_t *types;
	void *pages;
	uint8_t *context;
	uint8_t *shared_info;

	uint8_t *sent;			/* per pfn: type last written */
	uint8_t *retry;			/* per pfn: must be read again */
	uint64_t nr_retry;

	struct save_round round;
	uint64_t round_start_us;
	uint64_t round_start_bytes;
	struct ratelimit limit;
	bool logdirty;
};

static uint64_t now_us(void)
{
	return io_now_ns() / 1000;
}

static int fail(struct save *s, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Keep the first cause: later ones are its consequences. */
static int fail(struct save *s, int err, const char *fmt, ...)
{
	va_list ap;

	if (!s->out->error[0]) {
		va_start(ap, fmt);
		vsnprintf(s->out->error, sizeof(s->out->error), fmt, ap);
		va_end(ap);
	}
	return err;
}

static int fail_writer(struct save *s, int err)
{
	const char *why = stream_writer_error(s->p->writer);

	return fail(s, err, "writing the stream: %s", why[0] ? why : strerror(-err));
}

static void phase(struct save *s, const char *name)
{
	if (s->p->hooks->phase)
		s->p->hooks->phase(s->p->ctx, name);
}

/* The walk is refused while the guest's list is in motion, which is microseconds. */
static int ask_p2m(struct hcall *h, struct godwit_p2m_frames *op)
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
		ret = ask_p2m(h, &p2m);
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
	uint64_t wait = ratelimit_take(&s->limit, bytes, now_us());
	uint64_t begin = now_us();
	int ret = 0;

	while (wait && !ret) {
		uint64_t slice = wait < SLEEP_SLICE_US ? wait : SLEEP_SLICE_US;
		struct timespec ts = { .tv_nsec = (long)slice * 1000 };

		nanosleep(&ts, NULL);
		if (s->p->hooks->batch)
			ret = s->p->hooks->batch(s->p->ctx, &s->round);
		wait = ratelimit_wait(&s->limit, now_us());
	}
	s->round.throttled_us += now_us() - begin;
	return ret;
}

/* What each entry of the batch in hand means for the sets of save.h. */
static int account(struct save *s, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		uint64_t pfn = s->pfns[i];

		if (s->retry[pfn]) {
			s->retry[pfn] = 0;
			s->nr_retry--;
		}
		if (s->types[i] == GODWIT_PAGE_RETRY) {
			if (s->round.last)
				return fail(s, -EIO, "page table at pfn 0x%llx names a frame that is not the guest's",
					    (unsigned long long)pfn);
			s->retry[pfn] = 1;
			s->nr_retry++;
			s->round.retry_pages++;
			continue;
		}
		/* The other side starts with nothing: "no frame" is no news. */
		if (s->types[i] == GODWIT_PAGE_ABSENT && s->sent[pfn] == TYPE_UNSENT) {
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

static int send_batch(struct save *s, unsigned int nr)
{
	uint64_t before = stream_writer_totals(s->p->writer)->bytes;
	uint64_t after;
	int ret;

	ret = hcall_godwit_read_frames_all(s->p->hcall, s->p->domid, s->pfns, s->types,
					   s->pages, nr);
	if (ret)
		return fail(s, ret, "reading guest frames from pfn 0x%llx: %s",
			    (unsigned long long)s->pfns[0], strerror(-ret));
	ret = account(s, nr);
	if (ret)
		return ret;
	delta_encode(s->delta, s->pfns, s->types, s->pages, nr);
	/* Entries of type RETRY are left out by the writer. */
	ret = stream_write_pages(s->p->writer, s->pfns, s->types, s->pages, nr);
	if (ret)
		return fail_writer(s, ret);
	after = stream_writer_totals(s->p->writer)->bytes;
	s->round.bytes = after - s->round_start_bytes;
	if (s->p->hooks->batch) {
		ret = s->p->hooks->batch(s->p->ctx, &s->round);
		if (ret)
			return ret;
	}
	/* A standing guest waits for nobody. */
	return s->round.last ? 0 : throttle(s, after - before);
}

/* --- the sets of a round -------------------------------------------------------- */

static int send_all(struct save *s, uint64_t end_pfn)
{
	for (uint64_t pfn = 0; pfn < end_pfn;) {
		unsigned int nr = 0;
		int ret;

		while (nr < STREAM_BATCH_MAX && pfn < end_pfn)
			s->pfns[nr++] = pfn++;
		ret = send_batch(s, nr);
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
			return fail(s, nr, "fetching dirty pages: %s", strerror(-nr));
		for (int i = 0; i < nr; i++)
			if (s->pfns[i] >= s->pfn_limit)
				return fail(s, -ERANGE, "the guest grew beyond its memory limit while it was copied");
		if (!nr)
			continue;
		ret = send_batch(s, nr);
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
		ret = send_batch(s, nr);
		if (ret)
			return ret;
	}
	return 0;
}

/* --- rounds ------------------------------------------------------------------------ */

static int round_begin(struct save *s, uint64_t todo, bool last)
{
	Stream__RoundBegin m = STREAM__ROUND_BEGIN__INIT;
	int ret;

	s->round = (struct save_round) {
		.number = s->out->rounds, .last = last, .todo = todo,
	};
	s->round_start_us = now_us();
	s->round_start_bytes = stream_writer_totals(s->p->writer)->bytes;
	m.has_number = m.has_dirty = m.has_last = m.has_time_us = 1;
	m.number = s->round.number;
	m.dirty = todo;
	m.last = last;
	m.time_us = s->round_start_us - s->start_us;
	ret = stream_write_msg(s->p->writer, STREAM_ROUND_BEGIN, &m.base);
	return ret ? fail_writer(s, ret) : 0;
}

static int round_end(struct save *s)
{
	Stream__RoundEnd m = STREAM__ROUND_END__INIT;
	uint64_t dirty = 0;
	int ret;

	if (!s->round.last) {
		ret = hcall_godwit_logdirty_collect(s->p->hcall, s->p->domid, &dirty);
		if (ret)
			return fail(s, ret, "collecting dirty pages: %s", strerror(-ret));
		dirty += s->nr_retry;
	}
	s->round.dirty = dirty;
	m.has_number = m.has_pages = m.has_dirty = m.has_time_us = 1;
	m.number = s->round.number;
	m.pages = s->round.pages;
	m.dirty = dirty;
	m.time_us = now_us() - s->start_us;
	ret = stream_write_msg(s->p->writer, STREAM_ROUND_END, &m.base);
	if (ret)
		return fail_writer(s, ret);
	s->round.bytes = stream_writer_totals(s->p->writer)->bytes - s->round_start_bytes;
	s->round.duration_us = now_us() - s->round_start_us;
	s->out->rounds++;
	s->out->pages += s->round.pages;
	return 0;
}

static int get_facts(struct save *s, struct godwit_domain_facts *facts, bool with_page)
{
	int ret;

	*facts = (struct godwit_domain_facts) {
		.domid = s->p->domid,
		.shared_info = with_page ? (uintptr_t)s->shared_info : 0,
	};
	ret = hcall_godwit_domain_facts(s->p->hcall, facts);
	if (ret)
		return fail(s, ret, "asking for the domain's facts: %s", strerror(-ret));
	if (facts->end_pfn > s->pfn_limit)
		return fail(s, -ERANGE, "the guest grew beyond its memory limit while it was copied");
	return 0;
}

/* Rounds on a running guest, until the hook says stop. */
static int rounds_live(struct save *s)
{
	struct godwit_domain_facts facts;
	int next = SAVE_NEXT_ROUND;
	int ret;

	phase(s, "log-dirty");
	s->logdirty = true;
	ret = hcall_godwit_logdirty_enable_all(s->p->hcall, s->p->domid);
	if (ret)
		return fail(s, ret, "starting log-dirty: %s", strerror(-ret));
	ret = get_facts(s, &facts, false);
	if (ret)
		return ret;
	phase(s, "precopy");
	for (uint64_t todo = facts.end_pfn; next == SAVE_NEXT_ROUND; todo = s->round.dirty) {
		ret = round_begin(s, todo, false);
		if (!ret)
			ret = s->round.number ? send_dirty(s) : send_all(s, todo);
		if (!ret)
			ret = send_retries(s);
		if (!ret)
			ret = round_end(s);
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

static int stop_guest(struct save *s)
{
	int ret;

	phase(s, "suspend");
	ret = s->p->hooks->stop_guest(s->p->ctx);
	if (ret)
		return fail(s, ret, "the guest did not suspend: %s", strerror(-ret));
	s->out->stopped = true;
	return 0;
}

/* --- the last round and the state beside memory --------------------------------------- */

static int send_one(struct save *s, uint64_t pfn)
{
	if (pfn >= s->pfn_limit)
		return fail(s, -ERANGE, "start_info at pfn 0x%llx, beyond the guest's memory",
			    (unsigned long long)pfn);
	s->pfns[0] = pfn;
	return send_batch(s, 1);
}

static int round_last(struct save *s, const struct godwit_domain_facts *facts)
{
	uint64_t todo = facts->end_pfn;
	int ret;

	if (s->logdirty) {
		ret = hcall_godwit_logdirty_collect(s->p->hcall, s->p->domid, &todo);
		if (ret)
			return fail(s, ret, "collecting the last dirty pages: %s", strerror(-ret));
		todo += s->nr_retry;
	}
	if (s->p->hooks->stopped) {
		ret = s->p->hooks->stopped(s->p->ctx, todo);
		if (ret)
			return ret;
	}
	phase(s, "last-round");
	ret = round_begin(s, todo, true);
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
		ret = round_end(s);
	return ret;
}

static int send_contexts(struct save *s, unsigned int nr_vcpus)
{
	for (unsigned int i = 0; i < nr_vcpus; i++) {
		struct godwit_context op = {
			.domid = s->p->domid, .vcpu = i, .size = CONTEXT_MAX,
			.buffer = (uintptr_t)s->context,
		};
		Stream__VcpuContext m = STREAM__VCPU_CONTEXT__INIT;
		int ret = hcall_godwit_get_context(s->p->hcall, &op);

		if (ret)
			return fail(s, ret, "reading vCPU %u: %s", i, strerror(-ret));
		m.has_index = m.has_context = 1;
		m.index = i;
		m.context.data = s->context;
		m.context.len = op.size;
		ret = stream_write_msg(s->p->writer, STREAM_VCPU, &m.base);
		if (ret)
			return fail_writer(s, ret);
	}
	return 0;
}

static int send_p2m(struct save *s)
{
	struct godwit_p2m_frames op = { .domid = s->p->domid };
	uint64_t *leaves;
	size_t bytes;
	int ret;

	ret = ask_p2m(s->p->hcall, &op);
	if (ret)
		return fail(s, ret, "finding the p2m list: %s", strerror(-ret));
	if (!op.nr_leaves || op.nr_leaves > LEAVES_MAX)
		return fail(s, -ERANGE, "p2m list of %u leaves", op.nr_leaves);
	bytes = (size_t)op.nr_leaves * sizeof(*leaves);
	leaves = hcall_buf_alloc(s->p->hcall, bytes);
	if (!leaves)
		return fail(s, -ENOMEM, "out of memory for the p2m list");
	op.max_leaves = op.nr_leaves;
	op.pfns = (uintptr_t)leaves;
	ret = hcall_godwit_p2m_frames(s->p->hcall, &op);
	if (ret)
		ret = fail(s, ret, "reading the p2m list: %s", strerror(-ret));
	else if (!op.nr_leaves || op.nr_leaves > bytes / sizeof(*leaves))
		ret = fail(s, -ERANGE, "p2m list changed in a stopped guest");
	else if ((ret = stream_write_p2m(s->p->writer, leaves, op.nr_leaves, op.max_pfn,
					 op.generation)))
		fail_writer(s, ret);
	hcall_buf_free(s->p->hcall, leaves, bytes);
	return ret;
}

static int send_shared_info(struct save *s)
{
	Stream__SharedInfo m = STREAM__SHARED_INFO__INIT;
	int ret;

	m.has_page = 1;
	m.page.data = s->shared_info;
	m.page.len = STREAM_PAGE_SIZE;
	ret = stream_write_msg(s->p->writer, STREAM_SHARED_INFO, &m.base);
	return ret ? fail_writer(s, ret) : 0;
}

static int send_final(struct save *s, const struct godwit_domain_facts *facts)
{
	Stream__FinalState m = STREAM__FINAL_STATE__INIT;
	struct timespec wall;
	int ret;

	for (uint64_t pfn = 0; pfn < s->pfn_limit; pfn++)
		if (s->sent[pfn] != TYPE_UNSENT && s->sent[pfn] & GODWIT_PAGE_PINNED)
			m.nr_pinned++;
	clock_gettime(CLOCK_REALTIME, &wall);
	m.has_start_info_pfn = m.has_tot_pages = m.has_nr_pinned = m.has_wallclock_ns = 1;
	m.start_info_pfn = facts->start_info_pfn;
	m.tot_pages = facts->tot_pages;
	m.wallclock_ns = (uint64_t)wall.tv_sec * 1000000000ull + wall.tv_nsec;
	ret = stream_write_msg(s->p->writer, STREAM_FINAL, &m.base);
	if (!ret)
		ret = stream_write_end(s->p->writer);
	return ret ? fail_writer(s, ret) : 0;
}

static int stop_and_copy(struct save *s)
{
	struct godwit_domain_facts facts;
	int ret;

	ret = stop_guest(s);
	if (!ret)
		ret = get_facts(s, &facts, true);
	if (!ret && facts.start_info_pfn == UINT64_MAX)
		ret = fail(s, -EINVAL, "the guest stands, but not at its suspend hypercall");
	if (!ret)
		ret = round_last(s, &facts);
	if (ret)
		return ret;
	phase(s, "state");
	ret = send_contexts(s, facts.nr_vcpus);
	if (!ret)
		ret = send_shared_info(s);
	if (!ret)
		ret = send_p2m(s);
	if (!ret)
		ret = send_final(s, &facts);
	return ret;
}

/* --- entry point -------------------------------------------------------------------------- */

static int save_alloc(struct save *s)
{
	struct hcall *h = s->p->hcall;

	s->pfns = hcall_buf_alloc(h, STREAM_BATCH_MAX * sizeof(*s->pfns));
	s->types = hcall_buf_alloc(h, STREAM_BATCH_MAX);
	s->pages = hcall_buf_alloc(h, STREAM_BATCH_BYTES);
	s->context = hcall_buf_alloc(h, CONTEXT_MAX);
	s->shared_info = hcall_buf_alloc(h, STREAM_PAGE_SIZE);
	s->sent = malloc(s->pfn_limit);
	s->retry = calloc(1, s->pfn_limit);
	if (!s->pfns || !s->types || !s->pages || !s->context || !s->shared_info ||
	    !s->sent || !s->retry)
		return fail(s, -ENOMEM, "out of memory");
	if (s->p->live)			/* one round has nothing to be a delta of */
		s->delta = delta_new(s->pfn_limit, s->p->delta_pages);
	memset(s->sent, TYPE_UNSENT, s->pfn_limit);
	return 0;
}

static void save_free(struct save *s)
{
	struct hcall *h = s->p->hcall;

	hcall_buf_free(h, s->pfns, STREAM_BATCH_MAX * sizeof(*s->pfns));
	hcall_buf_free(h, s->types, STREAM_BATCH_MAX);
	hcall_buf_free(h, s->pages, STREAM_BATCH_BYTES);
	hcall_buf_free(h, s->context, CONTEXT_MAX);
	hcall_buf_free(h, s->shared_info, STREAM_PAGE_SIZE);
	free(s->sent);
	free(s->retry);
	delta_free(s->delta);
}

static int save_run(struct save *s)
{
	int ret;

	ret = stream_write_header(s->p->writer);
	if (!ret)
		ret = stream_write_msg(s->p->writer, STREAM_INFO, &s->p->info->base);
	if (!ret)
		ret = stream_write_msg(s->p->writer, STREAM_DOMAIN, &s->p->domain->base);
	if (ret)
		return fail_writer(s, ret);
	if (s->p->live) {
		ret = rounds_live(s);
		if (ret)
			return ret;
	}
	return stop_and_copy(s);
}

int save_domain(const struct save_params *p, struct save_result *out)
{
	struct save s = { .p = p, .out = out, .pfn_limit = p->domain->pfn_limit };
	int ret;

	*out = (struct save_result) { 0 };
	if (!s.pfn_limit || s.pfn_limit > STREAM_PFN_LIMIT_MAX)
		return fail(&s, -EINVAL, "memory size out of range");
	s.start_us = now_us();
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
