#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Runs the fuzz targets that `make fuzz` has built: each over its seeds, tests/fuzz/seeds/TARGET/, then over what it
# makes of them. One line for each target; its output only if it failed.
#
#	tests/fuzz/run.sh [TARGET...]       all targets, or these: endpoint config ...
#
#	FUZZ_SECONDS=60     for each target; 0: only the seeds
#	FUZZ_JOBS=2         so many targets at once
#	BUILD=build         where they are; what was found is kept in $BUILD/fuzz/corpus/TARGET, from run to run
#	V=1, TEST_TOTALS=FILE      as for tests/run.sh
#
# An input that breaks a target is left in $BUILD/fuzz/broken/TARGET/. When the fault is mended, the input becomes a
# seed: with a name that tells what it was, `git add` it to tests/fuzz/seeds/TARGET/.
set -euo pipefail

cd "$(dirname "$0")/../.."
readonly FUZZ_SECONDS=${FUZZ_SECONDS:-60}
readonly FUZZ_JOBS=${FUZZ_JOBS:-2}
readonly OUT=${BUILD:-build}/fuzz
readonly INPUT_MAX=4096    # bytes: enough for every branch, and many a second
readonly INPUT_SECONDS=20  # an input that takes longer is a loop without end, even on a busy machine

# Targets end by themselves: the deadline is for one that hangs where libFuzzer does not see it.
readonly DEADLINE=$((FUZZ_SECONDS * 2 + 300))

if (($# == 0)); then
	targets=()
	for source in tests/fuzz/*_fuzz.c; do
		source=${source##*/}
		targets+=("${source%_fuzz.c}")
	done
	set -- "${targets[@]}"
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Seeds, then new inputs; libFuzzer ends with another status than 0 when one breaks the target.
run_target() {
	local target=$1 program=$OUT/tests/fuzz/${1}_fuzz seeds=tests/fuzz/seeds/$1
	local options=("-artifact_prefix=$OUT/broken/$target/" "-timeout=$INPUT_SECONDS")

	mkdir -p "$OUT/broken/$target" "$OUT/corpus/$target"
	[[ -x $program ]] || {
		echo "$program is missing: make fuzz"
		return 1
	}
	compgen -G "$seeds/*" >/dev/null || {
		echo "$seeds has no seeds"
		return 1
	}
	timeout -k 5 "$DEADLINE" "$program" "${options[@]}" "$seeds"/* || return
	((FUZZ_SECONDS == 0)) || timeout -k 5 "$DEADLINE" "$program" "${options[@]}" "-max_len=$INPUT_MAX" \
		"-max_total_time=$FUZZ_SECONDS" "$OUT/corpus/$target" "$seeds"
}

start_target() {
	local status=0

	if [[ ${V-} == 1 ]]; then
		run_target "$1" 2>&1 | tee "$scratch/$1" || status=$?
	else
		run_target "$1" >"$scratch/$1" 2>&1 || status=$?
	fi
	echo "$status" >"$scratch/$1.status"
}

# "12345 runs, 427 edges" of the last line in which libFuzzer tells, nothing when it only read seeds.
achieved() {
	sed -n 's/^#\([0-9]*\)\tDONE *cov: \([0-9]*\) .*/\1 runs, \2 edges/p' "$scratch/$1" | tail -n 1
}

passed=0 failed=0
for target; do
	while (($(jobs -pr | wc -l) >= FUZZ_JOBS)); do
		wait -n
	done
	start_target "$target" &
done
wait

for target; do
	seeds=$(find "tests/fuzz/seeds/$target" -type f 2>/dev/null | wc -l)
	if [[ $(<"$scratch/$target.status") == 0 ]]; then
		verdict=ok
		((passed += 1))
	else
		verdict=FAIL
		((failed += 1))
	fi
	printf '%-4s fuzz/%-12s %4d seeds  %s\n' "$verdict" "$target" "$seeds" "$(achieved "$target")"
	[[ $verdict == ok || ${V-} == 1 ]] || tail -n 60 "$scratch/$target" | sed 's/^/    | /'
done

if [[ ${TEST_TOTALS-} ]]; then
	echo "$passed $failed 0" >>"$TEST_TOTALS"
else
	echo "$passed passed, $failed failed"
fi
((failed == 0))
