# SPDX-License-Identifier: Apache-2.0
#
# The command godwit, and what every dom0 program shares: add
# $(TOOLSTACK_LIB_SRCS) (hypercalls, maps, log, whole reads and writes) or
# $(TOOLSTACK_DOMAIN_SRCS) (the above and a domain's life: domain.h, config.h)
# to NAME_SRCS, and the _LIBS of the same name to NAME_LIBS.

TOOLSTACK_LIB_SRCS := toolstack/lib/hcall.c toolstack/lib/fmap.c \
	toolstack/lib/log.c toolstack/lib/io.c toolstack/lib/quiet.c
TOOLSTACK_LIB_LIBS := -lxencall -lxenforeignmemory

TOOLSTACK_CONFIG_SRCS := toolstack/config.c toolstack/config_json.c \
	toolstack/lib/uuid.c
TOOLSTACK_BUILD_SRCS := toolstack/build/unpack.c toolstack/build/elf.c \
	toolstack/build/layout.c toolstack/build/start_info.c \
	toolstack/build/kcache.c
TOOLSTACK_DOMAIN_SRCS := $(TOOLSTACK_LIB_SRCS) $(TOOLSTACK_CONFIG_SRCS) \
	$(TOOLSTACK_BUILD_SRCS) toolstack/build/guest_memory.c \
	toolstack/build/pv.c toolstack/devices/vif.c toolstack/devices/vbd.c \
	toolstack/devices/driver.c toolstack/xstree.c toolstack/domain.c \
	toolstack/domain_store.c toolstack/domain_state.c \
	toolstack/domain_create.c toolstack/monitor.c
TOOLSTACK_DOMAIN_LIBS := $(TOOLSTACK_LIB_LIBS) -lxenstore -ljansson \
	-lz -llzma -lzstd -llz4

# The tools' view of the Xen headers, whichever of them comes first: without it
# xen.h turns old field names (console_mfn ...) into macros.
HOST_CFLAGS += -D__XEN_TOOLS__

PROGS += godwit
godwit_SRCS := toolstack/main.c toolstack/commands.c toolstack/options.c toolstack/cmd_create.c \
	toolstack/cmd_list.c toolstack/cmd_info.c toolstack/cmd_console.c \
	toolstack/cmd_domain.c toolstack/cmd_program.c $(SAVE_CMD_SRCS) \
	$(TOOLSTACK_DOMAIN_SRCS)
# `godwit list` has to be quick, and loading a dozen shared libraries would be
# half of its time: all but libc and libxenstore are linked in.  (The static
# libxenstore has no reader thread: a watch event that comes before a reply
# makes it drop the connection.)
godwit_LIBS := -Wl,-Bstatic $(filter-out -lxenstore,$(TOOLSTACK_DOMAIN_LIBS)) \
	$(STREAM_LIBS) -lxentoollog -lxentoolcore -Wl,-Bdynamic -lxenstore

UNIT_TESTS += test_config
test_config_SRCS := tests/unit/test_config.c $(TOOLSTACK_CONFIG_SRCS) \
	toolstack/lib/log.c toolstack/lib/io.c
test_config_LIBS := -ljansson

UNIT_TESTS += test_elf
test_elf_SRCS := tests/unit/test_elf.c toolstack/build/elf.c \
	toolstack/build/unpack.c
test_elf_LIBS := -lz -llzma -lzstd -llz4

UNIT_TESTS += test_build_layout
test_build_layout_SRCS := tests/unit/test_build_layout.c \
	toolstack/build/layout.c toolstack/build/start_info.c

UNIT_TESTS += test_build_kcache
test_build_kcache_SRCS := tests/unit/test_build_kcache.c \
	toolstack/build/kcache.c toolstack/build/unpack.c toolstack/lib/io.c
test_build_kcache_LIBS := -lz -llzma -lzstd -llz4

UNIT_TESTS += test_build_pv
test_build_pv_SRCS := tests/unit/test_build_pv.c toolstack/build/pv.c \
	toolstack/build/guest_memory.c toolstack/build/unpack.c \
	toolstack/build/elf.c toolstack/build/layout.c \
	toolstack/build/start_info.c $(TOOLSTACK_CONFIG_SRCS) \
	toolstack/lib/log.c toolstack/lib/io.c
test_build_pv_LIBS := -ljansson -lz -llzma -lzstd -llz4

FUZZERS += fuzz_config
fuzz_config_SRCS := tests/fuzz/fuzz_config.c $(TOOLSTACK_CONFIG_SRCS) \
	toolstack/lib/log.c toolstack/lib/io.c
fuzz_config_LIBS := -ljansson

FUZZERS += fuzz_kernel
fuzz_kernel_SRCS := tests/fuzz/fuzz_kernel.c toolstack/build/elf.c \
	toolstack/build/unpack.c toolstack/build/layout.c
fuzz_kernel_LIBS := -lz -llzma -lzstd -llz4
