/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of checkpoint/chain.h share: chain.c opens, chain_map.c knows
 * where each page is, chain_read.c gets at the bytes, chain_merge.c writes
 * all of it.
 */
#ifndef CHECKPOINT_CHAIN_PRIV_H
#define CHECKPOINT_CHAIN_PRIV_H

#include "checkpoint/chain.h"
#include "checkpoint/page.h"

#define CHAIN_CHUNK_PFNS	65536u
#define CHAIN_RECORDS_MAX	4000000u	/* 128 MiB of records */
#define CHAIN_STATE_MAX		((size_t)64 << 20)	/* packed XENSTORE records */
#define CHAIN_PAYLOADS	256u		/* records kept, at most ... */
#define CHAIN_PAYLOAD_BYTES	(64u << 20)	/* ... and their bytes */
#define CHAIN_BLOCKS		16u

/* A PAGES record somewhere in the chain. */
struct chain_record {
	uint64_t offset;
	uint64_t check;
	uint32_t length;
	uint16_t count;
	uint16_t level;
	uint32_t number;		/* in its stream: low half of the record's index */
};

/* Where a page is: record + 1, entry, type; 0 for nowhere. */
typedef uint64_t chain_loc;

#define LOC_RECORD(l)	((uint32_t)((l) & 0xffffffff) - 1)
#define LOC_ENTRY(l)	((uint32_t)((l) >> 32 & 0xffff))
#define LOC_TYPE(l)	((uint8_t)((l) >> 56))
#define LOC_MAKE(r, e, t) ((uint64_t)((r) + 1) | (uint64_t)(e) << 32 | (uint64_t)(t) << 56)

struct chain_map {
	uint64_t pfn_limit;
	chain_loc **chunk;
	struct chain_record *rec;
	uint32_t nr_rec;
	uint32_t cap_rec;
};

/** chain_map_init() - nothing in it yet.  0; -ENOMEM. */
int chain_map_init(struct chain_map *m, uint64_t pfn_limit);

/** chain_map_free() - free it. */
void chain_map_free(struct chain_map *m);

/**
 * chain_map_add() - a PAGES record: its entries go over what was there.
 * @entries: as on the wire, checked
 *
 * Return: 0; -EBADMSG a pfn beyond the limit; -ENOMEM; -E2BIG more than CHAIN_RECORDS_MAX records.
 */
int chain_map_add(struct chain_map *m, const struct chain_record *rec, const uint64_t *entries);

/** chain_map_get() - where @pfn is; 0 also beyond the limit. */
chain_loc chain_map_get(const struct chain_map *m, uint64_t pfn);

/** chain_map_next() - the first pfn from @pfn on that is somewhere, or the limit. */
uint64_t chain_map_next(const struct chain_map *m, uint64_t pfn);

struct chain_payload {
	uint32_t rec;			/* + 1, 0 for an empty slot */
	uint64_t used;			/* when: larger is later */
	uint8_t *data;			/* record header and payload */
	size_t cap;
	struct page_view view;		/* of the payload */
};

struct chain_block {
	uint32_t rec;			/* + 1 */
	uint32_t block;
	uint64_t used;
	uint8_t *data;			/* PAGE_SCRATCH_BYTES */
};

struct chain {
	struct store *store;
	struct ckpt *level;		/* copies, tip first */
	unsigned int depth;
	struct chain_map map;
	Stream__StreamInfo *info;
	Stream__DomainInfo *domain;
	Stream__VcpuContext *vcpu[STREAM_VCPUS_MAX];
	Stream__SharedInfo *shared_info;
	Stream__FinalState *final;
	Stream__Xenstore **xenstore;
	size_t nr_xenstore;
	size_t xenstore_bytes;
	uint64_t *p2m;
	uint32_t nr_p2m;
	uint64_t p2m_max_pfn;
	size_t payload_bytes;		/* that the slots hold */
	uint64_t clock;			/* of the caches */
	struct chain_payload payload[CHAIN_PAYLOADS];
	struct chain_block block[CHAIN_BLOCKS];
	char error[CHAIN_WHY];
};

/** chain_fail() - keep the first reason and pass the error on. */
int chain_fail(struct chain *c, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * chain_load_record() - a record's payload, checked, through the cache.
 * @v: parts of the payload, valid until the next call
 *
 * Return: 0; -EBADMSG; -ENOMEM; errors of the store.
 */
int chain_load_record(struct chain *c, uint32_t rec, const struct page_view **v);

/** chain_cache_free() - free the caches. */
void chain_cache_free(struct chain *c);

/* chain_merge.c: what stands before the pages of a merged stream, and behind them. */
int chain_write_front(struct chain *c, struct stream_writer *w, enum chain_as as);
int chain_write_tail(struct chain *c, struct stream_writer *w);

#endif
