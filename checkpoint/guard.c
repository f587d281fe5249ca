// SPDX-License-Identifier: Apache-2.0
/* See guard.h. */
#define LOG_PREFIX "guard"
#include "checkpoint/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint/suspend.h"
#include "toolstack/lib/log.h"

#define RELEASED	'r'
#define ARRIVAL_MS	2000

/* Between fork and exec: only what a child of a threaded process may call. */
static void become_guard(int fd, int lock, const char *domid)
{
	setsid();
	if (dup2(fd, STDIN_FILENO) == STDIN_FILENO && fcntl(lock, F_SETFD, 0) == 0)
		execl("/proc/self/exe", "checkpoint", "guard", domid, (char *)NULL);
	_exit(127);
}

int guard_start(struct guard *g, domid_t domid, int lock)
{
	char text[16];
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	snprintf(text, sizeof(text), "%u", domid);
	g->pid = fork();
	if (!g->pid)
		become_guard(ends[0], lock, text);
	close(ends[0]);
	g->fd = ends[1];
	if (g->pid > 0)
		return 0;
	close(g->fd);
	g->pid = 0;
	return -EAGAIN;
}

void guard_release(struct guard *g)
{
	char c = RELEASED;

	if (write(g->fd, &c, 1) != 1)
		log_warn("the guard is gone");
	close(g->fd);
	while (waitpid(g->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static bool suspended(struct toolstack *ts, domid_t domid)
{
	char why[200];

	return suspend_check(ts, domid, why) == -EALREADY;
}

/* It has taken the request: it will stand soon, or stood and was resumed long ago. */
static void await(struct toolstack *ts, domid_t domid)
{
	struct timespec step = { .tv_nsec = 5000000 };

	for (int i = 0; i < ARRIVAL_MS / 5 && !suspended(ts, domid); i++)
		nanosleep(&step, NULL);
}

static int take_over(domid_t domid)
{
	struct toolstack ts = { 0 };
	int ret;

	if (toolstack_open(&ts, TOOLSTACK_HCALL | TOOLSTACK_XS))
		return 1;
	if (domain_cancel_request(&ts, domid, "suspend") == -EALREADY)
		await(&ts, domid);
	ret = suspend_resume(&ts, domid);
	if (ret)
		log_err("domain %u stands and cannot be resumed: %s", domid, strerror(-ret));
	hcall_godwit_snapshot_abort(ts.hcall, domid);
	toolstack_close(&ts);
	return ret ? 1 : 0;
}

int guard_main(int argc, char **argv)
{
	unsigned long domid = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
	ssize_t n;
	char c = 0;

	if (!domid || domid > UINT16_MAX)
		return 2;
	do {
		n = read(STDIN_FILENO, &c, 1);
	} while (n < 0 && errno == EINTR);
	return n == 1 && c == RELEASED ? 0 : take_over((domid_t)domid);
}
