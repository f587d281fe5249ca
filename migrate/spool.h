/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that wait: those of a checkpoint on their way from the guest to the line
 * (spool_pipe), and those of one that has to be whole before it is believed (spool).
 *
 * A pipe is why a slow line does not hold up a guest: its frozen memory is read
 * at the hypervisor's pace, and a thread sends it at the line's.  What may wait is
 * bounded; beyond that the reader waits with the line, and the hypervisor ends a
 * snapshot that takes too long, not the guest.
 */
#ifndef MIGRATE_SPOOL_H
#define MIGRATE_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "checkpoint/stream.h"

/** Bytes in memory up to a bound, beyond it in a file without name. */
struct spool {
	struct stream_io io;		/* write appends, read takes from the front */
	uint8_t *mem;
	size_t mem_len, mem_cap, mem_max;
	uint64_t file_len;
	uint64_t pos;			/* next to be read */
	int fd;				/* -1: no file yet */
	const char *dir;
};

/**
 * spool_init() - an empty one.
 * @mem_max: bytes kept in memory
 * @dir:     where the file goes; must stay
 */
void spool_init(struct spool *s, size_t mem_max, const char *dir);

/** spool_clear() - forget all; memory up to a few MB is kept for the next one. */
void spool_clear(struct spool *s);

/** spool_release() - free all. */
void spool_release(struct spool *s);

struct spool_pipe;

/**
 * spool_pipe_new() - a pipe into @to.
 * @to:      the line; used by the pipe's thread until spool_pipe_finish()
 * @max:     bytes that may wait
 * @held:    nothing is sent until spool_pipe_let_go()
 *
 * Return: 0; -ENOMEM; -EAGAIN no thread.
 */
int spool_pipe_new(const struct stream_io *to, size_t max, bool held, struct spool_pipe **out);

/** spool_pipe_io() - where to write; an error of the line comes back from here. */
const struct stream_io *spool_pipe_io(struct spool_pipe *p);

/** spool_pipe_let_go() - begin to send. */
void spool_pipe_let_go(struct spool_pipe *p);

/**
 * spool_pipe_finish() - send the rest and end.
 * @drop: do not send what has not been sent
 * @sent: gets whether any byte was given to the line; may be NULL
 *
 * Frees @p.  Return: 0; the line's error.
 */
int spool_pipe_finish(struct spool_pipe *p, bool drop, bool *sent);

#endif
