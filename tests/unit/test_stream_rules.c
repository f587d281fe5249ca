/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every rule of docs/spec/stream.md, broken one at a time: an otherwise sound
 * stream with all checks and totals right must be refused by both readers, and
 * each must name the rule.  (That it is refused is not enough: a reader that
 * forgot the rule would mostly stumble over something later.)
 *
 * One row of a table is a rule: its name, what the library says, what the
 * verifier says, and the code that breaks it.
 */
#include <errno.h>
#include <lz4.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkpoint/verify.h"
#include "tests/unit/test_stream_util.h"

#define PAGE		STREAM_PAGE_SIZE
#define PFN_LIMIT	2000u	/* four leaves of the p2m list */
#define MANY		70000

/* A whole stream, record by record; nr_* may be 0 to leave a record out. */
struct plan {
	Stream__StreamInfo info;
	Stream__DomainInfo domain;
	Stream__Vif vif, *vifs[MANY];
	Stream__Console console;
	Stream__CpuidLeaf leaf, *leaves[MANY];
	Stream__P2mInfo p2m[2];
	unsigned int nr_p2m;
	uint64_t p2m_leaves[MANY];
	Stream__RoundBegin begin;
	Stream__RoundEnd end;
	unsigned int nr_rounds;		/* live rounds before the last one */
	uint8_t batch[2][4 * PAGE];
	size_t batch_len[2];
	unsigned int nr_batches;
	Stream__VcpuContext vcpu[2];
	unsigned int nr_vcpus;
	Stream__SharedInfo shared;
	unsigned int nr_shared;
	Stream__FinalState final;
	Stream__XenstoreNode node, *nodes[MANY];
	Stream__Xenstore xenstore;
	Stream__LedgerPhase phase, *phases[MANY];
	Stream__Ledger ledger;
	/* What comes where it must not. */
	bool p2m_in_live_round, xenstore_in_live_round, early_vcpu, early_shared, early_final;
	bool pages_outside, begin_inside, begin_after_last, vcpu_after_final, p2m_after_final;
	bool early_pages, early_begin, early_p2m, end_outside, garbage_message, info_twice;
	bool domain_twice;
	/* Chains: a parent and an index come only when a rule asks for them. */
	Stream__Parent parent;
	unsigned int nr_parents, nr_indices;
	bool late_parent, early_index, ledger_after_index;
	long index_longer;		/* bytes more than the index has */
	void (*spoil_index)(uint8_t *rows);
};

static void put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

static void put64(uint8_t *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v));
}

static uint64_t entry(uint64_t pfn, unsigned int type)
{
	return pfn | (uint64_t)type << 56;
}

static char *text(size_t len)
{
	static char buf[300000];

	memset(buf, 'x', len);
	buf[len] = '\0';
	return buf;
}

/* Offsets in batch 0: counts 0..15, four entries 16..47, two sizes 48..55, blocks. */
#define B0_ENTRY(i)	(p->batch[0] + 16 + 8 * (i))
#define B0_SIZE(i)	(p->batch[0] + 48 + 4 * (i))
/* Batch 1: one entry 16..23, one size 24..27, padding 28..31, one block. */
#define B1_SIZE		(p->batch[1] + 24)

/* Batch 0: data, zero, data, pinned L1; an LZ4 block of two pages, a raw one. */
static void plan_batches(struct plan *p)
{
	static uint8_t pages[2 * PAGE];
	uint8_t *b = p->batch[0];
	int n;

	memset(pages, 7, sizeof(pages));
	put32(b, 4);
	put32(b + 4, 3);
	put32(b + 8, 2);
	put32(b + 12, 2);
	put64(b + 16, entry(1, GODWIT_PAGE_DATA));
	put64(b + 24, entry(2, GODWIT_PAGE_ZERO));
	put64(b + 32, entry(3, GODWIT_PAGE_DATA));
	put64(b + 40, entry(5, GODWIT_PAGE_L1 | GODWIT_PAGE_PINNED));
	n = LZ4_compress_default((const char *)pages, (char *)b + 56, sizeof(pages), 2 * PAGE);
	assert_true(n > 0);
	put32(b + 48, (uint32_t)n);
	put32(b + 52, PAGE | 0x80000000u);
	p->batch_len[0] = 56 + (size_t)n + PAGE;

	b = p->batch[1];
	put32(b, 1);
	put32(b + 4, 1);
	put32(b + 8, 64);
	put32(b + 12, 1);
	put64(b + 16, entry(7, GODWIT_PAGE_DATA));
	n = LZ4_compress_default((const char *)pages, (char *)b + 32, PAGE, PAGE);
	put32(b + 24, (uint32_t)n);
	p->batch_len[1] = 32 + (size_t)n;
	p->nr_batches = 2;
}

static void plan_domain(struct plan *p)
{
	static uint8_t uuid[32];
	Stream__DomainInfo *d = &p->domain;
	size_t i;

	stream__domain_info__init(d);
	stream__vif__init(&p->vif);
	stream__console__init(&p->console);
	stream__cpuid_leaf__init(&p->leaf);
	for (i = 0; i < MANY; i++) {
		p->vifs[i] = &p->vif;
		p->leaves[i] = &p->leaf;
	}
	p->vif.mac = (char *)"00:16:3E:aa:bb:cc";
	d->name = (char *)"rules";
	d->has_uuid = d->has_vcpus = d->has_pfn_limit = d->has_tot_pages = 1;
	d->uuid = (ProtobufCBinaryData){ 16, uuid };
	d->vcpus = 2;
	d->pfn_limit = PFN_LIMIT;
	d->tot_pages = PFN_LIMIT;
	d->vifs = p->vifs;
	d->n_vifs = 1;
	d->cpuid = p->leaves;
	d->n_cpuid = 1;
	d->console = &p->console;
}

static void plan_p2m(struct plan *p)
{
	unsigned int i;

	/* A list of four leaves in two chunks. */
	for (i = 0; i < 2; i++) {
		Stream__P2mInfo *m = &p->p2m[i];

		stream__p2m_info__init(m);
		m->has_max_pfn = m->has_nr_leaves = m->has_first_leaf = 1;
		m->max_pfn = PFN_LIMIT;
		m->nr_leaves = 4;
		m->first_leaf = i * 2;
		m->n_leaves = 2;
		m->leaves = p->p2m_leaves;
	}
	p->p2m_leaves[1] = STREAM_P2M_NONE;
	p->nr_p2m = 2;
}

static void plan_state(struct plan *p)
{
	static uint8_t bytes[MANY];
	unsigned int i;

	for (i = 0; i < 2; i++) {
		stream__vcpu_context__init(&p->vcpu[i]);
		p->vcpu[i].has_index = p->vcpu[i].has_context = 1;
		p->vcpu[i].index = i;
		p->vcpu[i].context = (ProtobufCBinaryData){ 200, bytes };
	}
	p->nr_vcpus = 2;
	stream__shared_info__init(&p->shared);
	p->shared.has_page = 1;
	p->shared.page = (ProtobufCBinaryData){ PAGE, bytes };
	p->nr_shared = 1;
	stream__final_state__init(&p->final);
	p->final.has_start_info_pfn = 1;
	p->final.start_info_pfn = 3;
	stream__xenstore_node__init(&p->node);
	stream__ledger_phase__init(&p->phase);
	for (i = 0; i < MANY; i++) {
		p->nodes[i] = &p->node;
		p->phases[i] = &p->phase;
	}
	p->node.path = (char *)"data/a-b_c@d:e";
	p->node.has_value = 1;
	p->node.value = (ProtobufCBinaryData){ 4096, bytes };
	stream__xenstore__init(&p->xenstore);
	p->xenstore.n_nodes = 1;
	p->xenstore.nodes = p->nodes;
	stream__ledger__init(&p->ledger);
	p->ledger.n_phases = 1;
	p->ledger.phases = p->phases;
}

static struct plan *plan_new(void)
{
	struct plan *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	stream__stream_info__init(&p->info);
	p->info.has_mode = 1;
	p->info.mode = STREAM__MODE__LIVE;
	stream__parent__init(&p->parent);
	p->parent.has_stream_hash = p->parent.has_chain_seq = 1;
	p->parent.stream_hash = 0x1234;
	p->parent.chain_seq = 4;
	p->parent.name = (char *)"20260101T000000.000Z-000004-01020304.ckpt";
	stream__round_begin__init(&p->begin);
	p->begin.has_number = 1;
	stream__round_end__init(&p->end);
	p->end.has_number = p->end.has_pages = 1;
	p->end.pages = 5;
	p->nr_rounds = 1;
	plan_domain(p);
	plan_batches(p);
	plan_p2m(p);
	plan_state(p);
	return p;
}

/* --- from the plan to octets -------------------------------------------------------- */

struct build {
	struct stream_mem m;
	uint32_t number;
};

static void msg(struct build *b, uint32_t type, const ProtobufCMessage *m)
{
	raw_msg(&b->m, type, b->number++, m);
}

static void build_batches(struct build *b, const struct plan *p)
{
	unsigned int i;

	for (i = 0; i < p->nr_batches; i++)
		raw_record(&b->m, STREAM_PAGES, 0, b->number++, p->batch[i], p->batch_len[i]);
}

static void build_live_round(struct build *b, struct plan *p, uint32_t number)
{
	bool first = number == 0;

	p->begin.number += number;
	p->end.number += number;
	msg(b, STREAM_ROUND_BEGIN, &p->begin.base);
	if (first && p->begin_inside)
		msg(b, STREAM_ROUND_BEGIN, &p->begin.base);
	if (first && p->p2m_in_live_round)
		msg(b, STREAM_P2M, &p->p2m[0].base);
	if (first && p->xenstore_in_live_round)
		msg(b, STREAM_XENSTORE, &p->xenstore.base);
	if (first)
		build_batches(b, p);
	p->end.pages = first ? p->end.pages : 0;
	msg(b, STREAM_ROUND_END, &p->end.base);
	p->begin.number -= number;
	p->end.number -= number;
}

static void build_front(struct build *b, const struct plan *p)
{
	unsigned int i;

	raw_header(&b->m, 1, 0x01020304, 0);
	if (p->early_begin)
		msg(b, STREAM_ROUND_BEGIN, &p->begin.base);
	msg(b, STREAM_INFO, &p->info.base);
	if (p->info_twice)
		msg(b, STREAM_INFO, &p->info.base);
	if (p->early_p2m)
		msg(b, STREAM_P2M, &p->p2m[0].base);
	if (p->early_pages)
		build_batches(b, p);
	if (p->garbage_message)
		raw_record(&b->m, STREAM_DOMAIN, 0, b->number++, "\xff\xff\xff", 3);
	msg(b, STREAM_DOMAIN, &p->domain.base);
	for (i = 0; i < p->nr_parents && !p->late_parent; i++)
		msg(b, STREAM_PARENT, &p->parent.base);
	if (p->domain_twice)
		msg(b, STREAM_DOMAIN, &p->domain.base);
	if (p->pages_outside)
		build_batches(b, p);
	if (p->end_outside)
		msg(b, STREAM_ROUND_END, &p->end.base);
	if (p->early_vcpu)
		msg(b, STREAM_VCPU, &p->vcpu[0].base);
	if (p->early_shared)
		msg(b, STREAM_SHARED_INFO, &p->shared.base);
	if (p->late_parent) {
		msg(b, STREAM_XENSTORE, &p->xenstore.base);
		msg(b, STREAM_PARENT, &p->parent.base);
	}
}

static void build_index(struct build *b, const struct plan *p)
{
	uint8_t rows[8 + 40 * 8] = { 0 };
	size_t len = raw_index(b->m.data, b->m.len, rows, sizeof(rows) - 40);

	if (p->spoil_index)
		p->spoil_index(rows);
	raw_record(&b->m, STREAM_INDEX, 0, b->number++, rows,
		   (size_t)((long)len + p->index_longer));
}

/* A sound child: what the rules about chains begin with. */
static void be_child(struct plan *p)
{
	static uint8_t id[16] = { 9 };

	p->info.mode = STREAM__MODE__CHECKPOINT;
	p->info.has_chain_id = p->info.has_chain_seq = 1;
	p->info.chain_id = (ProtobufCBinaryData){ 16, id };
	p->info.chain_seq = 5;
	p->nr_parents = 1;
	p->nr_indices = 1;
}

static void index_count_less(uint8_t *r) { put32(r, 1); }
static void index_zero(uint8_t *r) { r[4] = 1; }
static void index_offset(uint8_t *r) { r[8] ^= 8; }
static void index_check(uint8_t *r) { r[16] ^= 1; }
static void index_first(uint8_t *r) { r[24] ^= 1; }
static void index_last(uint8_t *r) { r[72] ^= 1; }
static void index_length(uint8_t *r) { r[40] ^= 1; }
static void index_entries(uint8_t *r) { r[44] ^= 1; }

static void build_tail(struct build *b, struct plan *p)
{
	unsigned int i;

	for (i = 0; i < p->nr_vcpus; i++)
		msg(b, STREAM_VCPU, &p->vcpu[i].base);
	for (i = 0; i < p->nr_shared; i++)
		msg(b, STREAM_SHARED_INFO, &p->shared.base);
	for (i = 0; i < p->nr_p2m; i++)
		msg(b, STREAM_P2M, &p->p2m[i].base);
	if (p->early_final)
		msg(b, STREAM_FINAL, &p->final.base);
}

/* The last round has no batches: round number nr_rounds, both state and end in it. */
static void build_all(struct stream_mem *out, struct plan *p)
{
	struct build b = { .number = 0 };
	uint32_t i;

	stream_mem_init(&b.m);
	build_front(&b, p);
	for (i = 0; i < p->nr_rounds; i++)
		build_live_round(&b, p, i);
	p->begin.number += p->nr_rounds;
	p->end.number += p->nr_rounds;
	p->begin.has_last = p->begin.last = 1;
	p->end.pages = 0;
	msg(&b, STREAM_ROUND_BEGIN, &p->begin.base);
	build_tail(&b, p);
	msg(&b, STREAM_ROUND_END, &p->end.base);
	if (p->begin_after_last)
		msg(&b, STREAM_ROUND_BEGIN, &p->begin.base);
	if (p->early_index)
		build_index(&b, p);
	msg(&b, STREAM_XENSTORE, &p->xenstore.base);
	msg(&b, STREAM_FINAL, &p->final.base);
	if (p->vcpu_after_final)
		msg(&b, STREAM_VCPU, &p->vcpu[0].base);
	if (p->p2m_after_final)
		msg(&b, STREAM_P2M, &p->p2m[0].base);
	msg(&b, STREAM_LEDGER, &p->ledger.base);
	for (i = 0; i < p->nr_indices; i++)
		build_index(&b, p);
	if (p->ledger_after_index)
		msg(&b, STREAM_LEDGER, &p->ledger.base);
	raw_set_end(&b.m);
	*out = b.m;
	out->io.ctx = out;
}

static void assert_says(const char *rule, const char *reader, const char *said, const char *want)
{
	if (strstr(said, want))
		return;
	fail_msg("%s: %s says '%s', expected '%s'", rule, reader, said, want);
}

/* Both readers' words about a stream. */
static void assert_named(const char *rule, const uint8_t *data, size_t len, const char *lib,
			 const char *verify)
{
	char error[512], why[256];
	struct stream_mem m;
	int ret;

	stream_mem_view(&m, data, len);
	ret = sample_read_all(&m.io, error, NULL, NULL, 0);
	assert_says(rule, "library", error, lib);
	assert_true(ret < 0);
	assert_int_equal(sample_verify(data, len, why), VERIFY_DEFECT);
	assert_says(rule, "verify", why, verify);
}

/* --- rules about fields, batches and order ------------------------------------------- */

#define RULES(R) \
R(mode_missing, "mode is missing", "mode: missing", p->info.has_mode = 0) \
R(mode_unknown, "mode is missing", "mode: missing", p->info.mode = 4) \
R(writer_long, "writer is longer", "writer: more than", p->info.writer = text(257)) \
R(host_control, "host has a control", "host: control", p->info.host = (char *)"a\nb") \
R(host_delete, "host has a control", "host: control", p->info.host = (char *)"a\x7f") \
R(version_control, "writer_version has", "writer_version: con", \
  p->info.writer_version = (char *)"\033") \
R(chain_id, "chain_id has 3", "chain_id: not 16", p->info.has_chain_id = 1; \
  p->info.chain_id = (ProtobufCBinaryData){ 3, p->batch[0] }) \
R(chain_seq, "chain_seq without", "chain_seq: without", p->info.has_chain_seq = 1; \
  p->info.chain_seq = 1) \
R(chain_mode, "not of a checkpoint", "another mode", be_child(p); \
  p->info.mode = STREAM__MODE__LIVE) \
R(chain_seq_high, "chain_seq is above", "chain_seq: above", be_child(p); \
  p->info.chain_seq = 1000000001) \
R(chain_replaces, "replaces the first", "replaces: in the first", p->info.has_replaces = 1) \
R(parent_hash, "parent_hash is set", "parent_hash: not used", p->info.has_parent_hash = 1) \
R(parent_left_out, "not allowed before PARENT", "before PARENT", be_child(p); \
  p->nr_parents = 0) \
R(parent_late, "not allowed before PARENT", "before PARENT", be_child(p); \
  p->late_parent = true) \
R(parent_twice, "not allowed before or between", "once, in a child", be_child(p); \
  p->nr_parents = 2) \
R(parent_of_root, "chain_seq is missing or not 0", "once, in a child", p->nr_parents = 1) \
R(parent_of_root0, "not allowed before or between", "once, in a child", p->nr_parents = 1; \
  p->parent.chain_seq = 0) \
R(parent_of_merged, "is missing or not 0", "once, in a child", be_child(p); \
  p->info.has_replaces = 1) \
R(parent_no_hash, "stream hash is missing", "stream_hash: missing", be_child(p); \
  p->parent.has_stream_hash = 0) \
R(parent_no_seq, "is missing or not 4", "missing or not one less", be_child(p); \
  p->parent.has_chain_seq = 0) \
R(parent_seq, "is missing or not 4", "missing or not one less", be_child(p); \
  p->parent.chain_seq = 5) \
R(parent_name_path, "not one that a store", "no store has", be_child(p); \
  p->parent.name = (char *)"a/b") \
R(parent_name_dot, "not one that a store", "a dot in front", be_child(p); \
  p->parent.name = (char *)"..") \
R(parent_name_empty, "not one that a store", "name: empty", be_child(p); \
  p->parent.name = text(0)) \
R(parent_name_long, "not one that a store", "too long", be_child(p); \
  p->parent.name = text(129)) \
R(chain_delta, "a delta in a checkpoint", "delta in a checkpoint", be_child(p); \
  put64(B0_ENTRY(0), entry(1, 10))) \
R(index_early, "PAGE_INDEX): not allowed after", "before FINAL_STATE", p->early_index = true) \
R(index_twice, "not allowed after PAGE_INDEX", "PAGE_INDEX twice", p->nr_indices = 2) \
R(index_then_ledger, "not allowed after PAGE_INDEX", "after PAGE_INDEX", p->nr_indices = 1; \
  p->ledger_after_index = true) \
R(index_short, "too short for an index", "too short for an index", p->nr_indices = 1; \
  p->index_longer = -81) \
R(index_size, "2 rows in 128 bytes", "2 rows in 128 bytes", p->nr_indices = 1; \
  p->index_longer = 40) \
R(index_fewer, "1 rows, the stream has 2", "1, the stream has 2", p->nr_indices = 1; \
  p->index_longer = -40; p->spoil_index = index_count_less) \
R(index_reserved, "reserved field", "bytes 4..7", p->nr_indices = 1; \
  p->spoil_index = index_zero) \
R(index_offset, "a row does not agree", "row[0]", p->nr_indices = 1; \
  p->spoil_index = index_offset) \
R(index_check, "a row does not agree", "row[0]", p->nr_indices = 1; \
  p->spoil_index = index_check) \
R(index_first, "a row does not agree", "row[0]", p->nr_indices = 1; \
  p->spoil_index = index_first) \
R(index_last, "a row does not agree", "row[1]", p->nr_indices = 1; \
  p->spoil_index = index_last) \
R(index_length, "a row does not agree", "row[0]", p->nr_indices = 1; \
  p->spoil_index = index_length) \
R(index_entries, "a row does not agree", "row[0]", p->nr_indices = 1; \
  p->spoil_index = index_entries) \
R(no_name, "has no name", "name: missing", p->domain.name = NULL) \
R(empty_name, "has no name", "name: missing", p->domain.name = text(0)) \
R(long_name, "name is longer", "name: more than", p->domain.name = text(129)) \
R(name_slash, "has a '/'", "'/' in it", p->domain.name = (char *)"a/b") \
R(name_dot, "begins with a dot", "a dot in front", p->domain.name = (char *)".a") \
R(uuid_missing, "uuid is missing", "uuid: missing", p->domain.has_uuid = 0) \
R(uuid_short, "uuid is missing", "uuid: missing", p->domain.uuid.len = 15) \
R(vcpus_missing, "vcpus is missing", "vcpus: missing", p->domain.has_vcpus = 0) \
R(vcpus_none, "vcpus is missing", "vcpus: missing", p->domain.vcpus = 0) \
R(vcpus_many, "vcpus is missing", "vcpus: missing", p->domain.vcpus = 129) \
R(limit_missing, "pfn_limit is missing", "pfn_limit: missing", p->domain.has_pfn_limit = 0) \
R(limit_zero, "pfn_limit is missing", "pfn_limit: missing", p->domain.pfn_limit = 0) \
R(limit_high, "pfn_limit is missing", "pfn_limit: missing", \
  p->domain.pfn_limit = (1ull << 28) + 1) \
R(tot_pages, "tot_pages is above", "tot_pages: above", p->domain.tot_pages = PFN_LIMIT + 1) \
R(config, "config_json has", "config_json: 256", p->domain.config_json = text(262144)) \
R(vifs, "65 vifs", "vifs: more", p->domain.n_vifs = 65) \
R(mac_missing, "has no mac", "mac missing", p->vif.mac = NULL) \
R(mac_short, "not six octets", "mac missing or of", p->vif.mac = (char *)"00:16:3e:aa:bb:c") \
R(mac_long, "mac is too long", "mac missing or of", p->vif.mac = (char *)"00:16:3e:aa:bb:ccc") \
R(mac_digit, "not six octets", "mac is not", p->vif.mac = (char *)"00:16:3e:aa:bb:cg") \
R(mac_colon, "not six octets", "mac is not", p->vif.mac = (char *)"00:16:3e:aa:bb0cc") \
R(bridge, "bridge is longer", "bridge: more", p->vif.bridge = text(16)) \
R(ip, "ip is longer", "ip: more", p->vif.ip = text(257)) \
R(script, "script has a control", "script: control", p->vif.script = (char *)"\001") \
R(console_type, "console type is longer", "console type: more", p->console.type = text(257)) \
R(console_output, "console output has", "console output: con", \
  p->console.output = (char *)"\t") \
R(cpuid, "257 cpuid", "cpuid: more", p->domain.n_cpuid = 257) \
R(p2m_max_missing, "max_pfn is missing", "max_pfn: missing", p->p2m[0].has_max_pfn = 0) \
R(p2m_max_zero, "max_pfn is missing", "max_pfn: missing", p->p2m[0].max_pfn = 0) \
R(p2m_max_high, "max_pfn is missing", "max_pfn: missing", p->p2m[0].max_pfn = PFN_LIMIT + 1) \
R(p2m_nr_missing, "nr_leaves is missing", "nr_leaves: missing", p->p2m[0].has_nr_leaves = 0) \
R(p2m_nr_zero, "nr_leaves is missing", "nr_leaves: missing", p->p2m[0].nr_leaves = 0) \
R(p2m_nr_high, "nr_leaves is missing", "nr_leaves: missing", p->p2m[0].nr_leaves = 5) \
R(p2m_nr_low, "do not cover", "nr_leaves: fewer", p->p2m[0].nr_leaves = 3) \
R(p2m_first_missing, "first_leaf is missing", "first_leaf: missing", \
  p->p2m[0].has_first_leaf = 0) \
R(p2m_empty, "a chunk of 0", "leaves: not 1..", p->p2m[0].n_leaves = 0) \
R(p2m_chunk_large, "a chunk of 65537", "leaves: not 1..", p->domain.pfn_limit = 1ull << 28; \
  p->p2m[0].nr_leaves = 1 << 19; p->p2m[0].n_leaves = 65537) \
R(p2m_beyond, "beyond nr_leaves", "beyond nr_leaves", p->p2m[0].n_leaves = 5) \
R(p2m_first_beyond, "beyond nr_leaves", "beyond nr_leaves", p->p2m[1].first_leaf = 0xffffffff) \
R(p2m_leaf, "beyond pfn_limit", "beyond pfn_limit", p->p2m_leaves[1] = PFN_LIMIT) \
R(p2m_gap, "begins at leaf 3, expected 2", "the list goes on at 2", p->p2m[1].first_leaf = 3; \
  p->p2m[1].n_leaves = 1) \
R(p2m_overlap, "begins at leaf 1, expected 2", "the list goes on at 2", \
  p->p2m[1].first_leaf = 1) \
R(p2m_other_max, "belongs to another list", "another list", p->p2m[1].max_pfn--) \
R(p2m_other_nr, "belongs to another list", "another list", p->p2m[0].max_pfn = 1536; \
  p->p2m[1].max_pfn = 1536; p->p2m[1].nr_leaves = 3; p->p2m[1].n_leaves = 1) \
R(p2m_half, "no complete p2m list", "p2m list is not complete", p->nr_p2m = 1) \
R(p2m_none, "no complete p2m list", "p2m list is not complete", p->nr_p2m = 0) \
R(begin_number, "number is missing", "number: not 0", p->begin.has_number = 0) \
R(begin_wrong, "round 1, expected 0", "number: not 0", p->begin.number = 1) \
R(end_missing, "number or pages", "number: not that", p->end.has_number = 0) \
R(end_pages_missing, "number or pages", "pages: 0, the round", p->end.has_pages = 0) \
R(end_wrong, "round 1, expected 0", "number: not that", p->end.number = 1) \
R(end_pages, "says 6 pages, the round had 5", "pages: 6, the round had 5", p->end.pages = 6) \
R(many_rounds, "more than 1024 rounds", "more than 1024 rounds", p->nr_rounds = 1024) \
R(vcpu_missing, "index is missing", "index: missing", p->vcpu[0].has_index = 0) \
R(vcpu_high, "index is missing", "index: missing", p->vcpu[0].index = 2) \
R(vcpu_empty, "context is missing", "context: missing", p->vcpu[0].context.len = 0) \
R(vcpu_none, "context is missing", "context: missing", p->vcpu[0].has_context = 0) \
R(vcpu_large, "context is missing", "context: missing", p->vcpu[0].context.len = 65537) \
R(vcpu_twice, "vcpu 0 a second time", "vcpu 0 twice", p->vcpu[1].index = 0) \
R(vcpu_too_few, "1 of 2 vcpus", "vcpu 1 is missing", p->nr_vcpus = 1) \
R(shared_short, "page is missing", "page: missing", p->shared.page.len = PAGE - 1) \
R(shared_none, "page is missing", "page: missing", p->shared.has_page = 0) \
R(shared_twice, "a second time", "SHARED_INFO twice", p->nr_shared = 2) \
R(shared_left_out, "no SHARED_INFO", "SHARED_INFO is missing", p->nr_shared = 0) \
R(start_info_none, "start_info_pfn is missing", "start_info_pfn: missing", \
  p->final.has_start_info_pfn = 0) \
R(start_info_high, "start_info_pfn is missing", "start_info_pfn: missing", \
  p->final.start_info_pfn = PFN_LIMIT) \
R(nodes, "4097 xenstore nodes", "nodes: more", p->xenstore.n_nodes = 4097; \
  p->node.value.len = 0) \
R(path_none, "path is empty", "no path", p->node.path = NULL) \
R(path_empty, "path is empty", "no path", p->node.path = text(0)) \
R(path_absolute, "not relative", "is absolute", p->node.path = (char *)"/data") \
R(path_char, "a character that xenstore", "illegal character", p->node.path = (char *)"a b") \
R(path_double, "an empty part", "an empty part", p->node.path = (char *)"a//b") \
R(path_end, "an empty part", "ends in '/'", p->node.path = (char *)"a/") \
R(path_long, "path is longer", "too long", p->node.path = text(1025)) \
R(value_long, "value of 4097", "value above", p->node.value.len = 4097) \
R(phases, "257 phases", "phases: more", p->ledger.n_phases = 257) \
R(phase_name, "phase's name has", "phase name: control", p->phase.name = (char *)"\b") \
R(batch_short, "too short for a batch", "too short for a batch", p->batch_len[0] = 15) \
R(batch_none, "0 entries", "count: 0", put32(p->batch[0], 0)) \
R(batch_many, "1025 entries", "count: 1025", put32(p->batch[0], 1025)) \
R(batch_data, "5 entries with bytes of 4", "nr_data: 5 of 4", put32(p->batch[0] + 4, 5)) \
R(batch_data_less, "nr_data is 1, the entries have 3", "nr_data: 1, entries", \
  put32(p->batch[0] + 4, 1); put32(p->batch[0] + 8, 1); put32(p->batch[0] + 12, 1)) \
R(batch_per_block_none, "0 pages a block", "block_pages: 0", put32(p->batch[0] + 8, 0)) \
R(batch_per_block, "65 pages a block", "block_pages: 65", put32(p->batch[0] + 8, 65)) \
R(batch_blocks, "3 blocks for 3 pages", "nr_blocks: 3", put32(p->batch[0] + 12, 3)) \
R(batch_blocks_less, "1 blocks for 3 pages", "nr_blocks: 1", put32(p->batch[0] + 12, 1)) \
R(batch_cut, "too short for 4 entries", "too short for its entries", p->batch_len[0] = 55) \
R(entry_reserved, "reserved bits", "bits 52..55", put64(B0_ENTRY(0), 1ull << 52 | 1)) \
R(entry_retry, "entry 0: page type 0x8", "type 0x08", put64(B0_ENTRY(0), entry(1, 8))) \
R(entry_pinned_data, "page type 0x80", "type 0x80", put64(B0_ENTRY(0), entry(1, 0x80))) \
R(entry_pinned_absent, "page type 0x87", "type 0x87", put64(B0_ENTRY(1), entry(2, 0x87))) \
R(entry_delta_baseless, "delta of pfn 0x1, whose", "delta of a page that was not", \
  put64(B0_ENTRY(0), entry(1, 10))) \
R(entry_type, "page type 0x42", "type 0x42", put64(B0_ENTRY(0), entry(1, 0x42))) \
R(entry_pfn, "entry 3: pfn 0x7d0 beyond", "entry[3]: pfn beyond", \
  put64(B0_ENTRY(3), entry(PFN_LIMIT, 2))) \
R(entry_same, "entry 1: pfn 0x1 does not ascend", "entry[1]: pfns do not", \
  put64(B0_ENTRY(1), entry(1, 1))) \
R(entry_descends, "entry 2: pfn 0x0 does not ascend", "entry[2]: pfns do not", \
  put64(B0_ENTRY(2), entry(0, 0))) \
R(size_zero, "block 0: size 0x0", "block 0: LZ4, 0 bytes", put32(B0_SIZE(0), 0)) \
R(size_raw_short, "block 1: size 0x80000fff", "block 1: raw, 4095", \
  put32(B0_SIZE(1), 0x80000fff); p->batch_len[0]--) \
R(size_not_smaller, "block 1: size 0x1000", "block 1: LZ4, 4096", put32(B0_SIZE(1), PAGE)) \
R(size_beyond, "block 0: 8191 bytes, the record has", "block 0: beyond", \
  put32(B0_SIZE(0), 2 * PAGE - 1)) \
R(batch_rest, "1 bytes after the last block", "bytes left after", p->batch_len[0]++) \
R(sizes_padding, "padding of the block sizes", "padding after the sizes", \
  put32(B1_SIZE + 4, 1)) \
R(lz4_damaged, "block 0: damaged LZ4", "block 0: does not unpack", \
  memset(p->batch[0] + 56, 0xff, 8)) \
R(lz4_short, "block 0: damaged LZ4", "block 0: does not unpack", \
  p->batch_len[1] = 34; put32(B1_SIZE, 2); memcpy(p->batch[1] + 32, "\x10x", 2)) \
R(o_begin_first, "before STREAM_INFO", "before DOMAIN_INFO", p->early_begin = true) \
R(o_info_twice, "before DOMAIN_INFO", "STREAM_INFO comes once", p->info_twice = true) \
R(o_domain_twice, "before or between", "DOMAIN_INFO comes once", p->domain_twice = true) \
R(o_p2m_first, "is missing", "before DOMAIN_INFO", p->early_p2m = true) \
R(o_pages_first, "beyond pfn_limit", "outside a round", p->early_pages = true) \
R(o_garbage, "not a valid DomainInfo", "not a protobuf", p->garbage_message = true) \
R(o_pages_outside, "between rounds", "outside a round", p->pages_outside = true) \
R(o_end_outside, "between rounds", "outside a round", p->end_outside = true) \
R(o_begin_inside, "round of a running", "inside a round", p->begin_inside = true) \
R(o_begin_after, "after the last", "after the last round", p->begin_after_last = true) \
R(o_p2m_inside, "round of a running", "round of a running", p->p2m_in_live_round = true) \
R(o_xs_inside, "round of a running", "round of a running", p->xenstore_in_live_round = true) \
R(o_vcpu_early, "between rounds", "before the last round", p->early_vcpu = true) \
R(o_shared_early, "between rounds", "before the last round", p->early_shared = true) \
R(o_final_early, "in the last round", "before the last round has ended", \
  p->early_final = true) \
R(o_vcpu_late, "after FINAL_STATE", "after FINAL_STATE", p->vcpu_after_final = true) \
R(o_p2m_late, "after FINAL_STATE", "after FINAL_STATE", p->p2m_after_final = true)

#define RULE_FUNC(name, lib, verify, ...) static void break_##name(struct plan *p) { __VA_ARGS__; }
RULES(RULE_FUNC)

#define RULE_ROW(name, lib, verify, ...) { #name, lib, verify, break_##name },
static const struct {
	const char *name, *lib, *verify;
	void (*spoil)(struct plan *p);
} rules[] = { RULES(RULE_ROW) };

static void the_plan_itself_is_sound(void **state)
{
	struct plan *p = plan_new();
	char error[512], why[256];
	struct stream_mem m;

	build_all(&m, p);
	sample_read_all(&m.io, error, NULL, NULL, 0);
	assert_string_equal(error, "");
	sample_verify(m.data, m.len, why);
	assert_string_equal(why, "");
	stream_mem_release(&m);
	free(p);
}

/* Values at their bounds, so that no bound is one too tight. */
static void bounds_themselves_are_legal(void **state)
{
	struct plan *p = plan_new();
	struct stream_mem m;
	char error[512], why[256], path[1025], name[129];

	memset(path, 'p', 1024);
	path[1024] = '\0';
	memset(name, 'n', 128);
	name[128] = '\0';
	p->domain.name = name;
	p->domain.vcpus = 2;
	p->domain.n_vifs = 64;
	p->domain.n_cpuid = 256;
	p->domain.config_json = text(262143);
	p->vif.bridge = (char *)"fifteen-letters";
	p->xenstore.n_nodes = 4096;
	p->node.value.len = 0;
	p->nodes[0] = &(Stream__XenstoreNode)STREAM__XENSTORE_NODE__INIT;
	p->nodes[0]->path = path;
	p->ledger.n_phases = 256;
	p->vcpu[0].context.len = 65536;
	p->nr_rounds = 1023;
	build_all(&m, p);
	sample_read_all(&m.io, error, NULL, NULL, 0);
	assert_string_equal(error, "");
	sample_verify(m.data, m.len, why);
	assert_string_equal(why, "");
	stream_mem_release(&m);
	free(p);
}

/* The same as a child with an index, and as a merged checkpoint. */
static void chains_are_sound(void **state)
{
	int merged;

	for (merged = 0; merged < 2; merged++) {
		struct plan *p = plan_new();
		char error[512], why[256];
		struct stream_mem m;

		be_child(p);
		p->info.has_replaces = merged;
		p->nr_parents = !merged;
		build_all(&m, p);
		sample_read_all(&m.io, error, NULL, NULL, 0);
		assert_string_equal(error, "");
		sample_verify(m.data, m.len, why);
		assert_string_equal(why, "");
		stream_mem_release(&m);
		free(p);
	}
}

/* END says that the index is elsewhere. */
static void end_may_not_lie_about_the_index(void **state)
{
	struct plan *p = plan_new();
	struct stream_mem m;
	Stream__End end = STREAM__END__INIT, *was;
	size_t pos = 32, at = 32;
	uint64_t n;

	p->nr_indices = 1;
	build_all(&m, p);
	for (; pos < m.len; pos += 32 + (n + 7) / 8 * 8) {
		memcpy(&n, m.data + pos + 8, sizeof(n));
		at = pos;
	}
	memcpy(&n, m.data + at + 8, sizeof(n));
	was = stream__end__unpack(NULL, n, m.data + at + 32);
	assert_non_null(was);
	end = *was;
	assert_int_equal(end.has_index_offset, 1);
	end.index_offset -= 8;
	m.len = at;
	raw_msg(&m, STREAM_END, (uint32_t)end.records, &end.base);
	assert_named("index_offset", m.data, m.len, "index_offset: END says", "index_offset: not");
	end.has_index_offset = 0;
	m.len = at;
	raw_msg(&m, STREAM_END, (uint32_t)end.records, &end.base);
	assert_named("no index_offset", m.data, m.len, "index_offset without",
		     "or the other way");
	stream__end__free_unpacked(was, NULL);
	stream_mem_release(&m);
	free(p);
}

static void every_rule_is_named_by_both(void **state)
{
	size_t i;

	for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		struct plan *p = plan_new();
		struct stream_mem m;

		rules[i].spoil(p);
		build_all(&m, p);
		assert_named(rules[i].name, m.data, m.len, rules[i].lib, rules[i].verify);
		stream_mem_release(&m);
		free(p);
	}
}

/* --- rules about framing: octets of the finished stream ---------------------------------- */

/* Header checks right again; payload checks and numbers stay as they are. */
static void fix_stream_header(uint8_t *d) { put64(d + 24, raw_hash(d, 24)); }
static void fix_record_header(uint8_t *d) { put32(d + 28, (uint32_t)raw_hash(d, 28)); }

#define R0 (d + 32)	/* the first record's header */

#define FRAMING(R) \
R(magic, "wrong magic", "not a Godwit stream", d[3] ^= 1; fix_stream_header(d)) \
R(order, "other byte order", "byte order mark", put32(d + 12, 0x04030201); \
  fix_stream_header(d)) \
R(order_odd, "byte order mark 0x7", "byte order mark", put32(d + 12, 7); fix_stream_header(d)) \
R(version, "version 2, this reader knows 1", "version 2; only", put32(d + 8, 2)) \
R(header_check, "check does not match", "does not have its own checksum", d[24] ^= 1) \
R(header_flags, "mandatory flags 0x1", "mandatory flag 0x1", put32(d + 16, 1); \
  fix_stream_header(d)) \
R(header_zero, "reserved field", "bytes 20..23", put32(d + 20, 1); fix_stream_header(d)) \
R(record_check, "check of the record header", "record header does not have", R0[28] ^= 1) \
R(record_number, "numbered 1", "numbered 1, not 0", put32(R0 + 24, 1); fix_record_header(R0)) \
R(record_type, "unknown mandatory record type 0x777", "unknown type 0x777", \
  put32(R0, 0x777); fix_record_header(R0)) \
R(record_invalid, "unknown mandatory record type 0x0", "unknown type 0x0", put32(R0, 0); \
  fix_record_header(R0)) \
R(record_ledger, "unknown mandatory record type 0xc", "unknown type 0xc", put32(R0, 12); \
  fix_record_header(R0)) \
R(record_flags, "mandatory flags 0x8000", "mandatory flag 0x8000", put32(R0 + 4, 0x8000); \
  fix_record_header(R0)) \
R(length_msg, "length 1048576, at most 1048575", "length 1048576 is above", \
  put64(R0 + 8, 1048576); fix_record_header(R0)) \
R(length_pages, "length 4206609, at most", "length 4206609 is above", put32(R0, 7); \
  put64(R0 + 8, 4206609); fix_record_header(R0)) \
R(length_unknown, "length 16777217, at most", "length 16777217 is above", \
  put32(R0, 0x80000777); put64(R0 + 8, 16777217); fix_record_header(R0)) \
R(length_wild, "length 18446744073709551615, at", "length 18446744073709551615 is", \
  put64(R0 + 8, UINT64_MAX); fix_record_header(R0)) \
R(payload_check, "checksum of the payload", "payload does not have", R0[16] ^= 1; \
  fix_record_header(R0)) \
R(payload, "checksum of the payload", "payload does not have", R0[32] ^= 1) \
R(padding, "padding is not zero", "padding is not zero", R0[32 + 7] = 1) \
R(end_records, "records: END says", "records: not", spoil_end(d, len, 1)) \
R(end_pages, "pages: END says", "pages: not", spoil_end(d, len, 2)) \
R(end_data, "data_pages: END says", "data_pages: not", spoil_end(d, len, 3)) \
R(end_bytes, "bytes: END says", "bytes: not", spoil_end(d, len, 4)) \
R(end_hash, "stream hash does not match", "stream_hash: not", spoil_end(d, len, 5)) \
R(end_index_missing, "index_offset without a PAGE_INDEX", "index_offset: there", \
  spoil_end(d, len, 7)) \
R(end_field, "a total is missing", "records: not", spoil_end(d, len, 6))

/* Change one field of END, which is the last record and keeps its size. */
static void spoil_end(uint8_t *d, size_t len, int field)
{
	size_t pos = 32;
	uint64_t n;
	Stream__End *end;
	uint8_t *h;

	for (;; pos += 32 + (n + 7) / 8 * 8) {
		memcpy(&n, d + pos + 8, sizeof(n));
		if (d[pos] == STREAM_END && !d[pos + 3])
			break;
	}
	h = d + pos;
	end = stream__end__unpack(NULL, n, h + 32);
	assert_non_null(end);
	end->records ^= field == 1;
	end->pages ^= field == 2;
	end->data_pages ^= field == 3;
	end->bytes ^= field == 4;
	end->stream_hash ^= field == 5;
	end->has_records = field != 6;
	if (field == 7) {	/* an index that is not there; END grows by key and value */
		end->has_index_offset = 1;
		end->index_offset = 32;
		n += 2;
		assert_true(pos + 32 + n <= len);	/* into the padding */
	}
	if (field == 6)
		n -= 2;		/* its key and its one byte */
	assert_int_equal(stream__end__get_packed_size(end), n);
	memset(h + 32, 0, len - pos - 32);
	stream__end__pack(end, h + 32);
	stream__end__free_unpacked(end, NULL);
	put64(h + 8, n);
	put64(h + 16, raw_hash(h + 32, n));
	fix_record_header(h);
}

#define FRAMING_FUNC(name, lib, verify, ...) \
	static void frame_##name(uint8_t *d, size_t len) { (void)len; __VA_ARGS__; }
FRAMING(FRAMING_FUNC)

#define FRAMING_ROW(name, lib, verify, ...) { #name, lib, verify, frame_##name },
static const struct {
	const char *name, *lib, *verify;
	void (*spoil)(uint8_t *d, size_t len);
} framing[] = { FRAMING(FRAMING_ROW) };

static void every_framing_rule_is_named_by_both(void **state)
{
	size_t i;

	for (i = 0; i < sizeof(framing) / sizeof(framing[0]); i++) {
		struct plan *p = plan_new();
		struct stream_mem m;

		build_all(&m, p);
		framing[i].spoil(m.data, m.len);
		assert_named(framing[i].name, m.data, m.len, framing[i].lib, framing[i].verify);
		stream_mem_release(&m);
		free(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_plan_itself_is_sound),
		cmocka_unit_test(bounds_themselves_are_legal),
		cmocka_unit_test(chains_are_sound),
		cmocka_unit_test(end_may_not_lie_about_the_index),
		cmocka_unit_test(every_rule_is_named_by_both),
		cmocka_unit_test(every_framing_rule_is_named_by_both),
	};

	return cmocka_run_group_tests_name("stream_rules", tests, NULL, NULL);
}
