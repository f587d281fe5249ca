// SPDX-License-Identifier: Apache-2.0
/* common.c - see common.h. */
#include "tests/guestprog/common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

uint64_t clock_ns(int clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void sleep_until(uint64_t mono_ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(mono_ns / 1000000000u),
		.tv_nsec = (long)(mono_ns % 1000000000u),
	};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

int udp_open(unsigned int port)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = INADDR_ANY,
	};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		fprintf(stderr, "udp port %u: %s\n", port, strerror(errno));
		exit(1);
	}
	return fd;
}

bool ask_receive(int fd, char *word, size_t len, struct sockaddr_in *from)
{
	socklen_t from_len = sizeof(*from);
	ssize_t n = recvfrom(fd, word, len - 1, MSG_DONTWAIT, (struct sockaddr *)from, &from_len);

	if (n < 0)
		return false;
	word[n] = '\0';
	word[strcspn(word, " \r\n")] = '\0';
	return true;
}

void ask_answer(int fd, const struct sockaddr_in *to, const char *fmt, ...)
{
	char text[ANSWER_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text) - 1, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n > sizeof(text) - 2)
		n = (int)sizeof(text) - 2;
	text[n++] = '\n';
	sendto(fd, text, (size_t)n, MSG_DONTWAIT, (const struct sockaddr *)to, sizeof(*to));
}

unsigned long number_arg(int argc, char **argv, int i, unsigned long preset,
			 unsigned long min, unsigned long max)
{
	unsigned long v;
	char *end;

	if (i >= argc)
		return preset;
	errno = 0;
	v = strtoul(argv[i], &end, 10);
	if (errno || end == argv[i] || *end || v < min || v > max) {
		fprintf(stderr, "%s: '%s' is not a number from %lu to %lu\n",
			argv[0], argv[i], min, max);
		exit(2);
	}
	return v;
}

uint64_t mix64(uint64_t a, uint64_t b)
{
	uint64_t x = a * 0x9e3779b97f4a7c15u + b;

	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93u;
	x ^= x >> 29;
	return x;
}
