/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forgetting where a bridge believes a station to be.
 *
 * While the guest ran elsewhere this host's bridge has learned its MAC on the
 * port to the network, and drops what comes from there for it: to the bridge
 * the frame is where it belongs.  Frames that we send for the guest leave
 * through the ports and teach only other bridges; the guest's own first frame
 * may come before its port forwards.  Without the entry the bridge floods, which
 * reaches the guest at once; its next frame teaches the rest.
 */
#ifndef MIGRATE_FDB_H
#define MIGRATE_FDB_H

#include <stdint.h>

/**
 * fdb_forget() - remove learned entries of a MAC from ports of a bridge.
 * @ports: interface indexes; the guest's own port is not among them
 * @nr:    how many
 * @mac:   the station
 *
 * Return: entries removed, 0 if there was none, or -errno (no netlink socket).
 * Source: rtnetlink(7), RTM_DELNEIGH with NTF_MASTER, as bridge(8) "fdb del".
 */
int fdb_forget(const int *ports, unsigned int nr, const uint8_t mac[6]);

#endif
