// SPDX-License-Identifier: Apache-2.0
/*
 * tcpecho [PORT] - echoes a TCP stream of counting words and checks the count.
 *
 * Invariant: a connection carries big-endian 64-bit words 0, 1, 2, ...; each is
 * checked as it comes and sent back unchanged, so both ends can prove that no
 * byte was lost, doubled or swapped while the guest moved.
 *
 * Up to 16 connections (TCP port 7000); "status" on UDP port 6003.
 */
#include "tests/guestprog/common.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNS_MAX	16
#define BUF_WORDS	1024

struct conn {
	int fd;				/* -1: free */
	unsigned char in[8];		/* a word that has not come whole yet */
	unsigned int in_len;
	uint64_t next;			/* word expected */
	unsigned char out[BUF_WORDS * 8];
	size_t out_at, out_len;
};

struct totals {
	uint64_t words, errors, opened, closed;
};

static struct conn conns[CONNS_MAX];
static struct totals totals;

static void conn_close(struct conn *c)
{
	close(c->fd);
	c->fd = -1;
	totals.closed++;
}

static void conn_accept(int lfd)
{
	int fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	for (unsigned int i = 0; i < CONNS_MAX; i++) {
		if (conns[i].fd >= 0)
			continue;
		memset(&conns[i], 0, sizeof(conns[i]));
		conns[i].fd = fd;
		totals.opened++;
		return;
	}
	close(fd);
}

static void conn_check(struct conn *c, const unsigned char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		uint64_t word;

		c->in[c->in_len++] = data[i];
		if (c->in_len < 8)
			continue;
		c->in_len = 0;
		memcpy(&word, c->in, 8);
		totals.words++;
		if (be64toh(word) != c->next)
			totals.errors++;
		c->next = be64toh(word) + 1;
	}
}

static void conn_flush(struct conn *c)
{
	ssize_t n = send(c->fd, c->out + c->out_at, c->out_len - c->out_at, MSG_NOSIGNAL);

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			conn_close(c);
		return;
	}
	c->out_at += (size_t)n;
	if (c->out_at == c->out_len)
		c->out_at = c->out_len = 0;
}

/* Reads only when all before is sent back, so the buffer bounds what is held. */
static void conn_read(struct conn *c)
{
	ssize_t n = recv(c->fd, c->out, sizeof(c->out), 0);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		conn_close(c);
		return;
	}
	if (n < 0)
		return;
	conn_check(c, c->out, (size_t)n);
	c->out_at = 0;
	c->out_len = (size_t)n;
	conn_flush(c);
}

static void answer(int fd)
{
	struct sockaddr_in from;
	char word[32];

	if (!ask_receive(fd, word, sizeof(word), &from))
		return;
	ask_answer(fd, &from, "{\"program\":\"tcpecho\",\"words\":%" PRIu64 ",\"errors\":%" PRIu64
		   ",\"opened\":%" PRIu64 ",\"closed\":%" PRIu64 ",\"open\":%" PRIu64 "}",
		   totals.words, totals.errors, totals.opened, totals.closed,
		   totals.opened - totals.closed);
}

static int tcp_listen(unsigned int port)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = INADDR_ANY,
	};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, CONNS_MAX)) {
		close(fd);
		return -1;
	}
	return fd;
}

static void serve_once(int lfd, int cfd)
{
	struct pollfd p[CONNS_MAX + 2] = {
		{ .fd = lfd, .events = POLLIN }, { .fd = cfd, .events = POLLIN },
	};

	for (unsigned int i = 0; i < CONNS_MAX; i++) {
		p[i + 2].fd = conns[i].fd;
		p[i + 2].events = conns[i].out_len ? POLLOUT : POLLIN;
	}
	if (poll(p, CONNS_MAX + 2, -1) < 0)
		return;
	for (unsigned int i = 0; i < CONNS_MAX; i++) {
		if (!p[i + 2].revents)
			continue;
		if (conns[i].out_len)
			conn_flush(&conns[i]);
		else
			conn_read(&conns[i]);
	}
	if (p[0].revents)
		conn_accept(lfd);
	if (p[1].revents)
		answer(cfd);
}

int main(int argc, char **argv)
{
	int lfd = tcp_listen((unsigned int)number_arg(argc, argv, 1, PORT_STREAM, 1, 65535));
	int cfd = udp_open(PORT_TCPECHO);

	if (lfd < 0) {
		perror("tcpecho: listen");
		return 1;
	}
	for (unsigned int i = 0; i < CONNS_MAX; i++)
		conns[i].fd = -1;
	for (;;)
		serve_once(lfd, cfd);
}
