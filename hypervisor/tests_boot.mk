# SPDX-License-Identifier: Apache-2.0
# The loader's information, the memory map and lib/ on the host (tests/unit/fake/fake_boot.h).

BOOT_TEST_CFLAGS := -std=gnu11 -g $(WARN) -D_GNU_SOURCE -fno-strict-aliasing -Wno-unused-function \
	-Wno-format-nonliteral -Ihypervisor/include -I. \
	-isystem $(B)/hv/xenabi -include pv/compiler.h -MMD -MP

$(B)/san/boot/%.o: %.c | $(B)/hv/xenabi/xen
	$(call say,CC-SAN,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(BOOT_TEST_CFLAGS) $(SAN_CFLAGS) -c -o $@ $<
$(B)/fuzz/boot/%.o: %.c | $(B)/hv/xenabi/xen
	$(call say,CC-FUZZ,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BOOT_TEST_CFLAGS) -O1 -fsanitize=fuzzer-no-link,address,undefined -c -o $@ $<

UNIT_TESTS += test_boot
$(B)/unit/test_boot: $(B)/san/boot/tests/unit/test_boot.o
FUZZERS += fuzz_multiboot
$(B)/fuzz/bin/fuzz_multiboot: $(B)/fuzz/boot/tests/fuzz/fuzz_multiboot.o
