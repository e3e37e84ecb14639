#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Runs the benchmark of placement by load, tests/bench/queue, in namespaces of its own; needs root. It goes
# before all others: it sleeps most of the time, and what else the machine does is not to be measured.
#
#	tests/bench/queue.sh [OPTION...]    its options are told at the top of tests/bench/queue/main.c
#
#	BUILD=build         where it was built: make bench-queue
set -euo pipefail

BUILD=$(cd "${BUILD:-build}" && pwd)
export STEADYPORT=${STEADYPORT:-$BUILD/steadyport}
# shellcheck disable=SC2016 # to be expanded inside
exec unshare -n -m -p -f --mount-proc --propagation private bash -euc '
	mount -t bpf bpf /sys/fs/bpf
	ip link set lo up
	QUEUE_DIR=$(mktemp -d)
	export QUEUE_DIR
	trap "rm -rf \"\$QUEUE_DIR\"" EXIT
	chrt --rr 1 "$@"' bash "$BUILD/tests/bench/queue/queue" "$@"
