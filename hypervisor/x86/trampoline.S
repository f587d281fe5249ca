/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the other CPUs get from reset to C.
 *
 * smp.c copies [trampoline_start, trampoline_end) to a page below 1 MB and patches the words
 * at its end; a start-up IPI sets CS to that page, IP to 0, real mode.  All CPUs start one at
 * a time, so one stack word suffices.  boot_l4 still maps the first 4 GB at 0.
 * Inside, addresses are (label - trampoline_start) + the page's address, kept in EBX.
 * Source: SDM 3A 9.4 (multiple-processor initialisation), 9.8.5 (IA-32e).
 */
#include <pv/layout.h>

#define REL(x)	((x) - trampoline_start)

	.section .rodata
	.balign 16
	.globl trampoline_start, trampoline_end, trampoline_stack
trampoline_start:
	.code16
	cli
	cld
	xorl	%ebx, %ebx
	movw	%cs, %bx
	movw	%bx, %ds
	shll	$4, %ebx
	/* the GDT pointer and the two far jumps need the real address */
	leal	REL(t_gdt)(%ebx), %eax
	movl	%eax, REL(t_gdt_ptr) + 2
	leal	REL(t_protected)(%ebx), %eax
	movl	%eax, REL(t_far32)
	leal	REL(t_long)(%ebx), %eax
	movl	%eax, REL(t_far64)
	lgdtl	REL(t_gdt_ptr)
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	ljmpl	*REL(t_far32)

	.code32
t_protected:
	movw	$BOOT_DS, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	$(1 << 5), %eax			/* PAE */
	movl	%eax, %cr4
	movl	$boot_l4_phys, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx		/* EFER: SCE, LME, NXE */
	rdmsr
	orl	$(1 << 0 | 1 << 8 | 1 << 11), %eax
	wrmsr
	movl	%cr0, %eax
	andl	$~(1 << 29 | 1 << 30 | 1 << 2), %eax
	orl	$(1 << 31 | 1 << 16 | 1 << 1 | 1), %eax
	movl	%eax, %cr0
	ljmpl	*REL(t_far64)(%ebx)

	.code64
t_long:
	xorl	%eax, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%eax, %ss
	movq	REL(trampoline_stack)(%rbx), %rsp
	movabsq	$trampoline_high, %rax
	jmp	*%rax

	.balign 8
t_gdt:
	.quad	0
	.quad	0x00cf9b000000ffff
	.quad	0x00af9b000000ffff
	.quad	0x00cf93000000ffff
t_gdt_end:
t_gdt_ptr:
	.short	t_gdt_end - t_gdt - 1
	.long	0
	.balign 4
t_far32:
	.long	0
	.short	BOOT_CS32
	.balign 4
t_far64:
	.long	0
	.short	BOOT_CS64
	.balign 8
trampoline_stack:
	.quad	0			/* patched: RSP, in the direct map */
trampoline_end:

	.text
	/* boot_l4's direct map ends at 4 GB and the stack may lie above: idle_l4 before any push. */
trampoline_high:
	movq	idle_l4_mfn(%rip), %rax
	shlq	$12, %rax
	movq	%rax, %cr3
	lgdt	t_gdt_ptr64(%rip)
	pushq	$0
	jmp	start_secondary_cpu

	.section .rodata
	.balign 8
t_gdt_ptr64:
	.short	t_gdt_end - t_gdt - 1
	.quad	boot_gdt

	.section .note.GNU-stack, "", @progbits
