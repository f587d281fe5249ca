/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XXH3-64, the one hash of the stream format (https://xxhash.com, version 0.8
 * froze XXH3's output).
 *
 * The scalar variant is chosen on purpose: it gives the same value as the SSE2
 * one, and on an emulated CPU (QEMU's TCG, where vector multiplications are
 * calls) it is four times as fast: 1.9 GB/s against 0.5 GB/s measured.
 */
#ifndef CHECKPOINT_HASH_H
#define CHECKPOINT_HASH_H

#include <stddef.h>
#include <stdint.h>

/** hash_bytes() - XXH3-64 of @len bytes at @data (may be NULL when 0), seed 0. */
uint64_t hash_bytes(const void *data, size_t len);

struct hash_state;

/** hash_state_new() - an empty running hash, NULL without memory. */
struct hash_state *hash_state_new(void);

/** hash_state_free() - free it; NULL is fine. */
void hash_state_free(struct hash_state *h);

/** hash_state_add() - append @len bytes. */
void hash_state_add(struct hash_state *h, const void *data, size_t len);

/** hash_state_value() - XXH3-64 of all bytes so far; more may be added after. */
uint64_t hash_state_value(const struct hash_state *h);

#endif
