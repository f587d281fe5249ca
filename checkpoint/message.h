/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata messages: which protobuf belongs to which record type, and the
 * rules about single fields that docs/spec/stream.md states.
 *
 * Invariant: a message that message_check() passed has every required field,
 * every string free of control characters, every count, length and pfn below
 * its bound.  Writer and reader use the same check.
 */
#ifndef CHECKPOINT_MESSAGE_H
#define CHECKPOINT_MESSAGE_H

#include <stdint.h>

#include "checkpoint/reason.h"
#include "checkpoint/stream.h"

/* What STREAM_INFO and DOMAIN_INFO promised; zero before them. */
struct message_limits {
	uint32_t vcpus;
	uint64_t pfn_limit;
	uint64_t parent_seq;		/* STREAM_INFO: chain_seq - 1, if there is a parent */
};

struct message_kind {
	uint32_t type;
	const char *name;
	const ProtobufCMessageDescriptor *desc;		/* NULL for PAGES, PAGE_INDEX */
	int (*check)(const ProtobufCMessage *msg, const struct message_limits *lim,
		     struct stream_reason *why);
};

/** message_kind_find() - what @type is, NULL if this version does not know it. */
const struct message_kind *message_kind_find(uint32_t type);

/**
 * message_unpack() - decode a payload with bounded memory.
 * @kind: a kind with a descriptor
 * @data: payload
 * @len:  bytes, below 1 MiB
 * @out:  the message; free it with message_free()
 * @why:  reason when it fails
 *
 * A small message can claim a large structure (two bytes per empty element), so
 * what it may allocate is bounded too.
 *
 * Return: 0; -EBADMSG not a message of that kind, or too much memory wanted.
 */
int message_unpack(const struct message_kind *kind, const void *data, size_t len,
		   ProtobufCMessage **out, struct stream_reason *why);

/** message_free() - free what message_unpack() gave; NULL is fine. */
void message_free(ProtobufCMessage *msg);

/**
 * message_check() - the rules about fields.
 * @kind: kind of @msg
 * @msg:  message
 * @lim:  bounds that DOMAIN_INFO gave
 * @why:  reason when it fails
 *
 * Return: 0; -EBADMSG; -EOPNOTSUPP for a feature that is reserved.
 */
int message_check(const struct message_kind *kind, const ProtobufCMessage *msg,
		  const struct message_limits *lim, struct stream_reason *why);

#endif
