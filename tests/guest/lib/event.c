/* SPDX-License-Identifier: Apache-2.0 */
/* Event channels and time.  Sources: Xen public event_channel.h, xen.h "vcpu_time_info". */
#include "tests/guest/lib/guest.h"

long evtchn_op(unsigned int cmd, void *arg)
{
	return HC2(event_channel_op, cmd, arg);
}

void evtchn_unmask(unsigned int port)
{
	struct evtchn_unmask u = { port };

	if (evtchn_op(EVTCHNOP_unmask, &u))
		test_fail("cannot unmask port %u", port);
}

void evtchn_clear(unsigned int port)
{
	__atomic_and_fetch(&shared_info->evtchn_pending[port / 64], ~(1ul << port % 64), __ATOMIC_SEQ_CST);
}

bool evtchn_pending(unsigned int port)
{
	volatile unsigned long *p = shared_info->evtchn_pending;

	return p[port / 64] >> port % 64 & 1;
}

/* A channel to oneself names both its ends. */
domid_t own_domid(void)
{
	struct evtchn_alloc_unbound a = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };
	struct evtchn_bind_interdomain b = { .remote_dom = DOMID_SELF };
	struct evtchn_status s = { .dom = DOMID_SELF };

	if (evtchn_op(EVTCHNOP_alloc_unbound, &a))
		test_fail("no port");
	b.remote_port = a.port;
	if (evtchn_op(EVTCHNOP_bind_interdomain, &b))
		test_fail("no loopback");
	s.port = b.local_port;
	if (evtchn_op(EVTCHNOP_status, &s))
		test_fail("no status");
	evtchn_op(EVTCHNOP_close, &(struct evtchn_close){ a.port });
	evtchn_op(EVTCHNOP_close, &(struct evtchn_close){ b.local_port });
	return s.u.interdomain.dom;
}

uint64_t now_ns(void)
{
	volatile struct vcpu_time_info *t = &vcpu_info()->time;
	uint32_t version, lo, hi;
	uint64_t ns, delta;

	do {
		version = t->version;
		__asm__ __volatile__("lfence; rdtsc" : "=a"(lo), "=d"(hi) :: "memory");
		delta = ((uint64_t)hi << 32 | lo) - t->tsc_timestamp;
		delta = t->tsc_shift >= 0 ? delta << t->tsc_shift : delta >> -t->tsc_shift;
		ns = t->system_time + (uint64_t)((unsigned __int128)delta * t->tsc_to_system_mul >> 32);
		__asm__ __volatile__("" ::: "memory");
	} while (version & 1 || version != t->version);
	return ns;
}
