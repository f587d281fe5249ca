/* SPDX-License-Identifier: Apache-2.0 */
/* See checkpoint/index.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/index.h"

#define bad(...) reason_set(why, -EBADMSG, __VA_ARGS__)
#define FRONT	(sizeof(struct wire_record) + sizeof(struct wire_index))

struct wire_index_row index_row_of(const struct wire_record *head, uint64_t offset,
				   const struct page_view *v)
{
	return (struct wire_index_row){
		.offset = offset,
		.check = head->check,
		.first_pfn = v->entries[0] & WIRE_PFN_MASK,
		.last_pfn = v->entries[v->count - 1] & WIRE_PFN_MASK,
		.length = (uint32_t)head->length,
		.count = v->count,
	};
}

int index_rows_add(struct index_rows *x, const struct wire_index_row *row)
{
	if (x->overflow)
		return 0;
	if (x->nr == WIRE_INDEX_ROWS_MAX) {
		x->overflow = true;
		return 0;
	}
	if (x->nr == x->cap) {
		uint32_t cap = x->cap ? x->cap * 2 : 64;
		uint8_t *record;

		record = realloc(x->record, FRONT + (size_t)cap * sizeof(*row) + 8);
		if (!record)
			return -ENOMEM;
		x->record = record;
		x->cap = cap;
	}
	memcpy(x->record + FRONT + (size_t)x->nr * sizeof(*row), row, sizeof(*row));
	x->nr++;
	return 0;
}

size_t index_rows_bytes(const struct index_rows *x)
{
	return sizeof(struct wire_index) + (size_t)x->nr * sizeof(struct wire_index_row);
}

void index_rows_free(struct index_rows *x)
{
	free(x->record);
	*x = (struct index_rows){ 0 };
}

int index_check_add(struct index_check *c, const struct wire_index_row *row)
{
	if (!c->hash)
		c->hash = hash_state_new();
	if (!c->hash)
		return -ENOMEM;
	hash_state_add(c->hash, row, sizeof(*row));
	c->nr++;
	return 0;
}

int index_check_payload(const struct index_check *c, const uint8_t *payload, uint64_t len,
			struct stream_reason *why)
{
	struct wire_index head;
	uint64_t rows;

	if (len < sizeof(head))
		return bad("%llu bytes are too short for an index", (unsigned long long)len);
	memcpy(&head, payload, sizeof(head));
	rows = (uint64_t)head.count * sizeof(struct wire_index_row);
	if (head.zero)
		return bad("reserved field is not zero");
	if (head.count > WIRE_INDEX_ROWS_MAX || sizeof(head) + rows != len)
		return bad("%u rows in %llu bytes", head.count, (unsigned long long)len);
	if (head.count != c->nr)
		return bad("%u rows, the stream has %llu PAGES records", head.count,
			   (unsigned long long)c->nr);
	if (head.count && hash_bytes(payload + sizeof(head), rows) != hash_state_value(c->hash))
		return bad("a row does not agree with its PAGES record");
	return 0;
}

void index_check_free(struct index_check *c)
{
	hash_state_free(c->hash);
	*c = (struct index_check){ 0 };
}
