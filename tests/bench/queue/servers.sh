#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# gunicorn's sync workers, which handle one request at a time, as they can be deployed; in the network namespace of the
# caller. They sleep as long as GET /NANOSECONDS says.
#
#	servers.sh start group WORKERS PORT     each listens itself: one instance for each, with --reuse-port
#	servers.sh start shared WORKERS PORT    one instance, all of whose workers accept from one socket
#	servers.sh start haproxy WORKERS PORT   each on a port of its own, and HAProxy in front: leastconn, one at a time
#	servers.sh stop
#
#	QUEUE_DIR=DIR         for their files; given by tests/bench/queue.sh
set -euo pipefail

cd "${QUEUE_DIR:?}"

gunicorn() { # PORT WORKERS [OPTION...]
	local port=$1 workers=$2

	shift 2
	command gunicorn --daemon --pid "$port.$RANDOM$RANDOM.pid" --backlog 2048 --log-level critical \
		-w "$workers" -b "127.0.0.1:$port" "$@" app:app
}

listening() {
	ss -Hltn "sport = :$1" | wc -l
}

start() {
	local how=$1 workers=$2 port=$3 i

	cat >app.py <<-'END'
		import time


		def app(environ, start_response):
		    time.sleep(int(environ["PATH_INFO"][1:]) / 1e9)
		    start_response("200 OK", [("Content-Type", "text/plain")])
		    return [b"ok"]
	END
	case $how in
	group)
		for ((i = 0; i < workers; i++)); do
			gunicorn "$port" 1 --reuse-port
		done
		until (($(listening "$port") == workers)); do :; done
		;;
	shared)
		gunicorn "$port" "$workers"
		until (($(listening "$port") == 1)); do :; done
		;;
	haproxy)
		{
			printf '%s\n' 'global' '  maxconn 4000' 'defaults' '  mode http' '  timeout connect 60s' \
				'  timeout client 60s' '  timeout server 60s' '  timeout queue 60s' 'frontend front' \
				"  bind 127.0.0.1:$port" '  default_backend back' 'backend back' '  balance leastconn'
			for ((i = 1; i <= workers; i++)); do
				echo "  server s$i 127.0.0.1:$((port + i)) maxconn 1"
			done
		} >haproxy.cfg
		for ((i = 1; i <= workers; i++)); do
			gunicorn "$((port + i))" 1
		done
		for ((i = 1; i <= workers; i++)); do
			until (($(listening "$((port + i))") == 1)); do :; done
		done
		haproxy -q -D -p haproxy.pid -f haproxy.cfg
		;;
	esac
	# A worker is there when its arbiter has a child; it may listen before.
	for i in ./*.pid; do
		[[ $i == *haproxy* ]] || until [[ -n $(ps -o pid= --ppid "$(<"$i")") ]]; do :; done
	done
}

stop() {
	local file pid

	for file in ./*.pid; do
		pid=$(<"$file")
		kill -INT "$pid" || kill -TERM "$pid" || true
		while kill -0 "$pid" 2>/dev/null; do sleep 0.01; done
		rm -f "$file"
	done
}

"$@"
