/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image: one loadable segment, in the file exactly as in memory, linked at
 * HV_IMAGE_BASE and loaded at HV_PHYS_BASE.  Loaders use the address fields of
 * the multiboot headers, which is why an ELF64 file serves them all; those
 * headers come first (multiboot1 wants them in the first 8 KB of the file), right behind
 * the ELF headers, which are loaded too so that the segment starts at offset 0.
 *
 * Each run of pages with rights of its own starts and ends on a page, between
 * two symbols that paging.c uses.
 */
#include <pv/layout.h>

OUTPUT_FORMAT(elf64-x86-64)
OUTPUT_ARCH(i386:x86-64)
ENTRY(boot_entry_phys)

PHDRS
{
	image PT_LOAD FILEHDR PHDRS FLAGS(7);
}

SECTIONS
{
	. = HV_IMAGE_BASE;
	image_start = .;
	. += SIZEOF_HEADERS;
	.text : AT(ADDR(.text) - HV_IMAGE_BASE + HV_PHYS_BASE) {
		*(.boot.header)
		*(.boot.text)
		*(.text .text.*)
		. = ALIGN(4096);
	} :image
	text_end = .;
	.rodata : {
		*(.rodata .rodata.*)
		. = ALIGN(4096);
	} :image
	rodata_end = .;
	.init_text : {
		*(.init.text)
		. = ALIGN(4096);
	} :image
	init_text_end = .;
	.init_data : {
		*(.init.data .init.data.*)
		. = ALIGN(4096);
	} :image
	init_data_end = .;
	.data.ro_after_init : {
		*(.data.ro_after_init)
		*(.got .got.*)
		. = ALIGN(4096);
	} :image
	ro_after_init_end = .;
	.data : {
		*(.data .data.*)
		. = ALIGN(4096);
	} :image
	load_end = .;
	.bss : {
		*(.bss.stack)
		*(.bss.page_aligned)
		*(.bss .bss.* COMMON)
		. = ALIGN(4096);
	} :image
	image_end = .;

	ASSERT(image_end - image_start <= HV_IMAGE_MAX, "image too large")

	/* The same places as the 32-bit entry code sees them. */
	boot_entry_phys = boot_entry - HV_IMAGE_BASE + HV_PHYS_BASE;
	boot_header1_phys = boot_header1 - HV_IMAGE_BASE + HV_PHYS_BASE;
	boot_header2_phys = boot_header2 - HV_IMAGE_BASE + HV_PHYS_BASE;
	load_end_phys = load_end - HV_IMAGE_BASE + HV_PHYS_BASE;
	image_end_phys = image_end - HV_IMAGE_BASE + HV_PHYS_BASE;
	boot_l4_phys = boot_l4 - HV_IMAGE_BASE + HV_PHYS_BASE;
	boot_l3_phys = boot_l3 - HV_IMAGE_BASE + HV_PHYS_BASE;
	boot_l2_phys = boot_l2 - HV_IMAGE_BASE + HV_PHYS_BASE;
	boot_image_l3_phys = boot_image_l3 - HV_IMAGE_BASE + HV_PHYS_BASE;
	boot_image_l2_phys = boot_image_l2 - HV_IMAGE_BASE + HV_PHYS_BASE;
	boot_gdt_phys = boot_gdt - HV_IMAGE_BASE + HV_PHYS_BASE;
	boot_gdt_ptr32_phys = boot_gdt_ptr32 - HV_IMAGE_BASE + HV_PHYS_BASE;
	boot_long_mode_phys = boot_long_mode - HV_IMAGE_BASE + HV_PHYS_BASE;
	boot_no_cpu_text_phys = boot_no_cpu_text - HV_IMAGE_BASE + HV_PHYS_BASE;

	/DISCARD/ : {
		*(.comment .note .note.* .eh_frame .eh_frame_hdr .interp .dynamic)
	}
}
