/* SPDX-License-Identifier: Apache-2.0 */
/* XXH3-64 behind checkpoint/hash.h, where the choice of variant is explained. */
#define XXH_INLINE_ALL
#define XXH_VECTOR 0	/* XXH_SCALAR */
#include <xxhash.h>

#include "checkpoint/hash.h"

uint64_t hash_bytes(const void *data, size_t len)
{
	return XXH3_64bits(data, len);
}

struct hash_state *hash_state_new(void)
{
	XXH3_state_t *s = XXH3_createState();

	if (s)
		XXH3_64bits_reset(s);
	return (struct hash_state *)s;
}

void hash_state_free(struct hash_state *h)
{
	XXH3_freeState((XXH3_state_t *)h);
}

void hash_state_add(struct hash_state *h, const void *data, size_t len)
{
	XXH3_64bits_update((XXH3_state_t *)h, data, len);
}

uint64_t hash_state_value(const struct hash_state *h)
{
	return XXH3_64bits_digest((const XXH3_state_t *)h);
}
