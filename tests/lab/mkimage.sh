#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# mkimage.sh PART - make one part of the lab's images below build/lab.
#
# Every byte of a foreign program comes from a Debian package: the kernel, the
# oracle hypervisor and busybox are unpacked from their .deb without being
# installed, the dom0 root is made by mmdebstrap.  Nothing is mounted; mke2fs
# and cpio write the images, so that this works in a plain container.
#
# Invariant: a part is written under a temporary name and renamed when it is
# whole; an interrupted run leaves no half image that make would believe in.

set -eu

top=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
src=$top/tests/lab
out=${LAB_OUT:-$top/build/lab}
suite=bookworm

die() { echo "mkimage: $*" >&2; exit 1; }

# --- packages ------------------------------------------------------------------
# fetch PACKAGE: print the path of its .deb, downloaded once
fetch() {
	mkdir -p "$out/dl"
	found=$(find "$out/dl" -name "$1_*.deb" | head -n 1)
	if [ -z "$found" ]; then
		(cd "$out/dl" && apt-get -qq -o APT::Sandbox::User=root download "$1" >&2) ||
			die "cannot download package $1 (run apt-get update?)"
		found=$(find "$out/dl" -name "$1_*.deb" | head -n 1)
	fi
	[ -n "$found" ] || die "package $1 did not arrive"
	echo "$found"
}

# unpack PACKAGE: its files below build/lab/pkg/PACKAGE, once
unpack() {
	[ -e "$out/pkg/$1.done" ] && return
	deb=$(fetch "$1")
	mkdir -p "$out/pkg/$1"
	dpkg-deb -x "$deb" "$out/pkg/$1"
	touch "$out/pkg/$1.done"
}

# The image package that the metapackage linux-image-amd64 names today.
kernel_package() {
	if [ ! -s "$out/kernel.package" ]; then
		mkdir -p "$out"
		apt-cache depends linux-image-amd64 |
			sed -n 's/.*Depends: \(linux-image-[^ ]*\).*/\1/p' |
			head -n 1 > "$out/kernel.package"
	fi
	[ -s "$out/kernel.package" ] || die "no linux-image-amd64 in apt's lists (run apt-get update?)"
	cat "$out/kernel.package"
}

kver() { kernel_package | sed 's/^linux-image-//'; }
ktree() { echo "$out/pkg/$(kernel_package)"; }

# --- building blocks of an initramfs --------------------------------------------
# skeleton DIR: busybox with all its names, the usual empty directories
skeleton() {
	unpack busybox-static
	rm -rf "$1"
	mkdir -p "$1/bin" "$1/proc" "$1/sys" "$1/dev" "$1/tmp" "$1/run" "$1/root" "$1/mnt" "$1/etc"
	ln -s bin "$1/sbin"
	cp "$out/pkg/busybox-static/bin/busybox" "$1/bin/busybox"
	for name in $("$1/bin/busybox" --list); do
		[ "$name" = busybox ] || ln -s busybox "$1/bin/$name"
	done
}

# add_modules DIR NAME...: the modules, what they depend on, and modules.dep
add_modules() {
	dir=$1; shift
	ver=$(kver)
	tree=$(ktree)
	mkdir -p "$dir/lib/modules/$ver"
	for mod in "$@"; do
		modprobe -d "$tree" -S "$ver" --show-depends "$mod" 2>/dev/null |
			sed -n 's/^insmod \([^ ]*\).*/\1/p'
	done | sort -u | while read -r ko; do
		rel=${ko#"$tree"}
		mkdir -p "$dir$(dirname "$rel")"
		cp "$ko" "$dir$rel"
	done
	cp "$tree/lib/modules/$ver/modules.builtin" "$tree/lib/modules/$ver/modules.order" \
		"$dir/lib/modules/$ver/"
	depmod -b "$dir" "$ver" 2>/dev/null
}

# pack DIR FILE: newc archive, gzip (fast to unpack under emulation)
pack() {
	(cd "$1" && find . -print0 | LC_ALL=C sort -z |
		cpio --null --quiet -o -H newc -R 0:0) | gzip -1 > "$2.part"
	mv "$2.part" "$2"
	rm -rf "$1"
}

# --- parts ------------------------------------------------------------------------
part_kernel() {
	unpack "$(kernel_package)"
	[ -e "$(ktree)/lib/modules/$(kver)/modules.dep" ] || depmod -b "$(ktree)" "$(kver)"
	cp "$(ktree)/boot/config-$(kver)" "$out/config"
	cp "$(ktree)/boot/vmlinuz-$(kver)" "$out/vmlinuz.part"
	mv "$out/vmlinuz.part" "$out/vmlinuz"
}

# Debian's System.map is a pointer to its 1 GB debug package, so the kernel is
# booted once, unrandomised as it is under PV, and asked for its symbols.
part_sysmap() {
	python3 "$src/lab.py" kernel-only --hypervisor none --dom0-args "nokaslr quiet" \
		--cmd "cat /proc/kallsyms" --timeout 180 |
		grep -E '^[0-9a-f]{16} [a-zA-Z] [^ ]+$' > "$out/System.map.part" || true
	grep -q ' xen_start_kernel$' "$out/System.map.part" || die "no symbols came"
	mv "$out/System.map.part" "$out/System.map"
}

part_xen() {
	unpack xen-hypervisor-4.17-amd64
	gzip -dc "$out"/pkg/xen-hypervisor-4.17-amd64/boot/xen-4.17-amd64.gz > "$out/xen.part"
	mv "$out/xen.part" "$out/xen"
}

part_bringup() {
	dir=$out/work.bringup
	skeleton "$dir"
	cp "$src/init/bringup" "$dir/init"
	chmod 755 "$dir/init"
	add_modules "$dir" xenfs xen-privcmd xen-evtchn xen-gntdev xen-gntalloc
	pack "$dir" "$out/bringup.cpio.gz"
}

part_boot() {
	dir=$out/work.boot
	skeleton "$dir"
	cp "$src/init/boot" "$dir/init"
	chmod 755 "$dir/init"
	add_modules "$dir" virtio_blk virtio_pci ext4 crc32c_generic
	pack "$dir" "$out/boot.cpio.gz"
}

part_guest() {
	dir=$out/work.guest
	skeleton "$dir"
	cp "$src/init/guest" "$dir/init"
	chmod 755 "$dir/init"
	add_modules "$dir" xen-netfront xen-blkfront
	for prog in "$top"/build/guest/bin/*; do
		[ -f "$prog" ] && cp "$prog" "$dir/bin/"
	done
	pack "$dir" "$out/guest.cpio.gz"
}

# apt's own sources of this machine, so that its mirror or proxy is used; where
# none of the files fits, nothing, and mmdebstrap takes Debian's own mirror
sources() {
	for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.sources \
		/etc/apt/sources.list.d/*.list; do
		# "main" tells Debian's own from others that serve the same suite
		if [ -s "$f" ] && grep -q "^[^#]*$suite" "$f" && grep -q "^[^#]*\<main\>" "$f"; then
			echo "$f"
			return
		fi
	done
}

ROOT_PACKAGES="xen-utils-4.17 xenstore-utils libxencall1 libxenforeignmemory1
	libxenevtchn1 libxengnttab1 libxenstore4 libxentoolcore1 libprotobuf-c1
	liblz4-1 libxxhash0 libcurl4 libexpat1 libmicrohttpd12 libjansson4 zlib1g liblzma5
	libzstd1 libnl-3-200 libnl-route-3-200 libmnl0 libgnutls30 libssl3
	iproute2 iputils-ping kmod procps socat tcpdump less strace gdbserver"

# Modules that dom0 may want beyond the boot; the kernel package's other 380 MB stay out.
ROOT_MODULES="xenfs xen-privcmd xen-evtchn xen-gntdev xen-gntalloc xen-netback
	xen-blkback xen-netfront xen-blkfront bridge stp llc e1000 e1000e virtio_net
	virtio_blk virtio_pci virtio_console ext4 loop tun veth dummy af_packet
	crc32c_generic sch_netem sch_tbf sch_plug sch_ingress cls_matchall act_mirred ifb
	overlay 8139cp"

part_root() {
	[ "$(id -u)" = 0 ] || die "the dom0 root must be made as root"
	dir=$out/work.root
	rm -rf "$dir"
	mkdir -p "$out"
	list=$(echo "$ROOT_PACKAGES" | tr -s ' \n\t' ',')
	# shellcheck disable=SC2046 # one word or none
	mmdebstrap --quiet --mode=root --variant=minbase --include="$list" \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/info/*' \
		--format=directory "$suite" "$dir" $(sources) >&2
	# shellcheck disable=SC2086 # a list of words on purpose
	add_modules "$dir" $ROOT_MODULES
	mkdir -p "$dir/opt/godwit" "$dir/boot" "$dir/var/lib/xenstored" "$dir/var/log/xen"
	cp "$out/vmlinuz" "$dir/boot/vmlinuz"
	ln -sf ../boot/vmlinuz "$dir/opt/vmlinuz"
	printf '%s\n' '127.0.0.1 localhost' '10.77.0.1 host1' '10.77.0.2 host2' \
		'10.77.0.254 outside' > "$dir/etc/hosts"
	rm -rf "$dir/var/cache/apt" "$dir/var/lib/apt/lists"
	mkdir -p "$dir/var/lib/apt/lists/partial" "$dir/var/cache/apt/archives/partial"
	rm -f "$out/dom0.img.part"
	mke2fs -q -t ext4 -O ^has_journal,^metadata_csum -E lazy_itable_init=1 -m 0 -L godwit-dom0 \
		-d "$dir" "$out/dom0.img.part" 1500M > /dev/null
	mv "$out/dom0.img.part" "$out/dom0.img"
	rm -rf "$dir"
}

[ $# = 1 ] || die "usage: mkimage.sh kernel|sysmap|xen|bringup|boot|guest|root"
case $1 in
kernel|sysmap|xen|bringup|boot|guest|root) "part_$1" ;;
*) die "unknown part '$1'" ;;
esac
