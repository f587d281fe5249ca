/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual devices: nodes for front and back end, and the hot-plug work that
 * Debian leaves to scripts.
 *
 * A device is two directories that point at each other, both in state 1
 * (XenbusStateInitialising); the drivers do the rest.  Sources: Xen public
 * io/xenbus.h, io/netif.h, io/blkif.h; Linux drivers/net/xen-netback/xenbus.c
 * and drivers/block/xen-blkback/xenbus.c for which nodes they insist on.
 */
#ifndef TOOLSTACK_DEVICES_DEVICES_H
#define TOOLSTACK_DEVICES_DEVICES_H

#include <xenstore.h>

#include "toolstack/config.h"
#include "toolstack/xstree.h"

/** driver_require() - load dom0's back-end module unless @driver is there. */
void driver_require(const char *driver, const char *module);

/** vif_write_nodes() - vif number @index of domain @domid. */
void vif_write_nodes(struct xstree *tr, unsigned int domid, unsigned int index,
		     const struct config_vif *vif);

/**
 * vif_plug() - wait for vifU.N, put it on its bridge, bring it up, say so.
 * @timeout_ms: for the interface to appear
 *
 * Return: 0, -ETIMEDOUT, -ENODEV (no such bridge), -errno; logged.
 */
int vif_plug(struct xs_handle *xs, unsigned int domid, unsigned int index,
	     const struct config_vif *vif, unsigned int timeout_ms);

/** vif_wait_gone() - wait until vifU.N is no more; 0 or -ETIMEDOUT. */
int vif_wait_gone(unsigned int domid, unsigned int index, unsigned int timeout_ms);

/** vif_interface_name() - "vifU.N" in dom0; @name holds 16 bytes. */
void vif_interface_name(unsigned int domid, unsigned int index, char name[16]);

/** vbd_write_nodes() - a disk of domain @domid. */
void vbd_write_nodes(struct xstree *tr, unsigned int domid, const struct config_disk *disk);

/**
 * vbd_plug() - give the back end its block device (a loop device for a file).
 *
 * Return: 0, -errno; logged.
 */
int vbd_plug(struct xs_handle *xs, unsigned int domid, const struct config_disk *disk);

/**
 * vbd_release_loop() - detach a loop device.
 * @node: what the back end noted, "/dev/loopN"; anything else is left alone
 *
 * Call it after the back end let go of the device.
 */
void vbd_release_loop(const char *node);

#endif
