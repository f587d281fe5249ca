/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames onto a link from dom0, by AF_PACKET.
 *
 * The socket sends and never receives (protocol 0, packet(7)) and never
 * blocks.  When the interface is a bridge and a port is to be spared, a frame
 * goes to each other port instead of to the bridge device, which would flood
 * it to all: the arrived guest must not hear its own address advertised (Linux
 * logs it as a conflict, and a tentative IPv6 address would be lost to DAD).
 *
 * Not locked; one socket belongs to one thread.  Needs CAP_NET_RAW.
 */
#ifndef NET_ARP_RAWSOCK_H
#define NET_ARP_RAWSOCK_H

#include "net-arp/frame.h"

/** Ports of one bridge that can be served (Linux's own limit is 1024). */
#define RAWSOCK_MAX_PORTS 1024

struct rawsock {
	int fd;
	unsigned int nr_ports;
	int ports[RAWSOCK_MAX_PORTS];	/* ifindexes the frames go to */
};

/**
 * rawsock_open() - get ready to send on an interface.
 * @s:      receives the socket; rawsock_close() it after success
 * @iface:  interface name, a bridge or any Ethernet device
 * @except: port of bridge @iface that must not get the frames, or NULL
 *
 * Ports are those of this moment.
 * Return: 0; -ENODEV no such interface, or a name none can have; -EINVAL
 * @iface is not Ethernet; -ENOTDIR @except given and @iface is no
 * bridge; -ENETDOWN @iface is down; -E2BIG too many ports; -EPERM or
 * another errno of socket(2).
 */
int rawsock_open(struct rawsock *s, const char *iface, const char *except);

/**
 * rawsock_send() - send one frame to every port.
 * @s: the socket
 * @f: the frame
 *
 * A port that went down or away since is passed over when another took the
 * frame.
 * Return: 0 if at least one port took it, or there is no port to take it;
 * otherwise the last port's -errno (-ENETDOWN, -ENXIO, -ENOBUFS, -EAGAIN ...).
 */
int rawsock_send(struct rawsock *s, const struct arp_frame *f);

/**
 * rawsock_close() - release the socket; harmless twice.
 * @s: the socket
 */
void rawsock_close(struct rawsock *s);

#endif
