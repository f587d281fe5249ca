/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deltas: a page that is sent again goes as the XOR with what the other side has.
 *
 * A guest that writes a few words here and there dirties whole pages; the XOR of two versions
 * of such a page is zero but for those words, and packs to a few dozen octets.  So the rounds of
 * a busy guest, and above all the last one, shrink to what was really written.  (The idea is
 * known from QEMU as XBZRLE: Svaerd et al., "Evaluation of delta compression techniques for
 * efficient live migration of large virtual machines", VEE 2011.)
 *
 * Invariant: the cache holds for a pfn exactly the bytes that the reader of the stream has, or
 * nothing.
 */
#ifndef CHECKPOINT_DELTA_H
#define CHECKPOINT_DELTA_H

#include <stdint.h>

struct delta;

/**
 * delta_new() - an empty cache for pfns below @pfn_limit, of at most @max_pages pages.
 *
 * Memory is taken as pages come.  Return: NULL when @max_pages is 0 or there is no memory: then
 * pages go whole, which is always right.
 */
struct delta *delta_new(uint64_t pfn_limit, uint64_t max_pages);
void delta_free(struct delta *d);

/**
 * delta_encode() - replace each DATA page of a batch that the cache has by its delta.
 * @d:     NULL does nothing
 * @pfns:  nr pfns below pfn_limit
 * @types: of the pages (GODWIT_PAGE_*): DATA becomes DELTA where a delta was made
 * @pages: nr pages, changed in place
 *
 * Whatever goes out after this must reach the reader: the cache assumes it does.
 */
void delta_encode(struct delta *d, const uint64_t *pfns, uint8_t *types, uint8_t *pages,
		  unsigned int nr);

/** delta_pages_sensible() - how many pages a daemon may spend now: half of what is available. */
uint64_t delta_pages_sensible(void);

#endif
