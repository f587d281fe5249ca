// SPDX-License-Identifier: Apache-2.0
/*
 * The plan of a new domain: see layout.h.  A range of virtual addresses needs
 * one L3 for each 512 GiB it touches, one L2 for each GiB, one L1 for each
 * 2 MiB; the tables of a range lie one behind the other in that order, so the
 * place of each is arithmetic.
 */
#include "toolstack/build/layout.h"

#include <errno.h>
#include <string.h>

#define SHIFT_L1 12u	/* one entry of an L1 maps 1 << 12 bytes, and so on */
#define SHIFT_L2 21u
#define SHIFT_L3 30u
#define SHIFT_L4 39u
#define ENTRIES 512u

/* Intel SDM volume 3, 4.5; the hypervisor wants USER where the guest runs in ring 3. */
#define PTE_PRESENT 0x001ull
#define PTE_WRITE 0x002ull
#define PTE_USER 0x004ull
#define PTE_ACCESSED 0x020ull
#define PTE_DIRTY 0x040ull
#define PTE_LEAF (PTE_PRESENT | PTE_USER | PTE_ACCESSED | PTE_DIRTY)
#define PTE_TABLE (PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED | PTE_DIRTY)

/* L4 slots of the hypervisor, xen.h: HYPERVISOR_VIRT_START .. */
#define HYPERVISOR_SLOT_FIRST 256u
#define HYPERVISOR_SLOT_LAST 271u

#define STACK_ROOM (512u * 1024)
#define VIRT_ALIGN (4ull << 20)

struct range {
	uint64_t va, nr_pages;
};

/* Entries of the given shift that a range touches. */
static uint64_t touched(struct range r, unsigned int shift)
{
	uint64_t last = r.va + (r.nr_pages * LAYOUT_PAGE - 1);

	return (last >> shift) - (r.va >> shift) + 1;
}

static uint64_t tables_of(struct range r)
{
	return touched(r, SHIFT_L4) + touched(r, SHIFT_L3) + touched(r, SHIFT_L2);
}

static unsigned int l4_slot(uint64_t va)
{
	return (va >> SHIFT_L4) % ENTRIES;
}

static bool slot_of_guest(uint64_t va)
{
	/* Canonical: bits 63..47 are all alike. */
	bool canonical = (va >> 47) == 0 || (va >> 47) == 0x1ffff;
	unsigned int slot = l4_slot(va);

	return canonical && (slot < HYPERVISOR_SLOT_FIRST || slot > HYPERVISOR_SLOT_LAST);
}

static uint64_t pages_of(uint64_t bytes)
{
	return bytes / LAYOUT_PAGE + (bytes % LAYOUT_PAGE != 0);
}

/* Take @n pfns off the front of the free space. */
static uint64_t take(uint64_t *next, uint64_t n)
{
	uint64_t pfn = *next;

	*next += n;
	return pfn;
}

/*
 * The tables map themselves: their number decides where the main area ends,
 * which decides their number.  It only grows, by at most one for 2 MiB.
 */
static uint64_t plan_tables(struct layout *lo, uint64_t *next)
{
	uint64_t nr_pt = 1, end;

	for (;;) {
		uint64_t stack_end = (*next + nr_pt + 1) * LAYOUT_PAGE, need;

		end = (stack_end + STACK_ROOM + VIRT_ALIGN - 1) / VIRT_ALIGN * VIRT_ALIGN;
		need = 1 + tables_of((struct range){ lo->virt_base, end / LAYOUT_PAGE });
		if (need <= nr_pt)
			break;
		nr_pt = need;
	}
	lo->pt_pfn = take(next, nr_pt);
	lo->nr_pt = nr_pt;
	lo->stack_pfn = take(next, 1);
	return end / LAYOUT_PAGE;
}

static int check_addresses(const struct layout *lo, const struct elf_kernel *k, bool own_p2m,
			   const char **why)
{
	uint64_t p2m_last = lo->p2m_va + (lo->nr_p2m * LAYOUT_PAGE - 1);
	uint64_t main_last = lo->virt_base + (lo->virt_pages * LAYOUT_PAGE - 1);

	if (!slot_of_guest(lo->virt_base) || l4_slot(main_last) != l4_slot(lo->virt_base) ||
	    main_last < lo->virt_base) {
		*why = "its VIRT_BASE leaves no room for a domain";
		return -ENOEXEC;
	}
	if (own_p2m && (k->init_p2m & (LAYOUT_PAGE - 1) || p2m_last < lo->p2m_va ||
			!slot_of_guest(lo->p2m_va) || l4_slot(p2m_last) != l4_slot(lo->p2m_va) ||
			l4_slot(lo->p2m_va) == l4_slot(lo->virt_base))) {
		*why = "its INIT_P2M is no place for the p2m list";
		return -ENOEXEC;
	}
	return 0;
}

int layout_plan(struct layout *lo, const struct elf_kernel *k, uint64_t nr_pages,
		uint64_t ramdisk_bytes, const char **why)
{
	bool own_p2m = k->init_p2m != LAYOUT_NONE;
	uint64_t next = pages_of(k->paddr_end);
	int ret;

	memset(lo, 0, sizeof(*lo));
	*lo = (struct layout){
		.nr_pages = nr_pages,
		.virt_base = k->virt_base,
		.ramdisk_bytes = ramdisk_bytes,
		.ramdisk_mapped = !k->mod_start_pfn,
		.nr_p2m = pages_of(nr_pages * sizeof(uint64_t)),
	};
	if (nr_pages == 0 || nr_pages > 1ull << 36 || ramdisk_bytes > 1ull << 40) {
		*why = "absurd memory or ramdisk size";
		return -ENOMEM;
	}
	if (lo->ramdisk_mapped)
		lo->ramdisk_pfn = take(&next, pages_of(ramdisk_bytes));
	if (!own_p2m) {
		lo->p2m_pfn = take(&next, lo->nr_p2m);
		lo->p2m_va = lo->virt_base + lo->p2m_pfn * LAYOUT_PAGE;
	}
	lo->start_info_pfn = take(&next, 1);
	lo->store_pfn = take(&next, 1);
	lo->console_pfn = take(&next, 1);
	/* A mapped ramdisk may be larger than the address space behind virt_base. */
	if (next * LAYOUT_PAGE > ELF_MAX_PADDR + (ELF_MAX_PADDR >> 1)) {
		*why = "its ramdisk does not fit behind VIRT_BASE";
		return -ENOMEM;
	}
	lo->virt_pages = plan_tables(lo, &next);
	next = lo->virt_pages;
	if (!lo->ramdisk_mapped)
		lo->ramdisk_pfn = take(&next, pages_of(ramdisk_bytes));
	if (own_p2m) {
		lo->p2m_va = k->init_p2m;
		lo->p2m_pfn = take(&next, lo->nr_p2m);
		lo->nr_p2m_pt = tables_of((struct range){ lo->p2m_va, lo->nr_p2m });
		lo->p2m_pt_pfn = take(&next, lo->nr_p2m_pt);
	}
	ret = check_addresses(lo, k, own_p2m, why);
	if (!ret && next > nr_pages) {
		*why = "too little memory for kernel, ramdisk and tables";
		/* More memory makes the p2m list longer; 2 for a table of its own. */
		lo->nr_pages = next + pages_of(next * sizeof(uint64_t)) - lo->nr_p2m + 2;
		ret = -ENOMEM;
	}
	return ret;
}

/* --- tables ------------------------------------------------------------------------ */

static void set_entry(uint8_t *table, uint64_t index, uint64_t value)
{
	memcpy(table + index * sizeof(value), &value, sizeof(value));
}

/* The tables of one range: where they are written, and their first pfn. */
struct table_set {
	struct range r;
	uint8_t *pages;
	uint64_t first_pfn;
	const uint64_t *p2m;
};

static uint64_t set_mfn(const struct table_set *t, uint64_t index)
{
	return t->p2m[t->first_pfn + index];
}

/*
 * Enter children of one level: entry number (va >> shift) of the parent level,
 * which starts at table @parent, points to table @child, child + 1 ...
 */
static void link_level(const struct table_set *t, uint64_t parent, uint64_t child,
		       unsigned int shift)
{
	uint64_t first = t->r.va >> shift, n = touched(t->r, shift), i;
	uint64_t base = first / ENTRIES;

	for (i = 0; i < n; i++) {
		uint64_t entry = first + i;
		uint8_t *table = t->pages + (parent + entry / ENTRIES - base) * LAYOUT_PAGE;

		set_entry(table, entry % ENTRIES, set_mfn(t, child + i) << 12 | PTE_TABLE);
	}
}

static bool is_table(const struct layout *lo, uint64_t pfn)
{
	return (pfn >= lo->pt_pfn && pfn < lo->pt_pfn + lo->nr_pt) ||
	       (pfn >= lo->p2m_pt_pfn && pfn < lo->p2m_pt_pfn + lo->nr_p2m_pt);
}

static void map_pages(const struct layout *lo, const struct table_set *t, uint64_t l1,
		      uint64_t first_pfn)
{
	uint64_t first = t->r.va >> SHIFT_L1, base = first / ENTRIES, i;

	for (i = 0; i < t->r.nr_pages; i++) {
		uint64_t entry = first + i, pfn = first_pfn + i;
		uint8_t *table = t->pages + (l1 + entry / ENTRIES - base) * LAYOUT_PAGE;

		set_entry(table, entry % ENTRIES,
			  t->p2m[pfn] << 12 | PTE_LEAF | (is_table(lo, pfn) ? 0 : PTE_WRITE));
	}
}

/* L3s at index @l3 of the set, then L2s, then L1s; the L4 gets the L3s. */
static void fill_range(const struct layout *lo, const struct table_set *t, uint64_t l3,
		       uint8_t *l4, uint64_t first_pfn)
{
	uint64_t l2 = l3 + touched(t->r, SHIFT_L4);
	uint64_t l1 = l2 + touched(t->r, SHIFT_L3), i;

	for (i = 0; i < touched(t->r, SHIFT_L4); i++)
		set_entry(l4, l4_slot(t->r.va) + i, set_mfn(t, l3 + i) << 12 | PTE_TABLE);
	link_level(t, l3, l2, SHIFT_L3);
	link_level(t, l2, l1, SHIFT_L2);
	map_pages(lo, t, l1, first_pfn);
}

void layout_fill_tables(const struct layout *lo, const uint64_t *p2m, uint8_t *main,
			uint8_t *extra)
{
	struct table_set m = { { lo->virt_base, lo->virt_pages }, main, lo->pt_pfn, p2m };
	struct table_set x = { { lo->p2m_va, lo->nr_p2m }, extra, lo->p2m_pt_pfn, p2m };

	fill_range(lo, &m, 1, main, 0);
	if (lo->nr_p2m_pt)
		fill_range(lo, &x, 0, main, lo->p2m_pfn);
}
