/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a kernel file to its ELF image: bzImage wrapping and compression.
 *
 * The file is hostile.  Every offset is checked against the file's length, and
 * no decompressor may write more than the size announced, which is itself
 * bounded by UNPACK_MAX_BYTES.
 */
#ifndef TOOLSTACK_BUILD_UNPACK_H
#define TOOLSTACK_BUILD_UNPACK_H

#include <stddef.h>
#include <stdint.h>

#define UNPACK_MAX_FILE (128u << 20)	/* a kernel file */
#define UNPACK_MAX_BYTES (256u << 20)	/* its ELF image */

/**
 * unpack_kernel() - give the ELF image inside a kernel file.
 * @file:    bytes of the file: bzImage (gzip, xz, zstd, lz4 payload) or ELF
 * @len:     how many
 * @elf:     gets the image: malloc'd, or @file itself if that is the ELF
 * @elf_len: gets its length
 * @why:     gets the reason of a refusal, a constant string
 *
 * Return: 0, -ENOEXEC (not a kernel, damaged), -EFBIG, -ENOMEM.
 * Source: Linux, Documentation/x86/boot.rst (setup_sects, payload_offset,
 * payload_length); formats by their libraries.
 */
int unpack_kernel(const uint8_t *file, size_t len, uint8_t **elf, size_t *elf_len,
		  const char **why);

/**
 * unpack_alloc() - a buffer for an image, its pages made in one go.
 * @len: bytes
 *
 * Return: malloc'd memory or NULL.  Under PV each first touch of a page is a
 * fault of tens of microseconds; an image has fifteen thousand pages.
 */
uint8_t *unpack_alloc(size_t len);

#endif
