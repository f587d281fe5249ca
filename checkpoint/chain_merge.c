/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chain as one full stream.
 *
 * Pages come record by record (chain_each_page()).  Small leftovers of several
 * records share a batch, which is sorted before it is written, since a batch's
 * pfns must ascend.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/chain_priv.h"

struct merge {
	struct chain *c;
	struct stream_writer *w;
	unsigned int nr;		/* collected for the next batch */
	uint64_t pfns[STREAM_BATCH_MAX];
	uint8_t types[STREAM_BATCH_MAX];
	uint8_t *pages;
	uint64_t out_pfns[STREAM_BATCH_MAX];	/* the same, sorted */
	uint8_t out_types[STREAM_BATCH_MAX];
	uint8_t *out;
	uint64_t written;
};

struct slot {
	uint64_t pfn;
	unsigned int at;
};

static int by_pfn(const void *a, const void *b)
{
	const struct slot *x = a, *y = b;

	return x->pfn < y->pfn ? -1 : x->pfn > y->pfn;
}

static int flush(struct merge *m)
{
	struct slot order[STREAM_BATCH_MAX];
	unsigned int i;
	int ret;

	if (!m->nr)
		return 0;
	for (i = 0; i < m->nr; i++)
		order[i] = (struct slot){ m->pfns[i], i };
	qsort(order, m->nr, sizeof(order[0]), by_pfn);
	for (i = 0; i < m->nr; i++) {
		m->out_pfns[i] = order[i].pfn;
		m->out_types[i] = m->types[order[i].at];
		if (page_type_has_bytes(m->out_types[i]))
			memcpy(m->out + (size_t)i * STREAM_PAGE_SIZE,
			       m->pages + (size_t)order[i].at * STREAM_PAGE_SIZE,
			       STREAM_PAGE_SIZE);
	}
	ret = stream_write_pages(m->w, m->out_pfns, m->out_types, m->out, m->nr);
	m->written += m->nr;
	m->nr = 0;
	return ret;
}

static int add_page(void *ctx, uint64_t pfn, uint8_t type, const uint8_t *bytes)
{
	struct merge *m = ctx;

	if (m->nr == STREAM_BATCH_MAX) {
		int ret = flush(m);

		if (ret)
			return ret;
	}
	m->pfns[m->nr] = pfn;
	m->types[m->nr] = type;
	if (bytes)
		memcpy(m->pages + (size_t)m->nr * STREAM_PAGE_SIZE, bytes, STREAM_PAGE_SIZE);
	m->nr++;
	return 0;
}

static int merge_pages(struct merge *m)
{
	Stream__RoundBegin b = STREAM__ROUND_BEGIN__INIT;
	Stream__RoundEnd e = STREAM__ROUND_END__INIT;
	int ret;

	b.has_number = b.has_last = e.has_number = e.has_pages = 1;
	b.last = 1;
	ret = stream_write_msg(m->w, STREAM_ROUND_BEGIN, &b.base);
	if (!ret)
		ret = chain_each_page(m->c, add_page, m);
	if (!ret)
		ret = flush(m);
	e.pages = m->written;
	return ret ? ret : stream_write_msg(m->w, STREAM_ROUND_END, &e.base);
}

int chain_write_front(struct chain *c, struct stream_writer *w, enum chain_as as)
{
	Stream__StreamInfo info = *c->info;
	size_t i;
	int ret;

	info.base.n_unknown_fields = 0;		/* they were said of another stream */
	if (as == CHAIN_AS_REPLACEMENT) {
		info.has_replaces = 1;
		info.replaces = catalog_id(&c->level[0]);
	} else {
		info.has_chain_id = info.has_chain_seq = info.has_replaces = 0;
		info.chain_seq = 0;
	}
	ret = stream_write_header(w);
	if (!ret)
		ret = stream_write_msg(w, STREAM_INFO, &info.base);
	if (!ret)
		ret = stream_write_msg(w, STREAM_DOMAIN, &c->domain->base);
	for (i = 0; !ret && i < c->nr_xenstore; i++)
		ret = stream_write_msg(w, STREAM_XENSTORE, &c->xenstore[i]->base);
	if (!ret)
		ret = stream_write_p2m(w, c->p2m, c->nr_p2m, c->p2m_max_pfn, 0);
	return ret;
}

int chain_write_tail(struct chain *c, struct stream_writer *w)
{
	uint32_t i;
	int ret = 0;

	for (i = 0; !ret && i < c->domain->vcpus; i++)
		ret = stream_write_msg(w, STREAM_VCPU, &c->vcpu[i]->base);
	if (!ret)
		ret = stream_write_msg(w, STREAM_SHARED_INFO, &c->shared_info->base);
	if (!ret)
		ret = stream_write_msg(w, STREAM_FINAL, &c->final->base);
	return ret ? ret : stream_write_end(w);
}

int chain_write_merged(struct chain *c, struct stream_writer *w, enum chain_as as)
{
	struct merge *m = calloc(1, sizeof(*m));
	int ret = -ENOMEM;

	if (m) {
		m->c = c;
		m->w = w;
		m->pages = malloc(STREAM_BATCH_BYTES);
		m->out = malloc(STREAM_BATCH_BYTES);
	}
	if (m && m->pages && m->out) {
		stream_writer_keep_index(w);
		ret = chain_write_front(c, w, as);
		if (!ret)
			ret = merge_pages(m);
		if (!ret)
			ret = chain_write_tail(c, w);
	}
	if (ret && !stream_writer_error(w)[0])
		chain_fail(c, ret, "%s: %s", c->level[0].obj.name, strerror(-ret));
	if (m) {
		free(m->out);
		free(m->pages);
	}
	free(m);
	return ret;
}
