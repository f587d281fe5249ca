/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checkpoints of one domain in a store, without their pages: what each
 * says of itself in its first records and in END, and how they hang together
 * (docs/spec/stream.md, "Chains").
 *
 * Invariant: a checkpoint is read when something about it is asked, once; what
 * it says is checked as the stream's reader does, except that END's word for
 * the stream hash is taken until somebody reads the stream (chain_open()).
 * Nothing is believed of an object's name except its order.
 *
 * A catalogue is a snapshot: it does not see what others put or delete later.
 */
#ifndef CHECKPOINT_CATALOG_H
#define CHECKPOINT_CATALOG_H

#include "checkpoint/store.h"
#include "checkpoint/stream.h"

#define CATALOG_WHY	512

enum ckpt_state {
	CKPT_UNREAD,
	CKPT_SOUND,		/* as far as was looked */
	CKPT_DAMAGED,		/* not a stream this version reads */
	CKPT_UNREADABLE,	/* the store did not give it */
};

/* One checkpoint. */
struct ckpt {
	struct store_object obj;
	enum ckpt_state state;
	int err;			/* of CKPT_DAMAGED and CKPT_UNREADABLE */
	char why[CATALOG_WHY];
	uint64_t hash;			/* its id */
	uint64_t time_ns;
	uint64_t pages, data_pages;	/* entries, of these with bytes */
	uint64_t pfn_limit;
	uint32_t vcpus;
	uint8_t uuid[16];
	bool in_chain;
	uint8_t chain_id[16];
	uint64_t seq;
	bool is_child;
	uint64_t parent_hash;
	char parent_name[STORE_NAME_MAX + 1];
	bool has_replaces;
	uint64_t replaces;
	bool indexed;
	char domain[STORE_NAME_MAX + 1];
	char host[257];
};

struct catalog {
	struct store *store;
	char domain[STORE_NAME_MAX + 1];
	struct ckpt *c;			/* oldest first */
	size_t nr;
};

/**
 * catalog_load() - list the checkpoints of a domain.
 * @cat:    storage; catalog_free() it, also after a failure
 * @s:      must stay
 * @domain: as in the store
 * @why:    one line on failure
 *
 * Return: 0, also when there are none; an error of the store; -ENOMEM.
 */
int catalog_load(struct catalog *cat, struct store *s, const char *domain,
		 char why[CATALOG_WHY]);

/** catalog_free() - free it. */
void catalog_free(struct catalog *cat);

/** catalog_get() - checkpoint @i, read if it was not yet. */
const struct ckpt *catalog_get(struct catalog *cat, size_t i);

/** catalog_id() - what people call it: the hash it was made with, also when merged since. */
uint64_t catalog_id(const struct ckpt *c);

/** ckpt_provides() - can a child that names @hash stand on @c? */
bool ckpt_provides(const struct ckpt *c, uint64_t hash);

/**
 * catalog_find() - a checkpoint by what a person typed.
 * @id: NULL, "" or "latest": the newest.  Otherwise a stream hash in hex or at least
 *      four digits of its front, a chain_seq of the newest chain, or an object name.
 * @i:  which
 * @why: one line on failure
 *
 * A checkpoint and the merged one that replaces it are the same to this: it gives
 * the merged one.
 * Return: 0; -ENOENT; -ENOTUNIQ several match; -EIO one could not be read and might.
 */
int catalog_find(struct catalog *cat, const char *id, size_t *i, char why[CATALOG_WHY]);

/**
 * catalog_parent() - what @i stands on.
 * @i: a child
 * @p: its parent
 * @why: one line on failure
 *
 * Return: 0; -ENOENT the parent is missing; -EBADMSG altered, damaged, of another
 * chain or of a wrong place in it; errors of the store.
 */
int catalog_parent(struct catalog *cat, size_t i, size_t *p, char why[CATALOG_WHY]);

/**
 * catalog_walk() - from a checkpoint to its full one.
 * @tip:    where to begin
 * @levels: gets malloc()ed indices, tip first; free() it
 * @nr:     1..1000 of them
 *
 * Return: 0; -ELOOP; -E2BIG more than 1000; as catalog_parent().
 */
int catalog_walk(struct catalog *cat, size_t tip, size_t **levels, size_t *nr,
		 char why[CATALOG_WHY]);

/**
 * catalog_children() - how many checkpoints would lose their parent with @i.
 * @skip: NULL, or a flag for each checkpoint that does not count (goes too)
 * @first: one of them; may be NULL
 *
 * One that could also stand on another (merged, original) is not counted.
 * Return: the number; -EIO if one cannot be read, so that nobody knows (see @why).
 */
int catalog_children(struct catalog *cat, size_t i, const bool *skip, size_t *first,
		     char why[CATALOG_WHY]);

/**
 * catalog_name() - the object name of a checkpoint: docs/spec/stream.md, "Chains".
 * @out:    "DOMAIN/TIME-SEQ-CHAIN.ckpt", 2 * STORE_NAME_MAX + 2 bytes
 * @domain: a legal first part of a name
 * @full:   a merged one
 */
void catalog_name(char *out, const char *domain, uint64_t time_ns, uint64_t seq,
		  const uint8_t chain_id[16], bool full);

/** catalog_drop() - forget checkpoint @i, which is no longer in the store. */
void catalog_drop(struct catalog *cat, size_t i);

/** catalog_renew() - checkpoint @i is now another object; it is read again when asked for. */
void catalog_renew(struct catalog *cat, size_t i, const char *name);

/** ckpt_object() - the second part of an object's name. */
const char *ckpt_object(const struct ckpt *c);

/** ckpt_probe() - fill @c, whose obj is set, from the store. */
void ckpt_probe(struct store *s, struct ckpt *c);

#endif
