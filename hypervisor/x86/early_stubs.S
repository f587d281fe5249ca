/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exceptions before desc.c's IDT: every one of the 32 ends in early_exception(), which does
 * not return.  A stub pushes a zero where the CPU pushed no error code, then the vector.
 * Frame built here, from RSP up: r15..rax (15 words), vector, error code, rip, cs, rflags,
 * rsp, ss: struct early_frame in early_idt.c.
 */
	.text
	.globl early_stubs
	.balign 16
early_stubs:
	.set vector, 0
	.rept 32
	.balign 16
	/* SDM 3A, table 6-1: these push an error code */
	.if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
	pushq	$0
	.endif
	pushq	$vector
	jmp	early_common
	.set vector, vector + 1
	.endr

early_common:
	cld
	pushq	%rax
	pushq	%rbx
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	pushq	%rbp
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, %rdi
	andq	$~15, %rsp
	call	early_exception
	ud2

	.section .note.GNU-stack, "", @progbits
