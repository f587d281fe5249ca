/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chain as a stream to read: what restore takes from a file, it can take from
 * here, although no file has it.
 *
 * A thread of its own runs chain_write_merged() into a socket pair, whose other
 * end the caller reads.  Invariant: between open and close the chain and its
 * store's handle belong to that thread.  When the chain turns out to be damaged, the reader sees the stream
 * end in the middle, and chain_pipe_close() knows why.
 */
#ifndef CHECKPOINT_CHAIN_PIPE_H
#define CHECKPOINT_CHAIN_PIPE_H

#include "checkpoint/chain.h"

struct chain_pipe;

/** What goes through it: writes all of a stream, as chain_write_merged() does. */
typedef int (*chain_write_fn)(struct chain *c, struct stream_writer *w, void *ctx);

/**
 * chain_pipe_open() - begin to write.
 * @c:   neither it nor its store is used until chain_pipe_close(); open it with CHAIN_CHECK where a
 *       failure in the middle is unwelcome
 * @write: what to write, with @ctx; NULL: chain_write_merged() as an image
 * @out: the pipe
 *
 * Return: 0; -ENOMEM; -errno of socketpair(2) or pthread_create(3).
 */
int chain_pipe_open(struct chain *c, chain_write_fn write, void *ctx, struct chain_pipe **out);

/** chain_pipe_fd() - to read the stream from; the pipe's, closed with it. */
int chain_pipe_fd(const struct chain_pipe *p);

/**
 * chain_pipe_close() - stop, whether all was read or not, and wait for the thread.
 * @why: one line if the chain could not be read; may be NULL
 *
 * Return: 0, also when the caller stopped early; errors of chain_write_merged().
 */
int chain_pipe_close(struct chain_pipe *p, char why[CHAIN_WHY]);

#endif
