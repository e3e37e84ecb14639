#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The scenes whose screens the pages show, with real workers and clients (lab.py). Run by scripts/screens.sh, in a network
# and a mount namespace that this may change:
#
#	scripts/screens/scenes.sh SCENE OUTPUT      writes OUTPUT/PAGE/SCREEN for each of the scene's screens
set -euo pipefail

# What is started ends with this script, however that ends.
readonly WITH_US=(setpriv --pdeathsig KILL)
readonly LAB=("${WITH_US[@]}" scripts/screens/lab.py)
readonly PATIENCE=60 # seconds, for whatever a scene waits for
readonly FLOWS=1000
readonly PINS=/sys/fs/bpf/steadyport

readonly scene=$1 output=$2
scratch=$(mktemp -d -p "${output%/*}")
workers=()

die() {
	echo "screens: scene $scene: $*" >&2
	exit 1
}

# until_is COMMAND...: polls until it succeeds.
until_is() {
	local deadline=$((SECONDS + PATIENCE))

	until "$@"; do
		((SECONDS < deadline)) || die "not in $PATIENCE s: $*"
		sleep 0.05
	done
}

# start NAME PROTOCOL ADDRESS PORT: a worker, which is in its group when this returns.
start() {
	local said

	exec {said}< <(exec "${LAB[@]}" serve "$@")
	workers+=($!)
	read -r -t "$PATIENCE" -u "$said" _ || die "cannot start a worker: $*"
}

start_four() {
	while ((${#workers[@]} < 4)); do
		start h3d udp :: 443
	done
}

start_clients() {
	coproc CLIENTS { exec "${LAB[@]}" "$@"; }
}

# tell WORDS...: lets the clients do something, and waits until it is done.
tell() {
	echo "$@" >&"${CLIENTS[1]}"
	read -r -t "$PATIENCE" -u "${CLIENTS[0]}" _ || die "the clients do not answer: $*"
}

status_of() {
	steadyport status "$1" --json | jq -r "$2"
}

# status_says NAME CONDITION
status_says() {
	[[ $(status_of "$1" "$2" 2>/dev/null) == true ]]
}

is_gone() {
	[[ ! -e /proc/$1 ]]
}

# stop PID: a process that sleeps does not stop in this very moment, and may take a connection before.
stop() {
	kill -STOP "$1"
	until_is grep -q '^State:.*stopped' "/proc/$1/status"
}

# kill_worker NAME SLOT
kill_worker() {
	local pid

	pid=$(status_of "$1" ".slots[] | select(.slot == $2).owners[0].pid")
	kill -KILL "$pid"
	until_is is_gone "$pid"
	until_is status_says "$1" ".slots[] | select(.slot == $2).state == \"dead\""
}

# show PAGE SCREEN COMMAND...: what a terminal would show. doctor exits with 1 if it finds an error.
show() {
	local screen=$output/$1/$2 command status lines=0

	mkdir -p "$output/$1"
	for command in "${@:3}"; do
		status=0
		bash -c "$command" >"$scratch/said" 2>&1 || status=$?
		((status == 0)) || [[ $status == 1 && $command == *' doctor '* ]] ||
			die "$command: exit status $status: $(<"$scratch/said")"
		# What is longer than a line is set off.
		((lines <= 1)) || echo
		lines=$(wc -l <"$scratch/said")
		echo "\$ $command"
		# What is so of this machine alone, or of the scene's place in it.
		sed -E -e 's/(Linux [0-9]+\.[0-9]+\.[0-9]+)-[^ ,]*/\1/' -e 's/ run_time_ns [0-9]+ run_cnt [0-9]+//' \
			-e '/^warning: only processes of this pid namespace/d' "$scratch/said"
	done >>"$screen"
}

# The first of these flows of which `explain` says all WORDS: find_flow FIRST-PORT WORDS...
find_flow() {
	local port text word

	for ((port = $1; port < $1 + 500; port++)); do
		text=$(steadyport explain h3 "[::1]:$port")
		for word in "${@:2}"; do
			[[ $text == *"$word"* ]] || continue 2
		done
		echo "[::1]:$port"
		return
	done
	die "of no flow it is said: ${*:2}"
}

scene_quick_start() {
	local flow cookie

	start_four
	start_clients flows ::1 443 50000 "$FLOWS"
	show README.md groups 'steadyport groups' 'steadyport attach h3 udp:[::]:443'
	# The first time they are learned, the second time kept.
	tell ask
	tell ask
	show docs/how-it-works.md pins "ls -1 $PINS/h3"
	until_is status_says h3 '.learning == false'
	steadyport sync h3 >/dev/null
	flow=$(find_flow 60000 'not asked: the bucket is not moving')
	show docs/doctor.md explain-owner "steadyport explain h3 $flow"

	kill_worker h3 2
	tell ask
	show README.md status 'steadyport status h3'
	start h3d udp :: 443
	show README.md sync 'steadyport sync h3'
	tell ask
	show README.md drain 'steadyport drain h3 2'

	show README.md program "bpftool prog show pinned $PINS/h3/sp_steer" \
		"bpftool map lookup pinned $PINS/h3/sp_slots key 3 0 0 0"
	cookie=$(status_of h3 '.slots[3].cookie')
	show README.md cookie "printf 'sk:%x\n' $cookie" "ss -Huanpe 'sport = :443' | grep $(printf 'sk:%x' "$cookie")"
}

scene_findings() {
	local flow

	start_four
	start_clients flows ::1 443 50000 "$FLOWS"
	show docs/doctor.md doctor-unsteered 'steadyport doctor udp:[::]:443'
	# Long enough for whatever follows to be in it.
	steadyport attach h3 'udp:[::]:443' --learn 60s >/dev/null
	tell ask
	kill_worker h3 2
	tell ask
	start h3d udp :: 443
	show docs/doctor.md doctor 'steadyport doctor h3'
	steadyport sync h3 >/dev/null
	tell ask
	# It was the dead worker's, is kept by who has inherited it, and would be the new one's.
	flow=$(find_flow 50000 'the flow table keeps it there' 'alone it would say slot 2')
	show docs/doctor.md explain-kept "steadyport explain h3 $flow"
}

# start_daemon LINES...: of the configuration.
start_daemon() {
	printf '%s\n' '[daemon]' 'metrics = off' "$@" >"$scratch/conf"
	"${WITH_US[@]}" steadyport run --config "$scratch/conf" >"$scratch/log" 2>&1 &
	daemon=$!
}

scene_daemon() {
	start_daemon '[group h3]' 'endpoint = udp:[::]:443'
	until_is grep -qsF 'waiting for' "$scratch/log"
	# It is faster than four processes start: to it they come in one moment.
	stop "$daemon"
	start_four
	kill -CONT "$daemon"
	until_is status_says h3 '.learning == false'
	kill_worker h3 2
	until_is grep -qF 'slot 2 died' "$scratch/log"
	start h3d udp :: 443
	until_is status_says h3 '.learning == true'
	mkdir -p "$output/README.md"
	printf '%s\n' "\$ steadyport run" "$(<"$scratch/log")" >"$output/README.md/run"
}

scene_web() {
	local pid

	start web tcp 127.0.0.1 8080
	start web tcp 127.0.0.1 8080
	steadyport attach web tcp:127.0.0.1:8080 --learn 0 >/dev/null
	show README.md slots "steadyport status web --json | jq -c '.slots[] | {slot, state, share, pid: .owners[0].pid}'"
	show docs/status-json.md json "steadyport status web --json | jq 'del(.slots[].counters, .group_counters)'"
	steadyport detach web >/dev/null
	for pid in "${workers[@]}"; do
		kill -KILL "$pid"
		until_is is_gone "$pid"
	done

	workers=()
	start web tcp 127.0.0.1 8080
	start_clients connections 127.0.0.1 8080
	start_daemon '[group web]' 'endpoint = tcp:127.0.0.1:8080' 'park = 60s'
	until_is status_says web 'any(.slots[]; .state == "parked") and .learning == false'
	tell greeted 48
	# What it does not accept any more waits, and is inherited.
	stop "${workers[0]}"
	tell mute 7
	kill_worker web 0
	tell mute 23
	until_is status_says web 'any(.slots[]; .state == "parked" and .backlog == 30)'
	show docs/daemon.md parked 'steadyport status web'
}

# A network that is called edge, and a bpffs.
mount -t bpf bpf /sys/fs/bpf
ip link set lo up
mkdir -p /run/netns
mount -t tmpfs tmpfs /run/netns
: >/run/netns/edge
mount --bind /proc/self/ns/net /run/netns/edge
case $scene in
quick-start) scene_quick_start ;;
findings) scene_findings ;;
daemon) scene_daemon ;;
web) scene_web ;;
*) die "there is no such scene" ;;
esac
