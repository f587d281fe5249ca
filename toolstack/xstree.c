// SPDX-License-Identifier: Apache-2.0
/* Writing trees into xenstore: see xstree.h. */
#include "toolstack/xstree.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_MAX 2048u	/* xenstore takes 4096 bytes with the path */

static int errno_or(int fallback)
{
	return errno ? -errno : fallback;
}

int xstree_begin(struct xstree *tr, struct xs_handle *xs)
{
	*tr = (struct xstree){ .xs = xs };
	tr->t = xs_transaction_start(xs);
	return tr->t == XBT_NULL ? errno_or(-EIO) : 0;
}

int xstree_commit(struct xstree *tr)
{
	bool abort_it = tr->err != 0;

	if (!xs_transaction_end(tr->xs, tr->t, abort_it) && !abort_it)
		return errno_or(-EIO);
	return tr->err;
}

void xstree_write(struct xstree *tr, const char *dir, const char *name, const char *fmt, ...)
{
	char path[XSTREE_PATH_MAX], value[VALUE_MAX];
	va_list ap;
	int n;

	if (tr->err)
		return;
	va_start(ap, fmt);
	n = vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(value) ||
	    (size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path))
		tr->err = -ENAMETOOLONG;
	else if (!xs_write(tr->xs, tr->t, path, value, (unsigned int)n))
		tr->err = errno_or(-EIO);
}

void xstree_mkdir(struct xstree *tr, const char *path, unsigned int owner, unsigned int reader)
{
	struct xs_permissions perms[2] = {
		/* The first entry is the owner; its bits are for everybody else. */
		{ .id = owner, .perms = XS_PERM_NONE },
		{ .id = reader, .perms = XS_PERM_READ },
	};

	if (tr->err)
		return;
	if (!xs_mkdir(tr->xs, tr->t, path) ||
	    !xs_set_permissions(tr->xs, tr->t, path, perms, 2))
		tr->err = errno_or(-EIO);
}

void xstree_remove(struct xstree *tr, const char *path)
{
	if (!tr->err && !xs_rm(tr->xs, tr->t, path) && errno != ENOENT)
		tr->err = errno_or(-EIO);
}

int xs_read_text(struct xs_handle *xs, const char *dir, const char *name, char *text,
		 size_t size)
{
	char path[XSTREE_PATH_MAX];
	unsigned int len;
	char *value;
	int ret = 0;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path))
		return -ENAMETOOLONG;
	value = xs_read(xs, XBT_NULL, path, &len);
	if (!value)
		return errno_or(-EIO);
	if (len >= size) {
		ret = -EFBIG;
	} else {
		memcpy(text, value, len);
		text[len] = '\0';
	}
	free(value);
	return ret;
}

bool xs_exists(struct xs_handle *xs, const char *path)
{
	unsigned int len;
	char *value = xs_read(xs, XBT_NULL, path, &len);

	free(value);
	return value != NULL;
}
