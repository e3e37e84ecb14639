#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Runs test programs one after another, each in a network and mount namespace of its own with a private bpffs on
# /sys/fs/bpf and lo up, each with a deadline. One line for each program; its output only if it failed.
#
#	tests/run.sh PROGRAM...
#
#	V=1                 show the output as it comes
#	TEST_TIMEOUT=300    seconds for one program
#	CI=true             a skip is a failure: the machine lacks something that the tests need
#	TEST_TOTALS=FILE    add a line "PASSED FAILED SKIPPED" to FILE instead of the last line
#
# A program passes if it exits 0 and cmocka's summary says that at least one case ran. Exit status 77 is a skip.
# The last line is "N passed, N failed" or "N passed, N failed, N skipped"; the exit status says the same.
set -euo pipefail

readonly SKIP_STATUS=77
readonly DEADLINE=${TEST_TIMEOUT:-300}

# In the namespaces: prepare them, then become the program under its deadline.
if [[ ${1-} == --inside ]]; then
	shift
	# Most machines have one there: below another it would be seen twice.
	while umount /sys/fs/bpf 2>/dev/null; do :; done
	mount -t bpf bpf /sys/fs/bpf
	ip link set lo up
	exec timeout -k 5 "$DEADLINE" "$@"
fi

(($# > 0)) || {
	echo "tests/run.sh: no test program given" >&2
	exit 2
}

passed=0 failed=0 skipped=0
group=
scratch=$(mktemp -d)
output=$scratch/output
trap 'end_group; rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

# Asked once: without the right to make namespaces only what is pure can run.
isolation=yes
unshare -n -m --propagation private true 2>/dev/null || isolation=no

seconds_since() {
	local now=${EPOCHREALTIME/[.,]/}

	printf '%d.%d' $(((now - $1) / 1000000)) $(((now - $1) / 100000 % 10))
}

# Sum of N over cmocka's summary lines "[  WORD  ] N test(s)...", one for each group of cases.
cases() {
	sed -n "s/^\[ *$1 *\] \([0-9][0-9]*\) test(s).*/\1/p" "$output" | awk '{ n += $1 } END { print n + 0 }'
}

show() {
	printf '%-4s %-44s %5s cases %6s s%s\n' "$@"
}

# Ends what a program left behind. timeout made itself the leader of a process group, and it is the same process
# as the one that was started: each program of the chain replaces the one before it.
end_group() {
	[[ -z $group ]] || kill -KILL -- "-$group" 2>/dev/null || true
	group=
}

# Runs the program with its output in $output; returns its exit status.
run() {
	local status=0 sink=$output
	local command=("$1")

	if [[ $isolation == yes ]]; then
		command=(unshare -n -m --propagation private -- "$BASH" "$0" --inside "$1")
	else
		command=(timeout -k 5 "$DEADLINE" "$1")
	fi
	if [[ ${V-} == 1 ]]; then
		sink=$scratch/live
		rm -f "$sink"
		mkfifo "$sink"
		tee "$output" <"$sink" &
	fi
	"${command[@]}" </dev/null >"$sink" 2>&1 &
	group=$!
	wait "$group" || status=$?
	end_group
	# Only tee is left; it ends with the last writer.
	[[ ${V-} != 1 ]] || wait
	return "$status"
}

run_one() {
	local program=$1 name=${1#*/tests/} start=${EPOCHREALTIME/[.,]/} status=0
	local ok bad skip seconds reason='' verdict=ok

	: >"$output"
	if [[ $isolation == no && $program != */unit/* && $program != */chaos/pure_test ]]; then
		status=$SKIP_STATUS
		reason='cannot make namespaces; run as root'
	elif [[ ! -x $program ]]; then
		echo "not an executable file: $program" >"$output"
		status=126
	else
		run "$program" || status=$?
	fi
	seconds=$(seconds_since "$start")
	ok=$(cases PASSED) bad=$(cases FAILED) skip=$(cases SKIPPED)

	if ((status == SKIP_STATUS)); then
		verdict=SKIP ok=0 bad=0 skip=1
		reason=${reason:-$(grep -v '^\[' "$output" | tail -n 1 || true)}
	elif ((status == 124 || (status == 137 && ${seconds%.*} >= DEADLINE))); then
		verdict=FAIL reason="still running after $DEADLINE s"
	elif ((status > 128)); then
		verdict=FAIL reason="killed by signal $(kill -l $((status - 128)) 2>/dev/null || echo $((status - 128)))"
	elif ((status != 0)); then
		verdict=FAIL reason="exit status $status"
	elif ((ok + bad + skip == 0)); then
		verdict=FAIL reason='no case ran'
	elif ((bad > 0)); then
		verdict=FAIL reason='failed cases but exit status 0'
	elif ((skip > 0)); then
		verdict=SKIP reason="$skip skipped"
	fi
	if [[ $verdict == SKIP && ${CI-} == true ]]; then
		verdict=FAIL reason="skipped, but CI=true: ${reason:-no reason given}"
		bad=$skip skip=0
	fi
	if [[ $verdict == FAIL ]] && ((bad == 0)); then
		bad=1
	fi

	show "$verdict" "$name" $((ok + bad + skip)) "$seconds" "${reason:+  ($reason)}"
	if [[ $verdict == FAIL && ${V-} != 1 ]]; then
		sed 's/^/    | /' "$output"
	fi
	((passed += ok, failed += bad, skipped += skip)) || true
}

for program; do
	run_one "$program"
done

if [[ ${TEST_TOTALS-} ]]; then
	echo "$passed $failed $skipped" >>"$TEST_TOTALS"
else
	summary="$passed passed, $failed failed"
	((skipped == 0)) || summary+=", $skipped skipped"
	echo "$summary"
fi
((failed == 0))
