// SPDX-License-Identifier: Apache-2.0
/*
 * Interrupt lines: when a line is masked, who may have it, and the physdev
 * operations that Linux's Xen interrupt code issues (drivers/xen/events).
 */
#include "tests/unit/fake/fake_machine.h"
#include "tests/unit/fake/fake_ioapic.h"

#include <pv/irq.h>

static long physdev(unsigned int cmd, void *op) { return do_physdev_op(cmd, (uint64_t)op); }

static long bind(uint32_t pirq)
{
	struct evtchn_bind_pirq op = { .pirq = pirq };
	long ret = do_event_channel_op(EVTCHNOP_bind_pirq, (uint64_t)&op);

	return ret ? ret : (long)op.port;
}

static long setup_gsi(int gsi, uint8_t level, uint8_t low)
{
	return physdev(PHYSDEVOP_setup_gsi, &(struct physdev_setup_gsi){
		.gsi = gsi, .triggering = level, .polarity = low });
}

static long eoi(uint32_t pirq)
{
	return physdev(PHYSDEVOP_eoi, &(struct physdev_eoi){ .irq = pirq });
}

static bool is_pending(long port)
{
	return evtchn_port_pending(machine_domain(0), (uint32_t)port);
}

static void close_port(long port)
{
	struct evtchn_close op = { .port = (uint32_t)port };

	assert_int_equal(do_event_channel_op(EVTCHNOP_close, (uint64_t)&op), 0);
}

static int setup(void **state)
{
	(void)state;
	machine_start(100, 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	machine_stop();
	return 0;
}

/* Routes outlive a domain, as they do on the machine: each test uses lines of its own. */
static void test_edge(void **state)
{
	long port = bind(1);	/* no setup_gsi before: MADT's word */

	(void)state;
	assert_true(port > 0);
	assert_true(fake_lines[1].routed && !fake_lines[1].level && fake_lines[1].unmasked);
	irq_handle_gsi(1);
	assert_true(is_pending(port));
	assert_true(fake_lines[1].unmasked);		/* an edge needs no EOI */
	assert_int_equal(bind(1), -EEXIST);
	close_port(port);
	assert_false(fake_lines[1].unmasked);
	irq_handle_gsi(1);
	assert_false(is_pending(port));
	assert_true(bind(1) > 0);
	assert_true(fake_lines[1].unmasked);
}

static void test_level(void **state)
{
	struct physdev_irq_status_query q = { .irq = 20 };
	long port;

	(void)state;
	assert_int_equal(bind(20), -EINVAL);		/* nobody said what kind of line it is */
	assert_int_equal(setup_gsi(20, 1, 1), 0);
	assert_int_equal(setup_gsi(20, 0, 0), -EEXIST);	/* first writer wins */
	assert_true(fake_lines[20].level && fake_lines[20].active_low);
	assert_false(fake_lines[20].unmasked);
	port = bind(20);
	assert_true(port > 0 && fake_lines[20].unmasked);
	assert_int_equal(physdev(PHYSDEVOP_irq_status_query, &q), 0);
	assert_int_equal(q.flags, XENIRQSTAT_needs_eoi);

	irq_handle_gsi(20);
	assert_true(is_pending(port));
	assert_false(fake_lines[20].unmasked);
	assert_int_equal(eoi(20), 0);
	assert_true(fake_lines[20].unmasked);
	irq_handle_gsi(20);
	close_port(port);				/* closed while in service */
	assert_int_equal(eoi(20), -EINVAL);
	assert_false(fake_lines[20].unmasked);
}

static void test_isa_override(void **state)
{
	(void)state;
	assert_true(bind(9) > 0);
	assert_true(fake_lines[9].level);
	assert_true(bind(2) > 0);		/* ISA interrupt 0's GSI */
	assert_int_equal(bind(0), -EINVAL);
	assert_int_equal(bind(4), -EBUSY);	/* the console's */
	assert_int_equal(setup_gsi(4, 0, 0), -EEXIST);	/* which Linux takes quietly */
	assert_int_equal(setup_gsi(FAKE_GSIS, 0, 0), -EINVAL);
	assert_int_equal(setup_gsi(-1, 0, 0), -EINVAL);
	irq_handle_gsi(5);			/* nobody's: masked, not lost in a storm */
	assert_false(fake_lines[5].unmasked);
	irq_handle_gsi(100000);
}

static void test_physdev(void **state)
{
	struct physdev_map_pirq map = { .domid = DOMID_SELF, .type = MAP_PIRQ_TYPE_GSI,
					.index = 7, .pirq = -1 };
	struct physdev_irq vec = { .irq = 7 };
	unsigned int cmd;

	(void)state;
	assert_int_equal(physdev(PHYSDEVOP_map_pirq, &map), 0);
	assert_int_equal(map.pirq, 7);
	map.pirq = 8;
	assert_int_equal(physdev(PHYSDEVOP_map_pirq, &map), -EINVAL);
	map.index = map.pirq = 1 << 30;
	assert_int_equal(physdev(PHYSDEVOP_map_pirq, &map), -EINVAL);
	map.type = MAP_PIRQ_TYPE_MSI_SEG;
	assert_int_equal(physdev(PHYSDEVOP_map_pirq, &map), -EOPNOTSUPP);
	assert_int_equal(physdev(PHYSDEVOP_alloc_irq_vector, &vec), 0);
	assert_int_equal(physdev(PHYSDEVOP_set_iopl, &(struct physdev_set_iopl){ 1 }), 0);
	assert_int_equal(machine_domain(0)->vcpu[0]->iopl, 1);
	assert_int_equal(physdev(PHYSDEVOP_set_iopl, &(struct physdev_set_iopl){ 4 }), -EINVAL);
	assert_int_equal(do_physdev_op(PHYSDEVOP_eoi, 0), -EFAULT);
	assert_int_equal(do_physdev_op(PHYSDEVOP_pirq_eoi_gmfn_v2, 0), -ENOSYS);
	assert_int_equal(do_physdev_op(1000, 0), -ENOSYS);

	run_on(1, 0);
	for (cmd = 0; cmd < 32; cmd++) {
		long ret = do_physdev_op(cmd, (uint64_t)&vec);

		if (cmd != PHYSDEVOP_set_iopl && cmd != PHYSDEVOP_set_iobitmap)
			assert_true(ret == -EPERM || ret == -ENOSYS);
	}
	assert_int_equal(do_physdev_op(PHYSDEVOP_pirq_eoi_gmfn_v2, 0), -ENOSYS);
}

#define T(name)	cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_edge), T(test_level), T(test_isa_override), T(test_physdev),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
