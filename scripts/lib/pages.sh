# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The parts of a page that a command makes. WHAT is what it is called there, MAKER the command:
#
#	<!-- WHAT: made by MAKER -->
#	...
#	<!-- end of WHAT -->
#
# To be sourced.

# pages_require PAGE WHAT MAKER: fails, and says so, unless the page has each of the two lines once.
pages_require() {
	local page=$1 line

	for line in "<!-- $2: made by $3 -->" "<!-- end of $2 -->"; do
		[[ $(grep -cxF -- "$line" "$page") == 1 ]] || {
			echo "$0: $page does not have this line once: $line" >&2
			return 1
		}
	done
}

# pages_get PAGE WHAT MAKER: what stands there now.
pages_get() {
	awk -v begin="<!-- $2: made by $3 -->" -v end="<!-- end of $2 -->" \
		'$0 == end { exit } shown { print } $0 == begin { shown = 1 }' "$1"
}

# pages_put PAGE WHAT MAKER TEXT
pages_put() {
	local page=$1 fresh

	pages_require "$page" "$2" "$3" || return
	# Not with -v, which would take a backslash of the text for its own.
	fresh=$(TEXT=$4 awk -v begin="<!-- $2: made by $3 -->" -v end="<!-- end of $2 -->" '
		$0 == end { hidden = 0 }
		!hidden { print }
		$0 == begin { print ENVIRON["TEXT"]; hidden = 1 }
	' "$page")
	printf '%s\n' "$fresh" >"$page"
}

# pages_fence TEXT: as a block of code.
pages_fence() {
	# shellcheck disable=SC2016 # the backticks are Markdown's
	printf '```\n%s\n```\n' "$1"
}

# pages_alike <SCREEN: what may differ from run to run, made the same: numbers, hashes, times, runs of blanks.
pages_alike() {
	sed -E -e 's/sk:[0-9a-f]+/sk:N/g' -e 's/\b[0-9a-f]{16}\b/N/g' -e 's/ run_time_ns [0-9]+ run_cnt [0-9]+//' \
		-e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:+]+/DATE/g' -e 's/cgroup:[^ ]*/cgroup:C/' \
		-e 's/\b[0-9]+([.,][0-9]+)*/N/g' -e 's/(less than )?\bN (ms|s|min|h|d)\b/TIME/g' \
		-e 's/[[:blank:]]+/ /g' -e 's/^ //' -e 's/ $//'
}

# pages_compare PAGE WHAT MAKER TEXT [SED]: fails, and says how they differ, unless what stands there is alike; with what
# else may differ made the same by a script for sed.
pages_compare() {
	local difference

	pages_require "$1" "$2" "$3" || return
	difference=$(diff -u --label "$1" --label "what is said now" \
		<(pages_get "$1" "$2" "$3" | pages_alike | sed -E "${5-}") <(pages_alike <<<"$4" | sed -E "${5-}")) && return
	echo "$0: $1: $2 is not what the program says ($3 makes it)" >&2
	printf '%s\n' "$difference" >&2
	return 1
}
