/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The independent reader behind `checkpoint verify`, written from
 * docs/spec/stream.md alone; see checkpoint/verify.h.
 *
 * It is written to be obvious rather than fast: octets are put together one by
 * one, the legal order is a handful of facts ("have seen"), every rule is
 * tested where the specification states it.  The first defect ends the
 * reading through ctx->jump: everything allocated hangs off the context.
 */
#include <ctype.h>
#include <errno.h>
#include <lz4.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/hash.h"
#include "checkpoint/proto/stream.pb-c.h"
#include "checkpoint/verify.h"

#define PAGE		4096u
#define HEAD_BYTES	32u
#define RECORD_BOUND	(16u << 20)
#define MESSAGE_BOUND	((1u << 20) - 1)
#define PAGES_BOUND	(16u + 12u * 1024 + 1024 * PAGE)
#define BLOCK_BOUND	((size_t)64 * PAGE)
#define PFN_LIMIT_BOUND	(1ull << 28)
#define CHUNK_PFNS	65536u
#define INDEX_ROWS	400000u
#define INDEX_ROW	40u
#define INDEX_BOUND	(8u + INDEX_ROWS * INDEX_ROW)

enum {
	T_END = 1, T_INFO, T_DOMAIN, T_P2M, T_ROUND_BEGIN, T_ROUND_END, T_PAGES, T_VCPU,
	T_SHARED, T_FINAL, T_XENSTORE, T_LEDGER, T_PARENT, T_INDEX,
	T_OPTIONAL_BIT = 31,
};

static const char *const type_names[] = {
	[T_END] = "END", [T_INFO] = "STREAM_INFO", [T_DOMAIN] = "DOMAIN_INFO",
	[T_P2M] = "P2M_INFO", [T_ROUND_BEGIN] = "ROUND_BEGIN", [T_ROUND_END] = "ROUND_END",
	[T_PAGES] = "PAGES", [T_VCPU] = "VCPU_CONTEXT", [T_SHARED] = "SHARED_INFO",
	[T_FINAL] = "FINAL_STATE", [T_XENSTORE] = "XENSTORE", [T_LEDGER] = "LEDGER",
	[T_PARENT] = "PARENT", [T_INDEX] = "PAGE_INDEX",
};

struct ctx {
	FILE *in;
	struct verify_report *rep;
	jmp_buf jump;
	struct hash_state *hash;	/* stream hash */
	uint8_t head[HEAD_BYTES];
	uint8_t *payload;
	uint64_t length;
	void *msg;
	char *block;			/* one unpacked block, BLOCK_BOUND bytes */
	uint8_t *map[PFN_LIMIT_BOUND / CHUNK_PFNS];	/* last type + 1 by pfn, 0 = never sent */

	bool have_info, have_domain, in_round, guest_stopped, rounds_over, have_final, ended;
	bool have_shared, have_parent;
	uint8_t *row;			/* what PAGE_INDEX must hold, if there is one */
	uint64_t nr_rows, room_rows;	/* rows that were seen, rows that fit */
	uint64_t index_at;		/* offset of PAGE_INDEX, 0 before it */
	bool have_vcpu[128];
	uint64_t round_began_us;
	uint64_t p2m_got, p2m_want, p2m_max_pfn;
	uint64_t start_info_pfn, nr_pinned, tot_pages;
	bool says_pinned, says_tot_pages;
};

/* --- endings --------------------------------------------------------------- */

__attribute__((noreturn, format(printf, 2, 3)))
static void defect(struct ctx *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->rep->defect, sizeof(c->rep->defect), fmt, ap);
	va_end(ap);
	longjmp(c->jump, 1 + VERIFY_DEFECT);
}

__attribute__((noreturn))
static void unreadable(struct ctx *c, const char *what)
{
	snprintf(c->rep->defect, sizeof(c->rep->defect), "%s: %s", what, strerror(errno));
	longjmp(c->jump, 1 + VERIFY_UNREADABLE);
}

#define must(cond, ...) do { if (!(cond)) defect(c, __VA_ARGS__); } while (0)

__attribute__((format(printf, 2, 3)))
static void note(struct ctx *c, const char *fmt, ...)
{
	va_list ap;

	if (c->rep->nr_notes == VERIFY_NOTES_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(c->rep->note[c->rep->nr_notes++], sizeof(c->rep->note[0]), fmt, ap);
	va_end(ap);
}

/* --- octets ------------------------------------------------------------------ */

static uint32_t le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t le64(const uint8_t *p)
{
	return le32(p) | (uint64_t)le32(p + 4) << 32;
}

static void get(struct ctx *c, void *buf, size_t len, const char *what)
{
	size_t n = fread(buf, 1, len, c->in);

	c->rep->bytes += n;
	if (n == len)
		return;
	if (ferror(c->in))
		unreadable(c, "reading");
	defect(c, "the input ends inside the %s, %zu bytes short", what, len - n);
}

/* --- messages: presence and bounds of fields ---------------------------------- */

static void printable(struct ctx *c, const char *s, size_t max, const char *what)
{
	must(!s || strlen(s) <= max, "%s: more than %zu bytes", what, max);
	for (; s && *s; s++)
		must(*s != 0x7f && (unsigned char)*s >= ' ', "%s: control character", what);
}

static void copy_text(char *dst, size_t size, const char *src)
{
	snprintf(dst, size, "%s", src ? src : "");
}

static void see_info(struct ctx *c, const Stream__StreamInfo *m)
{
	must(!c->have_info, "STREAM_INFO comes once, as the first record");
	must(m->has_mode && m->mode >= 1 && m->mode <= 3, "mode: missing or unknown");
	printable(c, m->writer, 256, "writer");
	printable(c, m->writer_version, 256, "writer_version");
	printable(c, m->host, 256, "host");
	must(!m->has_chain_id || m->chain_id.len == 16, "chain_id: not 16 bytes");
	must(!m->has_parent_hash, "parent_hash: not used in version 1");
	must(!m->chain_seq || (m->has_chain_id && m->mode == STREAM__MODE__CHECKPOINT),
	     "chain_seq: without chain_id, or in another mode than CHECKPOINT");
	must(m->chain_seq <= 1000000000, "chain_seq: above 10^9");
	must(!m->has_replaces || m->chain_seq, "replaces: in the first of a chain");
	c->rep->in_chain = m->has_chain_id;
	if (m->has_chain_id)
		memcpy(c->rep->chain_id, m->chain_id.data, 16);
	c->rep->chain_seq = m->chain_seq;
	c->rep->replaces = m->has_replaces;
	c->rep->replaces_hash = m->replaces;
	c->rep->is_child = m->chain_seq && !m->has_replaces;
	copy_text(c->rep->writer, sizeof(c->rep->writer), m->writer);
	copy_text(c->rep->writer_version, sizeof(c->rep->writer_version), m->writer_version);
	copy_text(c->rep->host, sizeof(c->rep->host), m->host);
	c->rep->time_ns = m->time_ns;
	c->rep->mode = (int)m->mode;
	c->have_info = true;
}

static void see_vif(struct ctx *c, const Stream__Vif *v)
{
	static const char shape[] = "xx:xx:xx:xx:xx:xx";
	size_t i;

	must(v->mac && strlen(v->mac) == strlen(shape), "vif: mac missing or of wrong length");
	for (i = 0; shape[i]; i++)
		must(shape[i] == ':' ? v->mac[i] == ':' : isxdigit((unsigned char)v->mac[i]),
		     "vif: mac is not aa:bb:cc:dd:ee:ff");
	printable(c, v->bridge, 15, "vif: bridge");
	printable(c, v->ip, 256, "vif: ip");
	printable(c, v->script, 256, "vif: script");
}

static void see_domain(struct ctx *c, const Stream__DomainInfo *m)
{
	size_t i;

	must(c->have_info && !c->have_domain, "DOMAIN_INFO comes once, as the second record");
	must(m->name && m->name[0], "name: missing");
	printable(c, m->name, 128, "name");
	must(m->name[0] != '.' && !strchr(m->name, '/'), "name: '/' in it or a dot in front");
	must(m->has_uuid && m->uuid.len == 16, "uuid: missing or not 16 bytes");
	must(m->has_vcpus && m->vcpus >= 1 && m->vcpus <= 128, "vcpus: missing or not 1..128");
	must(m->has_pfn_limit && m->pfn_limit >= 1 && m->pfn_limit <= PFN_LIMIT_BOUND,
	     "pfn_limit: missing or not 1..2^28");
	must(!m->has_tot_pages || m->tot_pages <= m->pfn_limit, "tot_pages: above pfn_limit");
	must(!m->config_json || strlen(m->config_json) < 262144, "config_json: 256 KiB or more");
	must(m->n_cpuid <= 256, "cpuid: more than 256 leaves");
	must(m->n_vifs <= 64, "vifs: more than 64");
	for (i = 0; i < m->n_vifs; i++)
		see_vif(c, m->vifs[i]);
	if (m->console) {
		printable(c, m->console->type, 256, "console type");
		printable(c, m->console->output, 256, "console output");
	}
	copy_text(c->rep->name, sizeof(c->rep->name), m->name);
	memcpy(c->rep->uuid, m->uuid.data, 16);
	c->rep->vcpus = m->vcpus;
	c->rep->pfn_limit = m->pfn_limit;
	c->have_domain = true;
}

static void see_parent(struct ctx *c, const Stream__Parent *m)
{
	size_t i;

	must(c->have_domain, "before DOMAIN_INFO");
	must(c->rep->is_child && !c->have_parent, "PARENT comes once, in a child");
	must(m->has_stream_hash, "stream_hash: missing");
	must(m->has_chain_seq && m->chain_seq == c->rep->chain_seq - 1,
	     "chain_seq: missing or not one less");
	if (m->name) {
		must(m->name[0] && m->name[0] != '.' && strlen(m->name) <= 128,
		     "parent's name: empty, too long or with a dot in front");
		for (i = 0; m->name[i]; i++)
			must(isalnum((unsigned char)m->name[i]) || strchr("._-", m->name[i]),
			     "parent's name: a character that no store has");
	}
	c->rep->parent_hash = m->stream_hash;
	c->have_parent = true;
}

/* What all that follows DOMAIN_INFO and PARENT has in common. */
static void must_be_introduced(struct ctx *c)
{
	must(c->have_domain, "before DOMAIN_INFO");
	must(!c->rep->is_child || c->have_parent, "before PARENT");
}

/* Where P2M_INFO, XENSTORE and LEDGER may come: not in a round of a running guest. */
static void must_be_outside_live_round(struct ctx *c)
{
	must_be_introduced(c);
	must(!c->index_at, "after PAGE_INDEX");
	must(!c->in_round || c->guest_stopped, "inside a round of a running guest");
}

static void see_p2m(struct ctx *c, const Stream__P2mInfo *m)
{
	size_t i;

	must_be_outside_live_round(c);
	must(!c->have_final, "after FINAL_STATE");
	must(m->has_max_pfn && m->max_pfn >= 1 && m->max_pfn <= c->rep->pfn_limit,
	     "max_pfn: missing or not 1..pfn_limit");
	must(m->has_nr_leaves && m->nr_leaves >= 1 &&
	     m->nr_leaves <= (c->rep->pfn_limit + 511) / 512,
	     "nr_leaves: missing, 0 or more than pfn_limit needs");
	must(m->nr_leaves * 512ull >= m->max_pfn, "nr_leaves: fewer than max_pfn needs");
	must(m->has_first_leaf, "first_leaf: missing");
	must(m->n_leaves >= 1 && m->n_leaves <= 65536, "leaves: not 1..65536 of them");
	must((uint64_t)m->first_leaf + m->n_leaves <= m->nr_leaves, "leaves: beyond nr_leaves");
	if (m->first_leaf == 0) {
		c->p2m_got = 0;
		c->p2m_want = m->nr_leaves;
		c->p2m_max_pfn = m->max_pfn;
	}
	must(m->nr_leaves == c->p2m_want && m->max_pfn == c->p2m_max_pfn,
	     "a chunk of another list");
	must(m->first_leaf == c->p2m_got, "first_leaf: %u, the list goes on at %llu",
	     m->first_leaf, (unsigned long long)c->p2m_got);
	for (i = 0; i < m->n_leaves; i++)
		must(m->leaves[i] == UINT64_MAX || m->leaves[i] < c->rep->pfn_limit,
		     "leaves[%zu]: beyond pfn_limit", i);
	c->p2m_got += m->n_leaves;
}

static void see_round_begin(struct ctx *c, const Stream__RoundBegin *m)
{
	struct verify_report *rep = c->rep;

	must_be_introduced(c);
	must(!c->in_round, "inside a round");
	must(!c->guest_stopped, "after the last round");
	must(m->has_number && m->number == (uint32_t)rep->rounds, "number: not %llu",
	     (unsigned long long)rep->rounds);
	must(rep->rounds < VERIFY_ROUNDS_MAX, "more than %u rounds", VERIFY_ROUNDS_MAX);
	rep->round[rep->rounds].number = m->number;
	rep->round[rep->rounds].last = m->last;
	rep->rounds++;
	c->in_round = true;
	c->guest_stopped = m->last;
	c->round_began_us = m->time_us;
}

static void see_round_end(struct ctx *c, const Stream__RoundEnd *m)
{
	struct verify_round *r;

	must(c->in_round, "outside a round");
	r = &c->rep->round[c->rep->rounds - 1];
	must(m->has_number && m->number == r->number, "number: not that of the round");
	must(m->has_pages && m->pages == r->pages, "pages: %llu, the round had %llu",
	     (unsigned long long)m->pages, (unsigned long long)r->pages);
	r->dirty = m->dirty;
	r->us = m->time_us > c->round_began_us ? m->time_us - c->round_began_us : 0;
	c->in_round = false;
	c->rounds_over = r->last;
}

static void must_be_stopped(struct ctx *c)
{
	must(c->guest_stopped, "before the last round has begun");
	must(!c->have_final, "after FINAL_STATE");
}

static void see_vcpu(struct ctx *c, const Stream__VcpuContext *m)
{
	must_be_stopped(c);
	must(m->has_index && m->index < c->rep->vcpus, "index: missing or not below vcpus");
	must(m->has_context && m->context.len >= 1 && m->context.len <= 65536,
	     "context: missing or not 1..65536 bytes");
	must(!c->have_vcpu[m->index], "vcpu %u twice", m->index);
	c->have_vcpu[m->index] = true;
}

static void see_shared(struct ctx *c, const Stream__SharedInfo *m)
{
	must_be_stopped(c);
	must(m->has_page && m->page.len == PAGE, "page: missing or not 4096 bytes");
	must(!c->have_shared, "SHARED_INFO twice");
	c->have_shared = true;
}

static void see_final(struct ctx *c, const Stream__FinalState *m)
{
	uint32_t i;

	must_be_stopped(c);
	must(c->rounds_over, "before the last round has ended");
	must(m->has_start_info_pfn && m->start_info_pfn < c->rep->pfn_limit,
	     "start_info_pfn: missing or beyond pfn_limit");
	must(c->p2m_want && c->p2m_got == c->p2m_want, "the p2m list is not complete");
	for (i = 0; i < c->rep->vcpus; i++)
		must(c->have_vcpu[i], "vcpu %u is missing", i);
	must(c->have_shared, "SHARED_INFO is missing");
	c->start_info_pfn = m->start_info_pfn;
	c->says_pinned = m->has_nr_pinned;
	c->nr_pinned = m->nr_pinned;
	c->says_tot_pages = m->has_tot_pages;
	c->tot_pages = m->tot_pages;
	c->have_final = true;
}

static void see_xenstore(struct ctx *c, const Stream__Xenstore *m)
{
	size_t i, k;

	must_be_outside_live_round(c);
	must(m->n_nodes <= 4096, "nodes: more than 4096");
	for (i = 0; i < m->n_nodes; i++) {
		const char *path = m->nodes[i]->path;
		char before = '/';

		must(path && path[0], "nodes[%zu]: no path", i);
		for (k = 0; path[k]; k++) {
			must(isalnum((unsigned char)path[k]) || strchr("-/_@:", path[k]),
			     "nodes[%zu]: path has an illegal character", i);
			must(path[k] != '/' || before != '/',
			     "nodes[%zu]: path is absolute or has an empty part", i);
			before = path[k];
		}
		must(before != '/' && k <= 1024, "nodes[%zu]: path ends in '/' or is too long", i);
		must(m->nodes[i]->value.len <= 4096, "nodes[%zu]: value above 4096 bytes", i);
	}
}

static void see_ledger(struct ctx *c, const Stream__Ledger *m)
{
	size_t i;

	must_be_outside_live_round(c);
	must(m->n_phases <= 256, "phases: more than 256");
	for (i = 0; i < m->n_phases; i++)
		printable(c, m->phases[i]->name, 256, "phase name");
}

static void see_end(struct ctx *c, const Stream__End *m)
{
	const struct verify_report *rep = c->rep;

	must(c->have_final, "before FINAL_STATE");
	must(m->has_records && m->records == rep->records, "records: not %llu",
	     (unsigned long long)rep->records);
	must(m->has_pages && m->pages == rep->pages, "pages: not %llu",
	     (unsigned long long)rep->pages);
	must(m->has_data_pages && m->data_pages == rep->data_pages, "data_pages: not %llu",
	     (unsigned long long)rep->data_pages);
	must(m->has_bytes && m->bytes == rep->defect_offset, "bytes: not %llu",
	     (unsigned long long)rep->defect_offset);
	c->rep->stream_hash = hash_state_value(c->hash);
	must(m->has_stream_hash && m->stream_hash == rep->stream_hash,
	     "stream_hash: not 0x%016llx", (unsigned long long)rep->stream_hash);
	must(m->has_index_offset == (c->index_at != 0),
	     "index_offset: there, but no PAGE_INDEX, or the other way");
	must(!c->index_at || m->index_offset == c->index_at, "index_offset: not %llu",
	     (unsigned long long)c->index_at);
	c->ended = true;
}

/* --- pages ------------------------------------------------------------------------- */

#define T_DELTA_PAGE	10

static bool carries_bytes(unsigned int type)
{
	type &= 0x7f;
	return type == 0 || type == T_DELTA_PAGE || (type >= 2 && type <= 5);
}

static void remember_type(struct ctx *c, uint64_t pfn, unsigned int type)
{
	uint8_t **chunk = &c->map[pfn / CHUNK_PFNS];

	if (!*chunk)
		*chunk = calloc(1, CHUNK_PFNS);
	if (!*chunk)
		unreadable(c, "page map");
	(*chunk)[pfn % CHUNK_PFNS] = (uint8_t)(type + 1);
}

/* A delta is against bytes sent before, as they are or as a delta. */
static bool has_base(const struct ctx *c, uint64_t pfn)
{
	const uint8_t *chunk = c->map[pfn / CHUNK_PFNS];

	return chunk && chunk[pfn % CHUNK_PFNS] == 0 + 1;
}

static void see_entries(struct ctx *c, uint32_t count, uint32_t nr_data)
{
	uint64_t last = 0;
	uint32_t i, with_bytes = 0;

	for (i = 0; i < count; i++) {
		uint64_t e = le64(c->payload + 16 + 8 * (size_t)i);
		uint64_t pfn = e & 0xfffffffffffffull;
		unsigned int type = (unsigned int)(e >> 56);

		must((e >> 52 & 15) == 0, "entry[%u]: bits 52..55 are not zero", i);
		must(type <= 7 || type == T_DELTA_PAGE || (type >= 0x82 && type <= 0x85),
		     "entry[%u]: type 0x%02x", i, type);
		must(pfn < c->rep->pfn_limit, "entry[%u]: pfn beyond pfn_limit", i);
		must(type != T_DELTA_PAGE || !c->rep->in_chain,
		     "entry[%u]: delta in a checkpoint of a chain", i);
		must(type != T_DELTA_PAGE || has_base(c, pfn), "entry[%u]: delta of a page that was not data", i);
		must(i == 0 || pfn > last, "entry[%u]: pfns do not ascend", i);
		last = pfn;
		with_bytes += carries_bytes(type);
		remember_type(c, pfn, type == T_DELTA_PAGE ? 0 : type);
	}
	must(with_bytes == nr_data, "nr_data: %u, entries with bytes: %u", nr_data, with_bytes);
}

static void see_block(struct ctx *c, uint32_t i, const uint8_t *src, uint32_t size, uint32_t pages)
{
	uint32_t bytes = size & 0x7fffffff;

	if (size >> 31) {
		must(bytes == pages * PAGE, "block %u: raw, %u bytes for %u pages", i, bytes,
		     pages);
		c->rep->raw_blocks++;
		return;
	}
	must(bytes > 0 && bytes < pages * PAGE, "block %u: LZ4, %u bytes for %u pages", i, bytes,
	     pages);
	if (!c->block)
		c->block = malloc(BLOCK_BOUND);
	if (!c->block)
		unreadable(c, "block");
	must(LZ4_decompress_safe((const char *)src, c->block, (int)bytes,
				 (int)(pages * PAGE)) == (int)(pages * PAGE),
	     "block %u: does not unpack to %u pages", i, pages);
	c->rep->lz4_blocks++;
}

static void see_pages(struct ctx *c)
{
	struct verify_round *round;
	const uint8_t *p = c->payload;
	uint64_t pos, sizes, room;
	uint32_t count, nr_data, per_block, nr_blocks, i;

	must(c->in_round, "outside a round");
	round = &c->rep->round[c->rep->rounds - 1];
	must(c->length >= 16, "too short for a batch");
	count = le32(p);
	nr_data = le32(p + 4);
	per_block = le32(p + 8);
	nr_blocks = le32(p + 12);
	must(count >= 1 && count <= 1024, "count: %u, not 1..1024", count);
	must(nr_data <= count, "nr_data: %u of %u", nr_data, count);
	must(per_block >= 1 && per_block <= 64, "block_pages: %u, not 1..64", per_block);
	must(nr_blocks == nr_data / per_block + (nr_data % per_block != 0),
	     "nr_blocks: %u for %u pages in blocks of %u", nr_blocks, nr_data, per_block);
	sizes = 16 + 8ull * count;
	pos = (sizes + 4ull * nr_blocks + 7) / 8 * 8;
	must(pos <= c->length, "too short for its entries");
	see_entries(c, count, nr_data);
	must(nr_blocks % 2 == 0 || le32(p + pos - 4) == 0, "padding after the sizes is not zero");
	for (i = 0; i < nr_blocks; i++) {
		uint32_t size = le32(p + sizes + 4ull * i);
		uint32_t pages = i + 1 < nr_blocks ? per_block : nr_data - i * per_block;

		room = c->length - pos;
		must((size & 0x7fffffff) <= room, "block %u: beyond the record", i);
		see_block(c, i, p + pos, size, pages);
		pos += size & 0x7fffffff;
		c->rep->packed_bytes += size & 0x7fffffff;
		round->bytes += size & 0x7fffffff;
	}
	must(pos == c->length, "bytes left after the last block");
	c->rep->pages += count;
	c->rep->data_pages += nr_data;
	round->pages += count;
	round->data_pages += nr_data;
}

static void put_le(uint8_t *p, uint64_t v, unsigned int bytes)
{
	for (; bytes; bytes--, v >>= 8)
		*p++ = (uint8_t)v;
}

/* Keep the row that an index must have for this record. */
static void remember_row(struct ctx *c)
{
	uint32_t count = le32(c->payload);
	uint8_t *row;

	if (c->nr_rows++ >= INDEX_ROWS)		/* then there must be no index */
		return;
	if (c->nr_rows > c->room_rows) {
		c->room_rows = 2 * c->nr_rows + 16;
		row = realloc(c->row, c->room_rows * INDEX_ROW);
		if (!row)
			unreadable(c, "index");
		c->row = row;
	}
	row = c->row + (c->nr_rows - 1) * INDEX_ROW;
	put_le(row, c->rep->defect_offset, 8);
	put_le(row + 8, le64(c->head + 16), 8);
	put_le(row + 16, le64(c->payload + 16) & 0xfffffffffffffull, 8);
	put_le(row + 24, le64(c->payload + 8 + 8 * (size_t)count) & 0xfffffffffffffull, 8);
	put_le(row + 32, c->length, 4);
	put_le(row + 36, count, 4);
}

static void see_index(struct ctx *c)
{
	uint64_t count, i;

	must(c->have_final, "before FINAL_STATE");
	must(!c->index_at, "PAGE_INDEX twice");
	must(c->length >= 8, "too short for an index");
	count = le32(c->payload);
	must(!le32(c->payload + 4), "bytes 4..7 are not zero");
	must(count <= INDEX_ROWS && c->length == 8 + count * INDEX_ROW,
	     "count: %llu rows in %llu bytes", (unsigned long long)count,
	     (unsigned long long)c->length);
	must(count == c->nr_rows, "count: %llu, the stream has %llu PAGES records",
	     (unsigned long long)count, (unsigned long long)c->nr_rows);
	for (i = 0; i < count; i++)
		must(!memcmp(c->payload + 8 + i * INDEX_ROW, c->row + i * INDEX_ROW, INDEX_ROW),
		     "row[%llu]: not what the PAGES record is", (unsigned long long)i);
	c->index_at = c->rep->defect_offset;
	c->rep->indexed = true;
}

/* --- records ------------------------------------------------------------------------ */

static const ProtobufCMessageDescriptor *descriptor_of(uint32_t t)
{
	switch (t) {
	case T_END: return &stream__end__descriptor;
	case T_INFO: return &stream__stream_info__descriptor;
	case T_DOMAIN: return &stream__domain_info__descriptor;
	case T_P2M: return &stream__p2m_info__descriptor;
	case T_ROUND_BEGIN: return &stream__round_begin__descriptor;
	case T_ROUND_END: return &stream__round_end__descriptor;
	case T_VCPU: return &stream__vcpu_context__descriptor;
	case T_SHARED: return &stream__shared_info__descriptor;
	case T_FINAL: return &stream__final_state__descriptor;
	case T_XENSTORE: return &stream__xenstore__descriptor;
	case T_PARENT: return &stream__parent__descriptor;
	default: return &stream__ledger__descriptor;
	}
}

static void see_message(struct ctx *c, uint32_t t)
{
	c->msg = protobuf_c_message_unpack(descriptor_of(t), NULL, c->length, c->payload);
	must(c->msg, "the payload is not a protobuf message of this type");
	switch (t) {
	case T_END: see_end(c, c->msg); break;
	case T_INFO: see_info(c, c->msg); break;
	case T_DOMAIN: see_domain(c, c->msg); break;
	case T_P2M: see_p2m(c, c->msg); break;
	case T_ROUND_BEGIN: see_round_begin(c, c->msg); break;
	case T_ROUND_END: see_round_end(c, c->msg); break;
	case T_VCPU: see_vcpu(c, c->msg); break;
	case T_SHARED: see_shared(c, c->msg); break;
	case T_FINAL: see_final(c, c->msg); break;
	case T_XENSTORE: see_xenstore(c, c->msg); break;
	case T_PARENT: see_parent(c, c->msg); break;
	default: see_ledger(c, c->msg); break;
	}
	protobuf_c_message_free_unpacked(c->msg, NULL);
	c->msg = NULL;
}

static void see_payload(struct ctx *c)
{
	uint64_t pad = (8 - c->length % 8) % 8, i;

	free(c->payload);
	c->payload = malloc(c->length + pad + 1);
	if (!c->payload)
		unreadable(c, "payload");
	get(c, c->payload, c->length + pad, "payload");
	must(hash_bytes(c->payload, c->length) == le64(c->head + 16),
	     "the payload does not have the checksum in its header");
	for (i = 0; i < pad; i++)
		must(c->payload[c->length + i] == 0, "padding is not zero");
}

static void see_record(struct ctx *c)
{
	uint32_t type, t;
	bool known;

	c->rep->defect_record = c->rep->records;
	c->rep->defect_offset = c->rep->bytes;
	c->rep->defect_type[0] = '\0';
	get(c, c->head, HEAD_BYTES, "record header");
	must((uint32_t)hash_bytes(c->head, 28) == le32(c->head + 28),
	     "the record header does not have its own checksum");
	type = le32(c->head);
	t = type & 0x7fffffff;
	/* LEDGER and PAGE_INDEX are the known types that are optional. */
	known = t >= T_END && t <= T_INDEX &&
		(t == T_LEDGER || t == T_INDEX) == (type >> T_OPTIONAL_BIT);
	copy_text(c->rep->defect_type, sizeof(c->rep->defect_type),
		  known ? type_names[t] : "unknown");
	must(le32(c->head + 24) == (uint32_t)c->rep->records, "numbered %u, not %llu",
	     le32(c->head + 24), (unsigned long long)c->rep->records);
	must(known || type >> T_OPTIONAL_BIT, "mandatory record of unknown type 0x%x", type);
	must((le32(c->head + 4) & 0xffff) == 0, "unknown mandatory flag 0x%x", le32(c->head + 4));
	c->length = le64(c->head + 8);
	must(c->length <= (!known ? RECORD_BOUND : t == T_PAGES ? PAGES_BOUND :
			   t == T_INDEX ? INDEX_BOUND : MESSAGE_BOUND),
	     "length %llu is above the bound of its type", (unsigned long long)c->length);
	see_payload(c);
	if (!known)
		c->rep->skipped++;
	else if (t == T_PAGES)
		see_pages(c);
	else if (t == T_INDEX)
		see_index(c);
	else
		see_message(c, t);
	if (known && t == T_PAGES)
		remember_row(c);
	hash_state_add(c->hash, c->head, HEAD_BYTES);
	c->rep->records++;
}

static void see_stream_header(struct ctx *c)
{
	get(c, c->head, HEAD_BYTES, "stream header");
	must(!memcmp(c->head, "\x89GODWIT\n", 8), "not a Godwit stream");
	must(le32(c->head + 12) == 0x01020304, "byte order mark 0x%08x", le32(c->head + 12));
	must(le32(c->head + 8) == 1, "version %u; only version 1 is known here",
	     le32(c->head + 8));
	must(hash_bytes(c->head, 24) == le64(c->head + 24),
	     "the stream header does not have its own checksum");
	must((le32(c->head + 16) & 0xffff) == 0, "unknown mandatory flag 0x%x",
	     le32(c->head + 16));
	must(le32(c->head + 20) == 0, "bytes 20..23 are not zero");
	hash_state_add(c->hash, c->head, HEAD_BYTES);
}

/* --- the end: what the guest would wake up with ------------------------------------------ */

static void count_final_pages(struct ctx *c)
{
	struct verify_report *rep = c->rep;
	uint64_t pfn;
	uint8_t type;

	for (pfn = 0; pfn < rep->pfn_limit; pfn++) {
		if (!c->map[pfn / CHUNK_PFNS]) {
			pfn |= CHUNK_PFNS - 1;
			continue;
		}
		type = c->map[pfn / CHUNK_PFNS][pfn % CHUNK_PFNS];
		if (!type--)
			continue;
		rep->final[type & 7]++;
		rep->final_pinned += type >> 7;
	}
}

static void add_notes(struct ctx *c)
{
	const struct verify_report *rep = c->rep;
	const uint8_t *chunk = c->map[c->start_info_pfn / CHUNK_PFNS];
	uint64_t present = 0;
	unsigned int i;

	if (rep->is_child) {
		note(c, "holds only what changed since checkpoint %016llx",
		     (unsigned long long)rep->parent_hash);
		return;		/* the rest can only be said of a whole image */
	}
	for (i = 0; i < 7; i++)		/* all but ABSENT */
		present += rep->final[i];
	if (!chunk || chunk[c->start_info_pfn % CHUNK_PFNS] != 1)
		note(c, "start_info_pfn 0x%llx is not a data page",
		     (unsigned long long)c->start_info_pfn);
	if (c->says_pinned && c->nr_pinned != rep->final_pinned)
		note(c, "the source counted %llu pinned tables, the pages have %llu",
		     (unsigned long long)c->nr_pinned, (unsigned long long)rep->final_pinned);
	if (c->says_tot_pages && c->tot_pages != present)
		note(c, "the source counted %llu frames, the pages have %llu",
		     (unsigned long long)c->tot_pages, (unsigned long long)present);
}

static void release(struct ctx *c)
{
	size_t i;

	if (c->msg)
		protobuf_c_message_free_unpacked(c->msg, NULL);
	for (i = 0; i < sizeof(c->map) / sizeof(c->map[0]); i++)
		free(c->map[i]);
	free(c->row);
	free(c->block);
	free(c->payload);
	hash_state_free(c->hash);
	free(c);
}

static void read_all(struct ctx *c)
{
	see_stream_header(c);
	while (!c->ended)
		see_record(c);
	c->rep->defect_record = c->rep->records;
	c->rep->defect_offset = c->rep->bytes;
	c->rep->defect_type[0] = '\0';
	must(fgetc(c->in) == EOF, "bytes follow the END record");
	if (ferror(c->in))
		unreadable(c, "reading");
	count_final_pages(c);
	add_notes(c);
}

int verify_stream(FILE *in, struct verify_report *rep)
{
	struct ctx *c = calloc(1, sizeof(*c));
	int result;

	memset(rep, 0, sizeof(*rep));
	if (c)
		c->hash = hash_state_new();
	if (!c || !c->hash) {
		free(c);
		snprintf(rep->defect, sizeof(rep->defect), "no memory");
		return VERIFY_UNREADABLE;
	}
	c->in = in;
	c->rep = rep;
	result = setjmp(c->jump);
	if (!result)
		read_all(c);
	else
		result--;
	release(c);
	return result;
}
