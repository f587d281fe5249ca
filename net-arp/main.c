// SPDX-License-Identifier: Apache-2.0
/*
 * godwit-arp IFACE MAC [IP]...: announce a station on a link, by hand.
 *
 * Exit codes: 0 every frame was sent; 1 wrong usage, nothing sent; 2 the
 * interface cannot be used, nothing sent; 3 some frame could not be sent.
 */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "net-arp/announce.h"
#include "net-arp/rawsock.h"

enum exit_code {
	EXIT_SENT = 0,
	EXIT_USAGE = 1,
	EXIT_IFACE = 2,
	EXIT_SEND = 3,
};

struct options {
	const char *iface;
	const char *except;
	unsigned int count;
	bool json;
	bool dry_run;
	struct announce_station who;
};

static const char help_text[] =
"usage: godwit-arp [options] IFACE MAC [IP]...\n"
"\n"
"Tell the link behind IFACE (a bridge or a network card) that the station with\n"
"this MAC, and these IPv4 and IPv6 addresses, is reached through here now.\n"
"Each round sends a RARP frame, for each IPv4 address an unsolicited ARP reply\n"
"and an ARP announcement, for each IPv6 address (the MAC's link-local address\n"
"is always one) an unsolicited neighbour advertisement.\n"
"\n"
"  -c, --count N      rounds, 1 to 1000 (default 5: at 0, 50, 150, 300, 600 ms;\n"
"                     further rounds every 300 ms)\n"
"  -x, --except PORT  IFACE is a bridge: all its ports but this one get the\n"
"                     frames (the arrived guest's own vif)\n"
"  -n, --dry-run      print the frames as hex, one a line, and send nothing\n"
"  -j, --json         report as one JSON object\n"
"  -h, --help         this text\n"
"\n"
"Exit code: 0 all sent, 1 wrong usage, 2 IFACE cannot be used, 3 not all sent.\n"
"Needs the right to open packet sockets (CAP_NET_RAW).\n";

static int usage_error(const char *what, const char *arg, const char *why)
{
	fprintf(stderr, "godwit-arp: %s \"%.60s\": %s\n", what, arg, why);
	return EXIT_USAGE;
}

static int parse_count(const char *text, unsigned int *out)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || end == text || *end || *text < '0' || *text > '9' ||
	    v < 1 || v > ANNOUNCE_MAX_ROUNDS)
		return usage_error("count", text, "not a number from 1 to 1000");
	*out = (unsigned int)v;
	return 0;
}

static int parse_station(struct options *o, int argc, char **argv)
{
	struct announce_station *who = &o->who;
	int ret = arp_mac_parse(argv[0], &who->mac);

	if (ret == -EADDRNOTAVAIL)
		return usage_error("MAC", argv[0], "a group or zero address is no station's");
	if (ret)
		return usage_error("MAC", argv[0], "not of the form 00:16:3e:01:02:03");
	if (argc - 1 > ANNOUNCE_MAX_IPS)
		return usage_error("address", argv[1 + ANNOUNCE_MAX_IPS],
				   "more than 16 addresses");
	for (int i = 1; i < argc; i++) {
		ret = arp_ip_parse(argv[i], &who->ips[who->nr_ips]);
		if (ret == -EADDRNOTAVAIL)
			return usage_error("address", argv[i], "not an address of one station");
		if (ret)
			return usage_error("address", argv[i], "neither IPv4 nor IPv6");
		who->nr_ips++;
	}
	return 0;
}

/* Returns -1 to go on, otherwise the exit code. */
static int parse_options(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "count", required_argument, NULL, 'c' },
		{ "except", required_argument, NULL, 'x' },
		{ "dry-run", no_argument, NULL, 'n' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:x:njh", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			if (parse_count(optarg, &o->count))
				return EXIT_USAGE;
			break;
		case 'x':
			o->except = optarg;
			break;
		case 'n':
			o->dry_run = true;
			break;
		case 'j':
			o->json = true;
			break;
		case 'h':
			fputs(help_text, stdout);
			return EXIT_SENT;
		default:
			return EXIT_USAGE;	/* getopt has said why */
		}
	}
	if (argc - optind < 2) {
		fprintf(stderr, "godwit-arp: IFACE and MAC are needed; --help tells more\n");
		return EXIT_USAGE;
	}
	o->iface = argv[optind];
	return parse_station(o, argc - optind - 1, argv + optind + 1) ? EXIT_USAGE : -1;
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void sleep_us(uint64_t us)
{
	struct timespec t = {
		.tv_sec = (time_t)(us / 1000000),
		.tv_nsec = (long)(us % 1000000 * 1000),
	};

	nanosleep(&t, NULL);
}

static void print_frames(const struct announce *a)
{
	for (unsigned int i = 0; i < a->nr_frames; i++) {
		for (unsigned int j = 0; j < a->frames[i].len; j++)
			printf("%02x", a->frames[i].bytes[j]);
		putchar('\n');
	}
}

static int send_frame(void *ctx, const struct arp_frame *f)
{
	return rawsock_send(ctx, f);
}

static int iface_error(const struct options *o, int ret)
{
	const char *why = strerror(-ret);

	if (ret == -ENODEV)
		why = "no such interface";
	else if (ret == -EINVAL)
		why = "not an Ethernet interface";
	else if (ret == -ENOTDIR)
		why = "not a bridge, so --except has no meaning";
	else if (ret == -ENETDOWN)
		why = "the interface is down";
	else if (ret == -EPERM)
		why = "no right to open a packet socket (run as root)";
	fprintf(stderr, "godwit-arp: %.60s: %s\n", o->iface, why);
	return EXIT_IFACE;
}

static void report(const struct options *o, const struct announce *a)
{
	char mac[ARP_MAC_TEXT];
	json_t *j;

	arp_mac_format(&o->who.mac, mac);
	if (!o->json) {
		printf("%s: %s announced in %u rounds, %u frames sent, %u failed\n",
		       o->iface, mac, a->nr_rounds, a->sent_frames, a->failed_frames);
		return;
	}
	j = json_pack("{s:s, s:s, s:i, s:i, s:i}", "iface", o->iface, "mac", mac,
		      "rounds", (int)a->nr_rounds, "sent_frames", (int)a->sent_frames,
		      "failed_frames", (int)a->failed_frames);
	if (j) {
		json_dumpf(j, stdout, JSON_COMPACT);
		putchar('\n');
	}
	json_decref(j);
}

static int announce_run(const struct options *o, struct announce *a)
{
	static struct rawsock sock;
	uint64_t wait;
	int ret = rawsock_open(&sock, o->iface, o->except);

	if (ret)
		return iface_error(o, ret);
	while ((wait = announce_step(a, now_us(), send_frame, &sock)))
		sleep_us(wait);
	rawsock_close(&sock);
	report(o, a);
	if (!a->failed_frames)
		return EXIT_SENT;
	fprintf(stderr, "godwit-arp: %s: %u frames not sent: %s\n", o->iface,
		a->failed_frames, strerror(-a->first_error));
	return EXIT_SEND;
}

int main(int argc, char **argv)
{
	static struct options o;
	static struct announce a;
	int ret = parse_options(&o, argc, argv);

	if (ret >= 0)
		return ret;
	ret = announce_init(&a, &o.who, &announce_default_schedule, o.count, now_us());
	if (ret) {
		fprintf(stderr, "godwit-arp: %s\n", strerror(-ret));
		return EXIT_USAGE;
	}
	if (o.dry_run) {
		print_frames(&a);
		return EXIT_SENT;
	}
	return announce_run(&o, &a);
}
