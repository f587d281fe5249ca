/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "checkpoint/delta.h"
#include "hypervisor/include/public/godwit.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23		/* since Linux 5.14; Debian 12's libc has it */
#endif

#define PAGE_BYTES	4096u
#define POPULATE_PAGES	256u
#define PAGE_WORDS	(PAGE_BYTES / sizeof(uint64_t))

/* A pfn keeps its slot of the arena for good once it has one; @valid says whether what is in it
 * is what the reader has. */
struct delta {
	uint32_t *slot;			/* by pfn: index + 1, 0 = none */
	uint8_t *valid;			/* by slot */
	uint64_t (*arena)[PAGE_WORDS];
	uint32_t used, max;
};

struct delta *delta_new(uint64_t pfn_limit, uint64_t max_pages)
{
	struct delta *d;

	if (max_pages > pfn_limit)
		max_pages = pfn_limit;
	if (!max_pages || max_pages > UINT32_MAX - 1)
		return NULL;
	d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	d->max = (uint32_t)max_pages;
	d->slot = calloc(pfn_limit, sizeof(*d->slot));
	d->valid = calloc(max_pages, 1);
	d->arena = mmap(NULL, max_pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!d->slot || !d->valid || d->arena == MAP_FAILED) {
		delta_free(d);
		return NULL;
	}
	return d;
}

void delta_free(struct delta *d)
{
	if (!d)
		return;
	if (d->arena && d->arena != MAP_FAILED)
		munmap(d->arena, (size_t)d->max * PAGE_BYTES);
	free(d->slot);
	free(d->valid);
	free(d);
}

/*
 * Pages of the arena come in steps: a fault for each would double the cost of a
 * page of round 0 for a PV dom0.  A kernel that cannot (before 5.14) faults.
 */
static void populate(struct delta *d, uint32_t from)
{
	uint32_t left = d->max - from;
	size_t pages = left < POPULATE_PAGES ? left : POPULATE_PAGES;

	madvise(d->arena[from], pages * PAGE_BYTES, MADV_POPULATE_WRITE);
}

/* @page becomes the delta, @held the new version. */
static void exchange(uint64_t *page, uint64_t *held)
{
	for (unsigned int i = 0; i < PAGE_WORDS; i++) {
		uint64_t now = page[i];

		page[i] = now ^ held[i];
		held[i] = now;
	}
}

static void encode_one(struct delta *d, uint64_t pfn, uint8_t *type, uint64_t *page)
{
	uint32_t slot = d->slot[pfn];

	if (*type == GODWIT_PAGE_RETRY)
		return;			/* not sent: the reader keeps what it has */
	if (*type != GODWIT_PAGE_DATA) {
		if (slot)
			d->valid[slot - 1] = 0;
		return;
	}
	if (!slot) {
		if (d->used == d->max)
			return;
		if (d->used % POPULATE_PAGES == 0)
			populate(d, d->used);
		slot = d->slot[pfn] = ++d->used;
	}
	if (d->valid[slot - 1]) {
		exchange(page, d->arena[slot - 1]);
		*type = GODWIT_PAGE_DELTA;
	} else {
		memcpy(d->arena[slot - 1], page, PAGE_BYTES);
		d->valid[slot - 1] = 1;
	}
}

void delta_encode(struct delta *d, const uint64_t *pfns, uint8_t *types, uint8_t *pages,
		  unsigned int nr)
{
	if (!d)
		return;
	for (unsigned int i = 0; i < nr; i++)
		encode_one(d, pfns[i], &types[i], (uint64_t *)(void *)(pages + (size_t)i * PAGE_BYTES));
}

uint64_t delta_pages_sensible(void)
{
	unsigned long long kib = 0;
	char line[128];
	FILE *f = fopen("/proc/meminfo", "re");

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			break;
	fclose(f);
	return kib / 4 / 2;
}
