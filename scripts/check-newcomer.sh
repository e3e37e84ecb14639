#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Runs the commands of the README's "From a bare machine to a steered nginx", as they stand there, on a fresh machine that
# has nothing of what they need (scripts/lib/machine.sh). In the end nginx must be steered, and serve while its workers are
# killed. As root.
#
#	scripts/check-newcomer.sh             check
#	scripts/check-newcomer.sh --write     and put what status says in the end into README.md
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib/machine.sh
. scripts/lib/machine.sh
# shellcheck source=scripts/lib/pages.sh
. scripts/lib/pages.sh
readonly PAGE=README.md
readonly HEADING='## From a bare machine to a steered nginx'
readonly MAKER='scripts/check-newcomer.sh --write'
readonly COMMANDS=5 # is what the README promises
readonly KILLS=6

die() {
	echo "check-newcomer: $*" >&2
	exit 1
}

# --- there ---

serves() {
	local answer

	exec 3<>/dev/tcp/127.0.0.1/80 || return
	printf 'GET / HTTP/1.0\r\n\r\n' >&3
	answer=$(cat <&3)
	exec 3>&-
	[[ $answer == *'200 OK'*nginx* ]]
}

slots_are_live() {
	local status

	status=$(steadyport status web --json | tr -d ' \n') || return
	[[ $status == *'"state":"live"'* && $status != *'"state":"dead"'* && $status == *'"unenrolled":0'* ]]
}

# The first of nginx's workers.
find_worker() {
	local pid

	for pid in /proc/[0-9]*; do
		if [[ $(tr -d '\0' 2>/dev/null <"$pid/cmdline") == 'nginx: worker process'* ]]; then
			echo "${pid#/proc/}"
			return
		fi
	done 2>/dev/null
	return 1
}

is_running() {
	local state

	state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) && [[ $state != Z ]]
}

# Commands on stdin, one a line; stops at the first that fails.
follow() {
	local commands command victim deadline

	mapfile -t commands
	for command in "${commands[@]}"; do
		echo "\$ $command"
		bash -c "$command" >/tmp/said 2>&1 || {
			cat /tmp/said
			die "failed: $command"
		}
	done
	cat /tmp/said
	slots_are_live || die "not all of web is live: $(steadyport status web)"
	for ((i = 0; i < KILLS; i++)); do
		victim=$(find_worker) || die "nginx has no worker"
		kill -KILL "$victim"
		# What waits in its socket is served by the next one, which nginx starts by itself.
		for ((k = 0; k < 20; k++)); do
			serves || die "a connection has failed after worker $victim was killed"
		done
		deadline=$((SECONDS + 30))
		while is_running "$victim"; do
			((SECONDS < deadline)) || die "worker $victim is still there"
		done
	done
	slots_are_live || die "after $KILLS kills not all of web is live: $(steadyport status web)"
	steadyport status web >/root/status
}

if [[ ${1-} == --there ]]; then
	cd /root/steadyport
	follow
	exit
fi

# --- here ---

(($# == 0)) || [[ $# == 1 && $1 == --write ]] || {
	sed -n 's/^#	\(scripts.*\)/\1/p' "$0" >&2
	exit 2
}
scratch=$(mktemp -d)
trap 'rm -rf --one-file-system "$scratch"' EXIT

# The first fence below the heading.
awk -v heading="$HEADING" '
	$0 == heading { is_below = 1 }
	is_below && /^```/ { if (is_inside++) exit; next }
	is_inside { print }
' "$PAGE" >"$scratch/commands"
[[ $(wc -l <"$scratch/commands") == "$COMMANDS" ]] || die "$PAGE has no $COMMANDS commands below \"$HEADING\""

root=$scratch/root
read -ra packages < <(scripts/install-deps.sh --names build)
machine_make "$root" nginx "${packages[@]}"
mkdir "$root/root/steadyport"
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
	[[ ! -e $file ]] || printf '%s\0' "$file"
done | tar -cf - --null -T - | tar -xf - -C "$root/root/steadyport" --no-same-owner
cp "$scratch/commands" "$root/root/commands"
machine_run "$root" bash -c 'exec bash /root/steadyport/scripts/check-newcomer.sh --there </root/commands'
cat "$root/root/status"
if [[ ${1-} == --write ]]; then
	pages_put "$PAGE" newcomer "$MAKER" "$(pages_fence "\$ steadyport status web
$(<"$root/root/status")")"
fi
