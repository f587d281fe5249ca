/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What others than the hypervisor want of a vCPU context: debuggers, lazy restore.
 *
 * The stream treats a context as opaque; its layout is the hypervisor's
 * (GODWIT_OP_get_context) and begins with version, size and Xen's struct
 * vcpu_guest_context, frame numbers being pfns.  Looked at here only, and only
 * in version 1.
 */
#ifndef CHECKPOINT_VCPU_REGS_H
#define CHECKPOINT_VCPU_REGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/user.h>

struct vcpu_regs {
	struct user_regs_struct regs;	/* as NT_PRSTATUS has them */
	uint64_t kernel_root;		/* pfn of the kernel's L4 */
	uint64_t user_root;		/* of the user L4; valid with has_user */
	bool has_user;
	unsigned int nr_gdt;		/* pages of its GDT */
	uint64_t gdt[16];		/* their pfns */
};

/**
 * vcpu_regs_get() - take a context apart.
 * @context, @len: as VCPU_CONTEXT has it
 *
 * Return: false when it is not of a version that is known here, or too short.
 */
bool vcpu_regs_get(const void *context, size_t len, struct vcpu_regs *out);

#endif
