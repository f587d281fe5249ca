/* SPDX-License-Identifier: Apache-2.0 */
/* See tests/unit/chain_util.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/chain_util.h"

#define PAGE		STREAM_PAGE_SIZE
#define BATCH		64u
#define T0_NS		1790000000000000000ull

uint32_t guest_random(struct guest *g, uint32_t bound)
{
	g->seed = g->seed * 1664525u + 1013904223u;
	return (g->seed >> 8) % bound;
}

static bool has_bytes(uint8_t type)
{
	type &= GODWIT_PAGE_TYPE_MASK;
	return type == GODWIT_PAGE_DATA || (type >= GODWIT_PAGE_L1 && type <= GODWIT_PAGE_L4);
}

void guest_init(struct guest *g, uint64_t limit, uint32_t seed)
{
	uint64_t pfn;

	memset(g, 0, sizeof(*g));
	g->limit = limit;
	g->seed = seed;
	for (pfn = 0; pfn < limit; pfn++) {
		g->version[pfn] = 1;
		if (pfn % 5 == 3)
			g->type[pfn] = GODWIT_PAGE_ZERO;
		if (pfn >= 8 && pfn < 12)
			g->type[pfn] = (uint8_t)(GODWIT_PAGE_L1 + pfn - 8) | GODWIT_PAGE_PINNED;
		if (pfn == 16)
			g->type[pfn] = GODWIT_PAGE_P2M;
		if (pfn % 31 == 30)
			g->type[pfn] = GODWIT_PAGE_ABSENT;
	}
}

void guest_run(struct guest *g, unsigned int nr)
{
	static const uint8_t types[] = {
		GODWIT_PAGE_DATA, GODWIT_PAGE_DATA, GODWIT_PAGE_DATA, GODWIT_PAGE_ZERO,
		GODWIT_PAGE_ABSENT, GODWIT_PAGE_L1, GODWIT_PAGE_L1 | GODWIT_PAGE_PINNED,
	};

	while (nr--) {
		uint32_t pfn = guest_random(g, (uint32_t)g->limit);

		if (pfn == 16)		/* the leaf that P2M_INFO names */
			continue;
		g->type[pfn] = types[guest_random(g, sizeof(types))];
		g->version[pfn]++;
		g->changed[pfn] = true;
	}
}

void guest_page(const struct guest *g, uint64_t pfn, uint8_t *page)
{
	uint32_t x = (uint32_t)(pfn * 2654435761u + g->version[pfn] * 40503u + 1);
	unsigned int i;

	memset(page, 0, PAGE);
	if (!has_bytes(g->type[pfn]))
		return;
	if (g->bytes[pfn]) {
		memcpy(page, g->bytes[pfn], PAGE);
		return;
	}
	for (i = 0; i < PAGE; i++) {
		x = x * 1664525u + 1013904223u;
		/* Every seventh is noise, which LZ4 cannot shrink. */
		page[i] = pfn % 7 ? (uint8_t)(pfn + g->version[pfn] * 3 + i / 512) :
				    (uint8_t)(x >> 24);
	}
}

static void must(struct stream_writer *w, int ret)
{
	if (ret)
		fail_msg("fixture: %d %s", ret, stream_writer_error(w));
}

static void write_front(struct stream_writer *w, const struct guest *g, const struct shot *s)
{
	Stream__StreamInfo i = STREAM__STREAM_INFO__INIT;
	Stream__DomainInfo d = STREAM__DOMAIN_INFO__INIT;
	Stream__Parent p = STREAM__PARENT__INIT;
	uint8_t id[16] = { s->chain, 2, 3, 4 }, uuid[16] = { s->uuid, 0xaa };
	static const uint64_t leaves[1] = { 16 };

	i.writer = (char *)"test";
	i.host = (char *)"nowhere";
	i.has_mode = i.has_chain_id = i.has_chain_seq = i.has_time_ns = 1;
	i.mode = STREAM__MODE__CHECKPOINT;
	i.chain_id = (ProtobufCBinaryData){ 16, id };
	i.chain_seq = s->seq;
	i.has_replaces = s->replaces != 0;
	i.replaces = s->replaces;
	i.time_ns = s->time_ns;
	must(w, stream_write_msg(w, STREAM_INFO, &i.base));
	d.name = (char *)"guest";
	d.has_uuid = d.has_vcpus = d.has_pfn_limit = 1;
	d.uuid = (ProtobufCBinaryData){ 16, uuid };
	d.vcpus = GUEST_VCPUS;
	d.pfn_limit = g->limit;
	must(w, stream_write_msg(w, STREAM_DOMAIN, &d.base));
	if (s->seq && !s->replaces) {
		p.has_stream_hash = p.has_chain_seq = 1;
		p.stream_hash = s->parent_hash;
		p.chain_seq = s->seq - 1 + s->parent_seq_plus;
		p.name = (char *)s->parent_name;
		must(w, stream_write_msg(w, STREAM_PARENT, &p.base));
	}
	must(w, stream_write_p2m(w, leaves, 1, g->limit < 512 ? g->limit : 512, 1));
}

static void write_pages(struct stream_writer *w, const struct guest *g, const struct shot *s)
{
	unsigned int batch = s->batch ? s->batch : BATCH, n = 0;
	Stream__RoundBegin b = STREAM__ROUND_BEGIN__INIT;
	Stream__RoundEnd e = STREAM__ROUND_END__INIT;
	uint8_t types[STREAM_BATCH_MAX], *pages = malloc(STREAM_BATCH_BYTES);
	uint64_t pfns[STREAM_BATCH_MAX], pfn;
	bool all = s->all_pages || !s->seq || s->replaces;

	assert_non_null(pages);
	b.has_number = b.has_last = b.last = e.has_number = e.has_pages = 1;
	must(w, stream_write_msg(w, STREAM_ROUND_BEGIN, &b.base));
	for (pfn = 0; pfn < g->limit; pfn++) {
		if (!all && !g->changed[pfn])
			continue;
		pfns[n] = pfn;
		types[n] = g->type[pfn];
		guest_page(g, pfn, pages + (size_t)n * PAGE);
		e.pages++;
		if (++n == batch) {
			must(w, stream_write_pages(w, pfns, types, pages, n));
			n = 0;
		}
	}
	if (n)
		must(w, stream_write_pages(w, pfns, types, pages, n));
	must(w, stream_write_msg(w, STREAM_ROUND_END, &e.base));
	free(pages);
}

static void write_tail(struct stream_writer *w, const struct guest *g)
{
	Stream__VcpuContext v = STREAM__VCPU_CONTEXT__INIT;
	Stream__SharedInfo si = STREAM__SHARED_INFO__INIT;
	Stream__FinalState fs = STREAM__FINAL_STATE__INIT;
	Stream__Xenstore xs = STREAM__XENSTORE__INIT;
	Stream__XenstoreNode node = STREAM__XENSTORE_NODE__INIT, *nodes[] = { &node };
	uint8_t page[PAGE] = { (uint8_t)g->moments }, context[8] = { 0 };
	char value[16];
	uint32_t i;

	for (i = 0; i < GUEST_VCPUS; i++) {
		memcpy(context, &g->moments, sizeof(g->moments));
		context[7] = (uint8_t)i;
		v.has_index = v.has_context = 1;
		v.index = i;
		v.context = (ProtobufCBinaryData){ sizeof(context), context };
		if (g->context)
			v.context = (ProtobufCBinaryData){ g->context_len, (uint8_t *)g->context };
		must(w, stream_write_msg(w, STREAM_VCPU, &v.base));
	}
	si.has_page = 1;
	si.page = (ProtobufCBinaryData){ PAGE, page };
	must(w, stream_write_msg(w, STREAM_SHARED_INFO, &si.base));
	snprintf(value, sizeof(value), "%u", g->moments);
	node.path = (char *)"data/moment";
	node.has_value = 1;
	node.value = (ProtobufCBinaryData){ strlen(value), (uint8_t *)value };
	xs.n_nodes = 1;
	xs.nodes = nodes;
	must(w, stream_write_msg(w, STREAM_XENSTORE, &xs.base));
	fs.has_start_info_pfn = 1;
	fs.start_info_pfn = 5;
	must(w, stream_write_msg(w, STREAM_FINAL, &fs.base));
}

void shot_write(struct stream_mem *out, const struct guest *g, const struct shot *s,
		uint64_t *hash)
{
	struct stream_writer *w;

	stream_mem_init(out);
	assert_int_equal(stream_writer_new(&out->io, &w), 0);
	if (!s->no_index)
		stream_writer_keep_index(w);
	must(w, stream_write_header(w));
	write_front(w, g, s);
	write_pages(w, g, s);
	write_tail(w, g);
	must(w, stream_write_end(w));
	if (hash)
		*hash = stream_writer_hash(w);
	stream_writer_free(w);
}

void guest_checkpoint(struct guest *g, struct store *s, struct last *last)
{
	uint8_t id[16] = { 1, 2, 3, 4 };
	struct shot shot = {
		.chain = 1, .seq = last->any ? last->seq + 1 : 0, .parent_hash = last->hash,
		.parent_name = last->any ? strchr(last->name, '/') + 1 : NULL,
		.time_ns = last->any ? last->time_ns + 1000000000 : T0_NS,
		.no_index = g->moments % 3 == 1,
	};
	struct store_put *put;
	struct stream_mem m;

	g->moments++;
	shot_write(&m, g, &shot, &last->hash);
	last->any = true;
	last->seq = shot.seq;
	last->time_ns = shot.time_ns;
	catalog_name(last->name, "d", shot.time_ns, shot.seq, id, false);
	assert_int_equal(store_put_begin(s, last->name, &put), 0);
	assert_int_equal(store_put_write(put, m.data, m.len), 0);
	assert_int_equal(store_put_commit(put), 0);
	memset(g->changed, 0, sizeof(g->changed));
	stream_mem_release(&m);
}

void guest_same(const struct guest *g, struct chain *c)
{
	uint8_t *pages = malloc(STREAM_BATCH_BYTES), types[STREAM_BATCH_MAX], page[PAGE];
	uint64_t pfns[STREAM_BATCH_MAX], at;
	unsigned int n, i;
	char value[16];

	assert_non_null(pages);
	assert_int_equal(chain_pfn_limit(c), g->limit);
	for (at = 0; at < g->limit; at += n) {
		n = g->limit - at < 200 ? (unsigned int)(g->limit - at) : 200;
		for (i = 0; i < n; i++)
			pfns[i] = at + i;
		if (chain_read_pages(c, pfns, types, pages, n))
			fail_msg("%s", chain_error(c));
		for (i = 0; i < n; i++) {
			assert_int_equal(types[i], g->type[at + i]);
			guest_page(g, at + i, page);
			assert_memory_equal(pages + (size_t)i * PAGE, page, PAGE);
		}
	}
	/* The state is that of the same moment. */
	assert_int_equal(chain_shared_info(c)->page.data[0], (uint8_t)g->moments);
	for (i = 0; i < GUEST_VCPUS; i++)
		assert_memory_equal(chain_vcpu(c, i)->context.data, &g->moments, 4);
	snprintf(value, sizeof(value), "%u", g->moments);
	assert_int_equal(chain_xenstore(c, 0)->nodes[0]->value.len, strlen(value));
	assert_memory_equal(chain_xenstore(c, 0)->nodes[0]->value.data, value, strlen(value));
	assert_null(chain_xenstore(c, 1));
	free(pages);
}
