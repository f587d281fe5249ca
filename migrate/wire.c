// SPDX-License-Identifier: Apache-2.0
/* One JSON object a line, bounded. */
#include "migrate/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int wire_send(const struct stream_io *io, json_t *msg)
{
	char *text = msg ? json_dumps(msg, JSON_COMPACT) : NULL;
	size_t len;
	int ret;

	json_decref(msg);
	if (!text)
		return -ENOMEM;
	len = strlen(text);
	if (len >= WIRE_LINE_MAX) {
		free(text);
		return -EMSGSIZE;
	}
	text[len] = '\n';
	ret = io->write(io->ctx, text, len + 1);
	if (!ret && io->flush)
		ret = io->flush(io->ctx);
	free(text);
	return ret;
}

int wire_recv(const struct stream_io *io, json_t **msg)
{
	char *line = malloc(WIRE_LINE_MAX);
	json_error_t err;
	size_t len = 0;
	int ret = 0;

	*msg = NULL;
	if (!line)
		return -ENOMEM;
	for (;;) {
		ssize_t n = io->read(io->ctx, line + len, 1);

		if (n < 0)
			ret = (int)n;
		else if (!n)
			ret = -ENODATA;
		else if (line[len] == '\n')
			break;
		else if (++len == WIRE_LINE_MAX)
			ret = -EBADMSG;
		if (ret)
			goto out;
	}
	*msg = json_loadb(line, len, JSON_REJECT_DUPLICATES, &err);
	if (!json_is_object(*msg)) {
		json_decref(*msg);
		*msg = NULL;
		ret = -EBADMSG;
	}
out:
	free(line);
	return ret;
}

int wire_is(const json_t *msg, const char *name)
{
	return !strcmp(wire_text(msg, "msg", ""), name);
}

const char *wire_text(const json_t *msg, const char *member, const char *fallback)
{
	const char *text = json_string_value(json_object_get(msg, member));

	return text ? text : fallback;
}
