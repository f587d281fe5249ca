/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page batches: the payload of a PAGES record (docs/spec/stream.md, "PAGES"),
 * as pure functions on buffers.
 *
 * Invariant: a page_view only exists for a payload in which every count, pfn,
 * type and block size has been checked against the payload's length; what is
 * left to fail is the LZ4 data itself.
 */
#ifndef CHECKPOINT_PAGE_H
#define CHECKPOINT_PAGE_H

#include "checkpoint/reason.h"
#include "checkpoint/stream.h"

struct page_view {
	uint32_t count;
	uint32_t nr_data;
	uint32_t block_pages;
	uint32_t nr_blocks;
	const uint64_t *entries;
	const uint32_t *sizes;
	const uint8_t *blocks;
};

/* Scratch of the writing side; one per writer. */
struct page_packer;

/** page_packer_new() - LZ4 state and gather buffer, NULL without memory. */
struct page_packer *page_packer_new(void);

/** page_packer_free() - free it; NULL is fine. */
void page_packer_free(struct page_packer *p);

/**
 * page_pack() - build a payload.
 * @p:         scratch
 * @pfns, @types, @buffer, @nr: see stream_write_pages()
 * @pfn_limit: exclusive bound of the pfns
 * @out:       WIRE_PAGES_MAX bytes, 8-byte aligned
 * @len:       bytes used; 0 when every entry was RETRY
 * @why:       reason when it fails
 *
 * Return: 0 or -EINVAL.
 */
int page_pack(struct page_packer *p, const uint64_t *pfns, const uint8_t *types,
	      const uint8_t *buffer, unsigned int nr, uint64_t pfn_limit, uint8_t *out,
	      size_t *len, struct stream_reason *why);

/**
 * page_parse() - check a payload and find its parts.
 * @payload:   8-byte aligned
 * @len:       bytes, at most WIRE_PAGES_MAX
 * @pfn_limit: exclusive bound of the pfns
 * @v:         the parts; they point into @payload
 * @why:       reason when it fails
 *
 * Return: 0 or -EBADMSG.
 */
int page_parse(const uint8_t *payload, uint64_t len, uint64_t pfn_limit, struct page_view *v,
	       struct stream_reason *why);

/**
 * page_parse_front() - check the entries alone, of a payload whose rest is not there.
 * @payload: as page_parse(), but only the first page_front_bytes() of it
 * @len:     bytes of the whole payload
 * @v:       sizes and blocks stay NULL
 *
 * Return: 0 or -EBADMSG.
 */
int page_parse_front(const uint8_t *payload, uint64_t len, uint64_t pfn_limit,
		     struct page_view *v, struct stream_reason *why);

/**
 * page_front_bytes() - bytes before the sizes of the blocks.
 * @payload: at least 16 bytes
 *
 * Return: the bytes; 0 for a count that is out of bounds.
 */
size_t page_front_bytes(const uint8_t *payload);

/**
 * page_unpack_one() - the bytes of a single entry.
 * @v:       from page_parse()
 * @entry:   below v->count, of a type with bytes
 * @block:   PAGE_SCRATCH_BYTES, gets the whole block
 * @slot:    which of the block's pages the entry's is
 * @why:     reason when it fails
 *
 * Return: 0; -EBADMSG; -EINVAL if the entry has no bytes.
 */
int page_unpack_one(const struct page_view *v, uint32_t entry, uint8_t *block, uint32_t *slot,
		    struct stream_reason *why);

/** page_has_delta() - is there an entry of type DELTA? */
bool page_has_delta(const struct page_view *v);

/** page_type_has_bytes() - does an entry of @type (GODWIT_PAGE_*) come with 4096 bytes? */
bool page_type_has_bytes(unsigned int type);

/**
 * page_note_data() - keep track of what a delta may stand on.
 * @v:       from page_parse()
 * @is_data: bitmap by pfn: the pfn's last entry was DATA or DELTA; updated
 * @why:     reason when it fails
 *
 * Return: 0, or -EBADMSG for a DELTA of a pfn without its bit.
 */
int page_note_data(const struct page_view *v, uint64_t *is_data, struct stream_reason *why);

/** page_count() - add the entries and bytes of @v to @t. */
void page_count(const struct page_view *v, struct stream_totals *t);

#define PAGE_SCRATCH_BYTES	((size_t)64 * STREAM_PAGE_SIZE)	/* WIRE_BLOCK_PAGES_MAX */

/**
 * page_unpack() - entries and page bytes of a parsed payload.
 * @v:       from page_parse()
 * @batch:   entries
 * @buffer:  STREAM_BATCH_BYTES; slot i gets the bytes of entry i
 * @scratch: PAGE_SCRATCH_BYTES
 * @why:     reason when it fails
 *
 * Return: 0 or -EBADMSG.
 */
int page_unpack(const struct page_view *v, struct stream_batch *batch, uint8_t *buffer,
		uint8_t *scratch, struct stream_reason *why);

#endif
