// SPDX-License-Identifier: Apache-2.0
/*
 * Disks.  blkback waits in state 2 for physical-device = "major:minor" in
 * hexadecimal; a raw image file becomes a block device through a loop device,
 * whose path is noted in the back-end directory ("node") so that the destroyer
 * finds it again.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "toolstack/devices/devices.h"
#define LOG_PREFIX "disk"
#include "toolstack/lib/log.h"

#define STATE_INITIALISING 1
#define LOOP_TRIES 16

static void backend_dir(unsigned int domid, const struct config_disk *disk,
			char path[XSTREE_PATH_MAX])
{
	unsigned int number = 0;

	/* config.c accepted the name, so this cannot fail. */
	config_vdev_number(disk->vdev, &number);
	snprintf(path, XSTREE_PATH_MAX, "/local/domain/0/backend/vbd/%u/%u", domid, number);
}

void vbd_write_nodes(struct xstree *tr, unsigned int domid, const struct config_disk *disk)
{
	char front[XSTREE_PATH_MAX], back[XSTREE_PATH_MAX];
	unsigned int number = 0;

	config_vdev_number(disk->vdev, &number);
	snprintf(front, sizeof(front), "/local/domain/%u/device/vbd/%u", domid, number);
	backend_dir(domid, disk, back);

	xstree_mkdir(tr, front, domid, 0);
	xstree_write(tr, front, "backend", "%s", back);
	xstree_write(tr, front, "backend-id", "0");
	xstree_write(tr, front, "virtual-device", "%u", number);
	xstree_write(tr, front, "device-type", "disk");
	xstree_write(tr, front, "state", "%d", STATE_INITIALISING);

	xstree_mkdir(tr, back, 0, domid);
	xstree_write(tr, back, "frontend", "%s", front);
	xstree_write(tr, back, "frontend-id", "%u", domid);
	xstree_write(tr, back, "online", "1");
	xstree_write(tr, back, "removable", "0");
	xstree_write(tr, back, "bootable", "1");
	xstree_write(tr, back, "dev", "%s", disk->vdev);
	xstree_write(tr, back, "type", "phy");
	xstree_write(tr, back, "mode", "%s", disk->readonly ? "r" : "w");
	xstree_write(tr, back, "device-type", "disk");
	xstree_write(tr, back, "params", "%s", disk->target);
	xstree_write(tr, back, "discard-enable", "1");
	xstree_write(tr, back, "state", "%d", STATE_INITIALISING);
}

/* --- loop devices (loop(4)) -------------------------------------------------------------- */

/* Another process may take the free one between the two calls: try again. */
static int loop_attach(const struct config_disk *disk, char node[32])
{
	int mode = disk->readonly ? O_RDONLY : O_RDWR, file, control, i, ret = -EBUSY;

	file = open(disk->target, mode | O_CLOEXEC);
	if (file < 0)
		return -errno;
	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control < 0) {
		ret = -errno;
		close(file);
		return ret;
	}
	for (i = 0; i < LOOP_TRIES && ret == -EBUSY; i++) {
		struct loop_config lc = { .fd = (uint32_t)file };
		int number = ioctl(control, LOOP_CTL_GET_FREE), loop;

		if (number < 0) {
			ret = -errno;
			break;
		}
		snprintf(node, 32, "/dev/loop%d", number);
		loop = open(node, mode | O_CLOEXEC);
		if (loop < 0) {
			ret = -errno;
			break;
		}
		lc.info.lo_flags = disk->readonly ? LO_FLAGS_READ_ONLY : 0;
		snprintf((char *)lc.info.lo_file_name, LO_NAME_SIZE, "%s", disk->target);
		ret = ioctl(loop, LOOP_CONFIGURE, &lc) < 0 ? -errno : 0;
		close(loop);
	}
	close(control);
	close(file);
	return ret;
}

void vbd_release_loop(const char *node)
{
	int fd;

	if (strncmp(node, "/dev/loop", 9))
		return;
	fd = open(node, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	/* ENXIO: it was detached already. */
	if (ioctl(fd, LOOP_CLR_FD, 0) < 0 && errno != ENXIO)
		log_warn_errno(errno, "cannot detach %s", node);
	close(fd);
}

/* --- hot plug ------------------------------------------------------------------------------ */

int vbd_plug(struct xs_handle *xs, unsigned int domid, const struct config_disk *disk)
{
	char back[XSTREE_PATH_MAX], loop[32] = "";
	const char *node = disk->target;
	struct xstree tr;
	struct stat st;
	int ret = 0;

	backend_dir(domid, disk, back);
	if (disk->backend == CONFIG_DISK_FILE) {
		ret = loop_attach(disk, loop);
		node = loop;
	}
	if (!ret && stat(node, &st) < 0)
		ret = -errno;
	if (!ret && !S_ISBLK(st.st_mode))
		ret = -ENOTBLK;
	if (ret) {
		log_errno(ret, "%s", disk->target);
		vbd_release_loop(loop);
		return ret;
	}
	do {
		ret = xstree_begin(&tr, xs);
		if (ret)
			break;
		if (loop[0])
			xstree_write(&tr, back, "node", "%s", loop);
		xstree_write(&tr, back, "physical-device", "%x:%x", major(st.st_rdev),
			     minor(st.st_rdev));
		xstree_write(&tr, back, "hotplug-status", "connected");
		ret = xstree_commit(&tr);
	} while (ret == -EAGAIN);
	if (ret) {
		log_errno(ret, "cannot write %s", back);
		vbd_release_loop(loop);
	}
	return ret;
}
