// SPDX-License-Identifier: Apache-2.0
/* See lazy.h. */
#include "checkpoint/lazy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/xen.h>

#include "checkpoint/chain_priv.h"
#include "checkpoint/vcpu_regs.h"

#define ASKED_MAX	64u		/* GODWIT_LAZY_FETCH gives no more */
#define MARK_MAX	16384u		/* pfns in one hypercall */
#define AROUND		16u		/* neighbours that come along: a block of the stream */
#define HOT_MAX		2048u		/* pages of the newest checkpoint that come at once */
#define BEHIND		16u		/* pages brought at once while nobody waits */

struct lazy {
	struct chain *c;
	uint64_t limit;
	bool *later;			/* per pfn: comes after the guest runs */
	uint64_t nr_later;
	uint64_t next;			/* where the background has come to */
	uint8_t pages[];		/* STREAM_BATCH_BYTES */
};

static bool is_table(uint8_t type)
{
	type &= GODWIT_PAGE_TYPE_MASK;
	return type >= GODWIT_PAGE_L1 && type <= GODWIT_PAGE_L4;
}

/* --- what can wait ----------------------------------------------------------------------- */

static void needed_now(struct lazy *l, uint64_t pfn)
{
	if (pfn < l->limit && l->later[pfn]) {
		l->later[pfn] = false;
		l->nr_later--;
	}
}

/* start_info and its two rings are read before the guest runs; GDTs are judged then. */
static int find_needed(struct lazy *l, char why[CHAIN_WHY])
{
	const struct start_info *si = (const struct start_info *)l->pages;
	uint64_t pfn = chain_final(l->c)->start_info_pfn;
	struct vcpu_regs regs;
	uint8_t type;
	int ret = chain_read_pages(l->c, &pfn, &type, l->pages, 1);

	if (ret) {
		snprintf(why, CHAIN_WHY, "%s", chain_error(l->c));
		return ret;
	}
	needed_now(l, pfn);
	needed_now(l, si->store_mfn);
	needed_now(l, si->console.domU.mfn);
	for (uint32_t v = 0; v < chain_domain(l->c)->vcpus; v++) {
		const Stream__VcpuContext *m = chain_vcpu(l->c, v);

		if (!vcpu_regs_get(m->context.data, m->context.len, &regs)) {
			snprintf(why, CHAIN_WHY, "vCPU %u: a context of a kind that is not known here", v);
			return -EBADMSG;
		}
		for (unsigned int i = 0; i < regs.nr_gdt; i++)
			needed_now(l, regs.gdt[i]);
	}
	return 0;
}

/*
 * What changed last will be wanted first: a child that holds little is the pages
 * that the guest touches whenever it suspends and goes on.
 */
static void find_hot(struct lazy *l)
{
	const char *tip = chain_level(l->c, 0)->obj.name, *object;
	uint64_t place;

	if (chain_depth(l->c) < 2 || chain_level(l->c, 0)->data_pages > HOT_MAX)
		return;
	for (uint64_t pfn = 0; pfn < l->limit; pfn++)
		if (l->later[pfn] && chain_page_place(l->c, pfn, &object, &place) &&
		    !strcmp(object, tip))
			needed_now(l, pfn);
}

int lazy_new(struct chain *c, struct lazy **out, char why[CHAIN_WHY])
{
	struct lazy *l = calloc(1, sizeof(*l) + STREAM_BATCH_BYTES);
	int ret;

	if (!l)
		return -ENOMEM;
	l->c = c;
	l->limit = chain_pfn_limit(c);
	l->later = calloc(l->limit, sizeof(*l->later));
	if (!l->later) {
		free(l);
		return -ENOMEM;
	}
	for (uint64_t pfn = 0; pfn < l->limit; pfn++) {
		l->later[pfn] = chain_page_type(c, pfn) == GODWIT_PAGE_DATA;
		l->nr_later += l->later[pfn];
	}
	find_hot(l);
	ret = find_needed(l, why);
	if (ret) {
		lazy_free(l);
		return ret;
	}
	*out = l;
	return 0;
}

void lazy_free(struct lazy *l)
{
	if (l)
		free(l->later);
	free(l);
}

/* --- the stream ---------------------------------------------------------------------------- */

struct now_batch {
	unsigned int nr;
	uint64_t pfns[STREAM_BATCH_MAX];
	uint8_t types[STREAM_BATCH_MAX];
};

/* Types as the chain has them, bytes of those that have to be there; the others are empty frames. */
static int write_batch(struct lazy *l, struct stream_writer *w, struct now_batch *b)
{
	int ret;

	for (unsigned int i = 0; i < b->nr; i++) {
		uint8_t type = chain_page_type(l->c, b->pfns[i]);

		b->types[i] = l->later[b->pfns[i]] ? GODWIT_PAGE_ZERO : type;
		if (!is_table(b->types[i]) && b->types[i] != GODWIT_PAGE_DATA)
			continue;
		ret = chain_read_pages(l->c, &b->pfns[i], &type,
				       l->pages + (size_t)i * STREAM_PAGE_SIZE, 1);
		if (ret)
			return ret;
	}
	ret = stream_write_pages(w, b->pfns, b->types, l->pages, b->nr);
	b->nr = 0;
	return ret;
}

static int write_pages(struct lazy *l, struct stream_writer *w, uint64_t *written)
{
	struct now_batch b = { 0 };
	int ret = 0;

	for (uint64_t pfn = 0; pfn < l->limit && !ret; pfn++) {
		if (chain_page_type(l->c, pfn) == CHAIN_NO_PAGE)
			continue;
		b.pfns[b.nr++] = pfn;
		++*written;
		if (b.nr == STREAM_BATCH_MAX)
			ret = write_batch(l, w, &b);
	}
	return ret || !b.nr ? ret : write_batch(l, w, &b);
}

int lazy_write(struct chain *c, struct stream_writer *w, void *ctx)
{
	Stream__RoundBegin begin = STREAM__ROUND_BEGIN__INIT;
	Stream__RoundEnd end = STREAM__ROUND_END__INIT;
	struct lazy *l = ctx;
	int ret = chain_write_front(c, w, CHAIN_AS_IMAGE);

	begin.has_number = begin.has_last = end.has_number = end.has_pages = 1;
	begin.last = 1;
	if (!ret)
		ret = stream_write_msg(w, STREAM_ROUND_BEGIN, &begin.base);
	if (!ret)
		ret = write_pages(l, w, &end.pages);
	if (!ret)
		ret = stream_write_msg(w, STREAM_ROUND_END, &end.base);
	return ret ? ret : chain_write_tail(c, w);
}

/* --- the frames ------------------------------------------------------------------------------ */

static int mark_some(struct hcall *h, domid_t domid, uint64_t *pfns, unsigned int nr)
{
	struct godwit_lazy op = {
		.domid = domid, .action = GODWIT_LAZY_MARK, .nr = nr, .pfns = (uintptr_t)pfns,
	};

	return nr ? hcall_godwit_lazy(h, &op) : 0;
}

int lazy_mark(struct lazy *l, struct hcall *h, domid_t domid)
{
	uint64_t *pfns = hcall_buf_alloc(h, MARK_MAX * sizeof(*pfns));
	unsigned int nr = 0;
	int ret = pfns ? hcall_godwit_logdirty_enable_all(h, domid) : -ENOMEM;

	for (uint64_t pfn = 0; pfn < l->limit && !ret; pfn++) {
		if (!l->later[pfn])
			continue;
		pfns[nr++] = pfn;
		if (nr == MARK_MAX) {
			ret = mark_some(h, domid, pfns, nr);
			nr = 0;
		}
	}
	if (!ret)
		ret = mark_some(h, domid, pfns, nr);
	hcall_buf_free(h, pfns, MARK_MAX * sizeof(*pfns));
	return ret;
}

/* Hypercall memory of the one that fills. */
struct fill {
	struct lazy *l;
	struct hcall *h;
	domid_t domid;
	uint64_t *asked;		/* ASKED_MAX */
	uint64_t *pfns;			/* STREAM_BATCH_MAX, as the next two */
	uint8_t *types;
	uint8_t *pages;
	struct lazy_stats *st;
};

/* A page that the guest gave back meanwhile is not missing any more: -EINVAL, and no harm. */
static int write_singly(struct fill *f, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		int ret = hcall_godwit_write_frames_all(f->h, f->domid, f->pfns + i, f->types + i,
							f->pages + (size_t)i * STREAM_PAGE_SIZE, 1);

		if (ret && ret != -EINVAL)
			return ret;
	}
	return 0;
}

static int bring(struct fill *f, unsigned int nr)
{
	int ret;

	if (!nr)
		return 0;
	ret = chain_read_pages(f->l->c, f->pfns, f->types, f->pages, nr);
	if (!ret)
		ret = hcall_godwit_write_frames_all(f->h, f->domid, f->pfns, f->types, f->pages, nr);
	if (ret == -EINVAL)
		ret = write_singly(f, nr);
	f->st->pages += nr;
	return ret;
}

static bool take_later(struct lazy *l, uint64_t pfn)
{
	if (pfn >= l->limit || !l->later[pfn])
		return false;
	l->later[pfn] = false;
	l->nr_later--;
	return true;
}

/* What the guest waits for, with its neighbours of the same block. */
static int bring_asked(struct fill *f, unsigned int nr_asked)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < nr_asked; i++) {
		uint64_t first = f->asked[i] & ~(uint64_t)(AROUND - 1);

		f->st->asked++;
		for (uint64_t pfn = first; pfn < first + AROUND && nr < STREAM_BATCH_MAX; pfn++)
			if (take_later(f->l, pfn))
				f->pfns[nr++] = pfn;
	}
	return bring(f, nr);
}

static int bring_behind(struct fill *f)
{
	unsigned int nr = 0;

	for (; f->l->next < f->l->limit && nr < BEHIND; f->l->next++)
		if (take_later(f->l, f->l->next))
			f->pfns[nr++] = f->l->next;
	return bring(f, nr);
}

static int fill_all(struct fill *f)
{
	struct godwit_lazy op;
	int ret;

	do {
		op = (struct godwit_lazy) {
			.domid = f->domid, .action = GODWIT_LAZY_FETCH, .nr = ASKED_MAX,
			.pfns = (uintptr_t)f->asked,
		};
		ret = hcall_godwit_lazy(f->h, &op);
		if (!ret)
			ret = op.nr_done ? bring_asked(f, op.nr_done) : bring_behind(f);
	} while (!ret && f->l->nr_later);
	if (ret)
		return ret;
	op = (struct godwit_lazy) { .domid = f->domid, .action = GODWIT_LAZY_STATUS };
	ret = hcall_godwit_lazy(f->h, &op);
	f->st->waits = op.waits;
	f->st->wait_us = op.wait_us;
	f->st->wait_max_us = op.wait_max_us;
	if (!ret && op.nr_left)
		ret = -EIO;
	return ret ? ret : hcall_godwit_logdirty_disable(f->h, f->domid);
}

int lazy_fill(struct lazy *l, struct hcall *h, domid_t domid, struct lazy_stats *st,
	      char why[CHAIN_WHY])
{
	struct fill f = {
		.l = l, .h = h, .domid = domid, .st = st,
		.asked = hcall_buf_alloc(h, ASKED_MAX * sizeof(uint64_t)),
		.pfns = hcall_buf_alloc(h, STREAM_BATCH_MAX * sizeof(uint64_t)),
		.types = hcall_buf_alloc(h, STREAM_BATCH_MAX),
		.pages = hcall_buf_alloc(h, STREAM_BATCH_BYTES),
	};
	int ret = -ENOMEM;

	*st = (struct lazy_stats) { 0 };
	if (f.asked && f.pfns && f.types && f.pages)
		ret = fill_all(&f);
	if (ret)
		snprintf(why, CHAIN_WHY, "%s", chain_error(l->c)[0] ? chain_error(l->c) : strerror(-ret));
	hcall_buf_free(h, f.asked, ASKED_MAX * sizeof(uint64_t));
	hcall_buf_free(h, f.pfns, STREAM_BATCH_MAX * sizeof(uint64_t));
	hcall_buf_free(h, f.types, STREAM_BATCH_MAX);
	hcall_buf_free(h, f.pages, STREAM_BATCH_BYTES);
	return ret;
}
