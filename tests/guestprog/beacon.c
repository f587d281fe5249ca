// SPDX-License-Identifier: Apache-2.0
/*
 * beacon DEST PORT [INTERVAL_US] - a datagram every 2 ms, for an observer.
 *
 * Invariant: each sequence number is handed to the kernel once, and a tick that
 * came late (the guest was stopped) is one late tick, never a burst that makes
 * up for it.  So holes seen outside are packets lost below (a full or absent
 * card, the wire), gaps seen outside are the guest's outage, and the difference
 * of two packets' clocks is the guest's own idea of its tick.
 *
 * Answers "status" on UDP port 6001: last full second's median and longest
 * tick and the longest of all, in microseconds.
 */
#include "tests/guestprog/common.h"

#include <arpa/inet.h>
#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#define SAMPLES_MAX	4096

struct ticks {
	uint32_t us[SAMPLES_MAX];	/* of the second that runs */
	unsigned int nr;
	uint64_t second_ends_ns;
	uint32_t last_median_us, last_max_us, all_max_us;
};

static int cmp_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void ticks_add(struct ticks *t, uint64_t now_ns, uint64_t tick_ns)
{
	uint32_t us = (uint32_t)(tick_ns / 1000);

	if (t->nr < SAMPLES_MAX)
		t->us[t->nr++] = us;
	if (us > t->all_max_us)
		t->all_max_us = us;
	if (now_ns < t->second_ends_ns)
		return;
	qsort(t->us, t->nr, sizeof(t->us[0]), cmp_u32);
	t->last_median_us = t->us[t->nr / 2];
	t->last_max_us = t->us[t->nr - 1];
	t->nr = 0;
	t->second_ends_ns = now_ns + 1000000000u;
}

static void answer(int fd, struct ticks *t, uint64_t seq)
{
	struct sockaddr_in from;
	char word[32];

	if (!ask_receive(fd, word, sizeof(word), &from))
		return;
	ask_answer(fd, &from, "{\"program\":\"beacon\",\"seq\":%" PRIu64
		   ",\"tick_median_us\":%u,\"tick_max_us\":%u,\"tick_max_ever_us\":%u"
		   ",\"mono_ns\":%" PRIu64 ",\"real_ns\":%" PRIu64 "}",
		   seq, t->last_median_us, t->last_max_us, t->all_max_us,
		   clock_ns(CLOCK_MONOTONIC), clock_ns(CLOCK_REALTIME));
}

int main(int argc, char **argv)
{
	static struct ticks ticks;
	struct sockaddr_in dest = { .sin_family = AF_INET };
	uint64_t interval_ns, last_ns, next_ns, seq = 0;
	uint32_t run;
	int fd;

	if (argc < 3 || inet_pton(AF_INET, argv[1], &dest.sin_addr) != 1) {
		fprintf(stderr, "usage: beacon DEST PORT [INTERVAL_US]\n");
		return 2;
	}
	dest.sin_port = htons((uint16_t)number_arg(argc, argv, 2, 0, 1, 65535));
	interval_ns = 1000u * number_arg(argc, argv, 3, 2000, 100, 10000000);
	fd = udp_open(PORT_BEACON);
	last_ns = clock_ns(CLOCK_MONOTONIC);
	run = (uint32_t)mix64(last_ns, clock_ns(CLOCK_REALTIME));
	next_ns = last_ns + interval_ns;
	ticks.second_ends_ns = last_ns + 1000000000u;
	for (;;) {
		struct beacon_packet p = { .magic = htobe32(BEACON_MAGIC), .run = htobe32(run) };
		uint64_t now;

		sleep_until(next_ns);
		now = clock_ns(CLOCK_MONOTONIC);
		p.seq = htobe64(seq++);
		p.mono_ns = htobe64(now);
		p.real_ns = htobe64(clock_ns(CLOCK_REALTIME));
		sendto(fd, &p, sizeof(p), 0, (struct sockaddr *)&dest, sizeof(dest));
		ticks_add(&ticks, now, now - last_ns);
		last_ns = now;
		next_ns += interval_ns;
		if (next_ns < now)
			next_ns = now + interval_ns;
		answer(fd, &ticks, seq);
	}
}
