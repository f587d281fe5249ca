/* SPDX-License-Identifier: Apache-2.0 */
/* See checkpoint/chain_pipe.h. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "checkpoint/chain_pipe.h"

struct chain_pipe {
	struct chain *c;
	int fd[2];			/* the caller's, the thread's */
	pthread_t thread;
	chain_write_fn write;
	void *ctx;
	int ret;
	char why[CHAIN_WHY];
};

static int write_all(struct chain_pipe *p)
{
	struct stream_writer *w = NULL;
	struct stream_fd out = { 0 };
	int ret = stream_fd_init(&out, p->fd[1], -1);

	if (!ret)
		ret = stream_writer_new(&out.io, &w);
	if (!ret)
		ret = p->write ? p->write(p->c, w, p->ctx) :
				 chain_write_merged(p->c, w, CHAIN_AS_IMAGE);
	if (ret)
		snprintf(p->why, sizeof(p->why), "%s", chain_error(p->c)[0] ?
			 chain_error(p->c) : w && stream_writer_error(w)[0] ?
			 stream_writer_error(w) : strerror(-ret));
	stream_writer_free(w);
	stream_fd_release(&out);
	return ret;
}

static void *pipe_thread(void *arg)
{
	struct chain_pipe *p = arg;

	p->ret = write_all(p);
	/* The reader's end of file; the descriptor is closed after the join. */
	shutdown(p->fd[1], SHUT_WR);
	return NULL;
}

int chain_pipe_open(struct chain *c, chain_write_fn write, void *ctx, struct chain_pipe **out)
{
	struct chain_pipe *p = calloc(1, sizeof(*p));
	int ret;

	if (!p)
		return -ENOMEM;
	p->c = c;
	p->write = write;
	p->ctx = ctx;
	/* A socket, so that a reader that goes away is an error and no signal. */
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p->fd)) {
		ret = -errno;
		free(p);
		return ret;
	}
	ret = -pthread_create(&p->thread, NULL, pipe_thread, p);
	if (ret) {
		close(p->fd[0]);
		close(p->fd[1]);
		free(p);
		return ret;
	}
	*out = p;
	return 0;
}

int chain_pipe_fd(const struct chain_pipe *p)
{
	return p->fd[0];
}

int chain_pipe_close(struct chain_pipe *p, char why[CHAIN_WHY])
{
	int ret;

	close(p->fd[0]);
	pthread_join(p->thread, NULL);
	close(p->fd[1]);
	/* Nobody was left to write to: the caller's choice. */
	ret = p->ret == -EPIPE || p->ret == -ECONNRESET ? 0 : p->ret;
	if (ret && why)
		memcpy(why, p->why, CHAIN_WHY);
	free(p);
	return ret;
}
