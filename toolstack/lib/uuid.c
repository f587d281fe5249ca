// SPDX-License-Identifier: Apache-2.0
/* UUIDs and MAC addresses as text: see uuid.h. */
#include "toolstack/lib/uuid.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Two digits at *text into *out. */
static bool take_byte(const char **text, uint8_t *out)
{
	int hi = hex_digit((*text)[0]);
	int lo = hi < 0 ? -1 : hex_digit((*text)[1]);

	if (lo < 0)
		return false;
	*out = (uint8_t)(hi << 4 | lo);
	*text += 2;
	return true;
}

int uuid_parse(const char *text, uint8_t uuid[16])
{
	uint8_t bytes[16];
	unsigned int i;

	for (i = 0; i < 16; i++) {
		if ((i == 4 || i == 6 || i == 8 || i == 10) && *text++ != '-')
			return -EINVAL;
		if (!take_byte(&text, &bytes[i]))
			return -EINVAL;
	}
	if (*text)
		return -EINVAL;
	memcpy(uuid, bytes, sizeof(bytes));
	return 0;
}

void uuid_format(const uint8_t u[16], char text[UUID_TEXT_BYTES])
{
	snprintf(text, UUID_TEXT_BYTES,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
		 u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11],
		 u[12], u[13], u[14], u[15]);
}

/* getrandom() gives up to 256 bytes whole once the pool is initialised. */
static int random_bytes(void *buf, size_t len)
{
	ssize_t n;

	do {
		n = getrandom(buf, len, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

int uuid_generate(uint8_t uuid[16])
{
	int ret = random_bytes(uuid, 16);

	/* RFC 4122, section 4.4: version 4, variant 10. */
	uuid[6] = (uuid[6] & 0x0f) | 0x40;
	uuid[8] = (uuid[8] & 0x3f) | 0x80;
	return ret;
}

int mac_parse(const char *text, uint8_t mac[6])
{
	static const uint8_t zero[6];
	uint8_t bytes[6];
	unsigned int i;

	for (i = 0; i < 6; i++) {
		if (i && *text++ != ':')
			return -EINVAL;
		if (!take_byte(&text, &bytes[i]))
			return -EINVAL;
	}
	/* Bit 0 of the first octet marks a group address: no interface has one. */
	if (*text || (bytes[0] & 1) || !memcmp(bytes, zero, sizeof(zero)))
		return -EINVAL;
	memcpy(mac, bytes, sizeof(bytes));
	return 0;
}

void mac_format(const uint8_t m[6], char text[MAC_TEXT_BYTES])
{
	snprintf(text, MAC_TEXT_BYTES, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3],
		 m[4], m[5]);
}

int mac_generate(uint8_t mac[6])
{
	/* 00:16:3e is the OUI assigned to Xen; the upper half is for others. */
	mac[0] = 0x00;
	mac[1] = 0x16;
	mac[2] = 0x3e;
	int ret = random_bytes(mac + 3, 3);

	mac[3] &= 0x7f;
	return ret;
}
