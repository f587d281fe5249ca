/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The octets of docs/spec/stream.md as structures, shared by the writer and
 * the reader of the library (checkpoint/verify.c deliberately has its own).
 *
 * Invariant: these are the wire, not internal state: no field may move, and
 * nothing here may include a value that another header is free to change.
 */
#ifndef CHECKPOINT_WIRE_H
#define CHECKPOINT_WIRE_H

#include <stdint.h>

#define WIRE_MAGIC		"\x89GODWIT\n"
#define WIRE_ORDER		0x01020304u
#define WIRE_ORDER_SWAPPED	0x04030201u
#define WIRE_FLAGS_MANDATORY	0x0000ffffu	/* unknown bit here: refuse */

struct wire_header {
	uint8_t magic[8];
	uint32_t version;
	uint32_t order;
	uint32_t flags;
	uint32_t zero;
	uint64_t check;
};

struct wire_record {
	uint32_t type;
	uint32_t flags;
	uint64_t length;
	uint64_t check;
	uint32_t number;
	uint32_t head;
};

struct wire_pages {
	uint32_t count;
	uint32_t nr_data;
	uint32_t block_pages;
	uint32_t nr_blocks;
};

struct wire_index {
	uint32_t count;
	uint32_t zero;
};

struct wire_index_row {
	uint64_t offset;	/* of the record header */
	uint64_t check;		/* of the payload */
	uint64_t first_pfn;
	uint64_t last_pfn;
	uint32_t length;
	uint32_t count;
};

#define WIRE_PFN_MASK		((1ull << 52) - 1)
#define WIRE_ENTRY_ZERO_BITS	(0xfull << 52)
#define WIRE_TYPE_SHIFT		56
#define WIRE_BLOCK_RAW		0x80000000u

#define WIRE_BATCH_MAX		1024u
#define WIRE_BLOCK_PAGES_MAX	64u
#define WIRE_RECORD_MAX		(16u << 20)
#define WIRE_MSG_MAX		((1u << 20) - 1)
#define WIRE_PAGES_MAX		(16u + 8u * WIRE_BATCH_MAX + 4u * WIRE_BATCH_MAX + \
				 4096u * WIRE_BATCH_MAX)
#define WIRE_INDEX_ROWS_MAX	400000u
#define WIRE_INDEX_MAX		(8u + 40u * WIRE_INDEX_ROWS_MAX)
#define WIRE_CHAIN_SEQ_MAX	1000000000u
#define WIRE_END_WINDOW		4096u	/* END lies in so many bytes before the end */

/* The spec's drawings; checks are computed over the bytes before them. */
_Static_assert(sizeof(struct wire_header) == 32, "stream header is 32 bytes");
_Static_assert(__builtin_offsetof(struct wire_header, check) == 24, "check covers 0..23");
_Static_assert(sizeof(struct wire_record) == 32, "record header is 32 bytes");
_Static_assert(__builtin_offsetof(struct wire_record, head) == 28, "head covers 0..27");
_Static_assert(sizeof(struct wire_pages) == 16, "batch header is 16 bytes");
_Static_assert(sizeof(struct wire_index) == 8, "index header is 8 bytes");
_Static_assert(sizeof(struct wire_index_row) == 40, "an index row is 40 bytes");
_Static_assert(WIRE_INDEX_MAX <= WIRE_RECORD_MAX, "an old reader can skip it");
/* Structures are written as they lie in memory. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "hosts are little-endian");

/** wire_pad() - zero bytes after a payload of @length bytes: 0..7. */
static inline uint32_t wire_pad(uint64_t length)
{
	return (uint32_t)(-length & 7);
}

#endif
