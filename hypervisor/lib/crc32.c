/* SPDX-License-Identifier: Apache-2.0 */
/* CRC32 of IEEE 802.3, bits reflected, eight bytes a step; for what is unpacked at boot. */
#include <pv/crc32.h>

static uint32_t crc_table[8][256] __initdata;

__init void crc32_prepare(void)
{
	for (unsigned int i = 0; i < 256; i++) {
		uint32_t c = i;

		for (unsigned int bit = 0; bit < 8; bit++)
			c = c >> 1 ^ (c & 1 ? 0xedb88320u : 0);
		crc_table[0][i] = c;
	}
	/* Table k: the effect of a byte that k more bytes follow. */
	for (unsigned int k = 1; k < 8; k++)
		for (unsigned int i = 0; i < 256; i++) {
			uint32_t c = crc_table[k - 1][i];

			crc_table[k][i] = c >> 8 ^ crc_table[0][c & 0xff];
		}
}

__init uint32_t crc32_ieee(const void *data, size_t n)
{
	const uint8_t *p = data;
	uint32_t c = ~0u;

	for (; n >= 8; p += 8, n -= 8) {
		uint64_t x;

		__builtin_memcpy(&x, p, 8);
		x ^= c;
		c = crc_table[7][x & 0xff] ^ crc_table[6][x >> 8 & 0xff] ^
		    crc_table[5][x >> 16 & 0xff] ^ crc_table[4][x >> 24 & 0xff] ^
		    crc_table[3][x >> 32 & 0xff] ^ crc_table[2][x >> 40 & 0xff] ^
		    crc_table[1][x >> 48 & 0xff] ^ crc_table[0][x >> 56];
	}
	while (n--)
		c = c >> 8 ^ crc_table[0][(c ^ *p++) & 0xff];
	return ~c;
}
