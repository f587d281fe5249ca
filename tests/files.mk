# SPDX-License-Identifier: Apache-2.0
# The lab's images (tests/lab/README.md) and the guest's test programs.

# Lazy prerequisites ($$): files.mk of folders that come later add GUEST_PROGS.
.SECONDEXPANSION:

GUEST_PROGS += beacon dirtier tcpecho churn
beacon_SRCS := tests/guestprog/beacon.c tests/guestprog/common.c
dirtier_SRCS := tests/guestprog/dirtier.c tests/guestprog/common.c
tcpecho_SRCS := tests/guestprog/tcpecho.c tests/guestprog/common.c
churn_SRCS := tests/guestprog/churn.c tests/guestprog/common.c

# In dom0, for system tests.
PROGS += snapcheck lazycheck
snapcheck_SRCS := tests/system/snapcheck.c $(TOOLSTACK_LIB_SRCS)
snapcheck_LIBS := $(TOOLSTACK_LIB_LIBS)
lazycheck_SRCS := tests/system/lazycheck.c $(TOOLSTACK_LIB_SRCS)
lazycheck_LIBS := $(TOOLSTACK_LIB_LIBS)

LAB := $(B)/lab
MKIMAGE := tests/lab/mkimage.sh

.PHONY: image lab-bringup lab-tools
# What tests/lab/selftest.py needs: no image, no root file system.
lab-tools: $(LAB)/agent $(LAB)/listener $(LAB)/tcpclient guest-progs
lab-bringup: $(LAB)/vmlinuz $(LAB)/bringup.cpio.gz $(LAB)/xen $(LAB)/System.map

$(LAB)/vmlinuz:
	$(call say,LAB,$@)
	$(Q)$(MKIMAGE) kernel
$(LAB)/xen:
	$(call say,LAB,$@)
	$(Q)$(MKIMAGE) xen
$(LAB)/bringup.cpio.gz: tests/lab/init/bringup | $(LAB)/vmlinuz
	$(call say,LAB,$@)
	$(Q)$(MKIMAGE) bringup
$(LAB)/System.map: | $(LAB)/vmlinuz $(LAB)/bringup.cpio.gz
	$(call say,LAB,$@)
	$(Q)$(MKIMAGE) sysmap

image: lab-bringup $(LAB)/boot.cpio.gz $(LAB)/guest.cpio.gz $(LAB)/dom0.img $(LAB)/agent \
	$(LAB)/listener $(LAB)/tcpclient

$(LAB)/boot.cpio.gz: tests/lab/init/boot | $(LAB)/vmlinuz
	$(call say,LAB,$@)
	$(Q)$(MKIMAGE) boot
$(LAB)/guest.cpio.gz: tests/lab/init/guest $$(addprefix $(B)/guest/bin/,$$(GUEST_PROGS)) | $(LAB)/vmlinuz
	$(call say,LAB,$@)
	$(Q)$(MKIMAGE) guest
# Made again only by hand (rm build/lab/dom0.img): what changes is in the overlay.
$(LAB)/dom0.img: | $(LAB)/vmlinuz
	$(call say,LAB,$@)
	$(Q)$(MKIMAGE) root
$(LAB)/agent: tests/lab/agent.c
	$(call say,CC-LAB,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O2 -static $(WARN) -D_GNU_SOURCE -o $@ $<
# Programs that run outside the hosts.
$(LAB)/listener $(LAB)/tcpclient: $(LAB)/%: tests/lab/%.c tests/guestprog/common.c
	$(call say,CC-LAB,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O2 $(WARN) -D_GNU_SOURCE -I. -o $@ $^

include tests/unit/unpack.mk
include tests/guest/files.mk
