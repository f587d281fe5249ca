/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the test programs of the guest share: clocks, a UDP port that answers
 * one-line questions, and the beacon's packet.
 *
 * Invariant: a question is one datagram of text, its answer is one datagram
 * holding one line of JSON; a program answers between two steps of its work
 * and never waits for anybody.
 */
#ifndef GODWIT_GUESTPROG_COMMON_H
#define GODWIT_GUESTPROG_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>

#define PORT_BEACON	6001	/* control ports in the guest, UDP */
#define PORT_DIRTIER	6002
#define PORT_TCPECHO	6003
#define PORT_CHURN	6004
#define PORT_STREAM	7000	/* tcpecho's stream, TCP */
#define PORT_LISTENER	5000	/* the listener outside, UDP */

#define ANSWER_MAX	1400

/* The beacon's datagram; all fields big-endian. */
#define BEACON_MAGIC	0x47574243u	/* "GWBC" */
struct beacon_packet {
	uint32_t magic;
	uint32_t run;		/* random, one value for each start of the program */
	uint64_t seq;		/* from 0 */
	uint64_t mono_ns;	/* CLOCK_MONOTONIC */
	uint64_t real_ns;	/* CLOCK_REALTIME */
};

/**
 * clock_ns() - a clock in nanoseconds.
 * @clock: CLOCK_MONOTONIC or CLOCK_REALTIME
 */
uint64_t clock_ns(int clock);

/**
 * sleep_until() - sleep to an absolute CLOCK_MONOTONIC time in nanoseconds.
 * Returns at once when it has passed.
 */
void sleep_until(uint64_t mono_ns);

/**
 * udp_open() - a UDP socket bound to @port on all addresses (0: any port).
 * Ends the program with a message when that fails.
 */
int udp_open(unsigned int port);

/**
 * ask_receive() - take one waiting question without blocking.
 * @fd:   from udp_open()
 * @word: receives its first word, NUL-terminated
 * @len:  size of @word
 * @from: receives the asker's address
 * Return: true if there was one.
 */
bool ask_receive(int fd, char *word, size_t len, struct sockaddr_in *from);

/**
 * ask_answer() - send one line (a newline is added) back.
 */
void ask_answer(int fd, const struct sockaddr_in *to, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * number_arg() - argument @i as a number within bounds, or @preset if absent.
 * Ends the program with a message on anything else.
 */
unsigned long number_arg(int argc, char **argv, int i, unsigned long preset,
			 unsigned long min, unsigned long max);

/**
 * mix64() - a well-mixed function of two words, for contents that can be told.
 */
uint64_t mix64(uint64_t a, uint64_t b);

#endif
