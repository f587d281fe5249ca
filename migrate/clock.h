/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far apart are two hosts' clocks?
 *
 * In an exchange this side stamps the question when it leaves (t0) and the
 * answer when it arrives (t1); the other side stamps, on its own clock, a moment
 * after the question came (d0) and one before the answer left (d1).  A cause
 * comes before its effect, so the difference "there minus here" lies between
 * d1 - t1 and d0 - t0: that much is certain, however uneven the two ways are.
 * The invariant: an estimate is such an interval, its middle the offset and half
 * its width the uncertainty.  The exchange with the shortest time under way
 * wins.
 *
 * Pure: no clock is read here.  All stamps are hostile numbers.
 * Source: RFC 5905, section 8 (the on-wire protocol's four stamps).
 */
#ifndef MIGRATE_CLOCK_H
#define MIGRATE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/** An estimate; all zero: nothing is known. */
struct clock_estimate {
	bool known;
	int64_t low_us, high_us;	/* there minus here lies within */
};

/** One exchange; a side that stamps only once has d0 == d1. */
struct clock_exchange {
	uint64_t t0_us, t1_us;		/* here */
	uint64_t d0_us, d1_us;		/* there */
};

/**
 * clock_sample() - learn from an exchange, if it is better than what is known.
 * @c: the estimate
 * @x: the exchange; one whose stamps contradict themselves is ignored
 */
void clock_sample(struct clock_estimate *c, const struct clock_exchange *x);

/**
 * clock_confine() - learn from the exchange around the moment of interest.
 * @c: the estimate
 * @x: an exchange; ignored as above
 *
 * The estimate becomes what both agree upon.  If they exclude each other, a
 * clock was drifting or set: what is nearest in time is right, so @x alone counts.
 */
void clock_confine(struct clock_estimate *c, const struct clock_exchange *x);

/** clock_offset_us() - there minus here, in the middle of what is possible. */
int64_t clock_offset_us(const struct clock_estimate *c);

/** clock_uncertainty_us() - how far off that may be, rounded up; 0 if nothing is known. */
uint64_t clock_uncertainty_us(const struct clock_estimate *c);

#endif
