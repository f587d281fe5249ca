/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry of a micro-guest, its ELF notes, and its trap stubs.
 *
 * The hypervisor pushes, low to high: rcx, r11, [error code], rip, cs with the event mask in bits
 * 32.., rflags, rsp, ss.  A stub turns that into struct regs (guest.h) and calls guest_trap(); the
 * way back is HYPERVISOR_iret.  Source: Xen public arch-x86/xen-x86_64.h, elfnote.h.
 */
#define HYPERVISOR_IRET	23
#define VEC_EVENT	256
#define VEC_FAILSAFE	257
#define VEC_SYSCALL	258

.macro NOTE type, desc:vararg
	.section .note.Xen, "a", @note
	.balign	4
	.long	4, 2f - 1f, \type
	.asciz	"Xen"
1:	\desc
2:	.balign	4
.endm
	NOTE	6, .asciz "godwit-test"
	NOTE	5, .asciz "xen-3.0"
	NOTE	8, .asciz "generic"
	NOTE	3, .quad VIRT_BASE
	NOTE	4, .quad 0
	NOTE	1, .quad _start
	NOTE	15, .quad INIT_P2M
	NOTE	16, .quad 1
	NOTE	17, .long 0x801

	.text
	.globl	_start
_start:
	lea	stack_top(%rip), %rsp
	xor	%ebp, %ebp
	mov	%rsi, %rdi
	call	guest_start
	ud2

.macro SAVE_AND_CALL			/* stack: vector, error, rip, cs, rflags, rsp, ss */
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%r11
	push	%r10
	push	%r9
	push	%r8
	push	%rbp
	push	%rdi
	push	%rsi
	push	%rdx
	push	%rcx
	push	%rbx
	push	%rax
	cld
	mov	%rsp, %rdi
	mov	%rsp, %rbp
	and	$-16, %rsp
	call	guest_trap
	mov	%rbp, %rsp
	pop	%rax
	pop	%rbx
	pop	%rcx
	pop	%rdx
	pop	%rsi
	pop	%rdi
	pop	%rbp
	pop	%r8
	pop	%r9
	pop	%r10
	pop	%r11
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	add	$16, %rsp
	pushq	$0
	push	%rcx
	push	%r11
	push	%rax
	mov	$HYPERVISOR_IRET, %eax
	syscall
	ud2
.endm

.macro STUB nr
stub_\nr:
	pop	%rcx
	pop	%r11
	.if (\nr == 8) || ((\nr >= 10) && (\nr <= 14)) || (\nr == 17)
	.else
	pushq	$0
	.endif
	pushq	$\nr
	jmp	trap_common
.endm
	.altmacro
	.set	i, 0
	.rept	256
	STUB	%i
	.set	i, i + 1
	.endr
trap_common:
	SAVE_AND_CALL

	.globl	event_entry, failsafe_entry, syscall_entry
event_entry:
	pop	%rcx
	pop	%r11
	pushq	$0
	pushq	$VEC_EVENT
	jmp	trap_common
syscall_entry:
	pop	%rcx
	pop	%r11
	pushq	$0
	pushq	$VEC_SYSCALL
	jmp	trap_common
failsafe_entry:				/* ds, es, fs, gs above r11 */
	pop	%rcx
	pop	%r11
	add	$32, %rsp
	pushq	$0
	pushq	$VEC_FAILSAFE
	jmp	trap_common

	.section .rodata
	.balign	8
	.globl	stub_table
.macro ADDRESS nr
	.quad	stub_\nr
.endm
stub_table:
	.set	i, 0
	.rept	256
	ADDRESS	%i
	.set	i, i + 1
	.endr

	.bss
	.balign	4096
	.globl	stack_top
	.skip	65536
stack_top:
	.section .note.GNU-stack, "", @progbits
