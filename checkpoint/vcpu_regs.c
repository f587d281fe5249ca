/* SPDX-License-Identifier: Apache-2.0 */
/* See checkpoint/vcpu_regs.h. */
#include <stdint.h>
#include <string.h>

#include <xen/xen.h>

#include "checkpoint/vcpu_regs.h"

#define VERSION		1u

struct context_front {
	uint32_t version;
	uint32_t size;
	struct vcpu_guest_context ctx;
};

_Static_assert(offsetof(struct context_front, ctx) == 8, "hypervisor/domain/move.c, vcpu_state");

bool vcpu_regs_get(const void *context, size_t len, struct vcpu_regs *out)
{
	struct context_front f;
	const struct cpu_user_regs *u = &f.ctx.user_regs;

	memset(out, 0, sizeof(*out));
	if (len < sizeof(f))
		return false;
	memcpy(&f, context, sizeof(f));
	if (f.version != VERSION || f.size != len)
		return false;
	out->regs = (struct user_regs_struct){
		.r15 = u->r15, .r14 = u->r14, .r13 = u->r13, .r12 = u->r12, .rbp = u->rbp,
		.rbx = u->rbx, .r11 = u->r11, .r10 = u->r10, .r9 = u->r9, .r8 = u->r8,
		.rax = u->rax, .rcx = u->rcx, .rdx = u->rdx, .rsi = u->rsi, .rdi = u->rdi,
		.orig_rax = ~0ull, .rip = u->rip, .cs = u->cs, .eflags = u->rflags,
		.rsp = u->rsp, .ss = u->ss, .fs_base = f.ctx.fs_base,
		/* While the kernel runs, its own base is the one in use. */
		.gs_base = f.ctx.flags & VGCF_in_kernel ? f.ctx.gs_base_kernel :
							  f.ctx.gs_base_user,
		.ds = u->ds, .es = u->es, .fs = u->fs, .gs = u->gs,
	};
	out->kernel_root = f.ctx.ctrlreg[3] >> 12;
	out->has_user = f.ctx.ctrlreg[1] & 1;	/* bit 0: there is one */
	out->user_root = f.ctx.ctrlreg[1] >> 12;
	out->nr_gdt = f.ctx.gdt_ents > 8192 ? 16 : (unsigned int)(f.ctx.gdt_ents + 511) / 512;
	for (unsigned int i = 0; i < out->nr_gdt; i++)
		out->gdt[i] = f.ctx.gdt_frames[i];
	return true;
}
