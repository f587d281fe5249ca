// SPDX-License-Identifier: Apache-2.0
/*
 * When, and how often, an arrived station is announced.  Contract in announce.h.
 */
#include <errno.h>
#include <string.h>

#include "net-arp/announce.h"

const struct announce_schedule announce_default_schedule = {
	.nr = 5,
	.at_ms = { 0, 50, 150, 300, 600 },
};

#define SCHEDULE_SLOTS (sizeof(((struct announce_schedule *)0)->at_ms) / \
			sizeof(unsigned int))

static bool schedule_sane(const struct announce_schedule *s)
{
	if (s->nr == 0 || s->nr > SCHEDULE_SLOTS)
		return false;
	for (unsigned int i = 1; i < s->nr; i++)
		if (s->at_ms[i] <= s->at_ms[i - 1])
			return false;
	return true;
}

/* Rounds past the table go on at its last interval (1 s if it has but one). */
static uint64_t round_due_us(const struct announce *a, unsigned int round)
{
	const struct announce_schedule *s = a->schedule;
	uint64_t last = s->at_ms[s->nr - 1];
	uint64_t gap = s->nr > 1 ? last - s->at_ms[s->nr - 2] : 1000;

	if (round < s->nr)
		return a->start_us + s->at_ms[round] * UINT64_C(1000);
	return a->start_us + (last + gap * (round - s->nr + 1)) * 1000;
}

static struct arp_frame *next_frame(struct announce *a)
{
	return &a->frames[a->nr_frames++];
}

static void add_ip(struct announce *a, const struct arp_mac *mac,
		   const struct arp_ip *ip)
{
	if (ip->family == AF_INET) {
		arp_frame_make_reply(next_frame(a), mac, ip->v4);
		arp_frame_make_announcement(next_frame(a), mac, ip->v4);
	} else {
		arp_frame_make_na(next_frame(a), mac, &ip->v6);
	}
}

static bool lists_ip(const struct announce_station *who, const struct arp_ip *ip)
{
	for (unsigned int i = 0; i < who->nr_ips; i++)
		if (who->ips[i].family == AF_INET6 &&
		    !memcmp(&who->ips[i].v6, &ip->v6, sizeof(ip->v6)))
			return true;
	return false;
}

static bool station_sane(const struct announce_station *who)
{
	if (!arp_mac_usable(&who->mac) || who->nr_ips > ANNOUNCE_MAX_IPS)
		return false;
	for (unsigned int i = 0; i < who->nr_ips; i++)
		if (!arp_ip_usable(&who->ips[i]))
			return false;
	return true;
}

int announce_init(struct announce *a, const struct announce_station *who,
		  const struct announce_schedule *schedule,
		  unsigned int nr_rounds, uint64_t now_us)
{
	struct arp_ip own;

	if (!station_sane(who) || !schedule_sane(schedule) ||
	    nr_rounds > ANNOUNCE_MAX_ROUNDS)
		return -EINVAL;

	memset(a, 0, sizeof(*a));
	a->schedule = schedule;
	a->nr_rounds = nr_rounds ? nr_rounds : schedule->nr;
	a->start_us = now_us;

	arp_frame_make_rarp(next_frame(a), &who->mac);
	for (unsigned int i = 0; i < who->nr_ips; i++)
		add_ip(a, &who->mac, &who->ips[i]);
	arp_ip_link_local(&who->mac, &own);
	if (!lists_ip(who, &own))
		add_ip(a, &who->mac, &own);
	return 0;
}

static void send_round(struct announce *a, announce_send_fn send, void *ctx)
{
	for (unsigned int i = 0; i < a->nr_frames; i++) {
		int ret = send(ctx, &a->frames[i]);

		if (!ret) {
			a->sent_frames++;
			continue;
		}
		if (!a->failed_frames++)
			a->first_error = ret;
	}
}

uint64_t announce_step(struct announce *a, uint64_t now_us,
		       announce_send_fn send, void *ctx)
{
	bool due = false;

	while (a->next_round < a->nr_rounds &&
	       round_due_us(a, a->next_round) <= now_us) {
		a->next_round++;
		due = true;
	}
	if (due)
		send_round(a, send, ctx);
	if (announce_done(a))
		return 0;
	return round_due_us(a, a->next_round) - now_us;
}

bool announce_done(const struct announce *a)
{
	return a->next_round >= a->nr_rounds;
}
