// SPDX-License-Identifier: Apache-2.0
/*
 * Event channels: each operation's rules one by one, then long random sequences
 * from three domains compared with a naive twin that knows nothing of buckets,
 * locks or tables.  Rules: Xen public event_channel.h.
 */
#include "tests/unit/fake/fake_machine.h"
#include "tests/unit/fake/fake_ioapic.h"

#include <pv/irq.h>

#define MAX_PORT	40u	/* small, so that random sequences fill the table */

static uint64_t *pending(unsigned int d) { return machine_domain(d)->shared_info->evtchn_pending; }
static uint64_t *mask(unsigned int d) { return machine_domain(d)->shared_info->evtchn_mask; }
static struct vcpu_info *info(unsigned int d, unsigned int v)
{
	return machine_domain(d)->vcpu[v]->info;
}

static long evop(unsigned int cmd, void *op) { return do_event_channel_op(cmd, (uint64_t)op); }

static long alloc_unbound(uint16_t dom, uint16_t remote)
{
	struct evtchn_alloc_unbound op = { .dom = dom, .remote_dom = remote };
	long ret = evop(EVTCHNOP_alloc_unbound, &op);

	return ret ? ret : (long)op.port;
}

static long bind_interdomain(uint16_t remote, uint32_t rport)
{
	struct evtchn_bind_interdomain op = { .remote_dom = remote, .remote_port = rport };
	long ret = evop(EVTCHNOP_bind_interdomain, &op);

	return ret ? ret : (long)op.local_port;
}

static long bind_virq(uint32_t virq, uint32_t vcpu)
{
	struct evtchn_bind_virq op = { .virq = virq, .vcpu = vcpu };
	long ret = evop(EVTCHNOP_bind_virq, &op);

	return ret ? ret : (long)op.port;
}

static long bind_ipi(uint32_t vcpu)
{
	struct evtchn_bind_ipi op = { .vcpu = vcpu };
	long ret = evop(EVTCHNOP_bind_ipi, &op);

	return ret ? ret : (long)op.port;
}

static long bind_pirq(uint32_t pirq)
{
	struct evtchn_bind_pirq op = { .pirq = pirq };
	long ret = evop(EVTCHNOP_bind_pirq, &op);

	return ret ? ret : (long)op.port;
}

static long bind_vcpu(uint32_t port, uint32_t vcpu)
{
	struct evtchn_bind_vcpu op = { .port = port, .vcpu = vcpu };

	return evop(EVTCHNOP_bind_vcpu, &op);
}

static long port_op(unsigned int cmd, uint32_t port)
{
	struct evtchn_send op = { .port = port };

	return evop(cmd, &op);
}

static struct evtchn_status status_of(unsigned int d, uint32_t port)
{
	struct evtchn_status op = { .dom = (domid_t)d, .port = port };

	run_on(0, 0);
	assert_int_equal(evop(EVTCHNOP_status, &op), 0);
	return op;
}

static int setup(void **state)
{
	(void)state;
	fake_ioapic_reset();
	machine_start(MAX_PORT, 2);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	machine_stop();
	return 0;
}

/* --- rules --- */

static void connect(uint32_t *p1, uint32_t *p2)	/* domain 1's and domain 2's end */
{
	run_on(1, 0);
	*p1 = (uint32_t)alloc_unbound(DOMID_SELF, 2);
	run_on(2, 0);
	*p2 = (uint32_t)bind_interdomain(1, *p1);
	assert_in_range(*p1, 1, MAX_PORT);
	assert_in_range(*p2, 1, MAX_PORT);
}

static void test_interdomain(void **state)
{
	uint32_t p1, p2;
	struct evtchn_status st;

	(void)state;
	connect(&p1, &p2);
	assert_true(test_bit(p2, pending(2)));		/* lost-notification rule */
	assert_false(test_bit(p1, pending(1)));
	run_on(2, 0);
	assert_int_equal(port_op(EVTCHNOP_send, p2), 0);
	assert_true(test_bit(p1, pending(1)));
	assert_true(info(1, 0)->evtchn_pending_sel & 1);
	assert_int_equal(info(1, 0)->evtchn_upcall_pending, 1);
	assert_int_equal(nr_unblocks[1][0], 1);
	assert_true(nr_marks[mfn_x(virt_to_mfn(machine_domain(1)->shared_info))] > 0);
	assert_true(nr_info_marks > 0);
	assert_int_equal(port_op(EVTCHNOP_send, p2), 0);	/* already pending: no second wake */
	assert_int_equal(nr_unblocks[1][0], 1);

	st = status_of(1, p1);
	assert_int_equal(st.status, EVTCHNSTAT_interdomain);
	assert_int_equal(st.u.interdomain.dom, 2);
	assert_int_equal(st.u.interdomain.port, p2);

	run_on(2, 0);
	assert_int_equal(port_op(EVTCHNOP_close, p2), 0);
	assert_false(test_bit(p2, pending(2)));
	st = status_of(1, p1);
	assert_int_equal(st.status, EVTCHNSTAT_unbound);
	assert_int_equal(st.u.unbound.dom, 2);
	run_on(1, 0);
	assert_int_equal(port_op(EVTCHNOP_send, p1), 0);	/* into the void */
	run_on(2, 0);
	assert_int_equal(port_op(EVTCHNOP_close, p2), -EINVAL);
	assert_int_equal(bind_interdomain(1, p1), p2);		/* and again */
}

static void test_bind_rights(void **state)
{
	long p;

	(void)state;
	run_on(1, 0);
	assert_int_equal(alloc_unbound(2, 0), -EPERM);
	p = alloc_unbound(DOMID_SELF, 0);
	assert_true(p > 0);
	run_on(2, 0);
	assert_int_equal(bind_interdomain(1, (uint32_t)p), -EINVAL);	/* meant for domain 0 */
	assert_int_equal(bind_interdomain(7, 1), -ESRCH);
	assert_int_equal(bind_interdomain(1, 0), -EINVAL);
	assert_int_equal(bind_interdomain(1, MAX_PORT + 1), -EINVAL);
	assert_int_equal(bind_interdomain(1, UINT32_MAX), -EINVAL);
	assert_int_equal(bind_pirq(5), -EPERM);
	run_on(0, 0);
	assert_true(bind_interdomain(1, (uint32_t)p) > 0);
	assert_int_equal(bind_interdomain(1, (uint32_t)p), -EINVAL);	/* taken */
	assert_true(alloc_unbound(2, 1) > 0);				/* for another domain */
	assert_int_equal(alloc_unbound(9, 1), -ESRCH);
}

static void test_loopback(void **state)
{
	long a, b;

	(void)state;
	run_on(1, 0);
	a = alloc_unbound(DOMID_SELF, DOMID_SELF);
	b = bind_interdomain(DOMID_SELF, (uint32_t)a);
	assert_true(a > 0 && b > 0 && a != b);
	clear_bit((unsigned int)b, pending(1));
	assert_int_equal(port_op(EVTCHNOP_send, (uint32_t)a), 0);
	assert_true(test_bit((unsigned int)b, pending(1)));
	assert_int_equal(port_op(EVTCHNOP_close, (uint32_t)b), 0);
	assert_int_equal(status_of(1, (uint32_t)a).status, EVTCHNSTAT_unbound);
}

static void test_virq(void **state)
{
	long timer0, timer1, console;

	(void)state;
	run_on(0, 0);
	timer0 = bind_virq(VIRQ_TIMER, 0);
	timer1 = bind_virq(VIRQ_TIMER, 1);
	console = bind_virq(VIRQ_CONSOLE, 0);
	assert_true(timer0 > 0 && timer1 > 0 && console > 0);
	assert_int_equal(bind_virq(VIRQ_TIMER, 1), -EEXIST);
	assert_int_equal(bind_virq(VIRQ_CONSOLE, 1), -EINVAL);
	assert_int_equal(bind_virq(VIRQ_TIMER, 2), -ENOENT);
	assert_int_equal(bind_virq(VIRQ_TIMER, UINT32_MAX), -ENOENT);
	assert_int_equal(bind_virq(NR_VIRQS, 0), -EINVAL);
	assert_int_equal(bind_virq(UINT32_MAX, 0), -EINVAL);
	assert_int_equal(port_op(EVTCHNOP_send, (uint32_t)timer0), -EINVAL);
	assert_int_equal(bind_vcpu((uint32_t)timer0, 1), -EINVAL);
	assert_int_equal(bind_vcpu((uint32_t)console, 1), 0);

	evtchn_send_virq(machine_domain(0)->vcpu[1], VIRQ_TIMER);
	assert_true(test_bit((unsigned int)timer1, pending(0)));
	assert_false(test_bit((unsigned int)timer0, pending(0)));
	assert_int_equal(info(0, 1)->evtchn_upcall_pending, 1);
	assert_int_equal(info(0, 0)->evtchn_upcall_pending, 0);
	info(0, 1)->evtchn_upcall_pending = 0;
	info(0, 1)->evtchn_pending_sel = 0;
	evtchn_send_global_virq(VIRQ_CONSOLE);		/* moved to vCPU 1 */
	assert_int_equal(info(0, 1)->evtchn_upcall_pending, 1);
	evtchn_send_global_virq(VIRQ_DOM_EXC);		/* nobody listens */
	evtchn_send_global_virq(1000);
	assert_int_equal(port_op(EVTCHNOP_close, (uint32_t)console), 0);
	evtchn_send_global_virq(VIRQ_CONSOLE);
	assert_false(test_bit((unsigned int)console, pending(0)));
	assert_int_equal(bind_virq(VIRQ_CONSOLE, 0), console);
}

static void test_mask_and_poll(void **state)
{
	uint32_t p1, p2;

	(void)state;
	connect(&p1, &p2);
	set_bit(p1, mask(1));
	machine_domain(1)->vcpu[1]->poll_mask_ports = 1;
	run_on(2, 0);
	assert_int_equal(port_op(EVTCHNOP_send, p2), 0);
	assert_true(evtchn_port_pending(machine_domain(1), p1));
	assert_int_equal(info(1, 0)->evtchn_upcall_pending, 0);
	assert_int_equal(nr_unblocks[1][0], 0);
	assert_int_equal(nr_unblocks[1][1], 1);		/* polls: woken though it is masked */
	assert_false(evtchn_port_pending(machine_domain(1), 1u << 31));

	run_on(1, 0);
	assert_int_equal(port_op(EVTCHNOP_unmask, p1), 0);
	assert_int_equal(info(1, 0)->evtchn_upcall_pending, 1);
	assert_true(evtchn_vcpu_deliverable(machine_domain(1)->vcpu[0]));
	info(1, 0)->evtchn_upcall_mask = 1;
	assert_false(evtchn_vcpu_deliverable(machine_domain(1)->vcpu[0]));
	assert_int_equal(port_op(EVTCHNOP_unmask, 0), -EINVAL);
	assert_int_equal(port_op(EVTCHNOP_unmask, MAX_PORT + 1), -EINVAL);
}

static void test_info_moved(void **state)
{
	struct vcpu_info moved = { .evtchn_upcall_mask = 1 };
	struct vcpu *v = machine_domain(1)->vcpu[0];

	(void)state;
	v->info = &moved;
	evtchn_vcpu_info_moved(v);
	assert_int_equal(moved.evtchn_pending_sel, ~0UL);
	assert_int_equal(moved.evtchn_upcall_pending, 1);
	assert_int_equal(moved.evtchn_upcall_mask, 1);
}

/* A tool's event for a domain that has no vCPU yet is there when it has. */
static void test_before_vcpus(void **state)
{
	uint32_t p1, p2;

	(void)state;
	machine_domain(1)->vcpu[0] = NULL;
	connect(&p1, &p2);
	assert_int_equal(port_op(EVTCHNOP_send, p2), 0);
	assert_true(test_bit(p1, pending(1)));
}

static void test_limits(void **state)
{
	unsigned int i;

	(void)state;
	run_on(1, 0);
	for (i = 1; i <= MAX_PORT; i++)
		assert_int_equal(bind_ipi(i & 1), i);
	assert_int_equal(bind_ipi(0), -ENOSPC);
	assert_int_equal(bind_ipi(2), -ENOENT);
	assert_int_equal(port_op(EVTCHNOP_close, 7), 0);
	assert_int_equal(bind_ipi(0), 7);
	assert_int_equal(evop(EVTCHNOP_reset, &(struct evtchn_reset){ .dom = 2 }), -EPERM);
	assert_int_equal(evop(EVTCHNOP_reset, &(struct evtchn_reset){ .dom = DOMID_SELF }), 0);
	for (i = 1; i <= MAX_PORT; i++)
		assert_int_equal(status_of(1, i).status, EVTCHNSTAT_closed);
}

static void test_bad_pointers(void **state)
{
	unsigned int cmd;

	(void)state;
	run_on(1, 0);
	for (cmd = 0; cmd <= EVTCHNOP_reset; cmd++)
		assert_int_equal(do_event_channel_op(cmd, 0), -EFAULT);
	for (; cmd < 100; cmd++)
		assert_int_equal(do_event_channel_op(cmd, 0), -ENOSYS);
	/* A port whose number cannot be written back does not stay behind. */
	fail_copy_after = 2;
	assert_int_equal(bind_virq(VIRQ_TIMER, 0), -EFAULT);
	assert_int_equal(bind_virq(VIRQ_TIMER, 0), 1);
	fail_alloc_after = 1;
	run_on(2, 0);
	assert_int_equal(bind_ipi(0), -ENOMEM);
	assert_int_equal(bind_ipi(0), 1);
}

static void test_death(void **state)
{
	uint32_t p1, p2;

	(void)state;
	connect(&p1, &p2);
	machine_kill(2);
	assert_int_equal(status_of(1, p1).status, EVTCHNSTAT_unbound);
	run_on(1, 0);
	assert_int_equal(port_op(EVTCHNOP_send, p1), 0);
	evtchn_send_virq(machine_domain(2)->vcpu[0], VIRQ_TIMER);	/* a late timer */
	assert_int_equal(evtchn_alloc_unbound(machine_domain(2), 0), -EINVAL);
	assert_int_equal(bind_interdomain(2, p2), -ESRCH);
	evtchn_destroy_domain(machine_domain(2));			/* twice is fine */
}

/* --- the naive twin --- */

struct twin_port {
	unsigned int status;
	unsigned int vcpu, rdom, rport, source;
};
struct twin {
	struct twin_port port[MAX_PORT + 1];
	bool pending[MAX_PORT + 1], masked[MAX_PORT + 1];
	bool sel[FAKE_VCPUS], upcall[FAKE_VCPUS];
};
static struct twin tw[FAKE_DOMAINS];

static void twin_notify(unsigned int d, unsigned int p)
{
	unsigned int v = tw[d].port[p].vcpu;

	if (!tw[d].sel[v])
		tw[d].sel[v] = tw[d].upcall[v] = true;	/* all ports are in word 0 */
}

static void twin_raise(unsigned int d, unsigned int p)
{
	if (tw[d].pending[p])
		return;
	tw[d].pending[p] = true;
	if (!tw[d].masked[p])
		twin_notify(d, p);
}

static long twin_free_port(unsigned int d)
{
	unsigned int p;

	for (p = 1; p <= MAX_PORT; p++)
		if (tw[d].port[p].status == EVTCHNSTAT_closed)
			return p;
	return -ENOSPC;
}

static bool twin_bound(unsigned int d, unsigned int status, unsigned int source, unsigned int vcpu)
{
	bool per_vcpu = status == EVTCHNSTAT_virq && (source == VIRQ_TIMER || source == VIRQ_DEBUG ||
			source == VIRQ_XENOPROF || source == VIRQ_XENPMU);
	unsigned int p;

	for (p = 1; p <= MAX_PORT; p++)
		if (tw[d].port[p].status == status && tw[d].port[p].source == source &&
		    (!per_vcpu || tw[d].port[p].vcpu == vcpu))
			return true;
	return false;
}

static long twin_take(unsigned int d, struct twin_port what)
{
	long p = twin_free_port(d);

	if (p > 0)
		tw[d].port[p] = what;
	return p;
}

static bool virq_per_vcpu(unsigned int virq)
{
	return virq == VIRQ_TIMER || virq == VIRQ_DEBUG || virq == VIRQ_XENOPROF || virq == VIRQ_XENPMU;
}

static long twin_bind_virq(unsigned int d, unsigned int virq, unsigned int vcpu)
{
	if (virq >= NR_VIRQS || (!virq_per_vcpu(virq) && vcpu))
		return -EINVAL;
	if (vcpu >= FAKE_VCPUS)
		return -ENOENT;
	if (twin_bound(d, EVTCHNSTAT_virq, virq, vcpu))
		return -EEXIST;
	return twin_take(d, (struct twin_port){ EVTCHNSTAT_virq, vcpu, 0, 0, virq });
}

static long twin_bind_pirq(unsigned int d, unsigned int pirq)
{
	long p;

	if (d != 0)
		return -EPERM;
	if (pirq >= EVTCHN_NR_PIRQS)
		return -EINVAL;
	if (twin_bound(d, EVTCHNSTAT_pirq, pirq, 0))
		return -EEXIST;
	p = twin_free_port(d);
	if (p < 0)
		return p;
	if (pirq == 4)				/* the console's line */
		return -EBUSY;
	if (pirq == 0 || pirq >= 16)		/* 0: its GSI is 2; others: nobody set them up */
		return -EINVAL;
	return twin_take(d, (struct twin_port){ EVTCHNSTAT_pirq, 0, 0, 0, pirq });
}

static long twin_bind_interdomain(unsigned int d, unsigned int rd, unsigned int rp)
{
	struct twin_port *r;
	long p;

	if (rd >= FAKE_DOMAINS)
		return -ESRCH;
	if (rp < 1 || rp > MAX_PORT)
		return -EINVAL;
	r = &tw[rd].port[rp];
	if (r->status != EVTCHNSTAT_unbound || r->rdom != d)
		return -EINVAL;
	p = twin_take(d, (struct twin_port){ EVTCHNSTAT_interdomain, 0, rd, rp, 0 });
	if (p < 0)
		return p;
	*r = (struct twin_port){ EVTCHNSTAT_interdomain, r->vcpu, d, (unsigned int)p, 0 };
	twin_raise(d, (unsigned int)p);
	return p;
}

static long twin_close(unsigned int d, unsigned int p)
{
	struct twin_port *t;

	if (p < 1 || p > MAX_PORT || tw[d].port[p].status == EVTCHNSTAT_closed)
		return -EINVAL;
	t = &tw[d].port[p];
	if (t->status == EVTCHNSTAT_interdomain) {
		struct twin_port *r = &tw[t->rdom].port[t->rport];

		*r = (struct twin_port){ EVTCHNSTAT_unbound, r->vcpu, d, 0, 0 };
	}
	*t = (struct twin_port){ .status = EVTCHNSTAT_closed };
	tw[d].pending[p] = false;
	return 0;
}

static long twin_send(unsigned int d, unsigned int p)
{
	struct twin_port *t;

	if (p < 1 || p > MAX_PORT)
		return -EINVAL;
	t = &tw[d].port[p];
	switch (t->status) {
	case EVTCHNSTAT_interdomain:
		twin_raise(t->rdom, t->rport);
		return 0;
	case EVTCHNSTAT_ipi:
		twin_raise(d, p);
		return 0;
	case EVTCHNSTAT_unbound:
		return 0;
	default:
		return -EINVAL;
	}
}

static long twin_bind_vcpu(unsigned int d, unsigned int p, unsigned int vcpu)
{
	struct twin_port *t;

	if (vcpu >= FAKE_VCPUS)
		return -ENOENT;
	if (p < 1 || p > MAX_PORT)
		return -EINVAL;
	t = &tw[d].port[p];
	if (t->status == EVTCHNSTAT_closed || t->status == EVTCHNSTAT_ipi ||
	    (t->status == EVTCHNSTAT_virq && virq_per_vcpu(t->source)))
		return -EINVAL;
	t->vcpu = vcpu;
	return 0;
}

static long twin_unmask(unsigned int d, unsigned int p)
{
	bool was;

	if (p < 1 || p > MAX_PORT || tw[d].port[p].status == EVTCHNSTAT_closed)
		return -EINVAL;
	was = tw[d].masked[p];
	tw[d].masked[p] = false;
	if (was && tw[d].pending[p])
		twin_notify(d, p);
	return 0;
}

static long twin_alloc(unsigned int d, unsigned int dom, unsigned int remote)
{
	unsigned int target = dom == DOMID_SELF ? d : dom;

	if (target != d && d != 0)
		return -EPERM;
	if (target >= FAKE_DOMAINS)
		return -ESRCH;
	return twin_take(target, (struct twin_port){ EVTCHNSTAT_unbound, 0,
						     remote == DOMID_SELF ? d : remote, 0, 0 });
}

/* The guest itself: masks, unmasks without telling, clears what it was told. */
static void guest_acts(unsigned int d)
{
	unsigned int p = 1 + rnd(MAX_PORT), v = rnd(FAKE_VCPUS);

	switch (rnd(3)) {
	case 0:
		set_bit(p, mask(d));
		tw[d].masked[p] = true;
		break;
	case 1:
		clear_bit(p, pending(d));
		tw[d].pending[p] = false;
		break;
	default:
		info(d, v)->evtchn_upcall_pending = 0;
		info(d, v)->evtchn_pending_sel = 0;
		tw[d].sel[v] = tw[d].upcall[v] = false;
	}
}

static void same_state(unsigned int d)
{
	unsigned int p, v;

	for (p = 1; p <= MAX_PORT; p++) {
		struct evtchn_status st = status_of(d, p);
		const struct twin_port *t = &tw[d].port[p];

		assert_int_equal(st.status, t->status);
		assert_int_equal(st.vcpu, t->vcpu);
		if (t->status == EVTCHNSTAT_interdomain) {
			assert_int_equal(st.u.interdomain.dom, t->rdom);
			assert_int_equal(st.u.interdomain.port, t->rport);
		} else if (t->status == EVTCHNSTAT_unbound) {
			assert_int_equal(st.u.unbound.dom, t->rdom);
		} else if (t->status == EVTCHNSTAT_virq || t->status == EVTCHNSTAT_pirq) {
			assert_int_equal(st.u.virq, t->source);
		}
		assert_int_equal(test_bit(p, pending(d)), tw[d].pending[p]);
		assert_int_equal(test_bit(p, mask(d)), tw[d].masked[p]);
	}
	for (v = 0; v < FAKE_VCPUS; v++) {
		assert_int_equal(info(d, v)->evtchn_upcall_pending, tw[d].upcall[v]);
		assert_int_equal(info(d, v)->evtchn_pending_sel, tw[d].sel[v]);
	}
}

static void random_step(void)
{
	unsigned int d = rnd(FAKE_DOMAINS), p = rnd(MAX_PORT + 3), v = rnd(FAKE_VCPUS + 1);
	unsigned int x = rnd(FAKE_DOMAINS + 1), y = rnd(FAKE_DOMAINS), virq = rnd(NR_VIRQS + 1);
	unsigned int pirq = rnd(22);
	uint16_t dom = rnd(2) ? (uint16_t)x : DOMID_SELF;

	run_on(d, 0);
	switch (rnd(11)) {
	case 0:
		assert_int_equal(alloc_unbound(dom, (uint16_t)y), twin_alloc(d, dom, y));
		break;
	case 1:
		assert_int_equal(bind_interdomain(dom, p),
				 twin_bind_interdomain(d, dom == DOMID_SELF ? d : dom, p));
		break;
	case 2:
		assert_int_equal(bind_virq(virq, v), twin_bind_virq(d, virq, v));
		break;
	case 3:
		if (v < FAKE_VCPUS)
			assert_int_equal(bind_ipi(v),
					 twin_take(d, (struct twin_port){ EVTCHNSTAT_ipi, v, 0, 0, 0 }));
		break;
	case 4:
		assert_int_equal(bind_vcpu(p, v), twin_bind_vcpu(d, p, v));
		break;
	case 5:
		assert_int_equal(bind_pirq(pirq), twin_bind_pirq(d, pirq));
		break;
	case 6:
		assert_int_equal(port_op(EVTCHNOP_unmask, p), twin_unmask(d, p));
		break;
	case 7:
	case 8:
		assert_int_equal(port_op(EVTCHNOP_send, p), twin_send(d, p));
		break;
	case 9:
		assert_int_equal(port_op(EVTCHNOP_close, p), twin_close(d, p));
		break;
	default:
		guest_acts(d);
	}
}

static void test_against_twin(void **state)
{
	unsigned int i, d;

	(void)state;
	memset(tw, 0, sizeof(tw));
	for (i = 0; i < 20000; i++) {
		random_step();
		if (i % 8 == 0)
			for (d = 0; d < FAKE_DOMAINS; d++)
				same_state(d);
	}
}

#define T(name)	cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_interdomain), T(test_bind_rights), T(test_loopback), T(test_virq),
		T(test_mask_and_poll), T(test_info_moved), T(test_before_vcpus), T(test_limits),
		T(test_bad_pointers), T(test_death), T(test_against_twin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
