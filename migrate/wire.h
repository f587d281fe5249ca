/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few messages of the data connection that are not stream.
 *
 * After END both sides talk on the same connection, one compact JSON object a
 * line: it saves a round trip through HTTP while the guest stands, and no page
 * can be in front of them any more.  docs/migration.md lists them.
 */
#ifndef MIGRATE_WIRE_H
#define MIGRATE_WIRE_H

#include <jansson.h>

#include "checkpoint/stream.h"

#define WIRE_LINE_MAX	(64u * 1024)

/**
 * wire_send() - write one message and flush.
 * @io:  the connection
 * @msg: object; its reference is consumed, also on error
 *
 * Return: 0; -ENOMEM (also for @msg NULL); -EMSGSIZE; an error of the io.
 */
int wire_send(const struct stream_io *io, json_t *msg);

/**
 * wire_recv() - read one message.
 * @io:  the connection
 * @msg: gets a new reference
 *
 * Return: 0; -ENODATA the connection ended; -EBADMSG no JSON object, or a line
 * longer than WIRE_LINE_MAX; -ENOMEM; an error of the io, -ETIMEDOUT among them.
 */
int wire_recv(const struct stream_io *io, json_t **msg);

/** wire_is() - is member "msg" of the object this text? */
int wire_is(const json_t *msg, const char *name);

/** wire_text() - a string member, or @fallback where it is absent or no string. */
const char *wire_text(const json_t *msg, const char *member, const char *fallback);

#endif
