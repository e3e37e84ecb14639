#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Shows what the verifier has to do for each program, against bpf/budget.def: instructions that it follows, and stack.
# As root; fails when a program is over its budget.
#
#	scripts/verifier-report.sh                  on the running kernel
#	scripts/verifier-report.sh VERSION...       on these, in qemu: see scripts/kernels.sh
#
#	BUILD=build         where the built programs are; they are built if need be
set -euo pipefail

cd "$(dirname "$0")/.."
readonly BUILD=${BUILD:-build}
readonly TEST=$BUILD/tests/prog/verifier_test

make -s "BUILD=$BUILD" all "$TEST"
(($# == 0)) || exec env BUILD="$BUILD" KERNEL_TESTS=prog/verifier_test scripts/kernels.sh "$@"

output=$(mktemp)
trap 'rm -f "$output"' EXIT
status=0
V=1 tests/run.sh "$TEST" >"$output" 2>&1 || status=$?
sed -n 's/^budget: //p' "$output"
((status == 0)) || {
	grep -v '^budget: ' "$output" >&2
	exit 1
}
