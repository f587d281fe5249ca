/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An object of a store as something to read in order or at random: a stream_io
 * for the stream's reader, with read-ahead.
 *
 * Invariant: never a byte from beyond the size that the store stated when the
 * object was opened, and never fewer: a store that then gives less has lied
 * (-EPROTO).  Memory is the read-ahead buffer.
 */
#ifndef CHECKPOINT_OBJECT_H
#define CHECKPOINT_OBJECT_H

#include <stdio.h>

#include "checkpoint/store.h"
#include "checkpoint/stream.h"

#define OBJECT_AHEAD_SKIM	((size_t)16 << 10)	/* headers and entries of a batch */
#define OBJECT_AHEAD_ALL	((size_t)1 << 20)

/* The fields are private; the caller provides the storage. */
struct object {
	struct stream_io io;		/* reading only */
	struct store *store;
	char name[2 * STORE_NAME_MAX + 2];
	uint64_t size;
	uint64_t pos;
	size_t ahead;
	uint8_t *buf;
	uint64_t buf_at;		/* offset of buf[0] */
	size_t buf_len;
};

/**
 * object_open() - begin to read an object at its first byte.
 * @o:     storage; object_close() it, also after a failure
 * @s:     must stay
 * @name:  "DOMAIN/OBJECT"
 * @ahead: bytes asked for at once, up to 4 MiB
 *
 * Return: 0; -ENOENT; -ENOMEM; an error of the store.
 */
int object_open(struct object *o, struct store *s, const char *name, size_t ahead);

/** object_close() - free the buffer. */
void object_close(struct object *o);

/** object_skip() - pass over @len bytes; ctx is the object.  0; -ENODATA beyond the end. */
int object_skip(void *ctx, uint64_t len);

/**
 * object_read_at() - exactly @len bytes from @offset, past the buffer.
 * Return: 0; -ENODATA when the object ends before that; -EPROTO; an error of the store.
 */
int object_read_at(const struct object *o, uint64_t offset, void *buf, size_t len);

/** object_file() - the same as a FILE to read from; NULL with errno.  Close it before @o. */
FILE *object_file(struct object *o);

#endif
