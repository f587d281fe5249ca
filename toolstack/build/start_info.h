/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a PV guest finds when it starts: start_info, registers, shared_info,
 * hypercall page.  Pure functions that fill structures of the public headers.
 */
#ifndef TOOLSTACK_BUILD_START_INFO_H
#define TOOLSTACK_BUILD_START_INFO_H

#include <stdint.h>
#include <xen/xen.h>

#include "toolstack/build/elf.h"
#include "toolstack/build/layout.h"

/** start_info_fill() - the page a guest's rsi points to; @page is 4096 bytes. */
void start_info_fill(void *page, const struct layout *lo, const uint64_t *p2m,
		     uint64_t shared_info_mfn, uint32_t store_port, uint32_t console_port,
		     const char *cmdline);

/** start_context_fill() - registers of vCPU 0 at its first instruction. */
void start_context_fill(struct vcpu_guest_context *ctx, const struct elf_kernel *kernel,
			const struct layout *lo, const uint64_t *p2m);

/** shared_info_fill() - a new, zeroed shared_info: all upcalls masked. */
void shared_info_fill(void *page);

/**
 * hypercall_page_fill() - 128 stubs of 32 bytes for kernels that ask for them.
 * @page: 4096 bytes
 *
 * Source: Xen public arch-x86/xen-x86_64.h (calling convention; slot 23, iret,
 * does not return and leaves rax on the stack).
 */
void hypercall_page_fill(void *page);

#endif
