# SPDX-License-Identifier: Apache-2.0
# Scheduler and timers on the host: the real sources against a simulated machine
# (tests/unit/fake/fake_sched.c).  Compiled apart from other tests, for here
# "this CPU" is a variable (tests/unit/fake/sched/pv/percpu.h).

SCHED_TEST_CFLAGS := -std=gnu11 -g $(WARN) $(SAN_CFLAGS) -D_GNU_SOURCE -fno-strict-aliasing \
	-Itests/unit/fake/sched -Ihypervisor/include -I. -include pv/compiler.h -D__XEN__ -MMD -MP
SCHED_TEST_SRCS := $(wildcard hypervisor/sched/*.c) hypervisor/time/pvclock.c \
	hypervisor/hypercall/sched_op.c hypervisor/hypercall/vcpu_op.c
SCHED_TEST_OBJS := $(SCHED_TEST_SRCS:%.c=$(B)/san/sched/%.o)
SCHED_TEST_SIM := $(B)/san/sched/tests/unit/fake/fake_sched.o

$(B)/san/sched/%.o: %.c
	$(call say,CC-SAN,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(SCHED_TEST_CFLAGS) -c -o $@ $<

UNIT_TESTS += test_sched test_sched_smp test_timer
test_sched_smp_LIBS := -lpthread
$(B)/unit/test_sched: $(SCHED_TEST_OBJS) $(SCHED_TEST_SIM) $(B)/san/sched/tests/unit/test_sched.o
$(B)/unit/test_timer: $(SCHED_TEST_OBJS) $(SCHED_TEST_SIM) $(B)/san/sched/tests/unit/test_timer.o
$(B)/unit/test_sched_smp: $(SCHED_TEST_OBJS) $(B)/san/sched/tests/unit/test_sched_smp.o
