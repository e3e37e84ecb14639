#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The figures of docs/cookbook.md for servers that no test runs: three instances of one on a port, under 48 clients, of
# which one after the other is stopped (SIGTERM) and started again, six times. As root; the server, python3 and jq must be
# installed. All happens in namespaces of its own.
#
#	scripts/cookbook.sh gunicorn|pgbouncer|unbound|knot without|with|drain...
#
# without: steadyport; with: its daemon; drain: and each instance is drained before it is stopped.
set -euo pipefail

cd "$(dirname "$0")/.."
readonly CLIENTS=48 SECONDS_OF_LOAD=14 INSTANCES=3 STOPS=6

usage() {
	sed -n 's/^#	\(scripts.*\)/\1/p' "$0" >&2
	exit 2
}

(($# >= 2)) || usage
if [[ ${INSIDE-} != yes ]]; then
	INSIDE=yes exec unshare -n -m -p -f --mount-proc --propagation private "$0" "$@"
fi

server=$1
shift
PATH=$PWD/build:$PATH
mount -t bpf bpf /sys/fs/bpf
ip link set lo up
scratch=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$scratch"' EXIT
chmod 755 "$scratch"

# Each writes instance $1's configuration and becomes the server.
run_gunicorn() {
	cat >"$scratch/app.py" <<-'END'
		def app(environ, start_response):
		    start_response("200 OK", [("Content-Type", "text/plain")])
		    return [b"ok"]
	END
	cd "$scratch" && exec gunicorn --reuse-port -w 1 -b 127.0.0.1:8000 app:app
}

run_pgbouncer() {
	install -d -o nobody "$scratch/$1"
	cat >"$scratch/$1.ini" <<-END
		[databases]
		[pgbouncer]
		listen_addr = 127.0.0.1
		listen_port = 6432
		so_reuseport = 1
		unix_socket_dir =
		auth_type = any
		stats_users = stats
		user = nobody
		logfile = $scratch/$1/log
	END
	exec pgbouncer -q "$scratch/$1.ini"
}

run_unbound() {
	cat >"$scratch/$1.conf" <<-END
		server:
		  interface: 127.0.0.1@5301
		  num-threads: 1
		  chroot: ""
		  username: ""
		  pidfile: $scratch/$1.pid
		  use-syslog: no
		  local-zone: "test." static
		  local-data: "a.test. A 192.0.2.1"
		remote-control:
		  control-enable: no
	END
	exec unbound -d -c "$scratch/$1.conf"
}

run_knot() {
	mkdir -p "$scratch/$1"
	printf '%s\n' '@ 60 SOA a b 1 60 60 60 60' '@ 60 NS a' 'a 60 A 192.0.2.1' >"$scratch/$1/test.zone"
	cat >"$scratch/$1.conf" <<-END
		server:
		  listen: 127.0.0.1@5303
		  udp-workers: 1
		  tcp-workers: 1
		  tcp-reuseport: on
		  rundir: $scratch/$1
		database:
		  storage: $scratch/$1
		zone:
		  - domain: test
		    storage: $scratch/$1
		    journal-content: none
	END
	exec knotd -c "$scratch/$1.conf"
}

extra=
case $server in
gunicorn) endpoint=tcp:127.0.0.1:8000 clients=http ;;
pgbouncer) endpoint=tcp:127.0.0.1:6432 clients=postgres ;;
unbound) endpoint=udp:127.0.0.1:5301 clients=dns extra='track = off' ;;
knot) endpoint=udp:127.0.0.1:5303 clients=dns extra='track = off' ;;
*) usage ;;
esac
printf '%s\n' '[daemon]' 'metrics = off' '[group x]' "endpoint = $endpoint" "$extra" >"$scratch/steadyport.conf"

pids=()
start() {
	(run_"$server" "$1") >>"$scratch/server.log" 2>&1 &
	pids[$1]=$!
}

stop() {
	kill "${pids[$1]}"
	wait "${pids[$1]}" || true
}

drain() {
	local slot

	slot=$(steadyport status x --json | jq "first(.slots[] | select(any(.owners[]; .pid == ${pids[$1]})) | .slot)")
	steadyport drain x "$slot" --wait 10s >>"$scratch/drain.log"
}

round() {
	local how=$1 i daemon='' load

	for ((i = 0; i < INSTANCES; i++)); do
		start "$i"
	done
	sleep 2
	if [[ $how != without ]]; then
		steadyport run --config "$scratch/steadyport.conf" 2>>"$scratch/daemon.log" &
		daemon=$!
		sleep 2
	fi
	scripts/cookbook/load.py "$clients" "${endpoint##*:}" "$SECONDS_OF_LOAD" "$CLIENTS" >"$scratch/result" &
	load=$!
	sleep 1
	for ((i = 0; i < STOPS; i++)); do
		[[ $how != drain ]] || drain $((i % INSTANCES))
		stop $((i % INSTANCES))
		start $((i % INSTANCES))
		sleep 1
	done
	wait "$load"
	echo "$server $how: $(<"$scratch/result")"
	if [[ $daemon ]]; then
		kill "$daemon"
		wait "$daemon" || true
		steadyport detach x >/dev/null 2>&1
	fi
	for ((i = 0; i < INSTANCES; i++)); do
		stop "$i"
	done
}

for how; do
	case $how in
	without | with | drain) round "$how" ;;
	*) usage ;;
	esac
done
