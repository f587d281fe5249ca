/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every page of a chain once, in the order that costs least: record by record,
 * oldest checkpoint first, and of each record those entries that nothing newer
 * hides.  So each record is read once, and those that are hidden wholly never.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/chain_priv.h"

struct each {
	struct chain *c;
	chain_page_fn *fn;
	void *ctx;
	struct stream_batch batch;	/* of the record at hand */
	uint8_t *pages;			/* STREAM_BATCH_BYTES */
	uint8_t *scratch;
};

/* Which records have anything left that a newer one does not hide. */
static bool *live_records(const struct chain *c)
{
	bool *live = calloc((size_t)c->map.nr_rec + 1, sizeof(*live));
	uint64_t pfn;

	if (!live)
		return NULL;
	for (pfn = chain_map_next(&c->map, 0); pfn < c->map.pfn_limit;
	     pfn = chain_map_next(&c->map, pfn + 1))
		live[LOC_RECORD(chain_map_get(&c->map, pfn))] = true;
	return live;
}

/* Is entry @entry of record @rec, with this type, what the guest would see? */
static bool is_live(const struct chain *c, uint32_t rec, uint32_t entry, uint64_t pfn,
		    uint8_t type)
{
	chain_loc loc = chain_map_get(&c->map, pfn);

	return loc && LOC_RECORD(loc) == rec && LOC_ENTRY(loc) == entry &&
	       LOC_TYPE(loc) == type;
}

static int each_of_record(struct each *e, uint32_t rec, uint64_t *done)
{
	const struct chain_record *r = &e->c->map.rec[rec];
	const struct page_view *v;
	struct stream_reason why;
	unsigned int i;
	int ret = chain_load_record(e->c, rec, &v);

	if (ret)
		return ret;
	if (page_unpack(v, &e->batch, e->pages, e->scratch, &why))
		return chain_fail(e->c, -EBADMSG, "%s: record %u at offset %llu (PAGES): %s",
				  e->c->level[r->level].obj.name, r->number,
				  (unsigned long long)r->offset, why.text);
	for (i = 0; i < e->batch.nr && !ret; i++) {
		uint8_t type = e->batch.types[i];

		if (!is_live(e->c, rec, i, e->batch.pfns[i], type))
			continue;
		++*done;
		ret = e->fn(e->ctx, e->batch.pfns[i], type, page_type_has_bytes(type) ?
			    e->pages + (size_t)i * STREAM_PAGE_SIZE : NULL);
	}
	return ret;
}

static uint64_t count_pages(const struct chain *c)
{
	uint64_t by_type[GODWIT_PAGE_TYPE_MASK + 1], pinned, nr = 0;
	unsigned int i;

	chain_count_types(c, by_type, &pinned);
	for (i = 0; i <= GODWIT_PAGE_TYPE_MASK; i++)
		nr += by_type[i];
	return nr;
}

static int each_record(struct each *e)
{
	bool *live = live_records(e->c);
	uint64_t done = 0;
	uint32_t rec;
	int ret = 0;

	if (!live)
		return chain_fail(e->c, -ENOMEM, "no memory");
	for (rec = 0; !ret && rec < e->c->map.nr_rec; rec++) {
		if (live[rec])
			ret = each_of_record(e, rec, &done);
	}
	free(live);
	/* Entries were first read without their checksum; nobody may have changed them. */
	if (!ret && done != count_pages(e->c))
		ret = chain_fail(e->c, -EBADMSG, "%s: its entries have changed",
				 e->c->level[0].obj.name);
	return ret;
}

int chain_each_page(struct chain *c, chain_page_fn *fn, void *ctx)
{
	struct each *e = calloc(1, sizeof(*e));
	int ret = -ENOMEM;

	if (e) {
		*e = (struct each){ .c = c, .fn = fn, .ctx = ctx };
		e->pages = malloc(STREAM_BATCH_BYTES);
		e->scratch = malloc(PAGE_SCRATCH_BYTES);
		ret = e->pages && e->scratch ? each_record(e) :
			chain_fail(c, -ENOMEM, "no memory for a batch of pages");
		free(e->scratch);
		free(e->pages);
	}
	free(e);
	return ret;
}
