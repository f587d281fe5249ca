/* SPDX-License-Identifier: Apache-2.0 */
/* Atomic words, bit operations on them, and memory order, over the compiler's builtins. */
#pragma once
#include <pv/types.h>

#define atomic_load(p)		__atomic_load_n((p), __ATOMIC_ACQUIRE)
#define atomic_store(p, v)	__atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define atomic_add(p, v)	__atomic_add_fetch((p), (v), __ATOMIC_SEQ_CST)
#define atomic_sub(p, v)	__atomic_sub_fetch((p), (v), __ATOMIC_SEQ_CST)
#define atomic_xchg(p, v)	__atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
#define atomic_or(p, v)		__atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST)
#define atomic_and(p, v)	__atomic_fetch_and((p), (v), __ATOMIC_SEQ_CST)
/** atomic_cas() - true if *@p was *@old and is now @v; otherwise *@old gets what it was. */
#define atomic_cas(p, old, v)	__atomic_compare_exchange_n((p), (old), (v), false, \
				__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
#define smp_mb()		__atomic_thread_fence(__ATOMIC_SEQ_CST)
#define smp_rmb()		__atomic_thread_fence(__ATOMIC_ACQUIRE)
#define smp_wmb()		__atomic_thread_fence(__ATOMIC_RELEASE)

static inline bool test_bit(unsigned int nr, const uint64_t *w)
{
	return (ACCESS_ONCE(w[nr / 64]) >> (nr % 64)) & 1;
}
static inline bool test_and_set_bit(unsigned int nr, uint64_t *w)
{
	return (atomic_or(&w[nr / 64], BIT(nr % 64)) >> (nr % 64)) & 1;
}
static inline bool test_and_clear_bit(unsigned int nr, uint64_t *w)
{
	return (atomic_and(&w[nr / 64], ~BIT(nr % 64)) >> (nr % 64)) & 1;
}
/** bits_count() - how many bits of @w are set; in parallel, in ever wider fields. */
static inline unsigned int bits_count(uint64_t w)
{
	w -= w >> 1 & 0x5555555555555555UL;
	w = (w & 0x3333333333333333UL) + (w >> 2 & 0x3333333333333333UL);
	w = (w + (w >> 4)) & 0x0f0f0f0f0f0f0f0fUL;
	return (unsigned int)(w * 0x0101010101010101UL >> 56);
}
static inline void set_bit(unsigned int nr, uint64_t *w) { test_and_set_bit(nr, w); }
static inline void clear_bit(unsigned int nr, uint64_t *w) { test_and_clear_bit(nr, w); }
