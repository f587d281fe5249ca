// SPDX-License-Identifier: Apache-2.0
/*
 * What a kernel pays for running paravirtualised: six operations, in us each.
 *
 *   getppid   one trivial system call
 *   pgfault   first touch of a fresh anonymous page, and giving it back
 *   mprotect  16 MB to read-only and back, then 64 touches
 *   fork      fork, child exits, wait
 *   forkexec  fork, the child executes a static program that exits, wait
 *   pipe      a byte there and back between two processes
 *
 * Each is timed in runs of some tens of milliseconds (the number of operations
 * is found by doubling); the figure is the median of the runs.  Prints one line
 * of JSON: {"getppid": us, ..., "runs": N, "min": {"getppid": us, ...}}.  The least
 * of the runs says more than the median when the emulator's machine is busy.
 * Alone in its machine it needs no file system: the program it executes is itself.
 *
 * Exit codes: 0; 1 wrong usage; 2 an operation failed (a line says which).
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE		4096UL
#define REGION		(16UL << 20)
#define TOUCHES		64
#define RUN_US		40000.0		/* shortest run that counts */
#define MAX_RUNS	99
#define SELF		"/proc/self/exe"
#define TRUE_ARG	"--true"

static void die(const char *what)
{
	fprintf(stderr, "microbench: %s: %s\n", what, strerror(errno));
	exit(2);
}

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static volatile char *map_region(unsigned long size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	/* a huge page would make one fault of 512; old kernels have none */
	madvise(p, size, MADV_NOHUGEPAGE);
	return p;
}

static void unmap_region(volatile char *p, unsigned long size)
{
	if (munmap((void *)p, size))
		die("munmap");
}

static void touch(volatile char *p, unsigned long size, unsigned long step)
{
	for (unsigned long at = 0; at < size; at += step)
		p[at] = 1;
}

/* Each time_*() does @n operations and returns the us they took in all. */

static double time_getppid(unsigned long n)
{
	double start = now_us();

	for (unsigned long i = 0; i < n; i++)
		syscall(SYS_getppid);
	return now_us() - start;
}

/* Map, touch, unmap: a page that is faulted in is also given back some day. */
static double time_pgfault(unsigned long n)
{
	double start = now_us();

	while (n > 0) {
		unsigned long size = n * PAGE < REGION ? n * PAGE : REGION;
		volatile char *p = map_region(size);

		touch(p, size, PAGE);
		unmap_region(p, size);
		n -= size / PAGE;
	}
	return now_us() - start;
}

static double time_mprotect(unsigned long n)
{
	volatile char *p = map_region(REGION);
	double start, took;

	touch(p, REGION, PAGE);
	start = now_us();
	for (unsigned long i = 0; i < n; i++) {
		if (mprotect((void *)p, REGION, PROT_READ) ||
		    mprotect((void *)p, REGION, PROT_READ | PROT_WRITE))
			die("mprotect");
		touch(p, REGION, REGION / TOUCHES);
	}
	took = now_us() - start;
	unmap_region(p, REGION);
	return took;
}

static void wait_for(pid_t child)
{
	int status;

	if (waitpid(child, &status, 0) != child)
		die("waitpid");
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		errno = ECHILD;
		die("a child did not exit well");
	}
}

static double time_fork(unsigned long n)
{
	double start = now_us();

	for (unsigned long i = 0; i < n; i++) {
		pid_t child = fork();

		if (child < 0)
			die("fork");
		if (child == 0)
			_exit(0);
		wait_for(child);
	}
	return now_us() - start;
}

static double time_forkexec(unsigned long n)
{
	double start = now_us();

	for (unsigned long i = 0; i < n; i++) {
		pid_t child = fork();

		if (child < 0)
			die("fork");
		if (child == 0) {
			execl(SELF, "true", TRUE_ARG, (char *)NULL);
			_exit(127);
		}
		wait_for(child);
	}
	return now_us() - start;
}

static void echo_bytes(int from, int to)
{
	char c;

	while (read(from, &c, 1) == 1)
		if (write(to, &c, 1) != 1)
			_exit(1);
	_exit(0);
}

static double time_pipe(unsigned long n)
{
	int there[2], back[2];
	double start, took;
	pid_t child;
	char c = 'x';

	if (pipe(there) || pipe(back))
		die("pipe");
	child = fork();
	if (child < 0)
		die("fork");
	if (child == 0) {
		close(there[1]);
		close(back[0]);
		echo_bytes(there[0], back[1]);
	}
	close(there[0]);
	close(back[1]);
	start = now_us();
	for (unsigned long i = 0; i < n; i++)
		if (write(there[1], &c, 1) != 1 || read(back[0], &c, 1) != 1)
			die("pipe round trip");
	took = now_us() - start;
	close(there[1]);
	close(back[0]);
	wait_for(child);
	return took;
}

struct operation {
	const char *name;
	double (*time)(unsigned long n);
};

static const struct operation operations[] = {
	{ "getppid", time_getppid },
	{ "pgfault", time_pgfault },
	{ "mprotect", time_mprotect },
	{ "fork", time_fork },
	{ "forkexec", time_forkexec },
	{ "pipe", time_pipe },
};

#define NR_OPERATIONS	(sizeof(operations) / sizeof(operations[0]))

static bool wanted(const struct operation *op, const char *only)
{
	return !only || !strcmp(op->name, only);
}

static bool known(const char *name)
{
	for (size_t i = 0; i < NR_OPERATIONS; i++)
		if (!strcmp(operations[i].name, name))
			return true;
	return false;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

struct figure {
	double median_us, min_us;
};

static struct figure measure(const struct operation *op, unsigned int runs, unsigned long n)
{
	struct figure f;
	bool fixed = n;
	double us[MAX_RUNS];

	/* the rounds that find n also warm caches, page tables, the emulator */
	for (n = fixed ? n : 1; !fixed && op->time(n) < RUN_US && n < 1UL << 30; n *= 2)
		;
	for (unsigned int i = 0; i < runs; i++)
		us[i] = op->time(n) / (double)n;
	qsort(us, runs, sizeof(us[0]), compare);
	f.median_us = runs % 2 ? us[runs / 2] : (us[runs / 2 - 1] + us[runs / 2]) / 2;
	f.min_us = us[0];
	return f;
}

/* All at once at the end: a console shared with a kernel tears lines apart, and
 * nothing may sit in the buffer while an operation forks. */
static void report(unsigned int runs, const char *only, unsigned long n)
{
	struct figure f[NR_OPERATIONS];
	const char *sep = "";

	for (size_t i = 0; i < NR_OPERATIONS; i++)
		if (wanted(&operations[i], only))
			f[i] = measure(&operations[i], runs, n);
	putchar('{');
	for (size_t i = 0; i < NR_OPERATIONS; i++)
		if (wanted(&operations[i], only))
			printf("\"%s\": %.3f, ", operations[i].name, f[i].median_us);
	printf("\"runs\": %u, \"min\": {", runs);
	for (size_t i = 0; i < NR_OPERATIONS; i++) {
		if (!wanted(&operations[i], only))
			continue;
		printf("%s\"%s\": %.3f", sep, operations[i].name, f[i].min_us);
		sep = ", ";
	}
	printf("}}\n");
}

static void usage(FILE *out)
{
	fprintf(out, "usage: microbench [RUNS [OPERATION [N]]]\n"
		"Median us per operation over RUNS runs (1 to %d, default 7), as one\n"
		"line of JSON: getppid pgfault mprotect fork forkexec pipe, min of each.\n"
		"N: operations in a run, instead of as many as take a while.\n", MAX_RUNS);
}

int main(int argc, char **argv)
{
	unsigned long runs = 7, n = 0;
	char *end;

	if (argc == 2 && !strcmp(argv[1], TRUE_ARG))
		return 0;
	if (argc == 2 && !strcmp(argv[1], "--help")) {
		usage(stdout);
		return 0;
	}
	if (argc >= 2) {
		runs = strtoul(argv[1], &end, 10);
		if (end == argv[1] || *end)
			runs = 0;
	}
	if (argc == 4) {
		n = strtoul(argv[3], &end, 10);
		if (end == argv[3] || *end || n < 1 || n > 1UL << 30)
			runs = 0;
	}
	if (argc > 4 || runs < 1 || runs > MAX_RUNS || (argc >= 3 && !known(argv[2]))) {
		usage(stderr);
		return 1;
	}
	report((unsigned int)runs, argc >= 3 ? argv[2] : NULL, n);
	return 0;
}
