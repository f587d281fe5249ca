/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packing and unpacking of page batches.  The hot path of a migration: bytes
 * are touched by LZ4 once and by the record's hash once (packed).  A copy is
 * made only where LZ4 needs neighbours that are not neighbours in the caller's
 * buffer, because a zero page lies between them.
 */
#include <errno.h>
#include <lz4.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/page.h"
#include "checkpoint/wire.h"

#define BLOCK_PAGES	16u	/* LZ4's window is 64 KiB */
#define BLOCK_BYTES	(BLOCK_PAGES * STREAM_PAGE_SIZE)
#define LZ4_SPEED	1	/* LZ4's "acceleration"; 1 is its default level */

#define bad(...) reason_set(why, -EBADMSG, __VA_ARGS__)

_Static_assert(STREAM_BATCH_MAX == WIRE_BATCH_MAX, "the ABI's batch fits the wire's");
_Static_assert(PAGE_SCRATCH_BYTES == WIRE_BLOCK_PAGES_MAX * STREAM_PAGE_SIZE, "one block");
/* The page types of the wire are the hypercall's (docs/spec/stream.md, "PAGES"). */
_Static_assert(GODWIT_PAGE_DATA == 0 && GODWIT_PAGE_ZERO == 1 && GODWIT_PAGE_L1 == 2 &&
	       GODWIT_PAGE_L4 == 5 && GODWIT_PAGE_P2M == 6 && GODWIT_PAGE_ABSENT == 7 &&
	       GODWIT_PAGE_RETRY == 8 && GODWIT_PAGE_DELTA == 10 &&
	       GODWIT_PAGE_PINNED == 0x80, "wire constants");

struct page_packer {
	void *lz4_state;
	uint16_t slots[STREAM_BATCH_MAX];	/* of the entries with bytes */
	uint8_t gather[BLOCK_BYTES];
};

static bool is_table(unsigned int type)
{
	return type >= GODWIT_PAGE_L1 && type <= GODWIT_PAGE_L4;
}

static bool type_has_bytes(unsigned int type)
{
	type &= ~GODWIT_PAGE_PINNED;
	return type == GODWIT_PAGE_DATA || type == GODWIT_PAGE_DELTA || is_table(type);
}

bool page_type_has_bytes(unsigned int type)
{
	return type_has_bytes(type);
}

static bool type_is_legal(unsigned int type)
{
	if (type & GODWIT_PAGE_PINNED)
		return is_table(type & ~GODWIT_PAGE_PINNED);
	return type <= GODWIT_PAGE_ABSENT || type == GODWIT_PAGE_DELTA;
}

static uint32_t blocks_of(uint32_t nr_data, uint32_t block_pages)
{
	return (nr_data + block_pages - 1) / block_pages;
}

/* Bytes before the first block. */
static size_t blocks_offset(uint32_t count, uint32_t nr_blocks)
{
	size_t n = sizeof(struct wire_pages) + 8 * (size_t)count + 4 * (size_t)nr_blocks;

	return n + wire_pad(n);
}

/* Slots [first, first + n) of @slots lie side by side in the buffer. */
static bool is_run(const uint16_t *slots, uint32_t n)
{
	return slots[n - 1] - slots[0] == (int)n - 1;	/* they ascend */
}

struct page_packer *page_packer_new(void)
{
	struct page_packer *p = malloc(sizeof(*p));

	if (!p)
		return NULL;
	p->lz4_state = malloc((size_t)LZ4_sizeofState());
	if (!p->lz4_state) {
		free(p);
		return NULL;
	}
	return p;
}

void page_packer_free(struct page_packer *p)
{
	if (p)
		free(p->lz4_state);
	free(p);
}

/* Write the entries and note which slots have bytes. */
static int pack_entries(struct page_packer *p, const uint64_t *pfns, const uint8_t *types,
			unsigned int nr, uint64_t pfn_limit, struct wire_pages *head,
			uint64_t *entries, struct stream_reason *why)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (pfns[i] >= pfn_limit)
			return reason_set(why, -EINVAL, "pfn 0x%llx beyond pfn_limit",
					  (unsigned long long)pfns[i]);
		if (i && pfns[i] <= pfns[i - 1])
			return reason_set(why, -EINVAL, "pfn 0x%llx does not ascend",
					  (unsigned long long)pfns[i]);
		if (types[i] == GODWIT_PAGE_RETRY)
			continue;
		if (!type_is_legal(types[i]))
			return reason_set(why, -EINVAL, "page type 0x%x of pfn 0x%llx", types[i],
					  (unsigned long long)pfns[i]);
		if (type_has_bytes(types[i]))
			p->slots[head->nr_data++] = (uint16_t)i;
		entries[head->count++] = pfns[i] | (uint64_t)types[i] << WIRE_TYPE_SHIFT;
	}
	return 0;
}

/* The pages of @slots as one piece of memory. */
static const uint8_t *gather_block(struct page_packer *p, const uint8_t *buffer,
				   const uint16_t *slots, uint32_t n)
{
	uint32_t i;

	if (is_run(slots, n))
		return buffer + (size_t)slots[0] * STREAM_PAGE_SIZE;
	for (i = 0; i < n; i++)
		memcpy(p->gather + (size_t)i * STREAM_PAGE_SIZE,
		       buffer + (size_t)slots[i] * STREAM_PAGE_SIZE, STREAM_PAGE_SIZE);
	return p->gather;
}

/* Return: bytes used at @out, with the raw bit where LZ4 did not help. */
static uint32_t pack_block(struct page_packer *p, const uint8_t *src, uint32_t n, uint8_t *out)
{
	uint32_t raw = n * STREAM_PAGE_SIZE;
	int packed;

	/* One byte less than raw: LZ4 gives up as soon as it would not shrink. */
	packed = LZ4_compress_fast_extState(p->lz4_state, (const char *)src, (char *)out,
					    (int)raw, (int)raw - 1, LZ4_SPEED);
	if (packed > 0)
		return (uint32_t)packed;
	memcpy(out, src, raw);
	return raw | WIRE_BLOCK_RAW;
}

int page_pack(struct page_packer *p, const uint64_t *pfns, const uint8_t *types,
	      const uint8_t *buffer, unsigned int nr, uint64_t pfn_limit, uint8_t *out,
	      size_t *len, struct stream_reason *why)
{
	struct wire_pages *head = (struct wire_pages *)out;
	uint64_t *entries = (uint64_t *)(out + sizeof(*head));
	uint32_t *sizes, i, n;
	size_t pos;
	int ret;

	*len = 0;
	if (nr < 1 || nr > STREAM_BATCH_MAX)
		return reason_set(why, -EINVAL, "%u pages in a batch, must be 1..%u", nr,
				  STREAM_BATCH_MAX);
	*head = (struct wire_pages){ .block_pages = BLOCK_PAGES };
	ret = pack_entries(p, pfns, types, nr, pfn_limit, head, entries, why);
	if (ret || !head->count)
		return ret;
	head->nr_blocks = blocks_of(head->nr_data, BLOCK_PAGES);
	sizes = (uint32_t *)(entries + head->count);
	pos = blocks_offset(head->count, head->nr_blocks);
	if (head->nr_blocks & 1)
		sizes[head->nr_blocks] = 0;	/* the padding */
	for (i = 0; i < head->nr_blocks; i++) {
		const uint16_t *slots = p->slots + (size_t)i * BLOCK_PAGES;

		n = head->nr_data - i * BLOCK_PAGES;
		if (n > BLOCK_PAGES)
			n = BLOCK_PAGES;
		sizes[i] = pack_block(p, gather_block(p, buffer, slots, n), n, out + pos);
		pos += sizes[i] & ~WIRE_BLOCK_RAW;
	}
	*len = pos;
	return 0;
}

static int parse_entries(const struct page_view *v, uint64_t pfn_limit,
			 struct stream_reason *why)
{
	uint32_t i, nr_data = 0;
	uint64_t next = 0;

	for (i = 0; i < v->count; i++) {
		uint64_t pfn = v->entries[i] & WIRE_PFN_MASK;
		unsigned int type = (unsigned int)(v->entries[i] >> WIRE_TYPE_SHIFT);

		if (v->entries[i] & WIRE_ENTRY_ZERO_BITS)
			return bad("entry %u: reserved bits are set", i);
		if (!type_is_legal(type))
			return bad("entry %u: page type 0x%x", i, type);
		if (pfn >= pfn_limit)
			return bad("entry %u: pfn 0x%llx beyond pfn_limit", i,
				   (unsigned long long)pfn);
		if (pfn < next)
			return bad("entry %u: pfn 0x%llx does not ascend", i,
				   (unsigned long long)pfn);
		next = pfn + 1;
		nr_data += type_has_bytes(type);
	}
	if (nr_data != v->nr_data)
		return bad("nr_data is %u, the entries have %u", v->nr_data, nr_data);
	return 0;
}

/* Pages in block @i. */
static uint32_t block_nr(const struct page_view *v, uint32_t i)
{
	uint32_t left = v->nr_data - i * v->block_pages;

	return left < v->block_pages ? left : v->block_pages;
}

static int parse_sizes(const struct page_view *v, uint64_t room, struct stream_reason *why)
{
	uint32_t i;

	for (i = 0; i < v->nr_blocks; i++) {
		uint32_t size = v->sizes[i] & ~WIRE_BLOCK_RAW;
		uint32_t raw = block_nr(v, i) * STREAM_PAGE_SIZE;

		if (v->sizes[i] & WIRE_BLOCK_RAW ? size != raw : size < 1 || size >= raw)
			return bad("block %u: size 0x%x for %u bytes of pages", i, v->sizes[i],
				   raw);
		if (size > room)
			return bad("block %u: %u bytes, the record has %llu left", i, size,
				   (unsigned long long)room);
		room -= size;
	}
	if (room)
		return bad("%llu bytes after the last block", (unsigned long long)room);
	if ((v->nr_blocks & 1) && v->sizes[v->nr_blocks])
		return bad("padding of the block sizes is not zero");
	return 0;
}

static int parse_head(const uint8_t *payload, uint64_t len, struct page_view *v, size_t *offset,
		      struct stream_reason *why)
{
	struct wire_pages head;

	if (len < sizeof(head))
		return bad("%llu bytes are too short for a batch", (unsigned long long)len);
	memcpy(&head, payload, sizeof(head));
	if (head.count < 1 || head.count > WIRE_BATCH_MAX)
		return bad("%u entries, must be 1..%u", head.count, WIRE_BATCH_MAX);
	if (head.nr_data > head.count)
		return bad("%u entries with bytes of %u", head.nr_data, head.count);
	if (head.block_pages < 1 || head.block_pages > WIRE_BLOCK_PAGES_MAX)
		return bad("%u pages a block, must be 1..%u", head.block_pages,
			   WIRE_BLOCK_PAGES_MAX);
	if (head.nr_blocks != blocks_of(head.nr_data, head.block_pages))
		return bad("%u blocks for %u pages", head.nr_blocks, head.nr_data);
	*offset = blocks_offset(head.count, head.nr_blocks);
	if (*offset > len)
		return bad("%llu bytes are too short for %u entries", (unsigned long long)len,
			   head.count);
	*v = (struct page_view){
		.count = head.count,
		.nr_data = head.nr_data,
		.block_pages = head.block_pages,
		.nr_blocks = head.nr_blocks,
		.entries = (const uint64_t *)(payload + sizeof(head)),
	};
	return 0;
}

int page_parse(const uint8_t *payload, uint64_t len, uint64_t pfn_limit, struct page_view *v,
	       struct stream_reason *why)
{
	size_t offset;
	int ret = parse_head(payload, len, v, &offset, why);

	if (ret)
		return ret;
	v->sizes = (const uint32_t *)(v->entries + v->count);
	v->blocks = payload + offset;
	ret = parse_entries(v, pfn_limit, why);
	return ret ? ret : parse_sizes(v, len - offset, why);
}

int page_parse_front(const uint8_t *payload, uint64_t len, uint64_t pfn_limit,
		     struct page_view *v, struct stream_reason *why)
{
	size_t offset;
	int ret = parse_head(payload, len, v, &offset, why);

	return ret ? ret : parse_entries(v, pfn_limit, why);
}

size_t page_front_bytes(const uint8_t *payload)
{
	struct wire_pages head;

	memcpy(&head, payload, sizeof(head));
	if (head.count < 1 || head.count > WIRE_BATCH_MAX)
		return 0;
	return sizeof(head) + 8 * (size_t)head.count;
}

bool page_has_delta(const struct page_view *v)
{
	uint32_t i;

	for (i = 0; i < v->count; i++) {
		if (v->entries[i] >> WIRE_TYPE_SHIFT == GODWIT_PAGE_DELTA)
			return true;
	}
	return false;
}

int page_note_data(const struct page_view *v, uint64_t *is_data, struct stream_reason *why)
{
	uint32_t i;

	for (i = 0; i < v->count; i++) {
		uint64_t pfn = v->entries[i] & WIRE_PFN_MASK, bit = 1ull << pfn % 64;
		unsigned int type = (unsigned int)(v->entries[i] >> WIRE_TYPE_SHIFT);

		if (type == GODWIT_PAGE_DELTA && !(is_data[pfn / 64] & bit))
			return bad("entry %u: delta of pfn 0x%llx, whose last bytes are not data", i,
				   (unsigned long long)pfn);
		if (type == GODWIT_PAGE_DATA || type == GODWIT_PAGE_DELTA)
			is_data[pfn / 64] |= bit;
		else
			is_data[pfn / 64] &= ~bit;
	}
	return 0;
}

void page_count(const struct page_view *v, struct stream_totals *t)
{
	uint32_t i;

	for (i = 0; i < v->count; i++)
		t->by_type[v->entries[i] >> WIRE_TYPE_SHIFT & GODWIT_PAGE_TYPE_MASK]++;
	for (i = 0; v->sizes && i < v->nr_blocks; i++)	/* not there when skimmed */
		t->data_bytes += v->sizes[i] & ~WIRE_BLOCK_RAW;
	t->pages += v->count;
	t->data_pages += v->nr_data;
}

static int unpack_block(const struct page_view *v, uint32_t i, const uint8_t *src, uint8_t *dst,
			struct stream_reason *why)
{
	uint32_t raw = block_nr(v, i) * STREAM_PAGE_SIZE;
	int n;

	if (v->sizes[i] & WIRE_BLOCK_RAW) {
		memcpy(dst, src, raw);
		return 0;
	}
	n = LZ4_decompress_safe((const char *)src, (char *)dst, (int)v->sizes[i], (int)raw);
	if (n != (int)raw)
		return bad("block %u: damaged LZ4 data", i);
	return 0;
}

/* Block @i, whose pages belong into @slots. */
static int unpack_to_slots(const struct page_view *v, uint32_t i, const uint8_t *src,
			   const uint16_t *slots, uint8_t *buffer, uint8_t *scratch,
			   struct stream_reason *why)
{
	uint32_t k, n = block_nr(v, i);
	int ret;

	if (is_run(slots, n))
		return unpack_block(v, i, src, buffer + (size_t)slots[0] * STREAM_PAGE_SIZE, why);
	ret = unpack_block(v, i, src, scratch, why);
	for (k = 0; !ret && k < n; k++)
		memcpy(buffer + (size_t)slots[k] * STREAM_PAGE_SIZE,
		       scratch + (size_t)k * STREAM_PAGE_SIZE, STREAM_PAGE_SIZE);
	return ret;
}

int page_unpack(const struct page_view *v, struct stream_batch *batch, uint8_t *buffer,
		uint8_t *scratch, struct stream_reason *why)
{
	uint16_t slots[STREAM_BATCH_MAX];
	const uint8_t *src = v->blocks;
	uint32_t i, nr_data = 0;
	int ret;

	batch->nr = v->count;
	batch->nr_data = v->nr_data;
	for (i = 0; i < v->count; i++) {
		batch->pfns[i] = v->entries[i] & WIRE_PFN_MASK;
		batch->types[i] = (uint8_t)(v->entries[i] >> WIRE_TYPE_SHIFT);
		if (type_has_bytes(batch->types[i]))
			slots[nr_data++] = (uint16_t)i;
	}
	for (i = 0; i < v->nr_blocks; i++) {
		ret = unpack_to_slots(v, i, src, slots + (size_t)i * v->block_pages, buffer,
				      scratch, why);
		if (ret)
			return ret;
		src += v->sizes[i] & ~WIRE_BLOCK_RAW;
	}
	return 0;
}

int page_unpack_one(const struct page_view *v, uint32_t entry, uint8_t *block, uint32_t *slot,
		    struct stream_reason *why)
{
	const uint8_t *src = v->blocks;
	uint32_t i, index = 0;

	if (entry >= v->count || !type_has_bytes((unsigned int)(v->entries[entry] >>
								WIRE_TYPE_SHIFT)))
		return reason_set(why, -EINVAL, "entry %u has no bytes", entry);
	for (i = 0; i < entry; i++)
		index += type_has_bytes((unsigned int)(v->entries[i] >> WIRE_TYPE_SHIFT));
	for (i = 0; i < index / v->block_pages; i++)
		src += v->sizes[i] & ~WIRE_BLOCK_RAW;
	*slot = index % v->block_pages;
	return unpack_block(v, i, src, block, why);
}
