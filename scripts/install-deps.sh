#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Installs what is missing of the packages that steadyport needs, on Debian or Ubuntu, as root.
#
#	scripts/install-deps.sh build          compile and run it
#	scripts/install-deps.sh build test     and test it
#	scripts/install-deps.sh --names ...    say which packages these are, and install nothing
#
# A machine that has everything is left alone: no package index is fetched.
set -euo pipefail

usage() {
	sed -n 's/^#	\(scripts.*\)/\1/p' "$0" >&2
	exit 2
}

has() {
	[[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# Debian has bpftool as a package. Ubuntu packs it with the tools of a kernel version; any version will do.
has_bpftool() {
	local tool

	for tool in bpftool /usr/sbin/bpftool /usr/lib/linux-tools*/*/bpftool; do
		! "$tool" version >/dev/null 2>&1 || return 0
	done
	return 1
}

# libFuzzer is a package of its own on Debian, and comes with clang on some Ubuntus, which have no package of that name.
has_libfuzzer() {
	compgen -G "$(clang -print-resource-dir 2>/dev/null)/lib/*/libclang_rt.fuzzer*$(uname -m).a" >/dev/null
}

build=(gcc make clang llvm libbpf-dev libc6-dev libelf-dev zlib1g-dev libjansson-dev libinih-dev libevent-dev libncurses-dev
	pkg-config)
# systemd: for systemd-analyze, prometheus: for promtool; nothing of them is started.
test=(libcmocka-dev iproute2 clang-format clang-tidy cppcheck shellcheck qemu-system-x86 busybox-static cpio systemd
	nginx haproxy wrk prometheus mandoc zsh dpkg-dev debhelper lintian debootstrap jq python3-yaml)

# Asked by packages before they start a service: 101 is no. An operator's own stays; one that an earlier run left behind,
# because it was killed, is ours.
readonly POLICY=/usr/sbin/policy-rc.d
readonly POLICY_MARK='# for as long as scripts/install-deps.sh of steadyport runs'

forbid_services() {
	[[ ! -e $POLICY && ! -L $POLICY ]] || grep -qxF "$POLICY_MARK" "$POLICY" || return 0
	trap 'rm -f "$POLICY" "$POLICY.new"' EXIT
	trap 'exit 130' INT TERM
	printf '%s\n' '#!/bin/sh' "$POLICY_MARK" 'exit 101' >"$POLICY.new"
	chmod 755 "$POLICY.new"
	mv "$POLICY.new" "$POLICY"
}

does_install=yes
if [[ ${1-} == --names ]]; then
	does_install=no
	shift
fi
(($# > 0)) || usage
packages=() bpftool='' libfuzzer=''
for group; do
	case $group in
	build)
		packages+=("${build[@]}")
		bpftool=yes
		;;
	test)
		packages+=("${test[@]}")
		libfuzzer=yes
		;;
	*) usage ;;
	esac
done

if [[ $does_install == no ]]; then
	echo "${packages[@]}" bpftool
	exit
fi
command -v dpkg-query >/dev/null || {
	echo "scripts/install-deps.sh: no dpkg here: this script knows Debian and Ubuntu only; install ${packages[*]} bpftool" >&2
	exit 1
}

missing=()
for package in "${packages[@]}"; do
	has "$package" || missing+=("$package")
done
[[ -z $bpftool ]] || ! has_bpftool || bpftool=
[[ -z $libfuzzer ]] || ! has_libfuzzer || libfuzzer=
[[ ${#missing[@]} -gt 0 || $bpftool || $libfuzzer ]] || exit 0

((EUID == 0)) || {
	echo "scripts/install-deps.sh: missing: ${missing[*]} ${bpftool:+bpftool} ${libfuzzer:+libFuzzer}: run as root to install" >&2
	exit 1
}

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
if [[ $bpftool ]]; then
	# Ubuntu's name for it is virtual or missing, so the index has no version to install.
	if [[ $(apt-cache policy bpftool 2>/dev/null) == *"Candidate: "[0-9]* ]]; then
		missing+=(bpftool)
	else
		missing+=(linux-tools-common linux-tools-generic)
	fi
fi
if [[ $libfuzzer && $(apt-cache policy libclang-rt-dev 2>/dev/null) == *"Candidate: "[0-9]* ]]; then
	missing+=(libclang-rt-dev)
fi
echo "installing ${missing[*]}"
# The tests start servers of their own; the machine shall not begin to serve.
forbid_services
apt-get install -y -qq --no-install-recommends "${missing[@]}"
[[ -z $bpftool ]] || has_bpftool || {
	echo "scripts/install-deps.sh: bpftool was installed but does not run" >&2
	exit 1
}
