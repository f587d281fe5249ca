/* SPDX-License-Identifier: Apache-2.0 */
/* What both readers of guest instructions need (emulate.c, decode.c). */
#include <pv/lib.h>
#include <pv/mm.h>
#include <pv/x86.h>

unsigned int insn_fetch(uint64_t rip, uint8_t bytes[INSN_MAX])
{
	size_t first = min(PAGE_SIZE - (rip & ~PAGE_MASK), (uint64_t)INSN_MAX);

	if (copy_from_guest(bytes, rip, first))
		return 0;
	if (first < INSN_MAX && !copy_from_guest(bytes + first, rip + first, INSN_MAX - first))
		return INSN_MAX;
	return (unsigned int)first;
}

uint64_t *insn_gpr(struct cpu_user_regs *r, unsigned int n)
{
	uint64_t *const map[16] = { &r->rax, &r->rcx, &r->rdx, &r->rbx, &r->rsp, &r->rbp, &r->rsi, &r->rdi,
				    &r->r8, &r->r9, &r->r10, &r->r11, &r->r12, &r->r13, &r->r14, &r->r15 };

	return map[n & 15];
}
