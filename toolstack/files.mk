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
	toolstack/build/layout.c toolstack/build/start_info.c
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
godwit_SRCS := toolstack/main.c toolstack/commands.c toolstack/cmd_create.c \
	toolstack/cmd_list.c toolstack/cmd_info.c toolstack/cmd_console.c \
	toolstack/cmd_domain.c $(TOOLSTACK_DOMAIN_SRCS)
godwit_LIBS := $(TOOLSTACK_DOMAIN_LIBS)

UNIT_TESTS += test_config
test_config_SRCS := tests/unit/test_config.c $(TOOLSTACK_CONFIG_SRCS) \
	toolstack/lib/log.c toolstack/lib/io.c
test_config_LIBS := -ljansson
