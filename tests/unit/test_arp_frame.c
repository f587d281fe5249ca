// SPDX-License-Identifier: Apache-2.0
/*
 * net-arp/frame.c and addr.c: every frame octet by octet against bytes written
 * out by hand from the RFCs; hostile text against the parsers.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "net-arp/addr.h"
#include "net-arp/frame.h"

static const struct arp_mac mac = { { 0x00, 0x16, 0x3e, 0x5a, 0x01, 0x02 } };

static void expect_frame(const struct arp_frame *f, const uint8_t *want, size_t len)
{
	assert_int_equal(f->len, len);
	assert_memory_equal(f->bytes, want, len);
}

static void reply_is_exact(void **state)
{
	static const uint8_t want[60] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x16, 0x3e, 0x5a, 0x01, 0x02,
		0x08, 0x06,
		0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x02,
		0x00, 0x16, 0x3e, 0x5a, 0x01, 0x02, 10, 1, 2, 250,
		0x00, 0x16, 0x3e, 0x5a, 0x01, 0x02, 10, 1, 2, 250,
	};
	struct arp_frame f;

	memset(&f, 0xa5, sizeof(f));
	arp_frame_make_reply(&f, &mac, (struct in_addr){ htonl(0x0a0102fa) });
	expect_frame(&f, want, sizeof(want));
}

static void announcement_is_exact(void **state)
{
	static const uint8_t want[60] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x16, 0x3e, 0x5a, 0x01, 0x02,
		0x08, 0x06,
		0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x01,
		0x00, 0x16, 0x3e, 0x5a, 0x01, 0x02, 192, 168, 0, 7,
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 192, 168, 0, 7,
	};
	struct arp_frame f;

	memset(&f, 0xa5, sizeof(f));
	arp_frame_make_announcement(&f, &mac, (struct in_addr){ htonl(0xc0a80007) });
	expect_frame(&f, want, sizeof(want));
}

static void rarp_is_exact(void **state)
{
	static const uint8_t want[60] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x16, 0x3e, 0x5a, 0x01, 0x02,
		0x80, 0x35,
		0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x03,
		0x00, 0x16, 0x3e, 0x5a, 0x01, 0x02, 0, 0, 0, 0,
		0x00, 0x16, 0x3e, 0x5a, 0x01, 0x02, 0, 0, 0, 0,
	};
	struct arp_frame f;

	memset(&f, 0xa5, sizeof(f));
	arp_frame_make_rarp(&f, &mac);
	expect_frame(&f, want, sizeof(want));
}

static void advertisement_is_exact(void **state)
{
	static const uint8_t want[86] = {
		0x33, 0x33, 0x00, 0x00, 0x00, 0x01, 0x00, 0x16, 0x3e, 0x5a, 0x01, 0x02,
		0x86, 0xdd,
		0x60, 0x00, 0x00, 0x00, 0x00, 0x20, 0x3a, 0xff,
		0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x17,
		0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01,
		0x88, 0x00, 0xbb, 0x8d, 0x20, 0x00, 0x00, 0x00,
		0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x17,
		0x02, 0x01, 0x00, 0x16, 0x3e, 0x5a, 0x01, 0x02,
	};
	struct in6_addr ip;
	struct arp_frame f;

	memset(&f, 0xa5, sizeof(f));
	assert_int_equal(inet_pton(AF_INET6, "2001:db8::17", &ip), 1);
	arp_frame_make_na(&f, &mac, &ip);
	expect_frame(&f, want, sizeof(want));
}

/* A receiver's check, written apart: all words and the checksum add to ffff. */
static void advertisement_checksum_verifies(void **state)
{
	for (unsigned int n = 0; n < 2000; n++) {
		struct in6_addr ip;
		struct arp_mac m;
		struct arp_frame f;
		uint64_t sum = 32 + 58;

		for (unsigned int i = 0; i < 16; i++)
			ip.s6_addr[i] = (uint8_t)rand();
		for (unsigned int i = 0; i < 6; i++)
			m.b[i] = (uint8_t)rand();
		arp_frame_make_na(&f, &m, &ip);
		for (unsigned int i = 22; i < 86; i++)
			sum += (uint64_t)f.bytes[i] << (i % 2 ? 0 : 8);
		assert_int_equal(sum % 0xffff, 0);
	}
}

static void link_local_is_modified_eui64(void **state)
{
	struct in6_addr want;
	struct arp_ip ip;

	assert_int_equal(inet_pton(AF_INET6, "fe80::216:3eff:fe5a:102", &want), 1);
	arp_ip_link_local(&mac, &ip);
	assert_int_equal(ip.family, AF_INET6);
	assert_memory_equal(&ip.v6, &want, sizeof(want));
}

static void mac_text_round_trips(void **state)
{
	char text[ARP_MAC_TEXT];
	struct arp_mac m;

	assert_int_equal(arp_mac_parse("00:16:3E:5a:01:02", &m), 0);
	assert_memory_equal(&m, &mac, sizeof(m));
	arp_mac_format(&m, text);
	assert_string_equal(text, "00:16:3e:5a:01:02");
}

static void mac_refuses_other_shapes(void **state)
{
	static const char *const bad[] = {
		"", ":", "0", "00", "00:", "00:16:3e:5a:01", "00:16:3e:5a:01:",
		"00:16:3e:5a:01:0", "00:16:3e:5a:01:02:", "00:16:3e:5a:01:02:03",
		"00:16:3e:5a:01:020", "0:16:3e:5a:01:02", "00-16-3e-5a-01-02",
		"00163e5a0102", "00:16:3e:5a:01:0g", " 00:16:3e:5a:01:02",
		"00:16:3e:5a:01:02 ", "+0:16:3e:5a:01:02", "0x:16:3e:5a:01:02",
		"00::16:3e:5a:01", "\xff\xff:16:3e:5a:01:02",
	};
	struct arp_mac m = mac;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(arp_mac_parse(bad[i], &m), -EINVAL);
	assert_int_equal(arp_mac_parse("01:00:5e:00:00:01", &m), -EADDRNOTAVAIL);
	assert_int_equal(arp_mac_parse("ff:ff:ff:ff:ff:ff", &m), -EADDRNOTAVAIL);
	assert_int_equal(arp_mac_parse("00:00:00:00:00:00", &m), -EADDRNOTAVAIL);
	assert_memory_equal(&m, &mac, sizeof(m));
}

/* Exact-size copies, so that ASan sees a parser that reads past the NUL. */
static void mac_never_reads_past_the_end(void **state)
{
	static const char whole[] = "00:16:3e:5a:01:02";

	for (size_t len = 0; len < sizeof(whole) - 1; len++) {
		char *copy = malloc(len + 1);
		struct arp_mac m;

		assert_non_null(copy);
		memcpy(copy, whole, len);
		copy[len] = '\0';
		assert_int_equal(arp_mac_parse(copy, &m), -EINVAL);
		free(copy);
	}
}

static void ip_takes_both_families(void **state)
{
	struct arp_ip ip;

	assert_int_equal(arp_ip_parse("10.1.2.250", &ip), 0);
	assert_int_equal(ip.family, AF_INET);
	assert_int_equal(ntohl(ip.v4.s_addr), 0x0a0102fa);
	assert_int_equal(arp_ip_parse("2001:db8::17", &ip), 0);
	assert_int_equal(ip.family, AF_INET6);
	assert_int_equal(ip.v6.s6_addr[15], 0x17);
}

static void ip_refuses_what_no_station_owns(void **state)
{
	static const char *const shape[] = {
		"", "10.1.2", "10.1.2.3.4", "10.1.2.256", "10.1.2.3/24", "10.1.2.3 ",
		"0x0a.1.2.3", "fe80::1%eth0", "2001:db8::/64", ":::", "web1",
		"1:2:3:4:5:6:7:8:9",
	};
	static const char *const owner[] = {
		"0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "239.1.1.1",
		"240.0.0.1", "255.255.255.255", "::", "::1", "ff02::1",
		"::ffff:10.0.0.1",
	};
	struct arp_ip ip = { .family = 77 };

	for (size_t i = 0; i < sizeof(shape) / sizeof(shape[0]); i++)
		assert_int_equal(arp_ip_parse(shape[i], &ip), -EINVAL);
	for (size_t i = 0; i < sizeof(owner) / sizeof(owner[0]); i++)
		assert_int_equal(arp_ip_parse(owner[i], &ip), -EADDRNOTAVAIL);
	assert_int_equal(ip.family, 77);
	assert_false(arp_ip_usable(&ip));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reply_is_exact),
		cmocka_unit_test(announcement_is_exact),
		cmocka_unit_test(rarp_is_exact),
		cmocka_unit_test(advertisement_is_exact),
		cmocka_unit_test(advertisement_checksum_verifies),
		cmocka_unit_test(link_local_is_modified_eui64),
		cmocka_unit_test(mac_text_round_trips),
		cmocka_unit_test(mac_refuses_other_shapes),
		cmocka_unit_test(mac_never_reads_past_the_end),
		cmocka_unit_test(ip_takes_both_families),
		cmocka_unit_test(ip_refuses_what_no_station_owns),
	};

	return cmocka_run_group_tests_name("arp_frame", tests, NULL, NULL);
}
