#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Makes the pictures of README.md and docs/top.md anew, each from a run on this machine, as root; `make all
# build/tests/e2e/top_test` first:
#
#	scripts/pictures.sh            make them
#	scripts/pictures.sh --check    compare those that are text: numbers and bars may differ, and nothing else
#
# The text in README.md is of the same run as docs/pictures/flows.svg. Of the kernel's name the version alone is shown.
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib/pages.sh
. scripts/lib/pages.sh
export STEADYPORT=$PWD/build/steadyport
readonly TOP_TEST=build/tests/e2e/top_test PICTURES=docs/pictures MAKER=scripts/pictures.sh

(($# == 0)) || [[ $# == 1 && $1 == --check ]] || {
	sed -n 's/^#	\(scripts.*\)/\1/p' "$0" >&2
	exit 2
}

((EUID == 0)) || {
	echo "scripts/pictures.sh: it measures: run it as root" >&2
	exit 1
}
for program in "$STEADYPORT" "$TOP_TEST"; do
	[[ -x $program ]] || {
		echo "scripts/pictures.sh: there is no $program: make all $TOP_TEST" >&2
		exit 1
	}
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# What a picture beside it shows already, and what is of this run alone, is left out.
shorten_demo() {
	awk '
		/^ Linux [0-9.]*-/ {
			match($0, /-[^ ]*/)
			blanks = sprintf("%" RLENGTH "s", "")
			$0 = substr($0, 1, RSTART - 1) blanks substr($0, RSTART + RLENGTH)
		}
		/^ tcp / { hidden = 1 }
		!hidden && !/^Measured/ { print }
		hidden && /^$/ { hidden = 0 }
	'
}

# In a network with a name, and a bpffs, of its own.
watch_top() {
	mkdir -p /run/netns
	mount -t tmpfs tmpfs /run/netns
	ip netns add edge
	mount -t bpf bpf /sys/fs/bpf
	export TOP_FRAME=$1
	exec timeout 120 nsenter --net=/run/netns/edge bash -euc \
		"ip link set lo up; exec '$TOP_TEST' 'top__drain_and_undrain*'"
}
export -f watch_top
export TOP_TEST
make_frame() {
	unshare -m --propagation private -- "$BASH" -euc "watch_top '$scratch/frame'" >"$scratch/test" 2>&1 || {
		cat "$scratch/test" >&2
		return 1
	}
	pages_fence "$(<"$scratch/frame")"
}

make_demo() {
	pages_fence "$("$STEADYPORT" demo "$@" | shorten_demo)"
}

if (($# == 1)); then
	demo=$(make_demo)
	frame=$(make_frame)
	failed=0
	# Bars; what waits in a queue, and spark-lines, whose signs are spelled out for want of a locale that knows them.
	pages_compare README.md demo "$MAKER" "$demo" 's/[#+N]*[#+][#+N]*/BAR/g' || failed=1
	pages_compare docs/top.md frame "$MAKER" "$frame" 's/\bN (B|KiB) /N /g; s/(▁|▂|▃|▄|▅|▆|▇|█)+/SPARK/g' || failed=1
	exit "$failed"
fi
mkdir -p "$PICTURES"
demo=$(make_demo --svg "$PICTURES/flows.svg")
"$STEADYPORT" demo --rolling --svg "$PICTURES/rolling.svg"
frame=$(make_frame)
pages_put README.md demo "$MAKER" "$demo"
pages_put docs/top.md frame "$MAKER" "$frame"
