# SPDX-License-Identifier: Apache-2.0
#
# Shared by every dom0 program: add $(TOOLSTACK_LIB_SRCS) (hypercalls, maps,
# log, whole reads and writes) or $(TOOLSTACK_DOMAIN_SRCS) (the above and a
# domain's life: domain.h, config.h) to NAME_SRCS, and the _LIBS beside.

TOOLSTACK_LIB_SRCS := toolstack/lib/hcall.c toolstack/lib/fmap.c \
	toolstack/lib/log.c toolstack/lib/io.c
TOOLSTACK_LIB_LIBS := -lxencall -lxenforeignmemory
