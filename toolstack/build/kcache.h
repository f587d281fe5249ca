/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels that were unpacked before.
 *
 * Undoing a distribution kernel's xz takes most of the time of a domain's
 * creation; undoing LZ4 takes a tenth of it.  So the ELF image of each kernel
 * file used is kept as one LZ4 block in a directory of root's own.
 *
 * Invariant: an entry's name is made of its kernel file's device, inode, size,
 * mtime and ctime, so a changed file never finds an old entry; a checksum
 * covers the entry, so half-written ones are not found either.  Losing the
 * directory costs time only: every failure is silent and means "not there".
 */
#ifndef TOOLSTACK_BUILD_KCACHE_H
#define TOOLSTACK_BUILD_KCACHE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define KCACHE_DIR "/var/cache/godwit/kernels"
#define KCACHE_MAX_ENTRIES 8u

/**
 * kcache_get() - the ELF image of a kernel file.
 * @dir:     KCACHE_DIR
 * @st:      fstat(2) of the kernel file
 * @elf:     gets a malloc'd image; caller frees
 * @elf_len: gets its length
 *
 * Return: 0, or -ENOENT for whatever reason there is none.
 */
int kcache_get(const char *dir, const struct stat *st, uint8_t **elf, size_t *elf_len);

/**
 * kcache_put() - remember one; drops the oldest beyond KCACHE_MAX_ENTRIES.
 * @dir:     KCACHE_DIR; made if it is not there
 * @st:      fstat(2) of the kernel file, taken before it was read
 * @elf:     the image
 * @elf_len: its length
 */
void kcache_put(const char *dir, const struct stat *st, const uint8_t *elf, size_t elf_len);

#endif
