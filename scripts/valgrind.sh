#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Runs end-to-end tests with steadyport under valgrind: every command and every daemon that they start. By hand, as
# root: it is some twenty times slower, so tests that measure time may fail for that. What counts is what valgrind says.
#
#	scripts/valgrind.sh [TEST...]       default: those of the daemon, and of what all commands print
#
#	BUILD=build         where the built programs are; they are built if need be
#	TEST_TIMEOUT=1800   seconds for one test program
#
# The exit status is 1 if valgrind has found an error or a leak; it is shown, and stays in $BUILD/valgrind/.
set -euo pipefail

cd "$(dirname "$0")/.."
readonly BUILD=${BUILD:-build}
readonly OUT=$PWD/$BUILD/valgrind
export TEST_TIMEOUT=${TEST_TIMEOUT:-1800}

(($# > 0)) || set -- daemon_reload daemon_life daemon_join daemon_park daemon_metrics look

programs=()
for test; do
	programs+=("$BUILD/tests/e2e/${test%_test}_test")
done
make -s "BUILD=$BUILD" all "${programs[@]}"
rm -rf "$OUT"
mkdir -p "$OUT"

# A daemon that is killed has had its errors written, but not its leaks: those need an end.
cat >"$OUT/steadyport" <<-WRAPPER
	#!/bin/sh
	exec valgrind -q --leak-check=full --errors-for-leak-kinds=definite --show-leak-kinds=definite \\
		--suppressions=$PWD/scripts/lint/valgrind.supp --log-file=$OUT/%p.log $PWD/$BUILD/steadyport "\$@"
WRAPPER
chmod +x "$OUT/steadyport"
STEADYPORT=$OUT/steadyport tests/run.sh "${programs[@]}" || true

runs=$(find "$OUT" -name '*.log' | wc -l)
((runs > 0)) || {
	echo "valgrind has run nothing" >&2
	exit 1
}
# A line of an error begins with its process between equal signs; warnings, of BPF commands that valgrind does not know,
# have dashes there.
mapfile -t bad < <(grep -l '^==' "$OUT"/*.log || true)
echo "valgrind: $runs runs of steadyport, ${#bad[@]} with errors or leaks"
((${#bad[@]} == 0)) || {
	grep -h '^==' "${bad[@]}" | head -n 100
	exit 1
}
