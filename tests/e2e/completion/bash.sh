#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What bash would offer for a line, one candidate on a line, each as the whole word that it makes.
#
#	completion/bash.sh COMPLETION LINE
set -euo pipefail

# shellcheck source=packaging/completion/steadyport.bash
. "$1"
[[ $(complete -p steadyport) == 'complete -F _steadyport steadyport' ]]
COMP_LINE=$2 COMP_POINT=${#2}
# Cut as bash does it, with each separator by itself.
read -ra COMP_WORDS < <(sed -E -e 's/([:=]+)/ \1 /g' <<<"$2")
[[ $2 != *' ' ]] || COMP_WORDS+=('')
# shellcheck disable=SC2034 # the completion may look at it
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_steadyport steadyport "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]-}"
word=${2##* }
kept=${word%"${word##*[:=]}"}
for candidate in "${COMPREPLY[@]}"; do
	printf '%s\n' "$kept$candidate"
done
