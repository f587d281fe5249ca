/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heap: binary buddies over the frame table.
 *
 * Invariant: a frame is FRAME_FREE exactly when it lies in a block on a free
 * list; only the block's first frame carries the order.  Free memory is zero, or
 * marked FRAME_DIRTY and zeroed when it is allocated, so nothing of one domain is ever
 * seen by the next.  What the hypervisor frees is scrubbed at once; what domains free and
 * what boot leaves, which may be most of the machine's memory, is marked, and idle CPUs
 * scrub it (heap_scrub_some()), so that neither destroying a domain nor filling one waits
 * for it.  Two zones by address, so that memory below 4 GB is spent last.
 *
 * Lock: heap_lock, innermost but the log's.
 */
#include <pv/lib.h>
#include <pv/mm.h>

#define MAX_ORDER	18		/* 1 GiB */
#define LOW_LIMIT_MFN	(1UL << 20)	/* 4 GiB */

enum { ZONE_LOW, ZONE_HIGH, NR_ZONES };

static struct spinlock heap_lock = SPINLOCK_INIT;
static uint32_t free_head[NR_ZONES][MAX_ORDER + 1];
static uint64_t nr_free, nr_dirty;
static uint64_t scrub_cursor;

static unsigned int zone_of(uint64_t mfn) { return mfn < LOW_LIMIT_MFN ? ZONE_LOW : ZONE_HIGH; }

/* order is stored plus one in block heads and is zero elsewhere, so that no frame
 * inside a block is ever mistaken for a head. */
static void list_push(struct frame *f, unsigned int order)
{
	uint64_t mfn = frame_to_mfn(f).mfn;
	uint32_t *head = &free_head[zone_of(mfn)][order];

	f->order = order + 1;
	f->prev = 0;
	f->next = *head;
	if (*head)
		frame_table[*head].prev = mfn;
	*head = mfn;
}

static void list_del(struct frame *f, unsigned int order)
{
	uint64_t mfn = frame_to_mfn(f).mfn;

	if (f->prev)
		frame_table[f->prev].next = f->next;
	else
		free_head[zone_of(mfn)][order] = f->next;
	if (f->next)
		frame_table[f->next].prev = f->prev;
	f->next = f->prev = 0;
	f->order = 0;
}

/* Is the block that starts at @mfn free as a whole and exactly of this order? */
static bool block_is_free(uint64_t mfn, unsigned int order)
{
	struct frame *f = &frame_table[mfn];

	return mfn < max_mfn && (f->count & FRAME_FREE) && f->order == order + 1u;
}

static void block_insert(uint64_t mfn, unsigned int order)
{
	while (order < MAX_ORDER) {
		uint64_t buddy = mfn ^ (1UL << order);

		if (zone_of(buddy) != zone_of(mfn) || !block_is_free(buddy, order))
			break;
		list_del(&frame_table[buddy], order);
		mfn &= ~(1UL << order);
		order++;
	}
	list_push(&frame_table[mfn], order);
}

static struct frame *zone_take(unsigned int zone, unsigned int order)
{
	unsigned int o;
	struct frame *f;

	for (o = order; o <= MAX_ORDER; o++)
		if (free_head[zone][o])
			break;
	if (o > MAX_ORDER)
		return NULL;
	f = &frame_table[free_head[zone][o]];
	list_del(f, o);
	while (o-- > order) {
		struct frame *half = f + (1UL << o);

		list_push(half, o);
	}
	return f;
}

struct frame *heap_alloc(unsigned int order, uint64_t limit_maddr)
{
	struct frame *f = NULL;
	uint64_t i;

	if (order > MAX_ORDER || (limit_maddr && limit_maddr < (LOW_LIMIT_MFN << PAGE_SHIFT)))
		return NULL;
	spin_lock(&heap_lock);
	if (!limit_maddr)
		f = zone_take(ZONE_HIGH, order);
	if (!f)
		f = zone_take(ZONE_LOW, order);
	if (f) {
		nr_free -= 1UL << order;
		for (i = 0; i < (1UL << order); i++) {
			nr_dirty -= !!(f[i].count & FRAME_DIRTY);
			f[i].count &= ~FRAME_FREE;	/* heap_scrub_some() leaves it alone now */
		}
	}
	spin_unlock(&heap_lock);
	if (!f)
		return NULL;

	for (i = 0; i < (1UL << order); i++) {
		if (f[i].count & FRAME_STALE)
			tlb_flush_stale(~0UL, f[i].tlb_stamp);
		if (f[i].count & FRAME_DIRTY)
			memset(frame_to_virt(&f[i]), 0, PAGE_SIZE);
		f[i].count = 0;
		f[i].type = 0;
		f[i].owner = DOMID_XEN;
		f[i].next = f[i].prev = f[i].twin = 0;
	}
	return f;
}

/* @dirty: FRAME_DIRTY when the contents are not zero. */
static void block_give(struct frame *f, unsigned int order, uint64_t dirty)
{
	uint64_t i;

	for (i = 0; i < (1UL << order); i++) {
		BUG_ON(f[i].count & (FRAME_FREE | FRAME_COUNT_MASK));
		m2p_set(frame_to_mfn(&f[i]), INVALID_PFN);
		f[i].type = 0;
		f[i].owner = DOMID_INVALID;
		f[i].order = 0;
	}
	spin_lock(&heap_lock);
	for (i = 0; i < (1UL << order); i++)
		f[i].count = FRAME_FREE | dirty | (f[i].count & FRAME_STALE);
	nr_free += 1UL << order;
	nr_dirty += dirty ? 1UL << order : 0;
	block_insert(frame_to_mfn(f).mfn, order);
	spin_unlock(&heap_lock);
}

/* A page that a guest could still write to through an old translation comes marked FRAME_DIRTY: to
 * zero it now would be too early. */
void heap_free(struct frame *f, unsigned int order)
{
	uint64_t dirty = f->count & FRAME_DIRTY;

	if (!dirty)
		memset(frame_to_virt(f), 0, PAGE_SIZE << order);
	block_give(f, order, dirty);
}

#define SCRUB_PAGES	16u		/* in one go: some tens of microseconds */
#define SCRUB_LOOK	2048u		/* frames looked at in one go */

bool heap_scrub_some(void)
{
	unsigned int done = 0, looked;

	if (!ACCESS_ONCE(nr_dirty) || !spin_trylock(&heap_lock))
		return false;
	for (looked = 0; looked < SCRUB_LOOK && done < SCRUB_PAGES; looked++) {
		struct frame *f = &frame_table[scrub_cursor];

		if (++scrub_cursor >= max_mfn)
			scrub_cursor = 0;
		if ((f->count & (FRAME_FREE | FRAME_DIRTY)) != (FRAME_FREE | FRAME_DIRTY))
			continue;
		/* Zeroed before the last translation is gone, it could be written once more. */
		if (f->count & FRAME_STALE)
			tlb_flush_stale(~0UL, f->tlb_stamp);
		memset(frame_to_virt(f), 0, PAGE_SIZE);
		f->count &= ~(FRAME_DIRTY | FRAME_STALE);
		nr_dirty--;
		done++;
	}
	spin_unlock(&heap_lock);
	return true;
}

uint64_t heap_free_frames(void) { return ACCESS_ONCE(nr_free); }

/* [start, end) as the largest aligned blocks.  Not __init: it takes what was. */
void heap_add_range(mfn_t start, mfn_t end)
{
	uint64_t m = start.mfn;

	while (m < end.mfn) {
		unsigned int order = 0;

		/* frame 0 stays out: mfn 0 ends lists */
		if (m == 0) {
			m++;
			continue;
		}
		while (order < MAX_ORDER && !(m & (1UL << order)) && m + (2UL << order) <= end.mfn)
			order++;
		block_give(&frame_table[m], order, FRAME_DIRTY);
		m += 1UL << order;
	}
}

void __init heap_init(void)
{
	boot_for_each_free(heap_add_range);
	pr_info("heap: %lu MiB free\n", nr_free >> 8);
}

void *page_alloc(void)
{
	struct frame *f = heap_alloc(0, 0);

	return f ? frame_to_virt(f) : NULL;
}

void page_free(void *p)
{
	if (p)
		heap_free(mfn_to_frame(virt_to_mfn(p)), 0);
}

/*
 * Small objects: each takes a block of pages of its own when it is larger than
 * half a page, else a slot in a page cut into equal slots.  Objects are few and
 * long-lived, so the slot pages are never given back.
 */
#define SLOT_MIN_SHIFT	5
#define SLOT_CLASSES	7		/* 32 .. 2048 */

struct slot { struct slot *next; };
static struct slot *slot_free[SLOT_CLASSES];
static struct spinlock slot_lock = SPINLOCK_INIT;

/* frame.order of an allocated (not free) hypervisor page says what it is to xfree():
 * 1..SLOT_CLASSES a slot page, 0x80 | order a large block. */
#define XPAGE_LARGE	0x80

static unsigned int order_for(size_t size)
{
	unsigned int order = 0;

	while ((PAGE_SIZE << order) < size)
		order++;
	return order;
}

static bool slot_refill(unsigned int class)
{
	size_t size = 1UL << (class + SLOT_MIN_SHIFT), off;
	uint8_t *page = page_alloc();

	if (!page)
		return false;
	mfn_to_frame(virt_to_mfn(page))->order = class + 1;
	for (off = 0; off < PAGE_SIZE; off += size) {
		struct slot *s = (struct slot *)(page + off);

		s->next = slot_free[class];
		slot_free[class] = s;
	}
	return true;
}

void *xzalloc(size_t size)
{
	unsigned int class = 0;
	struct slot *s = NULL;

	if (size > PAGE_SIZE / 2) {
		unsigned int order = size > (PAGE_SIZE << MAX_ORDER) ? MAX_ORDER + 1 : order_for(size);
		struct frame *f = heap_alloc(order, 0);

		if (!f)
			return NULL;
		f->order = XPAGE_LARGE | order;
		return frame_to_virt(f);
	}
	while ((1UL << (class + SLOT_MIN_SHIFT)) < size)
		class++;
	spin_lock(&slot_lock);
	if (slot_free[class] || slot_refill(class)) {
		s = slot_free[class];
		slot_free[class] = s->next;
	}
	spin_unlock(&slot_lock);
	if (s)
		memset(s, 0, 1UL << (class + SLOT_MIN_SHIFT));
	return s;
}

void xfree(void *p)
{
	struct frame *f;
	struct slot *s = p;

	if (!p)
		return;
	f = mfn_to_frame(virt_to_mfn(p));
	if (f->order & XPAGE_LARGE) {
		unsigned int order = f->order & ~XPAGE_LARGE;

		f->order = 0;
		heap_free(f, order);
		return;
	}
	BUG_ON(f->order == 0 || f->order > SLOT_CLASSES);
	spin_lock(&slot_lock);
	s->next = slot_free[f->order - 1];
	slot_free[f->order - 1] = s;
	spin_unlock(&slot_lock);
}
