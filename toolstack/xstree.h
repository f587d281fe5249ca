/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing trees into xenstore.
 *
 * A struct xstree is one open transaction.  Calls note the first failure and
 * do nothing after it, so a long list of writes needs one check, at
 * xstree_commit().
 */
#ifndef TOOLSTACK_XSTREE_H
#define TOOLSTACK_XSTREE_H

#include <stdbool.h>
#include <xenstore.h>

#define XSTREE_PATH_MAX 256u

struct xstree {
	struct xs_handle *xs;
	xs_transaction_t t;
	int err;		/* first failure, -errno */
};

/** xstree_begin() - start a transaction; 0 or -errno. */
int xstree_begin(struct xstree *tr, struct xs_handle *xs);

/**
 * xstree_commit() - end it.
 *
 * Return: 0; -EAGAIN if another writer was faster: build the tree again; else
 * the first failure (nothing was changed then).
 */
int xstree_commit(struct xstree *tr);

/** xstree_write() - set @dir/@name to formatted text. */
void xstree_write(struct xstree *tr, const char *dir, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/**
 * xstree_mkdir() - a node with permissions of its own.
 * @owner:  domid that may do anything
 * @reader: domid that may read
 *
 * Nodes made below it inherit both.
 */
void xstree_mkdir(struct xstree *tr, const char *path, unsigned int owner, unsigned int reader);

/** xstree_remove() - remove a path; one that is not there is fine. */
void xstree_remove(struct xstree *tr, const char *path);

/**
 * xs_read_text() - read @dir/@name outside a transaction.
 * @text: gets up to @size - 1 bytes and a NUL
 *
 * Return: 0, -ENOENT, -EFBIG (did not fit), -errno.
 */
int xs_read_text(struct xs_handle *xs, const char *dir, const char *name, char *text,
		 size_t size);

/** xs_exists() - is there such a node? */
bool xs_exists(struct xs_handle *xs, const char *path);

#endif
