/* SPDX-License-Identifier: Apache-2.0 */
/* See checkpoint/ptables.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/ptables.h"

#define ENTRIES		512u
#define PRESENT		1ull
#define LARGE		0x80ull		/* an L2 or L3 entry that maps memory itself */
#define PFN_OF(e)	(((e) & 0x000ffffffffff000ull) >> 12)
#define USER_SLOTS	256u		/* of an L4: the lower half */
#define KERNEL_FIRST	272u		/* 256..271 are the hypervisor's */

uint64_t *ptables_bitmap(const struct chain *c)
{
	return calloc(chain_pfn_limit(c) / 64 + 1, sizeof(uint64_t));
}

static void set_bit(uint64_t *map, uint64_t pfn)
{
	map[pfn / 64] |= 1ull << (pfn % 64);
}

/* Is @pfn a table of @level (1..4)? */
static bool is_table(const struct chain *c, uint64_t pfn, unsigned int level)
{
	uint8_t type = chain_page_type(c, pfn);

	return type != CHAIN_NO_PAGE &&
	       (type & GODWIT_PAGE_TYPE_MASK) == GODWIT_PAGE_L1 + level - 1;
}

static bool has_frame(const struct chain *c, uint64_t pfn)
{
	uint8_t type = chain_page_type(c, pfn);

	return type != CHAIN_NO_PAGE && type != GODWIT_PAGE_ABSENT;
}

/* What an entry of a table of @level leads to; false: nothing that may be followed. */
static bool follow(const struct chain *c, uint64_t entry, unsigned int level, uint64_t *pfn)
{
	*pfn = PFN_OF(entry);
	if (!(entry & PRESENT) || *pfn >= chain_pfn_limit(c))
		return false;
	if (level == 1)
		return has_frame(c, *pfn);
	return !(level < 4 && (entry & LARGE)) && is_table(c, *pfn, level - 1);
}

static int read_table(struct chain *c, uint64_t pfn, uint64_t *table)
{
	uint8_t type;

	return chain_read_pages(c, &pfn, &type, table, 1);
}

/* Mark what the tables of @level that are marked in @from lead to. */
static int mark_below(struct chain *c, unsigned int level, const uint64_t *from, uint64_t *to)
{
	uint64_t table[ENTRIES], pfn, next, limit = chain_pfn_limit(c);
	unsigned int i, nr = level == 4 ? USER_SLOTS : ENTRIES;
	int ret;

	/* In the order of pfns, in which the pages of a record lie together. */
	for (pfn = chain_next_page(c, 0); pfn < limit; pfn = chain_next_page(c, pfn + 1)) {
		if (!ptables_bit(from, pfn))
			continue;
		ret = read_table(c, pfn, table);
		if (ret)
			return ret;
		for (i = 0; i < nr; i++) {
			if (follow(c, table[i], level, &next))
				set_bit(to, next);
		}
	}
	return 0;
}

int ptables_mark_user(struct chain *c, uint64_t *user)
{
	uint64_t *tables = ptables_bitmap(c), *next, pfn;
	unsigned int level;
	int ret = tables ? 0 : -ENOMEM;

	for (pfn = chain_next_page(c, 0); !ret && pfn < chain_pfn_limit(c);
	     pfn = chain_next_page(c, pfn + 1)) {
		if (is_table(c, pfn, 4))
			set_bit(tables, pfn);
	}
	for (level = 4; !ret && level > 1; level--) {
		next = ptables_bitmap(c);
		ret = next ? mark_below(c, level, tables, next) : -ENOMEM;
		free(tables);
		tables = next;
	}
	if (!ret)
		ret = mark_below(c, 1, tables, user);
	free(tables);
	return ret;
}

/* --- addresses ------------------------------------------------------------------------ */

struct walk {
	struct chain *c;
	struct ptables_runs *out;
	size_t max;
	uint64_t budget;		/* tables that may still be read */
};

static int add_page(struct walk *w, uint64_t va, uint64_t pfn)
{
	struct ptables_runs *o = w->out;
	struct ptables_run *last = o->nr ? &o->run[o->nr - 1] : NULL;

	if (last && va == last->va + last->nr * 4096 && pfn == last->pfn + last->nr) {
		last->nr++;
		return 0;
	}
	if (o->nr == w->max) {
		o->truncated = true;
		return 0;
	}
	if (o->nr == o->cap) {
		size_t cap = o->cap ? o->cap * 2 : 256;
		struct ptables_run *p = realloc(o->run, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		o->run = p;
		o->cap = cap;
	}
	o->run[o->nr++] = (struct ptables_run){ va, pfn, 1 };
	return 0;
}

/* Table @pfn of @level, which begins at address @va; at most four deep. */
static int walk_table(struct walk *w, uint64_t pfn, unsigned int level, uint64_t va,
		      unsigned int first)
{
	uint64_t table[ENTRIES], next, at;
	unsigned int i;
	int ret;

	if (!w->budget) {
		w->out->truncated = true;
		return 0;
	}
	w->budget--;
	ret = read_table(w->c, pfn, table);
	for (i = first; !ret && i < ENTRIES && !w->out->truncated; i++) {
		if (!follow(w->c, table[i], level, &next))
			continue;
		at = va + ((uint64_t)i << (12 + 9 * (level - 1)));
		if (level == 4)
			at |= 0xffff000000000000ull;	/* the upper half, sign extended */
		ret = level == 1 ? add_page(w, at, next) :
				   walk_table(w, next, level - 1, at, 0);
	}
	return ret;
}

int ptables_kernel_runs(struct chain *c, uint64_t root, size_t max, struct ptables_runs *out)
{
	uint64_t by_type[GODWIT_PAGE_TYPE_MASK + 1], pinned;
	struct walk w = { .c = c, .out = out, .max = max };

	*out = (struct ptables_runs){ 0 };
	if (!is_table(c, root, 4))
		return -EBADMSG;
	/* A kernel maps few of its tables at more than one address. */
	chain_count_types(c, by_type, &pinned);
	w.budget = 64 + 4 * (by_type[GODWIT_PAGE_L1] + by_type[GODWIT_PAGE_L2] +
			     by_type[GODWIT_PAGE_L3]);
	return walk_table(&w, root, 4, 0, KERNEL_FIRST);
}
