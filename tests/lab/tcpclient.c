// SPDX-License-Identifier: Apache-2.0
/*
 * tcpclient HOST [--port N] [--seconds N] [--interval-us N] [--words N] - keeps
 * one TCP connection to the guest's tcpecho busy and proves that it lived.
 *
 * Invariant: words 0, 1, 2, ... go out, --words of them each interval as long
 * as fewer than 64 Ki are on their way, and the same words must come back in
 * the same order on the same connection.  Connecting is tried for 15 s (the
 * guest may still be starting); once there, it never connects again.
 *
 * Ends after N seconds or by SIGINT or SIGTERM: sending stops, the echo of all
 * words sent is waited for (up to 30 s), one line of JSON is printed.  Exit
 * code 0 only if every word came back.  "status" on UDP port 5001 is answered.
 */
#include "tests/guestprog/common.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORT_STATUS	5001
#define BATCH_MAX	1024u
#define FLIGHT_MAX	65536u
#define DRAIN_NS	30000000000u
#define CONNECT_NS	15000000000u

struct stream {
	int fd;
	uint64_t sent_bytes;		/* word n is bytes 8n..8n+7 */
	uint64_t queued_words;
	uint64_t received_bytes;
	uint64_t errors;
	unsigned char partial[8];
	uint64_t last_ns, gap_ns, started_ns;
	char broken[80];		/* why the connection ended, if it did */
};

static volatile sig_atomic_t ended;

static void on_signal(int sig)
{
	ended = sig;
}

static void broke(struct stream *s, const char *why)
{
	if (!s->broken[0])
		snprintf(s->broken, sizeof(s->broken), "%s", why);
}

/* Sends queued words; what they are follows from how many bytes went before. */
static void stream_send(struct stream *s)
{
	while (s->sent_bytes < s->queued_words * 8) {
		uint64_t first = s->sent_bytes / 8, n = s->queued_words - first;
		uint64_t words[BATCH_MAX];
		size_t skip = s->sent_bytes % 8;
		ssize_t done;

		if (n > BATCH_MAX)
			n = BATCH_MAX;
		for (uint64_t i = 0; i < n; i++)
			words[i] = htobe64(first + i);
		done = send(s->fd, (char *)words + skip, n * 8 - skip, MSG_NOSIGNAL);
		if (done < 0) {
			if (errno != EAGAIN && errno != EINTR)
				broke(s, strerror(errno));
			return;
		}
		s->sent_bytes += (uint64_t)done;
	}
}

static void stream_receive(struct stream *s)
{
	unsigned char buf[8192];
	ssize_t n = recv(s->fd, buf, sizeof(buf), 0);
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	if (n == 0)
		broke(s, "closed by the guest");
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		broke(s, strerror(errno));
	if (n <= 0)
		return;
	if (now - s->last_ns > s->gap_ns)
		s->gap_ns = now - s->last_ns;
	s->last_ns = now;
	for (ssize_t i = 0; i < n; i++) {
		uint64_t word;

		s->partial[s->received_bytes++ % 8] = buf[i];
		if (s->received_bytes % 8)
			continue;
		memcpy(&word, s->partial, 8);
		if (be64toh(word) != s->received_bytes / 8 - 1)
			s->errors++;
	}
}

static bool complete(const struct stream *s)
{
	return s->received_bytes == s->queued_words * 8 && !s->errors && !s->broken[0];
}

static int report(const struct stream *s, char *text, size_t len)
{
	return snprintf(text, len, "{\"seconds\":%.3f,\"sent_words\":%" PRIu64
			",\"echoed_words\":%" PRIu64 ",\"errors\":%" PRIu64
			",\"longest_gap_ms\":%.3f,\"unbroken\":%s,\"complete\":%s,\"broken\":\"%s\"}",
			(double)(clock_ns(CLOCK_MONOTONIC) - s->started_ns) / 1e9,
			s->queued_words, s->received_bytes / 8, s->errors,
			(double)s->gap_ns / 1e6, s->broken[0] || s->errors ? "false" : "true",
			complete(s) ? "true" : "false", s->broken);
}

static void answer(int fd, const struct stream *s)
{
	struct sockaddr_in from;
	char text[ANSWER_MAX], word[32];

	if (!ask_receive(fd, word, sizeof(word), &from))
		return;
	report(s, text, sizeof(text));
	ask_answer(fd, &from, "%s", text);
}

/* A connection, or -1 with errno. */
static int stream_connect(const struct sockaddr_in *addr)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int why;

	if (fd < 0 || !connect(fd, (const struct sockaddr *)addr, sizeof(*addr)))
		return fd;
	why = errno;
	close(fd);
	errno = why;
	return -1;
}

static int stream_open(const char *host, unsigned long port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + CONNECT_NS;
	int one = 1, fd;

	if (inet_pton(AF_INET, host, &addr.sin_addr) != 1) {
		fprintf(stderr, "tcpclient: '%s' is no IPv4 address\n", host);
		return -1;
	}
	while ((fd = stream_connect(&addr)) < 0) {
		if (ended || clock_ns(CLOCK_MONOTONIC) > end_ns) {
			fprintf(stderr, "tcpclient: %s port %lu: %s\n", host, port, strerror(errno));
			return -1;
		}
		usleep(50000);
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static void stream_run(struct stream *s, int ask_fd, uint64_t interval_ns, unsigned long words,
		       uint64_t end_ns)
{
	uint64_t next_ns = s->started_ns, drain_ns = 0;

	while (!s->broken[0]) {
		struct pollfd p[2] = { { .fd = s->fd, .events = POLLIN },
				       { .fd = ask_fd, .events = POLLIN } };
		uint64_t now = clock_ns(CLOCK_MONOTONIC);

		if (!drain_ns && (ended || now >= end_ns))
			drain_ns = now + DRAIN_NS;
		if (drain_ns && (complete(s) || now > drain_ns))
			return;
		if (!drain_ns && now >= next_ns) {
			if (s->queued_words + words - s->received_bytes / 8 <= FLIGHT_MAX)
				s->queued_words += words;
			next_ns = now + interval_ns;
		}
		stream_send(s);
		poll(p, 2, interval_ns >= 2000000u ? (int)(interval_ns / 1000000u) : 1);
		if (p[0].revents)
			stream_receive(s);
		if (p[1].revents)
			answer(ask_fd, s);
	}
}

static int usage(void)
{
	fprintf(stderr, "usage: tcpclient HOST [--port N] [--seconds N] [--interval-us N]"
		" [--words N]\n");
	return 2;
}

int main(int argc, char **argv)
{
	unsigned long port = PORT_STREAM, seconds = 0, interval_us = 10000, words = 16;
	struct stream s = { 0 };
	char text[ANSWER_MAX];

	if (argc < 2 || argc % 2)
		return usage();
	for (int i = 2; i < argc; i += 2) {
		if (!strcmp(argv[i], "--port"))
			port = number_arg(argc, argv, i + 1, 0, 1, 65535);
		else if (!strcmp(argv[i], "--seconds"))
			seconds = number_arg(argc, argv, i + 1, 0, 1, 1000000);
		else if (!strcmp(argv[i], "--interval-us"))
			interval_us = number_arg(argc, argv, i + 1, 0, 100, 10000000);
		else if (!strcmp(argv[i], "--words"))
			words = number_arg(argc, argv, i + 1, 0, 1, 8192);
		else
			return usage();
	}
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	s.fd = stream_open(argv[1], port);
	if (s.fd < 0)
		return 1;
	s.started_ns = s.last_ns = clock_ns(CLOCK_MONOTONIC);
	stream_run(&s, udp_open(PORT_STATUS), interval_us * 1000, words,
		   seconds ? s.started_ns + seconds * 1000000000u : UINT64_MAX);
	report(&s, text, sizeof(text));
	puts(text);
	return complete(&s) ? 0 : 1;
}
