/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapcheck: does a snapshot hold what a running domain's memory held at the instant?  For tests,
 * in dom0:
 *
 *	snapcheck DOMID ROUNDS RESERVE_PAGES PACE_US
 *
 * Each round pauses the domain, notes a checksum and the type of every pfn, begins a snapshot (the first
 * FULL, the others DELTA), lets the domain go on, and reads the set slowly: PACE_US microseconds
 * are slept between batches.  What was read, over what earlier rounds read, has to be what was noted.  One
 * JSON line a round; exit code 0: all agree but for a few pages that back ends write to even while
 * the domain is paused (their number is in the line), 1: they do not, 2: usage, 3: a call failed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "toolstack/lib/hcall.h"

#define BATCH		256u
#define SHARED_MAX	24u		/* pages that may differ: rings, vcpu_info */
#define PTE_AD		0x60ull		/* set by whoever looks: no part of the contents */

struct page { uint64_t sum; uint8_t type; };

static struct hcall *h;
static domid_t domid;
static uint64_t *pfns, *buffer;
static uint8_t *types;

static void fail(const char *what, long err)
{
	fprintf(stderr, "snapcheck: %s: %s\n", what, strerror((int)-err));
	exit(3);
}

static uint64_t checksum(const uint64_t *p, uint8_t type)
{
	unsigned int kind = type & GODWIT_PAGE_TYPE_MASK;
	uint64_t mask = kind >= GODWIT_PAGE_L1 && kind <= GODWIT_PAGE_L4 ? ~PTE_AD : ~0ull, sum = 0;

	if (kind != GODWIT_PAGE_DATA && mask == ~0ull)
		return 0;
	for (unsigned int i = 0; i < 512; i++)
		sum = (sum ^ (p[i] & mask)) * 0x9e3779b97f4a7c15ull + (sum >> 29);
	return sum;
}

/* pfns[0..nr) to pages[]. */
static void read_batch(struct page *pages, unsigned int nr)
{
	int err = hcall_godwit_read_frames_all(h, domid, pfns, types, buffer, nr);

	if (err)
		fail("read_frames", err);
	for (unsigned int i = 0; i < nr; i++) {
		pages[pfns[i]].type = types[i];
		pages[pfns[i]].sum = checksum(buffer + i * 512ull, types[i]);
	}
}

static void note_all(struct page *pages, uint64_t end)
{
	for (uint64_t pfn = 0; pfn < end;) {
		unsigned int n = 0;

		while (n < BATCH && pfn < end)
			pfns[n++] = pfn++;
		read_batch(pages, n);
	}
}

static uint64_t read_set(struct page *pages, uint64_t end, unsigned int pace_us)
{
	uint64_t cursor = 0, last, total = 0;
	int n;

	while ((n = hcall_godwit_snapshot_fetch(h, domid, pfns, BATCH, &cursor, &last)) > 0) {
		for (int i = 0; i < n; i++)
			if (pfns[i] >= end)
				fail("a pfn beyond the end", -ERANGE);
		read_batch(pages, (unsigned int)n);
		total += (unsigned int)n;
		usleep(pace_us);
	}
	if (n < 0)
		fail("fetch", n);
	return total;
}

static unsigned int compare(const struct page *have, const struct page *want, uint64_t end)
{
	unsigned int differ = 0;

	for (uint64_t pfn = 0; pfn < end; pfn++) {
		if (have[pfn].sum == want[pfn].sum && have[pfn].type == want[pfn].type)
			continue;
		if (differ++ < SHARED_MAX)
			fprintf(stderr, "pfn %" PRIx64 ": type %x, not %x\n", pfn, have[pfn].type, want[pfn].type);
	}
	return differ;
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static bool round_ok(unsigned int round, struct page *chain, struct page *want, uint64_t end, uint64_t reserve,
		     unsigned int pace_us)
{
	struct godwit_snapshot begun, st;
	uint64_t start, set;
	unsigned int differ;
	uint64_t dirty;
	int err = hcall_godwit_logdirty_collect(h, domid, &dirty);	/* what BEGIN need not do */

	if (!err)
		err = hcall_domain_pause(h, domid);
	if (err)
		fail("pause", err);
	note_all(want, end);
	err = hcall_godwit_snapshot_prepare(h, domid, reserve);
	if (err)
		fail("prepare", err);
	err = hcall_godwit_snapshot_begin(h, domid, round ? GODWIT_SNAPSHOT_DELTA : GODWIT_SNAPSHOT_FULL, &begun);
	if (err)
		fail("begin", err);
	err = hcall_domain_unpause(h, domid);
	if (err)
		fail("unpause", err);
	start = now_us();
	set = read_set(chain, end, pace_us);
	err = hcall_godwit_snapshot_status(h, domid, &st);
	if (!err)
		err = hcall_godwit_snapshot_commit(h, domid, round + 1);
	if (err)
		fail("commit", err);
	differ = compare(chain, want, end);
	printf("{\"round\": %u, \"set\": %" PRIu64 ", \"begin_us\": %" PRIu64 ", \"read_us\": %" PRIu64 ", \"copied\": %"
	       PRIu64 ", \"copies_max\": %" PRIu64 ", \"waits\": %" PRIu64 ", \"wait_us\": %" PRIu64 ", \"differ\": %u}\n",
	       round, set, (uint64_t)begun.begin_us, now_us() - start, (uint64_t)st.copied, (uint64_t)st.copies_max,
	       (uint64_t)st.waits, (uint64_t)st.wait_us, differ);
	fflush(stdout);
	return differ <= SHARED_MAX;
}

static uint64_t number(const char *text)
{
	char *rest;
	unsigned long long v = strtoull(text, &rest, 10);

	if (!*text || *rest) {
		fprintf(stderr, "snapcheck: '%s' is no number\n", text);
		exit(2);
	}
	return v;
}

int main(int argc, char **argv)
{
	struct godwit_domain_facts facts = { 0 };
	struct page *chain, *want;
	bool good = true;
	int err;

	if (argc != 5) {
		fprintf(stderr, "usage: snapcheck DOMID ROUNDS RESERVE_PAGES PACE_US\n");
		return 2;
	}
	domid = (domid_t)number(argv[1]);
	err = hcall_open(&h);
	if (err)
		fail("hypercall device", err);
	pfns = hcall_buf_alloc(h, BATCH * sizeof(*pfns));
	types = hcall_buf_alloc(h, BATCH);
	buffer = hcall_buf_alloc(h, BATCH * 4096ul);
	facts.domid = domid;
	err = hcall_godwit_logdirty_enable_all(h, domid);
	if (!err)
		err = hcall_godwit_domain_facts(h, &facts);
	if (err)
		fail("log-dirty", err);
	chain = calloc(facts.end_pfn, sizeof(*chain));
	want = calloc(facts.end_pfn, sizeof(*want));
	if (!pfns || !types || !buffer || !chain || !want)
		fail("memory", -ENOMEM);
	for (unsigned int i = 0; i < number(argv[2]); i++)
		good &= round_ok(i, chain, want, facts.end_pfn, number(argv[3]), (unsigned int)number(argv[4]));
	err = hcall_godwit_logdirty_disable(h, domid);
	if (err)
		fail("log-dirty off", err);
	free(chain);
	free(want);
	hcall_buf_free(h, pfns, BATCH * sizeof(*pfns));
	hcall_buf_free(h, types, BATCH);
	hcall_buf_free(h, buffer, BATCH * 4096ul);
	hcall_close(h);
	return good ? 0 : 1;
}
