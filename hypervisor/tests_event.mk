# SPDX-License-Identifier: Apache-2.0
# Event channels and grant tables on the host: the real sources against a machine
# of arrays (tests/unit/fake/fake_machine.c).  Compiled apart from other tests, for
# here machine frames and `current' are variables (tests/unit/fake/machine/pv/).

EVENT_TEST_CFLAGS := -std=gnu11 -g $(WARN) $(SAN_CFLAGS) -D_GNU_SOURCE -fno-strict-aliasing \
	-Itests/unit/fake/machine -Ihypervisor/include -I. -include pv/compiler.h -D__XEN__ -MMD -MP
EVENT_TEST_OBJS := $(patsubst %.c,$(B)/san/event/%.o,$(wildcard hypervisor/event/*.c) \
	$(wildcard hypervisor/grant/*.c) hypervisor/irq/pirq.c hypervisor/hypercall/physdev_op.c \
	tests/unit/fake/fake_machine.c tests/unit/fake/fake_ioapic.c)

$(B)/san/event/%.o: %.c
	$(call say,CC-SAN,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(EVENT_TEST_CFLAGS) -c -o $@ $<

UNIT_TESTS += test_evtchn test_grant test_pirq
$(B)/unit/test_evtchn: $(EVENT_TEST_OBJS) $(B)/san/event/tests/unit/test_evtchn.o
$(B)/unit/test_grant: $(EVENT_TEST_OBJS) $(B)/san/event/tests/unit/test_grant.o
$(B)/unit/test_pirq: $(EVENT_TEST_OBJS) $(B)/san/event/tests/unit/test_pirq.o
