/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writing half of checkpoint/stream.h.
 *
 * Invariant: @out holds at most one record, header first, built completely
 * before one io.write() takes it; so a record is on the wire whole or the
 * writer has failed.
 */
#include <errno.h>
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

#define P2M_CHUNK	65536u
#define OUT_BYTES	(sizeof(struct wire_record) + WIRE_PAGES_MAX + 8)

_Static_assert(WIRE_PAGES_MAX >= WIRE_MSG_MAX, "one buffer serves every record");

struct stream_writer {
	struct stream_io io;
	struct stream_order order;
	struct stream_totals totals;
	struct hash_state *hash;
	struct page_packer *packer;
	uint8_t *out;
	bool header_written;
	bool keep_index;
	struct index_rows rows;
	int err;
	char error[320];
};

int stream_writer_new(const struct stream_io *io, struct stream_writer **out)
{
	struct stream_writer *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->io = *io;
	w->hash = hash_state_new();
	w->packer = page_packer_new();
	w->out = malloc(OUT_BYTES);
	if (!w->hash || !w->packer || !w->out) {
		stream_writer_free(w);
		return -ENOMEM;
	}
	*out = w;
	return 0;
}

void stream_writer_free(struct stream_writer *w)
{
	if (!w)
		return;
	index_rows_free(&w->rows);
	free(w->out);
	page_packer_free(w->packer);
	hash_state_free(w->hash);
	free(w);
}

void stream_writer_keep_index(struct stream_writer *w)
{
	w->keep_index = true;
}

uint64_t stream_writer_hash(const struct stream_writer *w)
{
	return hash_state_value(w->hash);
}

const struct stream_totals *stream_writer_totals(const struct stream_writer *w)
{
	return &w->totals;
}

const char *stream_writer_error(const struct stream_writer *w)
{
	return w->error;
}

/* Keep the first failure. */
static int fail(struct stream_writer *w, int err, uint32_t type, const char *text)
{
	if (!w->err) {
		w->err = err;
		snprintf(w->error, sizeof(w->error), "writing record %llu (%s): %s",
			 (unsigned long long)w->totals.records, stream_type_name(type), text);
	}
	return w->err;
}

static int put(struct stream_writer *w, const void *buf, size_t len, uint32_t type)
{
	int ret = w->io.write(w->io.ctx, buf, len);

	if (ret)
		return fail(w, ret, type, strerror(-ret));
	w->totals.bytes += len;
	return 0;
}

int stream_writer_flush(struct stream_writer *w)
{
	int ret;

	if (w->err)
		return w->err;
	ret = w->io.flush ? w->io.flush(w->io.ctx) : 0;
	return ret ? fail(w, ret, 0, strerror(-ret)) : 0;
}

int stream_write_header(struct stream_writer *w)
{
	struct wire_header h = {
		.magic = WIRE_MAGIC, .version = STREAM_VERSION, .order = WIRE_ORDER,
	};

	if (w->err)
		return w->err;
	if (w->header_written)
		return fail(w, -EINVAL, 0, "the stream header is written already");
	h.check = hash_bytes(&h, offsetof(struct wire_header, check));
	w->header_written = true;
	hash_state_add(w->hash, &h, sizeof(h));
	return put(w, &h, sizeof(h), 0);
}

/* Put header and padding around the @len payload bytes that lie in @record. */
static int emit_from(struct stream_writer *w, uint8_t *record, uint32_t type, size_t len,
		     struct wire_record *head)
{
	uint8_t *payload = record + sizeof(struct wire_record);
	struct wire_record h = {
		.type = type,
		.length = len,
		.check = hash_bytes(payload, len),
		.number = (uint32_t)w->totals.records,
	};
	int ret;

	h.head = (uint32_t)hash_bytes(&h, offsetof(struct wire_record, head));
	memcpy(record, &h, sizeof(h));
	memset(payload + len, 0, wire_pad(len));
	ret = put(w, record, sizeof(h) + len + wire_pad(len), type);
	if (ret)
		return ret;
	if (type != STREAM_END)		/* the stream hash covers what is before END */
		hash_state_add(w->hash, &h, sizeof(h));
	w->totals.records++;
	if (head)
		*head = h;
	return 0;
}

static int emit(struct stream_writer *w, uint32_t type, size_t len)
{
	return emit_from(w, w->out, type, len, NULL);
}

/* Things that hold for every record. */
static int check_ready(struct stream_writer *w, uint32_t type)
{
	if (w->err)
		return w->err;
	if (!w->header_written)
		return fail(w, -EINVAL, type, "the stream header is not written yet");
	return 0;
}

static int write_msg(struct stream_writer *w, const struct message_kind *kind,
		     const ProtobufCMessage *msg)
{
	struct stream_reason why;
	size_t len;
	int ret;

	if (message_check(kind, msg, &w->order.limits, &why) ||
	    order_step(&w->order, kind, msg, &why))
		return fail(w, -EINVAL, kind->type, why.text);
	len = protobuf_c_message_get_packed_size(msg);
	if (len > WIRE_MSG_MAX)
		return fail(w, -EMSGSIZE, kind->type, "the message has 1 MiB or more");
	protobuf_c_message_pack(msg, w->out + sizeof(struct wire_record));
	ret = emit(w, kind->type, len);
	if (!ret && kind->type == STREAM_ROUND_BEGIN)
		w->totals.rounds++;
	return ret;
}

int stream_write_msg(struct stream_writer *w, uint32_t type, const ProtobufCMessage *msg)
{
	const struct message_kind *kind = message_kind_find(type);
	int ret = check_ready(w, type);

	if (ret)
		return ret;
	if (!kind || !kind->desc || type == STREAM_END)
		return fail(w, -EINVAL, type, "no message is written for this type");
	if (msg->descriptor != kind->desc)
		return fail(w, -EINVAL, type, "the message is of another type");
	ret = write_msg(w, kind, msg);
	/* The other side may be asked for an answer to these. */
	if (!ret && (type == STREAM_ROUND_END || type == STREAM_FINAL))
		ret = stream_writer_flush(w);
	return ret;
}

int stream_write_p2m(struct stream_writer *w, const uint64_t *leaves, uint32_t nr,
		     uint64_t max_pfn, uint64_t generation)
{
	Stream__P2mInfo m = STREAM__P2M_INFO__INIT;
	uint32_t done = 0;
	int ret;

	m.has_max_pfn = m.has_generation = m.has_nr_leaves = m.has_first_leaf = 1;
	m.max_pfn = max_pfn;
	m.generation = generation;
	m.nr_leaves = nr;
	do {
		m.first_leaf = done;
		m.n_leaves = nr - done < P2M_CHUNK ? nr - done : P2M_CHUNK;
		m.leaves = (uint64_t *)leaves + done;	/* packing only reads */
		ret = stream_write_msg(w, STREAM_P2M, &m.base);
		done += (uint32_t)m.n_leaves;
	} while (!ret && done < nr);
	return ret;
}

int stream_write_pages(struct stream_writer *w, const uint64_t *pfns, const uint8_t *types,
		       const void *buffer, unsigned int nr)
{
	uint8_t *payload = w->out + sizeof(struct wire_record);
	struct stream_reason why;
	struct wire_index_row row;
	struct wire_record head;
	struct page_view v;
	uint64_t offset;
	size_t len;
	int ret = check_ready(w, STREAM_PAGES);

	if (ret)
		return ret;
	ret = page_pack(w->packer, pfns, types, buffer, nr, w->order.limits.pfn_limit, payload,
			&len, &why);
	if (ret)
		return fail(w, ret, STREAM_PAGES, why.text);
	if (!len)
		return 0;
	/* Judged as the reader will: costs microseconds, and a batch that the
	 * destination would refuse is noticed while the guest still runs here. */
	if (page_parse(payload, len, w->order.limits.pfn_limit, &v, &why) ||
	    order_pages(&w->order, v.count, page_has_delta(&v), &why))
		return fail(w, -EINVAL, STREAM_PAGES, why.text);
	page_count(&v, &w->totals);
	offset = w->totals.bytes;
	ret = emit_from(w, w->out, STREAM_PAGES, len, &head);
	if (ret || !w->keep_index)
		return ret;
	row = index_row_of(&head, offset, &v);
	if (index_rows_add(&w->rows, &row))
		return fail(w, -ENOMEM, STREAM_INDEX, "no memory for the index");
	return 0;
}

/* Return: 1 when an index was written. */
static int write_index(struct stream_writer *w)
{
	struct wire_index head = { .count = w->rows.nr };
	struct stream_reason why;
	int ret;

	if (!w->keep_index || !w->rows.nr || w->rows.overflow)
		return 0;
	if (order_index(&w->order, &why))
		return fail(w, -EINVAL, STREAM_INDEX, why.text);
	memcpy(w->rows.record + sizeof(struct wire_record), &head, sizeof(head));
	ret = emit_from(w, w->rows.record, STREAM_INDEX, index_rows_bytes(&w->rows), NULL);
	return ret ? ret : 1;
}

int stream_write_end(struct stream_writer *w)
{
	Stream__End m = STREAM__END__INIT;
	uint64_t offset = w->totals.bytes;
	int ret = check_ready(w, STREAM_END);

	if (!ret)
		ret = write_index(w);
	if (ret < 0)
		return ret;
	m.has_index_offset = ret;
	m.index_offset = offset;
	m.has_records = m.has_pages = m.has_data_pages = m.has_bytes = m.has_stream_hash = 1;
	m.records = w->totals.records;
	m.pages = w->totals.pages;
	m.data_pages = w->totals.data_pages;
	m.bytes = w->totals.bytes;
	m.stream_hash = hash_state_value(w->hash);
	ret = write_msg(w, message_kind_find(STREAM_END), &m.base);
	return ret ? ret : stream_writer_flush(w);
}
