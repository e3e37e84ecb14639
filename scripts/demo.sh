#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# From a fresh Debian or Ubuntu machine to the demo: installs what is missing, builds, runs `steadyport demo`.
# Arguments go to the demo: scripts/demo.sh --tour
set -euo pipefail

cd "$(dirname "$0")/.."
((EUID == 0)) || {
	echo "scripts/demo.sh: the demo makes network namespaces and loads BPF programs: run it as root" >&2
	exit 1
}
# Only the demo answers on stdout: scripts/demo.sh --json can be piped.
scripts/install-deps.sh build >&2
make --no-print-directory -j"$(nproc)" >&2
exec build/steadyport demo "$@"
