#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Holds the few ratios that must not rot against bounds that are generous: they are for a busy machine, and for changes
# that make something twice as dear. docs/benchmarks.md has the figures themselves. As root; under a minute.
#
#	scripts/perf-gate.sh
#
#	BUILD=build         where the built programs are; they are built if need be
#
# What is out of bounds is measured a second time, which decides: noise does not come twice.
set -euo pipefail

cd "$(dirname "$0")/.."
readonly BUILD=${BUILD:-build}
readonly BENCH=$BUILD/tests/bench/bench

# NAME BOUND of figures of the family steer: ratios of medians of rounds that take turns.
readonly BOUNDS="
udp_steady	3
udp_kernel	2.5
udp_orphans	2
udp_kept	2.5
tcp_steady	3
tcp_kernel	2.5
udp6_steady	3
probes	1
"

figures=$(mktemp)
trap 'rm -f "$figures"' EXIT

measure() {
	STEADYPORT=$BUILD/steadyport "$BENCH" --quick --json "$figures" steer >/dev/null
}

# NAME VALUE BOUND of each figure that is out of bounds, or is missing.
out_of_bounds() {
	local name bound value

	while read -r name bound; do
		[[ $name ]] || continue
		value=$(jq -r --arg name "$name" '.figures[] | select(.name == $name) | .figure.median' "$figures")
		awk -v value="${value:-none}" -v bound="$bound" \
			'BEGIN { exit value != "none" && value <= bound }' || continue
		echo "$name ${value:-none} $bound"
	done <<<"$BOUNDS"
}

make -s "BUILD=$BUILD" all "$BENCH"
measure
suspects=$(out_of_bounds)
if [[ $suspects ]]; then
	printf 'again, since these were out of bounds (figure, measured, at most):\n%s\n' "$suspects"
	measure
	suspects=$(join -j 1 <(echo "$suspects" | sort) <(out_of_bounds | sort))
fi
if [[ $suspects ]]; then
	printf 'FAIL out of bounds twice (figure, measured, at most, and once more):\n%s\n' "$suspects"
	exit 1
fi
echo "all ratios are within their bounds"
