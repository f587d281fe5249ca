# SPDX-License-Identifier: Apache-2.0
# The unpacker of domain 0's kernel on the host, against liblzma and zlib as judges.

UNPACK_TEST_CFLAGS := -std=gnu11 -g $(WARN) -D_GNU_SOURCE -fno-strict-aliasing \
	-Ihypervisor/include -I. -include pv/compiler.h -D__XEN__ -MMD -MP
UNPACK_SRCS := $(patsubst %,hypervisor/lib/%.c,crc32 unxz gunzip unpack)

$(B)/san/unpack/%.o: %.c
	$(call say,CC-SAN,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(UNPACK_TEST_CFLAGS) $(SAN_CFLAGS) -c -o $@ $<
$(B)/fuzz/unpack/%.o: %.c
	$(call say,CC-FUZZ,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(UNPACK_TEST_CFLAGS) -O1 -fsanitize=fuzzer-no-link,address,undefined -c -o $@ $<

UNIT_TESTS += test_unpack
test_unpack_LIBS := -llzma -lz
$(B)/unit/test_unpack: $(UNPACK_SRCS:%.c=$(B)/san/unpack/%.o) $(B)/san/unpack/tests/unit/test_unpack.o
FUZZERS += fuzz_unpack
fuzz_unpack_LIBS := -llzma -lz
$(B)/fuzz/bin/fuzz_unpack: $(UNPACK_SRCS:%.c=$(B)/fuzz/unpack/%.o) \
	$(B)/fuzz/unpack/tests/fuzz/fuzz_unpack.o
