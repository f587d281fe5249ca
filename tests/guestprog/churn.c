// SPDX-License-Identifier: Apache-2.0
/*
 * churn [MB] [ROUNDS_PER_SECOND] - keeps the guest's page tables in motion.
 *
 * Invariant: every round makes page tables (mmap, fork), changes them in bulk
 * (mprotect, copy on write, mremap) and drops them (munmap, exit), and checks
 * that each page still shows its own content through the new mapping.  A page
 * table that travelled wrongly shows as a wrong word, a fault or a hang.
 *
 * "status" on UDP port 6004.
 */
#include "tests/guestprog/common.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE		4096u

static uint64_t rounds, checks, errors;

static uint64_t *word_of(unsigned char *base, uint64_t p)
{
	return (uint64_t *)(base + p * PAGE);
}

static void fill(unsigned char *base, uint64_t pages, uint64_t salt)
{
	for (uint64_t p = 0; p < pages; p++)
		*word_of(base, p) = mix64(p, salt);
}

static uint64_t wrong(unsigned char *base, uint64_t pages, uint64_t salt)
{
	uint64_t bad = 0;

	for (uint64_t p = 0; p < pages; p++)
		bad += *word_of(base, p) != mix64(p, salt);
	return bad;
}

/* The child copies half the pages by writing them; neither may see the other's. */
static uint64_t fork_check(unsigned char *base, uint64_t pages, uint64_t salt)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		fill(base, pages / 2, salt + 1);
		_exit(wrong(base, pages / 2, salt + 1) != 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	return wrong(base, pages, salt) + (WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1);
}

static void one_round(uint64_t pages)
{
	uint64_t len = pages * PAGE, salt = rounds << 8;
	unsigned char *base = mmap(NULL, len, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *moved;

	if (base == MAP_FAILED)
		return;
	fill(base, pages, salt);
	mprotect(base, len, PROT_READ);
	errors += wrong(base, pages, salt);
	mprotect(base, len, PROT_READ | PROT_WRITE);
	errors += fork_check(base, pages, salt);
	moved = mremap(base, len, 2 * len, MREMAP_MAYMOVE);
	if (moved != MAP_FAILED) {
		base = moved;
		errors += wrong(base, pages, salt);
		len *= 2;
	}
	checks += 3 * pages;
	munmap(base, len);
	rounds++;
}

int main(int argc, char **argv)
{
	uint64_t pages = 256 * number_arg(argc, argv, 1, 4, 1, 1024);
	uint64_t period_ns = 1000000000u / number_arg(argc, argv, 2, 10, 1, 10000);
	int fd = udp_open(PORT_CHURN);

	for (uint64_t next = clock_ns(CLOCK_MONOTONIC);;) {
		struct sockaddr_in from;
		char word[32];
		uint64_t now;

		one_round(pages);
		if (ask_receive(fd, word, sizeof(word), &from))
			ask_answer(fd, &from, "{\"program\":\"churn\",\"rounds\":%" PRIu64
				   ",\"checks\":%" PRIu64 ",\"errors\":%" PRIu64 "}",
				   rounds, checks, errors);
		now = clock_ns(CLOCK_MONOTONIC);
		next += period_ns;
		if (next < now)
			next = now;
		sleep_until(next);
	}
}
