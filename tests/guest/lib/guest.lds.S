/* SPDX-License-Identifier: Apache-2.0 */
/* One segment, writable throughout (the hypervisor maps it so), at physical LOAD_PADDR. */
OUTPUT_FORMAT(elf64-x86-64)
ENTRY(_start)
PHDRS
{
	all PT_LOAD FLAGS(7);
	notes PT_NOTE FLAGS(4);
}
SECTIONS
{
	. = VIRT_BASE + LOAD_PADDR;
	.text : AT(ADDR(.text) - VIRT_BASE) { *(.text .text.*) } :all
	.rodata : { *(.rodata .rodata.*) } :all
	.note.Xen : { *(.note.Xen) } :all :notes
	.data : { *(.data .data.*) } :all
	.bss : { *(.bss .bss.* COMMON) . = ALIGN(4096); } :all
	image_end = .;
	/DISCARD/ : { *(.comment .note.GNU-stack .note.gnu.* .eh_frame) }
}
