#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Builds the Debian package of this tree, in a copy and without privileges, as a build machine would.
#
#	scripts/build-deb.sh [DIR]            the package goes to DIR (build/deb)
#
#	DEB_BUILD_OPTIONS=nocheck             as for dpkg-buildpackage: without the unit tests
#	LINTIAN=yes                           and lintian must have nothing to say
#
# packaging/debian is the tree's debian/. As root it builds as the user nobody.
set -euo pipefail

cd "$(dirname "$0")/.."
(($# <= 1)) || {
	sed -n 's/^#	\(scripts.*\)/\1/p' "$0" >&2
	exit 2
}
target=${1:-build/deb}

version=$(sed -n 's/^VERSION := //p' Makefile)
packaged=$(sed -n '1s/.*(\(.*\)).*/\1/p' packaging/debian/changelog)
[[ $version == "$packaged" ]] || {
	echo "scripts/build-deb.sh: this is $version, but packaging/debian/changelog begins with $packaged" >&2
	exit 1
}

# What compiles it on any machine is what a build machine has to have; these three each of them has.
for package in $(scripts/install-deps.sh --names build); do
	case $package in gcc | make | libc6-dev) continue ;; esac
	grep -qE "^(Build-Depends:)? *$package( |,|\$)" packaging/debian/control || {
		echo "scripts/build-deb.sh: packaging/debian/control does not build-depend on $package" >&2
		exit 1
	}
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
tree=$scratch/steadyport-$version
mkdir "$tree"
# What a release would hold, with what is not committed yet.
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
	git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
		[[ ! -e $file ]] || printf '%s\0' "$file"
	done | tar -cf - --null -T -
else
	tar -cf - --exclude=./build .
fi | tar -xf - -C "$tree" --no-same-owner
mv "$tree/packaging/debian" "$tree/debian"

unprivileged=()
if ((EUID == 0)); then
	chown -R nobody "$scratch"
	unprivileged=(setpriv --reuid nobody --regid nogroup --clear-groups --inh-caps=-all --bounding-set=-all)
fi
(cd "$tree" && "${unprivileged[@]}" env -u MAKEFLAGS -u MAKELEVEL -u BUILD HOME="$scratch" \
	dpkg-buildpackage --build=binary --unsigned-source --unsigned-changes -j"$(nproc)")
if [[ ${LINTIAN-} == yes ]]; then
	"${unprivileged[@]}" env HOME="$scratch" lintian --fail-on error,warning --allow-root --tag-display-limit 0 \
		"$scratch"/*.changes
fi
mkdir -p "$target"
cp "$scratch"/*.deb "$target"
ls "$target"/*.deb
