/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two ready-made stream_io: a buffered descriptor and a block of memory.
 *
 * Invariant of the descriptor: bytes leave in the order of the calls; the
 * buffer only ever saves system calls.  Large pieces (page batches) go past
 * it, together with what waits in it, in one writev or readv, so that they
 * are never copied here.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "checkpoint/stream.h"

#define FD_BUF_SIZE	((size_t)64 * 1024)

/* Wait until the descriptor can go on; errors show in the next read or write. */
static int fd_wait(const struct stream_fd *f, short events)
{
	struct pollfd p = { .fd = f->fd, .events = events };
	int n;

	do {
		n = poll(&p, 1, f->timeout_ms);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n ? 0 : -ETIMEDOUT;
}

static ssize_t fd_put_some(const struct stream_fd *f, struct iovec *iov, int nr)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = (size_t)nr };

	/* A peer that went away must be an error here, not a signal that
	 * takes the daemon and its other migrations down. */
	if (f->is_socket)
		return sendmsg(f->fd, &msg, MSG_NOSIGNAL);
	return writev(f->fd, iov, nr);
}

/* Drop @n transferred bytes from the front; false once nothing is left. */
static bool iov_advance(struct iovec **iov, int *nr, size_t n)
{
	while (*nr && n >= (*iov)->iov_len) {
		n -= (*iov)->iov_len;
		++*iov;
		--*nr;
	}
	if (!*nr)
		return false;
	(*iov)->iov_base = (uint8_t *)(*iov)->iov_base + n;
	(*iov)->iov_len -= n;
	return true;
}

static int fd_put(const struct stream_fd *f, struct iovec *iov, int nr)
{
	size_t done = 0;
	int ret;

	while (iov_advance(&iov, &nr, done)) {
		ssize_t n = fd_put_some(f, iov, nr);

		done = n > 0 ? (size_t)n : 0;
		if (n >= 0 || errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		ret = fd_wait(f, POLLOUT);
		if (ret)
			return ret;
	}
	return 0;
}

static int fd_flush(void *ctx)
{
	struct stream_fd *f = ctx;
	struct iovec iov = { f->buf, f->buf_len };
	int ret = fd_put(f, &iov, 1);

	if (!ret)
		f->buf_len = 0;
	return ret;
}

static int fd_write(void *ctx, const void *buf, size_t len)
{
	struct stream_fd *f = ctx;
	struct iovec iov[2] = { { f->buf, f->buf_len }, { (void *)buf, len } };
	int ret;

	if (len <= FD_BUF_SIZE - f->buf_len) {
		memcpy(f->buf + f->buf_len, buf, len);
		f->buf_len += len;
		return 0;
	}
	ret = fd_put(f, iov, 2);
	if (!ret)
		f->buf_len = 0;
	return ret;
}

/* Read into the caller's @dst first and whatever else comes into the buffer. */
static ssize_t fd_get_some(struct stream_fd *f, uint8_t *dst, size_t len)
{
	struct iovec iov[2] = { { dst, len }, { f->buf, FD_BUF_SIZE } };
	ssize_t n;
	int ret;

	for (;;) {
		n = readv(f->fd, iov, 2);
		if (n >= 0)
			break;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		ret = fd_wait(f, POLLIN);
		if (ret)
			return ret;
	}
	f->buf_pos = 0;
	f->buf_len = (size_t)n > len ? (size_t)n - len : 0;
	return (ssize_t)((size_t)n - f->buf_len);
}

static ssize_t fd_read(void *ctx, void *buf, size_t len)
{
	struct stream_fd *f = ctx;
	size_t done = f->buf_len - f->buf_pos;

	if (done > len)
		done = len;
	memcpy(buf, f->buf + f->buf_pos, done);
	f->buf_pos += done;
	while (done < len) {
		ssize_t n = fd_get_some(f, (uint8_t *)buf + done, len - done);

		if (n < 0)
			return n;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int stream_fd_init(struct stream_fd *f, int fd, int timeout_ms)
{
	struct stat st;
	int flags;

	memset(f, 0, sizeof(*f));
	if (fstat(fd, &st))
		return -errno;
	if (timeout_ms >= 0) {
		flags = fcntl(fd, F_GETFL);
		if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK))
			return -errno;
	}
	f->buf = malloc(FD_BUF_SIZE);
	if (!f->buf)
		return -ENOMEM;
	f->fd = fd;
	f->timeout_ms = timeout_ms < 0 ? -1 : timeout_ms;
	f->is_socket = S_ISSOCK(st.st_mode);
	f->io = (struct stream_io){
		.write = fd_write, .read = fd_read, .flush = fd_flush, .ctx = f,
	};
	return 0;
}

void stream_fd_release(struct stream_fd *f)
{
	free(f->buf);
	f->buf = NULL;
	f->buf_len = 0;
	f->buf_pos = 0;
}

static int mem_write(void *ctx, const void *buf, size_t len)
{
	struct stream_mem *m = ctx;
	size_t cap = m->cap;
	uint8_t *data;

	if (m->borrowed)
		return -EROFS;
	if (len > SIZE_MAX / 4 - m->len)
		return -EFBIG;
	while (cap < m->len + len)
		cap = cap ? cap * 2 : 4096;
	if (cap != m->cap) {
		data = realloc(m->data, cap);
		if (!data)
			return -ENOMEM;
		m->data = data;
		m->cap = cap;
	}
	if (len)
		memcpy(m->data + m->len, buf, len);
	m->len += len;
	return 0;
}

static ssize_t mem_read(void *ctx, void *buf, size_t len)
{
	struct stream_mem *m = ctx;

	if (len > m->len - m->pos)
		len = m->len - m->pos;
	if (len)
		memcpy(buf, m->data + m->pos, len);
	m->pos += len;
	return (ssize_t)len;
}

void stream_mem_init(struct stream_mem *m)
{
	*m = (struct stream_mem){
		.io = { .write = mem_write, .read = mem_read, .ctx = m },
	};
}

void stream_mem_view(struct stream_mem *m, const void *data, size_t len)
{
	stream_mem_init(m);
	m->data = (uint8_t *)data;
	m->len = len;
	m->borrowed = true;
}

void stream_mem_release(struct stream_mem *m)
{
	if (!m->borrowed)
		free(m->data);
	m->data = NULL;
	m->len = 0;
	m->pos = 0;
	m->cap = 0;
}
