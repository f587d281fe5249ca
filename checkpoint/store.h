/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where checkpoints are kept: one small interface over directories, HTTP, S3.
 *
 * A store holds objects: bytes under a name.  Invariant of every store: an
 * object exists entirely or not at all.  What store_put_commit() reported as
 * done is durable; what was not committed is never listed, and never read.
 *
 * Names: two parts, "DOMAIN/OBJECT", each 1..128 bytes of A-Z a-z 0-9 . _ -,
 * no leading dot.  Everything else is refused with -EINVAL, here, before a
 * store sees it.
 *
 * A handle belongs to one thread at a time; several puts and gets may be under
 * way on it.  Memory is bounded by the caller's buffers and STORE_MEMORY_MAX for
 * each put, whatever the other side says.  What each kind promises, and what it
 * takes from the environment: docs/stores.md.
 */
#ifndef CHECKPOINT_STORE_H
#define CHECKPOINT_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define STORE_NAME_MAX		128u		/* of each part of a name */
#define STORE_MEMORY_MAX	(16u << 20)	/* buffers of one put, at most */
#define STORE_OBJECTS_MAX	100000u		/* in one list */

struct store;
struct store_put;

/** What is known of an object without reading it. */
struct store_object {
	char name[2 * STORE_NAME_MAX + 2];	/* "DOMAIN/OBJECT" */
	uint64_t size;				/* bytes */
	int64_t mtime_ns;			/* CLOCK_REALTIME, 0 if the store has none */
};

/**
 * store_open() - reach a store by its address.
 * @address: a directory path, "file:PATH", "http(s)://HOST[:PORT]/PREFIX/" (a
 *           server with WebDAV: PUT, MOVE, GET with ranges, DELETE, PROPFIND),
 *           or "s3://BUCKET/PREFIX" (endpoint, region and keys: docs/stores.md)
 * @out:     the handle
 * @why:     one line on failure
 *
 * Credentials come from a file or the environment, never from @address: one
 * with a user name or password in it is refused.  A directory is made if its
 * parent exists.  Leftovers of writers that died are swept: here in a directory
 * and in S3 (one request, whose failure is not this one's), by store_list() over
 * HTTP, which sends nothing here.
 * Return: 0; -EINVAL the address, or a variable; -EACCES; -ENOMEM; -errno.
 */
int store_open(const char *address, struct store **out, char why[200]);

/** store_close() - give a handle back; NULL is fine. */
void store_close(struct store *s);

/** store_error() - the last failure on this handle in one line, "" if none. */
const char *store_error(const struct store *s);

/** store_address() - what it was opened by. */
const char *store_address(const struct store *s);

/* --- writing ---------------------------------------------------------------- */

/**
 * store_put_begin() - start a new object.
 * Return: 0; -EEXIST an object of that name is there; -EINVAL; -errno.
 */
int store_put_begin(struct store *s, const char *name, struct store_put **out);

/** store_put_write() - the next @len bytes.  0 or -errno; errors are sticky. */
int store_put_write(struct store_put *p, const void *buf, size_t len);

/**
 * store_put_commit() - make the object exist, durably; @p is gone afterwards.
 * Return: 0; -EEXIST; -errno, and then nothing of the object exists - unless a
 * server went away just then: then it exists entirely or not at all, and the next
 * list tells.
 */
int store_put_commit(struct store_put *p);

/** store_put_abort() - forget it; @p is gone; NULL is fine.  The error line stays. */
void store_put_abort(struct store_put *p);

/* --- reading ---------------------------------------------------------------- */

/**
 * store_get() - bytes of an object.
 * @offset, @len: the range; @len up to 4 MiB
 * Return: bytes read, fewer than @len only at the object's end; -ENOENT;
 * -EPROTO the store lied about a length; -ETIMEDOUT; -errno.
 */
ssize_t store_get(struct store *s, const char *name, uint64_t offset, void *buf, size_t len);

/** store_stat() - size and time of one object.  0; -ENOENT; -errno. */
int store_stat(struct store *s, const char *name, struct store_object *out);

/**
 * store_list() - all objects of a domain, or of all domains.
 * @domain: NULL for all
 * @out:    malloc()ed array of @nr, sorted by name; free() it
 * Return: 0 (also when there are none); -E2BIG; -ENOMEM; -errno.
 */
int store_list(struct store *s, const char *domain, struct store_object **out, size_t *nr);

/** store_delete() - remove an object, durably.  0; -ENOENT; -errno. */
int store_delete(struct store *s, const char *name);

/* --- for stores (checkpoint/store_*.c) ---------------------------------------- */

/** One kind of store: each entry as the function of the same name above. */
struct store_ops {
	const char *scheme;			/* "file", "http", "https", "s3" */
	int (*open)(struct store *s, const char *address, char why[200]);
	void (*close)(struct store *s);
	int (*put_begin)(struct store_put *p);
	int (*put_write)(struct store_put *p, const void *buf, size_t len);
	int (*put_commit)(struct store_put *p);
	void (*put_abort)(struct store_put *p);
	ssize_t (*get)(struct store *s, const char *name, uint64_t offset, void *buf, size_t len);
	int (*stat)(struct store *s, const char *name, struct store_object *out);
	int (*list)(struct store *s, const char *domain, struct store_object **out, size_t *nr);
	int (*remove)(struct store *s, const char *name);
};

struct store {
	const struct store_ops *ops;
	char *address;
	char error[200];
	void *priv;				/* the kind's own */
};

struct store_put {
	struct store *store;
	char name[2 * STORE_NAME_MAX + 2];
	int err;				/* sticky */
	void *priv;				/* the kind's own */
};

extern const struct store_ops store_dir_ops;	/* checkpoint/store_dir.c */
extern const struct store_ops store_http_ops;	/* checkpoint/store_http.c */
extern const struct store_ops store_https_ops;
extern const struct store_ops store_s3_ops;	/* checkpoint/store_s3.c */

#endif
