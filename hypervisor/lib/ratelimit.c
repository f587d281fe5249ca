/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest can trigger must not fill the log: ten lines in five seconds for
 * each call site, then silence, and one line that counts what was left out.  The
 * counters are not locked: two CPUs racing here print a line more or less.
 */
#include <pv/lib.h>
#include <pv/platform.h>

#define RATELIMIT_LINES		10
#define RATELIMIT_PERIOD_NS	5000000000L

bool ratelimit_ok(struct ratelimit *r)
{
	s_time_t now = now_ns();
	uint32_t missed;

	if (now - r->since >= RATELIMIT_PERIOD_NS) {
		missed = r->missed;
		*r = (struct ratelimit){ .since = now };
		if (missed)
			pr_warn("%u similar messages left out", missed);
	}
	if (r->count < RATELIMIT_LINES) {
		r->count++;
		return true;
	}
	r->missed++;
	return false;
}
