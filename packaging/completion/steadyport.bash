# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# bash completion for steadyport: commands, options and their values, names of groups, endpoints, slots.
#
# No list is written here: commands and options are those of `steadyport help`, which says what each takes; groups and
# slots those that there are. So it fits whatever version is called.

# Commands, by the help on stdin: what is indented below "Look:" and "Change:".
__steadyport_commands() {
	sed -n -e '/^Look:$/,/^$/p' -e '/^Change:$/,/^$/p' | sed -n 's/^  \([a-z]*\) .*/\1/p'
}

# "--name WHAT" for each option of the help on stdin, with no WHAT for a flag; short forms on lines of their own.
__steadyport_options() {
	sed -nE -e 's/^  (-.), --.*/&\n\1/' -e 's/^  (-., |    )(--[a-z-]+)( [^ ]+)?[^\n]*/\2\3/p'
}

# Candidates for one thing that a synopsis or an option calls by this name.
__steadyport_values() {
	local what=$1 name=$2

	case $what in
	[a-z]*'|'*) echo "${what//|/ }" ;;
	COMMAND) "${program[@]}" --help | __steadyport_commands ;;
	NAME) "${program[@]}" list "${where[@]}" | awk 'NR > 1 { print $1 }' ;;
	ENDPOINT) "${program[@]}" groups "${where[@]}" | awk '$1 ~ /^(tcp|udp)$/ { print $1 ":" $2 }' ;;
	SLOT=W) __steadyport_values SLOT "$name" | sed 's/$/=/' ;;
	SLOT) "${program[@]}" status "$name" "${where[@]}" | awk '$1 ~ /^[0-9]+$/ && $2 != "parked" { print $1 }' ;;
	esac 2>/dev/null
}

_steadyport() {
	local program=() where=() words=() named=() synopsis=() line command='' help options word what='' current cut
	local i given=0 breaks

	COMPREPLY=()
	# COMP_WORDS is cut at each ':' and '=', which endpoints are full of.
	line=${COMP_LINE:0:COMP_POINT}
	read -ra words <<<"$line"
	[[ $line != *[[:blank:]] ]] || words+=('')
	current=${words[-1]}
	program=("${words[0]/#\~/$HOME}")

	help=$("${program[@]}" --help 2>/dev/null) || return
	for word in "${words[@]:1:${#words[@]}-2}"; do
		if [[ $'\n'$(__steadyport_commands <<<"$help")$'\n' == *$'\n'"$word"$'\n'* ]]; then
			command=$word
			help=$("${program[@]}" help "$command" 2>/dev/null) || return
			break
		fi
	done
	[[ $command != help ]] || help="usage: steadyport help COMMAND [options]"
	options=$(__steadyport_options <<<"$help")

	# What was said so far, less options and their values.
	for ((i = 1; i < ${#words[@]} - 1; i++)); do
		word=${words[i]}
		if [[ $word == -* ]]; then
			what=$(sed -n "s/^$word //p" <<<"$options" 2>/dev/null)
			[[ $word != --bpffs ]] || where=(--bpffs "${words[i + 1]}")
			[[ -z $what ]] || i=$((i + 1))
			((i < ${#words[@]} - 1)) || break
			what=
		elif [[ $word != "$command" || $given == 1 ]]; then
			named+=("$word")
		else
			given=1
		fi
	done

	if [[ -n $what ]]; then # the value of the option before
		:
	elif [[ $current == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(cut -d ' ' -f 1 <<<"$options")" -- "$current")
		return
	elif [[ -z $command ]]; then
		what=COMMAND
	else
		read -ra synopsis < <(sed -nE '1s/^usage: [^ ]+ [^ ]+ ?(.*)\[options\]$/\1/p' <<<"$help")
		i=${#named[@]}
		if ((i >= ${#synopsis[@]})); then
			((${#synopsis[@]} > 0)) && [[ ${synopsis[-1]} == *... ]] || return 0
			i=$((${#synopsis[@]} - 1))
		fi
		what=${synopsis[i]//[\[\]]/}
		what=${what%...}
	fi

	case $what in
	FILE | PID\|PATH)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		return
		;;
	DIR)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -d -- "$current")
		return
		;;
	SLOT=W)
		[[ $current != *=* ]] || return 0
		compopt -o nospace 2>/dev/null
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$(__steadyport_values "$what" "${named[0]-}")" -- "$current")

	# bash puts the answer in the place of what stands behind the last of these.
	breaks=${COMP_WORDBREAKS//[^:=]/}
	if [[ -n $breaks && $current == *[$breaks]* ]]; then
		cut=${current%"${current##*["$breaks"]}"}
		COMPREPLY=("${COMPREPLY[@]#"$cut"}")
	fi
}

complete -F _steadyport steadyport
