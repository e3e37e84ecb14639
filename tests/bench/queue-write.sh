#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Measures placement by load and puts the tables between the marks of docs/benchmarks-balance.md; needs root and a
# machine that does nothing else, with gunicorn and HAProxy installed. A quarter of an hour.
#
#	tests/bench/queue-write.sh            measure, then write
#	tests/bench/queue-write.sh --short    a minute or two; the tables go to stdout, and the page stays as it is
#
#	BUILD=build         where it was built: make bench-queue
#	PAGE=FILE           another page than docs/benchmarks-balance.md
#
# The page is written when all was measured: a run that fails or is stopped leaves it as it was.
set -euo pipefail

cd "$(dirname "$0")/../.."
# shellcheck source=scripts/lib/pages.sh
. scripts/lib/pages.sh
readonly MAKER='make bench-balance-write'
readonly PAGE=${PAGE:-docs/benchmarks-balance.md}

is_short=
case ${1-} in
--short) is_short=1 ;;
'') ;;
*)
	sed -n 's/^#	\(tests.*\)/\1/p' "$0" >&2
	exit 2
	;;
esac

pages_require "$PAGE" figures "$MAKER"

figures=$(mktemp)
trap 'rm -f "$figures"' EXIT

# Rounds, seconds of each, and what else.
queue() {
	local rounds=$1 seconds=$2

	shift 2
	say '' "Rounds: $rounds, of $seconds s each."
	tests/bench/queue.sh --rounds "$rounds" --seconds "$seconds" "$@" >>"$figures"
}

say() {
	printf '%s\n' "$@" >>"$figures"
}

say "Linux $(uname -r | cut -d. -f1,2), $(nproc) cores."
if [[ $is_short ]]; then
	queue 1 3 --workers 8 --utilisation 0.7
	queue 1 2 --workers 64 --utilisation 0.7
	queue 1 3 --workers 8 --utilisation 0.7 --service 1
	queue 1 3 --workers 8 --utilisation 0.7 --gunicorn
else
	queue 3 6 --workers 8 --utilisation 0.3,0.5,0.7,0.85,0.9
	queue 2 4 --workers 64 --utilisation 0.7
	queue 2 6 --workers 8 --utilisation 0.7 --service 1
	queue 3 6 --workers 8 --utilisation 0.5,0.7 --gunicorn
fi
# shellcheck disable=SC2016 # Markdown
say '' 'What the program takes for a connection (`tests/bench/queue.sh --cost`), the median of five:' ''
tests/bench/queue.sh --cost >>"$figures"

if [[ $is_short ]]; then
	cat "$figures"
	exit 0
fi
pages_put "$PAGE" figures "$MAKER" "
$(<"$figures")
"
