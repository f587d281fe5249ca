/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory map, and memory before there is a heap.
 *
 * e820[] is sorted and without overlaps after e820_finish(): where the firmware
 * stated two types for a place, the more restrictive one won.  free_ranges[] is RAM
 * in whole frames that nobody uses: above 1 MB, without image and modules.  Boot
 * CPU only, so no lock; closed by boot_for_each_free().  Allocation is from the top,
 * to keep low memory for devices that reach no higher.
 */
#include <pv/lib.h>
#include <pv/platform.h>

#define LOW_FRAMES	256UL		/* first MB: firmware's data, trampoline, never heap */
#define FREE_RANGES_MAX	(E820_MAX + 64)

extern char image_start[], image_end[];

struct e820_entry e820[E820_MAX];
unsigned int nr_e820;
uint64_t max_mfn;
struct boot_module boot_modules[8];
unsigned int nr_boot_modules;

static struct e820_entry raw[E820_MAX] __initdata;
static unsigned int nr_raw __initdata;
static uint64_t edges[2 * E820_MAX] __initdata;

struct range { uint64_t start, end; };
static struct range free_ranges[FREE_RANGES_MAX];
static unsigned int nr_free_ranges;
static bool boot_alloc_closed;

void __init e820_add(uint64_t addr, uint64_t size, uint32_t type)
{
	if (!size || addr + size < addr)
		return;
	if (nr_raw == E820_MAX) {
		pr_warn("memory map: more than %u regions, the rest is ignored", E820_MAX);
		return;
	}
	/* loaders have types of their own beyond ACPI's; none of them is for use */
	if (type < E820_RAM || type > E820_UNUSABLE)
		type = E820_RESERVED;
	raw[nr_raw++] = (struct e820_entry){ .addr = addr, .size = size, .type = type };
}

/* Which statement wins: usable RAM only where nothing else is said. */
static unsigned int __init type_rank(uint32_t type)
{
	switch (type) {
	case E820_RAM: return 1;
	case E820_ACPI: return 2;
	case E820_NVS: return 3;
	case E820_UNUSABLE: return 5;
	default: return 4;
	}
}

static uint32_t __init type_at(uint64_t addr)
{
	uint32_t type = 0;

	for (unsigned int i = 0; i < nr_raw; i++) {
		const struct e820_entry *e = &raw[i];

		if (addr - e->addr < e->size && (!type || type_rank(e->type) > type_rank(type)))
			type = e->type;
	}
	return type;
}

static unsigned int __init sort_edges(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < 2 * nr_raw; i++) {
		const struct e820_entry *e = &raw[i / 2];
		uint64_t edge = i & 1 ? e->addr + e->size : e->addr;
		unsigned int j = n++;

		for (; j && edges[j - 1] > edge; j--)
			edges[j] = edges[j - 1];
		edges[j] = edge;
	}
	return n;
}

static void __init e820_append(uint64_t start, uint64_t end, uint32_t type)
{
	struct e820_entry *last = nr_e820 ? &e820[nr_e820 - 1] : NULL;

	if (last && last->type == type && last->addr + last->size == start) {
		last->size += end - start;
		return;
	}
	if (nr_e820 == E820_MAX)
		panic("memory map has more than %u regions when put in order", E820_MAX);
	e820[nr_e820++] = (struct e820_entry){ .addr = start, .size = end - start, .type = type };
}

static void __init ranges_reserve(uint64_t start, uint64_t end)
{
	for (unsigned int i = 0; i < nr_free_ranges; i++) {
		struct range *r = &free_ranges[i];
		struct range tail = { max(end, r->start), r->end };

		if (start >= r->end || end <= r->start)
			continue;
		r->end = max(r->start, start);
		if (tail.start < tail.end) {
			if (nr_free_ranges == FREE_RANGES_MAX)
				panic("memory map is too fragmented");
			free_ranges[nr_free_ranges++] = tail;
		}
	}
}

static void __init ranges_add_ram(const struct e820_entry *e)
{
	uint64_t limit = HV_END - HV_DIRECT_BASE;
	uint64_t start = ROUND_UP(e->addr, PAGE_SIZE) >> PAGE_SHIFT;
	uint64_t end = min(e->addr + e->size, limit) >> PAGE_SHIFT;

	if (start >= end)
		return;
	free_ranges[nr_free_ranges++] = (struct range){ start, end };
	max_mfn = max(max_mfn, end);
}

void __init e820_finish(void)
{
	unsigned int n = sort_edges();

	for (unsigned int i = 0; i + 1 < n; i++) {
		uint32_t type = edges[i] < edges[i + 1] ? type_at(edges[i]) : 0;

		if (type)
			e820_append(edges[i], edges[i + 1], type);
	}
	for (unsigned int i = 0; i < nr_e820; i++) {
		if (e820[i].type == E820_RAM)
			ranges_add_ram(&e820[i]);
	}
	ranges_reserve(0, LOW_FRAMES);
	ranges_reserve(HV_PHYS_BASE >> PAGE_SHIFT,
		       (HV_PHYS_BASE + (uint64_t)(image_end - image_start)) >> PAGE_SHIFT);
	for (unsigned int i = 0; i < nr_boot_modules; i++) {
		const struct boot_module *m = &boot_modules[i];

		ranges_reserve(m->maddr >> PAGE_SHIFT,
			       ROUND_UP(m->maddr + m->size, PAGE_SIZE) >> PAGE_SHIFT);
	}
	if (!max_mfn)
		panic("the boot loader reported no usable memory");
}

/* Carve [mfn, mfn + nr) out of range @i. */
static bool range_carve(unsigned int i, uint64_t mfn, uint64_t nr)
{
	struct range *r = &free_ranges[i];
	struct range tail = { mfn + nr, r->end };

	if (tail.start < tail.end) {
		if (nr_free_ranges == FREE_RANGES_MAX)
			return false;
		free_ranges[nr_free_ranges++] = tail;
	}
	r->end = mfn;
	return true;
}

mfn_t boot_alloc(uint64_t nr_frames, uint64_t align_frames, uint64_t limit_maddr)
{
	uint64_t limit = limit_maddr ? limit_maddr >> PAGE_SHIFT : UINT64_MAX;
	uint64_t best = 0;
	unsigned int best_i = 0;

	BUG_ON(boot_alloc_closed || !nr_frames);
	for (unsigned int i = 0; i < nr_free_ranges; i++) {
		const struct range *r = &free_ranges[i];
		uint64_t end = min(r->end, limit), mfn;

		if (end < nr_frames)
			continue;
		mfn = (end - nr_frames) & ~(align_frames - 1);
		if (mfn >= r->start && r->start < r->end && mfn > best) {
			best = mfn;
			best_i = i;
		}
	}
	if (!best || !range_carve(best_i, best, nr_frames))
		return INVALID_MFN;
	return _mfn(best);
}

void boot_for_each_free(void (*fn)(mfn_t start, mfn_t end))
{
	boot_alloc_closed = true;
	for (unsigned int i = 0; i < nr_free_ranges; i++) {
		if (free_ranges[i].start < free_ranges[i].end)
			fn(_mfn(free_ranges[i].start), _mfn(free_ranges[i].end));
	}
	nr_free_ranges = 0;
}

bool boot_alloc_is_open(void)
{
	return !boot_alloc_closed;
}

/*
 * Modules may share a frame (a loader need not align them) or lie outside RAM; only
 * frames that are RAM, and each once, are handed out.
 */
static bool module_frame_is_first_use(unsigned int module, uint64_t mfn)
{
	for (unsigned int i = 0; i < module; i++) {
		const struct boot_module *m = &boot_modules[i];

		if (mfn >= m->maddr >> PAGE_SHIFT &&
		    mfn < ROUND_UP(m->maddr + m->size, PAGE_SIZE) >> PAGE_SHIFT)
			return false;
	}
	return true;
}

static bool frame_is_ram(uint64_t mfn)
{
	uint64_t addr = mfn << PAGE_SHIFT;

	for (unsigned int i = 0; i < nr_e820; i++) {
		const struct e820_entry *e = &e820[i];

		if (e->type == E820_RAM && addr >= e->addr &&
		    addr + PAGE_SIZE <= e->addr + e->size)
			return mfn >= LOW_FRAMES && mfn < max_mfn;
	}
	return false;
}

void boot_modules_free(void (*fn)(mfn_t start, mfn_t end))
{
	for (unsigned int i = 0; i < nr_boot_modules; i++) {
		struct boot_module *m = &boot_modules[i];
		uint64_t mfn = m->maddr >> PAGE_SHIFT;
		uint64_t end = ROUND_UP(m->maddr + m->size, PAGE_SIZE) >> PAGE_SHIFT;

		for (; mfn < end; mfn++) {
			if (frame_is_ram(mfn) && module_frame_is_first_use(i, mfn))
				fn(_mfn(mfn), _mfn(mfn + 1));
		}
	}
	nr_boot_modules = 0;
}
