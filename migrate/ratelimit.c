// SPDX-License-Identifier: Apache-2.0
/*
 * Token bucket for --bandwidth.  Contract in ratelimit.h.
 */
#include <string.h>

#include "migrate/ratelimit.h"

#define US_PER_S 1000000

static uint64_t saturate(unsigned __int128 v)
{
	return v > UINT64_MAX ? UINT64_MAX : (uint64_t)v;
}

static void settle(struct ratelimit *rl, uint64_t gained)
{
	uint64_t pay = gained < rl->debt ? gained : rl->debt;

	rl->debt -= pay;
	gained -= pay;
	if (gained > rl->burst_bytes - rl->tokens)
		rl->tokens = rl->burst_bytes;
	else
		rl->tokens += gained;
}

/* The part below one byte is carried, so that a caller polling every
 * microsecond gets the same rate as a patient one. */
static void credit(struct ratelimit *rl, uint64_t now_us)
{
	unsigned __int128 drip;

	if (now_us <= rl->last_us)
		return;
	drip = (unsigned __int128)(now_us - rl->last_us) * rl->bytes_per_s + rl->drip;
	rl->drip = (uint32_t)(drip % US_PER_S);
	rl->last_us = now_us;
	settle(rl, saturate(drip / US_PER_S));
}

void ratelimit_init(struct ratelimit *rl, uint64_t bytes_per_s, uint64_t now_us)
{
	memset(rl, 0, sizeof(*rl));
	rl->bytes_per_s = bytes_per_s;
	rl->burst_bytes = bytes_per_s / 50;
	if (rl->burst_bytes < RATELIMIT_BURST_MIN)
		rl->burst_bytes = RATELIMIT_BURST_MIN;
	rl->tokens = rl->burst_bytes;
	rl->last_us = now_us;
}

uint64_t ratelimit_wait(struct ratelimit *rl, uint64_t now_us)
{
	unsigned __int128 owed;

	if (!rl->bytes_per_s)
		return 0;
	credit(rl, now_us);
	if (!rl->debt)
		return 0;
	owed = (unsigned __int128)rl->debt * US_PER_S - rl->drip;
	return saturate((owed + rl->bytes_per_s - 1) / rl->bytes_per_s);
}

uint64_t ratelimit_take(struct ratelimit *rl, uint64_t bytes, uint64_t now_us)
{
	uint64_t paid;

	if (!rl->bytes_per_s)
		return 0;
	credit(rl, now_us);
	paid = bytes < rl->tokens ? bytes : rl->tokens;
	rl->tokens -= paid;
	bytes -= paid;
	rl->debt = rl->debt > UINT64_MAX - bytes ? UINT64_MAX : rl->debt + bytes;
	return ratelimit_wait(rl, now_us);
}
