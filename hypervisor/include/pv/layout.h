/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the hypervisor lives (docs/memory-layout.md).  Assembly and the linker
 * script read this file too, so it holds nothing but constants.
 */
#pragma once

#ifdef __ASSEMBLY__
#define LAYOUT_UL(x)	x
#else
#define LAYOUT_UL(x)	x##UL
#endif

#define HV_SLOT_FIRST		256
#define HV_SLOT_LAST		271
#define HV_SLOT_M2P		256
#define HV_SLOT_IO		257
#define HV_SLOT_IMAGE		258
#define HV_SLOT_DIRECT		262
#define HV_M2P_BASE		LAYOUT_UL(0xffff800000000000)	/* M2P, read-only, guest-readable */
#define HV_IO_BASE		LAYOUT_UL(0xffff808000000000)	/* ioremap of MMIO, uncached */
#define HV_IMAGE_BASE		LAYOUT_UL(0xffff810000000000)	/* this image, W^X */
#define HV_DIRECT_BASE		LAYOUT_UL(0xffff830000000000)	/* all RAM, RW, NX */
#define HV_END			LAYOUT_UL(0xffff880000000000)
#define HV_PHYS_BASE		LAYOUT_UL(0x200000)		/* where the loader puts the image */
#define HV_IMAGE_MAX		LAYOUT_UL(0x600000)		/* image ends below 8 MB (OVMF keeps that) */

/* One stack for each CPU, aligned to its size (pv/percpu.h). */
#define CPU_STACK_SHIFT		15
#define CPU_STACK_SIZE		(LAYOUT_UL(1) << CPU_STACK_SHIFT)

/* Selectors of the GDT that boot.S and trampoline.S start on; desc.c replaces it. */
#define BOOT_CS32		0x08
#define BOOT_CS64		0x10
#define BOOT_DS			0x18
