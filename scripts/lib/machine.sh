# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A fresh machine of this distribution to try things on: a folder made by debootstrap, and namespaces of its own for
# network, processes and mounts. Nothing that is installed or started there is seen outside; it has no network but its
# loopback device, and apt finds there what was asked for before. To be sourced; needs root and debootstrap.
#
# BUILD=build: what was downloaded is kept in $BUILD/machines.

# The distribution's own archive, as apt here has it: "URI".
machine_archive() {
	local release=$1

	# shellcheck disable=SC2016 # apt's
	apt-get indextargets --format '$(CREATED_BY)|$(COMPONENT)|$(RELEASE)|$(REPO_URI)' |
		awk -F'|' -v release="$release" '$1 == "Packages" && $2 == "main" && $3 == release { print $4; exit }'
}

# Makes the smallest system there is, complete or not at all.
machine_bootstrap() {
	local release=$1 tar=$2 archive

	archive=$(machine_archive "$release")
	[[ $archive ]] || {
		echo "apt has no archive of $release here: apt-get update" >&2
		return 1
	}
	mkdir -p "${tar%/*}"
	rm -rf "$tar.root"
	debootstrap --variant=minbase --components=main,universe "$release" "$tar.root" "$archive" >"$tar.log" 2>&1 || {
		cat "$tar.log" >&2
		return 1
	}
	rm -f "$tar.root"/var/cache/apt/archives/*.deb
	tar -C "$tar.root" -cf "$tar.new" .
	rm -rf "$tar.root"
	mv "$tar.new" "$tar"
}

# machine_make ROOT PACKAGE...: a machine whose apt can install these packages and what they need.
machine_make() {
	local root=$1 kept=${BUILD:-build}/machines release
	shift

	release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	[[ -e $kept/$release.tar ]] || machine_bootstrap "$release" "$kept/$release.tar" || return
	mkdir -p "$root" "$kept/$release"
	tar -C "$root" -xf "$kept/$release.tar"
	cp -L /etc/resolv.conf "$root/etc/resolv.conf"
	cp -n "$kept/$release"/*.deb "$root/var/cache/apt/archives/" 2>/dev/null || true
	{
		chroot "$root" apt-get update -qq &&
			chroot "$root" apt-get install -qq -y --no-install-recommends --download-only "$@"
	} >"$kept/download.log" 2>&1 || {
		cat "$kept/download.log" >&2
		return 1
	}
	mkdir "$root/archive"
	mv "$root"/var/cache/apt/archives/*.deb "$root/archive"
	cp -u "$root"/archive/*.deb "$kept/$release"
	(cd "$root/archive" && dpkg-scanpackages -m . >Packages 2>/dev/null)
	rm -rf "$root/etc/apt/sources.list" "$root"/etc/apt/sources.list.d/* "$root"/var/lib/apt/lists/*
	echo 'deb [trusted=yes] file:/archive ./' >"$root/etc/apt/sources.list"
	rm -f "$root/etc/resolv.conf"
}

# machine_run ROOT COMMAND...: runs it there. What it leaves running ends with it.
machine_run() {
	local root

	root=$(realpath "$1")
	shift
	# shellcheck disable=SC2016 # the inner shell's
	unshare -n -m -p -f --kill-child --propagation private -- env -i \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
		DEBIAN_FRONTEND=noninteractive bash -c '
			set -e
			ip link set lo up
			# A root that is no mount point could have no mounts of its own.
			mount --bind "$1" "$1"
			cd "$1"
			mount -t proc proc proc
			mount -t sysfs sysfs sys
			mount -t bpf bpf sys/fs/bpf
			mount -t tmpfs tmpfs run
			shift
			exec chroot . "$@"
		' - "$root" "$@" </dev/null
}
