# SPDX-License-Identifier: Apache-2.0
# The lab's images (tests/lab/README.md) and the guest's test programs.

LAB := $(B)/lab
MKIMAGE := tests/lab/mkimage.sh

.PHONY: image lab-bringup
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

image: lab-bringup $(LAB)/boot.cpio.gz $(LAB)/guest.cpio.gz $(LAB)/dom0.img $(LAB)/agent

$(LAB)/boot.cpio.gz: tests/lab/init/boot | $(LAB)/vmlinuz
	$(call say,LAB,$@)
	$(Q)$(MKIMAGE) boot
$(LAB)/guest.cpio.gz: tests/lab/init/guest $(GUEST_PROGS:%=$(B)/guest/bin/%) | $(LAB)/vmlinuz
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
