// SPDX-License-Identifier: Apache-2.0
/*
 * godwit console: xenconsoled owns the ring and offers a pty, whose path it
 * writes to the domain's console/tty; this joins that pty and our terminal.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "toolstack/cmd.h"
#include "toolstack/domain.h"
#include "toolstack/xstree.h"
#define LOG_PREFIX "console"
#include "toolstack/lib/io.h"
#include "toolstack/lib/log.h"

#define ESCAPE 0x1d	/* Ctrl-] */
#define TTY_WAIT_MS 5000u
#define POLL_MS 500

static int open_tty(struct toolstack *ts, unsigned int domid)
{
	uint64_t deadline = io_now_ns() + TTY_WAIT_MS * 1000000ull;
	struct timespec nap = { .tv_nsec = 20000000 };
	char dir[64], tty[128] = "";
	int fd;

	snprintf(dir, sizeof(dir), "/local/domain/%u/console", domid);
	while (xs_read_text(ts->xs, dir, "tty", tty, sizeof(tty)) || !tty[0]) {
		if (io_now_ns() > deadline) {
			log_err("domain %u has no console: is xenconsoled running?", domid);
			return -ENOENT;
		}
		nanosleep(&nap, NULL);
	}
	/* dom0 wrote the node, but a path elsewhere would still be a surprise. */
	if (strncmp(tty, "/dev/pts/", 9)) {
		log_err("console of domain %u is not a pty: %s", domid, tty);
		return -EINVAL;
	}
	fd = open(tty, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd < 0) {
		fd = -errno;
		log_errno(fd, "%s", tty);
	}
	return fd;
}

/* Bytes from our terminal; false at the escape key or when the console is gone. */
static bool forward_input(int tty, bool *input_open)
{
	char buf[512], *escape;
	ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	if (n == 0) {
		/* A script without input still wants the output. */
		*input_open = false;
		return true;
	}
	escape = memchr(buf, ESCAPE, (size_t)n);
	if (escape)
		n = escape - buf;
	return io_write_full(tty, buf, (size_t)n) == 0 && !escape;
}

static bool forward_output(int tty)
{
	char buf[4096];
	ssize_t n = read(tty, buf, sizeof(buf));

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	return n > 0 && io_write_full(STDOUT_FILENO, buf, (size_t)n) == 0;
}

static void shuttle(struct toolstack *ts, unsigned int domid, int tty)
{
	struct xen_domctl_getdomaininfo info;
	bool input_open = true, go_on = true;

	while (go_on) {
		struct pollfd fds[2] = {
			{ .fd = tty, .events = POLLIN },
			{ .fd = input_open ? STDIN_FILENO : -1, .events = POLLIN },
		};
		int n = poll(fds, 2, POLL_MS);

		if (n < 0 && errno != EINTR)
			return;
		/* Silence: xenconsoled keeps the pty of a dead domain open. */
		if (n == 0)
			go_on = hcall_domain_get_info(ts->hcall, (domid_t)domid, &info) == 0;
		if (n > 0 && fds[0].revents)
			go_on = forward_output(tty);
		if (go_on && n > 0 && fds[1].revents)
			go_on = forward_input(tty, &input_open);
	}
}

int console_attach(struct toolstack *ts, unsigned int domid)
{
	struct termios old, raw;
	bool is_tty = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &old) == 0;
	int tty = open_tty(ts, domid);

	if (tty < 0)
		return tty;
	if (is_tty) {
		fprintf(stderr, "Ctrl-] leaves the console.\r\n");
		raw = old;
		cfmakeraw(&raw);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	shuttle(ts, domid, tty);
	if (is_tty) {
		tcsetattr(STDIN_FILENO, TCSANOW, &old);
		fprintf(stderr, "\n");
	}
	close(tty);
	return 0;
}

int cmd_console(int argc, char **argv)
{
	struct toolstack ts = { 0 };
	domid_t domid;
	int code, ret, first = cmd_options(argc, argv, NULL, NULL, 1, 1, &code);

	if (first < 0)
		return code;
	code = CMD_NO_HOST;
	if (!toolstack_open(&ts, TOOLSTACK_HCALL | TOOLSTACK_XS)) {
		ret = domain_find(&ts, argv[first], &domid);
		if (!ret)
			ret = console_attach(&ts, domid);
		code = cmd_exit_code(ret);
	}
	toolstack_close(&ts);
	return code;
}
