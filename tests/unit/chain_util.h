/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of chains share: a guest that is a table of types and
 * versions, from which every page follows, and a writer of its checkpoints
 * that knows nothing of checkpoint/chain.h.
 */
#ifndef TESTS_UNIT_CHAIN_UTIL_H
#define TESTS_UNIT_CHAIN_UTIL_H

#include "checkpoint/chain.h"

#define GUEST_PFNS_MAX	4096u
#define GUEST_VCPUS	2u

struct guest {
	uint64_t limit;				/* pfns */
	uint8_t type[GUEST_PFNS_MAX];
	uint32_t version[GUEST_PFNS_MAX];	/* of the bytes */
	bool changed[GUEST_PFNS_MAX];		/* since the last checkpoint */
	uint32_t moments;			/* checkpoints taken */
	uint32_t seed;				/* of its changes */
	const uint8_t *bytes[GUEST_PFNS_MAX];	/* instead of what follows from the version */
	const uint8_t *context;			/* of each vCPU, instead of the moment */
	size_t context_len;
};

/** guest_init() - all data, with some zero pages, tables, a leaf and holes. */
void guest_init(struct guest *g, uint64_t limit, uint32_t seed);

/** guest_random() - below @bound; the same numbers on each run. */
uint32_t guest_random(struct guest *g, uint32_t bound);

/** guest_run() - @nr random changes: bytes, types, zeroing, ballooning. */
void guest_run(struct guest *g, unsigned int nr);

/** guest_page() - the 4096 bytes of @pfn now; zeros for a type without bytes. */
void guest_page(const struct guest *g, uint64_t pfn, uint8_t *page);

/* How to write a checkpoint; what is 0 or NULL is left out. */
struct shot {
	const char *domain;		/* part of the object's name; "d" */
	uint64_t seq;
	uint64_t parent_hash;		/* with seq > 0 */
	const char *parent_name;	/* object part */
	uint64_t replaces;
	uint8_t chain;			/* first byte of chain_id */
	uint64_t time_ns;
	bool no_index;
	bool all_pages;			/* also with a parent */
	unsigned int batch;		/* pfns in a PAGES record; 64 */
	uint8_t uuid;			/* first byte */
	uint64_t parent_seq_plus;	/* lie in PARENT */
};

/** shot_write() - the guest's checkpoint as a stream, hash to @hash. */
void shot_write(struct stream_mem *out, const struct guest *g, const struct shot *s,
		uint64_t *hash);

/**
 * guest_checkpoint() - the next checkpoint of the guest into a store.
 * @last: what the previous call left: seq, hash and name of the parent; a zeroed
 *        one begins a chain.  Updated.
 */
struct last {
	bool any;
	uint64_t seq, hash, time_ns;
	char name[2 * STORE_NAME_MAX + 2];	/* whole, with the domain */
};
void guest_checkpoint(struct guest *g, struct store *s, struct last *last);

/** guest_same() - does the chain hold exactly this guest?  Fails the test otherwise. */
void guest_same(const struct guest *g, struct chain *c);

#endif
