/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reading half of checkpoint/stream.h.
 *
 * Invariant: nothing of a record is believed before its header check, nothing
 * of a payload before its length bound and checksum, nothing of a message
 * before message_check() and order_step().  Memory is bounded by one record
 * (4.1 MiB), one decoded message (8 MiB) and two p2m lists (4 MiB each at most).
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/hash.h"
#include "checkpoint/index.h"
#include "checkpoint/message.h"
#include "checkpoint/order.h"
#include "checkpoint/page.h"
#include "checkpoint/stream.h"
#include "checkpoint/wire.h"

struct p2m_list {
	uint64_t *leaves;
	uint32_t nr;
	uint64_t max_pfn;
};

struct stream_reader {
	struct stream_io io;
	struct stream_order order;
	struct stream_totals totals;
	struct hash_state *hash;
	bool header_read;
	struct wire_record head;	/* of the record at hand */
	uint64_t index;			/* its number */
	uint64_t offset;		/* where it begins */
	bool in_record;
	uint8_t *payload;
	size_t payload_cap;
	ProtobufCMessage *msg;
	struct page_view pages;
	uint64_t *is_data;		/* bitmap by pfn, from the first PAGES on: page_note_data() */
	bool have_pages;		/* the record at hand is PAGES */
	bool allow_parent;
	int (*skip)(void *ctx, uint64_t len);	/* skimming: see stream.h */
	struct index_check index_rows;
	uint64_t index_offset;		/* of PAGE_INDEX, 0 before it */
	uint8_t *scratch;
	struct p2m_list p2m;		/* complete */
	struct p2m_list p2m_incoming;
	int err;
	char error[384];
};

int stream_reader_new(const struct stream_io *io, struct stream_reader **out)
{
	struct stream_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->io = *io;
	r->hash = hash_state_new();
	if (!r->hash) {
		stream_reader_free(r);
		return -ENOMEM;
	}
	*out = r;
	return 0;
}

void stream_reader_free(struct stream_reader *r)
{
	if (!r)
		return;
	message_free(r->msg);
	free(r->p2m.leaves);
	free(r->p2m_incoming.leaves);
	free(r->scratch);
	free(r->payload);
	free(r->is_data);
	index_check_free(&r->index_rows);
	hash_state_free(r->hash);
	free(r);
}

void stream_reader_allow_parent(struct stream_reader *r)
{
	r->allow_parent = true;
}

void stream_reader_skim(struct stream_reader *r, int (*skip)(void *ctx, uint64_t len))
{
	r->skip = skip;
}

const uint64_t *stream_reader_entries(const struct stream_reader *r, uint32_t *count)
{
	*count = r->have_pages ? r->pages.count : 0;
	return r->have_pages ? r->pages.entries : NULL;
}

uint64_t stream_reader_hash(const struct stream_reader *r)
{
	return hash_state_value(r->hash);
}

const struct stream_totals *stream_reader_totals(const struct stream_reader *r)
{
	return &r->totals;
}

const char *stream_error(const struct stream_reader *r)
{
	return r->error;
}

/* Keep the first failure, with its position in front. */
__attribute__((format(printf, 3, 4)))
static int fail(struct stream_reader *r, int err, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (r->err)
		return r->err;
	r->err = err;
	if (!r->header_read)
		n = snprintf(r->error, sizeof(r->error), "stream header: ");
	else if (!r->in_record)
		n = snprintf(r->error, sizeof(r->error), "record %llu at offset %llu: ",
			     (unsigned long long)r->index, (unsigned long long)r->offset);
	else
		n = snprintf(r->error, sizeof(r->error), "record %llu at offset %llu (%s): ",
			     (unsigned long long)r->index, (unsigned long long)r->offset,
			     stream_type_name(r->head.type));
	va_start(ap, fmt);
	vsnprintf(r->error + n, sizeof(r->error) - (size_t)n, fmt, ap);
	va_end(ap);
	return err;
}

/* Exactly @len bytes, or a failure that says what was being read. */
static int take(struct stream_reader *r, void *buf, size_t len, const char *what)
{
	ssize_t n = r->io.read(r->io.ctx, buf, len);

	if (n < 0)
		return fail(r, (int)n, "reading the %s: %s", what, strerror((int)-n));
	r->totals.bytes += (uint64_t)n;
	if ((size_t)n != len)
		return fail(r, -ENODATA, "the stream ends in the %s, %llu bytes are missing",
			    what, (unsigned long long)(len - (size_t)n));
	return 0;
}

static int read_header(struct stream_reader *r)
{
	struct wire_header h;
	int ret = take(r, &h, sizeof(h), "stream header");

	if (ret)
		return ret;
	if (memcmp(h.magic, WIRE_MAGIC, sizeof(h.magic)) != 0)
		return fail(r, -EPROTONOSUPPORT, "not a Godwit stream (wrong magic)");
	if (h.order != WIRE_ORDER)
		return fail(r, -EPROTONOSUPPORT, h.order == WIRE_ORDER_SWAPPED ?
			    "written in the other byte order" : "byte order mark 0x%x", h.order);
	if (h.version != STREAM_VERSION)
		return fail(r, -EPROTONOSUPPORT, "version %u, this reader knows %u", h.version,
			    STREAM_VERSION);
	if (h.check != hash_bytes(&h, offsetof(struct wire_header, check)))
		return fail(r, -EBADMSG, "its check does not match");
	if (h.flags & WIRE_FLAGS_MANDATORY)
		return fail(r, -EOPNOTSUPP, "unknown mandatory flags 0x%x", h.flags);
	if (h.zero)
		return fail(r, -EBADMSG, "reserved field is not zero");
	hash_state_add(r->hash, &h, sizeof(h));
	r->header_read = true;
	return 0;
}

static uint64_t length_bound(const struct message_kind *kind)
{
	if (!kind)
		return WIRE_RECORD_MAX;
	if (kind->type == STREAM_INDEX)
		return WIRE_INDEX_MAX;
	return kind->desc ? WIRE_MSG_MAX : WIRE_PAGES_MAX;
}

static int read_record_header(struct stream_reader *r, const struct message_kind **kind)
{
	struct wire_record *h = &r->head;
	int ret;

	r->index = r->totals.records;
	r->offset = r->totals.bytes;
	r->in_record = false;
	ret = take(r, h, sizeof(*h), "record header");
	if (ret)
		return ret;
	if (h->head != (uint32_t)hash_bytes(h, offsetof(struct wire_record, head)))
		return fail(r, -EBADMSG, "check of the record header does not match");
	r->in_record = true;
	if (h->number != (uint32_t)r->index)
		return fail(r, -EBADMSG, "numbered %u", h->number);
	*kind = message_kind_find(h->type);
	if (!*kind && !(h->type & STREAM_OPTIONAL))
		return fail(r, -EOPNOTSUPP, "unknown mandatory record type 0x%x", h->type);
	if (h->flags & WIRE_FLAGS_MANDATORY)
		return fail(r, -EOPNOTSUPP, "unknown mandatory flags 0x%x", h->flags);
	if (h->length > length_bound(*kind))
		return fail(r, -EBADMSG, "length %llu, at most %llu",
			    (unsigned long long)h->length,
			    (unsigned long long)length_bound(*kind));
	return 0;
}

static int grow_payload(struct stream_reader *r, size_t len)
{
	if (r->payload && len <= r->payload_cap)
		return 0;
	free(r->payload);
	r->payload_cap = len + 8;		/* never a buffer of nothing */
	r->payload = malloc(r->payload_cap);
	return r->payload ? 0 : fail(r, -ENOMEM, "no memory for %zu bytes", len);
}

/* The front of a PAGES payload; the rest is passed over. */
static int skim_payload(struct stream_reader *r)
{
	size_t len = r->head.length, front, head = sizeof(struct wire_pages);
	int ret;

	if (len < head)
		return fail(r, -EBADMSG, "%zu bytes are too short for a batch", len);
	ret = grow_payload(r, head + 8 * (size_t)WIRE_BATCH_MAX);
	if (!ret)
		ret = take(r, r->payload, head, "payload");
	if (ret)
		return ret;
	front = page_front_bytes(r->payload);
	if (!front || front > len)
		return fail(r, -EBADMSG, "%zu bytes are too short for its entries, or there "
			    "are none or too many", len);
	ret = take(r, r->payload + head, front - head, "payload");
	if (ret)
		return ret;
	ret = r->skip(r->io.ctx, len + wire_pad(len) - front);
	if (ret)
		return fail(r, ret, "passing over the payload: %s", strerror(-ret));
	r->totals.bytes += len + wire_pad(len) - front;
	return 0;
}

static int read_payload(struct stream_reader *r)
{
	size_t len = r->head.length, pad = wire_pad(len);
	static const uint8_t zeros[8];
	int ret = grow_payload(r, len + pad);

	if (ret)
		return ret;
	ret = take(r, r->payload, len + pad, "payload");
	if (ret)
		return ret;
	if (hash_bytes(r->payload, len) != r->head.check)
		return fail(r, -EBADMSG, "checksum of the payload does not match");
	if (pad && memcmp(r->payload + len, zeros, pad) != 0)
		return fail(r, -EBADMSG, "padding is not zero");
	return 0;
}

/* One chunk of the p2m list; order_step() has checked that it fits. */
static int add_p2m(struct stream_reader *r, const Stream__P2mInfo *m)
{
	struct p2m_list *in = &r->p2m_incoming;

	if (!m->first_leaf) {
		free(in->leaves);
		in->leaves = calloc(m->nr_leaves, sizeof(uint64_t));
		if (!in->leaves)
			return fail(r, -ENOMEM, "no memory for %u leaves", m->nr_leaves);
		in->nr = m->nr_leaves;
		in->max_pfn = m->max_pfn;
	}
	memcpy(in->leaves + m->first_leaf, m->leaves, m->n_leaves * sizeof(uint64_t));
	if (r->order.p2m_complete) {
		free(r->p2m.leaves);
		r->p2m = *in;
		*in = (struct p2m_list){ 0 };
	}
	return 0;
}

static int check_total(struct stream_reader *r, const char *what, uint64_t said, uint64_t is)
{
	if (said == is)
		return 0;
	return fail(r, -EBADMSG, "%s: END says %llu, counted %llu", what,
		    (unsigned long long)said, (unsigned long long)is);
}

static int check_end(struct stream_reader *r, const Stream__End *m)
{
	int ret = check_total(r, "records", m->records, r->totals.records);

	if (!ret)
		ret = check_total(r, "pages", m->pages, r->totals.pages);
	if (!ret)
		ret = check_total(r, "data_pages", m->data_pages, r->totals.data_pages);
	if (!ret)
		ret = check_total(r, "bytes", m->bytes, r->offset);
	if (!ret && m->stream_hash != hash_state_value(r->hash))
		ret = fail(r, -EBADMSG, "stream hash does not match");
	if (!ret && m->has_index_offset != (r->index_offset != 0))
		ret = fail(r, -EBADMSG, "index_offset without a PAGE_INDEX, or the other way");
	if (!ret && m->has_index_offset)
		ret = check_total(r, "index_offset", m->index_offset, r->index_offset);
	return ret;
}

static int decode_message(struct stream_reader *r, const struct message_kind *kind)
{
	struct stream_reason why;
	int ret;

	ret = message_unpack(kind, r->payload, r->head.length, &r->msg, &why);
	if (!ret)
		ret = message_check(kind, r->msg, &r->order.limits, &why);
	if (!ret)
		ret = order_step(&r->order, kind, r->msg, &why);
	if (ret)
		return fail(r, ret, "%s", why.text);
	if (kind->type == STREAM_INFO && r->order.is_child && !r->allow_parent)
		return fail(r, -EOPNOTSUPP, "the stream depends on a parent: it is a "
			    "checkpoint of a chain, to be read from its store");
	if (kind->type == STREAM_P2M)
		return add_p2m(r, (const Stream__P2mInfo *)r->msg);
	if (kind->type == STREAM_END)
		return check_end(r, (const Stream__End *)r->msg);
	if (kind->type == STREAM_ROUND_BEGIN)
		r->totals.rounds++;
	return 0;
}

static int decode_pages(struct stream_reader *r)
{
	struct stream_reason why;
	struct wire_index_row row;
	int ret;

	ret = (r->skip ? page_parse_front : page_parse)(r->payload, r->head.length,
							 r->order.limits.pfn_limit, &r->pages,
							 &why);
	if (!ret)
		ret = order_pages(&r->order, r->pages.count, page_has_delta(&r->pages), &why);
	if (!ret && !r->is_data) {
		r->is_data = calloc(r->order.limits.pfn_limit / 64 + 1, sizeof(*r->is_data));
		if (!r->is_data)
			ret = reason_set(&why, -ENOMEM, "out of memory");
	}
	if (!ret)
		ret = page_note_data(&r->pages, r->is_data, &why);
	if (ret)
		return fail(r, ret, "%s", why.text);
	row = index_row_of(&r->head, r->offset, &r->pages);
	if (index_check_add(&r->index_rows, &row))
		return fail(r, -ENOMEM, "out of memory");
	page_count(&r->pages, &r->totals);
	r->have_pages = true;
	return 0;
}

static int decode_index(struct stream_reader *r)
{
	struct stream_reason why;
	int ret = order_index(&r->order, &why);

	if (!ret)
		ret = index_check_payload(&r->index_rows, r->payload, r->head.length, &why);
	if (ret)
		return fail(r, ret, "%s", why.text);
	r->index_offset = r->offset;
	return 0;
}

/* Return: 1 when the record is not the caller's matter. */
static int decode(struct stream_reader *r, const struct message_kind *kind)
{
	int ret;

	if (!kind)
		return 1;
	if (kind->type == STREAM_PAGES)
		return decode_pages(r);
	if (kind->type != STREAM_INDEX)
		return decode_message(r, kind);
	ret = decode_index(r);
	return ret ? ret : 1;
}

static void fill_record(const struct stream_reader *r, struct stream_record *rec)
{
	*rec = (struct stream_record){
		.type = r->head.type,
		.index = r->index,
		.offset = r->offset,
		.length = r->head.length,
		.check = r->head.check,
		.payload = r->payload,
		.msg = r->msg,
	};
}

/* Return: 1 when it was an index or unknown and optional, and is done with. */
static int read_one(struct stream_reader *r, struct stream_record *rec)
{
	const struct message_kind *kind = NULL;
	int ret = read_record_header(r, &kind);

	if (!ret)
		ret = r->skip && kind && kind->type == STREAM_PAGES ? skim_payload(r) :
								    read_payload(r);
	if (!ret)
		ret = decode(r, kind);
	if (ret < 0)
		return ret;
	fill_record(r, rec);
	/* END's hash is the stream's: it covers the records before it. */
	if (rec->type != STREAM_END)
		hash_state_add(r->hash, &r->head, sizeof(r->head));
	r->totals.records++;
	return ret;
}

int stream_read_next(struct stream_reader *r, struct stream_record *rec)
{
	int ret;

	memset(rec, 0, sizeof(*rec));
	if (r->err)
		return r->err;
	if (r->order.phase == ORDER_ENDED)
		return -EINVAL;
	message_free(r->msg);
	r->msg = NULL;
	r->have_pages = false;
	ret = r->header_read ? 0 : read_header(r);
	if (ret)
		return ret;
	do {
		ret = read_one(r, rec);
	} while (ret == 1);
	return ret;
}

int stream_read_pages(struct stream_reader *r, struct stream_batch *batch, void *buffer)
{
	struct stream_reason why;

	if (r->err)
		return r->err;
	if (!r->have_pages || r->skip)
		return -EINVAL;
	if (!r->scratch)
		r->scratch = malloc(PAGE_SCRATCH_BYTES);
	if (!r->scratch)
		return fail(r, -ENOMEM, "no memory to unpack a block");
	if (page_unpack(&r->pages, batch, buffer, r->scratch, &why))
		return fail(r, -EBADMSG, "%s", why.text);
	return 0;
}

const uint64_t *stream_reader_p2m(const struct stream_reader *r, uint32_t *nr,
				  uint64_t *max_pfn)
{
	*nr = r->p2m.nr;
	*max_pfn = r->p2m.max_pfn;
	return r->p2m.leaves;
}

int stream_read_eof(struct stream_reader *r)
{
	uint8_t byte;
	ssize_t n;

	if (r->err)
		return r->err;
	if (r->order.phase != ORDER_ENDED)
		return -EINVAL;
	n = r->io.read(r->io.ctx, &byte, 1);
	r->in_record = false;
	r->index = r->totals.records;
	r->offset = r->totals.bytes;
	if (n < 0)
		return fail(r, (int)n, "looking for the end: %s", strerror((int)-n));
	return n ? fail(r, -EBADMSG, "bytes follow the END record") : 0;
}
