/* SPDX-License-Identifier: Apache-2.0 */
/* CRC32 as .xz, gzip and Ethernet have it (lib/crc32.c); at boot only. */
#pragma once
#include <pv/types.h>

/** crc32_prepare() - fill the tables; before the first crc32_ieee(). */
void crc32_prepare(void);
/** crc32_ieee() - of @n bytes at @data.  Source: RFC 1952, section 8. */
uint32_t crc32_ieee(const void *data, size_t n);
