// SPDX-License-Identifier: Apache-2.0
/* See clock.h. */
#include "migrate/clock.h"

/* 285 years: differences of such stamps, and sums of differences, fit int64_t. */
#define STAMP_MAX	(UINT64_C(1) << 53)

static bool interval(const struct clock_exchange *x, struct clock_estimate *c)
{
	if (x->t0_us > STAMP_MAX || x->t1_us > STAMP_MAX || x->d0_us > STAMP_MAX ||
	    x->d1_us > STAMP_MAX || x->t1_us < x->t0_us || x->d1_us < x->d0_us)
		return false;
	c->known = true;
	c->low_us = (int64_t)x->d1_us - (int64_t)x->t1_us;
	c->high_us = (int64_t)x->d0_us - (int64_t)x->t0_us;
	/* The other side was busy with it for longer than it was away. */
	return c->low_us <= c->high_us;
}

void clock_sample(struct clock_estimate *c, const struct clock_exchange *x)
{
	struct clock_estimate n;

	if (interval(x, &n) &&
	    (!c->known || n.high_us - n.low_us < c->high_us - c->low_us))
		*c = n;
}

void clock_confine(struct clock_estimate *c, const struct clock_exchange *x)
{
	struct clock_estimate n;

	if (!interval(x, &n))
		return;
	if (!c->known || c->low_us > n.high_us || c->high_us < n.low_us) {
		*c = n;
		return;
	}
	if (c->low_us < n.low_us)
		c->low_us = n.low_us;
	if (c->high_us > n.high_us)
		c->high_us = n.high_us;
}

int64_t clock_offset_us(const struct clock_estimate *c)
{
	return c->low_us + (c->high_us - c->low_us) / 2;
}

uint64_t clock_uncertainty_us(const struct clock_estimate *c)
{
	return ((uint64_t)(c->high_us - c->low_us) + 1) / 2;
}
