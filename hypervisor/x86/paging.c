/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hypervisor's own page tables (docs/memory-layout.md).
 *
 * idle_l4 maps slots 256..271 only.  Every guest L4 copies those 16 entries, so the entries
 * themselves are final when paging_init() returns; whatever is mapped later changes the levels
 * below.  Nothing is both writable and executable: neither at HV_IMAGE_BASE, nor through the
 * direct map, which shows the image's code and constants read-only.  Nothing in these slots
 * is accessible to ring 3 but the M2P at HV_M2P_BASE, and that only for reading.
 *
 * Tables change on the boot CPU during boot and, for ioremap(), under io_lock afterwards.
 */
#include <pv/io.h>
#include <pv/lib.h>
#include <pv/mm.h>
#include <pv/platform.h>

#define FLAGS_TABLE	(PTE_P | PTE_RW | PTE_US | PTE_A)
#define FLAGS_RX	(PTE_P | PTE_A)
#define FLAGS_RO	(PTE_P | PTE_A | PTE_NX)
#define FLAGS_RW	(PTE_P | PTE_RW | PTE_A | PTE_D | PTE_NX)
#define FLAGS_IO	(FLAGS_RW | PTE_PCD | PTE_PWT)	/* PAT entry 3: uncached */
#define FLAGS_M2P	(PTE_P | PTE_US | PTE_A | PTE_NX)
#define SIZE_2M		(1UL << 21)
#define SIZE_1G		(1UL << 30)
#define BOOT_MAPPED	0x100000000UL
#define DIRECT_SIZE	(HV_END - HV_DIRECT_BASE)

extern char image_start[], text_end[], rodata_end[], init_text_end[], init_data_end[];
extern char ro_after_init_end[], image_end[], boot_stack_guard[];

uint64_t *idle_l4;
mfn_t idle_l4_mfn;

static struct spinlock io_lock = SPINLOCK_INIT;
static uint64_t io_next = HV_IO_BASE;
static bool final_tables;		/* on idle_l4: the whole direct map is there */

static uint64_t image_maddr(const char *p)
{
	return HV_PHYS_BASE + (uint64_t)(p - image_start);
}

static uint64_t *table_alloc(uint64_t *maddr)
{
	void *page;

	if (boot_alloc_is_open()) {
		mfn_t m = boot_alloc(1, 1, final_tables ? 0 : BOOT_MAPPED);

		page = mfn_eq(m, INVALID_MFN) ? NULL : mfn_to_virt(m);
	} else {
		page = page_alloc();
	}
	if (!page)
		panic("no memory for a page table of the hypervisor");
	memset(page, 0, PAGE_SIZE);
	*maddr = (uint64_t)page - HV_DIRECT_BASE;
	return page;
}

static inline uint64_t level_size(int level)
{
	return 1UL << (12 + 9 * (level - 1));
}

/* Replace the large mapping in *@entry (of @level) by a table that maps the same. */
static void entry_split(uint64_t *entry, int level)
{
	uint64_t maddr, flags = *entry & ~PTE_ADDR_MASK, base = *entry & PTE_ADDR_MASK;
	uint64_t *table = table_alloc(&maddr);

	if (level == 2)
		flags &= ~PTE_PSE;
	for (unsigned int i = 0; i < 512; i++)
		table[i] = (base + i * level_size(level - 1)) | flags;
	*entry = maddr | FLAGS_TABLE;
}

/* The entry of @level that translates @va; tables above it are made, or split, as needed. */
static uint64_t *walk_make(uint64_t va, int level)
{
	uint64_t *table = idle_l4;

	for (int l = 4; l > level; l--) {
		uint64_t *entry = &table[pt_index(va, l)], maddr;

		if (!(*entry & PTE_P)) {
			table_alloc(&maddr);
			*entry = maddr | FLAGS_TABLE;
		} else if (l < 4 && (*entry & PTE_PSE)) {
			entry_split(entry, l);
		}
		table = maddr_to_virt(*entry & PTE_ADDR_MASK);
	}
	return &table[pt_index(va, level)];
}

static int level_for(uint64_t va, uint64_t maddr, uint64_t left)
{
	uint64_t align = va | maddr;

	if (cpu_features.gib_pages && !(align & (SIZE_1G - 1)) && left >= SIZE_1G)
		return 3;
	return !(align & (SIZE_2M - 1)) && left >= SIZE_2M ? 2 : 1;
}

/* Map or, with flags 0, unmap; page-aligned; the largest pages that fit. */
static void map_range(uint64_t va, uint64_t maddr, uint64_t size, uint64_t flags)
{
	while (size) {
		int level = level_for(va, maddr, size);
		uint64_t step = level_size(level);

		*walk_make(va, level) = flags ? maddr | flags | (level > 1 ? PTE_PSE : 0) : 0;
		va += step;
		maddr += step;
		size -= step;
	}
}

static void map_image(const char *start, const char *end, uint64_t flags)
{
	uint64_t maddr = image_maddr(start);

	for (const char *p = start; p < end; p += PAGE_SIZE, maddr += PAGE_SIZE)
		*walk_make((uint64_t)p, 1) = flags ? maddr | flags : 0;
}

/* RAM and the firmware's tables; frames the firmware reserved are left to ioremap(). */
static void __init map_direct(void)
{
	uint64_t end = 0x100000;

	map_range(HV_DIRECT_BASE, 0, end, FLAGS_RW);
	for (unsigned int i = 0; i < nr_e820; i++) {
		const struct e820_entry *e = &e820[i];
		uint64_t from = max(e->addr & PAGE_MASK, end);
		uint64_t to = min(ROUND_UP(e->addr + e->size, PAGE_SIZE), DIRECT_SIZE);

		if (e->type != E820_RAM && e->type != E820_ACPI && e->type != E820_NVS)
			continue;
		if (from >= to)
			continue;
		map_range(HV_DIRECT_BASE + from, from, to - from, FLAGS_RW);
		end = to;
	}
}

static void __init map_image_everywhere(void)
{
	uint64_t ro_size = (uint64_t)(rodata_end - image_start);

	map_image(image_start, text_end, FLAGS_RX);
	map_image(text_end, rodata_end, FLAGS_RO);
	map_image(rodata_end, init_text_end, FLAGS_RX);
	map_image(init_text_end, image_end, FLAGS_RW);
	map_image(boot_stack_guard, boot_stack_guard + PAGE_SIZE, 0);
	/* the same frames by the direct map: no writing to code */
	for (uint64_t a = HV_PHYS_BASE; a < HV_PHYS_BASE + ro_size; a += PAGE_SIZE)
		*walk_make(HV_DIRECT_BASE + a, 1) = a | FLAGS_RO;
	for (uint64_t a = image_maddr(rodata_end); a < image_maddr(init_text_end); a += PAGE_SIZE)
		*walk_make(HV_DIRECT_BASE + a, 1) = a | FLAGS_RO;
}

/* Contiguous memory, zeroed or all ones; below any limit the machine may have. */
static void *__init alloc_array(uint64_t bytes, uint64_t align_frames, int fill, const char *what)
{
	uint64_t frames = ROUND_UP(bytes, align_frames << PAGE_SHIFT) >> PAGE_SHIFT;
	mfn_t m = boot_alloc(frames, align_frames, 0);

	if (mfn_eq(m, INVALID_MFN))
		panic("no %lu contiguous frames for the %s", frames, what);
	memset(mfn_to_virt(m), fill, frames << PAGE_SHIFT);
	return mfn_to_virt(m);
}

static void __init init_frame_table_and_m2p(void)
{
	uint64_t m2p_bytes = ROUND_UP(max_mfn * sizeof(*m2p), SIZE_2M);

	frame_table = alloc_array(max_mfn * sizeof(struct frame), SIZE_2M >> PAGE_SHIFT, 0,
				  "frame table");
	m2p = alloc_array(m2p_bytes, SIZE_2M >> PAGE_SHIFT, 0xff, "M2P");
	for (uint64_t off = 0; off < m2p_bytes; off += SIZE_2M)
		*walk_make(HV_M2P_BASE + off, 2) =
			((uint64_t)m2p - HV_DIRECT_BASE + off) | FLAGS_M2P | PTE_PSE;
	pr_debug("frame table at %p, %lu KB; M2P at %p, %lu KB", (void *)frame_table,
		 max_mfn * sizeof(struct frame) >> 10, (void *)m2p, m2p_bytes >> 10);
}

void __init paging_init(void)
{
	uint64_t maddr;

	idle_l4 = table_alloc(&maddr);
	idle_l4_mfn = _mfn(maddr >> PAGE_SHIFT);
	map_direct();
	map_image_everywhere();
	/* Guests copy the L4 entries: these two tables must exist from the start. */
	walk_make(HV_IO_BASE, 3);
	walk_make(HV_M2P_BASE, 3);
	WRITE_CR(3, maddr);
	final_tables = true;
	init_frame_table_and_m2p();
}

void paging_init_cpu(void)
{
	WRITE_CR(3, mfn_x(idle_l4_mfn) << PAGE_SHIFT);
}

void paging_guard_page(void *page)
{
	*walk_make((uint64_t)page, 1) = 0;
	tlb_flush_page_local((uint64_t)page);
}

void paging_seal(void (*fn)(mfn_t start, mfn_t end))
{
	uint64_t first = image_maddr(rodata_end), last = image_maddr(init_data_end);

	map_image(rodata_end, init_data_end, 0);
	map_image(init_data_end, ro_after_init_end, FLAGS_RO);
	for (uint64_t a = image_maddr(init_data_end); a < image_maddr(ro_after_init_end);
	     a += PAGE_SIZE)
		*walk_make(HV_DIRECT_BASE + a, 1) = a | FLAGS_RO;
	/* the init frames become ordinary RAM again */
	for (uint64_t a = first; a < last; a += PAGE_SIZE)
		*walk_make(HV_DIRECT_BASE + a, 1) = a | FLAGS_RW;
	tlb_flush_mask(smp_online_mask());
	if (fn && first < last)
		fn(_mfn(first >> PAGE_SHIFT), _mfn(last >> PAGE_SHIFT));
}

volatile void *ioremap(uint64_t maddr, uint64_t size)
{
	uint64_t base = maddr & PAGE_MASK, va;

	if (!size || maddr + size < maddr || (maddr + size - 1) >> cpu_features.phys_bits)
		panic("ioremap of [0x%lx, +0x%lx)", maddr, size);
	size = ROUND_UP(maddr - base + size, PAGE_SIZE);
	spin_lock(&io_lock);
	va = io_next;
	if (size > HV_IO_BASE + (1UL << 39) - va)
		panic("ioremap: out of address space");
	io_next += size + PAGE_SIZE;		/* a hole between two devices catches overruns */
	for (uint64_t off = 0; off < size; off += PAGE_SIZE)
		*walk_make(va + off, 1) = (base + off) | FLAGS_IO;
	spin_unlock(&io_lock);
	return (volatile void *)(va + (maddr - base));
}
