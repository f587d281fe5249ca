/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a checkpoint says of itself: its first records through the stream's
 * reader, and END, which is found from the end of the object
 * (docs/spec/stream.md, "PAGE_INDEX").  Two or three small reads, however large
 * it is.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/catalog.h"
#include "checkpoint/hash.h"
#include "checkpoint/message.h"
#include "checkpoint/object.h"
#include "checkpoint/wire.h"

#define PROBE_AHEAD	((size_t)8 << 10)

__attribute__((format(printf, 3, 4)))
static void refuse(struct ckpt *c, int err, const char *fmt, ...)
{
	va_list ap;

	switch (err) {
	case -ENODATA:
	case -EPROTONOSUPPORT:
	case -EOPNOTSUPP:
	case -EBADMSG:
	case -EPROTO:		/* the object is not what the store says */
		c->state = CKPT_DAMAGED;
		break;
	default:
		c->state = CKPT_UNREADABLE;
	}
	c->err = err;
	va_start(ap, fmt);
	vsnprintf(c->why, sizeof(c->why), fmt, ap);
	va_end(ap);
}

static void take_info(struct ckpt *c, const Stream__StreamInfo *m)
{
	c->time_ns = m->time_ns;
	c->seq = m->chain_seq;
	c->in_chain = m->has_chain_id;
	if (m->has_chain_id)
		memcpy(c->chain_id, m->chain_id.data, sizeof(c->chain_id));
	c->has_replaces = m->has_replaces;
	c->replaces = m->replaces;
	c->is_child = m->chain_seq && !m->has_replaces;
	snprintf(c->host, sizeof(c->host), "%s", m->host ? m->host : "");
}

static void take_domain(struct ckpt *c, const Stream__DomainInfo *m)
{
	c->pfn_limit = m->pfn_limit;
	c->vcpus = m->vcpus;
	memcpy(c->uuid, m->uuid.data, sizeof(c->uuid));
	snprintf(c->domain, sizeof(c->domain), "%s", m->name);
}

static void take_parent(struct ckpt *c, const Stream__Parent *m)
{
	c->parent_hash = m->stream_hash;
	snprintf(c->parent_name, sizeof(c->parent_name), "%s", m->name ? m->name : "");
}

/* STREAM_INFO, DOMAIN_INFO and, in a child, PARENT. */
static int probe_front(struct object *o, struct ckpt *c)
{
	struct stream_record rec;
	struct stream_reader *r;
	unsigned int want = 2, i;
	int ret = stream_reader_new(&o->io, &r);

	if (ret) {
		refuse(c, ret, "no memory");
		return ret;
	}
	stream_reader_allow_parent(r);
	for (i = 0; !ret && i < want; i++) {
		ret = stream_read_next(r, &rec);
		if (!ret && rec.type == STREAM_INFO)
			take_info(c, rec.info);
		else if (!ret && rec.type == STREAM_DOMAIN)
			take_domain(c, rec.domain);
		else if (!ret && rec.type == STREAM_PARENT)
			take_parent(c, rec.parent);
		want = c->is_child ? 3 : 2;
	}
	if (ret)
		refuse(c, ret, "%s", stream_error(r));
	stream_reader_free(r);
	return ret;
}

/* Is there a whole END record at @p, which ends the object? */
static bool is_end(const uint8_t *p, size_t left, struct wire_record *h)
{
	if (left < sizeof(*h))
		return false;
	memcpy(h, p, sizeof(*h));
	return h->type == STREAM_END && !(h->flags & WIRE_FLAGS_MANDATORY) &&
	       h->head == (uint32_t)hash_bytes(h, offsetof(struct wire_record, head)) &&
	       h->length <= left - sizeof(*h) &&
	       sizeof(*h) + h->length + wire_pad(h->length) == left &&
	       hash_bytes(p + sizeof(*h), h->length) == h->check;
}

static int take_end(struct ckpt *c, const uint8_t *payload, size_t len)
{
	const struct message_kind *kind = message_kind_find(STREAM_END);
	struct message_limits lim = { 0 };
	struct stream_reason why;
	ProtobufCMessage *msg = NULL;
	const Stream__End *end;
	int ret = message_unpack(kind, payload, len, &msg, &why);

	if (!ret)
		ret = message_check(kind, msg, &lim, &why);
	if (ret) {
		refuse(c, ret, "END: %s", why.text);
		message_free(msg);
		return ret;
	}
	end = (const Stream__End *)msg;
	c->hash = end->stream_hash;
	c->pages = end->pages;
	c->data_pages = end->data_pages;
	c->indexed = end->has_index_offset;
	message_free(msg);
	return 0;
}

static int probe_end(struct object *o, struct ckpt *c)
{
	size_t len = o->size < WIRE_END_WINDOW ? (size_t)o->size : WIRE_END_WINDOW, back;
	uint8_t tail[WIRE_END_WINDOW];
	struct wire_record h;
	int ret = -EBADMSG;

	if (o->size % 8 == 0)
		ret = object_read_at(o, o->size - len, tail, len);
	if (!ret) {
		for (back = 8; back <= len; back += 8) {
			if (is_end(tail + len - back, back, &h))
				return take_end(c, tail + len - back + sizeof(h),
						(size_t)h.length);
		}
		ret = -EBADMSG;
	}
	if (ret == -EBADMSG)
		refuse(c, ret, "it does not end with an END record: cut off or damaged");
	else
		refuse(c, ret, "reading its end: %s", strerror(-ret));
	return ret;
}

void ckpt_probe(struct store *s, struct ckpt *c)
{
	struct object o;
	int ret = object_open(&o, s, c->obj.name, PROBE_AHEAD);

	if (ret) {
		refuse(c, ret, "%s", store_error(s)[0] ? store_error(s) : strerror(-ret));
	} else {
		c->obj.size = o.size;
		ret = probe_front(&o, c);
		if (!ret)
			ret = probe_end(&o, c);
		if (!ret)
			c->state = CKPT_SOUND;
	}
	object_close(&o);
}
