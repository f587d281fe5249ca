/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store in memory, which keeps the promise of checkpoint/store.h (all or
 * nothing) and can be told to die: from its n-th changing operation on, every
 * call fails, as if the process had been killed or the store had gone.
 */
#ifndef TESTS_UNIT_FAKE_FAKE_STORE_H
#define TESTS_UNIT_FAKE_FAKE_STORE_H

#include "checkpoint/store.h"

struct fake_object {
	char name[2 * STORE_NAME_MAX + 2];
	uint8_t *data;
	size_t len;
};

struct fake_store {
	struct store store;		/* hand &fake->store to the code under test */
	struct fake_object *obj;
	size_t nr;
	uint64_t writes;		/* operations that change something, so far */
	uint64_t die_at;		/* this one fails, and all after it; 0 never */
	bool dead;
	uint64_t bytes_read;
	const char *get_fails;		/* store_get() of this object: get_error */
	int get_error;
	uint64_t lie_about_size;	/* bytes that store_stat() adds */
};

/** fake_store_init() - empty. */
void fake_store_init(struct fake_store *f);

/** fake_store_release() - free all objects. */
void fake_store_release(struct fake_store *f);

/** fake_store_copy() - a store with the same objects, alive. */
void fake_store_copy(struct fake_store *to, const struct fake_store *from);

/** fake_store_find() - an object, NULL if there is none. */
struct fake_object *fake_store_find(struct fake_store *f, const char *name);

/** fake_store_set() - make or replace an object behind the store's back. */
void fake_store_set(struct fake_store *f, const char *name, const void *data, size_t len);

#endif
