/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing one checkpoint of a chain into a store.
 *
 *	info->has_chain_id, chain_id, chain_seq and time_ns are set;
 *	ckpt_put_begin(s, "web", &info, &domain, seq ? &parent : NULL, &p, why);
 *	w = ckpt_put_writer(p);		P2M_INFO, one last round with its PAGES,
 *					VCPU_CONTEXT, SHARED_INFO, XENSTORE, FINAL_STATE
 *	ckpt_put_commit(p, &hash, object, why);		or ckpt_put_abort(p)
 *
 * hash and object are what the next checkpoint's Parent states.
 *
 * Invariant: the object exists in the store only after ckpt_put_commit() returned 0,
 * and then it is a whole stream with an index.
 */
#ifndef CHECKPOINT_CKPT_PUT_H
#define CHECKPOINT_CKPT_PUT_H

#include "checkpoint/catalog.h"
#include "checkpoint/store.h"
#include "checkpoint/stream.h"

struct ckpt_put;

/** ckpt_put_new_chain() - a chain_id that nobody else has.  0; -errno of getrandom(2). */
int ckpt_put_new_chain(uint8_t chain_id[16]);

/**
 * ckpt_put_begin() - begin an object; header, STREAM_INFO, DOMAIN_INFO, PARENT.
 * @s:      must stay until commit or abort, and is not used for anything else
 * @domain: first part of the object's name (store.h says which bytes it may have)
 * @info:   with chain_id, chain_seq, time_ns; mode CHECKPOINT
 * @d:      whole, also in a child
 * @parent: of a child; NULL for the first of a chain
 * @out:    the put
 * @why:    one line on failure
 *
 * Return: 0; -EINVAL the messages; -EEXIST; -ENOMEM; errors of the store.
 */
int ckpt_put_begin(struct store *s, const char *domain, const Stream__StreamInfo *info,
		   const Stream__DomainInfo *d, const Stream__Parent *parent,
		   struct ckpt_put **out, char why[CATALOG_WHY]);

/** ckpt_put_writer() - for everything up to FINAL_STATE; the put's. */
struct stream_writer *ckpt_put_writer(struct ckpt_put *p);

/**
 * ckpt_put_commit() - index, END, and make it exist; @p is gone, whatever happens.
 * @hash:   its id; may be NULL
 * @object: second part of its name, STORE_NAME_MAX + 1 bytes; may be NULL
 * @why:    one line on failure
 *
 * Return: 0; errors of the writer and of the store, and then nothing of it exists.
 */
int ckpt_put_commit(struct ckpt_put *p, uint64_t *hash, char *object, char why[CATALOG_WHY]);

/** ckpt_put_abort() - forget it; @p is gone; NULL is fine. */
void ckpt_put_abort(struct ckpt_put *p);

#endif
