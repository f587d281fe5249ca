/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the domain builder needs of a PV kernel's ELF file: its load segments
 * by physical address and its Xen notes.
 *
 * After elf_parse() succeeded every number in struct elf_kernel is safe to
 * use: segments lie inside the file, do not overlap, are sorted by address and
 * end below ELF_MAX_PADDR; addresses derived from the notes cannot wrap.
 */
#ifndef TOOLSTACK_BUILD_ELF_H
#define TOOLSTACK_BUILD_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_MAX_SEGMENTS 32u
#define ELF_MAX_PADDR (1ull << 30)	/* kernels are linked into their first GiB */

struct elf_segment {
	uint64_t paddr;		/* relative to pfn 0 (PADDR_OFFSET taken off) */
	uint64_t memsz;		/* bytes in memory, >= filesz; the rest is zero */
	uint64_t filesz;
	const uint8_t *data;	/* inside the caller's file buffer */
};

struct elf_kernel {
	struct elf_segment segments[ELF_MAX_SEGMENTS];
	size_t nr_segments;
	uint64_t paddr_start, paddr_end;	/* of all segments, bytes */
	uint64_t virt_base;			/* address of pfn 0 */
	uint64_t entry;				/* first rip */
	uint64_t hypercall_page;		/* physical address, or ~0 */
	uint64_t init_p2m;			/* where the p2m list wants to be, or ~0 */
	bool mod_start_pfn;			/* ramdisk may stay unmapped */
	bool suspend_cancel;			/* a suspend may be called off */
};

/**
 * elf_parse() - judge an ELF64 PV kernel.
 * @file:   its bytes; must outlive @kernel
 * @len:    how many
 * @kernel: filled
 * @why:    gets the reason of a refusal, a constant string
 *
 * Return: 0 or -ENOEXEC.
 * Sources: System V ABI (ELF-64); Xen public elfnote.h.  Segments go by p_paddr:
 * Linux' per-CPU segment has p_vaddr 0.
 */
int elf_parse(const uint8_t *file, size_t len, struct elf_kernel *kernel, const char **why);

#endif
