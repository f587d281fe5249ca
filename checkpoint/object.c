/* SPDX-License-Identifier: Apache-2.0 */
/* See checkpoint/object.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/object.h"

#define GET_MAX	((size_t)4 << 20)	/* store_get()'s own bound */

int object_read_at(const struct object *o, uint64_t offset, void *buf, size_t len)
{
	uint8_t *dst = buf;

	if (offset > o->size || len > o->size - offset)
		return -ENODATA;
	while (len) {
		size_t want = len < GET_MAX ? len : GET_MAX;
		ssize_t n = store_get(o->store, o->name, offset, dst, want);

		if (n < 0)
			return (int)n;
		if (n == 0 || (size_t)n > want)
			return -EPROTO;		/* it is shorter than the store said */
		dst += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int fill(struct object *o)
{
	uint64_t left = o->size - o->pos;
	size_t len = left < o->ahead ? (size_t)left : o->ahead;
	int ret = object_read_at(o, o->pos, o->buf, len);

	o->buf_at = o->pos;
	o->buf_len = ret ? 0 : len;
	return ret;
}

/* What the buffer has at the position. */
static size_t from_buffer(struct object *o, uint8_t *dst, size_t len)
{
	size_t have;

	if (o->pos < o->buf_at || o->pos >= o->buf_at + o->buf_len)
		return 0;
	have = (size_t)(o->buf_at + o->buf_len - o->pos);
	if (have > len)
		have = len;
	memcpy(dst, o->buf + (o->pos - o->buf_at), have);
	o->pos += have;
	return have;
}

static ssize_t object_read(void *ctx, void *buf, size_t len)
{
	struct object *o = ctx;
	uint8_t *dst = buf;
	size_t done = 0;
	int ret;

	if (len > o->size - o->pos)
		len = (size_t)(o->size - o->pos);
	while (done < len) {
		size_t n = from_buffer(o, dst + done, len - done);

		done += n;
		if (n)
			continue;
		if (len - done >= o->ahead) {	/* large pieces go past the buffer */
			ret = object_read_at(o, o->pos, dst + done, len - done);
			if (ret)
				return ret;
			o->pos += len - done;
			return (ssize_t)len;
		}
		ret = fill(o);
		if (ret)
			return ret;
	}
	return (ssize_t)done;
}

int object_skip(void *ctx, uint64_t len)
{
	struct object *o = ctx;

	if (len > o->size - o->pos)
		return -ENODATA;
	o->pos += len;
	return 0;
}

int object_open(struct object *o, struct store *s, const char *name, size_t ahead)
{
	struct store_object facts;
	int ret;

	*o = (struct object){ .store = s, .ahead = ahead };
	snprintf(o->name, sizeof(o->name), "%s", name);
	o->io = (struct stream_io){ .read = object_read, .ctx = o };
	ret = store_stat(s, name, &facts);
	if (ret)
		return ret;
	o->size = facts.size;
	o->buf = malloc(ahead);
	return o->buf ? 0 : -ENOMEM;
}

void object_close(struct object *o)
{
	free(o->buf);
	o->buf = NULL;
}

static ssize_t cookie_read(void *ctx, char *buf, size_t len)
{
	ssize_t n = object_read(ctx, buf, len);

	if (n >= 0)
		return n;
	errno = (int)-n;
	return -1;
}

FILE *object_file(struct object *o)
{
	return fopencookie(o, "r", (cookie_io_functions_t){ .read = cookie_read });
}
