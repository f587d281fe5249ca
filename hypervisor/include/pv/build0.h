/* SPDX-License-Identifier: Apache-2.0 */
/* Making domain 0 (domain/build0.c) from boot modules. */
#pragma once
#include <pv/types.h>

/** dom0_reserve_memory() - carve dom0's memory, contiguous where it can be, before the heap
 *  takes the rest.  Options dom0_mem=SIZE (default: all but a reserve), dom0_max_vcpus=N. */
void dom0_reserve_memory(void);
/** dom0_build() - the domain, its kernel, p2m, tables and context; panics when it cannot. */
void dom0_build(void);

/** unpack_kernel() - the ELF image inside a bzImage, or @src itself when it is ELF (lib/unpack.c).
 *  @alloc gives the output buffer once its size is known.  Return 0 or -errno. */
int unpack_kernel(const void *src, size_t size, void *(*alloc)(size_t), const void **elf, size_t *elf_size);
