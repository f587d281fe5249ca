// SPDX-License-Identifier: Apache-2.0
/*
 * A domain from a checkpoint of a store: the chain is merged into a stream by one
 * thread while another builds the domain of it.
 *
 * Invariant: the domain is complete only if the merge was; what the reader sees of a
 * merge that failed is a stream without END, which it refuses.
 */
#include "checkpoint/image.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "checkpoint/chain.h"

struct feeder {
	struct chain *chain;
	int fd;				/* closed when all is written, or nobody reads */
	int err;
	char why[200];
};

static int feed_stream(struct feeder *f, struct stream_fd *out)
{
	struct stream_writer *w;
	int ret = stream_writer_new(&out->io, &w);

	if (ret)
		return ret;
	ret = chain_write_merged(f->chain, w, CHAIN_AS_IMAGE);
	if (ret && chain_error(f->chain)[0])
		snprintf(f->why, sizeof(f->why), "%.199s", chain_error(f->chain));
	stream_writer_free(w);
	return ret;
}

static void *feed(void *arg)
{
	struct feeder *f = arg;
	struct stream_fd out = { 0 };

	f->err = stream_fd_init(&out, f->fd, -1);
	if (!f->err)
		f->err = feed_stream(f, &out);
	stream_fd_release(&out);
	close(f->fd);
	return NULL;
}

int image_restore_chain(const struct image_restore_params *p, struct chain *c,
			struct image_result *out)
{
	struct feeder f = { .chain = c };
	pthread_t thread;
	int ends[2], ret;

	*out = (struct image_result) { 0 };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return -errno;
	f.fd = ends[1];
	ret = -pthread_create(&thread, NULL, feed, &f);
	if (ret) {
		close(ends[0]);
		close(ends[1]);
		return ret;
	}
	ret = image_restore_fd(p, ends[0], out);
	close(ends[0]);			/* a feeder that is not done gets -EPIPE */
	pthread_join(thread, NULL);
	/* Its own error came first, unless it only saw that nobody reads any more. */
	if (ret && f.err && f.why[0]) {
		snprintf(out->error, sizeof(out->error), "%s", f.why);
		ret = f.err;
	}
	return ret;
}
