# SPDX-License-Identifier: Apache-2.0
# Micro-guests: one freestanding kernel for each src/NAME.c (docs: tests/guest/README.md).

GUEST_VIRT_BASE := 0xffffffff80000000
GUEST_DEFS := -DVIRT_BASE=$(GUEST_VIRT_BASE) -DLOAD_PADDR=0x200000 -DINIT_P2M=0x8000000000
GUEST_CFLAGS := -std=gnu11 -O2 -g $(WARN) -Wno-missing-field-initializers -ffreestanding -nostdinc -mno-red-zone \
	-mgeneral-regs-only -mcmodel=kernel -fno-pie -fno-common -fno-strict-aliasing \
	-fno-ipa-ra -fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none \
	-isystem $(shell $(CC) -print-file-name=include) -isystem $(B)/hv/xenabi -I. $(GUEST_DEFS) -MMD -MP

GUEST_TESTS := $(patsubst tests/guest/src/%.c,%,$(wildcard tests/guest/src/*.c))
GUEST_LIB := $(patsubst %,$(B)/guest-tests/%.o,$(basename $(wildcard tests/guest/lib/*.c) tests/guest/lib/start.S))

$(B)/guest-tests/%.o: %.c | $(B)/hv/xenabi/xen
	$(call say,CC-GUEST,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -c -o $@ $<
$(B)/guest-tests/%.o: %.S
	$(call say,AS-GUEST,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -c -o $@ $<
$(B)/guest-tests/guest.lds: tests/guest/lib/guest.lds.S
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_DEFS) -E -P -o $@ $<

$(GUEST_TESTS:%=$(B)/guest-tests/%.elf): $(B)/guest-tests/%.elf: \
		$(B)/guest-tests/tests/guest/src/%.o $(GUEST_LIB) $(B)/guest-tests/guest.lds
	$(call say,LD-GUEST,$@)
	$(Q)ld -nostdlib -static -z noexecstack -z max-page-size=4096 --no-warn-rwx-segments \
		--build-id=none -T $(B)/guest-tests/guest.lds -o $@ $(filter %.o,$^)

.PHONY: guest-tests
guest-tests: $(GUEST_TESTS:%=$(B)/guest-tests/%.elf)

-include $(shell find $(B)/guest-tests -name '*.d' 2>/dev/null)
