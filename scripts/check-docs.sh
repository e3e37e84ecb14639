#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Holds the documentation against what it describes; needs no root, and build/steadyport.
#
#	scripts/check-docs.sh             check
#	scripts/check-docs.sh --write     put a fresh table of counters into README.md, then check
#
#	STEADYPORT=PATH     the binary whose --help is asked
#
# Checked: README.md's table of counters is that of counters.def; every command and every option of `steadyport
# --help` and of each `COMMAND --help` is in README.md; every relative link in README.md and docs/ leads somewhere.
set -euo pipefail

cd "$(dirname "$0")/.."
readonly STEADYPORT=${STEADYPORT:-build/steadyport}
readonly COUNTERS=include/steadyport/counters.def
readonly BEGIN='<!-- counters: made from include/steadyport/counters.def by scripts/check-docs.sh --write -->'
readonly END='<!-- end of counters -->'

failed=0
complain() {
	echo "check-docs: $*" >&2
	failed=1
}

die() {
	echo "check-docs: $*" >&2
	exit 1
}

usage() {
	sed -n 's/^#	\(scripts.*\)/\1/p' "$0" >&2
	exit 2
}

# An entry that the pattern misses would be missing from the table in silence: both are counted.
counter_table() {
	local entry='^SP_COUNTER\(([a-z_]+), ([A-Z]+), "(.*)"\)$' line rows=0 entries

	printf '| counter | kind | counts |\n|---|---|---|\n'
	while IFS= read -r line; do
		[[ $line =~ $entry ]] || continue
		# shellcheck disable=SC2016 # the backticks are Markdown's
		printf '| `%s` | %s | %s |\n' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2],,}" "${BASH_REMATCH[3]//|/\\|}"
		rows=$((rows + 1))
	done <"$COUNTERS"
	entries=$(grep -c '^SP_COUNTER(' "$COUNTERS" || true)
	((rows > 0 && rows == entries)) || die "$COUNTERS: $entries entries, but $rows could be read"
}

require_markers() {
	local marker

	for marker in "$BEGIN" "$END"; do
		[[ $(grep -cxF -- "$marker" README.md) == 1 ]] || die "README.md does not have this line once: $marker"
	done
}

table_in_readme() {
	awk -v begin="$BEGIN" -v end="$END" '$0 == end { exit } shown { print } $0 == begin { shown = 1 }' README.md
}

write_table() {
	local table=$1 fresh

	fresh=$(awk -v begin="$BEGIN" -v end="$END" -v table="$table" '
		$0 == end { hidden = 0 }
		!hidden { print }
		$0 == begin { print table; hidden = 1 }
	' README.md)
	printf '%s\n' "$fresh" >README.md
}

check_counters() {
	local difference

	difference=$(diff -u --label README.md --label "$COUNTERS" <(table_in_readme) <(printf '%s\n' "$1")) && return
	complain "README.md's table of counters is not that of $COUNTERS (scripts/check-docs.sh --write makes it)"
	printf '%s\n' "$difference" >&2
}

# The first words below "Look:" and "Change:".
commands_of() {
	awk '/^(Look|Change):$/ { listing = 1; next } !/^  / { listing = 0 } listing { print $1 }'
}

check_help() {
	local help all command option commands

	[[ -x $STEADYPORT ]] || die "there is no $STEADYPORT to ask for its commands: make"
	help=$("$STEADYPORT" --help)
	mapfile -t commands < <(commands_of <<<"$help")
	((${#commands[@]} > 0)) || die "no command found in $STEADYPORT --help"
	all=$help
	for command in "${commands[@]}"; do
		grep -qE "steadyport $command\b" README.md || complain "README.md does not have: steadyport $command"
		all+=$'\n'$("$STEADYPORT" help "$command")
	done
	while IFS= read -r option; do
		grep -qE -- "(^|[^[:alnum:]-])$option($|[^[:alnum:]-])" README.md ||
			complain "README.md does not have the option $option"
	done < <(grep -oE -- '(^|[ ,])--?[a-zA-Z][a-z-]*' <<<"$all" | tr -d ' ,' | sort -u)
}

# As GitHub names them: lower case, blanks to dashes, no other punctuation.
anchors_of() {
	awk '/^```/ { code = !code } !code && /^#+ / { sub(/^#+ /, ""); print tolower($0) }' "$1" |
		sed -e 's/[^a-z0-9 _-]//g' -e 's/ /-/g'
}

check_links() {
	local page link path anchor target

	for page in README.md docs/*.md; do
		while IFS= read -r link; do
			path=${link%%#*} anchor=
			[[ $link != *'#'* ]] || anchor=${link#*#}
			target=$page
			[[ -z $path ]] || target=$(dirname "$page")/$path
			if [[ ! -e $target ]]; then
				complain "$page: the link $link leads nowhere"
			elif [[ $anchor ]] && ! grep -qxF -- "$anchor" < <(anchors_of "$target"); then
				complain "$page: the link $link names no heading of $target"
			fi
		done < <(grep -oE '\]\([^)]+\)' "$page" | sed -e 's/^](//' -e 's/)$//' | grep -vE '^[a-z]+:' | sort -u || true)
	done
}

(($# <= 1)) || usage
[[ $# == 0 || $1 == --write ]] || usage

require_markers
table=$(counter_table)
[[ $# == 0 ]] || write_table "$table"
check_counters "$table"
check_help
check_links
exit "$failed"
