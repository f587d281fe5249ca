/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the boot loader to C.
 *
 * The loader (multiboot1: QEMU's -kernel; multiboot2: GRUB on BIOS or EFI) enters
 * boot_entry in 32-bit protected mode, paging off, EAX = magic, EBX = physical
 * address of the information structure.  The tables built here map the first 4 GB
 * twice, at 0 (for the switch, and for the other CPUs' start) and at
 * HV_DIRECT_BASE, and the image at HV_IMAGE_BASE; paging.c makes the final ones.
 *
 * Nothing but .bss is written before C; no stack is used before it is zeroed.
 * Sources: Multiboot Specification 0.6.96, 3.1-3.2; Multiboot2 Specification
 * 2.0, 3.1-3.3; SDM 3A 9.8.5 (entering IA-32e mode).
 */
#include <pv/layout.h>
#include "asm_offsets.h"

#define MB1_MAGIC	0x1badb002
#define MB1_FLAGS	0x00010003	/* page-align modules, memory map, address fields */
#define MB2_MAGIC	0xe85250d6

	.section .boot.header, "a"
	.balign 8
	.globl boot_header1, boot_header2
boot_header1:
	.long	MB1_MAGIC
	.long	MB1_FLAGS
	.long	-(MB1_MAGIC + MB1_FLAGS)
	.long	boot_header1_phys
	.long	HV_PHYS_BASE
	.long	load_end_phys
	.long	image_end_phys
	.long	boot_entry_phys

	.balign 8
boot_header2:
	.long	MB2_MAGIC
	.long	0				/* i386 protected mode */
	.long	boot_header2_end - boot_header2
	.long	-(MB2_MAGIC + (boot_header2_end - boot_header2))
	/* address */
	.short	2, 0
	.long	24
	.long	boot_header2_phys
	.long	HV_PHYS_BASE
	.long	load_end_phys
	.long	image_end_phys
	/* entry address */
	.balign 8
	.short	3, 0
	.long	12
	.long	boot_entry_phys
	/* console flags: EGA text is fine */
	.balign 8
	.short	4, 1
	.long	12
	.long	2
	/* framebuffer, optional, any mode: only passed on to domain 0 */
	.balign 8
	.short	5, 1
	.long	20
	.long	0, 0, 0
	/* modules page-aligned */
	.balign 8
	.short	6, 0
	.long	8
	.balign 8
	.short	0, 0
	.long	8
boot_header2_end:

	.section .boot.text, "ax"
	.code32
	.globl boot_entry
boot_entry:
	cli
	cld
	movl	%eax, %ebp
	movl	%ebx, %esi

	/* Not every loader zeroes what lies between load_end and image_end. */
	movl	$load_end_phys, %edi
	movl	$image_end_phys, %ecx
	subl	%edi, %ecx
	shrl	$2, %ecx
	xorl	%eax, %eax
	rep stosl

	movl	$0x80000000, %eax
	cpuid
	cmpl	$0x80000001, %eax
	jb	boot_no_cpu
	movl	$0x80000001, %eax
	cpuid
	andl	$(1 << 29 | 1 << 20), %edx	/* long mode and NX: both are needed */
	cmpl	$(1 << 29 | 1 << 20), %edx
	jne	boot_no_cpu

	/* 4 GB in 2 MB pages */
	movl	$boot_l2_phys, %edi
	movl	$0x83, %eax			/* present, writable, large */
	movl	$2048, %ecx
1:	movl	%eax, (%edi)
	addl	$0x200000, %eax
	addl	$8, %edi
	decl	%ecx
	jnz	1b
	movl	$boot_l3_phys, %edi
	movl	$(boot_l2_phys + 3), %eax
	movl	$4, %ecx
1:	movl	%eax, (%edi)
	addl	$4096, %eax
	addl	$8, %edi
	decl	%ecx
	jnz	1b
	/* the image */
	movl	$boot_image_l2_phys, %edi
	movl	$(HV_PHYS_BASE + 0x83), %eax
	movl	$(HV_IMAGE_MAX / 0x200000), %ecx
1:	movl	%eax, (%edi)
	addl	$0x200000, %eax
	addl	$8, %edi
	decl	%ecx
	jnz	1b
	movl	$(boot_image_l2_phys + 3), boot_image_l3_phys
	movl	$(boot_l3_phys + 3), boot_l4_phys
	movl	$(boot_l3_phys + 3), boot_l4_phys + 8 * HV_SLOT_DIRECT
	movl	$(boot_image_l3_phys + 3), boot_l4_phys + 8 * HV_SLOT_IMAGE

	movl	$boot_l4_phys, %eax
	movl	%eax, %cr3
	movl	%cr4, %eax
	orl	$(1 << 5), %eax			/* PAE */
	movl	%eax, %cr4
	movl	$0xc0000080, %ecx		/* EFER: SCE, LME, NXE */
	rdmsr
	orl	$(1 << 0 | 1 << 8 | 1 << 11), %eax
	wrmsr
	movl	%cr0, %eax
	andl	$~(1 << 29 | 1 << 30 | 1 << 2), %eax	/* caches on, no x87 emulation */
	orl	$(1 << 31 | 1 << 16 | 1 << 1 | 1), %eax	/* PG, WP, MP, PE */
	movl	%eax, %cr0
	lgdt	boot_gdt_ptr32_phys
	ljmp	$BOOT_CS64, $boot_long_mode_phys

/* No long mode or no NX: say so on com1 (the loader left it usable, or nobody listens). */
boot_no_cpu:
	movl	$boot_no_cpu_text_phys, %esi
1:	lodsb
	testb	%al, %al
	jz	2f
	movw	$0x3f8, %dx
	outb	%al, %dx
	movl	$100000, %ecx
3:	loop	3b
	jmp	1b
2:	hlt
	jmp	2b
	.globl boot_no_cpu_text
boot_no_cpu_text:
	.asciz	"(pv) this CPU has no 64-bit mode or no NX; halted\r\n"

	.code64
	.globl boot_long_mode
boot_long_mode:
	movabsq	$1f, %rax
	jmp	*%rax
1:	lgdt	boot_gdt_ptr64(%rip)
	xorl	%eax, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%eax, %ss
	leaq	boot_stack + CPU_STACK_SIZE - CPU_INFO_SIZE(%rip), %rsp
	movl	%ebp, %edi
	movl	%esi, %esi
	xorl	%ebp, %ebp
	pushq	%rbp
	jmp	start_boot_cpu

	.section .rodata
	.balign 8
	.globl boot_gdt, boot_gdt_ptr32
boot_gdt:
	.quad	0
	.quad	0x00cf9b000000ffff		/* BOOT_CS32 */
	.quad	0x00af9b000000ffff		/* BOOT_CS64 */
	.quad	0x00cf93000000ffff		/* BOOT_DS */
boot_gdt_end:
boot_gdt_ptr32:
	.short	boot_gdt_end - boot_gdt - 1
	.long	boot_gdt_phys
	.balign 8
boot_gdt_ptr64:
	.short	boot_gdt_end - boot_gdt - 1
	.quad	boot_gdt

	.section .bss.stack, "aw", @nobits
	.balign CPU_STACK_SIZE
	.globl boot_stack_guard, boot_stack
	.skip	CPU_STACK_SIZE - 4096
boot_stack_guard:
	.skip	4096
boot_stack:
	.skip	CPU_STACK_SIZE

	.section .bss.page_aligned, "aw", @nobits
	.balign 4096
	.globl boot_l4, boot_l3, boot_l2, boot_image_l3, boot_image_l2
boot_l4:	.skip 4096
boot_l3:	.skip 4096
boot_l2:	.skip 4 * 4096
boot_image_l3:	.skip 4096
boot_image_l2:	.skip 4096

	.section .note.GNU-stack, "", @progbits
