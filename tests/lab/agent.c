// SPDX-License-Identifier: Apache-2.0
/*
 * agent.c - run shell commands in dom0 for the harness, over TCP.
 *
 * One connection, one command.  Request: a line
 *	RUN <timeout_ms> <command bytes> <stdin bytes>\n
 * then the command and its standard input.  Answer: frames of a type byte, a
 * big-endian 32-bit length and that many bytes: 'o' output, 'e' error output,
 * 'x' the exit code in decimal, which is the last frame.
 *
 * Invariant: each command is a process group of its own and never outlives its
 * connection or its time-out, unless it left the group on purpose (setsid).
 * A lab tool: it gives root to whoever reaches it, so it belongs on the lab's
 * management network and nowhere else.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COMMAND_MAX	(64u << 10)
#define STDIN_MAX	(1u << 30)
#define RC_TIMEOUT	124

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static bool read_all(int fd, void *buf, size_t len)
{
	char *p = buf;

	while (len) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static bool write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static bool send_frame(int conn, char type, const void *data, size_t len)
{
	unsigned char head[5] = { (unsigned char)type, (unsigned char)(len >> 24),
		(unsigned char)(len >> 16), (unsigned char)(len >> 8), (unsigned char)len };

	return write_all(conn, head, sizeof(head)) && write_all(conn, data, len);
}

static bool send_exit(int conn, int code)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%d", code);

	return send_frame(conn, 'x', text, (size_t)n);
}

/* The request line, byte by byte: what follows it must stay in the socket. */
static bool read_request(int conn, unsigned int *timeout_ms, unsigned int *cmd_len,
			 unsigned int *in_len)
{
	char line[96];
	size_t n = 0;

	while (n < sizeof(line) - 1) {
		if (!read_all(conn, &line[n], 1))
			return false;
		if (line[n++] == '\n')
			break;
	}
	line[n] = '\0';
	if (sscanf(line, "RUN %u %u %u", timeout_ms, cmd_len, in_len) != 3)
		return false;
	return *cmd_len <= COMMAND_MAX && *in_len <= STDIN_MAX;
}

/* The command's standard input as an unnamed file, so that no pipe can fill. */
static int read_stdin(int conn, size_t len)
{
	char name[] = "/tmp/agent.XXXXXX";
	char buf[65536];
	int fd = mkstemp(name);

	if (fd < 0)
		return -1;
	unlink(name);
	while (len) {
		size_t part = len < sizeof(buf) ? len : sizeof(buf);

		if (!read_all(conn, buf, part) || !write_all(fd, buf, part)) {
			close(fd);
			return -1;
		}
		len -= part;
	}
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static pid_t start_command(const char *cmd, int in, int out[2], int err[2], int conn)
{
	pid_t pid;

	if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		return -1;
	pid = fork();
	if (pid)
		return pid;
	setpgid(0, 0);
	close(conn);
	dup2(in, 0);
	dup2(out[1], 1);
	dup2(err[1], 2);
	signal(SIGPIPE, SIG_DFL);
	execl("/bin/sh", "sh", "-c", cmd, (char *)NULL);
	_exit(127);
}

/* Move what one pipe holds to the connection; false at its end. */
static bool pump(int conn, int fd, char type, bool *gone)
{
	char buf[32768];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n <= 0)
		return n < 0 && (errno == EINTR || errno == EAGAIN);
	if (!send_frame(conn, type, buf, (size_t)n))
		*gone = true;
	return true;
}

/*
 * Until the command itself ends: its children in the background may keep the
 * pipes open for ever, so the end of the pipes is not waited for.
 */
static int supervise(int conn, pid_t pid, int out, int err, int64_t deadline_ms, bool *gone)
{
	struct pollfd p[3] = {
		{ .fd = out, .events = POLLIN },
		{ .fd = err, .events = POLLIN },
		{ .fd = conn, .events = POLLRDHUP },
	};
	int status = 0;
	bool ended = false;

	while (!*gone) {
		int n = poll(p, 3, ended ? 0 : 20);

		if (n > 0 && p[2].revents)
			*gone = true;
		if (p[0].revents && !pump(conn, out, 'o', gone))
			p[0].fd = -1;
		if (p[1].revents && !pump(conn, err, 'e', gone))
			p[1].fd = -1;
		if (ended && n <= 0)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		if (!ended)
			ended = waitpid(pid, &status, WNOHANG) == pid;
		if (!ended && now_ms() > deadline_ms)
			break;
	}
	kill(-pid, SIGKILL);
	if (!ended)
		waitpid(pid, &status, 0);
	return RC_TIMEOUT;
}

static void serve(int conn)
{
	unsigned int timeout_ms, cmd_len, in_len;
	int out[2], err[2], in, code;
	bool gone = false;
	char *cmd;
	pid_t pid;

	if (!read_request(conn, &timeout_ms, &cmd_len, &in_len))
		return;
	cmd = calloc(1, (size_t)cmd_len + 1);
	if (!cmd || !read_all(conn, cmd, cmd_len))
		return;
	in = read_stdin(conn, in_len);
	pid = in < 0 ? -1 : start_command(cmd, in, out, err, conn);
	if (pid < 0) {
		send_exit(conn, 126);
		return;
	}
	close(out[1]);
	close(err[1]);
	code = supervise(conn, pid, out[0], err[0], now_ms() + timeout_ms, &gone);
	if (!gone)
		send_exit(conn, code);
}

int main(int argc, char **argv)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = INADDR_ANY };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	addr.sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 7777));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 16)) {
		perror("agent");
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	for (;;) {
		int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (conn < 0)
			continue;
		if (fork() == 0) {
			close(fd);
			serve(conn);
			_exit(0);
		}
		close(conn);
	}
}
