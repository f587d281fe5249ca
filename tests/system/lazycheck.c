/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lazycheck: lets a domain that never ran start with hardly any of its memory there, and brings each
 * page when it is asked for.  For tests, in dom0:
 *
 *	lazycheck DOMID EVERY
 *
 * Everything that can be missing is copied here, marked and so gone from the domain, which is then
 * unpaused.  Beside what is asked for, every EVERY-th time nothing is, one page is brought unasked, until
 * nothing is missing.  One JSON line; exit code 0, 2: usage, 3: a call failed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "toolstack/lib/hcall.h"

#define BATCH	64u

static struct hcall *h;
static domid_t domid;
static uint64_t *pfns;
static uint8_t *types, *buffer;
static uint8_t **copy;		/* by pfn: NULL nothing missing, zero_page, or bytes */
static uint8_t zero_page[1];

static void fail(const char *what, long err)
{
	fprintf(stderr, "lazycheck: %s: %s\n", what, strerror((int)-err));
	exit(3);
}

/* True: the page at @pfn is missing now, and in copy[]. */
static bool take(uint64_t pfn, uint8_t type, const uint8_t *bytes)
{
	uint8_t *page = zero_page;

	if (type != GODWIT_PAGE_DATA && type != GODWIT_PAGE_ZERO)
		return false;
	if (type == GODWIT_PAGE_DATA) {
		page = malloc(4096);
		if (!page)
			fail("memory", -ENOMEM);
		memcpy(page, bytes, 4096);
	}
	copy[pfn] = page;
	return true;
}

static uint64_t take_all(uint64_t end)
{
	uint64_t total = 0;

	for (uint64_t pfn = 0; pfn < end;) {
		unsigned int n = 0;

		while (n < BATCH && pfn < end)
			pfns[n++] = pfn++;
		int err = hcall_godwit_read_frames_all(h, domid, pfns, types, buffer, n);
		if (err)
			fail("read_frames", err);
		for (unsigned int i = 0; i < n; i++)
			take(pfns[i], types[i], buffer + i * 4096ul);
	}
	/* Some are in use: descriptor pages, the rings. */
	for (uint64_t pfn = 0; pfn < end; pfn++) {
		if (!copy[pfn])
			continue;
		pfns[0] = pfn;
		if (hcall_godwit_lazy_mark(h, domid, pfns, 1, 0))
			copy[pfn] = NULL;
		else
			total++;
	}
	return total;
}

static void bring(uint64_t pfn, uint64_t end)
{
	int err;

	if (pfn >= end || !copy[pfn])
		fail("a page that is not missing", -ERANGE);
	pfns[0] = pfn;
	types[0] = copy[pfn] == zero_page ? GODWIT_PAGE_ZERO : GODWIT_PAGE_DATA;
	if (copy[pfn] != zero_page) {
		memcpy(buffer, copy[pfn], 4096);
		free(copy[pfn]);
	}
	copy[pfn] = NULL;
	err = hcall_godwit_write_frames_all(h, domid, pfns, types, buffer, 1);
	if (err && err != -EINVAL && err != -EBUSY)	/* the domain gave the frame away, the last one even */
		fail("write_frames", err);
}

/* How many were asked for. */
static uint64_t bring_asked(uint64_t end)
{
	uint64_t list[BATCH];
	int n = hcall_godwit_lazy_fetch(h, domid, pfns, BATCH);

	if (n < 0)
		fail("fetch", n);
	memcpy(list, pfns, (size_t)n * sizeof(list[0]));
	for (int i = 0; i < n; i++)
		bring(list[i], end);
	return (uint64_t)n;
}

int main(int argc, char **argv)
{
	struct godwit_lazy st = { .action = GODWIT_LAZY_STATUS };
	struct godwit_domain_facts facts = { 0 };
	uint64_t missing, asked = 0, unasked = 0, next = 0, idle = 0, every;
	int err;

	if (argc != 3 || !strtoull(argv[2], NULL, 10)) {
		fprintf(stderr, "usage: lazycheck DOMID EVERY\n");
		return 2;
	}
	domid = (domid_t)strtoul(argv[1], NULL, 10);
	every = strtoull(argv[2], NULL, 10);
	facts.domid = st.domid = domid;
	err = hcall_open(&h);
	if (err)
		fail("hypercall device", err);
	pfns = hcall_buf_alloc(h, BATCH * sizeof(*pfns));
	types = hcall_buf_alloc(h, BATCH);
	buffer = hcall_buf_alloc(h, BATCH * 4096ul);
	err = hcall_godwit_logdirty_enable_all(h, domid);
	if (!err)
		err = hcall_godwit_domain_facts(h, &facts);
	if (err)
		fail("log-dirty", err);
	copy = calloc(facts.end_pfn, sizeof(*copy));
	if (!pfns || !types || !buffer || !copy)
		fail("memory", -ENOMEM);
	missing = take_all(facts.end_pfn);
	err = hcall_domain_unpause(h, domid);
	if (err)
		fail("unpause", err);
	for (;;) {
		uint64_t n = bring_asked(facts.end_pfn);

		asked += n;
		if (n)
			continue;
		if (++idle % every) {
			usleep(50);
			continue;
		}
		while (next < facts.end_pfn && !copy[next])
			next++;
		if (next == facts.end_pfn)
			break;
		bring(next, facts.end_pfn);
		unasked++;
	}
	err = hcall_godwit_lazy(h, &st);
	if (!err && st.nr_left)
		err = -EBUSY;
	if (!err)
		err = hcall_godwit_logdirty_disable(h, domid);
	if (err)
		fail("the end", err);
	printf("{\"missing\": %" PRIu64 ", \"asked\": %" PRIu64 ", \"unasked\": %" PRIu64 ", \"waits\": %" PRIu64
	       ", \"wait_us\": %" PRIu64 ", \"wait_max_us\": %" PRIu64 "}\n", missing, asked, unasked,
	       (uint64_t)st.waits, (uint64_t)st.wait_us, (uint64_t)st.wait_max_us);
	hcall_close(h);
	return 0;
}
