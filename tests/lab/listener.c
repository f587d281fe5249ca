// SPDX-License-Identifier: Apache-2.0
/*
 * listener [--port N] [--seconds N] [--log FILE] - the beacon's observer.
 *
 * Invariant: a gap is the time between two datagrams of the beacon as the
 * kernel stamped them on arrival here, outside all hosts and whatever their
 * clocks say; of one that began before "reset" only the part after it counts.
 *
 * Ends by itself after N seconds, or by SIGINT or SIGTERM, and then prints one
 * line of JSON.  A datagram "status" to its port is answered with the same
 * line, "reset" starts all figures anew (and is answered with the old line).
 * The log has a line for each packet: arrival ns (CLOCK_REALTIME here), run,
 * sequence number, guest's monotonic ns, guest's real ns.
 */
#include "tests/guestprog/common.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define WINDOW		65536u		/* sequence numbers whose arrival is remembered */
#define TICK_BUCKETS	20000u		/* of 50 us: up to one second */
#define TICK_BUCKET_NS	50000u

struct figures {
	uint64_t started_ns, received, unique, duplicates, reordered, runs, foreign;
	uint64_t first_seq, highest_seq;
	uint32_t run;
	uint64_t last_arrival_ns, last_seq, last_mono_ns, last_real_ns;
	uint64_t gap_ns, gap_at_ns, gap_guest_ns, gaps_over_100ms;
	uint64_t mono_back, real_back;
	int64_t offset_first_ns, offset_last_ns;
	uint64_t tick[TICK_BUCKETS];
	uint64_t nr_ticks, tick_max_ns;
	unsigned char seen[WINDOW / 8];
};

static struct figures f;
static FILE *log_file;
static volatile sig_atomic_t ended;

static void on_signal(int sig)
{
	ended = sig;
}

/* Whether the number came before; forgets what lies a window behind. */
static bool mark_seen(uint64_t seq)
{
	unsigned char bit = (unsigned char)(1u << (seq % 8));
	unsigned char *byte = &f.seen[seq % WINDOW / 8];
	bool was = *byte & bit;

	*byte |= bit;
	return was;
}

static void advance(uint64_t seq)
{
	uint64_t from = f.highest_seq + 1;

	if (seq - f.highest_seq >= WINDOW)
		memset(f.seen, 0, sizeof(f.seen));
	else
		for (uint64_t s = from; s <= seq; s++)
			f.seen[s % WINDOW / 8] &= (unsigned char)~(1u << (s % 8));
	f.highest_seq = seq;
}

static void count_sequence(uint32_t run, uint64_t seq)
{
	if (!f.runs || run != f.run) {
		/* A new start of the beacon: what was lost before stays counted. */
		f.first_seq = f.runs ? seq - (f.highest_seq - f.first_seq + 1) : seq;
		f.runs++;
		f.run = run;
		f.highest_seq = seq;
		memset(f.seen, 0, sizeof(f.seen));
	} else if (seq > f.highest_seq) {
		advance(seq);
	} else if (seq + WINDOW <= f.highest_seq) {
		f.duplicates++;		/* long ago: the guest went back in time */
		return;
	} else if (seq < f.last_seq) {
		f.reordered++;
	}
	if (mark_seen(seq))
		f.duplicates++;
	else
		f.unique++;
}

static void count_gap(uint64_t arrival_ns, uint64_t mono_ns)
{
	uint64_t gap = arrival_ns - f.last_arrival_ns;

	if (!f.last_arrival_ns || arrival_ns < f.last_arrival_ns)
		return;
	if (gap > 100000000u)
		f.gaps_over_100ms++;
	if (gap <= f.gap_ns)
		return;
	f.gap_ns = gap;
	f.gap_at_ns = f.last_arrival_ns;
	f.gap_guest_ns = mono_ns - f.last_mono_ns;
}

static void count_clocks(uint32_t run, uint64_t seq, uint64_t mono_ns, uint64_t real_ns,
			 uint64_t arrival_ns)
{
	int64_t offset = (int64_t)(real_ns - arrival_ns);

	if (!f.received)
		f.offset_first_ns = offset;
	f.offset_last_ns = offset;
	if (!f.runs || run != f.run || seq != f.last_seq + 1)
		return;
	if (real_ns < f.last_real_ns)
		f.real_back++;
	if (mono_ns < f.last_mono_ns) {
		f.mono_back++;
		return;
	}
	mono_ns -= f.last_mono_ns;
	f.tick[mono_ns / TICK_BUCKET_NS < TICK_BUCKETS ? mono_ns / TICK_BUCKET_NS
						       : TICK_BUCKETS - 1]++;
	f.nr_ticks++;
	if (mono_ns > f.tick_max_ns)
		f.tick_max_ns = mono_ns;
}

static double tick_quantile_ms(double part)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < TICK_BUCKETS; i++) {
		sum += f.tick[i];
		if (sum && (double)sum >= part * (double)f.nr_ticks)
			return (i + 0.5) * TICK_BUCKET_NS / 1e6;
	}
	return 0;
}

static int report(char *text, size_t len)
{
	uint64_t span = f.runs ? f.highest_seq - f.first_seq + 1 : 0;
	uint64_t now = clock_ns(CLOCK_REALTIME);

	return snprintf(text, len, "{\"seconds\":%.3f,\"received\":%" PRIu64 ",\"lost\":%" PRIu64
			",\"duplicates\":%" PRIu64 ",\"reordered\":%" PRIu64 ",\"runs\":%" PRIu64
			",\"longest_gap_ms\":%.3f,\"gap_at_s\":%.3f,\"gap_guest_ms\":%.3f"
			",\"gaps_over_100ms\":%" PRIu64 ",\"silent_ms\":%.3f"
			",\"tick_median_ms\":%.3f,\"tick_p99_ms\":%.3f,\"tick_max_ms\":%.3f"
			",\"mono_back\":%" PRIu64 ",\"real_back\":%" PRIu64
			",\"real_offset_first_ms\":%.3f,\"real_offset_last_ms\":%.3f"
			",\"foreign\":%" PRIu64 "}",
			(double)(now - f.started_ns) / 1e9, f.received,
			span > f.unique ? span - f.unique : 0, f.duplicates, f.reordered, f.runs,
			(double)f.gap_ns / 1e6,
			f.gap_at_ns ? (double)(f.gap_at_ns - f.started_ns) / 1e9 : 0,
			(double)(int64_t)f.gap_guest_ns / 1e6, f.gaps_over_100ms,
			f.last_arrival_ns ? (double)(now - f.last_arrival_ns) / 1e6 : -1.0,
			tick_quantile_ms(0.5), tick_quantile_ms(0.99), (double)f.tick_max_ns / 1e6,
			f.mono_back, f.real_back, (double)f.offset_first_ns / 1e6,
			(double)f.offset_last_ns / 1e6, f.foreign);
}

/* A stream that flowed goes on: losses count from here, and a gap begins here. */
static void figures_reset(void)
{
	static struct figures old;

	old = f;
	memset(&f, 0, sizeof(f));
	f.started_ns = clock_ns(CLOCK_REALTIME);
	if (!old.runs)
		return;
	f.runs = 1;
	f.run = old.run;
	f.highest_seq = old.highest_seq;
	f.first_seq = old.highest_seq + 1;
	f.last_seq = old.last_seq;
	f.last_mono_ns = old.last_mono_ns;
	f.last_real_ns = old.last_real_ns;
	f.last_arrival_ns = f.started_ns;
	memcpy(f.seen, old.seen, sizeof(f.seen));
}

static void take_beacon(const struct beacon_packet *p, uint64_t arrival_ns)
{
	uint64_t seq = be64toh(p->seq), mono = be64toh(p->mono_ns), real = be64toh(p->real_ns);
	uint32_t run = be32toh(p->run);

	count_gap(arrival_ns, mono);
	count_clocks(run, seq, mono, real, arrival_ns);
	count_sequence(run, seq);
	f.received++;
	f.last_arrival_ns = arrival_ns;
	f.last_seq = seq;
	f.last_mono_ns = mono;
	f.last_real_ns = real;
	if (log_file)
		fprintf(log_file, "%" PRIu64 " %u %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
			arrival_ns, run, seq, mono, real);
}

static void take_question(int fd, const char *word, const struct sockaddr_in *from)
{
	char text[ANSWER_MAX];

	if (strncmp(word, "status", 6) && strncmp(word, "reset", 5)) {
		f.foreign++;
		return;
	}
	report(text, sizeof(text));
	if (word[0] == 'r')
		figures_reset();
	if (log_file)
		fflush(log_file);
	ask_answer(fd, from, "%s", text);
}

static uint64_t arrival_of(struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		struct timespec ts;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&ts, CMSG_DATA(c), sizeof(ts));
		return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	}
	return clock_ns(CLOCK_REALTIME);
}

static void receive_one(int fd)
{
	union {
		struct beacon_packet beacon;
		char text[256];
	} data;
	char control[128];
	struct sockaddr_in from;
	struct iovec iov = { .iov_base = &data, .iov_len = sizeof(data) - 1 };
	struct msghdr msg = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT);

	if (n < 0)
		return;
	data.text[n] = '\0';
	if (n == sizeof(data.beacon) && be32toh(data.beacon.magic) == BEACON_MAGIC)
		take_beacon(&data.beacon, arrival_of(&msg));
	else
		take_question(fd, data.text, &from);
}

static int usage(void)
{
	fprintf(stderr, "usage: listener [--port N] [--seconds N] [--log FILE]\n");
	return 2;
}

int main(int argc, char **argv)
{
	unsigned long port = PORT_LISTENER, seconds = 0;
	int fd, one = 1, buffer = 4 << 20;
	char text[ANSWER_MAX];
	uint64_t end_ns;

	for (int i = 1; i < argc; i += 2) {
		if (i + 1 >= argc)
			return usage();
		if (!strcmp(argv[i], "--port"))
			port = number_arg(argc, argv, i + 1, 0, 1, 65535);
		else if (!strcmp(argv[i], "--seconds"))
			seconds = number_arg(argc, argv, i + 1, 0, 1, 1000000);
		else if (!strcmp(argv[i], "--log"))
			log_file = fopen(argv[i + 1], "w");
		else
			return usage();
		if (!strcmp(argv[i], "--log") && !log_file) {
			fprintf(stderr, "listener: %s: %s\n", argv[i + 1], strerror(errno));
			return 1;
		}
	}
	fd = udp_open((unsigned int)port);
	setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	figures_reset();
	end_ns = seconds ? f.started_ns + seconds * 1000000000u : UINT64_MAX;
	while (!ended && clock_ns(CLOCK_REALTIME) < end_ns) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		if (poll(&p, 1, 100) > 0)
			receive_one(fd);
	}
	report(text, sizeof(text));
	puts(text);
	if (log_file)
		fclose(log_file);
	return 0;
}
