// SPDX-License-Identifier: Apache-2.0
/*
 * The frames of net-arp/frame.h, octet by octet.
 *
 * Frames are written by a cursor that only appends; the fixed layouts are all
 * shorter than ARP_FRAME_MAX, which the asserts below hold.
 */
#include <assert.h>
#include <string.h>

#include "net-arp/frame.h"

#define ETHERTYPE_ARP_	0x0806		/* RFC 826 */
#define ETHERTYPE_RARP_	0x8035		/* RFC 903 */
#define ETHERTYPE_IPV6_	0x86dd		/* RFC 2464 3 */

enum arp_op {				/* RFC 826, RFC 903 */
	ARP_OP_REQUEST = 1,
	ARP_OP_REPLY = 2,
	ARP_OP_REVERSE_REQUEST = 3,
};

#define ETH_LEN		14
#define IPV6_LEN	40
#define NA_LEN		32		/* 24 + one option of 8 */
#define NA_TYPE		136		/* RFC 4861 4.4 */
#define NA_OVERRIDE	0x20		/* octet 4: R 0x80, S 0x40, O 0x20 */
#define NEXT_ICMPV6	58
#define OPT_TARGET_LLA	2		/* RFC 4861 4.6.1 */

static_assert(ETH_LEN + IPV6_LEN + NA_LEN == ARP_FRAME_MAX,
	      "the advertisement is the longest frame");
static_assert(ETH_LEN + 28 <= ARP_FRAME_MIN, "ARP is always padded");

static const struct arp_mac mac_broadcast = {
	{ 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }
};
static const struct arp_mac mac_all_nodes = {
	{ 0x33, 0x33, 0x00, 0x00, 0x00, 0x01 }
};
static const struct arp_mac mac_zero;
static const uint8_t ip6_all_nodes[16] = { 0xff, 0x02, [15] = 1 };

static void put8(struct arp_frame *f, uint8_t v)
{
	f->bytes[f->len++] = v;
}

static void put16(struct arp_frame *f, uint16_t v)
{
	put8(f, (uint8_t)(v >> 8));
	put8(f, (uint8_t)v);
}

static void put_bytes(struct arp_frame *f, const void *src, size_t len)
{
	memcpy(f->bytes + f->len, src, len);
	f->len = (uint16_t)(f->len + len);
}

static void put_mac(struct arp_frame *f, const struct arp_mac *mac)
{
	put_bytes(f, mac->b, sizeof(mac->b));
}

static void put_ethernet(struct arp_frame *f, const struct arp_mac *dst,
			 const struct arp_mac *src, uint16_t ethertype)
{
	memset(f, 0, sizeof(*f));
	put_mac(f, dst);
	put_mac(f, src);
	put16(f, ethertype);
}

/* The rest of the buffer is zero since put_ethernet(). */
static void pad(struct arp_frame *f)
{
	if (f->len < ARP_FRAME_MIN)
		f->len = ARP_FRAME_MIN;
}

/* All four ARP uses here have the sender's protocol address as the target's. */
static void make_arp(struct arp_frame *f, uint16_t ethertype, enum arp_op op,
		     const struct arp_mac *mac, const struct arp_mac *target,
		     struct in_addr ip)
{
	put_ethernet(f, &mac_broadcast, mac, ethertype);
	put16(f, 1);			/* hardware: Ethernet */
	put16(f, 0x0800);		/* protocol: IPv4 */
	put8(f, 6);
	put8(f, 4);
	put16(f, op);
	put_mac(f, mac);
	put_bytes(f, &ip.s_addr, 4);	/* already in network order */
	put_mac(f, target);
	put_bytes(f, &ip.s_addr, 4);
	pad(f);
}

void arp_frame_make_reply(struct arp_frame *f, const struct arp_mac *mac,
			  struct in_addr ip)
{
	make_arp(f, ETHERTYPE_ARP_, ARP_OP_REPLY, mac, mac, ip);
}

void arp_frame_make_announcement(struct arp_frame *f,
				 const struct arp_mac *mac, struct in_addr ip)
{
	make_arp(f, ETHERTYPE_ARP_, ARP_OP_REQUEST, mac, &mac_zero, ip);
}

void arp_frame_make_rarp(struct arp_frame *f, const struct arp_mac *mac)
{
	make_arp(f, ETHERTYPE_RARP_, ARP_OP_REVERSE_REQUEST, mac, mac,
		 (struct in_addr){ 0 });
}

/* Add 16-bit words in network order (RFC 1071); @len is even here. */
static uint32_t sum16(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	return sum;
}

/* RFC 4443 2.3, RFC 8200 8.1: pseudo-header, then the message. */
static uint16_t icmpv6_checksum(const uint8_t *src_dst, const uint8_t *msg,
				size_t len)
{
	uint32_t sum = (uint32_t)len + NEXT_ICMPV6;

	sum = sum16(sum, src_dst, 32);
	sum = sum16(sum, msg, len);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put_ipv6(struct arp_frame *f, const struct in6_addr *src)
{
	put8(f, 0x60);			/* version 6, traffic class 0 */
	put8(f, 0);
	put16(f, 0);			/* flow label 0 */
	put16(f, NA_LEN);
	put8(f, NEXT_ICMPV6);
	put8(f, 255);			/* RFC 4861 7.1.2: else it is dropped */
	put_bytes(f, src->s6_addr, 16);
	put_bytes(f, ip6_all_nodes, 16);
}

void arp_frame_make_na(struct arp_frame *f, const struct arp_mac *mac,
		       const struct in6_addr *ip)
{
	uint8_t *msg = f->bytes + ETH_LEN + IPV6_LEN;
	uint16_t sum;

	put_ethernet(f, &mac_all_nodes, mac, ETHERTYPE_IPV6_);
	put_ipv6(f, ip);
	put8(f, NA_TYPE);
	put8(f, 0);
	put16(f, 0);			/* checksum, below */
	put8(f, NA_OVERRIDE);
	put8(f, 0);
	put16(f, 0);
	put_bytes(f, ip->s6_addr, 16);
	put8(f, OPT_TARGET_LLA);
	put8(f, 1);			/* in units of 8 octets */
	put_mac(f, mac);

	sum = icmpv6_checksum(f->bytes + ETH_LEN + 8, msg, NA_LEN);
	msg[2] = (uint8_t)(sum >> 8);
	msg[3] = (uint8_t)sum;
}
