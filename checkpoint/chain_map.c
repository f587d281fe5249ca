/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which record and entry each page of a chain comes from.  Levels are added
 * from the full checkpoint to the newest, so what comes later wins, within a
 * stream as well as between them.
 */
#include <errno.h>
#include <stdlib.h>

#include "checkpoint/chain_priv.h"
#include "checkpoint/wire.h"

_Static_assert(sizeof(struct chain_record) == 32, "what chain.h says of memory");
_Static_assert(CHAIN_RECORDS_MAX < UINT32_MAX, "a record's number + 1 fits a location");

static size_t nr_chunks(const struct chain_map *m)
{
	return (size_t)((m->pfn_limit + CHAIN_CHUNK_PFNS - 1) / CHAIN_CHUNK_PFNS);
}

int chain_map_init(struct chain_map *m, uint64_t pfn_limit)
{
	*m = (struct chain_map){ .pfn_limit = pfn_limit };
	m->chunk = calloc(nr_chunks(m), sizeof(*m->chunk));
	return m->chunk ? 0 : -ENOMEM;
}

void chain_map_free(struct chain_map *m)
{
	size_t i;

	for (i = 0; m->chunk && i < nr_chunks(m); i++)
		free(m->chunk[i]);
	free(m->chunk);
	free(m->rec);
	*m = (struct chain_map){ 0 };
}

static int add_record(struct chain_map *m, const struct chain_record *rec)
{
	if (m->nr_rec == CHAIN_RECORDS_MAX)
		return -E2BIG;
	if (m->nr_rec == m->cap_rec) {
		uint32_t cap = m->cap_rec ? m->cap_rec * 2 : 256;
		struct chain_record *p = realloc(m->rec, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		m->rec = p;
		m->cap_rec = cap;
	}
	m->rec[m->nr_rec++] = *rec;
	return 0;
}

int chain_map_add(struct chain_map *m, const struct chain_record *rec, const uint64_t *entries)
{
	int ret = add_record(m, rec);
	uint32_t i;

	for (i = 0; !ret && i < rec->count; i++) {
		uint64_t pfn = entries[i] & WIRE_PFN_MASK;
		chain_loc **chunk;

		/* The limit came from an earlier look at the object. */
		if (pfn >= m->pfn_limit)
			return -EBADMSG;
		chunk = &m->chunk[pfn / CHAIN_CHUNK_PFNS];
		if (!*chunk)
			*chunk = calloc(CHAIN_CHUNK_PFNS, sizeof(**chunk));
		if (!*chunk)
			return -ENOMEM;
		(*chunk)[pfn % CHAIN_CHUNK_PFNS] =
			LOC_MAKE(m->nr_rec - 1, i, entries[i] >> WIRE_TYPE_SHIFT);
	}
	return ret;
}

chain_loc chain_map_get(const struct chain_map *m, uint64_t pfn)
{
	const chain_loc *chunk;

	if (pfn >= m->pfn_limit)
		return 0;
	chunk = m->chunk[pfn / CHAIN_CHUNK_PFNS];
	return chunk ? chunk[pfn % CHAIN_CHUNK_PFNS] : 0;
}

uint64_t chain_map_next(const struct chain_map *m, uint64_t pfn)
{
	/* A limit of 2^28 with few pages below it must not cost 2^28 steps. */
	while (pfn < m->pfn_limit) {
		const chain_loc *chunk = m->chunk[pfn / CHAIN_CHUNK_PFNS];

		if (!chunk)
			pfn = (pfn / CHAIN_CHUNK_PFNS + 1) * CHAIN_CHUNK_PFNS;
		else if (chunk[pfn % CHAIN_CHUNK_PFNS])
			return pfn;
		else
			pfn++;
	}
	return m->pfn_limit;
}
