/* SPDX-License-Identifier: Apache-2.0 */
/* See tests/unit/test_stream_util.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "checkpoint/verify.h"
#include "tests/unit/test_stream_util.h"

#define PAGE STREAM_PAGE_SIZE

/* Exit loudly: a broken fixture must not look like a passing test. */
#define need(cond) do { if (!(cond)) { \
	fprintf(stderr, "%s:%d: fixture failed: %s\n", __FILE__, __LINE__, #cond); \
	abort(); } } while (0)

/* Set while sample_build_small() writes. */
static bool no_noise;
/* Set while sample_build_child() writes. */
static bool as_child;

void sample_page(uint8_t *page, uint64_t pfn, unsigned int round)
{
	uint32_t x = (uint32_t)(pfn * 2654435761u + round * 40503u + 1);
	unsigned int i;

	/* Every twelfth page is noise, which LZ4 cannot shrink. */
	for (i = 0; i < PAGE; i++) {
		x = x * 1664525u + 1013904223u;
		if (pfn % 12 == 0 && !no_noise)
			page[i] = (uint8_t)(x >> 24);
		else
			page[i] = (uint8_t)(i / 64 + pfn + round);
	}
}

uint8_t sample_type(uint64_t pfn)
{
	static const uint8_t special[] = {
		[8] = GODWIT_PAGE_L4 | GODWIT_PAGE_PINNED, [9] = GODWIT_PAGE_L3,
		[10] = GODWIT_PAGE_L2, [11] = GODWIT_PAGE_L1,
		[12] = GODWIT_PAGE_L1 | GODWIT_PAGE_PINNED, [16] = GODWIT_PAGE_P2M,
		[17] = GODWIT_PAGE_ABSENT, [18] = GODWIT_PAGE_ABSENT,
	};

	if (pfn < sizeof(special) && special[pfn])
		return special[pfn];
	return pfn % 7 == 6 || (pfn >= 24 && pfn < 60) ? GODWIT_PAGE_ZERO : GODWIT_PAGE_DATA;
}

static int write_info(struct stream_writer *w)
{
	Stream__StreamInfo m = STREAM__STREAM_INFO__INIT;

	m.writer = (char *)"test";
	m.writer_version = (char *)"1";
	m.host = (char *)"nowhere";
	m.has_time_ns = m.has_mode = 1;
	m.time_ns = 1700000000000000000ull;
	m.mode = STREAM__MODE__SAVE;
	if (as_child) {
		static uint8_t id[16] = { 7 };

		m.mode = STREAM__MODE__CHECKPOINT;
		m.has_chain_id = m.has_chain_seq = 1;
		m.chain_id = (ProtobufCBinaryData){ sizeof(id), id };
		m.chain_seq = 3;
	}
	return stream_write_msg(w, STREAM_INFO, &m.base);
}

static int write_domain(struct stream_writer *w)
{
	static uint8_t uuid[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
	Stream__DomainInfo m = STREAM__DOMAIN_INFO__INIT;
	Stream__CpuidLeaf leaf = STREAM__CPUID_LEAF__INIT, *leaves[] = { &leaf };
	Stream__Vif vif = STREAM__VIF__INIT, *vifs[] = { &vif };

	vif.has_devid = 1;
	vif.mac = (char *)"00:16:3e:01:02:03";
	vif.bridge = (char *)"br0";
	leaf.has_leaf = leaf.has_edx = 1;
	leaf.leaf = 1;
	leaf.edx = 0x178bfbff;
	m.name = (char *)SAMPLE_NAME;
	m.has_uuid = m.has_vcpus = m.has_pfn_limit = m.has_tot_pages = 1;
	m.uuid = (ProtobufCBinaryData){ sizeof(uuid), uuid };
	m.vcpus = SAMPLE_VCPUS;
	m.pfn_limit = SAMPLE_PFN_LIMIT;
	m.tot_pages = SAMPLE_PFN_LIMIT - 2;
	m.config_json = (char *)"{\"name\":\"golden\"}";
	m.n_vifs = 1;
	m.vifs = vifs;
	m.n_cpuid = 1;
	m.cpuid = leaves;
	return stream_write_msg(w, STREAM_DOMAIN, &m.base);
}

static int write_parent(struct stream_writer *w)
{
	Stream__Parent m = STREAM__PARENT__INIT;

	m.has_stream_hash = m.has_chain_seq = 1;
	m.stream_hash = 0x123456789abcdef0;
	m.chain_seq = 2;
	m.name = (char *)"before.ckpt";
	return stream_write_msg(w, STREAM_PARENT, &m.base);
}

static int write_round(struct stream_writer *w, unsigned int number, bool last,
		       unsigned int step)
{
	Stream__RoundBegin b = STREAM__ROUND_BEGIN__INIT;
	Stream__RoundEnd e = STREAM__ROUND_END__INIT;
	uint64_t pfns[SAMPLE_PFN_LIMIT], pfn;
	uint8_t types[SAMPLE_PFN_LIMIT], *buffer = malloc((size_t)SAMPLE_PFN_LIMIT * PAGE);
	unsigned int n = 0;
	int ret;

	need(buffer);
	memset(buffer, 0xee, (size_t)SAMPLE_PFN_LIMIT * PAGE);
	for (pfn = 0; pfn < SAMPLE_PFN_LIMIT; pfn += step, n++) {
		pfns[n] = pfn;
		types[n] = sample_type(pfn);
		sample_page(buffer + (size_t)n * PAGE, pfn, number);
	}
	b.has_number = e.has_number = e.has_pages = b.has_last = 1;
	b.number = e.number = number;
	b.last = last;
	e.pages = n;
	ret = stream_write_msg(w, STREAM_ROUND_BEGIN, &b.base);
	/* The last page, noise in the second round, makes a raw block of its own. */
	if (!ret)
		ret = stream_write_pages(w, pfns, types, buffer, n - 1);
	if (!ret)
		ret = stream_write_pages(w, pfns + n - 1, types + n - 1,
					 buffer + (size_t)(n - 1) * PAGE, 1);
	if (!ret)
		ret = stream_write_msg(w, STREAM_ROUND_END, &e.base);
	free(buffer);
	return ret;
}

static int write_vcpu(struct stream_writer *w, uint32_t index)
{
	Stream__VcpuContext m = STREAM__VCPU_CONTEXT__INIT;
	char text[] = SAMPLE_CONTEXT;

	text[sizeof(text) - 2] = (char)('0' + index);
	m.has_index = m.has_context = 1;
	m.index = index;
	m.context = (ProtobufCBinaryData){ sizeof(text), (uint8_t *)text };
	return stream_write_msg(w, STREAM_VCPU, &m.base);
}

static int write_xenstore(struct stream_writer *w)
{
	static uint8_t value[] = { '1', '2' };
	Stream__Xenstore m = STREAM__XENSTORE__INIT;
	Stream__XenstoreNode node = STREAM__XENSTORE_NODE__INIT, *nodes[] = { &node };

	node.path = (char *)"data/counter";
	node.has_value = 1;
	node.value = (ProtobufCBinaryData){ sizeof(value), value };
	m.n_nodes = 1;
	m.nodes = nodes;
	return stream_write_msg(w, STREAM_XENSTORE, &m.base);
}

static int write_tail(struct stream_writer *w)
{
	Stream__SharedInfo si = STREAM__SHARED_INFO__INIT;
	Stream__FinalState fs = STREAM__FINAL_STATE__INIT;
	Stream__Ledger l = STREAM__LEDGER__INIT;
	Stream__LedgerPhase phase = STREAM__LEDGER_PHASE__INIT, *phases[] = { &phase };
	uint8_t page[PAGE];
	int ret;

	memset(page, 0x5a, sizeof(page));
	si.has_page = 1;
	si.page = (ProtobufCBinaryData){ sizeof(page), page };
	fs.has_start_info_pfn = fs.has_nr_pinned = fs.has_tot_pages = 1;
	fs.start_info_pfn = SAMPLE_START_INFO;
	fs.nr_pinned = 2;
	fs.tot_pages = SAMPLE_PFN_LIMIT - 2;
	phase.name = (char *)"last round";
	phase.has_us = 1;
	phase.us = 1234;
	l.n_phases = 1;
	l.phases = phases;
	ret = stream_write_msg(w, STREAM_SHARED_INFO, &si.base);
	if (!ret)
		ret = stream_write_msg(w, STREAM_FINAL, &fs.base);
	if (!ret)
		ret = stream_write_msg(w, STREAM_LEDGER, &l.base);
	return ret ? ret : stream_write_end(w);
}

int sample_write(struct stream_writer *w)
{
	static const uint64_t leaves[1] = { 16 };
	int ret = stream_write_header(w);

	if (!ret)
		ret = write_info(w);
	if (!ret)
		ret = write_domain(w);
	if (!ret && as_child)
		ret = write_parent(w);
	if (!ret)
		ret = write_xenstore(w);
	if (!ret)
		ret = write_round(w, 0, false, 1);
	if (!ret)
		ret = stream_write_p2m(w, leaves, 1, SAMPLE_PFN_LIMIT, 2);
	if (!ret)
		ret = write_round(w, 1, true, 4);
	if (!ret)
		ret = write_vcpu(w, 1);
	if (!ret)
		ret = write_vcpu(w, 0);
	return ret ? ret : write_tail(w);
}

void sample_build(struct stream_mem *m)
{
	struct stream_writer *w;

	stream_mem_init(m);
	need(!stream_writer_new(&m->io, &w));
	if (as_child)
		stream_writer_keep_index(w);
	need(!sample_write(w));
	stream_writer_free(w);
}

void sample_build_small(struct stream_mem *m)
{
	no_noise = true;
	sample_build(m);
	no_noise = false;
}

void sample_build_child(struct stream_mem *m)
{
	as_child = true;
	sample_build_small(m);
	as_child = false;
}

static bool has_bytes(uint8_t type)
{
	type &= GODWIT_PAGE_TYPE_MASK;
	return type == GODWIT_PAGE_DATA || (type >= GODWIT_PAGE_L1 && type <= GODWIT_PAGE_L4);
}

static void keep_batch(const struct stream_batch *b, const uint8_t *buffer, uint8_t *memory,
		       uint8_t *types, uint64_t nr_pages)
{
	unsigned int i;

	for (i = 0; i < b->nr; i++) {
		if (b->pfns[i] >= nr_pages)
			continue;
		if (types)
			types[b->pfns[i]] = b->types[i];
		if (memory && has_bytes(b->types[i]))
			memcpy(memory + b->pfns[i] * PAGE, buffer + (size_t)i * PAGE, PAGE);
		else if (memory)
			memset(memory + b->pfns[i] * PAGE, 0, PAGE);
	}
}

int sample_read_all(const struct stream_io *io, char *error, uint8_t *memory, uint8_t *types,
		    uint64_t nr_pages)
{
	static struct stream_batch batch;
	static uint8_t buffer[STREAM_BATCH_BYTES];
	struct stream_reader *r;
	struct stream_record rec = { 0 };
	int ret;

	need(!stream_reader_new(io, &r));
	stream_reader_allow_parent(r);
	do {
		ret = stream_read_next(r, &rec);
		if (!ret && rec.type == STREAM_PAGES)
			ret = stream_read_pages(r, &batch, buffer);
		if (!ret && rec.type == STREAM_PAGES)
			keep_batch(&batch, buffer, memory, types, nr_pages);
	} while (!ret && rec.type != STREAM_END);
	if (!ret)
		ret = stream_read_eof(r);
	if (error)
		snprintf(error, 512, "%s", stream_error(r));
	stream_reader_free(r);
	return ret;
}

int sample_verify(const uint8_t *data, size_t len, char *why)
{
	static struct verify_report rep;
	FILE *in = len ? fmemopen((void *)data, len, "r") : fopen("/dev/null", "r");
	int result;

	need(in);
	result = verify_stream(in, &rep);
	fclose(in);
	if (why)
		snprintf(why, 256, "%s", rep.defect);
	return result;
}

/* --- the naive framer ------------------------------------------------------ */

static void put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
	p[3] = (uint8_t)(v >> 24);
}

static void put64(uint8_t *p, uint64_t v)
{
	put32(p, (uint32_t)v);
	put32(p + 4, (uint32_t)(v >> 32));
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v = 0;
	int i;

	for (i = 7; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

static void add(struct stream_mem *m, const void *data, size_t len)
{
	need(!m->io.write(m->io.ctx, data, len));
}

uint64_t raw_hash(const void *data, size_t len)
{
	return XXH3_64bits(data, len);
}

void raw_header(struct stream_mem *m, uint32_t version, uint32_t order, uint32_t flags)
{
	uint8_t h[32] = "\x89GODWIT\n";

	put32(h + 8, version);
	put32(h + 12, order);
	put32(h + 16, flags);
	put64(h + 24, XXH3_64bits(h, 24));
	add(m, h, sizeof(h));
}

void raw_record(struct stream_mem *m, uint32_t type, uint32_t flags, uint32_t number,
		const void *payload, size_t len)
{
	static const uint8_t zeros[8];
	uint8_t h[32] = { 0 };

	put32(h, type);
	put32(h + 4, flags);
	put64(h + 8, len);
	put64(h + 16, XXH3_64bits(payload, len));
	put32(h + 24, number);
	put32(h + 28, (uint32_t)XXH3_64bits(h, 28));
	add(m, h, sizeof(h));
	add(m, payload, len);
	add(m, zeros, (8 - len % 8) % 8);
}

void raw_msg(struct stream_mem *m, uint32_t type, uint32_t number, const ProtobufCMessage *msg)
{
	size_t len = protobuf_c_message_get_packed_size(msg);
	uint8_t *buf = malloc(len + 1);

	need(buf);
	protobuf_c_message_pack(msg, buf);
	raw_record(m, type, 0, number, buf, len);
	free(buf);
}

void raw_fix_checks(uint8_t *data, size_t len)
{
	size_t pos = 32;
	uint32_t number;

	if (len < 32)
		return;
	put64(data + 24, XXH3_64bits(data, 24));
	for (number = 0; len - pos >= 32; number++) {
		uint8_t *h = data + pos;
		uint64_t n = get64(h + 8);

		if (n > len - pos - 32)
			return;
		put64(h + 16, XXH3_64bits(h + 32, n));
		put32(h + 24, number);
		put32(h + 28, (uint32_t)XXH3_64bits(h, 28));
		pos += 32 + n;
		pos += (8 - n % 8) % 8;
		if (pos > len)
			return;
	}
}

/* Add what a PAGES payload says about itself. */
static void count_batch(Stream__End *end, const uint8_t *payload, uint64_t len)
{
	uint32_t counts[2] = { 0 };

	if (len >= 8)
		memcpy(counts, payload, 8);
	end->pages += counts[0];
	end->data_pages += counts[1];
}

void raw_set_end(struct stream_mem *m)
{
	Stream__End end = STREAM__END__INIT;
	uint8_t *heads = malloc(m->len + 1);
	size_t pos = 32, n = 32;
	uint64_t index = 0;

	need(heads && m->len >= 32);
	memcpy(heads, m->data, 32);
	while (m->len - pos >= 32) {
		uint64_t len = get64(m->data + pos + 8), padded = len + (8 - len % 8) % 8;
		uint32_t type = (uint32_t)get64(m->data + pos);

		if (type == STREAM_END || len > m->len || padded > m->len - pos - 32)
			break;
		if (type == STREAM_PAGES)
			count_batch(&end, m->data + pos + 32, len);
		if (type == STREAM_INDEX)
			index = pos;
		memcpy(heads + n, m->data + pos, 32);
		n += 32;
		pos += 32 + padded;
		end.records++;
	}
	end.has_records = end.has_pages = end.has_data_pages = end.has_bytes = 1;
	end.has_stream_hash = 1;
	end.has_index_offset = index != 0;
	end.index_offset = index;
	end.bytes = pos;
	end.stream_hash = raw_hash(heads, n);
	free(heads);
	m->len = pos;
	raw_msg(m, STREAM_END, (uint32_t)end.records, &end.base);
}

size_t raw_index(const uint8_t *data, size_t len, uint8_t *out, size_t room)
{
	size_t pos = 32, n = 8;
	uint32_t count = 0;

	need(room >= 8);
	while (len >= 32 && len - pos >= 32) {
		const uint8_t *h = data + pos;
		uint64_t size = get64(h + 8), padded = size + (8 - size % 8) % 8;

		if (size > len || padded > len - pos - 32 || (uint32_t)get64(h) == STREAM_END)
			break;
		if ((uint32_t)get64(h) == STREAM_PAGES && size >= 24 && n + 40 <= room) {
			uint32_t entries = (uint32_t)get64(h + 32);
			uint64_t last = 16 + 8 * ((uint64_t)entries - 1);

			put64(out + n, pos);
			put64(out + n + 8, get64(h + 16));
			put64(out + n + 16, get64(h + 48) & 0xfffffffffffffull);
			put64(out + n + 24, !entries || last + 8 > size ? 0 :
			      get64(h + 32 + last) & 0xfffffffffffffull);
			put32(out + n + 32, (uint32_t)size);
			put32(out + n + 36, entries);
			n += 40;
			count++;
		}
		pos += 32 + padded;
	}
	put32(out, count);
	put32(out + 4, 0);
	return n;
}

void raw_fix_index(uint8_t *data, size_t len)
{
	static uint8_t rows[8 + 40 * 1024];
	size_t pos = 32, n = raw_index(data, len, rows, sizeof(rows));

	while (len >= 32 && len - pos >= 32) {
		uint64_t size = get64(data + pos + 8), padded = size + (8 - size % 8) % 8;

		if (size > len || padded > len - pos - 32)
			return;
		if ((uint32_t)get64(data + pos) == STREAM_INDEX && size == n)
			memcpy(data + pos + 32, rows, n);
		pos += 32 + padded;
	}
}
