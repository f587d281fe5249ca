# SPDX-License-Identifier: Apache-2.0
#
# Godwit's one Makefile.  Every folder lists its parts in a files.mk of its
# own; this file turns the lists into rules.  Everything made lands in build/.
#
# What a files.mk may add to:
#   HV_SRCS                  hypervisor sources (.c and .S), paths from the top
#   PROGS                    dom0 programs;  for each:  NAME_SRCS  NAME_LIBS
#   UNIT_TESTS               cmocka tests under ASan and UBSan;  NAME_SRCS  NAME_LIBS
#   FUZZERS                  libFuzzer targets (clang);          NAME_SRCS  NAME_LIBS
#   GUEST_PROGS              static programs for the test guest; NAME_SRCS
#   PROTOS                   .proto files; build/gen/<path>.pb-c.{c,h} are made
# Includes are written from the top of the tree ("net-arp/frame.h").

B := build
V ?= 0
ifeq ($(V),0)
Q := @
say = @printf '  %-8s %s\n' $(1) $(2)
else
Q :=
say = @:
endif

CC := gcc
CLANG := clang
PYTHON := python3
XEN_INCLUDE := /usr/include/xen

WARN := -Wall -Wextra -Werror -Wshadow -Wundef -Wvla -Wpointer-arith \
	-Wwrite-strings -Wstrict-prototypes -Wmissing-prototypes \
	-Wimplicit-fallthrough -Wformat=2 -Wno-unused-parameter
HOST_CFLAGS := -std=gnu11 -O2 -g $(WARN) -D_GNU_SOURCE -I. -I$(B)/gen \
	-MMD -MP
SAN_CFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer -O1

.PHONY: all
all:

include hypervisor/files.mk
include checkpoint/files.mk
include migrate/files.mk
include net-arp/files.mk
include toolstack/files.mk
include tests/files.mk
include bench/files.mk

# --- generated protobuf -----------------------------------------------------
GEN_C := $(PROTOS:%.proto=$(B)/gen/%.pb-c.c)
GEN_H := $(GEN_C:.c=.h)
.SECONDARY: $(GEN_C) $(GEN_H)

$(B)/gen/%.pb-c.c $(B)/gen/%.pb-c.h &: %.proto
	$(call say,PROTOC,$<)
	$(Q)mkdir -p $(B)/gen
	$(Q)protoc-c --c_out=$(B)/gen $<

# --- objects: host/ for dom0 programs, san/ for unit tests, fuzz/ for clang ---
$(B)/host/%.o: %.c | $(GEN_H)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(HOST_CFLAGS) -c -o $@ $<
$(B)/host/%.o: $(B)/gen/%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(HOST_CFLAGS) -c -o $@ $<
$(B)/san/%.o: %.c | $(GEN_H)
	$(call say,CC-SAN,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(HOST_CFLAGS) $(SAN_CFLAGS) -c -o $@ $<
$(B)/san/%.o: $(B)/gen/%.c
	$(call say,CC-SAN,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(HOST_CFLAGS) $(SAN_CFLAGS) -c -o $@ $<
$(B)/fuzz/%.o: %.c | $(GEN_H)
	$(call say,CC-FUZZ,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(HOST_CFLAGS) -O1 -fsanitize=fuzzer-no-link,address,undefined -c -o $@ $<
$(B)/fuzz/%.o: $(B)/gen/%.c
	$(call say,CC-FUZZ,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(HOST_CFLAGS) -O1 -fsanitize=fuzzer-no-link,address,undefined -c -o $@ $<

# $(call objs,kind,sources): sources below build/gen keep their relative name
objs = $(patsubst %.c,$(B)/$(1)/%.o,$(patsubst $(B)/gen/%,%,$(2)))

define prog_rule
$(B)/bin/$(1): $(call objs,host,$($(1)_SRCS))
	$(call say,LD,$(1))
	$(Q)mkdir -p $$(@D)
	$(Q)$(CC) -o $$@ $$^ $($(1)_LIBS)
endef
define unit_rule
$(B)/unit/$(1): $(call objs,san,$($(1)_SRCS))
	$(call say,LD-SAN,$(1))
	$(Q)mkdir -p $$(@D)
	$(Q)$(CC) $(SAN_CFLAGS) -o $$@ $$^ $($(1)_LIBS) -lcmocka
endef
define fuzz_rule
$(B)/fuzz/bin/$(1): $(call objs,fuzz,$($(1)_SRCS))
	$(call say,LD-FUZZ,$(1))
	$(Q)mkdir -p $$(@D)
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined -o $$@ $$^ $($(1)_LIBS)
endef
define guest_rule
$(B)/guest/bin/$(1): $($(1)_SRCS)
	$(call say,CC-GUEST,$(1))
	$(Q)mkdir -p $$(@D)
	$(Q)$(CC) -std=gnu11 -O2 -g0 -static $(WARN) -D_GNU_SOURCE -I. -o $$@ $$^
endef
$(foreach p,$(PROGS),$(eval $(call prog_rule,$(p))))
$(foreach p,$(UNIT_TESTS),$(eval $(call unit_rule,$(p))))
$(foreach p,$(FUZZERS),$(eval $(call fuzz_rule,$(p))))
$(foreach p,$(GUEST_PROGS),$(eval $(call guest_rule,$(p))))

.PHONY: progs unit-tests fuzzers guest-progs hypervisor
progs: $(PROGS:%=$(B)/bin/%)
unit-tests: $(UNIT_TESTS:%=$(B)/unit/%)
fuzzers: $(FUZZERS:%=$(B)/fuzz/bin/%)
guest-progs: $(GUEST_PROGS:%=$(B)/guest/bin/%)

all: hypervisor progs

# --- tests: docs/testing.md --------------------------------------------------
# Three steps, so that a bare machine has its compiler before make reads what
# depends on one.  The last line of the output is `N passed, N failed`.
.PHONY: deps check check-fast check-parts check-fast-parts
deps:
	$(Q)tests/deps.sh
check-fast-parts: hypervisor progs unit-tests guest-progs guest-tests lab-tools $(LAB)/vmlinuz
check-parts: check-fast-parts fuzzers image

SUBMAKE = +$(Q)$(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
CHECK_BUDGET_S := 3600
check: deps
	$(SUBMAKE) check-parts
	$(Q)tests/run --units "$(UNIT_TESTS)" --fuzzers "$(FUZZERS)" --fuzz-seconds 10 \
		--budget $(CHECK_BUDGET_S)
check-fast: deps
	$(SUBMAKE) check-fast-parts
	$(Q)tests/run --fast --units "$(UNIT_TESTS)"

include demo.mk

.PHONY: clean
clean:
	rm -rf $(B)/host $(B)/san $(B)/fuzz $(B)/hv $(B)/gen $(B)/bin $(B)/unit $(B)/guest

-include $(shell find $(B)/host $(B)/san $(B)/fuzz $(B)/hv -name '*.d' 2>/dev/null)
