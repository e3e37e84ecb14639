#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Proves that tests/run.sh goes red on every way a test program can fail, and green on one that passes.
# The programs beside this script are built by `make selftest`. Uses TEST_TOTALS as tests/run.sh does.
set -euo pipefail

cd "$(dirname "$0")/../.."
programs=${BUILD:-build}/tests/selftest
totals=${TEST_TOTALS-}
unset TEST_TOTALS V
export CI=false

unshare -n -m --propagation private true || {
	echo "tests/selftest/selftest.sh: cannot make namespaces; run as root" >&2
	exit 1
}

passed=0 failed=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# expect NAME STATUS SUMMARY TEXT COMMAND...: the command ends with this status and this last line and prints TEXT.
expect() {
	local name=$1 want_status=$2 want_summary=$3 want_text=$4 status=0
	shift 4

	"$@" >"$scratch/output" 2>&1 || status=$?
	if ((status == want_status)) && [[ $(tail -n 1 "$scratch/output") == "$want_summary" ]] &&
		grep -qF -- "$want_text" "$scratch/output"; then
		echo "ok   runner__$name"
		((passed += 1))
	else
		echo "FAIL runner__$name: wanted status $want_status, \"$want_summary\" and \"$want_text\"; got status $status:"
		sed 's/^/    | /' "$scratch/output"
		((failed += 1))
	fi
}

show_totals() {
	TEST_TOTALS=$scratch/totals tests/run.sh "$@"
	cat "$scratch/totals"
}

# A killed process stays visible as a zombie until its new parent, which is not ours, collects it.
await_end() {
	local deadline=$((SECONDS + 10))

	while [[ -d /proc/$1 ]] && ! grep -q '^State:.Z' "/proc/$1/status"; do
		((SECONDS < deadline)) || return 1
	done 2>/dev/null
	echo gone
}

expect passing_program__green 0 '2 passed, 0 failed' 'ok ' \
	tests/run.sh "$programs/pass"
expect failing_case__red_with_output 1 '1 passed, 1 failed' '0x1 != 0x2' \
	tests/run.sh "$programs/fail"
expect crash__red 1 '0 passed, 1 failed' 'killed by signal ABRT' \
	tests/run.sh "$programs/crash"
expect crash__the_case_is_named 1 '0 passed, 1 failed' 'runner__abort__fails' \
	tests/run.sh "$programs/crash"
expect hang__red_at_the_deadline 1 '0 passed, 1 failed' 'still running after 1 s' \
	env TEST_TIMEOUT=1 tests/run.sh "$programs/hang"
expect no_case__red 1 '0 passed, 1 failed' 'no case ran' \
	tests/run.sh "$programs/empty"
expect bad_status_after_passing_cases__red 1 '1 passed, 1 failed' 'exit status 23' \
	tests/run.sh "$programs/quiet_fail"
expect failed_case_with_status_0__red 1 '1 passed, 1 failed' 'failed cases but exit status 0' \
	tests/run.sh "$programs/unclean"
expect missing_program__red 1 '0 passed, 1 failed' 'not an executable file' \
	tests/run.sh "$programs/no-such-program"
expect no_program__usage 2 'tests/run.sh: no test program given' 'no test program' \
	tests/run.sh
expect skip__loud 0 '0 passed, 0 failed, 1 skipped' 'SKIP selftest/skip ' \
	tests/run.sh "$programs/skip"
expect skip__says_why 0 '0 passed, 0 failed, 1 skipped' '(no such capability)' \
	tests/run.sh "$programs/skip"
expect skip_in_ci__red 1 '0 passed, 1 failed' 'skipped, but CI=true: no such capability' \
	env CI=true tests/run.sh "$programs/skip"
expect skipped_case__counted 0 '1 passed, 0 failed, 1 skipped' '1 skipped' \
	tests/run.sh "$programs/skip_case"
expect skipped_case_in_ci__red 1 '1 passed, 1 failed' 'CI=true' \
	env CI=true tests/run.sh "$programs/skip_case"
expect one_bad_among_good__red 1 '4 passed, 1 failed' 'FAIL selftest/empty' \
	tests/run.sh "$programs/pass" "$programs/empty" "$programs/pass"
expect live_output__shown 0 '2 passed, 0 failed' 'runner__equal__passes' \
	env V=1 tests/run.sh "$programs/pass"
expect live_failure__red 1 '1 passed, 1 failed' 'exit status 1' \
	env V=1 tests/run.sh "$programs/fail"
expect totals__written 0 '2 0 0' 'ok ' \
	show_totals "$programs/pass"

expect worker_left_behind__green 0 '1 passed, 0 failed' 'worker ' \
	env V=1 tests/run.sh "$programs/orphan"
expect worker_left_behind__ended 0 gone gone \
	await_end "$(sed -n 's/^worker //p' "$scratch/output")"

cat >"$scratch/isolated" <<-'PROGRAM'
	#!/bin/sh
	[ "$(readlink /proc/self/ns/net)" != "$OUTER_NET" ] || { echo "same network namespace"; exit 1; }
	[ "$(stat -f -c %T /sys/fs/bpf)" = bpf_fs ] || { echo "no bpffs"; exit 1; }
	[ ! -e /sys/fs/bpf/mine ] || { echo "bpffs is not private"; exit 1; }
	ip link show lo | grep -q UP || { echo "lo is down"; exit 1; }
	mkdir /sys/fs/bpf/mine
	echo "[  PASSED  ] 1 test(s)."
PROGRAM
chmod +x "$scratch/isolated"
OUTER_NET=$(readlink /proc/self/ns/net)
export OUTER_NET
expect program__has_its_own_namespaces_and_bpffs 0 '2 passed, 0 failed' 'ok ' \
	tests/run.sh "$scratch/isolated" "$scratch/isolated"

if [[ $totals ]]; then
	echo "$passed $failed 0" >>"$totals"
else
	echo "$passed passed, $failed failed"
fi
((failed == 0))
