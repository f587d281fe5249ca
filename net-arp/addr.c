// SPDX-License-Identifier: Apache-2.0
/*
 * Addresses that may be announced, and their text forms.  Contract in addr.h.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "net-arp/addr.h"

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

bool arp_mac_usable(const struct arp_mac *mac)
{
	static const struct arp_mac zero;

	return !(mac->b[0] & 1) && memcmp(mac, &zero, sizeof(zero)) != 0;
}

int arp_mac_parse(const char *text, struct arp_mac *mac)
{
	struct arp_mac m;

	for (int i = 0; i < 6; i++) {
		int hi = hex_digit(text[0]);
		int lo = hi < 0 ? -1 : hex_digit(text[1]);

		if (lo < 0)
			return -EINVAL;
		m.b[i] = (uint8_t)(hi << 4 | lo);
		if (text[2] != (i < 5 ? ':' : '\0'))
			return -EINVAL;
		text += 3;
	}
	if (!arp_mac_usable(&m))
		return -EADDRNOTAVAIL;
	*mac = m;
	return 0;
}

void arp_mac_format(const struct arp_mac *mac, char out[ARP_MAC_TEXT])
{
	const uint8_t *b = mac->b;

	snprintf(out, ARP_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x",
		 b[0], b[1], b[2], b[3], b[4], b[5]);
}

/* RFC 1122 3.2.1.3: net 0, net 127, class D and above belong to no station. */
static bool v4_usable(struct in_addr a)
{
	uint32_t first = ntohl(a.s_addr) >> 24;

	return first != 0 && first != 127 && first < 224;
}

static bool v6_usable(const struct in6_addr *a)
{
	return !IN6_IS_ADDR_UNSPECIFIED(a) && !IN6_IS_ADDR_LOOPBACK(a) &&
	       !IN6_IS_ADDR_MULTICAST(a) && !IN6_IS_ADDR_V4MAPPED(a);
}

bool arp_ip_usable(const struct arp_ip *ip)
{
	if (ip->family == AF_INET)
		return v4_usable(ip->v4);
	if (ip->family == AF_INET6)
		return v6_usable(&ip->v6);
	return false;
}

int arp_ip_parse(const char *text, struct arp_ip *ip)
{
	struct arp_ip a;

	memset(&a, 0, sizeof(a));
	if (inet_pton(AF_INET, text, &a.v4) == 1)
		a.family = AF_INET;
	else if (inet_pton(AF_INET6, text, &a.v6) == 1)
		a.family = AF_INET6;
	else
		return -EINVAL;
	if (!arp_ip_usable(&a))
		return -EADDRNOTAVAIL;
	*ip = a;
	return 0;
}

void arp_ip_link_local(const struct arp_mac *mac, struct arp_ip *ip)
{
	uint8_t *a = ip->v6.s6_addr;

	memset(ip, 0, sizeof(*ip));
	ip->family = AF_INET6;
	a[0] = 0xfe;
	a[1] = 0x80;
	memcpy(a + 8, mac->b, 3);
	a[8] ^= 0x02;		/* the universal/local bit is inverted */
	a[11] = 0xff;
	a[12] = 0xfe;
	memcpy(a + 13, mac->b + 3, 3);
}
