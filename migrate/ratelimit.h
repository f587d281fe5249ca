/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token bucket for --bandwidth.  Pure: the caller brings the clock.
 *
 * Tokens are bytes.  They drip in at the rate, never above the burst.  A write
 * is always allowed to happen whole and may leave a debt; the next one waits
 * until the debt is paid.  So over any span the bytes taken are at most
 * burst + rate * span + one write, and no token is lost to rounding: what is
 * below one byte is carried on.
 *
 * Not locked; one bucket belongs to one sender.
 */
#ifndef MIGRATE_RATELIMIT_H
#define MIGRATE_RATELIMIT_H

#include <stdint.h>

struct ratelimit {
	uint64_t bytes_per_s;		/* 0: no limit */
	uint64_t burst_bytes;
	uint64_t tokens;		/* 0..burst_bytes; 0 while in debt */
	uint64_t debt;			/* bytes taken beyond the tokens */
	uint64_t last_us;		/* time up to which tokens were credited */
	uint32_t drip;			/* millionths of a byte not yet credited */
};

/** Bytes that may pass at once: 20 ms of the rate, and at least 64 KiB. */
#define RATELIMIT_BURST_MIN	65536

/**
 * ratelimit_init() - start with a full bucket.
 * @rl:          the bucket
 * @bytes_per_s: 0 for no limit
 * @now_us:      monotonic time
 */
void ratelimit_init(struct ratelimit *rl, uint64_t bytes_per_s, uint64_t now_us);

/**
 * ratelimit_take() - account a write that is about to happen.
 * @rl:     the bucket
 * @bytes:  size of the write
 * @now_us: monotonic time; going back counts as standing still
 *
 * Return: microseconds to wait before the write after this one may start,
 * 0 for none.
 */
uint64_t ratelimit_take(struct ratelimit *rl, uint64_t bytes, uint64_t now_us);

/**
 * ratelimit_wait() - microseconds until a write may start, 0 for now.
 * @rl:     the bucket
 * @now_us: monotonic time
 */
uint64_t ratelimit_wait(struct ratelimit *rl, uint64_t now_us);

#endif
