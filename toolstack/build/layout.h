/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where everything lies in a new PV domain, and its first page tables.
 *
 * Pure: numbers in, numbers out; no hypercall, no guest memory.  The main area
 * maps pfn 0.. linearly at virt_base:
 *
 *	0 .. kernel .. [ramdisk] [p2m] start_info store console tables stack pad
 *
 * The pad reaches the next 4 MiB boundary with at least 512 KiB behind the
 * stack.  A ramdisk that may stay unmapped and a p2m list with an address of
 * its own (INIT_P2M, in an L4 slot of its own) follow behind the main area.
 *
 * Invariant: areas do not overlap, all end at or below nr_pages, and every
 * table frame lies in [pt_pfn, pt_pfn + nr_pt) or [p2m_pt_pfn, + nr_p2m_pt).
 *
 * Source: Xen public arch-x86/xen.h and xen.h, "Start-of-day memory layout".
 */
#ifndef TOOLSTACK_BUILD_LAYOUT_H
#define TOOLSTACK_BUILD_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "toolstack/build/elf.h"

#define LAYOUT_PAGE 4096u
#define LAYOUT_NONE (~0ull)

struct layout {
	uint64_t nr_pages;	/* frames of the domain */
	uint64_t virt_base;	/* VA of pfn 0 */
	uint64_t virt_pages;	/* pfns mapped there */
	uint64_t ramdisk_pfn, ramdisk_bytes;
	bool ramdisk_mapped;
	uint64_t start_info_pfn, store_pfn, console_pfn;
	uint64_t pt_pfn, nr_pt;			/* first is the L4 */
	uint64_t stack_pfn;
	uint64_t p2m_va;
	uint64_t p2m_pfn, nr_p2m;		/* frames of the list */
	uint64_t p2m_pt_pfn, nr_p2m_pt;		/* its own L3s, L2s, L1s; 0 if in main */
};

/**
 * layout_plan() - place everything.
 * @lo:            filled
 * @kernel:        from elf_parse()
 * @nr_pages:      frames the domain gets
 * @ramdisk_bytes: length of the ramdisk, 0 = none
 * @why:           gets the reason of a refusal, a constant string
 *
 * Return: 0; -ENOEXEC for addresses a PV kernel cannot have; -ENOMEM if
 * nr_pages does not suffice, with lo->nr_pages set to what would.
 */
int layout_plan(struct layout *lo, const struct elf_kernel *kernel, uint64_t nr_pages,
		uint64_t ramdisk_bytes, const char **why);

/**
 * layout_fill_tables() - contents of all page-table frames.
 * @lo:    from layout_plan()
 * @p2m:   machine frame of each pfn, nr_pages entries
 * @main:  zeroed, nr_pt pages, written for pt_pfn..
 * @extra: zeroed, nr_p2m_pt pages, written for p2m_pt_pfn..; NULL if none
 *
 * Every page is mapped writable except the tables themselves.
 */
void layout_fill_tables(const struct layout *lo, const uint64_t *p2m, uint8_t *main,
			uint8_t *extra);

#endif
