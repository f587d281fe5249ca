// SPDX-License-Identifier: Apache-2.0
/* See spool.h. */
#include "migrate/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEEP_BYTES	((size_t)16 << 20)
#define CHUNK_BYTES	((size_t)256 << 10)

/* --- spool ---------------------------------------------------------------------------- */

static int open_file(struct spool *s)
{
	s->fd = open(s->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return s->fd < 0 ? -errno : 0;
}

static int file_write(struct spool *s, const uint8_t *buf, size_t len)
{
	int ret = s->fd < 0 ? open_file(s) : 0;

	while (!ret && len) {
		ssize_t n = pwrite(s->fd, buf, len, (off_t)s->file_len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		s->file_len += (uint64_t)n;
		buf += n;
		len -= (size_t)n;
	}
	return ret;
}

static int mem_grow(struct spool *s, size_t need)
{
	size_t cap = s->mem_cap ? s->mem_cap : (size_t)1 << 20;
	uint8_t *more;

	if (need <= s->mem_cap)
		return 0;
	while (cap < need)
		cap *= 2;
	if (cap > s->mem_max)
		cap = s->mem_max;
	more = realloc(s->mem, cap);
	if (!more)
		return -ENOMEM;
	s->mem = more;
	s->mem_cap = cap;
	return 0;
}

static int spool_write(void *ctx, const void *buf, size_t len)
{
	struct spool *s = ctx;
	size_t room = s->file_len ? 0 : s->mem_max - s->mem_len;
	size_t part = len < room ? len : room;

	/* Without memory the file takes what comes from here on. */
	if (part && mem_grow(s, s->mem_len + part))
		part = 0;
	memcpy(s->mem + s->mem_len, buf, part);
	s->mem_len += part;
	return part < len ? file_write(s, (const uint8_t *)buf + part, len - part) : 0;
}

static ssize_t spool_read(void *ctx, void *buf, size_t len)
{
	struct spool *s = ctx;
	size_t done = 0;

	if (s->pos < s->mem_len) {
		done = s->mem_len - s->pos < len ? (size_t)(s->mem_len - s->pos) : len;
		memcpy(buf, s->mem + s->pos, done);
		s->pos += done;
	}
	while (done < len && s->pos - s->mem_len < s->file_len) {
		ssize_t n = pread(s->fd, (uint8_t *)buf + done, len - done,
				  (off_t)(s->pos - s->mem_len));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		done += (size_t)n;
		s->pos += (uint64_t)n;
	}
	return (ssize_t)done;
}

void spool_init(struct spool *s, size_t mem_max, const char *dir)
{
	*s = (struct spool) {
		.io = { .write = spool_write, .read = spool_read, .ctx = s },
		.mem_max = mem_max, .fd = -1, .dir = dir,
	};
}

void spool_clear(struct spool *s)
{
	if (s->mem_cap > KEEP_BYTES) {
		free(s->mem);
		s->mem = NULL;
		s->mem_cap = 0;
	}
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->mem_len = 0;
	s->file_len = s->pos = 0;
}

void spool_release(struct spool *s)
{
	spool_clear(s);
	free(s->mem);
	s->mem = NULL;
	s->mem_cap = 0;
}

/* --- pipe ------------------------------------------------------------------------------- */

struct chunk {
	struct chunk *next;
	size_t len;
	uint8_t bytes[];
};

struct spool_pipe {
	struct stream_io io;
	const struct stream_io *to;
	size_t max;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct chunk *first, **last;
	size_t waiting;			/* bytes */
	bool held, ended, drop, sent;
	int err;			/* of the line */
};

static int pipe_write(void *ctx, const void *buf, size_t len)
{
	struct spool_pipe *p = ctx;
	const uint8_t *from = buf;
	int ret = 0;

	pthread_mutex_lock(&p->lock);
	while (len && !ret) {
		size_t part = len < CHUNK_BYTES ? len : CHUNK_BYTES;
		struct chunk *c;

		while (!p->err && !p->held && p->waiting && p->waiting + part > p->max)
			pthread_cond_wait(&p->changed, &p->lock);
		c = p->err ? NULL : malloc(sizeof(*c) + part);
		ret = p->err ? p->err : c ? 0 : -ENOMEM;
		if (ret)
			break;
		c->next = NULL;
		c->len = part;
		memcpy(c->bytes, from, part);
		*p->last = c;
		p->last = &c->next;
		p->waiting += part;
		from += part;
		len -= part;
		if (!p->held)
			pthread_cond_broadcast(&p->changed);
	}
	pthread_mutex_unlock(&p->lock);
	return ret;
}

static struct chunk *take_locked(struct spool_pipe *p)
{
	struct chunk *c = p->first;

	p->first = c->next;
	if (!p->first)
		p->last = &p->first;
	return c;
}

static void *send_thread(void *arg)
{
	struct spool_pipe *p = arg;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct chunk *c;
		int ret;

		while (!p->drop && !p->err && (p->held || !p->first) && !p->ended)
			pthread_cond_wait(&p->changed, &p->lock);
		if (p->drop || p->err || !p->first)
			break;
		c = take_locked(p);
		p->sent = true;
		pthread_mutex_unlock(&p->lock);
		/* What the line gathers is flushed once, by spool_pipe_finish(). */
		ret = p->to->write(p->to->ctx, c->bytes, c->len);
		pthread_mutex_lock(&p->lock);
		p->waiting -= c->len;
		p->err = ret;
		free(c);
		pthread_cond_broadcast(&p->changed);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

int spool_pipe_new(const struct stream_io *to, size_t max, bool held, struct spool_pipe **out)
{
	struct spool_pipe *p = calloc(1, sizeof(*p));
	int ret;

	if (!p)
		return -ENOMEM;
	p->io = (struct stream_io) { .write = pipe_write, .ctx = p };
	p->to = to;
	p->max = max;
	p->held = held;
	p->last = &p->first;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	ret = -pthread_create(&p->thread, NULL, send_thread, p);
	if (ret) {
		pthread_cond_destroy(&p->changed);
		pthread_mutex_destroy(&p->lock);
		free(p);
		return ret;
	}
	*out = p;
	return 0;
}

const struct stream_io *spool_pipe_io(struct spool_pipe *p)
{
	return &p->io;
}

void spool_pipe_let_go(struct spool_pipe *p)
{
	pthread_mutex_lock(&p->lock);
	p->held = false;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

int spool_pipe_finish(struct spool_pipe *p, bool drop, bool *sent)
{
	int ret;

	pthread_mutex_lock(&p->lock);
	p->ended = true;
	p->drop = drop;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
	ret = p->err;
	if (!ret && !drop && p->to->flush)
		ret = p->to->flush(p->to->ctx);
	if (sent)
		*sent = p->sent;
	while (p->first)
		free(take_locked(p));
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	free(p);
	return ret;
}
