#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Holds the documentation against what it describes; needs no root, and build/steadyport.
#
#	scripts/check-docs.sh             check
#	scripts/check-docs.sh --write     put fresh tables of counters, metrics, capabilities and findings where they belong, then check
#
#	STEADYPORT=PATH     the binary whose --help is asked
#
# Checked: README.md's table of counters is that of counters.def, that of docs/metrics.md that of metrics.def, that of
# docs/daemon.md that of privileges.def, that of docs/doctor.md that of findings.def; every command and every option of
# `steadyport --help` and of each `COMMAND --help` is in README.md; every relative link in README.md, CONTRIBUTING.md and
# docs/ leads somewhere;
# every test that docs/selftests.md, docs/branches.md and docs/SECURITY.md name is there; what a page shows of a terminal is
# made by a script.
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib/pages.sh
. scripts/lib/pages.sh
readonly STEADYPORT=${STEADYPORT:-build/steadyport}
readonly COUNTERS=include/steadyport/counters.def
readonly METRICS=loader/metrics.def
readonly PRIVILEGES=loader/privileges.def
readonly FINDINGS=loader/findings.def
readonly MAKER='scripts/check-docs.sh --write'

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
require_rows() {
	local list=$1 prefix=$2 rows=$3 entries

	entries=$(grep -c "^$prefix(" "$list" || true)
	((rows > 0 && rows == entries)) || die "$list: $entries entries, but $rows could be read"
}

counters_table() {
	local entry='^SP_COUNTER\(([a-z_]+), ([A-Z]+), "(.*)"\)$' line rows=0

	printf '| counter | kind | counts |\n|---|---|---|\n'
	while IFS= read -r line; do
		[[ $line =~ $entry ]] || continue
		# shellcheck disable=SC2016 # the backticks are Markdown's
		printf '| `%s` | %s | %s |\n' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2],,}" "${BASH_REMATCH[3]//|/\\|}"
		rows=$((rows + 1))
	done <"$COUNTERS"
	require_rows "$COUNTERS" SP_COUNTER "$rows"
}

metrics_table() {
	local entry='^SP_METRIC\([A-Z_]+, "([a-z_]+)", ([A-Z]+), "([a-z, ]*)", "(.*)"\)$' line rows=0

	printf '| steadyport_... | type | labels | says |\n|---|---|---|---|\n'
	while IFS= read -r line; do
		[[ $line =~ $entry ]] || continue
		# shellcheck disable=SC2016 # the backticks are Markdown's
		printf '| `%s` | %s | %s | %s |\n' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2],,}" "${BASH_REMATCH[3]}" \
			"${BASH_REMATCH[4]//|/\\|}"
		rows=$((rows + 1))
	done <"$METRICS"
	require_rows "$METRICS" SP_METRIC "$rows"
}

capabilities_table() {
	local entry='^SP_PRIVILEGE\(([A-Z_]+), ([A-Z]+), "(.*)", "(.*)"\)$' line rows=0 only

	printf '| capability | is for | without it |\n|---|---|---|\n'
	while IFS= read -r line; do
		[[ $line =~ $entry ]] || continue
		# shellcheck disable=SC2016 # the backticks are Markdown's
		[[ ${BASH_REMATCH[2]} == UNIT ]] && only= || only=' (only with `netns.conf`)'
		# shellcheck disable=SC2016
		printf '| `CAP_%s`%s | %s | %s |\n' "${BASH_REMATCH[1]}" "$only" "${BASH_REMATCH[3]}" \
			"${BASH_REMATCH[4]}"
		rows=$((rows + 1))
	done <"$PRIVILEGES"
	require_rows "$PRIVILEGES" SP_PRIVILEGE "$rows"
}

findings_table() {
	local entry='^SP_FINDING\([A-Z_]+, "([a-z-]+)", ([A-Z]+), "(.*)", "(.*)", "(.*)"\)$' line rows=0 cell i

	printf '| finding | severity | what is so | why it matters | what mends it |\n|---|---|---|---|---|\n'
	while IFS= read -r line; do
		[[ $line =~ $entry ]] || continue
		# shellcheck disable=SC2016 # the backticks are Markdown's
		printf '| `%s` | %s' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2],,}"
		for i in 3 4 5; do
			cell=${BASH_REMATCH[i]//\\\"/\"}
			printf ' | %s' "${cell//|/\\|}"
		done
		printf ' |\n'
		rows=$((rows + 1))
	done <"$FINDINGS"
	require_rows "$FINDINGS" SP_FINDING "$rows"
}

# check_table PAGE WHAT TABLE [--write]
check_table() {
	local page=$1 what=$2 table=$3 difference

	pages_require "$page" "$what" "$MAKER"
	[[ $# == 3 ]] || pages_put "$page" "$what" "$MAKER" "$table"
	difference=$(diff -u --label "$page" --label "as it should be" <(pages_get "$page" "$what" "$MAKER") \
		<(printf '%s\n' "$table")) && return
	complain "$page's table of $what is not as it should be ($MAKER makes it)"
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

	for page in README.md CONTRIBUTING.md docs/*.md; do
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

# A picture says what the text of the same run says beside it.
check_pictures() {
	local picture moved

	for picture in docs/pictures/*.svg; do
		grep -qF "]($picture)" README.md || complain "README.md does not show $picture"
		! command -v xmllint >/dev/null || xmllint --noout "$picture" || complain "$picture is no XML"
	done
	while IFS= read -r moved; do
		grep -qF ">$moved flows of the survivors moved<" docs/pictures/flows.svg ||
			complain "docs/pictures/flows.svg does not say $moved, as README.md does (scripts/pictures.sh makes both)"
	done < <(grep '^ UDP flows of survivors, moved' README.md | grep -oE '[0-9,]+ of [0-9,]+' || true)
}

# Of the tests that a page names: `kind/x_test` is a file, `thing__situation__expectation` a case in some file.
check_tests() {
	local page name

	for page in docs/selftests.md docs/branches.md docs/SECURITY.md; do
		while IFS= read -r name; do
			[[ -e tests/$name.c ]] || complain "$page: there is no tests/$name.c"
		done < <(grep -oE '[a-z0-9]+/[a-z_0-9]+_test\b' "$page" | sort -u)
		while IFS= read -r name; do
			grep -rqwF --include='*_test.c' -- "$name" tests || complain "$page: there is no case $name"
		done < <(grep -oE '\b[a-z0-9_]+__[a-z0-9_]+__[a-z0-9_]+\b' "$page" | sort -u)
	done
}

# A fence with a prompt shows what was said. docs/bpftool.md is run by its test.
check_screens() {
	local page place maker

	for page in README.md CONTRIBUTING.md docs/*.md; do
		[[ $page != docs/bpftool.md ]] || continue
		while IFS= read -r place; do
			complain "$page:$place: a screen that no script makes: scripts/screens/scenes.sh, and marks in the page"
		done < <(awk '
			/^<!-- .*: made by .* -->$/ { is_made = 1 }
			/^<!-- end of .* -->$/ { is_made = 0 }
			/^```/ { is_inside = !is_inside }
			is_inside && /^\$ / && !is_made { print NR }
		' "$page")
		while IFS= read -r maker; do
			[[ -x $maker ]] || complain "$page: there is no $maker"
		done < <(sed -nE 's/^<!-- .*: made by (scripts\/[^ ]*).*-->$/\1/p' "$page" | sort -u)
	done
}

(($# <= 1)) || usage
[[ $# == 0 || $1 == --write ]] || usage

counters=$(counters_table)
metrics=$(metrics_table)
capabilities=$(capabilities_table)
findings=$(findings_table)
check_table README.md counters "$counters" "$@"
check_table docs/metrics.md metrics "$metrics" "$@"
check_table docs/daemon.md capabilities "$capabilities" "$@"
check_table docs/doctor.md findings "$findings" "$@"
check_help
check_links
check_pictures
check_tests
check_screens
exit "$failed"
