/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When, and how often, an arrived station is announced.
 *
 * An announcement is a list of frames and a schedule.  Nothing here sleeps or
 * owns a clock: the caller's loop asks announce_step() with its own time and
 * is told when to come again.  A frame is sent at most once per round, rounds
 * never burst: a caller that comes late sends one round for all it missed,
 * since repeating guards against loss over time, not against a busy caller.
 *
 * Not locked; one announcement belongs to one thread.
 */
#ifndef NET_ARP_ANNOUNCE_H
#define NET_ARP_ANNOUNCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net-arp/addr.h"
#include "net-arp/frame.h"

/** Protocol addresses of one interface that can be announced. */
#define ANNOUNCE_MAX_IPS	16
/** RARP, two ARP forms or one advertisement per address, link-local. */
#define ANNOUNCE_MAX_FRAMES	(2 + 2 * ANNOUNCE_MAX_IPS)
/** Most rounds a schedule is stretched to. */
#define ANNOUNCE_MAX_ROUNDS	1000

/** Moments of the rounds in ms after the start, ascending. */
struct announce_schedule {
	unsigned int nr;
	unsigned int at_ms[8];
};

/**
 * The schedule of an arrived guest: 0, 50, 150, 300, 600 ms.  The first is
 * what ends the outage for the outside; the others cover a frame lost while a
 * switch port or the bridge is still learning, and a back end that connects
 * 200 to 400 ms after the guest resumed.
 */
extern const struct announce_schedule announce_default_schedule;

/** Who is announced. */
struct announce_station {
	struct arp_mac mac;
	unsigned int nr_ips;		/* 0..ANNOUNCE_MAX_IPS */
	struct arp_ip ips[ANNOUNCE_MAX_IPS];
};

struct announce {
	unsigned int nr_frames;
	struct arp_frame frames[ANNOUNCE_MAX_FRAMES];
	const struct announce_schedule *schedule;
	uint64_t start_us;
	unsigned int nr_rounds;		/* planned */
	unsigned int next_round;	/* first that is not done, == nr_rounds at the end */
	unsigned int sent_frames;	/* handed to the sender with success */
	unsigned int failed_frames;	/* refused by it */
	int first_error;		/* of failed_frames, -errno */
};

/**
 * announce_send_fn - hand one frame to the link.
 * @ctx: as given to announce_step()
 * @f:   the frame, valid during the call
 * Return: 0 or -errno.  Must not block.
 */
typedef int (*announce_send_fn)(void *ctx, const struct arp_frame *f);

/**
 * announce_init() - build the frames and fix the plan.
 * @a:        receives the announcement
 * @who:      the station; @who->mac and all addresses must be usable
 * @schedule: kept by reference while @a lives
 * @nr_rounds: 0 for as many as @schedule has; more go on at its last interval
 * @now_us:   the moment of the start, any monotonic clock
 *
 * Each round is: a RARP frame; for each IPv4 address the ARP reply and the ARP
 * request form (stacks exist that take only one of them); for each IPv6
 * address an unsolicited advertisement.  The MAC's own link-local address is
 * always advertised: it is the default of most kernels, and a listener without
 * an entry ignores it (RFC 4861 7.2.5).
 *
 * Return: 0; -EINVAL for too many addresses or rounds, an unusable address or
 * an empty or unsorted schedule.
 */
int announce_init(struct announce *a, const struct announce_station *who,
		  const struct announce_schedule *schedule,
		  unsigned int nr_rounds, uint64_t now_us);

/**
 * announce_step() - send what is due.
 * @a:      the announcement
 * @now_us: now, of the clock announce_init() was given
 * @send:   sender, called once per frame when a round is due
 * @ctx:    passed to @send
 *
 * A refused frame is counted in @a and does not stop the others.
 * Return: microseconds until the next round is due (at least 1), or 0 when the
 * announcement is over.
 */
uint64_t announce_step(struct announce *a, uint64_t now_us,
		       announce_send_fn send, void *ctx);

/**
 * announce_done() - is every round over?
 * @a: the announcement
 */
bool announce_done(const struct announce *a);

#endif
