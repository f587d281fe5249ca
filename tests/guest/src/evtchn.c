/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event channels deliver what is sent, once, to whom it is bound, and only when the port and the
 * vCPU are not masked; a bind makes its port pending, so that nothing sent before is lost; ports end
 * with -ENOSPC, not with memory.
 * Source: Xen public event_channel.h; xen.h, "event channel endpoints".
 */
#include "tests/guest/lib/guest.h"

static unsigned int alloc_unbound(void)
{
	struct evtchn_alloc_unbound a = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };

	EXPECT(evtchn_op(EVTCHNOP_alloc_unbound, &a), 0);
	return a.port;
}

static unsigned int bind(unsigned int remote)
{
	struct evtchn_bind_interdomain b = { .remote_dom = DOMID_SELF, .remote_port = remote };

	EXPECT(evtchn_op(EVTCHNOP_bind_interdomain, &b), 0);
	return b.local_port;
}

static long send(unsigned int port)
{
	struct evtchn_send s = { port };

	return evtchn_op(EVTCHNOP_send, &s);
}

static long close(unsigned int port)
{
	struct evtchn_close c = { port };

	return evtchn_op(EVTCHNOP_close, &c);
}

static unsigned int status(unsigned int port)
{
	struct evtchn_status s = { .dom = DOMID_SELF, .port = port };

	EXPECT(evtchn_op(EVTCHNOP_status, &s), 0);
	return s.status;
}

static void mask(unsigned int port)
{
	__atomic_or_fetch(&shared_info->evtchn_mask[port / 64], 1ul << port % 64, __ATOMIC_SEQ_CST);
}

static void quiet(void)
{
	memset(shared_info->evtchn_mask, 0xff, sizeof(shared_info->evtchn_mask));
	memset(shared_info->evtchn_pending, 0, sizeof(shared_info->evtchn_pending));
	vcpu_info()->evtchn_pending_sel = 0;
	vcpu_info()->evtchn_upcall_pending = 0;
	vcpu_info()->evtchn_upcall_mask = 0;
	nr_events = 0;
}

static void loopback(void)
{
	unsigned int a, b;

	quiet();
	a = alloc_unbound();
	CHECK(status(a) == EVTCHNSTAT_unbound, "%u", status(a));
	EXPECT(send(a), 0);			/* into the void */
	b = bind(a);
	CHECK(evtchn_pending(b), "a new binding is not pending");
	CHECK(status(a) == EVTCHNSTAT_interdomain && status(b) == EVTCHNSTAT_interdomain, "%u %u",
	      status(a), status(b));
	evtchn_clear(b);
	EXPECT(send(a), 0);
	CHECK(evtchn_pending(b) && !evtchn_pending(a), "sent the wrong way");
	EXPECT(send(b), 0);
	CHECK(evtchn_pending(a), "not sent back");
	CHECK(nr_events == 0, "%u upcalls for masked ports", nr_events);
	EXPECT(close(a), 0);
	CHECK(status(a) == EVTCHNSTAT_closed, "%u", status(a));
	CHECK(status(b) == EVTCHNSTAT_unbound, "%u", status(b));
	EXPECT(close(b), 0);
	REFUSED(close(b));
	REFUSED(send(b));
}

static unsigned int ipi_port(void)
{
	struct evtchn_bind_ipi i = { .vcpu = 0 };

	EXPECT(evtchn_op(EVTCHNOP_bind_ipi, &i), 0);
	return i.port;
}

static void upcalls(void)
{
	unsigned int p;

	quiet();
	p = ipi_port();
	evtchn_clear(p);
	evtchn_unmask(p);
	EXPECT(send(p), 0);
	CHECK(nr_events == 1, "%u upcalls", nr_events);
	CHECK(vcpu_info()->evtchn_pending_sel & 1ul << p / 64, "selector %lx",
	      (unsigned long)vcpu_info()->evtchn_pending_sel);
	/* Pending already: no second edge. */
	EXPECT(send(p), 0);
	CHECK(nr_events == 1, "%u upcalls", nr_events);
	/* vCPU masked: kept; delivered by the next hypercall after the mask is gone. */
	quiet();
	evtchn_unmask(p);
	vcpu_info()->evtchn_upcall_mask = 1;
	EXPECT(send(p), 0);
	CHECK(nr_events == 0 && vcpu_info()->evtchn_upcall_pending, "%u upcalls", nr_events);
	vcpu_info()->evtchn_upcall_mask = 0;
	HC2(xen_version, XENVER_version, 0);
	CHECK(nr_events == 1, "%u upcalls", nr_events);
	/* Port masked: pending only; unmask delivers. */
	quiet();
	mask(p);
	EXPECT(send(p), 0);
	CHECK(nr_events == 0 && evtchn_pending(p), "%u upcalls", nr_events);
	evtchn_unmask(p);
	CHECK(nr_events == 1, "%u upcalls", nr_events);
	EXPECT(close(p), 0);
	CHECK(!evtchn_pending(p), "closed, yet pending");
}

static void iret_delivers(void)
{
	unsigned int p;

	quiet();
	p = ipi_port();
	evtchn_unmask(p);
	vcpu_info()->evtchn_upcall_mask = 1;
	EXPECT(send(p), 0);
	CHECK(nr_events == 0, "masked");
	/* The trap's iret restores a frame whose IF says: events on. */
	vcpu_info()->evtchn_upcall_mask = 0;
	TRY("int3", ::: TRY_CLOBBERS);
	CHECK(nr_events == 1, "%u upcalls after iret", nr_events);
	EXPECT(close(p), 0);
}

static void virqs(void)
{
	struct evtchn_bind_virq v = { .virq = VIRQ_TIMER, .vcpu = 0 };
	unsigned int port;

	quiet();
	EXPECT(evtchn_op(EVTCHNOP_bind_virq, &v), 0);
	port = v.port;
	CHECK(status(port) == EVTCHNSTAT_virq, "%u", status(port));
	EXPECT(evtchn_op(EVTCHNOP_bind_virq, &v), -XEN_EEXIST);
	REFUSED(send(port));			/* only the hypervisor raises it */
	EXPECT(close(port), 0);
	EXPECT(evtchn_op(EVTCHNOP_bind_virq, &v), 0);
	EXPECT(close(v.port), 0);
	v.virq = 24;
	REFUSED(evtchn_op(EVTCHNOP_bind_virq, &v));
	v.virq = VIRQ_TIMER;
	v.vcpu = 31;
	REFUSED(evtchn_op(EVTCHNOP_bind_virq, &v));
	v.vcpu = 0xffffffff;
	REFUSED(evtchn_op(EVTCHNOP_bind_virq, &v));
	v.virq = VIRQ_DOM_EXC;
	v.vcpu = 1;				/* a global one begins on vCPU 0 */
	REFUSED(evtchn_op(EVTCHNOP_bind_virq, &v));
}

static void exhaust(void)
{
	struct evtchn_alloc_unbound a = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };
	unsigned int first = 0, last = 0, n = 0;
	long ret;

	quiet();
	while (!(ret = evtchn_op(EVTCHNOP_alloc_unbound, &a))) {
		CHECK(a.port > 0 && a.port < 4096, "port %u", a.port);
		first = first ? first : a.port;
		last = a.port;
		CHECK(++n < 5000, "no end of ports");
	}
	EXPECT(ret, -XEN_ENOSPC);
	CHECK(n > (privileged() ? 3000 : 500), "%u ports only", n);
	EXPECT(close(first + 1), 0);
	EXPECT(alloc_unbound(), first + 1);	/* the freed one, and no other */
	for (unsigned int p = first; p <= last; p++)
		EXPECT(close(p), 0);
	EXPECT(close(alloc_unbound()), 0);
}

static void refused(void)
{
	struct evtchn_alloc_unbound a = { .dom = 0x7ff4, .remote_dom = 0 };
	struct evtchn_bind_interdomain b = { .remote_dom = 5000, .remote_port = 1 };
	struct evtchn_bind_ipi i = { .vcpu = 77 };
	struct evtchn_bind_vcpu v = { .port = 4000, .vcpu = 0 };
	unsigned int bad[] = { 0, 4000, 4095, 4096, 0x10000, 0x7fffffff, 0xffffffff };

	quiet();
	REFUSED(evtchn_op(EVTCHNOP_alloc_unbound, &a));
	REFUSED(evtchn_op(EVTCHNOP_bind_interdomain, &b));
	REFUSED(evtchn_op(EVTCHNOP_bind_ipi, &i));
	REFUSED(evtchn_op(EVTCHNOP_bind_vcpu, &v));
	for (unsigned int n = 0; n < ARRAY_SIZE(bad); n++) {
		struct evtchn_unmask u = { bad[n] };

		REFUSED(send(bad[n]));
		REFUSED(close(bad[n]));
		b = (struct evtchn_bind_interdomain){ .remote_dom = DOMID_SELF, .remote_port = bad[n] };
		REFUSED(evtchn_op(EVTCHNOP_bind_interdomain, &b));
		evtchn_op(EVTCHNOP_unmask, &u);
	}
	EXPECT(evtchn_op(11, &a), -XEN_ENOSYS);	/* FIFO: Linux falls back to what is here */
	REFUSED(evtchn_op(1000, &a));
}

static void poll(void)
{
	unsigned int p;
	evtchn_port_t ports[2];
	struct sched_poll poll = { .nr_ports = 1, .timeout = 0 };
	uint64_t start;

	quiet();
	vcpu_info()->evtchn_upcall_mask = 1;
	p = ipi_port();
	set_xen_guest_handle(poll.ports, ports);
	ports[0] = p;
	EXPECT(send(p), 0);
	EXPECT(HC2(sched_op, SCHEDOP_poll, &poll), 0);	/* pending already, though masked */
	evtchn_clear(p);
	start = now_ns();
	poll.timeout = start + 5000000;
	EXPECT(HC2(sched_op, SCHEDOP_poll, &poll), 0);
	CHECK(now_ns() >= start + 4900000, "back after %lu ns", now_ns() - start);
	poll.nr_ports = 129;
	REFUSED(HC2(sched_op, SCHEDOP_poll, &poll));
	poll.nr_ports = 1;
	ports[0] = 4096;
	REFUSED(HC2(sched_op, SCHEDOP_poll, &poll));
	EXPECT(close(p), 0);
}

/* The moved vcpu_info is where events show from then on. */
static void vcpu_info_moves(void)
{
	static uint8_t page[PAGE_SIZE] __attribute__((aligned(4096)));
	struct vcpu_info *moved = (struct vcpu_info *)(page + 128);
	struct vcpu_register_vcpu_info r = { .mfn = 0x200, .offset = 128 };
	unsigned int p;

	quiet();
	p = ipi_port();
	vcpu_info()->evtchn_upcall_mask = 1;
	REFUSED(HC3(vcpu_op, VCPUOP_register_vcpu_info, 0, &r));
	r.mfn = mfn_of((void *)start_info->pt_base);
	REFUSED(HC3(vcpu_op, VCPUOP_register_vcpu_info, 0, &r));
	r.mfn = mfn_of(page);
	r.offset = PAGE_SIZE - 32;
	REFUSED(HC3(vcpu_op, VCPUOP_register_vcpu_info, 0, &r));
	r.offset = 128;
	EXPECT(HC3(vcpu_op, VCPUOP_register_vcpu_info, 0, &r), 0);
	CHECK(moved->evtchn_upcall_mask == 1, "not copied");
	CHECK(moved->evtchn_upcall_pending && moved->evtchn_pending_sel == ~0ul, "everything should look pending");
	EXPECT(page_protect(page, false), 0);
	REFUSED(mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(page), 0));	/* the hypervisor writes there */
	EXPECT(page_protect(page, true), 0);
	moved->evtchn_upcall_pending = 0;
	moved->evtchn_pending_sel = 0;
	vcpu_info()->evtchn_upcall_pending = 0;
	evtchn_unmask(p);
	EXPECT(send(p), 0);
	CHECK(moved->evtchn_upcall_pending && !vcpu_info()->evtchn_upcall_pending, "the old place was written");
	CHECK(moved->time.tsc_to_system_mul != 0, "no time there");
	REFUSED(HC3(vcpu_op, VCPUOP_register_vcpu_info, 0, &r));	/* once in a life */
}

const struct test tests[] = {
	{ "evtchn.loopback", loopback },
	{ "evtchn.upcalls", upcalls },
	{ "evtchn.iret_delivers", iret_delivers },
	{ "evtchn.virqs", virqs },
	{ "evtchn.exhaust", exhaust },
	{ "evtchn.refused", refused },
	{ "evtchn.poll", poll },
	{ "evtchn.vcpu_info_moves", vcpu_info_moves },	/* last: the library uses the old place */
	{ NULL },
};
