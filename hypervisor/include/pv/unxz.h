/* SPDX-License-Identifier: Apache-2.0 */
/* Unpacking compressed images held in memory (lib/unxz.c, lib/gunzip.c). */
#pragma once
#include <pv/types.h>

/**
 * unxz() - decode one .xz stream from memory to memory
 * @src: the stream, from its header magic to its footer magic, nothing behind it
 * @src_size: its size in bytes
 * @dst: gets the data; serves as the dictionary too, so it must not overlap @src
 * @dst_size: exact size of the data in bytes
 *
 * Filters: LZMA2, alone or behind x86 BCJ; check: CRC32.  Uses static work space: one caller at
 * a time, at boot only.  Return: 0; -EBADMSG when the stream is damaged or its data is not
 * @dst_size bytes; -EOPNOTSUPP for filters, checks or more blocks than are served.
 * Source: "The .xz File Format", version 1.0.4.
 */
int unxz(const void *src, size_t src_size, void *dst, size_t dst_size);

/**
 * gunzip() - decode one gzip file from memory to memory
 *
 * Arguments, return and the one caller at a time as unxz(); -EOPNOTSUPP for a method other than
 * deflate.  Source: RFC 1951, RFC 1952.
 */
int gunzip(const void *src, size_t src_size, void *dst, size_t dst_size);
