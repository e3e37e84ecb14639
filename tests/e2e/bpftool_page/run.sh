#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Runs what a page shows: the commands of one of its fenced blocks, of which each must exit 0 and print what stands
# below it.
#
#	bpftool_page/run.sh PAGE N         the Nth block, which must not fail
#	bpftool_page/run.sh PAGE print N   its text
#	bpftool_page/run.sh PAGE count     how many there are
#
# Numbers, addresses of sockets, names of workers and runs of blanks may differ; `...` stands for any lines. A line that
# begins with $ is a command; in a block without one every line is.
#
#	PAGE_SHOW=FILE      put there what was really printed, to refresh the page from
# Without pipefail: `... | head` ends what it reads from.
set -u

# shellcheck source=scripts/lib/pages.sh
. "$(dirname "$0")/../../../scripts/lib/pages.sh"
page=$1
die() {
	echo "$page, block $n: $*" >&2
	exit 1
}

block() {
	awk -v n="$1" '/^```/ { inside = !inside; if (inside) count++; next } inside && count == n { print }' "$page"
}

# What may differ from run to run, made the same.
alike() {
	pages_alike | sed -E -e 's/worker-N|h3d/web/g' -e 's/web, web,? ?(\.\.\.)?/web/'
}

# Both with one line each: $1 what is expected, $2 what there is.
matches() {
	awk '
		function match_from(i, j) {
			if (i > nwant) return j > nhave
			if (want[i] == "...") {
				for (; j <= nhave + 1; j++) if (match_from(i + 1, j)) return 1
				return 0
			}
			return j <= nhave && want[i] == have[j] && match_from(i + 1, j + 1)
		}
		NR == FNR { want[++nwant] = $0; next }
		{ have[++nhave] = $0 }
		END { exit !match_from(1, 1) }
	' "$1" "$2"
}

# The rest of the machine has groups, too; those of this test are in a network namespace of this name.
here() {
	if [[ $1 == 'steadyport groups' ]]; then
		grep -E '^PROTO| edge '
	else
		cat
	fi
}

# run_command COMMAND WANTED...
run_command() {
	local command=$1
	shift

	eval "$command" >"$scratch/out" 2>"$scratch/err" || die "$command: exit status $?: $(<"$scratch/err")"
	[[ -z ${PAGE_SHOW-} ]] || { echo "\$ $command" && cat "$scratch/out"; } >>"$PAGE_SHOW"
	[[ $has_prompt ]] || return 0
	printf '%s\n' "$@" | alike | sed '/^$/d' >"$scratch/want"
	here "$command" <"$scratch/out" | alike | sed '/^$/d' >"$scratch/have"
	matches "$scratch/want" "$scratch/have" ||
		die "$command: $(diff -u --label 'the page' --label 'this run' "$scratch/want" "$scratch/have" | head -40)"
}

if [[ $2 == count ]]; then
	grep -c '^```' "$page" | awk '{ print $1 / 2 }'
	exit
elif [[ $2 == print ]]; then
	block "$3"
	exit
fi

n=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# What the page sets once.
eval "$(block 1)"
command='' wanted=() has_prompt=$(block "$n" | grep -m 1 '^\$ ')
while IFS= read -r line; do
	if [[ ! $has_prompt ]]; then
		run_command "$line"
	elif [[ $line == '$ '* ]]; then
		[[ -z $command ]] || run_command "$command" "${wanted[@]}"
		command=${line#'$ '} wanted=()
	else
		wanted+=("$line")
	fi
done < <(block "$n")
[[ -z $command ]] || run_command "$command" "${wanted[@]}"
