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
