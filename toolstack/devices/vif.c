// SPDX-License-Identifier: Apache-2.0
/*
 * Network interfaces.  netback makes vifU.N when its directory appears and
 * goes on to state 4 only after hotplug-status says "connected"; that is
 * usually a udev script's part and is ours here: no udev, no script.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "toolstack/devices/devices.h"
#define LOG_PREFIX "vif"
#include "toolstack/lib/io.h"
#include "toolstack/lib/log.h"
#include "toolstack/lib/uuid.h"

#define STATE_INITIALISING 1

static void backend_dir(unsigned int domid, unsigned int index, char path[XSTREE_PATH_MAX])
{
	snprintf(path, XSTREE_PATH_MAX, "/local/domain/0/backend/vif/%u/%u", domid, index);
}

void vif_interface_name(unsigned int domid, unsigned int index, char name[16])
{
	snprintf(name, 16, "vif%u.%u", domid, index);
}

void vif_write_nodes(struct xstree *tr, unsigned int domid, unsigned int index,
		     const struct config_vif *vif)
{
	char front[XSTREE_PATH_MAX], back[XSTREE_PATH_MAX], mac[MAC_TEXT_BYTES];

	snprintf(front, sizeof(front), "/local/domain/%u/device/vif/%u", domid, index);
	backend_dir(domid, index, back);
	mac_format(vif->mac, mac);

	xstree_mkdir(tr, front, domid, 0);
	xstree_write(tr, front, "backend", "%s", back);
	xstree_write(tr, front, "backend-id", "0");
	xstree_write(tr, front, "handle", "%u", index);
	xstree_write(tr, front, "mac", "%s", mac);
	if (vif->mtu)
		xstree_write(tr, front, "mtu", "%u", vif->mtu);
	xstree_write(tr, front, "state", "%d", STATE_INITIALISING);

	xstree_mkdir(tr, back, 0, domid);
	xstree_write(tr, back, "frontend", "%s", front);
	xstree_write(tr, back, "frontend-id", "%u", domid);
	xstree_write(tr, back, "online", "1");
	xstree_write(tr, back, "handle", "%u", index);
	xstree_write(tr, back, "mac", "%s", mac);
	xstree_write(tr, back, "bridge", "%s", vif->bridge);
	xstree_write(tr, back, "script", "%s", vif->script);
	xstree_write(tr, back, "type", "vif");
	xstree_write(tr, back, "hotplug-status", "%s", "");
	xstree_write(tr, back, "state", "%d", STATE_INITIALISING);
}

/* --- waiting for an interface to come or go ------------------------------------------ */

static int control_socket(void)
{
	return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

/* 0 if there is none. */
static int interface_index(int sock, const char *name)
{
	struct ifreq req = { 0 };

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
	return ioctl(sock, SIOCGIFINDEX, &req) < 0 ? 0 : req.ifr_ifindex;
}

/* Announcements of new and removed links (rtnetlink(7)). */
static int link_events(void)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/*
 * Wait until the interface exists (or does not).  The events only shorten the
 * wait: the answer always comes from asking, at least every 100 ms.
 */
static int wait_interface(const char *name, int wanted, unsigned int timeout_ms)
{
	uint64_t deadline = io_now_ns() + timeout_ms * 1000000ull;
	int events = link_events(), sock = control_socket(), ret = -ETIMEDOUT;
	char drain[8192];

	if (sock < 0)
		ret = -errno;
	while (sock >= 0) {
		struct pollfd pfd = { .fd = events, .events = POLLIN };

		if (!!interface_index(sock, name) == wanted) {
			ret = 0;
			break;
		}
		if (io_now_ns() >= deadline)
			break;
		if (poll(&pfd, 1, events < 0 ? 5 : 100) > 0)
			while (recv(events, drain, sizeof(drain), 0) > 0)
				;
	}
	if (sock >= 0)
		close(sock);
	if (events >= 0)
		close(events);
	return ret;
}

int vif_wait_gone(unsigned int domid, unsigned int index, unsigned int timeout_ms)
{
	char name[16];

	vif_interface_name(domid, index, name);
	return wait_interface(name, 0, timeout_ms);
}

/* --- hot plug ----------------------------------------------------------------------------- */

/* The host end needs no address of its own; without this it makes one. */
static void disable_ipv6(const char *name)
{
	char path[80];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, "1", 1) != 1)
		log_debug("%s keeps IPv6", name);
	close(fd);
}

static int set_mtu(int sock, const char *name, unsigned int mtu)
{
	struct ifreq req = { 0 };

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
	req.ifr_mtu = (int)mtu;
	return ioctl(sock, SIOCSIFMTU, &req) < 0 ? -errno : 0;
}

static int add_to_bridge(int sock, const char *name, const char *bridge)
{
	struct ifreq req = { 0 };

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", bridge);
	req.ifr_ifindex = interface_index(sock, name);
	/* EBUSY: already a port of a bridge, for instance after a retry. */
	if (ioctl(sock, SIOCBRADDIF, &req) < 0 && errno != EBUSY)
		return -errno;
	return 0;
}

static int bring_up(int sock, const char *name)
{
	struct ifreq req = { 0 };

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
	if (ioctl(sock, SIOCGIFFLAGS, &req) < 0)
		return -errno;
	req.ifr_flags |= IFF_UP;
	return ioctl(sock, SIOCSIFFLAGS, &req) < 0 ? -errno : 0;
}

static int configure(const char *name, const struct config_vif *vif)
{
	int sock = control_socket(), ret = 0;

	if (sock < 0)
		return -errno;
	disable_ipv6(name);
	if (vif->mtu)
		ret = set_mtu(sock, name, vif->mtu);
	if (ret)
		log_errno(ret, "cannot set mtu %u on %s", vif->mtu, name);
	if (!ret) {
		ret = add_to_bridge(sock, name, vif->bridge);
		if (ret)
			log_errno(ret, "cannot add %s to bridge %s", name, vif->bridge);
	}
	if (!ret) {
		ret = bring_up(sock, name);
		if (ret)
			log_errno(ret, "cannot bring %s up", name);
	}
	close(sock);
	return ret;
}

int vif_plug(struct xs_handle *xs, unsigned int domid, unsigned int index,
	     const struct config_vif *vif, unsigned int timeout_ms)
{
	static const char connected[] = "connected";
	char name[16], back[XSTREE_PATH_MAX], path[XSTREE_PATH_MAX + 32];
	int ret;

	vif_interface_name(domid, index, name);
	backend_dir(domid, index, back);
	ret = wait_interface(name, 1, timeout_ms);
	if (ret == -ETIMEDOUT)
		log_err("%s did not appear: is xen-netback loaded in dom0?", name);
	else if (ret)
		log_errno(ret, "cannot look for %s", name);
	if (ret)
		return ret;
	ret = configure(name, vif);
	if (ret)
		return ret;
	snprintf(path, sizeof(path), "%s/hotplug-status", back);
	if (!xs_write(xs, XBT_NULL, path, connected, sizeof(connected) - 1)) {
		ret = -errno;
		log_errno(ret, "cannot write %s", path);
	}
	return ret;
}
