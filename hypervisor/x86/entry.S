/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Into and out of the hypervisor.
 *
 * A frame is struct cpu_user_regs, low to high: r15 r14 r13 r12 rbp rbx r11 r10 r9
 * r8 rax rcx rdx rsi rdi, error code (4 bytes) and vector (4), then what the CPU
 * pushed: rip cs rflags rsp ss.  From ring 3 it lies at cpu_info.guest_regs at
 * the top of this CPU's stack; from ring 0 wherever the stack was.
 *
 * Interrupts stay off from here to the IRETQ or SYSRETQ that leaves.
 */
#include <pv/layout.h>
#include "asm_offsets.h"

#define VEC_SYSCALL	0x100
#define VEC_SYSCALL32	0x101
#define MAX_CPUS	64
#define FLAT_CS64	0xe033
#define FLAT_CS32	0xe023
#define FLAT_SS		0xe02b

	.text

.macro SAVE_GPRS			/* RSP at the error code slot */
	sub	$120, %rsp
	mov	%rdi, REGS_RDI(%rsp)
	mov	%rsi, REGS_RSI(%rsp)
	mov	%rdx, REGS_RDX(%rsp)
	mov	%rcx, REGS_RCX(%rsp)
	mov	%rax, REGS_RAX(%rsp)
	mov	%r8, REGS_R8(%rsp)
	mov	%r9, REGS_R9(%rsp)
	mov	%r10, REGS_R10(%rsp)
	mov	%r11, REGS_R11(%rsp)
	mov	%rbx, REGS_RBX(%rsp)
	mov	%rbp, REGS_RBP(%rsp)
	mov	%r12, REGS_R12(%rsp)
	mov	%r13, REGS_R13(%rsp)
	mov	%r14, REGS_R14(%rsp)
	mov	%r15, REGS_R15(%rsp)
	cld
.endm

.macro RESTORE_GPRS			/* all but rcx and r11 */
	mov	REGS_R15(%rsp), %r15
	mov	REGS_R14(%rsp), %r14
	mov	REGS_R13(%rsp), %r13
	mov	REGS_R12(%rsp), %r12
	mov	REGS_RBP(%rsp), %rbp
	mov	REGS_RBX(%rsp), %rbx
	mov	REGS_R10(%rsp), %r10
	mov	REGS_R9(%rsp), %r9
	mov	REGS_R8(%rsp), %r8
	mov	REGS_RAX(%rsp), %rax
	mov	REGS_RDX(%rsp), %rdx
	mov	REGS_RSI(%rsp), %rsi
	mov	REGS_RDI(%rsp), %rdi
.endm

/* --- the 256 vectors: those with an error code of the CPU's own are 8, 10..14, 17, 21 --- */
.macro VECTOR nr
vector_\nr:
	.if (\nr == 8) || ((\nr >= 10) && (\nr <= 14)) || (\nr == 17) || (\nr == 21)
	.else
	pushq	$0
	.endif
	movl	$\nr, 4(%rsp)
	.if (\nr == 1) || (\nr == 2)
	jmp	ist_entry
	.else
	jmp	trap_entry
	.endif
.endm

	.altmacro
	.set	i, 0
	.rept	256
	VECTOR	%i
	.set	i, i + 1
	.endr

/* #DB and NMI come on stacks of their own, since they can hit between SYSCALL and the change
 * of stack.  From ring 3 their frame moves to where every other one is. */
ist_entry:
	testb	$3, 16(%rsp)
	jz	trap_entry
	push	%rax
	push	%rbx
	mov	%rsp, %rax
	or	$(CPU_STACK_SIZE - 1), %rax
	sub	$(CPU_INFO_SIZE - REGS_ERROR - 1), %rax	/* the error code slot */
	.irp	off, 40, 32, 24, 16, 8, 0
	mov	16 + \off(%rsp), %rbx
	mov	%rbx, \off(%rax)
	.endr
	pop	%rbx
	xchg	(%rsp), %rax
	mov	(%rsp), %rsp
	jmp	trap_entry

/* rsp -> error code and vector */
trap_entry:
	SAVE_GPRS
	mov	%rsp, %rdi
	testb	$3, REGS_CS(%rsp)
	jz	trap_in_hypervisor
	sub	$8, %rsp
	call	trap_from_guest
	add	$8, %rsp
	jmp	exit_to_guest

trap_in_hypervisor:
	mov	%rsp, %rbp
	and	$-16, %rsp
	call	trap_from_hypervisor
	mov	%rbp, %rsp
	RESTORE_GPRS
	mov	REGS_RCX(%rsp), %rcx
	mov	REGS_R11(%rsp), %r11
	add	$128, %rsp
	iretq

/* --- SYSCALL: rcx = rip, r11 = rflags, the stack is still the guest's ------------- */
	.globl	percpu
	.hidden	percpu
.macro SYSCALL_STUB nr
syscall_stub_\nr:
	mov	%rsp, percpu + \nr * PERCPU_SIZE + PERCPU_SCRATCH(%rip)
	mov	percpu + \nr * PERCPU_SIZE + PERCPU_SYSCALL_STACK(%rip), %rsp
	pushq	$FLAT_SS
	pushq	percpu + \nr * PERCPU_SIZE + PERCPU_SCRATCH(%rip)
	jmp	syscall_entry
cstar_stub_\nr:
	mov	%rsp, percpu + \nr * PERCPU_SIZE + PERCPU_SCRATCH(%rip)
	mov	percpu + \nr * PERCPU_SIZE + PERCPU_SYSCALL_STACK(%rip), %rsp
	pushq	$FLAT_SS
	pushq	percpu + \nr * PERCPU_SIZE + PERCPU_SCRATCH(%rip)
	jmp	cstar_entry
.endm
	.set	i, 0
	.rept	MAX_CPUS
	SYSCALL_STUB %i
	.set	i, i + 1
	.endr

syscall_entry:
	push	%r11
	pushq	$FLAT_CS64
	push	%rcx
	pushq	$0
	movl	$VEC_SYSCALL, 4(%rsp)
	SAVE_GPRS
	mov	%rsp, %rdi
	sub	$8, %rsp
	call	syscall_from_guest
	add	$8, %rsp
	jmp	exit_to_guest

cstar_entry:
	push	%r11
	pushq	$FLAT_CS32
	push	%rcx
	pushq	$0
	movl	$VEC_SYSCALL32, 4(%rsp)
	SAVE_GPRS
	mov	%rsp, %rdi
	sub	$8, %rsp
	call	syscall32_from_guest
	add	$8, %rsp
	jmp	exit_to_guest

/* --- out ---------------------------------------------------------------------------- */
	.globl	return_to_guest
return_to_guest:
	or	$(CPU_STACK_SIZE - 1), %rsp
	sub	$(CPU_INFO_SIZE - 1), %rsp
exit_to_guest:				/* rsp = guest_regs */
	sub	$8, %rsp
	call	guest_exit_work
	add	$8, %rsp
	RESTORE_GPRS
	cmpl	$VEC_SYSCALL, REGS_VECTOR(%rsp)
	jne	1f
	/* SYSRETQ with a non-canonical rip would fault in ring 0 on the guest's stack. */
	mov	REGS_RIP(%rsp), %rcx
	mov	%rcx, %r11
	shl	$16, %r11
	sar	$16, %r11
	cmp	%rcx, %r11
	jne	1f
	mov	REGS_RFLAGS(%rsp), %r11
	mov	REGS_RSP(%rsp), %rsp
	sysretq
1:	mov	REGS_RCX(%rsp), %rcx
	mov	REGS_R11(%rsp), %r11
	add	$128, %rsp
	.globl	guest_iretq
guest_iretq:				/* may fault on what the guest gave: traps.c */
	iretq

	.globl	reset_stack_and_call	/* (fn): never returns */
reset_stack_and_call:
	or	$(CPU_STACK_SIZE - 1), %rsp
	sub	$(CPU_INFO_SIZE + 7), %rsp
	call	*%rdi
	ud2

/* --- instructions that may fault, each with the place to go on ----------------------- */
	.globl	x86_copy_user		/* (dst, src, n) -> bytes left */
x86_copy_user:
	mov	%rdx, %rcx
	shr	$3, %rcx
	and	$7, %edx
fault_copy8:
	rep movsq
	mov	%edx, %ecx
fault_copy1:
	rep movsb
	xor	%eax, %eax
	ret
fixup_copy8:
	lea	(%rdx, %rcx, 8), %rax
	ret
fixup_copy1:
	mov	%rcx, %rax
	ret

.macro SAFE name, insn:vararg		/* int x86_safe_NAME(rdi): 0, or 1 when it faulted */
	.globl	x86_safe_\name
x86_safe_\name:
fault_\name:
	\insn
	xor	%eax, %eax
	ret
.endm
	.noaltmacro
SAFE	ds, mov %edi, %ds
SAFE	es, mov %edi, %es
SAFE	fs, mov %edi, %fs
SAFE	gs, mov %edi, %gs
	.globl	x86_safe_xrstor		/* (area, mask) */
x86_safe_xrstor:
	mov	%esi, %eax
	mov	%rsi, %rdx
	shr	$32, %rdx
fault_xrstor:
	xrstor64 (%rdi)
	xor	%eax, %eax
	ret
SAFE	fxrstor, fxrstor64 (%rdi)
	.globl	x86_safe_rdmsr		/* (msr, u64 *out) */
x86_safe_rdmsr:
	mov	%edi, %ecx
fault_rdmsr:
	rdmsr
	mov	%eax, (%rsi)
	mov	%edx, 4(%rsi)
	xor	%eax, %eax
	ret
fixup_one:
	mov	$1, %eax
	ret

	.section .rodata
	.balign	8
	.globl	exception_table, exception_table_end
exception_table:
	.quad	fault_copy8, fixup_copy8
	.quad	fault_copy1, fixup_copy1
	.quad	fault_ds, fixup_one
	.quad	fault_es, fixup_one
	.quad	fault_fs, fixup_one
	.quad	fault_gs, fixup_one
	.quad	fault_xrstor, fixup_one
	.quad	fault_fxrstor, fixup_one
	.quad	fault_rdmsr, fixup_one
exception_table_end:

	.altmacro
.macro ADDRESS name, nr
	.quad	\name\()_\nr
.endm
	.globl	vector_table, syscall_stub_table, cstar_stub_table
vector_table:
	.set	i, 0
	.rept	256
	ADDRESS	vector, %i
	.set	i, i + 1
	.endr
syscall_stub_table:
	.set	i, 0
	.rept	MAX_CPUS
	ADDRESS	syscall_stub, %i
	.set	i, i + 1
	.endr
cstar_stub_table:
	.set	i, 0
	.rept	MAX_CPUS
	ADDRESS	cstar_stub, %i
	.set	i, i + 1
	.endr
	.section .note.GNU-stack, "", @progbits
