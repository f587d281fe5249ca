/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a PV kernel's ELF64 image (lib/elf.c). */
#pragma once
#include <pv/types.h>

struct elf_kernel {
	uint64_t virt_base;		/* XEN_ELFNOTE_VIRT_BASE: address of pfn 0 */
	uint64_t entry;			/* XEN_ELFNOTE_ENTRY */
	uint64_t init_p2m;		/* XEN_ELFNOTE_INIT_P2M */
	uint64_t hypercall_page;	/* XEN_ELFNOTE_HYPERCALL_PAGE, 0 = none */
	uint64_t start_paddr, end_paddr; /* what the loadable segments cover */
};

/** elf_parse() - segments and Xen notes of @image.  -ENOEXEC: no ELF64 x86-64 image, damaged, or
 *  without the notes of a 64-bit PV kernel with INIT_P2M. */
int elf_parse(const void *image, size_t size, struct elf_kernel *k);
/** elf_load() - calls @put for each loadable segment; elf_parse() accepted the image. */
void elf_load(const void *image, size_t size,
	      void (*put)(void *ctx, uint64_t paddr, const void *data, uint64_t filesz, uint64_t memsz),
	      void *ctx);
