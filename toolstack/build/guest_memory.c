// SPDX-License-Identifier: Apache-2.0
/* Memory of a domain under construction: see pv.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "toolstack/build/layout.h"
#include "toolstack/build/pv.h"
#define LOG_PREFIX "build"
#include "toolstack/lib/log.h"

#define WINDOW_PAGES 1024u
#define SUPER_ORDER 9u
#define SUPER_PAGES (1u << SUPER_ORDER)

/*
 * 2 MiB extents first: one list entry instead of 512, and the hypervisor finds
 * contiguous memory.  Return: pfns covered; trouble shows as 0 and the caller
 * goes on with single frames.
 */
static uint64_t populate_super(struct guest_memory *m)
{
	uint64_t nr = m->nr_pages / SUPER_PAGES, i, j;
	xen_pfn_t *list;
	long done;

	list = calloc(nr ? nr : 1, sizeof(*list));
	if (!list)
		return 0;
	for (i = 0; i < nr; i++)
		list[i] = i * SUPER_PAGES;
	done = hcall_memory_populate(m->ts->hcall, m->domid, list, nr, SUPER_ORDER);
	if (done < 0)
		done = 0;
	for (i = 0; i < (uint64_t)done; i++)
		for (j = 0; j < SUPER_PAGES; j++)
			m->p2m[i * SUPER_PAGES + j] = list[i] + j;
	free(list);
	return (uint64_t)done * SUPER_PAGES;
}

int guest_memory_populate(struct guest_memory *m)
{
	uint64_t covered, pfn;
	long done;

	_Static_assert(sizeof(xen_pfn_t) == sizeof(uint64_t), "p2m entries are 64 bits");
	m->p2m = calloc(m->nr_pages, sizeof(*m->p2m));
	if (!m->p2m)
		return -ENOMEM;
	covered = populate_super(m);
	for (pfn = covered; pfn < m->nr_pages; pfn++)
		m->p2m[pfn] = pfn;
	done = hcall_memory_populate(m->ts->hcall, m->domid, m->p2m + covered,
				     m->nr_pages - covered, 0);
	if (done < 0) {
		log_errno((int)done, "cannot give memory to domain %u", m->domid);
		return (int)done;
	}
	if (covered + (uint64_t)done < m->nr_pages) {
		log_err("not enough memory on this host: domain %u got %llu of %llu MB", m->domid,
			(unsigned long long)(covered + (uint64_t)done) / 256,
			(unsigned long long)m->nr_pages / 256);
		return -ENOMEM;
	}
	return 0;
}

void guest_memory_release(struct guest_memory *m)
{
	free(m->p2m);
	m->p2m = NULL;
}

int guest_memory_fill(struct guest_memory *m, uint64_t pfn, uint64_t nr,
		      int (*fill)(void *arg, uint64_t offset, uint8_t *window,
				  size_t len_bytes),
		      void *arg)
{
	uint64_t done = 0;
	int ret = 0;

	if (pfn > m->nr_pages || nr > m->nr_pages - pfn)
		return -EINVAL;
	while (!ret && done < nr) {
		size_t n = nr - done < WINDOW_PAGES ? (size_t)(nr - done) : WINDOW_PAGES;
		void *window;

		ret = fmap_map(m->ts->fmap, m->domid, PROT_READ | PROT_WRITE,
			       m->p2m + pfn + done, n, &window);
		if (ret) {
			log_errno(ret, "cannot map %zu frames of domain %u from pfn 0x%llx", n,
				  m->domid, (unsigned long long)(pfn + done));
			return ret;
		}
		/* Fresh frames are not promised to be clean. */
		memset(window, 0, n * LAYOUT_PAGE);
		ret = fill(arg, done * LAYOUT_PAGE, window, n * LAYOUT_PAGE);
		fmap_unmap(m->ts->fmap, window, n);
		done += n;
	}
	return ret;
}

struct bytes {
	const uint8_t *data;
	size_t len;
};

static int fill_bytes(void *arg, uint64_t offset, uint8_t *window, size_t len_bytes)
{
	const struct bytes *b = arg;

	if (offset < b->len)
		memcpy(window, b->data + offset,
		       b->len - offset < len_bytes ? b->len - offset : len_bytes);
	return 0;
}

int guest_memory_write(struct guest_memory *m, uint64_t pfn, const void *data, size_t len)
{
	struct bytes b = { data, len };

	return guest_memory_fill(m, pfn, (len + LAYOUT_PAGE - 1) / LAYOUT_PAGE, fill_bytes, &b);
}

int guest_frame_write(struct toolstack *ts, domid_t domid, uint64_t mfn,
		      void (*edit)(void *arg, void *page), void *arg)
{
	xen_pfn_t frame = mfn;
	void *page;
	int ret = fmap_map(ts->fmap, domid, PROT_READ | PROT_WRITE, &frame, 1, &page);

	if (ret)
		return ret;
	edit(arg, page);
	fmap_unmap(ts->fmap, page, 1);
	return 0;
}
