/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structure offsets for assembly.  This file is compiled to text and never
 * linked: each DEFINE leaves a line "->NAME $value" which the Makefile turns
 * into a #define of asm_offsets.h.
 */
#include <pv/percpu.h>

#define DEFINE(sym, val) __asm__ __volatile__("->" #sym " %0" :: "i"(val))

void asm_offsets(void);
void asm_offsets(void)
{
	DEFINE(CPU_INFO_SIZE, sizeof(struct cpu_info));
	DEFINE(CPU_INFO_CPU, __builtin_offsetof(struct cpu_info, cpu));

	/* entry.S: the frame of a trap (struct cpu_user_regs) and per-CPU words */
#define REG(name, field) DEFINE(REGS_##name, __builtin_offsetof(struct cpu_user_regs, field))
	REG(R15, r15);
	REG(R14, r14);
	REG(R13, r13);
	REG(R12, r12);
	REG(RBP, rbp);
	REG(RBX, rbx);
	REG(R11, r11);
	REG(R10, r10);
	REG(R9, r9);
	REG(R8, r8);
	REG(RAX, rax);
	REG(RCX, rcx);
	REG(RDX, rdx);
	REG(RSI, rsi);
	REG(RDI, rdi);
	REG(ERROR, error_code);
	REG(VECTOR, entry_vector);
	REG(RIP, rip);
	REG(CS, cs);
	REG(RFLAGS, rflags);
	REG(RSP, rsp);
	DEFINE(PERCPU_SIZE, sizeof(struct percpu));
	DEFINE(PERCPU_SCRATCH, __builtin_offsetof(struct percpu, scratch));
	DEFINE(PERCPU_SYSCALL_STACK, __builtin_offsetof(struct percpu, syscall_stack));
}
