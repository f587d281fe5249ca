// SPDX-License-Identifier: Apache-2.0
/*
 * dirtier MB RATE [SWEEP] - writes RATE random pages of a MB buffer a second
 * and can tell at any time whether one word of it was lost.
 *
 * Invariant: page p was written count[p] times.  Write number k of a page puts
 * mix64(p, k) into its word k % 512; the 512 first writes fill it.  So count[p]
 * alone says what every word of the page must be, and a page that travelled in
 * an older or a torn state shows.  The sum of all counts is kept apart, so that
 * an old page of counts shows as well.
 *
 * Every write first checks the word it replaces; a sweep checks SWEEP whole
 * pages a second; "verify" (UDP port 6002) checks everything at once.  Answers
 * "status", "verify", "pause" and "go".  Each verify also prints one line.
 */
#include "tests/guestprog/common.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define WORDS		512u
#define STEP_NS		2000000u

struct buffer {
	uint64_t (*page)[WORDS];
	uint64_t *count;
	uint64_t nr_pages;
	uint64_t writes;		/* beyond the first filling */
	uint64_t checks, errors;	/* words */
	char first_error[160];
	uint64_t random;
	uint64_t sweep_at;
	bool paused;
};

/* What word i of page p must hold after its count. */
static uint64_t expected(const struct buffer *b, uint64_t p, unsigned int i)
{
	uint64_t newest = b->count[p] - 1;

	return mix64(p, newest - (newest - i) % WORDS);
}

static void check_word(struct buffer *b, uint64_t p, unsigned int i)
{
	uint64_t want = expected(b, p, i), got = b->page[p][i];

	b->checks++;
	if (got == want)
		return;
	if (!b->errors++)
		snprintf(b->first_error, sizeof(b->first_error),
			 "page %" PRIu64 " word %u write %" PRIu64 ": %#" PRIx64 " not %#" PRIx64,
			 p, i, b->count[p], got, want);
}

static void check_page(struct buffer *b, uint64_t p)
{
	for (unsigned int i = 0; i < WORDS; i++)
		check_word(b, p, i);
}

static void write_page(struct buffer *b, uint64_t p)
{
	unsigned int i = (unsigned int)(b->count[p] % WORDS);

	check_word(b, p, i);
	b->page[p][i] = mix64(p, b->count[p]);
	b->count[p]++;
	b->writes++;
}

static uint64_t next_random(struct buffer *b)
{
	b->random ^= b->random << 13;
	b->random ^= b->random >> 7;
	b->random ^= b->random << 17;
	return b->random;
}

static void buffer_fill(struct buffer *b)
{
	for (uint64_t p = 0; p < b->nr_pages; p++) {
		for (unsigned int i = 0; i < WORDS; i++)
			b->page[p][i] = mix64(p, i);
		b->count[p] = WORDS;
	}
}

static void *map_or_die(uint64_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED) {
		perror("dirtier: memory");
		exit(1);
	}
	return p;
}

static bool verify(struct buffer *b)
{
	uint64_t sum = 0;

	for (uint64_t p = 0; p < b->nr_pages; p++) {
		check_page(b, p);
		sum += b->count[p] - WORDS;
	}
	if (sum != b->writes && !b->errors++)
		snprintf(b->first_error, sizeof(b->first_error),
			 "counts add up to %" PRIu64 " not %" PRIu64, sum, b->writes);
	printf("DIRTIER VERIFY %s pages=%" PRIu64 " writes=%" PRIu64 " checks=%" PRIu64
	       " errors=%" PRIu64 "%s%s\n", b->errors ? "FAIL" : "PASS", b->nr_pages, b->writes,
	       b->checks, b->errors, b->errors ? " first: " : "", b->first_error);
	fflush(stdout);
	return !b->errors;
}

static void answer(int fd, struct buffer *b)
{
	struct sockaddr_in from;
	const char *verdict = "none";
	char word[32];

	if (!ask_receive(fd, word, sizeof(word), &from))
		return;
	if (!strcmp(word, "verify"))
		verdict = verify(b) ? "PASS" : "FAIL";
	else if (!strcmp(word, "pause"))
		b->paused = true;
	else if (!strcmp(word, "go"))
		b->paused = false;
	ask_answer(fd, &from, "{\"program\":\"dirtier\",\"verdict\":\"%s\",\"pages\":%" PRIu64
		   ",\"writes\":%" PRIu64 ",\"checks\":%" PRIu64 ",\"errors\":%" PRIu64
		   ",\"first_error\":\"%s\",\"mono_ns\":%" PRIu64 "}", verdict, b->nr_pages,
		   b->writes, b->checks, b->errors, b->first_error, clock_ns(CLOCK_MONOTONIC));
}

/* How many of `rate` a second fall into this step; what a stop cost is not made up. */
static uint64_t due(uint64_t rate, uint64_t *credit, uint64_t step_ns)
{
	uint64_t n;

	if (step_ns > 50 * STEP_NS)
		step_ns = 50 * STEP_NS;
	*credit += rate * step_ns;
	n = *credit / 1000000000u;
	*credit %= 1000000000u;
	return n;
}

int main(int argc, char **argv)
{
	struct buffer b = { .random = 0x243f6a8885a308d3u };
	uint64_t rate, sweep, last, write_credit = 0, sweep_credit = 0;
	int fd;

	if (argc < 3) {
		fprintf(stderr, "usage: dirtier MB PAGES_PER_SECOND [SWEEP_PAGES_PER_SECOND]\n");
		return 2;
	}
	b.nr_pages = number_arg(argc, argv, 1, 0, 1, 65536) * 256;
	rate = number_arg(argc, argv, 2, 0, 0, 10000000);
	sweep = number_arg(argc, argv, 3, 100, 0, 1000000);
	b.page = map_or_die(b.nr_pages * 4096);
	b.count = map_or_die(b.nr_pages * sizeof(b.count[0]));
	buffer_fill(&b);
	fd = udp_open(PORT_DIRTIER);
	printf("DIRTIER READY pages=%" PRIu64 "\n", b.nr_pages);
	fflush(stdout);
	for (last = clock_ns(CLOCK_MONOTONIC);;) {
		uint64_t now, n;

		sleep_until(last + STEP_NS);
		now = clock_ns(CLOCK_MONOTONIC);
		n = due(b.paused ? 0 : rate, &write_credit, now - last);
		while (n--)
			write_page(&b, next_random(&b) % b.nr_pages);
		n = due(sweep, &sweep_credit, now - last);
		while (n--)
			check_page(&b, b.sweep_at++ % b.nr_pages);
		last = now;
		answer(fd, &b);
	}
}
