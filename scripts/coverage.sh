#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Line coverage of loader/ and include/ by the tests: a table of all files, and of those below the goal once more.
#
#	make coverage [COVERAGE='unit prog e2e']      builds what is measured, then runs this
#	scripts/coverage.sh KIND...
#
#	BUILD=build         the instrumented tree is $BUILD/coverage
#	COVERAGE_GOAL=90    per cent
#
# Files are listed, and lines counted, as LLVM does it: llvm-cov show on $BUILD/coverage tells which lines. A test that
# fails is shown, and does not end the measurement: instrumented programs are slower. The exit status is 1 if the total
# is below the goal.
set -euo pipefail

cd "$(dirname "$0")/.."
readonly OUT=${BUILD:-build}/coverage
readonly GOAL=${COVERAGE_GOAL:-90}

(($# > 0)) || set -- unit prog e2e

rm -rf "$OUT/profiles"
mkdir -p "$OUT/profiles"
# Workers of other users write theirs, too.
chmod 1777 "$OUT/profiles"
# %m: a file for each program, which all its processes share; %c: it is what they count in, so that none has to end well.
export LLVM_PROFILE_FILE=$PWD/$OUT/profiles/%m%c.profraw

objects=()
for kind; do
	programs=("$OUT/tests/$kind"/*_test)
	objects+=("${programs[@]/#/-object=}")
	STEADYPORT=$PWD/$OUT/steadyport tests/run.sh "${programs[@]}" || true
done

llvm-profdata merge -o "$OUT/profile" "$OUT/profiles"/*.profraw
llvm-cov report "$OUT/steadyport" "${objects[@]}" "-instr-profile=$OUT/profile" -show-region-summary=0 \
	-show-branch-summary=0 loader include | sort >"$OUT/report"

printf '\n%-28s %7s %7s %7s\n' FILE LINES MISSED COVER
awk -v goal="$GOAL" '
	$NF !~ /%$/ { next }
	{ lines = $(NF - 2); missed = $(NF - 1); cover = lines ? 100 * (lines - missed) / lines : 100 }
	{ row = sprintf("%-28s %7d %7d %6.1f%%", $1, lines, missed, cover) }
	$1 == "TOTAL" { total = cover; last = row; next }
	{
		print row
		if (cover < goal) below = below row "\n"
	}
	END {
		print last
		if (below) printf "\nbelow %d%%:\n%s", goal, below
		exit total < goal
	}
' "$OUT/report"
