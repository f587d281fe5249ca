// SPDX-License-Identifier: Apache-2.0
/* See restore.h.  The reader has checked framing, order and bounds already. */
#include "checkpoint/restore.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TYPE_NONE	0xff		/* in restore.types[]: pfn never seen */
#define CONTEXT_MAX	(64u * 1024)
#define PIN_LEVEL_SHIFT	60		/* godwit_finish_restore.pins */

struct vcpu_state {
	uint32_t size;			/* 0: not seen yet */
	void *bytes;
};

struct restore {
	struct hcall *hcall;
	struct stream_reader *reader;	/* of the stream in hand */
	const struct restore_hooks *hooks;
	void *ctx;
	struct restore_result *out;

	bool prepared;
	bool described;			/* the stream in hand has said what it is of */
	uint8_t uuid[16];
	uint64_t pfn_limit;
	uint8_t *types;			/* per pfn: last type received */
	uint8_t *seen;			/* per pfn: in this stream; NULL: nothing was before it */
	struct stream_batch *batch;	/* hypercall memory, as are the next two */
	uint8_t *pages;
	uint8_t *shared_info;
	bool has_shared_info;

	unsigned int nr_vcpus;
	struct vcpu_state vcpus[STREAM_VCPUS_MAX];

	uint64_t *leaves;		/* hypercall memory: p2m list */
	size_t leaf_bytes;
	uint32_t nr_leaves;
	uint64_t max_pfn;

	bool last_round;
	bool has_final;
	uint64_t start_info_pfn;
	bool has_nr_pinned;
	uint64_t nr_pinned;
};

static int fail(struct restore *r, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(struct restore *r, int err, const char *fmt, ...)
{
	va_list ap;

	if (!r->out->error[0]) {
		va_start(ap, fmt);
		vsnprintf(r->out->error, sizeof(r->out->error), fmt, ap);
		va_end(ap);
	}
	return err;
}

static void phase(struct restore *r, const char *name)
{
	if (r->hooks->phase)
		r->hooks->phase(r->ctx, name);
}

/* --- records -------------------------------------------------------------------- */

/*
 * The pfn space may exceed the memory by a hole (a guest ballooned down keeps
 * its high pfns), but not by an absurd factor: this bounds types[].
 */
static int check_size(struct restore *r, const Stream__DomainInfo *d)
{
	uint64_t allowed = r->out->ids.max_pages;

	if (d->pfn_limit / 4 > allowed + 4096)
		return fail(r, -ERANGE, "the stream speaks of %llu pfns for %llu pages of memory",
			    (unsigned long long)d->pfn_limit, (unsigned long long)allowed);
	return 0;
}

static int prepare(struct restore *r, const Stream__StreamInfo *info,
		   const Stream__DomainInfo *d)
{
	char why[200] = "";
	int ret;

	ret = r->hooks->prepare(r->ctx, info, d, &r->out->ids, why);
	if (ret)
		return fail(r, ret, "%s", why[0] ? why : strerror(-ret));
	r->prepared = true;
	ret = check_size(r, d);
	if (ret)
		return ret;
	r->nr_vcpus = d->vcpus;
	r->pfn_limit = d->pfn_limit;
	r->types = malloc(r->pfn_limit);
	r->batch = hcall_buf_alloc(r->hcall, sizeof(*r->batch));
	r->pages = hcall_buf_alloc(r->hcall, STREAM_BATCH_BYTES);
	r->shared_info = hcall_buf_alloc(r->hcall, STREAM_PAGE_SIZE);
	if (!r->types || !r->batch || !r->pages || !r->shared_info)
		return fail(r, -ENOMEM, "out of memory");
	memset(r->types, TYPE_NONE, r->pfn_limit);
	if (d->uuid.len == sizeof(r->uuid))
		memcpy(r->uuid, d->uuid.data, sizeof(r->uuid));
	return 0;
}

static int on_domain(struct restore *r, const Stream__StreamInfo *info,
		     const Stream__DomainInfo *d)
{
	r->described = true;
	if (!r->prepared)
		return prepare(r, info, d);
	if (d->vcpus != r->nr_vcpus || d->pfn_limit != r->pfn_limit ||
	    d->uuid.len != sizeof(r->uuid) || memcmp(d->uuid.data, r->uuid, sizeof(r->uuid)))
		return fail(r, -EBADMSG, "the stream is of another domain than the one before");
	return 0;
}

static int on_pages(struct restore *r)
{
	struct stream_batch *b = r->batch;
	int ret;

	ret = stream_read_pages(r->reader, b, r->pages);
	if (ret)
		return fail(r, ret, "%s", stream_error(r->reader));
	ret = hcall_godwit_write_frames_all(r->hcall, r->out->ids.domid, b->pfns, b->types,
					    r->pages, b->nr);
	if (ret)
		return fail(r, ret, "writing guest frames from pfn 0x%llx: %s",
			    (unsigned long long)b->pfns[0], strerror(-ret));
	for (unsigned int i = 0; i < b->nr; i++) {
		r->types[b->pfns[i]] = b->types[i] == GODWIT_PAGE_DELTA ? GODWIT_PAGE_DATA : b->types[i];
		if (r->seen)
			r->seen[b->pfns[i]] = 1;
	}
	if (r->hooks->batch)
		return r->hooks->batch(r->ctx, stream_reader_totals(r->reader));
	return 0;
}

static int on_vcpu(struct restore *r, const Stream__VcpuContext *m)
{
	struct vcpu_state *v;

	if (m->index >= r->nr_vcpus || r->vcpus[m->index].size)
		return fail(r, -EBADMSG, "vCPU %u is out of place", m->index);
	if (!m->context.len || m->context.len > CONTEXT_MAX)
		return fail(r, -EBADMSG, "vCPU %u has %zu bytes of state", m->index,
			    m->context.len);
	v = &r->vcpus[m->index];
	v->bytes = hcall_buf_alloc(r->hcall, m->context.len);
	if (!v->bytes)
		return fail(r, -ENOMEM, "out of memory");
	v->size = m->context.len;
	memcpy(v->bytes, m->context.data, m->context.len);
	return 0;
}

static int on_shared_info(struct restore *r, const Stream__SharedInfo *m)
{
	if (m->page.len != STREAM_PAGE_SIZE)
		return fail(r, -EBADMSG, "shared info of %zu bytes", m->page.len);
	memcpy(r->shared_info, m->page.data, STREAM_PAGE_SIZE);
	r->has_shared_info = true;
	return 0;
}

static int on_final(struct restore *r, const Stream__FinalState *m)
{
	if (!m->has_start_info_pfn || m->start_info_pfn >= r->pfn_limit ||
	    r->types[m->start_info_pfn] != GODWIT_PAGE_DATA)
		return fail(r, -EBADMSG, "start_info is not a page of the stream");
	r->has_final = true;
	r->start_info_pfn = m->start_info_pfn;
	r->has_nr_pinned = m->has_nr_pinned;
	r->nr_pinned = m->nr_pinned;
	return 0;
}

static int on_record(struct restore *r, const struct stream_record *rec)
{
	switch (rec->type) {
	case STREAM_PAGES:
		return on_pages(r);
	case STREAM_VCPU:
		return on_vcpu(r, rec->vcpu);
	case STREAM_SHARED_INFO:
		return on_shared_info(r, rec->shared_info);
	case STREAM_FINAL:
		return on_final(r, rec->final);
	case STREAM_ROUND_BEGIN:
		r->out->rounds++;
		r->last_round = rec->round_begin->last;
		phase(r, r->last_round ? "last-round" : "precopy");
		return 0;
	case STREAM_ROUND_END:
		if (r->hooks->round_end)
			return r->hooks->round_end(r->ctx, rec->round_end->number, r->last_round);
		return 0;
	default:
		/* P2M_INFO is kept by the reader; the rest is for people. */
		return 0;
	}
}

static int read_all(struct restore *r)
{
	Stream__StreamInfo *info = NULL;
	struct stream_record rec;
	int ret;

	do {
		ret = stream_read_next(r->reader, &rec);
		if (ret) {
			fail(r, ret, "%s", stream_error(r->reader));
			break;
		}
		if (rec.type == STREAM_INFO) {
			/* Lives on until DOMAIN_INFO, the next record. */
			info = stream__stream_info__unpack(NULL, rec.length, rec.payload);
			if (!info)
				ret = fail(r, -ENOMEM, "out of memory");
		} else if (rec.type == STREAM_DOMAIN) {
			ret = info ? on_domain(r, info, rec.domain)
				   : fail(r, -EBADMSG, "DOMAIN_INFO before STREAM_INFO");
		} else if (!r->described) {
			ret = fail(r, -EBADMSG, "%s before DOMAIN_INFO", stream_type_name(rec.type));
		} else {
			ret = on_record(r, &rec);
		}
	} while (!ret && rec.type != STREAM_END);
	if (info)
		stream__stream_info__free_unpacked(info, NULL);
	return ret;
}

/* --- from parts to a domain ------------------------------------------------------------ */

static bool is_pinned(uint8_t type)
{
	return type != TYPE_NONE && type & GODWIT_PAGE_PINNED;
}

static int check_complete(struct restore *r, uint64_t *nr_pins)
{
	*nr_pins = 0;
	for (uint64_t pfn = 0; pfn < r->pfn_limit; pfn++)
		*nr_pins += is_pinned(r->types[pfn]);
	if (!r->has_final || !r->has_shared_info)
		return fail(r, -EBADMSG, "the stream ends without the guest's final state");
	for (unsigned int i = 0; i < r->nr_vcpus; i++)
		if (!r->vcpus[i].size)
			return fail(r, -EBADMSG, "no state of vCPU %u", i);
	if (!*nr_pins)
		return fail(r, -EBADMSG, "no pinned page table in the stream");
	if (r->has_nr_pinned && r->nr_pinned != *nr_pins)
		return fail(r, -EBADMSG, "%llu pinned tables came, %llu were announced",
			    (unsigned long long)*nr_pins, (unsigned long long)r->nr_pinned);
	return 0;
}

static void collect_pins(const struct restore *r, uint64_t *pins)
{
	for (uint64_t pfn = 0; pfn < r->pfn_limit; pfn++) {
		unsigned int type = r->types[pfn];

		if (is_pinned(type)) {
			uint64_t level = (type & GODWIT_PAGE_TYPE_MASK) - GODWIT_PAGE_L1 + 1;

			*pins++ = pfn | level << PIN_LEVEL_SHIFT;
		}
	}
}

static int finish(struct restore *r, uint64_t nr_pins)
{
	struct godwit_finish_restore op = {
		.domid = r->out->ids.domid,
		.nr_pins = nr_pins,
		.shared_info = (uintptr_t)r->shared_info,
		.start_info_pfn = r->start_info_pfn,
		.store_evtchn = r->out->ids.store_port,
		.console_evtchn = r->out->ids.console_port,
	};
	size_t pin_bytes = nr_pins * sizeof(uint64_t);
	uint64_t *pins;
	int ret;

	pins = hcall_buf_alloc(r->hcall, pin_bytes);
	if (!pins)
		return fail(r, -ENOMEM, "out of memory");
	collect_pins(r, pins);
	op.p2m_leaves = (uintptr_t)r->leaves;
	op.nr_leaves = r->nr_leaves;
	op.max_pfn = r->max_pfn;
	op.pins = (uintptr_t)pins;
	ret = hcall_godwit_finish_restore(r->hcall, &op);
	if (ret) {
		fail(r, ret, "the hypervisor refuses the guest's page tables: %s", strerror(-ret));
		goto out;
	}
	r->out->store_mfn = op.store_mfn;
	r->out->console_mfn = op.console_mfn;
	r->out->pin_us = op.restore_us;
out:
	hcall_buf_free(r->hcall, pins, pin_bytes);
	return ret;
}

static int set_contexts(struct restore *r)
{
	for (unsigned int i = 0; i < r->nr_vcpus; i++) {
		struct godwit_context op = {
			.domid = r->out->ids.domid, .vcpu = i, .size = r->vcpus[i].size,
			.buffer = (uintptr_t)r->vcpus[i].bytes,
		};
		int ret = hcall_godwit_set_context(r->hcall, &op);

		if (ret == -EOPNOTSUPP)
			return fail(r, ret, "vCPU %u needs CPU features that this host lacks", i);
		if (ret)
			return fail(r, ret, "setting vCPU %u: %s", i, strerror(-ret));
	}
	return 0;
}

/* --- a stream of several ------------------------------------------------------------------ */

static void forget_vcpus(struct restore *r)
{
	for (unsigned int i = 0; i < STREAM_VCPUS_MAX; i++) {
		if (r->vcpus[i].bytes)
			hcall_buf_free(r->hcall, r->vcpus[i].bytes, r->vcpus[i].size);
		r->vcpus[i] = (struct vcpu_state) { 0 };
	}
}

/* The reader's list ends with it. */
static int keep_p2m(struct restore *r)
{
	const uint64_t *leaves = stream_reader_p2m(r->reader, &r->nr_leaves, &r->max_pfn);
	size_t bytes = (size_t)r->nr_leaves * sizeof(uint64_t);

	if (!leaves || !bytes)
		return fail(r, -EBADMSG, "no p2m list in the stream");
	if (bytes != r->leaf_bytes) {
		hcall_buf_free(r->hcall, r->leaves, r->leaf_bytes);
		r->leaf_bytes = 0;
		r->leaves = hcall_buf_alloc(r->hcall, bytes);
		if (!r->leaves)
			return fail(r, -ENOMEM, "out of memory");
		r->leaf_bytes = bytes;
	}
	memcpy(r->leaves, leaves, bytes);
	return 0;
}

static int give_back(struct restore *r, unsigned int nr)
{
	struct stream_batch *b = r->batch;
	int ret = hcall_godwit_write_frames_all(r->hcall, r->out->ids.domid, b->pfns, b->types,
						r->pages, nr);

	if (ret)
		return fail(r, ret, "giving back guest frames: %s", strerror(-ret));
	for (unsigned int i = 0; i < nr; i++)
		r->types[b->pfns[i]] = GODWIT_PAGE_ABSENT;
	return 0;
}

/* A full stream says nothing of pfns that have no frame; an older one may have. */
static int drop_unmentioned(struct restore *r)
{
	unsigned int nr = 0;
	int ret = 0;

	for (uint64_t pfn = 0; !ret && pfn < r->pfn_limit; pfn++) {
		if (r->seen[pfn] || r->types[pfn] == TYPE_NONE ||
		    r->types[pfn] == GODWIT_PAGE_ABSENT)
			continue;
		r->batch->pfns[nr] = pfn;
		r->batch->types[nr++] = GODWIT_PAGE_ABSENT;
		if (nr == STREAM_BATCH_MAX) {
			ret = give_back(r, nr);
			nr = 0;
		}
	}
	return !ret && nr ? give_back(r, nr) : ret;
}

int restore_apply(struct restore *r, struct stream_reader *reader, bool child)
{
	bool again = r->prepared && !child;
	int ret;

	r->reader = reader;
	r->described = r->last_round = r->has_final = r->has_shared_info = false;
	r->has_nr_pinned = false;
	r->out->error[0] = '\0';
	forget_vcpus(r);
	if (again) {
		r->seen = calloc(1, r->pfn_limit);
		if (!r->seen)
			return fail(r, -ENOMEM, "out of memory");
	}
	ret = read_all(r);
	if (!ret && again)
		ret = drop_unmentioned(r);
	if (!ret)
		ret = keep_p2m(r);
	free(r->seen);
	r->seen = NULL;
	r->reader = NULL;
	r->out->pages = stream_reader_totals(reader)->pages;
	r->out->bytes = stream_reader_totals(reader)->bytes;
	return ret;
}

int restore_complete(struct restore *r)
{
	uint64_t nr_pins;
	int ret = check_complete(r, &nr_pins);

	if (!ret) {
		phase(r, "finish");
		ret = finish(r, nr_pins);
	}
	if (!ret) {
		phase(r, "contexts");
		ret = set_contexts(r);
	}
	if (!ret && r->hooks->complete)
		ret = r->hooks->complete(r->ctx, r->out);
	return ret;
}

int restore_new(struct hcall *h, const struct restore_hooks *hooks, void *ctx,
		struct restore_result *out, struct restore **r)
{
	*out = (struct restore_result) { 0 };
	*r = calloc(1, sizeof(**r));
	if (!*r)
		return -ENOMEM;
	**r = (struct restore) { .hcall = h, .hooks = hooks, .ctx = ctx, .out = out };
	return 0;
}

void restore_free(struct restore *r)
{
	if (!r)
		return;
	forget_vcpus(r);
	hcall_buf_free(r->hcall, r->leaves, r->leaf_bytes);
	hcall_buf_free(r->hcall, r->batch, sizeof(*r->batch));
	hcall_buf_free(r->hcall, r->pages, STREAM_BATCH_BYTES);
	hcall_buf_free(r->hcall, r->shared_info, STREAM_PAGE_SIZE);
	free(r->types);
	free(r);
}

int restore_domain(struct hcall *h, struct stream_reader *reader,
		   const struct restore_hooks *hooks, void *ctx,
		   struct restore_result *out)
{
	struct restore *r;
	int ret = restore_new(h, hooks, ctx, out, &r);

	if (ret)
		return ret;
	ret = restore_apply(r, reader, false);
	if (!ret)
		ret = restore_complete(r);
	restore_free(r);
	return ret;
}
