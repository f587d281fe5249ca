// SPDX-License-Identifier: Apache-2.0
/* See fdb.h. */
#include "migrate/fdb.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct request {
	struct nlmsghdr head;
	struct ndmsg nd;
	struct rtattr attr;
	uint8_t mac[6];
	uint8_t pad[2];
};
_Static_assert(sizeof(struct request) == NLMSG_ALIGN(NLMSG_HDRLEN + sizeof(struct ndmsg) +
						     RTA_LENGTH(6)), "netlink's own layout");

struct answer {
	struct nlmsghdr head;
	struct nlmsgerr err;
};

/* 0 removed, or the kernel's -errno (-ENOENT: it had no such entry). */
static int forget_one(int fd, int port, const uint8_t mac[6])
{
	struct request rq = {
		.head = {
			.nlmsg_len = sizeof(rq), .nlmsg_type = RTM_DELNEIGH,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
		},
		.nd = { .ndm_family = PF_BRIDGE, .ndm_ifindex = port, .ndm_flags = NTF_MASTER },
		.attr = { .rta_len = RTA_LENGTH(6), .rta_type = NDA_LLADDR },
	};
	struct answer a;
	ssize_t n;

	memcpy(rq.mac, mac, sizeof(rq.mac));
	if (send(fd, &rq, sizeof(rq), 0) < 0)
		return -errno;
	n = recv(fd, &a, sizeof(a), MSG_TRUNC);
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(a) || a.head.nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	return a.err.error;
}

int fdb_forget(const int *ports, unsigned int nr, const uint8_t mac[6])
{
	struct timeval second = { .tv_sec = 1 };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	int removed = 0;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
	for (unsigned int i = 0; i < nr; i++)
		removed += !forget_one(fd, ports[i], mac);
	close(fd);
	return removed;
}
