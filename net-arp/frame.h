/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Ethernet frames that tell a link where a station is now: bytes only.
 *
 * Pure functions: no clock, no socket, no allocation.  Every frame is complete
 * from destination address to the last octet before the FCS, and at least the
 * Ethernet minimum of 60 octets (zero padding), so that it may be handed to
 * any device as it is.  Addresses come checked (net-arp/addr.h).
 */
#ifndef NET_ARP_FRAME_H
#define NET_ARP_FRAME_H

#include <stdint.h>

#include "net-arp/addr.h"

/** Largest frame made here: the neighbour advertisement, 14 + 40 + 32. */
#define ARP_FRAME_MAX 86
/** IEEE 802.3 minimum without the FCS. */
#define ARP_FRAME_MIN 60

struct arp_frame {
	uint16_t len;			/* octets used */
	uint8_t bytes[ARP_FRAME_MAX];
};

/**
 * arp_frame_make_reply() - gratuitous ARP, reply form.
 * @f:   receives the frame, broadcast, operation 2
 * @mac: the station
 * @ip:  its IPv4 address: sender and target protocol address
 *
 * The target hardware address is @mac as well.
 * Source: RFC 826; RFC 5944 4.6 (gratuitous ARP by an ARP Reply).
 */
void arp_frame_make_reply(struct arp_frame *f, const struct arp_mac *mac,
			  struct in_addr ip);

/**
 * arp_frame_make_announcement() - ARP announcement, request form.
 * @f:   receives the frame, broadcast, operation 1
 * @mac: the station
 * @ip:  its IPv4 address: sender and target protocol address
 *
 * The target hardware address is zero.  Source: RFC 5227 2.3.
 */
void arp_frame_make_announcement(struct arp_frame *f,
				 const struct arp_mac *mac, struct in_addr ip);

/**
 * arp_frame_make_rarp() - announce a MAC alone: it only moves switches' tables.
 * @f:   receives the frame, broadcast, EtherType 0x8035, operation 3
 * @mac: the station, as source, sender and target; protocol addresses are zero
 *
 * Source: RFC 903; the form QEMU's self-announcement has.
 */
void arp_frame_make_rarp(struct arp_frame *f, const struct arp_mac *mac);

/**
 * arp_frame_make_na() - unsolicited neighbour advertisement to all nodes.
 * @f:   receives the frame, to ff02::1 (33:33:00:00:00:01), hop limit 255
 * @mac: the station, in the target link-layer address option
 * @ip:  its IPv6 address: source and target; unicast
 *
 * Flags: override only; it is not solicited, and whether the station routes
 * is not known here.  Source: RFC 4861 4.4 and 7.2.6; RFC 4443 2.3 (checksum);
 * RFC 2464 7 (multicast mapping).
 */
void arp_frame_make_na(struct arp_frame *f, const struct arp_mac *mac,
		       const struct in6_addr *ip);

#endif
