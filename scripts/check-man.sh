#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Holds the manual pages in docs/man against what they describe; needs no root, mandoc, and build/steadyport.
#
#	scripts/check-man.sh             check
#	scripts/check-man.sh --write     put fresh lists of commands, options, counters and invariants there, then check
#
#	STEADYPORT=PATH     the binary whose --help is asked
#
# Checked: commands, options, environment and exit statuses are those of `steadyport --help` and of each `help COMMAND`;
# counters those of counters.def, invariants those of docs/how-it-works.md; keys those of loader/config.c; pins, fields,
# states, and kinds of views and events those of abi.h; options and commands that are named elsewhere exist; mandoc has
# nothing to say.
set -euo pipefail

cd "$(dirname "$0")/.."
readonly STEADYPORT=${STEADYPORT:-build/steadyport}
readonly MAN=docs/man
readonly ABI=include/steadyport/abi.h

failed=0
complain() {
	echo "check-man: $*" >&2
	failed=1
}

die() {
	echo "check-man: $*" >&2
	exit 1
}

usage() {
	sed -n 's/^#	\(scripts.*\)/\1/p' "$0" >&2
	exit 2
}

# Sentences to lines of less than 80 characters, each sentence on a line of its own; `code` to bold, as .Ic would be.
roff() {
	# shellcheck disable=SC2016 # the backticks are Markdown's
	tr '\n' ' ' | sed -e 's/  */ /g' -e 's/ $//' -e 's/\([.:?]\) \([A-Z]\)/\1\n\2/g' |
		sed -E -e 's/\\/\\e/g' -e 's/--([a-z]+)-?/\\-\\-\1\\-/g' -e 's/\\-( |\.|,|$)/\1/g' \
			-e 's/`([^`]*)`/\\fB\1\\fP/g' -e 's/\b([a-z]+)\(\)/\\fB\1\\fP()/g' | fold -s -w 78 |
		sed -e 's/ *$//' -e "s/^[.']/\\\\\&&/"
	echo
}

help_of() {
	"$STEADYPORT" help "$@"
}

commands() {
	"$STEADYPORT" --help | awk '/^(Look|Change):$/ { listing = 1; next } !/^  / { listing = 0 } listing { print $1 }'
}

# letter TAB name TAB metavar TAB help of each option in the help on stdin; - for what there is not.
options_in() {
	awk '
		function flush() { if (name) printf "%s\t%s\t%s\t%s\n", letter, name, metavar, help; name = "" }
		/^$/ || /^[^ ]/ { flush(); next }
		match($0, /^  (-., |    )--[a-z-]+/) {
			flush()
			letter = substr($0, 3, 1) == "-" ? substr($0, 4, 1) : "-"
			name = substr($0, RSTART + 8, RLENGTH - 8)
			rest = substr($0, RSTART + RLENGTH)
			metavar = "-"
			if (match(rest, /^ [^ ]+/)) { metavar = substr(rest, 2, RLENGTH - 1); rest = substr(rest, RLENGTH + 1) }
			sub(/^ +/, "", rest)
			help = rest
			next
		}
		name && /^          / { sub(/^ +/, ""); help = help (help ? " " : "") $0 }
		END { flush() }'
}

# A value is words to choose from, or a name for what it is.
metavar_macros() {
	local metavar=$1

	if [[ $metavar =~ ^[a-z] ]]; then
		printf ' Cm %s' "${metavar//|/ | }"
	elif [[ $metavar != - ]]; then
		printf ' Ar %s' "${metavar//|/ | }"
	fi
}

option_macros() {
	local letter=$1 name=$2 metavar=$3

	[[ $letter == - ]] || printf 'Fl %s , ' "$letter"
	printf 'Fl \\-%s%s' "$name" "$(metavar_macros "$metavar")"
}

globals() {
	"$STEADYPORT" --help | options_in
}

commands_list() {
	local command text letter name metavar rest word

	echo '.Bl -tag -width Ds'
	while IFS= read -r command; do
		text=$(help_of "$command")
		printf '.It Xo\n.Ic %s\n' "$command"
		if [[ $command != help ]]; then
			rest=$(sed -n "1s/^usage: steadyport $command *\(.*\) *\[options\]\$/\1/p" <<<"$text")
		else
			rest='[COMMAND]'
		fi
		for word in $rest; do
			if [[ $word == '['* ]]; then
				word=${word#[}
				printf '.Op Ar %s\n' "${word%]}"
			else
				printf '.Ar %s\n' "$word"
			fi
		done
		[[ $command == help ]] || while IFS=$'\t' read -r letter name metavar _; do
			printf '.Op %s\n' "$(option_macros "$letter" "$name" "$metavar")"
		done < <(own_options <<<"$text")
		echo '.Xc'
		if [[ $command == help ]]; then
			echo 'Print what this page says, or what it says of a command.'
		else
			sed -e '1,2d' -e '/^NAME is yours/d' -e '/^Options:$/,$d' <<<"$text" | roff
		fi
	done < <(commands)
	echo '.El'
}

own_options() {
	options_in | awk -F '\t' 'NR == FNR { is_global[$2]; next } !($2 in is_global)' <(globals) -
}

options_of_all() {
	local command

	while IFS= read -r command; do
		[[ $command == help ]] || help_of "$command" | own_options
	done < <(commands) | sort -t $'\t' -k 2,2 -u
	globals
}

options_list() {
	local letter name metavar help

	echo '.Bl -tag -width Ds'
	while IFS=$'\t' read -r letter name metavar help; do
		printf '.It %s\n' "$(option_macros "$letter" "$name" "$metavar")"
		roff <<<"$help"
	done < <(options_of_all)
	echo '.El'
}

# list_of HEADING MACRO: `  NAME  text` below that heading of --help
list_of() {
	local name text

	echo '.Bl -tag -width Ds'
	while read -r name text; do
		printf '.It %s\n' "$2$name"
		roff <<<"$text"
	done < <("$STEADYPORT" --help | awk -v heading="$1:" '$0 == heading { on = 1; next } !/^  / { on = 0 } on')
	echo '.El'
}

counters_list() {
	local line

	echo '.Bl -tag -width Ds'
	while IFS= read -r line; do
		[[ $line =~ ^SP_COUNTER\(([a-z_]+),\ ([A-Z]+),\ \"(.*)\"\)$ ]] || continue
		printf '.It Va %s Pq %s\n' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2],,}"
		roff <<<"${BASH_REMATCH[3]}"
	done <include/steadyport/counters.def
	echo '.El'
}

invariants_list() {
	local name text

	echo '.Bl -tag -width Ds'
	while IFS='|' read -r _ name text _; do
		printf '.It %s\n' "${name// /}"
		roff <<<"${text# }"
	done < <(grep -E '^\| I[0-9]+ \|' docs/how-it-works.md)
	echo '.El'
}

# check_list PAGE WHAT FRESH [--write]
check_list() {
	local page=$MAN/$1 what=$2 fresh=$3 begin end difference marker

	begin=".\\\" $what: made by scripts/check-man.sh --write" end=".\\\" end of $what"
	for marker in "$begin" "$end"; do
		[[ $(grep -cxF -- "$marker" "$page") == 1 ]] || die "$page does not have this line once: $marker"
	done
	# Through the environment, for awk takes the backslashes of its variables for escapes.
	[[ $# == 3 ]] || {
		begin=$begin end=$end fresh=$fresh awk '
			$0 == ENVIRON["end"] { hidden = 0 }
			!hidden { print }
			$0 == ENVIRON["begin"] { print ENVIRON["fresh"]; hidden = 1 }' "$page" >"$page.new"
		mv "$page.new" "$page"
	}
	difference=$(diff -u --label "$page" --label "as it should be" \
		<(begin=$begin end=$end awk '$0 == ENVIRON["end"] { exit } shown { print } $0 == ENVIRON["begin"] { shown = 1 }' "$page") \
		<(printf '%s\n' "$fresh")) && return
	complain "the list of $what in $page is not as it should be (scripts/check-man.sh --write makes it)"
	printf '%s\n' "$difference" >&2
}

# check_set PAGE BEGIN MACRO EXPECTED: what .It lines name with MACRO between `.\" BEGIN` and the next `.\" end`
check_set() {
	local page=$MAN/$1 difference

	difference=$(diff --label "$page" --label "what there is" -U 0 \
		<(awk -v begin=".\\\\\" $2" '$0 == begin { on = 1 } /^\.\\" end of/ { on = 0 } on && /^\.It / { print }' "$page" |
			sed -e "s/^\.It $3 //" -e 's/ No =.*//' -e 's/ Pq .*//' -e 's/ , /\n/g' | sort) \
		<(sort <<<"$4")) && return
	complain "$page: $2"
	printf '%s\n' "$difference" >&2
}

keys_of() {
	sed -n "/struct key $1_keys\[\]/,/^}/p" loader/config.c | grep -oE '\{ "[a-z-]+"' | grep -oE '[a-z-]+'
}

fields_of() {
	sed -n "/^struct $1 {/,/^};/p" "$ABI" | sed -e 's|/\*.*\*/||' -e '/^	\/\*/,/\*\//d' |
		sed -n 's/^	[a-z_0-9 ]* \([a-z_0-9]*\)\(\[.*\]\)\{0,1\};.*/\1/p'
}

# Names of the ABI's: those of the kinds are all there, and there is no other name.
check_constants() {
	local page=$MAN/steadyport-bpf.7 name

	while IFS= read -r name; do
		grep -qE "^\.(It )?Dv $name\b" "$page" || complain "$page does not have $name"
	done < <(sed -n 's/^	\(SP_\(VIEW\|EVENT\)_[A-Z]*\) = .*/\1/p' "$ABI")
	while IFS= read -r name; do
		grep -qw "$name" "$ABI" || complain "$page: there is no $name"
	done < <(grep -oE '\bSP_[A-Z_]+' "$page" | sort -u)
}

# Options and commands that the text names, whoever made it.
check_names() {
	local page name names commands text

	names=" $(options_of_all | cut -f 2 | tr '\n' ' ')"
	commands=" $(commands | tr '\n' ' ')"
	for page in "$MAN"/*; do
		text=$(grep -v '^\.\\"' "$page" | sed 's/\\-/-/g')
		while IFS= read -r name; do
			[[ $names == *" $name "* ]] || complain "$page: there is no option --$name"
		done < <(grep -oE '(Fl -|--)[a-z][a-z-]+' <<<"$text" | sed -E 's/^(Fl -|--)//' | sort -u)
		while IFS= read -r name; do
			[[ $commands == *" $name "* ]] || complain "$page: there is no command $name"
		done < <(grep -oE '^(\.Ic |\.Dl )?steadyport [a-z]+' <<<"$text" | sed 's/.* //' | sort -u)
		while IFS= read -r name; do
			[[ -e $MAN/$name ]] || complain "$page: there is no page $name"
		done < <(sed -n 's/^\.Xr \(steadyport[^ ]*\) \([0-9]\).*/\1.\2/p' <<<"$text")
	done
}

# Of pages that this machine does not have mandoc would say so.
check_syntax() {
	local said

	command -v mandoc >/dev/null || die "mandoc is not installed: scripts/install-deps.sh build test"
	said=$(mandoc -T lint "$MAN"/* 2>&1 | grep -vE 'mandoc\.db|referenced manual not found' || true)
	[[ -z $said ]] || complain "$said"
}

(($# <= 1)) || usage
[[ $# == 0 || $1 == --write ]] || usage
[[ -x $STEADYPORT ]] || die "there is no $STEADYPORT to ask for its commands: make"

check_list steadyport.8 commands "$(commands_list)" "$@"
check_list steadyport.8 options "$(options_list)" "$@"
check_list steadyport.8 environment "$(list_of Environment 'Ev ')" "$@"
check_list steadyport.8 "exit statuses" "$(list_of 'Exit status' '')" "$@"
check_list steadyport-bpf.7 counters "$(counters_list)" "$@"
check_list steadyport-bpf.7 invariants "$(invariants_list)" "$@"
for section in daemon group; do
	check_set steadyport.conf.5 "keys of $section" Ic "$(keys_of "$section")"
done
check_set steadyport-bpf.7 pins Pa "$(sed -n 's/^#define SP_PIN_[A-Z]* "\([a-z_]*\)".*/\1/p' "$ABI")"
check_set steadyport-bpf.7 states Dv "$(sed -n '/^enum sp_slot_state {/,/^}/s/^	\(SP_SLOT_[A-Z]*\) = .*/\1/p' "$ABI")"
for struct in sp_view sp_ctl sp_info sp_flow sp_event; do
	check_set steadyport-bpf.7 "fields of $struct" Va "$(fields_of "$struct")"
done
check_constants
check_names
check_syntax
exit "$failed"
