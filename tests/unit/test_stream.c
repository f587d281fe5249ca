/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream library and the independent verifier, on sound streams, on
 * random ones compared with a naive twin, and on damaged ones.  Every damaged
 * stream must be refused by both readers.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "checkpoint/stream.h"
#include "checkpoint/verify.h"
#include "tests/unit/test_stream_util.h"

#define PAGE STREAM_PAGE_SIZE

static int read_mem(const uint8_t *data, size_t len, char *error)
{
	struct stream_mem m;

	stream_mem_view(&m, data, len);
	return sample_read_all(&m.io, error, NULL, NULL, 0);
}

/* Both readers refuse; the library with @err, or any error when 0. */
static void assert_refused(const uint8_t *data, size_t len, int err)
{
	char error[512], why[256];
	int ret = read_mem(data, len, error);

	if (err)
		assert_int_equal(ret, err);
	assert_int_not_equal(ret, 0);
	assert_string_not_equal(error, "");
	assert_int_equal(sample_verify(data, len, why), VERIFY_DEFECT);
	assert_string_not_equal(why, "");
}

static void assert_accepted(const uint8_t *data, size_t len)
{
	char error[512], why[256];

	read_mem(data, len, error);
	assert_string_equal(error, "");
	sample_verify(data, len, why);
	assert_string_equal(why, "");
	assert_int_equal(read_mem(data, len, NULL), 0);
	assert_int_equal(sample_verify(data, len, NULL), VERIFY_SOUND);
}

/* --- sound streams ---------------------------------------------------------- */

static void check_sample_memory(const uint8_t *memory, const uint8_t *types)
{
	uint8_t page[PAGE];
	uint64_t pfn;

	for (pfn = 0; pfn < SAMPLE_PFN_LIMIT; pfn++) {
		uint8_t t = sample_type(pfn), base = t & GODWIT_PAGE_TYPE_MASK;

		assert_int_equal(types[pfn], t);
		if (base == GODWIT_PAGE_DATA || (base >= GODWIT_PAGE_L1 && base <= GODWIT_PAGE_L4))
			sample_page(page, pfn, pfn % 4 == 0);
		else
			memset(page, 0, sizeof(page));
		assert_memory_equal(memory + pfn * PAGE, page, PAGE);
	}
}

static void sample_round_trip(void **state)
{
	uint8_t *memory = malloc((size_t)SAMPLE_PFN_LIMIT * PAGE), types[SAMPLE_PFN_LIMIT];
	struct stream_mem m;

	sample_build(&m);
	assert_int_equal(sample_read_all(&m.io, NULL, memory, types, SAMPLE_PFN_LIMIT), 0);
	check_sample_memory(memory, types);
	assert_accepted(m.data, m.len);
	free(memory);
	stream_mem_release(&m);
}

static void records_carry_their_fields(void **state)
{
	struct stream_reader *r;
	struct stream_record rec;
	struct stream_mem m;
	const uint64_t *leaves;
	unsigned int seen = 0;
	uint64_t max_pfn;
	uint32_t nr;

	sample_build(&m);
	assert_int_equal(stream_reader_new(&m.io, &r), 0);
	assert_null(stream_reader_p2m(r, &nr, &max_pfn));
	do {
		assert_int_equal(stream_read_next(r, &rec), 0);
		assert_int_equal(rec.offset % 8, 0);
		seen |= 1u << (rec.type & 31);
		if (rec.type == STREAM_DOMAIN) {
			assert_string_equal(rec.domain->name, SAMPLE_NAME);
			assert_int_equal(rec.domain->vcpus, SAMPLE_VCPUS);
			assert_string_equal(rec.domain->vifs[0]->bridge, "br0");
		} else if (rec.type == STREAM_VCPU && rec.vcpu->index == 0) {
			assert_string_equal((char *)rec.vcpu->context.data, SAMPLE_CONTEXT);
		} else if (rec.type == STREAM_FINAL) {
			assert_int_equal(rec.final->start_info_pfn, SAMPLE_START_INFO);
			leaves = stream_reader_p2m(r, &nr, &max_pfn);
			assert_non_null(leaves);
			assert_int_equal(nr, 1);
			assert_int_equal(leaves[0], 16);
			assert_int_equal(max_pfn, SAMPLE_PFN_LIMIT);
		} else if (rec.type == STREAM_XENSTORE) {
			assert_string_equal(rec.xenstore->nodes[0]->path, "data/counter");
		}
	} while (rec.type != STREAM_END);
	assert_int_equal(seen, 0x1ffe);		/* each of the twelve types came */
	assert_int_equal(rec.end->pages, 64 + 16);
	assert_int_equal(stream_reader_totals(r)->bytes, m.len);
	assert_int_equal(stream_reader_totals(r)->rounds, 2);
	assert_int_equal(stream_read_next(r, &rec), -EINVAL);
	assert_int_equal(stream_read_eof(r), 0);
	stream_reader_free(r);
	stream_mem_release(&m);
}

/* --- random batches against a naive twin -------------------------------------- */

#define TWIN_PFNS 4096u

struct twin {
	uint8_t *memory;
	uint8_t types[TWIN_PFNS];
};

static uint64_t rnd_state = 88172645463325252ull;

static uint64_t rnd(void)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return rnd_state;
}

static const uint8_t twin_types[] = {
	GODWIT_PAGE_DATA, GODWIT_PAGE_DATA, GODWIT_PAGE_DATA, GODWIT_PAGE_ZERO, GODWIT_PAGE_L1,
	GODWIT_PAGE_L2 | GODWIT_PAGE_PINNED, GODWIT_PAGE_L3, GODWIT_PAGE_L4 | GODWIT_PAGE_PINNED,
	GODWIT_PAGE_P2M, GODWIT_PAGE_ABSENT, GODWIT_PAGE_RETRY, GODWIT_PAGE_DATA,
};

static void random_page(uint8_t *p)
{
	unsigned int kind = rnd() % 4, i;

	for (i = 0; i < PAGE; i++)
		p[i] = kind == 0 ? (uint8_t)rnd() : kind == 1 ? (uint8_t)(i >> 4) :
		       kind == 2 ? (uint8_t)(rnd() & 3) : 0xaa;
}

/* What the format promises, said with a plain array. */
static void twin_apply(struct twin *t, uint64_t pfn, uint8_t type, const uint8_t *page)
{
	uint8_t base = type & GODWIT_PAGE_TYPE_MASK;

	if (base == GODWIT_PAGE_RETRY)
		return;
	t->types[pfn] = type;
	if (base == GODWIT_PAGE_DATA || (base >= GODWIT_PAGE_L1 && base <= GODWIT_PAGE_L4))
		memcpy(t->memory + pfn * PAGE, page, PAGE);
	else
		memset(t->memory + pfn * PAGE, 0, PAGE);
}

static uint64_t write_random_batch(struct stream_writer *w, struct twin *t)
{
	static uint64_t pfns[STREAM_BATCH_MAX];
	static uint8_t types[STREAM_BATCH_MAX], buffer[STREAM_BATCH_BYTES];
	uint64_t pfn = rnd() % 64, sent = 0;
	unsigned int n = 0, want = 1 + rnd() % STREAM_BATCH_MAX;
	bool sparse = rnd() & 1;

	for (; n < want && pfn < TWIN_PFNS; n++) {
		uint8_t *page = buffer + (size_t)n * PAGE;

		pfns[n] = pfn;
		types[n] = sparse ? twin_types[rnd() % sizeof(twin_types)] : GODWIT_PAGE_DATA;
		random_page(page);
		twin_apply(t, pfn, types[n], page);
		sent += types[n] != GODWIT_PAGE_RETRY;
		pfn += 1 + (rnd() % 4 ? 0 : rnd() % 5);
	}
	assert_int_equal(stream_write_pages(w, pfns, types, buffer, n), 0);
	return sent;
}

static void write_front(struct stream_writer *w, uint32_t vcpus, uint64_t pfn_limit)
{
	static uint8_t uuid[16];
	Stream__StreamInfo i = STREAM__STREAM_INFO__INIT;
	Stream__DomainInfo d = STREAM__DOMAIN_INFO__INIT;

	i.has_mode = 1;
	i.mode = STREAM__MODE__LIVE;
	d.name = (char *)"twin";
	d.has_uuid = d.has_vcpus = d.has_pfn_limit = 1;
	d.uuid = (ProtobufCBinaryData){ 16, uuid };
	d.vcpus = vcpus;
	d.pfn_limit = pfn_limit;
	assert_int_equal(stream_write_header(w), 0);
	assert_int_equal(stream_write_msg(w, STREAM_INFO, &i.base), 0);
	assert_int_equal(stream_write_msg(w, STREAM_DOMAIN, &d.base), 0);
}

static int write_begin(struct stream_writer *w, uint32_t number, bool last)
{
	Stream__RoundBegin b = STREAM__ROUND_BEGIN__INIT;

	b.has_number = b.has_last = 1;
	b.number = number;
	b.last = last;
	return stream_write_msg(w, STREAM_ROUND_BEGIN, &b.base);
}

static int write_round_end(struct stream_writer *w, uint32_t number, uint64_t pages)
{
	Stream__RoundEnd e = STREAM__ROUND_END__INIT;

	e.has_number = e.has_pages = 1;
	e.number = number;
	e.pages = pages;
	return stream_write_msg(w, STREAM_ROUND_END, &e.base);
}

static int write_vcpu(struct stream_writer *w, uint32_t index)
{
	Stream__VcpuContext v = STREAM__VCPU_CONTEXT__INIT;
	static uint8_t bytes[100];

	v.has_index = v.has_context = 1;
	v.index = index;
	v.context = (ProtobufCBinaryData){ sizeof(bytes), bytes };
	return stream_write_msg(w, STREAM_VCPU, &v.base);
}

static int write_shared(struct stream_writer *w)
{
	Stream__SharedInfo s = STREAM__SHARED_INFO__INIT;
	static uint8_t page[PAGE];

	s.has_page = 1;
	s.page = (ProtobufCBinaryData){ sizeof(page), page };
	return stream_write_msg(w, STREAM_SHARED_INFO, &s.base);
}

static int write_final(struct stream_writer *w)
{
	Stream__FinalState f = STREAM__FINAL_STATE__INIT;

	f.has_start_info_pfn = 1;
	return stream_write_msg(w, STREAM_FINAL, &f.base);
}

static void random_against_twin(void **state)
{
	struct twin t = { .memory = calloc(TWIN_PFNS, PAGE) };
	uint8_t *memory = calloc(TWIN_PFNS, PAGE), *types = calloc(TWIN_PFNS, 1);
	uint64_t leaves[TWIN_PFNS / 512] = { 0, 1, 2, STREAM_P2M_NONE, 4, 5, 6, 7 }, sent;
	struct stream_writer *w;
	struct stream_mem m;
	unsigned int round, i;

	stream_mem_init(&m);
	assert_int_equal(stream_writer_new(&m.io, &w), 0);
	write_front(w, 1, TWIN_PFNS);
	for (round = 0; round < 4; round++) {
		assert_int_equal(write_begin(w, round, round == 3), 0);
		for (i = 0, sent = 0; i < 5; i++)
			sent += write_random_batch(w, &t);
		assert_int_equal(write_round_end(w, round, sent), 0);
	}
	assert_int_equal(stream_write_p2m(w, leaves, 8, TWIN_PFNS, 0), 0);
	assert_int_equal(write_vcpu(w, 0), 0);
	assert_int_equal(write_shared(w), 0);
	assert_int_equal(write_final(w), 0);
	assert_int_equal(stream_write_end(w), 0);
	assert_int_equal(stream_writer_totals(w)->bytes, m.len);
	assert_int_equal(sample_read_all(&m.io, NULL, memory, types, TWIN_PFNS), 0);
	assert_memory_equal(types, t.types, TWIN_PFNS);
	assert_memory_equal(memory, t.memory, (size_t)TWIN_PFNS * PAGE);
	assert_int_equal(sample_verify(m.data, m.len, NULL), VERIFY_SOUND);
	stream_writer_free(w);
	stream_mem_release(&m);
	free(memory);
	free(types);
	free(t.memory);
}

/* A p2m list of a 64 GiB guest needs several records; the reader joins them. */
static void large_p2m_list_is_chunked(void **state)
{
	const uint32_t nr = 65536 * 2 + 17;
	uint64_t *leaves = malloc(nr * sizeof(*leaves)), max_pfn;
	struct stream_writer *w;
	struct stream_reader *r;
	struct stream_record rec = { 0 };
	struct stream_mem m;
	const uint64_t *got;
	uint32_t i, n;

	for (i = 0; i < nr; i++)
		leaves[i] = i % 5 ? i * 511ull : STREAM_P2M_NONE;
	stream_mem_init(&m);
	assert_int_equal(stream_writer_new(&m.io, &w), 0);
	write_front(w, 1, nr * 512ull);
	assert_int_equal(stream_write_p2m(w, leaves, nr, nr * 512ull - 5, 0), 0);
	assert_int_equal(stream_reader_new(&m.io, &r), 0);
	for (i = 0; i < 5; i++) {
		assert_int_equal(stream_read_next(r, &rec), 0);
		got = stream_reader_p2m(r, &n, &max_pfn);
		assert_int_equal(got != NULL, i == 4);
	}
	assert_int_equal(n, nr);
	assert_int_equal(max_pfn, nr * 512ull - 5);
	assert_memory_equal(got, leaves, nr * sizeof(*leaves));
	assert_int_equal(stream_read_next(r, &rec), -ENODATA);
	stream_reader_free(r);
	stream_writer_free(w);
	stream_mem_release(&m);
	free(leaves);
}

static void all_retry_writes_nothing(void **state)
{
	static const uint64_t pfns[2] = { 1, 2 };
	static const uint8_t types[2] = { GODWIT_PAGE_RETRY, GODWIT_PAGE_RETRY };
	static uint8_t buffer[2 * PAGE];
	struct stream_writer *w;
	struct stream_mem m;
	size_t before;

	stream_mem_init(&m);
	assert_int_equal(stream_writer_new(&m.io, &w), 0);
	write_front(w, 1, 16);
	assert_int_equal(write_begin(w, 0, false), 0);
	before = m.len;
	assert_int_equal(stream_write_pages(w, pfns, types, buffer, 2), 0);
	assert_int_equal(m.len, before);
	assert_int_equal(write_round_end(w, 0, 0), 0);
	stream_writer_free(w);
	stream_mem_release(&m);
}

/* --- damage ------------------------------------------------------------------- */

static void truncation_at_every_byte(void **state)
{
	struct stream_mem m;
	size_t len;

	sample_build_small(&m);
	for (len = 0; len < m.len; len++)
		assert_refused(m.data, len, -ENODATA);
	stream_mem_release(&m);
}

static void one_flipped_bit_anywhere(void **state)
{
	struct stream_mem m;
	unsigned int bit;
	size_t i;

	sample_build_small(&m);
	for (i = 0; i < m.len; i++) {
		/* All eight bits where structure is dense, one elsewhere. */
		for (bit = i < 640 ? 0 : i % 8; bit < (i < 640 ? 8 : i % 8 + 1); bit++) {
			m.data[i] ^= (uint8_t)(1u << bit);
			assert_refused(m.data, m.len, 0);
			m.data[i] ^= (uint8_t)(1u << bit);
		}
	}
	assert_accepted(m.data, m.len);
	stream_mem_release(&m);
}

static void bytes_after_the_end(void **state)
{
	struct stream_mem m;

	sample_build(&m);
	assert_int_equal(m.io.write(m.io.ctx, "x", 1), 0);
	assert_refused(m.data, m.len, -EBADMSG);
	stream_mem_release(&m);
}

static void header_of_another_kind(void **state)
{
	static const struct {
		uint32_t version, order, flags;
		int err;
	} cases[] = {
		{ 2, 0x01020304, 0, -EPROTONOSUPPORT },
		{ 0, 0x01020304, 0, -EPROTONOSUPPORT },
		{ 1, 0x04030201, 0, -EPROTONOSUPPORT },
		{ 1, 7, 0, -EPROTONOSUPPORT },
		{ 1, 0x01020304, 1, -EOPNOTSUPP },
		{ 1, 0x01020304, 0x8000, -EOPNOTSUPP },
		{ 1, 0x01020304, 0x10000, -ENODATA },	/* optional flag: goes on */
	};
	char error[512];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct stream_mem m;

		stream_mem_init(&m);
		raw_header(&m, cases[i].version, cases[i].order, cases[i].flags);
		assert_refused(m.data, m.len, cases[i].err);
		if (cases[i].version == 2) {
			read_mem(m.data, m.len, error);
			assert_non_null(strstr(error, "version 2"));
		}
		stream_mem_release(&m);
	}
}

/* Rewrite one 32-bit word of the sample's record @number and repair all checks. */
static void assert_word_refused(unsigned int number, size_t at, uint32_t value, int err)
{
	struct stream_mem m;
	size_t pos = 32;
	uint64_t len;

	sample_build(&m);
	while (number--) {
		memcpy(&len, m.data + pos + 8, sizeof(len));
		pos += 32 + (len + 7) / 8 * 8;
	}
	memcpy(m.data + pos + at, &value, sizeof(value));
	raw_fix_checks(m.data, m.len);
	assert_refused(m.data, m.len, err);
	stream_mem_release(&m);
}

#define PAGES_RECORD 4u	/* info, domain, xenstore, round begin, pages */

static void absurd_lengths_and_counts(void **state)
{
	static const uint32_t absurd[] = {
		0, 1, 65, 1023, 1024, 1025, 0x7fffffff, 0x80000000, 0xffffffff,
	};
	size_t i, at;

	/* length of the record, low and high word: the check repair stops there */
	assert_word_refused(PAGES_RECORD, 8, 0x7fffffff, 0);
	assert_word_refused(PAGES_RECORD, 12, 1, 0);
	for (i = 0; i < sizeof(absurd) / sizeof(absurd[0]); i++) {
		for (at = 32; at < 48; at += 4)		/* the four counts of the batch */
			assert_word_refused(PAGES_RECORD, at, absurd[i], -EBADMSG);
		/* the size of the first block: 63 entries before it */
		assert_word_refused(PAGES_RECORD, 48 + 63 * 8, absurd[i], -EBADMSG);
	}
}

static void length_above_the_bound(void **state)
{
	static const struct {
		uint32_t type;
		uint64_t length;
	} cases[] = {
		{ STREAM_INFO, 1 << 20 }, { STREAM_PAGES, 5 << 20 },
		{ 0x80000777, (16 << 20) + 1 }, { STREAM_INFO, UINT64_MAX },
		{ 0x80000777, UINT64_MAX - 7 },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct stream_mem m;
		char error[512];

		stream_mem_init(&m);
		raw_header(&m, 1, 0x01020304, 0);
		raw_record(&m, cases[i].type, 0, 0, "", 0);
		memcpy(m.data + 32 + 8, &cases[i].length, 8);
		/* the header's own check only: there is no such payload */
		raw_fix_checks(m.data, m.len);
		raw_header(&m, 1, 0x01020304, 0);	/* 32 bytes that follow */
		read_mem(m.data, m.len, error);
		assert_refused(m.data, m.len, 0);
		stream_mem_release(&m);
	}
}

static void bad_entries(void **state)
{
	size_t first = 48;	/* entry 0 of the first batch */

	assert_word_refused(PAGES_RECORD, first, SAMPLE_PFN_LIMIT, -EBADMSG); /* pfn too high */
	assert_word_refused(PAGES_RECORD, first + 8, 0, -EBADMSG);	/* pfn 0 twice */
	assert_word_refused(PAGES_RECORD, first + 4, 0x08000000, -EBADMSG);	/* RETRY */
	assert_word_refused(PAGES_RECORD, first + 4, 0x80000000, -EBADMSG);	/* pinned data */
	assert_word_refused(PAGES_RECORD, first + 4, 0x00100000, -EBADMSG);	/* reserved bit */
	assert_word_refused(PAGES_RECORD, first + 4, 0x01000000, -EBADMSG);	/* one data less */
}

/* --- unknown things -------------------------------------------------------------- */

/* The sample with a foreign record put between two records, renumbered. */
static void build_with_foreign(struct stream_mem *out, uint32_t type, uint32_t flags)
{
	static const char text[] = "from the future";
	struct stream_mem m;
	uint64_t len;
	size_t pos;

	sample_build(&m);
	memcpy(&len, m.data + 32 + 8, sizeof(len));
	pos = 64 + (len + 7) / 8 * 8;
	stream_mem_init(out);
	assert_int_equal(out->io.write(out->io.ctx, m.data, pos), 0);
	raw_record(out, type, flags, 1, text, sizeof(text));
	assert_int_equal(out->io.write(out->io.ctx, m.data + pos, m.len - pos), 0);
	raw_fix_checks(out->data, out->len);
	stream_mem_release(&m);
}

static void unknown_mandatory_is_refused(void **state)
{
	struct stream_mem m;

	build_with_foreign(&m, 0x4242, 0);
	assert_refused(m.data, m.len, -EOPNOTSUPP);
	stream_mem_release(&m);
	build_with_foreign(&m, 0x80004242, 1);	/* optional, but with a mandatory flag */
	assert_refused(m.data, m.len, -EOPNOTSUPP);
	stream_mem_release(&m);
}

/* Skipped, so what is wrong in the end is only the totals of END. */
static void unknown_optional_is_skipped(void **state)
{
	struct stream_mem m;
	char error[512], why[256];

	build_with_foreign(&m, 0x80004242, 0x10000);
	assert_int_equal(read_mem(m.data, m.len, error), -EBADMSG);
	assert_non_null(strstr(error, "records: END says"));
	assert_int_equal(sample_verify(m.data, m.len, why), VERIFY_DEFECT);
	assert_non_null(strstr(why, "records: not"));
	stream_mem_release(&m);
}

/* The same with right totals is a sound stream. */
static void optional_record_with_right_totals(void **state)
{
	struct stream_mem m;

	build_with_foreign(&m, 0x80000011, 0);
	raw_set_end(&m);
	assert_accepted(m.data, m.len);
	stream_mem_release(&m);
}

/* --- order ------------------------------------------------------------------------ */

/*
 * With right totals too, unless the record is one that may come any number of
 * times, or a whole p2m list (a second one replaces the first).
 */
static void assert_order_refused(struct stream_mem *out, const struct stream_mem *m, size_t at,
				 bool twice)
{
	uint32_t type;

	memcpy(&type, m->data + at, sizeof(type));
	raw_set_end(out);
	if (type == STREAM_XENSTORE || type == STREAM_LEDGER || type == STREAM_END ||
	    (type == STREAM_P2M && twice))
		assert_accepted(out->data, out->len);
	else
		assert_refused(out->data, out->len, -EBADMSG);
}

static void order_is_enforced_on_both_sides(void **state)
{
	struct stream_mem m;
	size_t pos[32], next, nr = 0, i, k;
	uint64_t len;

	sample_build(&m);
	for (next = 32; next < m.len; next += 32 + (len + 7) / 8 * 8) {
		memcpy(&len, m.data + next + 8, sizeof(len));
		pos[nr++] = next;
	}
	pos[nr] = m.len;
	/* Leave each record out, and give each record twice: never the same stream. */
	for (i = 0; i < nr; i++) {
		for (k = 0; k <= 2; k += 2) {
			struct stream_mem out;

			stream_mem_init(&out);
			assert_int_equal(out.io.write(out.io.ctx, m.data, pos[i]), 0);
			if (k)
				assert_int_equal(out.io.write(out.io.ctx, m.data + pos[i],
							      pos[i + 1] - pos[i]), 0);
			if (k)
				assert_int_equal(out.io.write(out.io.ctx, m.data + pos[i],
							      pos[i + 1] - pos[i]), 0);
			assert_int_equal(out.io.write(out.io.ctx, m.data + pos[i + 1],
						      m.len - pos[i + 1]), 0);
			raw_fix_checks(out.data, out.len);
			assert_refused(out.data, out.len, 0);
			assert_order_refused(&out, &m, pos[i], k != 0);
			stream_mem_release(&out);
		}
	}
	stream_mem_release(&m);
}

/* Call @op on a writer in a given place; it must refuse and write nothing. */
enum place { P_START, P_BETWEEN, P_ROUND, P_LAST, P_STOPPED };

static struct stream_writer *writer_at(struct stream_mem *m, enum place place)
{
	struct stream_writer *w;

	stream_mem_init(m);
	assert_int_equal(stream_writer_new(&m->io, &w), 0);
	if (place == P_START)
		return w;
	write_front(w, 2, 1024);
	if (place == P_BETWEEN)
		return w;
	assert_int_equal(write_begin(w, 0, place != P_ROUND), 0);
	if (place == P_STOPPED)
		assert_int_equal(write_round_end(w, 0, 0), 0);
	return w;
}

static int op_pages(struct stream_writer *w)
{
	static const uint64_t pfn = 1;
	static const uint8_t type = GODWIT_PAGE_ZERO;
	static uint8_t page[PAGE];

	return stream_write_pages(w, &pfn, &type, page, 1);
}

static int op_begin1(struct stream_writer *w) { return write_begin(w, 1, false); }
static int op_begin0(struct stream_writer *w) { return write_begin(w, 0, false); }
static int op_end_wrong(struct stream_writer *w) { return write_round_end(w, 0, 5); }
static int op_vcpu(struct stream_writer *w) { return write_vcpu(w, 1); }
static int op_vcpu9(struct stream_writer *w) { return write_vcpu(w, 9); }
static int op_vcpu_twice(struct stream_writer *w)
{
	return write_vcpu(w, 1) ? -1 : write_vcpu(w, 1);
}
static int op_shared(struct stream_writer *w) { return write_shared(w); }
static int op_final(struct stream_writer *w) { return write_final(w); }
static int op_p2m(struct stream_writer *w)
{
	static const uint64_t leaves[2] = { 1, 2 };

	return stream_write_p2m(w, leaves, 2, 1024, 0);
}
static int op_p2m_far(struct stream_writer *w)
{
	static const uint64_t leaves[2] = { 1, 1024 };

	return stream_write_p2m(w, leaves, 2, 1024, 0);
}
static int op_header(struct stream_writer *w) { return stream_write_header(w); }

static void writer_refuses_wrong_order(void **state)
{
	static const struct {
		enum place place;
		int (*op)(struct stream_writer *w);
	} cases[] = {
		{ P_START, op_pages }, { P_START, op_begin0 }, { P_START, stream_write_end },
		{ P_BETWEEN, op_header }, { P_BETWEEN, op_pages }, { P_BETWEEN, op_begin1 },
		{ P_BETWEEN, op_end_wrong }, { P_BETWEEN, op_vcpu }, { P_BETWEEN, op_shared },
		{ P_BETWEEN, op_final }, { P_BETWEEN, stream_write_end },
		{ P_BETWEEN, op_p2m_far },
		{ P_ROUND, op_p2m }, { P_ROUND, op_vcpu }, { P_ROUND, op_begin1 },
		{ P_ROUND, op_end_wrong },
		{ P_LAST, op_begin1 }, { P_LAST, op_final }, { P_LAST, op_vcpu9 },
		{ P_LAST, op_vcpu_twice },
		{ P_STOPPED, op_pages }, { P_STOPPED, op_begin1 }, { P_STOPPED, op_final },
		{ P_STOPPED, stream_write_end },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct stream_mem m;
		struct stream_writer *w = writer_at(&m, cases[i].place);

		assert_int_equal(cases[i].op(w), -EINVAL);
		assert_string_not_equal(stream_writer_error(w), "");
		/* sticky: what would be legal is refused now too */
		assert_int_equal(stream_writer_flush(w), -EINVAL);
		stream_writer_free(w);
		stream_mem_release(&m);
	}
}

static int op_end_by_hand(struct stream_writer *w)
{
	Stream__End e = STREAM__END__INIT;

	return stream_write_msg(w, STREAM_END, &e.base);
}

static int op_wrong_message(struct stream_writer *w)
{
	Stream__Ledger l = STREAM__LEDGER__INIT;

	return stream_write_msg(w, STREAM_XENSTORE, &l.base);
}

static int op_unknown_type(struct stream_writer *w)
{
	Stream__Ledger l = STREAM__LEDGER__INIT;

	return stream_write_msg(w, 0x80000777, &l.base);
}

static void writer_refuses_wrong_messages(void **state)
{
	static const struct {
		enum place place;
		int (*op)(struct stream_writer *w);
		const char *says;
	} cases[] = {
		{ P_BETWEEN, op_end_by_hand, "(END): no message is written" },
		{ P_BETWEEN, op_unknown_type, "(unknown): no message is written" },
		{ P_BETWEEN, op_wrong_message, "of another type" },
		{ P_START, op_p2m, "header is not written yet" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct stream_mem m;
		struct stream_writer *w = writer_at(&m, cases[i].place);

		assert_int_equal(cases[i].op(w), -EINVAL);
		assert_non_null(strstr(stream_writer_error(w), cases[i].says));
		stream_writer_free(w);
		stream_mem_release(&m);
	}
}

/* 4096 nodes of 4096 bytes each: every field legal, 16 MiB together. */
static void writer_refuses_a_message_too_large(void **state)
{
	static Stream__XenstoreNode node, *nodes[4096];
	static uint8_t value[4096];
	Stream__Xenstore x = STREAM__XENSTORE__INIT;
	struct stream_mem m;
	struct stream_writer *w = writer_at(&m, P_BETWEEN);
	size_t i, before = m.len;

	stream__xenstore_node__init(&node);
	node.path = (char *)"a";
	node.has_value = 1;
	node.value = (ProtobufCBinaryData){ sizeof(value), value };
	for (i = 0; i < 4096; i++)
		nodes[i] = &node;
	x.n_nodes = 4096;
	x.nodes = nodes;
	assert_int_equal(stream_write_msg(w, STREAM_XENSTORE, &x.base), -EMSGSIZE);
	assert_int_equal(m.len, before);
	stream_writer_free(w);
	stream_mem_release(&m);
}

static void final_needs_everything(void **state)
{
	int left_out;

	for (left_out = 0; left_out <= 4; left_out++) {
		struct stream_mem m;
		struct stream_writer *w = writer_at(&m, P_STOPPED);

		if (left_out != 1)
			assert_int_equal(op_p2m(w), 0);
		if (left_out != 2)
			assert_int_equal(write_vcpu(w, 0), 0);
		if (left_out != 3)
			assert_int_equal(write_vcpu(w, 1), 0);
		if (left_out != 4)
			assert_int_equal(write_shared(w), 0);
		assert_int_equal(write_final(w), left_out ? -EINVAL : 0);
		stream_writer_free(w);
		stream_mem_release(&m);
	}
}

static void writer_refuses_bad_batches(void **state)
{
	static uint8_t buffer[4 * PAGE];
	static const struct {
		uint64_t pfns[2];
		uint8_t types[2];
		unsigned int nr;
	} cases[] = {
		{ { 2, 1 }, { 0, 0 }, 2 }, { { 1, 1 }, { 0, 0 }, 2 },
		{ { 0, 1024 }, { 0, 0 }, 2 }, { { 0, UINT64_MAX }, { 0, 0 }, 2 },
		{ { 0, 1 }, { 0, 9 }, 2 }, { { 0, 1 }, { 0, 0x80 }, 2 },
		{ { 0, 1 }, { 0, 0xff }, 2 }, { { 0, 1 }, { 0, 0 }, 0 },
		{ { 0, 1 }, { 0, 0 }, STREAM_BATCH_MAX + 1 },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct stream_mem m;
		struct stream_writer *w = writer_at(&m, P_ROUND);
		size_t before = m.len;

		assert_int_equal(stream_write_pages(w, cases[i].pfns, cases[i].types, buffer,
						    cases[i].nr), -EINVAL);
		assert_int_equal(m.len, before);
		stream_writer_free(w);
		stream_mem_release(&m);
	}
}

/* --- fields ----------------------------------------------------------------------- */

static void assert_domain_refused(void (*spoil)(Stream__DomainInfo *d))
{
	static uint8_t uuid[16];
	Stream__StreamInfo i = STREAM__STREAM_INFO__INIT;
	Stream__DomainInfo d = STREAM__DOMAIN_INFO__INIT;
	struct stream_mem m;
	char error[512];

	i.has_mode = 1;
	i.mode = STREAM__MODE__LIVE;
	d.name = (char *)"x";
	d.has_uuid = d.has_vcpus = d.has_pfn_limit = 1;
	d.uuid = (ProtobufCBinaryData){ 16, uuid };
	d.vcpus = 1;
	d.pfn_limit = 1;
	if (spoil)
		spoil(&d);
	stream_mem_init(&m);
	raw_header(&m, 1, 0x01020304, 0);
	raw_msg(&m, STREAM_INFO, 0, &i.base);
	raw_msg(&m, STREAM_DOMAIN, 1, &d.base);
	read_mem(m.data, m.len, error);
	if (spoil)
		assert_non_null(strstr(error, "(DOMAIN_INFO)"));
	/* an unspoilt one is only too short */
	assert_refused(m.data, m.len, spoil ? -EBADMSG : -ENODATA);
	stream_mem_release(&m);
}

static void no_name(Stream__DomainInfo *d) { d->name = NULL; }
static void slash(Stream__DomainInfo *d) { d->name = (char *)"../../etc"; }
static void dots(Stream__DomainInfo *d) { d->name = (char *)".."; }
static void escape(Stream__DomainInfo *d) { d->name = (char *)"a\033[2J"; }
static void no_vcpus(Stream__DomainInfo *d) { d->vcpus = 0; }
static void many_vcpus(Stream__DomainInfo *d) { d->vcpus = 129; }
static void no_limit(Stream__DomainInfo *d) { d->has_pfn_limit = 0; }
static void zero_limit(Stream__DomainInfo *d) { d->pfn_limit = 0; }
static void big_limit(Stream__DomainInfo *d) { d->pfn_limit = STREAM_PFN_LIMIT_MAX + 1; }
static void short_uuid(Stream__DomainInfo *d) { d->uuid.len = 15; }
static void bad_mac(Stream__DomainInfo *d)
{
	static Stream__Vif v, *vifs[] = { &v };

	stream__vif__init(&v);
	v.mac = (char *)"00:16:3e:01:02:0g";
	d->n_vifs = 1;
	d->vifs = vifs;
}
static void long_bridge(Stream__DomainInfo *d)
{
	static Stream__Vif v, *vifs[] = { &v };

	stream__vif__init(&v);
	v.mac = (char *)"00:16:3e:01:02:03";
	v.bridge = (char *)"sixteen-letters-";
	d->n_vifs = 1;
	d->vifs = vifs;
}

static void domain_fields_are_checked(void **state)
{
	assert_domain_refused(NULL);
	assert_domain_refused(no_name);
	assert_domain_refused(slash);
	assert_domain_refused(dots);
	assert_domain_refused(escape);
	assert_domain_refused(no_vcpus);
	assert_domain_refused(many_vcpus);
	assert_domain_refused(no_limit);
	assert_domain_refused(zero_limit);
	assert_domain_refused(big_limit);
	assert_domain_refused(short_uuid);
	assert_domain_refused(bad_mac);
	assert_domain_refused(long_bridge);
}

/* 1 MiB of two-byte elements would want a hundred times that in memory. */
static void small_message_cannot_take_much_memory(void **state)
{
	size_t len = (1 << 20) - 2, i;
	uint8_t *payload = malloc(len);
	struct stream_mem m;
	char error[512];

	for (i = 0; i < len; i += 2) {
		payload[i] = 9 << 3 | 2;	/* DomainInfo.vifs, length-delimited */
		payload[i + 1] = 0;
	}
	stream_mem_init(&m);
	raw_header(&m, 1, 0x01020304, 0);
	raw_record(&m, STREAM_DOMAIN, 0, 0, payload, len);
	assert_int_equal(read_mem(m.data, m.len, error), -EBADMSG);
	assert_non_null(strstr(error, "not a valid DomainInfo"));
	stream_mem_release(&m);
	free(payload);
}

static void a_parent_is_refused(void **state)
{
	Stream__StreamInfo i = STREAM__STREAM_INFO__INIT;
	struct stream_mem m;

	struct stream_record rec;
	struct stream_reader *r;
	uint8_t id[16] = { 1 };

	i.has_mode = i.has_chain_seq = i.has_chain_id = 1;
	i.mode = STREAM__MODE__CHECKPOINT;
	i.chain_seq = 1;
	i.chain_id = (ProtobufCBinaryData){ sizeof(id), id };
	stream_mem_init(&m);
	raw_header(&m, 1, 0x01020304, 0);
	raw_msg(&m, STREAM_INFO, 0, &i.base);
	/* Nobody said that a parent can be had. */
	assert_int_equal(stream_reader_new(&m.io, &r), 0);
	assert_int_equal(stream_read_next(r, &rec), -EOPNOTSUPP);
	assert_non_null(strstr(stream_error(r), "depends on a parent"));
	stream_reader_free(r);
	/* With that said, what is missing is the rest. */
	m.pos = 0;
	assert_int_equal(stream_reader_new(&m.io, &r), 0);
	stream_reader_allow_parent(r);
	assert_int_equal(stream_read_next(r, &rec), 0);
	assert_int_equal(stream_read_next(r, &rec), -ENODATA);
	stream_reader_free(r);
	stream_mem_release(&m);
}

/* --- descriptors ------------------------------------------------------------------- */

static void *drip(void *arg)
{
	const struct stream_mem *m = ((void **)arg)[0];
	int fd = *(int *)((void **)arg)[1];
	size_t pos = 0, n;

	/* Pieces of awkward sizes, so that reads come back short. */
	while (pos < m->len) {
		n = 1 + rnd() % 5000;
		if (n > m->len - pos)
			n = m->len - pos;
		if (write(fd, m->data + pos, n) != (ssize_t)n)
			break;
		pos += n;
	}
	close(fd);
	return NULL;
}

static void socket_in_pieces(void **state)
{
	struct stream_fd f;
	struct stream_mem m;
	pthread_t th;
	int sv[2];
	void *args[2] = { &m, &sv[0] };

	sample_build(&m);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	assert_int_equal(stream_fd_init(&f, sv[1], 5000), 0);
	assert_int_equal(pthread_create(&th, NULL, drip, args), 0);
	assert_int_equal(sample_read_all(&f.io, NULL, NULL, NULL, 0), 0);
	pthread_join(th, NULL);
	stream_fd_release(&f);
	close(sv[1]);
	stream_mem_release(&m);
}

static void *slow_sink(void *arg)
{
	struct stream_mem *m = ((void **)arg)[0];
	int fd = *(int *)((void **)arg)[1];
	uint8_t buf[3000];
	ssize_t n;

	while ((n = read(fd, buf, 1 + rnd() % sizeof(buf))) > 0)
		m->io.write(m->io.ctx, buf, (size_t)n);
	return NULL;
}

static void short_writes_arrive_whole(void **state)
{
	int sv[2], small = 4096, timeouts[] = { -1, 5000 };
	size_t i;

	for (i = 0; i < 2; i++) {
		struct stream_mem want, got;
		struct stream_writer *w;
		struct stream_fd f;
		void *args[2] = { &got, &sv[1] };
		pthread_t th;

		sample_build(&want);
		stream_mem_init(&got);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
		setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
		assert_int_equal(stream_fd_init(&f, sv[0], timeouts[i]), 0);
		assert_int_equal(pthread_create(&th, NULL, slow_sink, args), 0);
		assert_int_equal(stream_writer_new(&f.io, &w), 0);
		assert_int_equal(sample_write(w), 0);
		stream_writer_free(w);
		stream_fd_release(&f);
		close(sv[0]);
		pthread_join(th, NULL);
		close(sv[1]);
		assert_int_equal(got.len, want.len);
		assert_memory_equal(got.data, want.data, want.len);
		stream_mem_release(&got);
		stream_mem_release(&want);
	}
}

static void silent_peer_times_out(void **state)
{
	struct stream_reader *r;
	struct stream_record rec;
	struct stream_fd f;
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	assert_int_equal(stream_fd_init(&f, sv[1], 20), 0);
	assert_int_equal(stream_reader_new(&f.io, &r), 0);
	assert_int_equal(stream_read_next(r, &rec), -ETIMEDOUT);
	assert_int_equal(stream_read_next(r, &rec), -ETIMEDOUT);
	stream_reader_free(r);
	stream_fd_release(&f);
	close(sv[0]);
	close(sv[1]);
}

static void gone_peer_is_an_error_not_a_signal(void **state)
{
	struct stream_writer *w;
	struct stream_fd f;
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	assert_int_equal(stream_fd_init(&f, sv[0], -1), 0);
	close(sv[1]);
	assert_int_equal(stream_writer_new(&f.io, &w), 0);
	assert_int_equal(sample_write(w), -EPIPE);
	assert_non_null(strstr(stream_writer_error(w), "Broken pipe"));
	stream_writer_free(w);
	stream_fd_release(&f);
	close(sv[0]);
}

static void full_disk_is_an_error(void **state)
{
	struct stream_writer *w;
	struct stream_fd f;
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(stream_fd_init(&f, fd, -1), 0);
	assert_int_equal(stream_writer_new(&f.io, &w), 0);
	assert_int_equal(sample_write(w), -ENOSPC);
	stream_writer_free(w);
	stream_fd_release(&f);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sample_round_trip),
		cmocka_unit_test(records_carry_their_fields),
		cmocka_unit_test(random_against_twin),
		cmocka_unit_test(large_p2m_list_is_chunked),
		cmocka_unit_test(all_retry_writes_nothing),
		cmocka_unit_test(truncation_at_every_byte),
		cmocka_unit_test(one_flipped_bit_anywhere),
		cmocka_unit_test(bytes_after_the_end),
		cmocka_unit_test(header_of_another_kind),
		cmocka_unit_test(absurd_lengths_and_counts),
		cmocka_unit_test(length_above_the_bound),
		cmocka_unit_test(bad_entries),
		cmocka_unit_test(unknown_mandatory_is_refused),
		cmocka_unit_test(unknown_optional_is_skipped),
		cmocka_unit_test(optional_record_with_right_totals),
		cmocka_unit_test(order_is_enforced_on_both_sides),
		cmocka_unit_test(writer_refuses_wrong_order),
		cmocka_unit_test(writer_refuses_wrong_messages),
		cmocka_unit_test(writer_refuses_a_message_too_large),
		cmocka_unit_test(final_needs_everything),
		cmocka_unit_test(writer_refuses_bad_batches),
		cmocka_unit_test(domain_fields_are_checked),
		cmocka_unit_test(small_message_cannot_take_much_memory),
		cmocka_unit_test(a_parent_is_refused),
		cmocka_unit_test(socket_in_pieces),
		cmocka_unit_test(short_writes_arrive_whole),
		cmocka_unit_test(silent_peer_times_out),
		cmocka_unit_test(gone_peer_is_an_error_not_a_signal),
		cmocka_unit_test(full_disk_is_an_error),
	};

	return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
