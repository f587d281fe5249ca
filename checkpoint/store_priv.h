/* SPDX-License-Identifier: Apache-2.0 */
/* What the kinds of stores share behind checkpoint/store.h; for store*.c only. */
#ifndef CHECKPOINT_STORE_PRIV_H
#define CHECKPOINT_STORE_PRIV_H

#include "checkpoint/store.h"

/**
 * store_fail() - remember a failure's one line in the handle.
 * @s:   the handle
 * @err: the negative errno to return
 * @fmt: what happened; no secrets, control characters are replaced
 *
 * Return: @err, so that a failing function ends with `return store_fail(...)`.
 */
int store_fail(struct store *s, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** store_part_valid() - whether @part of @len bytes may be one half of a name. */
bool store_part_valid(const char *part, size_t len);

/** store_name_valid() - whether @name is "DOMAIN/OBJECT" of two valid parts. */
bool store_name_valid(const char *name);

/** A list growing up to STORE_OBJECTS_MAX; all zero is an empty one. */
struct store_list {
	struct store_object *objects;
	size_t nr;
	size_t cap;
};

/** store_list_add() - append one object.  0; -E2BIG; -ENOMEM; -EINVAL the name. */
int store_list_add(struct store_list *l, const char *domain, const char *object, uint64_t size,
		   int64_t mtime_ns);

#endif
