#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# deps.sh - have everything that building and testing needs on a Debian 12 machine.
#
# Installs by apt what dpkg does not know yet; quick, and without root, when
# nothing is missing.  `make demo`, `make check` and .ci/run start with this.
# Exit code: 0 all there, 1 something could not be installed.
#
# The lab (tests/lab/mkimage.sh) fetches more packages without installing them
# (kernel, busybox, the dom0 root), so apt's lists have to be there as well.

set -eu

# compilers and build tools; binutils for ld and strip
BUILD="make gcc libc6-dev binutils clang libclang-rt-14-dev python3 protobuf-compiler
	protobuf-c-compiler"
# what the dom0 programs and their tests link
LIBRARIES="libxen-dev libprotobuf-c-dev liblz4-dev libxxhash-dev libjansson-dev
	libcurl4-openssl-dev libmicrohttpd-dev zlib1g-dev liblzma-dev libzstd-dev libcmocka-dev"
# compressors that tests call
TOOLS="gzip xz-utils zstd lz4"
# the lab: emulator, dom0 image, namespaces; GRUB images for BIOS and UEFI
LAB="qemu-system-x86 mmdebstrap iproute2 cpio kmod e2fsprogs procps
	grub-common grub-pc-bin grub-efi-amd64-bin xorriso mtools ovmf"

missing() {
	for package in $BUILD $LIBRARIES $TOOLS $LAB; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
			echo "$package"
	done
}

have_lists() { apt-cache show linux-image-amd64 2>/dev/null | grep -q '^Package:'; }

run() {
	"$@" || { echo "deps: \"$*\" failed" >&2; exit 1; }
}

case ${1-} in
--list) echo $BUILD $LIBRARIES $TOOLS $LAB; exit 0 ;;
--missing) missing; exit 0 ;;
'') ;;
*) echo "usage: tests/deps.sh [--list | --missing]" >&2; exit 2 ;;
esac

command -v apt-get >/dev/null || {
	echo "deps: no apt-get here; this tree builds and tests on Debian 12" >&2
	exit 1
}
wanted=$(missing)
[ -z "$wanted" ] && have_lists && exit 0
[ "$(id -u)" = 0 ] || {
	echo "deps: as root, please:" apt-get update "&&" apt-get install $wanted >&2
	exit 1
}
export DEBIAN_FRONTEND=noninteractive
run apt-get update -q
# shellcheck disable=SC2086 # a list of words on purpose
[ -z "$wanted" ] || run apt-get install -q -y --no-install-recommends $wanted
wanted=$(missing)
[ -z "$wanted" ] || { echo "deps: still missing:" $wanted >&2; exit 1; }
