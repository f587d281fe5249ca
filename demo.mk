# SPDX-License-Identifier: Apache-2.0
# make demo, make demo-ft, make bench, make iso.
#
#   demo   two emulated hosts, a guest that moves (bench/demo.py)
#   demo-ft  one of two emulated hosts loses its power, and the guest goes on at the
#          other (bench/demo_ft.py)
#   bench  measure; ONLY=migrate|live|checkpoint|platform|micro, REPEAT=N, WITH_XEN=1
#   iso    build/godwit.iso: GRUB2 for BIOS and UEFI, hypervisor, dom0 kernel, initrd.
#          Without more words dom0 is a busybox shell in memory on the serial line;
#          ISO_KERNEL= ISO_INITRD= ISO_DOM0_ARGS= ISO_HV_ARGS= make an image of your own.

ONLY ?=
REPEAT ?= 3
WITH_XEN ?=
ISO_KERNEL ?= $(LAB)/vmlinuz
ISO_INITRD ?= $(LAB)/bringup.cpio.gz
ISO_HV_ARGS ?= dom0_mem=512M
ISO_DOM0_ARGS ?= console=hvc0

.PHONY: demo demo-ft demo-parts bench iso
demo-parts: hypervisor progs image

demo: deps
	$(SUBMAKE) demo-parts
	$(Q)$(PYTHON) bench/demo.py

demo-ft: deps
	$(SUBMAKE) demo-parts
	$(Q)$(PYTHON) bench/demo_ft.py

bench: deps
	$(SUBMAKE) demo-parts
	$(Q)$(PYTHON) bench/run.py $(if $(ONLY),--only $(ONLY)) --repeat $(REPEAT) \
		$(if $(WITH_XEN),--with-xen)

# Always made anew: the words above are no files that make could compare.
iso: hypervisor $(ISO_KERNEL) $(ISO_INITRD)
	$(call say,ISO,$(B)/godwit.iso)
	$(Q)rm -rf $(B)/iso.d && mkdir -p $(B)/iso.d/boot/grub
	$(Q)cp $(ISO_KERNEL) $(B)/iso.d/boot/vmlinuz
	$(Q)cp $(ISO_INITRD) $(B)/iso.d/boot/initrd
	$(Q)strip -g -o $(B)/iso.d/boot/godwit $(B)/godwit
	$(Q)printf '%s\n' 'serial --unit=0 --speed=115200' \
		'terminal_input serial console' 'terminal_output serial console' \
		'set timeout=3' 'menuentry "Godwit" {' \
		'	multiboot2 /boot/godwit $(ISO_HV_ARGS)' \
		'	module2 /boot/vmlinuz $(ISO_DOM0_ARGS)' \
		'	module2 --nounzip /boot/initrd' '}' > $(B)/iso.d/boot/grub/grub.cfg
	$(Q)grub-mkrescue -o $(B)/godwit.iso.part $(B)/iso.d 2>$(B)/iso.log || \
		{ tail -n 5 $(B)/iso.log; exit 1; }
	$(Q)mv $(B)/godwit.iso.part $(B)/godwit.iso
	$(Q)rm -rf $(B)/iso.d
