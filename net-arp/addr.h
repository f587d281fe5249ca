/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses that may be announced, and their text forms.
 *
 * Text is hostile (a command line, a domain's xenstore tree): only the one
 * canonical shape is taken, and an address that no single station can own
 * (multicast, unspecified, loopback, broadcast) is refused here, so no frame
 * is ever built for one.
 */
#ifndef NET_ARP_ADDR_H
#define NET_ARP_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/** A MAC-48 address in transmission order. */
struct arp_mac {
	uint8_t b[6];
};

/** Longest text arp_mac_format() makes, with its NUL. */
#define ARP_MAC_TEXT 18

/** One protocol address: family says which member counts. */
struct arp_ip {
	int family;			/* AF_INET or AF_INET6 */
	union {
		struct in_addr v4;
		struct in6_addr v6;
	};
};

/**
 * arp_mac_parse() - read "00:16:3e:01:02:03".
 * @text: NUL-terminated; exactly six pairs of hex digits between colons
 * @mac:  receives the address; untouched on error
 *
 * Return: 0; -EINVAL for any other shape; -EADDRNOTAVAIL for a group address
 * (I/G bit set, IEEE 802-2014 8.2) or all zero, neither of which can be the
 * source of a frame.
 */
int arp_mac_parse(const char *text, struct arp_mac *mac);

/**
 * arp_mac_usable() - can a station have this address?
 * @mac: the address
 * Return: false for a group address and for all zero.
 */
bool arp_mac_usable(const struct arp_mac *mac);

/**
 * arp_mac_format() - write the address as lower-case text.
 * @mac: the address
 * @out: room for ARP_MAC_TEXT bytes
 */
void arp_mac_format(const struct arp_mac *mac, char out[ARP_MAC_TEXT]);

/**
 * arp_ip_parse() - read an IPv4 (dotted quad) or IPv6 address.
 * @text: NUL-terminated; no prefix length, no zone
 * @ip:   receives the address; untouched on error
 *
 * Return: 0; -EINVAL when it is neither; -EADDRNOTAVAIL when arp_ip_usable()
 * says no.
 */
int arp_ip_parse(const char *text, struct arp_ip *ip);

/**
 * arp_ip_usable() - can one station on a link own this address?
 * @ip: the address
 *
 * Return: false for unspecified, loopback, multicast, broadcast and reserved
 * (RFC 1122 3.2.1.3, RFC 4291 2.5 and 2.7), IPv4-mapped IPv6, and for any
 * other family.
 */
bool arp_ip_usable(const struct arp_ip *ip);

/**
 * arp_ip_link_local() - the link-local address a kernel derives from a MAC.
 * @mac: the address
 * @ip:  receives fe80::/64 with the modified EUI-64 of @mac (RFC 4291
 *       appendix A)
 */
void arp_ip_link_local(const struct arp_mac *mac, struct arp_ip *ip);

#endif
