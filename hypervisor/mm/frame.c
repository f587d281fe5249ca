/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames and their references.
 *
 * Every machine frame has an owner and a count of references.  The owner holds
 * one itself while FRAME_ALLOCATED is set; each mapping, pin, grant and foreign
 * map holds another.  A frame returns to the heap only when the count reaches
 * zero, so nobody's mapping ever points to memory that has a new owner.
 * A frame with count zero is referenced by nobody and can gain no reference.
 *
 * Owners beside domains: DOMID_XEN the hypervisor, DOMID_IO not RAM,
 * DOMID_INVALID on the free list.
 *
 * Lock: counts are atomic; page lists and tot_pages under domain->page_lock.
 */
#include <pv/domain.h>
#include <pv/lib.h>

struct frame *frame_table;

void __init frame_table_init(void)
{
	unsigned int i;
	uint64_t m;

	for (m = 0; m < max_mfn; m++)
		frame_table[m].owner = DOMID_IO;
	for (i = 0; i < nr_e820; i++) {
		uint64_t s = ROUND_UP(e820[i].addr, PAGE_SIZE) >> PAGE_SHIFT;
		uint64_t e = (e820[i].addr + e820[i].size) >> PAGE_SHIFT;

		if (e820[i].type != E820_RAM)
			continue;
		for (m = s; m < e && m < max_mfn; m++)
			frame_table[m].owner = DOMID_XEN;
	}
}

static void page_list_add(struct domain *d, struct frame *f)
{
	uint32_t mfn = frame_to_mfn(f).mfn;

	f->prev = 0;
	f->next = d->page_list;
	if (d->page_list)
		frame_table[d->page_list].prev = mfn;
	d->page_list = mfn;
}

static void page_list_del(struct domain *d, struct frame *f)
{
	if (f->prev)
		frame_table[f->prev].next = f->next;
	else
		d->page_list = f->next;
	if (f->next)
		frame_table[f->next].prev = f->prev;
	f->next = f->prev = 0;
}

bool frame_get(struct frame *f, const struct domain *d)
{
	uint64_t old = ACCESS_ONCE(f->count);

	do {
		if (!(old & FRAME_COUNT_MASK) || (old & FRAME_COUNT_MASK) == FRAME_COUNT_MASK)
			return false;
	} while (!atomic_cas(&f->count, &old, old + 1));

	/* The owner cannot change while we hold the reference, so one look is enough. */
	if (likely(f->owner == d->id))
		return true;
	frame_put(f);
	return false;
}

/* The last reference is gone: nobody else can reach @f any more. */
static void frame_free(struct frame *f)
{
	struct domain *d = domain_get_any(f->owner);

	if (f->count & FRAME_HV) {
		/* frame_unshare() dropped the hypervisor's own reference before */
		f->count = FRAME_STALE | FRAME_DIRTY;
		f->tlb_stamp = tlb_stamp();
		heap_free(f, 0);
		return;
	}
	BUG_ON(!d);
	BUG_ON(f->type & FTYPE_COUNT_MASK);
	logdirty_frame_gone(d, frame_to_mfn(f));
	spin_lock(&d->page_lock);
	page_list_del(d, f);
	d->tot_pages--;
	spin_unlock(&d->page_lock);
	f->count = FRAME_STALE | FRAME_DIRTY;
	f->tlb_stamp = tlb_stamp();
	heap_free(f, 0);
	domain_put(d);		/* each page holds its domain */
}

void frame_put(struct frame *f)
{
	uint64_t left = atomic_sub(&f->count, 1);

	BUG_ON((left & FRAME_COUNT_MASK) == FRAME_COUNT_MASK);
	if (unlikely(!(left & FRAME_COUNT_MASK)))
		frame_free(f);
}

bool frame_release(struct frame *f)
{
	if (!(atomic_and(&f->count, ~FRAME_ALLOCATED) & FRAME_ALLOCATED))
		return false;
	frame_put(f);
	return true;
}

bool frame_get_rw(struct frame *f, const struct domain *d)
{
	if (!frame_get(f, d))
		return false;
	if (!frame_get_type(f, FTYPE_WRITABLE))
		return true;
	frame_put(f);
	return false;
}

void frame_put_rw(struct frame *f)
{
	frame_put_type(f);
	frame_put(f);
}

static void frame_assign(struct domain *d, struct frame *f)
{
	domain_hold(d);
	f->owner = d->id;
	f->type = 0;
	f->tlb_stamp = 0;
	page_list_add(d, f);
	d->tot_pages++;
	/* The owner is set before anybody can take a reference. */
	atomic_store(&f->count, FRAME_ALLOCATED | 1);
}

void domain_assign_frames(struct domain *d, struct frame *f, uint64_t nr)
{
	uint64_t i;

	spin_lock(&d->page_lock);
	for (i = 0; i < nr; i++)
		frame_assign(d, f + i);
	spin_unlock(&d->page_lock);
}

/* Guests do not get the last frames: grant tables, event buckets and twins come from the heap, too,
 * and a balloon that fills it would make every operation fail that needs one. */
#define HEAP_RESERVE	1024u

struct frame *domain_alloc_frames(struct domain *d, unsigned int order, uint64_t limit_maddr)
{
	uint64_t nr = 1UL << order, i;
	struct frame *f;

	if (order > 18 || heap_free_frames() < nr + HEAP_RESERVE)
		return NULL;
	f = heap_alloc(order, limit_maddr);
	if (!f)
		return NULL;
	spin_lock(&d->page_lock);
	if (d->state >= DOM_DYING || d->max_pages - d->tot_pages < nr || d->max_pages < d->tot_pages) {
		spin_unlock(&d->page_lock);
		heap_free(f, order);
		return NULL;
	}
	for (i = 0; i < nr; i++)
		frame_assign(d, f + i);
	spin_unlock(&d->page_lock);
	return f;
}

struct frame *domain_alloc_frame(struct domain *d) { return domain_alloc_frames(d, 0, 0); }

/*
 * A hypervisor page that a guest may map: owned by the guest for the checks of
 * its page tables, on no list, one reference held by the hypervisor.
 */
void frame_share(void *page, struct domain *d)
{
	struct frame *f = mfn_to_frame(virt_to_mfn(page));

	f->owner = d->id;
	m2p_set(frame_to_mfn(f), INVALID_PFN);
	atomic_store(&f->count, FRAME_HV | 1);
}

/* From here on nobody can take a new reference; who has one keeps the page, not the domain. */
void frame_unshare(void *page)
{
	struct frame *f = mfn_to_frame(virt_to_mfn(page));

	if (!page)
		return;
	ACCESS_ONCE(f->owner) = DOMID_XEN;
	frame_put(f);
}
