/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PAGE_INDEX record (docs/spec/stream.md, "PAGE_INDEX"), as the writer
 * makes it and as the reader compares it.
 *
 * Invariant: a reader needs no memory for the comparison: it hashes the rows
 * that the index must have while the PAGES records pass, and the payload of
 * PAGE_INDEX is right when it has that count and that hash.
 */
#ifndef CHECKPOINT_INDEX_H
#define CHECKPOINT_INDEX_H

#include "checkpoint/hash.h"
#include "checkpoint/page.h"
#include "checkpoint/reason.h"
#include "checkpoint/wire.h"

/**
 * index_row_of() - the row of one PAGES record.
 * @head:   its header
 * @offset: where the header lies in the stream
 * @v:      its entries
 */
struct wire_index_row index_row_of(const struct wire_record *head, uint64_t offset,
				   const struct page_view *v);

/* What the writer keeps: the payload of the record, growing. */
struct index_rows {
	uint8_t *record;	/* room for a record header, then the payload */
	uint32_t nr;
	uint32_t cap;
	bool overflow;		/* more rows than the format has: no index */
};

/**
 * index_rows_add() - one more row; beyond WIRE_INDEX_ROWS_MAX the index is given up.
 * Return: 0; -ENOMEM.
 */
int index_rows_add(struct index_rows *x, const struct wire_index_row *row);

/** index_rows_bytes() - length of the payload that begins behind the header in @record. */
size_t index_rows_bytes(const struct index_rows *x);

/** index_rows_free() - free the rows. */
void index_rows_free(struct index_rows *x);

/* What the reader keeps. */
struct index_check {
	struct hash_state *hash;
	uint64_t nr;
};

/**
 * index_check_add() - a PAGES record has passed.
 * Return: 0; -ENOMEM.
 */
int index_check_add(struct index_check *c, const struct wire_index_row *row);

/**
 * index_check_payload() - is this the index of what has passed?
 * @payload: of the PAGE_INDEX record, 8-byte aligned
 * @len:     bytes
 *
 * Return: 0; -EBADMSG with @why.
 */
int index_check_payload(const struct index_check *c, const uint8_t *payload, uint64_t len,
			struct stream_reason *why);

/** index_check_free() - free the running hash. */
void index_check_free(struct index_check *c);

#endif
