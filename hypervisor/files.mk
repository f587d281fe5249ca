# SPDX-License-Identifier: Apache-2.0
# The hypervisor: freestanding x86-64, position-independent code linked at its
# fixed place in L4 slot 258 (docs/memory-layout.md).

HV_SRCS += $(wildcard hypervisor/*/*.c) $(wildcard hypervisor/*/*.S)

HV_CFLAGS := -std=gnu11 -O2 -g $(WARN) -ffreestanding -nostdinc \
	-mno-red-zone -mgeneral-regs-only -fpie -fvisibility=hidden -fno-plt \
	-fno-common -fno-strict-aliasing -fno-stack-protector \
	-fno-asynchronous-unwind-tables -fcf-protection=none \
	-fno-jump-tables -Wframe-larger-than=1024 \
	-isystem $(shell $(CC) -print-file-name=include) \
	-Ihypervisor/include -include pv/compiler.h -D__XEN__ -MMD -MP

# The public headers are reached through a link in build/, so that no libc
# header can slip in with them.
$(B)/hv/xenabi/xen: $(XEN_INCLUDE)/xen.h
	$(Q)mkdir -p $(@D) && ln -sfn $(XEN_INCLUDE) $@
HV_CFLAGS += -isystem $(B)/hv/xenabi

HV_OBJS := $(patsubst %,$(B)/hv/%.o,$(basename $(filter-out %.lds.S,$(HV_SRCS))))

$(B)/hv/%.o: %.c | $(B)/hv/xenabi/xen
	$(call say,CC-HV,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(HV_CFLAGS) -c -o $@ $<
$(B)/hv/%.o: %.S $(B)/hv/gen/asm_offsets.h | $(B)/hv/xenabi/xen
	$(call say,AS-HV,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(HV_CFLAGS) -D__ASSEMBLY__ -I$(B)/hv/gen -c -o $@ $<

# Structure offsets for assembly: offsets.c is compiled to text, never linked.
$(B)/hv/gen/asm_offsets.h: hypervisor/x86/offsets.c | $(B)/hv/xenabi/xen
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(HV_CFLAGS) -MF $(B)/hv/gen/offsets.d -MT $@ -S -o $(B)/hv/gen/offsets.s $<
	$(Q)sed -n 's/^.*->\([A-Za-z0-9_]*\) \$$\([-0-9]*\).*/#define \1 \2/p' $(B)/hv/gen/offsets.s > $@
HV_OBJS := $(filter-out $(B)/hv/hypervisor/x86/offsets.o,$(HV_OBJS))

$(B)/hv/link.lds: hypervisor/x86/link.lds.S
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(HV_CFLAGS) -D__ASSEMBLY__ -E -P -o $@ $<

$(B)/godwit: $(HV_OBJS) $(B)/hv/link.lds
	$(call say,LD-HV,$@)
	$(Q)ld -nostdlib -static --no-dynamic-linker -z noexecstack -z max-page-size=4096 \
		--no-warn-rwx-segments --build-id=none -T $(B)/hv/link.lds -o $@ $(HV_OBJS)

hypervisor: $(B)/godwit

include hypervisor/tests_sched.mk
include hypervisor/tests_event.mk
include hypervisor/tests_boot.mk
