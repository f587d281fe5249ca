/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `checkpoint diff STORE DOMAIN@A DOMAIN@B`: pages that differ, by kind.
 *
 * Pages that both take from the same place of the same checkpoint are the same
 * and are not read; that makes the diff of neighbours cost what changed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/chain.h"
#include "checkpoint/cmd_chain.h"
#include "checkpoint/ptables.h"

#define BATCH	256u

enum kind {
	K_L1, K_L2, K_L3, K_L4,
	K_P2M,			/* leaves of the p2m list; the destination makes their bytes */
	K_USER, K_KERNEL,	/* data, the same type in both */
	K_FILLED,		/* zeros became data */
	K_ZEROED,
	K_APPEARED,		/* no frame in A */
	K_VANISHED,		/* no frame in B */
	K_TYPE,			/* one is a table or leaf, the other is not; pinned or unpinned */
	K_NR,
};

static const char *const kind_names[K_NR] = {
	[K_L1] = "table_l1", [K_L2] = "table_l2", [K_L3] = "table_l3", [K_L4] = "table_l4",
	[K_P2M] = "p2m", [K_USER] = "user", [K_KERNEL] = "kernel",
	[K_FILLED] = "zero_to_data", [K_ZEROED] = "data_to_zero",
	[K_APPEARED] = "appeared", [K_VANISHED] = "vanished", [K_TYPE] = "type_changed",
};

struct diff {
	struct chain *a, *b;
	uint64_t *user;			/* bits, of b */
	uint64_t nr[K_NR];
	uint64_t same, compared;
	unsigned int n;			/* collected */
	uint64_t pfns[BATCH];
	uint8_t *pages_a, *pages_b;
};

static bool has_frame(uint8_t type)
{
	return type != CHAIN_NO_PAGE && type != GODWIT_PAGE_ABSENT;
}

/* What two different types, or the same with different bytes, mean. */
static enum kind kind_of(const struct diff *d, uint64_t pfn, uint8_t ta, uint8_t tb)
{
	if (!has_frame(ta))
		return K_APPEARED;
	if (!has_frame(tb))
		return K_VANISHED;
	if (ta == GODWIT_PAGE_ZERO && tb == GODWIT_PAGE_DATA)
		return K_FILLED;
	if (ta == GODWIT_PAGE_DATA && tb == GODWIT_PAGE_ZERO)
		return K_ZEROED;
	if (ta != tb)
		return K_TYPE;
	tb &= GODWIT_PAGE_TYPE_MASK;
	if (tb >= GODWIT_PAGE_L1 && tb <= GODWIT_PAGE_L4)
		return K_L1 + (tb - GODWIT_PAGE_L1);
	if (tb == GODWIT_PAGE_P2M)
		return K_P2M;
	return ptables_bit(d->user, pfn) ? K_USER : K_KERNEL;
}

static int compare(struct diff *d)
{
	uint8_t ta[BATCH], tb[BATCH];
	unsigned int i;
	int ret;

	if (!d->n)
		return 0;
	ret = chain_read_pages(d->a, d->pfns, ta, d->pages_a, d->n);
	if (!ret)
		ret = chain_read_pages(d->b, d->pfns, tb, d->pages_b, d->n);
	for (i = 0; !ret && i < d->n; i++) {
		/* Zeros may have been written as data. */
		bool alike = ta[i] == tb[i] || ((ta[i] | tb[i]) <= GODWIT_PAGE_ZERO);

		if (alike && !memcmp(d->pages_a + (size_t)i * STREAM_PAGE_SIZE,
				     d->pages_b + (size_t)i * STREAM_PAGE_SIZE,
				     STREAM_PAGE_SIZE))
			d->same++;
		else
			d->nr[kind_of(d, d->pfns[i], ta[i], tb[i])]++;
	}
	d->compared += d->n;
	d->n = 0;
	return ret;
}

static bool same_place(const struct diff *d, uint64_t pfn)
{
	const char *oa, *ob;
	uint64_t pa, pb;

	return chain_page_place(d->a, pfn, &oa, &pa) && chain_page_place(d->b, pfn, &ob, &pb) &&
	       pa == pb && !strcmp(oa, ob);
}

static bool is_simple(uint8_t type)	/* no bytes: the type says it all */
{
	return !has_frame(type) || type == GODWIT_PAGE_ZERO || type == GODWIT_PAGE_P2M;
}

static int add_pfn(struct diff *d, uint64_t pfn)
{
	uint8_t ta = chain_page_type(d->a, pfn), tb = chain_page_type(d->b, pfn);

	if (!has_frame(ta) && !has_frame(tb))
		return 0;
	if (same_place(d, pfn) || (ta == tb && is_simple(ta))) {
		d->same++;
		return 0;
	}
	if (!has_frame(ta) || !has_frame(tb)) {
		d->nr[kind_of(d, pfn, ta, tb)]++;
		return 0;
	}
	d->pfns[d->n++] = pfn;
	return d->n == BATCH ? compare(d) : 0;
}

/* The first pfn from @pfn on that either of them has. */
static uint64_t next_pfn(const struct diff *d, uint64_t pfn)
{
	uint64_t a = chain_next_page(d->a, pfn), b = chain_next_page(d->b, pfn);

	/* At its own limit one of them has nothing more to say. */
	if (a >= chain_pfn_limit(d->a))
		return b;
	if (b >= chain_pfn_limit(d->b))
		return a;
	return a < b ? a : b;
}

static int run_diff(struct diff *d)
{
	uint64_t la = chain_pfn_limit(d->a), lb = chain_pfn_limit(d->b), pfn;
	uint64_t both = la < lb ? la : lb, most = la < lb ? lb : la;
	int ret;

	d->user = ptables_bitmap(d->b);
	d->pages_a = malloc((size_t)BATCH * STREAM_PAGE_SIZE);
	d->pages_b = malloc((size_t)BATCH * STREAM_PAGE_SIZE);
	if (!d->user || !d->pages_a || !d->pages_b)
		return -ENOMEM;
	ret = ptables_mark_user(d->b, d->user);
	for (pfn = next_pfn(d, 0); !ret && pfn < both; pfn = next_pfn(d, pfn + 1))
		ret = add_pfn(d, pfn);
	if (!ret)
		ret = compare(d);
	for (pfn = next_pfn(d, both); !ret && pfn < most; pfn = next_pfn(d, pfn + 1)) {
		if (has_frame(chain_page_type(d->a, pfn)))
			d->nr[K_VANISHED]++;
		else if (has_frame(chain_page_type(d->b, pfn)))
			d->nr[K_APPEARED]++;
	}
	return ret;
}

static void report(const struct diff *d, bool json)
{
	uint64_t total = 0;
	unsigned int k;

	for (k = 0; k < K_NR; k++)
		total += d->nr[k];
	if (json) {
		printf("{\"a\": \"%s\", \"b\": \"%s\", \"same\": %" PRIu64 ", \"differ\": %" PRIu64,
		       chain_level(d->a, 0)->obj.name, chain_level(d->b, 0)->obj.name, d->same,
		       total);
		for (k = 0; k < K_NR; k++)
			printf(", \"%s\": %" PRIu64, kind_names[k], d->nr[k]);
		printf("}\n");
		return;
	}
	printf("%" PRIu64 " pages differ, %" PRIu64 " are the same\n", total, d->same);
	for (k = 0; k < K_NR; k++) {
		if (d->nr[k])
			printf("  %-14s %10" PRIu64 " %10.1f MiB\n", kind_names[k], d->nr[k],
			       (double)d->nr[k] / 256);
	}
}

static int open_one(const struct chain_args *a, const char *target, struct chain **c)
{
	char why[CHAIN_WHY] = "";
	struct catalog cat;
	size_t i;
	int ret = chain_args_find(a, target, &cat, &i);

	if (ret == CMD_OK) {
		ret = chain_open_at(&cat, i, 0, c, why);
		ret = ret ? chain_say(a->command, ret, why) : CMD_OK;
	}
	catalog_free(&cat);
	return ret;
}

int cmd_diff(int argc, char **argv)
{
	struct diff d = { 0 };
	struct chain_args a;
	int ret = chain_args_parse(&a, argc, argv, "diff [--json] STORE DOMAIN@A DOMAIN@B", 3, 3,
				   NULL);

	if (ret != CMD_OK || a.help)
		return ret;
	ret = open_one(&a, a.arg[1], &d.a);
	if (ret == CMD_OK)
		ret = open_one(&a, a.arg[2], &d.b);
	if (ret == CMD_OK) {
		ret = run_diff(&d);
		if (!ret)
			report(&d, a.json);
		else
			ret = chain_say(a.command, ret, chain_error(d.a)[0] ? chain_error(d.a) :
					chain_error(d.b));
	}
	free(d.user);
	free(d.pages_a);
	free(d.pages_b);
	chain_close(d.a);
	chain_close(d.b);
	chain_args_close(&a);
	return ret;
}
