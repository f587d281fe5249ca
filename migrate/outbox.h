/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Output commit: what a guest sends waits in dom0 until the checkpoint that holds its
 * sending is on the other host.  Then nobody outside ever knows more than the copy.
 *
 *	guest --> vifU.N ingress --redirect--> ifb (qdisc plug) --> vifU.N --> bridge
 *
 * Invariant: a packet leaves only if a checkpoint cut after it was sent has been
 * acknowledged, or after outbox_close().  sch_plug counts packets in two epochs, before
 * and after its last plug; so while an epoch waits no second plug is set: packets then
 * wait for one checkpoint more, and none leaves early.
 *
 * Source: Linux net/sched/sch_plug.c (the file's first comment), drivers/net/ifb.c,
 * linux/pkt_sched.h TCQ_PLUG_*.  Setting up is left to iproute2's ip and tc; what is
 * done for each checkpoint is one netlink message.
 */
#ifndef MIGRATE_OUTBOX_H
#define MIGRATE_OUTBOX_H

#include <stdbool.h>

struct outbox;

/**
 * outbox_open() - put the boxes before a domain's vifs; all pass until the first cut.
 * @domid:   whose
 * @nr_vifs: 0..nr_vifs - 1
 * @why:     gets a line on failure
 *
 * What an earlier process left there is removed first, and its packets with it.
 * Return: 0; -EOPNOTSUPP dom0's kernel or iproute2 lacks a part; -errno.
 */
int outbox_open(unsigned int domid, unsigned int nr_vifs, struct outbox **out, char why[200]);

/** outbox_cut() - the guest stands: what it sent goes with this checkpoint.  0 or -errno. */
int outbox_cut(struct outbox *b);

/** outbox_commit() - the checkpoint of the last cut is acknowledged. */
void outbox_commit(struct outbox *b);

/**
 * outbox_close() - take the boxes away.
 * @drop: what waits is thrown away: the guest runs elsewhere.  Otherwise it leaves.
 */
void outbox_close(struct outbox *b, bool drop);

#endif
