#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# deps.sh - have everything that building and testing needs on a Debian 12 machine.
#
# Installs by apt what dpkg does not know yet; quick, and without root, when
# nothing is missing.  `make demo`, `make check` and .ci/run start with this.
# The S3 server of tests/system/stores_s3.py comes from the npm registry, at a
# fixed version, into build/npm; where that fails, that test says so.
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
	libcurl4-openssl-dev libssl-dev libexpat1-dev libmicrohttpd-dev zlib1g-dev liblzma-dev libzstd-dev libcmocka-dev"
# compressors and a debugger that tests call
TOOLS="gzip xz-utils zstd lz4 gdb"
# servers that the stores of checkpoints are tested against
SERVERS="nginx-light libnginx-mod-http-dav-ext openssl util-linux"
S3RVER=3.7.1
# the lab: emulator, dom0 image, namespaces; GRUB images for BIOS and UEFI
LAB="qemu-system-x86 mmdebstrap iproute2 cpio kmod e2fsprogs procps
	grub-common grub-pc-bin grub-efi-amd64-bin xorriso mtools ovmf"

missing() {
	node=
	# a node of another origin brings its own npm, and conflicts with Debian's
	command -v npm >/dev/null || node="nodejs npm"
	for package in $BUILD $LIBRARIES $TOOLS $SERVERS $node $LAB; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
			echo "$package"
	done
}

have_lists() { apt-cache show linux-image-amd64 2>/dev/null | grep -q '^Package:'; }

run() {
	"$@" || { echo "deps: \"$*\" failed" >&2; exit 1; }
}

s3rver_there() {
	grep -q "\"version\": \"$S3RVER\"" build/npm/node_modules/s3rver/package.json 2>/dev/null
}

# Not a reason to test nothing at all: without it one test fails, and says why.
get_s3rver() {
	s3rver_there && return
	mkdir -p build/npm
	timeout 300 npm install --prefix build/npm --ignore-scripts --no-audit --no-fund \
		--loglevel error "s3rver@$S3RVER" >&2 && s3rver_there ||
		echo "deps: s3rver $S3RVER could not be had from the npm registry" >&2
}

case ${1-} in
--list) echo $BUILD $LIBRARIES $TOOLS $SERVERS nodejs npm $LAB; exit 0 ;;
--missing) missing; exit 0 ;;
'') ;;
*) echo "usage: tests/deps.sh [--list | --missing]" >&2; exit 2 ;;
esac

command -v apt-get >/dev/null || {
	echo "deps: no apt-get here; this tree builds and tests on Debian 12" >&2
	exit 1
}
cd "$(dirname "$0")/.."
wanted=$(missing)
if [ -z "$wanted" ] && have_lists; then
	get_s3rver
	exit 0
fi
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
get_s3rver
