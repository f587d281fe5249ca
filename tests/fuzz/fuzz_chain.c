/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile checkpoint in a store, on top of a sound parent or alone: opened both
 * ways, every page read, its page tables walked.  What the second reader calls
 * sound must be readable as a chain, and what is read in two ways must agree.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/ptables.h"
#include "checkpoint/verify.h"
#include "tests/unit/chain_util.h"
#include "tests/unit/fake/fake_store.h"
#include "tests/unit/test_stream_util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

#define PARENT	"d/20260101T000000.000Z-000000-01020304.ckpt"
#define CHILD	"d/20260101T000001.000Z-000001-01020304.ckpt"
#define PFNS	40u

static struct stream_mem parent, child;

/* The parent is always the same, so that a mutated child still finds it. */
static void make_seeds(void)
{
	static struct guest g;
	struct shot shot = { .chain = 1, .time_ns = 1 };
	unsigned int i;

	if (parent.len)
		return;
	guest_init(&g, PFNS, 5);
	for (i = 0; i < PFNS; i += 7)
		g.type[i] = GODWIT_PAGE_ZERO;	/* no noise: small inputs */
	shot_write(&parent, &g, &shot, &shot.parent_hash);
	shot.seq = 1;
	shot.parent_name = &PARENT[2];
	guest_run(&g, 6);
	for (i = 0; i < PFNS; i += 7)
		g.type[i] = GODWIT_PAGE_ZERO;
	shot_write(&child, &g, &shot, NULL);
}

struct sum {
	struct chain *c;
	uint64_t pages;
	bool differs;
};

static int compare_page(void *ctx, uint64_t pfn, uint8_t type, const uint8_t *bytes)
{
	uint8_t page[STREAM_PAGE_SIZE], t;
	struct sum *s = ctx;

	if (chain_read_pages(s->c, &pfn, &t, page, 1) || t != type ||
	    (bytes && memcmp(page, bytes, sizeof(page))))
		s->differs = true;
	s->pages++;
	return 0;
}

/* Return: every page could be read. */
static bool use_chain(struct chain *c)
{
	uint64_t *user = ptables_bitmap(c), pfn;
	struct sum s = { .c = c };
	struct ptables_runs runs;
	bool good = !chain_each_page(c, compare_page, &s);

	if (good && s.differs)
		abort();
	if (user)
		ptables_mark_user(c, user);
	for (pfn = 0; pfn < chain_pfn_limit(c) && pfn < 64; pfn++) {
		ptables_kernel_runs(c, pfn, 1000, &runs);
		free(runs.run);
	}
	free(user);
	return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[CHAIN_WHY] = "", defect[256];
	struct fake_store f;
	struct chain *c;
	int skim, check;
	bool good = false;

	make_seeds();
	fake_store_init(&f);
	fake_store_set(&f, PARENT, parent.data, parent.len);
	fake_store_set(&f, CHILD, data, size);
	check = chain_open(&f.store, "d", NULL, CHAIN_CHECK, &c, why);
	if (check && (!why[0] || strchr(why, '\n')))
		abort();
	if (!check)
		chain_close(c);
	skim = chain_open(&f.store, "d", NULL, 0, &c, why);
	if (!skim) {
		/* A limit of 2^28 pfns is legal and takes too long to walk here. */
		good = chain_pfn_limit(c) > 1u << 20 || use_chain(c);
		chain_close(c);
	}
	/* Who reads all of it finds at least what the one who skims finds. */
	if (skim && !check) {
		fprintf(stderr, "skimming refuses what checking takes: %s\n", why);
		abort();
	}
	if (!check && !sample_verify(data, size, defect) && !good) {
		fprintf(stderr, "sound, and its pages cannot be read\n");
		abort();
	}
	fake_store_release(&f);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	const struct stream_mem *from = seed & 0x100 ? &child : &parent;
	unsigned int dice = seed % 16;
	struct stream_mem m;

	make_seeds();
	if (size < 64 && from->len <= max_size) {
		memcpy(data, from->data, from->len);
		size = from->len;
	}
	size = LLVMFuzzerMutate(data, size, max_size);
	if (dice == 15)
		return size;
	raw_fix_checks(data, size);
	raw_fix_index(data, size);
	raw_fix_checks(data, size);
	if (dice & 1 && size >= 32) {
		stream_mem_init(&m);
		if (m.io.write(m.io.ctx, data, size))
			abort();
		raw_set_end(&m);
		if (m.len <= max_size) {
			memcpy(data, m.data, m.len);
			size = m.len;
		}
		stream_mem_release(&m);
	}
	return size;
}
