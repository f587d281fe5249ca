// SPDX-License-Identifier: Apache-2.0
/*
 * Frames onto a link from dom0, by AF_PACKET.  Contract in rawsock.h.
 */
#include <dirent.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net-arp/rawsock.h"

/* A name ends up in a path and in reports: printable ASCII, one path step. */
static bool name_sane(const char *name)
{
	size_t len = strnlen(name, IFNAMSIZ);

	for (size_t i = 0; i < len; i++)
		if (name[i] <= ' ' || name[i] > '~' || name[i] == '/' || name[i] == ':')
			return false;
	return len > 0 && len < IFNAMSIZ && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0;
}

static int iface_check(int fd, const char *iface)
{
	struct ifreq req;

	memset(&req, 0, sizeof(req));
	memcpy(req.ifr_name, iface, strlen(iface));
	if (ioctl(fd, SIOCGIFHWADDR, &req) < 0)
		return -errno;
	if (req.ifr_hwaddr.sa_family != ARPHRD_ETHER)
		return -EINVAL;
	if (ioctl(fd, SIOCGIFFLAGS, &req) < 0)
		return -errno;
	return req.ifr_flags & IFF_UP ? 0 : -ENETDOWN;
}

static int add_port(struct rawsock *s, const char *name)
{
	int index = (int)if_nametoindex(name);

	if (!index)
		return 0;		/* it went away between readdir and here */
	if (s->nr_ports == RAWSOCK_MAX_PORTS)
		return -E2BIG;
	s->ports[s->nr_ports++] = index;
	return 0;
}

static int add_bridge_ports(struct rawsock *s, const char *bridge,
			    const char *except)
{
	char path[64];
	struct dirent *entry;
	int ret = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/class/net/%s/brif", bridge);
	dir = opendir(path);
	if (!dir)
		return -ENOTDIR;
	while (!ret && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || !strcmp(entry->d_name, except))
			continue;
		ret = add_port(s, entry->d_name);
	}
	closedir(dir);
	return ret;
}

int rawsock_open(struct rawsock *s, const char *iface, const char *except)
{
	int ret;

	memset(s, 0, sizeof(*s));
	s->fd = -1;
	if (!name_sane(iface) || (except && !name_sane(except)))
		return -ENODEV;
	s->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return -errno;
	ret = iface_check(s->fd, iface);
	if (ret)
		goto err_close;
	ret = except ? add_bridge_ports(s, iface, except) : add_port(s, iface);
	if (ret)
		goto err_close;
	return 0;

err_close:
	rawsock_close(s);
	return ret;
}

static int send_to_port(int fd, int ifindex, const struct arp_frame *f)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_ifindex = ifindex,
		.sll_halen = 6,
	};
	ssize_t n;

	memcpy(to.sll_addr, f->bytes, 6);
	memcpy(&to.sll_protocol, f->bytes + 12, 2);
	n = sendto(fd, f->bytes, f->len, 0, (struct sockaddr *)&to, sizeof(to));
	if (n < 0)
		return -errno;
	return n == f->len ? 0 : -EIO;
}

int rawsock_send(struct rawsock *s, const struct arp_frame *f)
{
	bool taken = s->nr_ports == 0;
	int ret = 0;

	for (unsigned int i = 0; i < s->nr_ports; i++) {
		int one = send_to_port(s->fd, s->ports[i], f);

		if (one)
			ret = one;
		else
			taken = true;
	}
	return taken ? 0 : ret;
}

void rawsock_close(struct rawsock *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}
