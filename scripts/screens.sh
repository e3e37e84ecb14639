#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Holds the screens of README.md and docs/ against what the program says: scripts/screens/scenes.sh sets their scenes, each
# in namespaces of its own, and runs the commands that the pages show. As root; what scripts/install-deps.sh installs must
# be there.
#
#	scripts/screens.sh             check: numbers, hashes and times may differ, and nothing else
#	scripts/screens.sh --write     put what is said now into the pages
#
#	STEADYPORT=PATH     the binary
#
# Of the kernel's name the version alone is shown. Other screens are made by scripts/pictures.sh and
# scripts/check-newcomer.sh; docs/bpftool.md is run by tests/e2e/bpftool_page_test.c.
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib/pages.sh
. scripts/lib/pages.sh
STEADYPORT=$(realpath "${STEADYPORT:-build/steadyport}")
readonly STEADYPORT MAKER='scripts/screens.sh --write'
readonly SCENES=(quick-start findings daemon web)

die() {
	echo "screens: $*" >&2
	exit 1
}

(($# == 0)) || [[ $# == 1 && $1 == --write ]] || {
	sed -n 's/^#	\(scripts.*\)/\1/p' "$0" >&2
	exit 2
}
((EUID == 0)) || die "makes network namespaces and loads BPF programs: run it as root"
[[ -x $STEADYPORT ]] || die "there is no $STEADYPORT: make"

scratch=$(mktemp -d)
scenes=()
end_all() {
	# What is theirs ends with them.
	kill -KILL "${scenes[@]}" 2>/dev/null || true
	wait 2>/dev/null || true
	rm -rf "$scratch"
}
trap end_all EXIT
trap 'exit 130' INT TERM

# The commands of the screens: `steadyport` is the one under test, and Ubuntu's bpftool runs on its own kernel alone.
mkdir "$scratch/bin" "$scratch/screens"
ln -s "$STEADYPORT" "$scratch/bin/steadyport"
for tool in bpftool /usr/sbin/bpftool /usr/lib/linux-tools*/*/bpftool; do
	! "$tool" version >/dev/null 2>&1 || { ln -s "$(type -P "$tool")" "$scratch/bin/bpftool" && break; }
done
export PATH=$scratch/bin:$PATH
for tool in bpftool jq ss python3; do
	type -P "$tool" >/dev/null || die "$tool is missing: scripts/install-deps.sh build test"
done

failed=0
complain() {
	echo "screens: $*" >&2
	failed=1
}

# A machine that has faults of its own says so in doctor's screens, of which the rest is compared then.
findings=$(unshare -m --propagation private sh -c \
	'mount -t bpf bpf /sys/fs/bpf; steadyport doctor --json --watch 0 || true' | jq '.machine.findings | length')
differing=
((findings == 0)) || differing='/^this machine/,/^$/d; /^N errors?, N warnings?, N notes?$/d'

# Where `groups` is asked no others may be seen; process 1 is not in the scene's network, which would be "host".
for scene in "${SCENES[@]}"; do
	set_scene=(unshare -n -m --propagation private scripts/screens/scenes.sh "$scene" "$scratch/screens")
	[[ $scene != quick-start ]] ||
		set_scene=(unshare -m -p -f --kill-child --mount-proc sh -c '"$@" & wait $!' - "${set_scene[@]}")
	"${set_scene[@]}" &
	scenes+=($!)
done
for scene in "${scenes[@]}"; do
	wait "$scene" || die "a scene could not be set"
done

while IFS= read -r file; do
	screen=${file##*/} page=${file#"$scratch/screens/"} page=${page%/*}
	text=$(pages_fence "$(<"$file")")
	if (($# == 1)); then
		pages_put "$page" "$screen" "$MAKER" "$text"
	else
		pages_compare "$page" "$screen" "$MAKER" "$text" "$differing" || failed=1
	fi
done < <(find "$scratch/screens" -type f | sort)
while IFS=: read -r page mark _; do
	screen=${mark#'<!-- '}
	[[ -e $scratch/screens/$page/$screen ]] || complain "$page: nothing makes the screen $screen"
done < <(grep -HF ": made by $MAKER -->" README.md docs/*.md)
# The example is one of fields that are explained above it.
while IFS= read -r field; do
	grep -qF "| \`$field\` |" docs/status-json.md || complain "docs/status-json.md does not explain $field"
done < <(sed 1d "$scratch/screens/docs/status-json.md/json" | jq -r 'keys[], (.slots[0] | keys[])')
((failed == 0))
