/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page bytes of a chain: whole records, checked, in a bounded cache; single
 * blocks, unpacked, in another.
 *
 * A record is read and hashed whole even for one page: its checksum covers all
 * of it, and the neighbours are mostly wanted next.  A writer that expects
 * random reading makes its batches smaller.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/chain_priv.h"
#include "checkpoint/hash.h"
#include "checkpoint/object.h"
#include "checkpoint/wire.h"

static int record_fail(struct chain *c, uint32_t rec, int err, const char *text)
{
	const struct chain_record *r = &c->map.rec[rec];

	return chain_fail(c, err, "%s: record %u at offset %llu (PAGES): %s",
			  c->level[r->level].obj.name, r->number,
			  (unsigned long long)r->offset, text);
}

/* The slot that has @rec, or the one that was used longest ago. */
static struct chain_payload *payload_slot(struct chain *c, uint32_t rec)
{
	struct chain_payload *oldest = &c->payload[0];
	unsigned int i;

	for (i = 0; i < CHAIN_PAYLOADS; i++) {
		if (c->payload[i].rec == rec + 1)
			return &c->payload[i];
		if (c->payload[i].used < oldest->used)
			oldest = &c->payload[i];
	}
	return oldest;
}

static void payload_drop(struct chain *c, struct chain_payload *p)
{
	free(p->data);
	c->payload_bytes -= p->cap;
	*p = (struct chain_payload) { 0 };
}

/* What was used longest ago goes first. */
static void make_room(struct chain *c, size_t len)
{
	while (c->payload_bytes && c->payload_bytes + len > CHAIN_PAYLOAD_BYTES) {
		struct chain_payload *oldest = NULL;

		for (unsigned int i = 0; i < CHAIN_PAYLOADS; i++)
			if (c->payload[i].data && (!oldest || c->payload[i].used < oldest->used))
				oldest = &c->payload[i];
		payload_drop(c, oldest);
	}
}

static int read_record(struct chain *c, uint32_t rec, struct chain_payload *p)
{
	const struct chain_record *r = &c->map.rec[rec];
	size_t len = sizeof(struct wire_record) + r->length;
	struct object o = { .store = c->store, .size = c->level[r->level].obj.size };
	struct wire_record h;
	struct stream_reason why;
	int ret;

	if (p->cap < len) {
		payload_drop(c, p);
		make_room(c, len);
		p->data = malloc(len);
		if (!p->data)
			return record_fail(c, rec, -ENOMEM, "no memory for it");
		p->cap = len;
		c->payload_bytes += len;
	}
	memcpy(o.name, c->level[r->level].obj.name, sizeof(o.name));
	ret = object_read_at(&o, r->offset, p->data, len);
	if (ret)
		return record_fail(c, rec, ret, store_error(c->store)[0] ?
				   store_error(c->store) : strerror(-ret));
	memcpy(&h, p->data, sizeof(h));
	if (h.type != STREAM_PAGES || h.length != r->length || h.check != r->check ||
	    h.number != r->number ||
	    h.head != (uint32_t)hash_bytes(&h, offsetof(struct wire_record, head)))
		return record_fail(c, rec, -EBADMSG, "its header has changed");
	if (hash_bytes(p->data + sizeof(h), r->length) != r->check)
		return record_fail(c, rec, -EBADMSG, "checksum of the payload does not match");
	if (page_parse(p->data + sizeof(h), r->length, c->map.pfn_limit, &p->view, &why))
		return record_fail(c, rec, -EBADMSG, why.text);
	if (p->view.count != r->count)
		return record_fail(c, rec, -EBADMSG, "its entries have changed");
	return 0;
}

int chain_load_record(struct chain *c, uint32_t rec, const struct page_view **v)
{
	struct chain_payload *p = payload_slot(c, rec);
	int ret;

	if (p->rec != rec + 1) {
		p->rec = 0;
		ret = read_record(c, rec, p);
		if (ret)
			return ret;
		p->rec = rec + 1;
	}
	p->used = ++c->clock;
	*v = &p->view;
	return 0;
}

/* --- unpacked blocks ----------------------------------------------------------- */

static struct chain_block *block_slot(struct chain *c, uint32_t rec, uint32_t block)
{
	struct chain_block *oldest = &c->block[0];
	unsigned int i;

	for (i = 0; i < CHAIN_BLOCKS; i++) {
		if (c->block[i].rec == rec + 1 && c->block[i].block == block)
			return &c->block[i];
		if (c->block[i].used < oldest->used)
			oldest = &c->block[i];
	}
	return oldest;
}

/* Which of the pages with bytes an entry is. */
static uint32_t data_index(const struct page_view *v, uint32_t entry)
{
	uint32_t i, n = 0;

	for (i = 0; i < entry; i++)
		n += page_type_has_bytes((unsigned int)(v->entries[i] >> WIRE_TYPE_SHIFT));
	return n;
}

static int read_page(struct chain *c, uint64_t pfn, chain_loc loc, uint8_t *dst)
{
	uint32_t rec = LOC_RECORD(loc), entry = LOC_ENTRY(loc), slot, block;
	const struct page_view *v;
	struct chain_block *b;
	struct stream_reason why;
	int ret = chain_load_record(c, rec, &v);

	if (ret)
		return ret;
	/* The map was made of entries whose payload had not been read yet. */
	if (v->entries[entry] != (pfn | (uint64_t)LOC_TYPE(loc) << WIRE_TYPE_SHIFT))
		return record_fail(c, rec, -EBADMSG, "its entries have changed");
	block = data_index(v, entry) / v->block_pages;
	slot = data_index(v, entry) % v->block_pages;
	b = block_slot(c, rec, block);
	if (b->rec != rec + 1 || b->block != block) {
		b->rec = 0;
		if (!b->data)
			b->data = malloc(PAGE_SCRATCH_BYTES);
		if (!b->data)
			return record_fail(c, rec, -ENOMEM, "no memory to unpack it");
		if (page_unpack_one(v, entry, b->data, &slot, &why))
			return record_fail(c, rec, -EBADMSG, why.text);
		b->rec = rec + 1;
		b->block = block;
	}
	b->used = ++c->clock;
	memcpy(dst, b->data + (size_t)slot * STREAM_PAGE_SIZE, STREAM_PAGE_SIZE);
	return 0;
}

void chain_cache_free(struct chain *c)
{
	unsigned int i;

	for (i = 0; i < CHAIN_PAYLOADS; i++)
		free(c->payload[i].data);
	for (i = 0; i < CHAIN_BLOCKS; i++)
		free(c->block[i].data);
}

/* --- any pages ------------------------------------------------------------------ */

struct wanted {
	chain_loc loc;
	uint32_t slot;
};

/* By record, then by entry: each record is loaded once for all its pages. */
static int by_place(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;
	uint64_t i = LOC_RECORD(x->loc), k = LOC_RECORD(y->loc);

	i = i << 16 | LOC_ENTRY(x->loc);
	k = k << 16 | LOC_ENTRY(y->loc);
	return i < k ? -1 : i > k;
}

int chain_read_pages(struct chain *c, const uint64_t *pfns, uint8_t *types, void *buffer,
		     unsigned int nr)
{
	struct wanted want[STREAM_BATCH_MAX];
	unsigned int i, n = 0;
	uint8_t *page;
	int ret = 0;

	if (!nr || nr > STREAM_BATCH_MAX)
		return chain_fail(c, -EINVAL, "%u pages at once, must be 1..%u", nr,
				  STREAM_BATCH_MAX);
	for (i = 0; i < nr; i++) {
		chain_loc loc = chain_map_get(&c->map, pfns[i]);

		if (pfns[i] >= c->map.pfn_limit)
			return chain_fail(c, -EINVAL, "pfn 0x%llx is beyond the limit",
					  (unsigned long long)pfns[i]);
		types[i] = loc ? LOC_TYPE(loc) : GODWIT_PAGE_ABSENT;
		page = (uint8_t *)buffer + (size_t)i * STREAM_PAGE_SIZE;
		if (loc && page_type_has_bytes(types[i]))
			want[n++] = (struct wanted){ loc, i };
		else
			memset(page, 0, STREAM_PAGE_SIZE);
	}
	if (n)
		qsort(want, n, sizeof(want[0]), by_place);
	for (i = 0; i < n && !ret; i++)
		ret = read_page(c, pfns[want[i].slot], want[i].loc,
				(uint8_t *)buffer + (size_t)want[i].slot * STREAM_PAGE_SIZE);
	return ret;
}
