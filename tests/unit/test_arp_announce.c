// SPDX-License-Identifier: Apache-2.0
/*
 * net-arp/announce.c: what a round consists of, and when rounds happen, under
 * a clock the test moves by hand.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "net-arp/announce.h"

#define START_US UINT64_C(123456789)

struct wire {
	unsigned int nr;
	struct arp_frame frames[512];
	int fail;			/* returned for every frame when not 0 */
};

static int wire_send(void *ctx, const struct arp_frame *f)
{
	struct wire *w = ctx;

	if (w->fail)
		return w->fail;
	assert_in_range(w->nr, 0, 511);
	w->frames[w->nr++] = *f;
	return 0;
}

static struct announce_station station(const char *const *ips)
{
	struct announce_station s = { .mac = { { 0, 0x16, 0x3e, 1, 2, 3 } } };

	for (; ips && *ips; ips++)
		assert_int_equal(arp_ip_parse(*ips, &s.ips[s.nr_ips++]), 0);
	return s;
}

static unsigned int ethertype(const struct arp_frame *f)
{
	return (unsigned int)f->bytes[12] << 8 | f->bytes[13];
}

static void mac_alone_gives_rarp_and_link_local(void **state)
{
	struct announce_station who = station(NULL);
	struct announce a;

	assert_int_equal(announce_init(&a, &who, &announce_default_schedule, 0, START_US), 0);
	assert_int_equal(a.nr_frames, 2);
	assert_int_equal(ethertype(&a.frames[0]), 0x8035);
	assert_int_equal(ethertype(&a.frames[1]), 0x86dd);
}

static void each_address_gives_its_frames(void **state)
{
	static const char *const ips[] = {
		"10.0.0.9", "2001:db8::9", "fe80::216:3eff:fe01:203", NULL
	};
	static const unsigned int want[] = { 0x8035, 0x0806, 0x0806, 0x86dd, 0x86dd };
	struct announce_station who = station(ips);
	struct announce a;

	/* the last is the MAC's own link-local address: not sent twice */
	assert_int_equal(announce_init(&a, &who, &announce_default_schedule, 0, START_US), 0);
	assert_int_equal(a.nr_frames, 5);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(ethertype(&a.frames[i]), want[i]);
	assert_int_equal(a.frames[1].bytes[21], 2);
	assert_int_equal(a.frames[2].bytes[21], 1);
}

static void most_addresses_fit(void **state)
{
	struct announce_station who = station(NULL);
	struct announce a;

	who.nr_ips = ANNOUNCE_MAX_IPS;
	for (unsigned int i = 0; i < ANNOUNCE_MAX_IPS; i++) {
		who.ips[i].family = AF_INET;
		who.ips[i].v4.s_addr = htonl(0x0a000001 + i);
	}
	assert_int_equal(announce_init(&a, &who, &announce_default_schedule, 0, START_US), 0);
	assert_int_equal(a.nr_frames, ANNOUNCE_MAX_FRAMES);
	who.nr_ips++;
	assert_int_equal(announce_init(&a, &who, &announce_default_schedule, 0, START_US),
			 -EINVAL);
}

/* A caller that comes exactly when told sees the documented schedule. */
static void rounds_follow_the_schedule(void **state)
{
	static const unsigned int want_ms[] = { 0, 50, 150, 300, 600, 900, 1200 };
	struct announce_station who = station(NULL);
	struct wire w = { 0 };
	struct announce a;
	uint64_t now = START_US;

	assert_int_equal(announce_init(&a, &who, &announce_default_schedule, 7, START_US), 0);
	for (unsigned int i = 0; i < 7; i++) {
		uint64_t wait;

		assert_int_equal(now, START_US + want_ms[i] * 1000);
		assert_false(announce_done(&a));
		wait = announce_step(&a, now, wire_send, &w);
		assert_int_equal(w.nr, (i + 1) * a.nr_frames);
		if (i == 6)
			assert_int_equal(wait, 0);
		else
			assert_true(wait > 0);
		now += wait;
	}
	assert_true(announce_done(&a));
	assert_int_equal(a.sent_frames, 7 * a.nr_frames);
	assert_int_equal(announce_step(&a, now + 1, wire_send, &w), 0);
	assert_int_equal(w.nr, 7 * a.nr_frames);
}

static void early_call_sends_nothing(void **state)
{
	struct announce_station who = station(NULL);
	struct wire w = { 0 };
	struct announce a;

	assert_int_equal(announce_init(&a, &who, &announce_default_schedule, 0, START_US), 0);
	announce_step(&a, START_US, wire_send, &w);
	assert_int_equal(announce_step(&a, START_US + 49999, wire_send, &w), 1);
	assert_int_equal(w.nr, a.nr_frames);
	assert_int_equal(announce_step(&a, START_US + 50000, wire_send, &w), 100000);
	assert_int_equal(w.nr, 2 * a.nr_frames);
}

static void late_call_sends_one_round(void **state)
{
	struct announce_station who = station(NULL);
	struct wire w = { 0 };
	struct announce a;

	assert_int_equal(announce_init(&a, &who, &announce_default_schedule, 0, START_US), 0);
	assert_int_equal(announce_step(&a, START_US + 299999, wire_send, &w), 1);
	assert_int_equal(w.nr, a.nr_frames);
	assert_int_equal(announce_step(&a, START_US + 99000000, wire_send, &w), 0);
	assert_int_equal(w.nr, 2 * a.nr_frames);
	assert_true(announce_done(&a));
}

static void refused_frames_are_counted(void **state)
{
	struct announce_station who = station(NULL);
	struct wire w = { .fail = -ENETDOWN };
	struct announce a;

	assert_int_equal(announce_init(&a, &who, &announce_default_schedule, 2, START_US), 0);
	announce_step(&a, START_US, wire_send, &w);
	w.fail = 0;
	assert_int_equal(announce_step(&a, START_US + 50000, wire_send, &w), 0);
	assert_int_equal(a.failed_frames, a.nr_frames);
	assert_int_equal(a.sent_frames, a.nr_frames);
	assert_int_equal(a.first_error, -ENETDOWN);
}

static void hostile_arguments_are_refused(void **state)
{
	static const struct announce_schedule empty = { 0 };
	static const struct announce_schedule unsorted = { .nr = 2, .at_ms = { 9, 9 } };
	static const struct announce_schedule huge = { .nr = 9 };
	struct announce_station who = station(NULL);
	struct announce a;

	assert_int_equal(announce_init(&a, &who, &empty, 0, 0), -EINVAL);
	assert_int_equal(announce_init(&a, &who, &unsorted, 0, 0), -EINVAL);
	assert_int_equal(announce_init(&a, &who, &huge, 0, 0), -EINVAL);
	assert_int_equal(announce_init(&a, &who, &announce_default_schedule,
				       ANNOUNCE_MAX_ROUNDS + 1, 0), -EINVAL);
	who.nr_ips = 1;			/* family 0 */
	assert_int_equal(announce_init(&a, &who, &announce_default_schedule, 0, 0), -EINVAL);
	who.nr_ips = ~0u;
	assert_int_equal(announce_init(&a, &who, &announce_default_schedule, 0, 0), -EINVAL);
	who.nr_ips = 0;
	who.mac.b[0] = 1;
	assert_int_equal(announce_init(&a, &who, &announce_default_schedule, 0, 0), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mac_alone_gives_rarp_and_link_local),
		cmocka_unit_test(each_address_gives_its_frames),
		cmocka_unit_test(most_addresses_fit),
		cmocka_unit_test(rounds_follow_the_schedule),
		cmocka_unit_test(early_call_sends_nothing),
		cmocka_unit_test(late_call_sends_one_round),
		cmocka_unit_test(refused_frames_are_counted),
		cmocka_unit_test(hostile_arguments_are_refused),
	};

	return cmocka_run_group_tests_name("arp_announce", tests, NULL, NULL);
}
