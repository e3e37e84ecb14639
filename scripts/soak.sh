#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# For hours: one daemon whose servers come and go under load (tests/chaos/daemon_test.c), and beside it storm after
# storm (tests/chaos/storm_test.c), each with a seed of its own. Meanwhile memory, descriptors, pins and BPF objects are
# sampled. What is more at the end of the run than at its beginning is found, and is a failure.
#
#	scripts/soak.sh [--write] --hours N
#	scripts/soak.sh --judge FILE           look at the samples of another run
#
#	--write             put the results into docs/soak.md
#	BUILD=build         where the built programs are: make all tests soak
#	SAMPLES=FILE        keep the samples there
#	STORM_SECONDS=30    how long a storm lasts
#	STORM_PAUSE=60      seconds from one storm to the next: the machine has other things to do
#	CI=true, V=1        as for tests/run.sh
#
# Both have a memory control group of their own, and what their processes make stays charged to it when they have ended:
# what others do on the machine meanwhile is not in the figures. Servers and storms come and go, and figures with them,
# so the run is cut into windows, each longer than a shift of servers and a storm with its pause. Of each window the
# least sample is taken, and through these a line is laid.
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib/pages.sh
. scripts/lib/pages.sh
readonly BUILD=${BUILD:-build}
readonly STORM_SECONDS=${STORM_SECONDS:-30} STORM_PAUSE=${STORM_PAUSE:-60}
readonly INTERVAL=4
readonly PAGE=docs/soak.md
readonly MAKER='scripts/soak.sh --write'
# Column of the samples, unit, what the line may rise and be flat ("-": others are in it, too), name. Memory is judged by
# the second half of the run: a leak goes on, a high-water mark does not.
readonly FIGURES='
2 KiB 256 daemon: memory of its own
3 - 0.5 daemon: descriptors
4 - 0.5 daemon: sockets of its network namespace
5 - 0.5 daemon: pins
6 - 0.5 daemon and commands: BPF maps
7 - 0.5 daemon and commands: BPF programs
8 - 0.5 daemon and commands: BPF links
9 KiB 512 daemon and commands: kernel memory
10 - 0.5 storms: BPF maps
11 - 0.5 storms: BPF programs
12 - 0.5 storms: BPF links
13 KiB 512 storms: kernel memory
14 KiB - machine: slab that cannot be reclaimed
15 KiB - machine: per-CPU memory
16 KiB - machine: vmalloc
17 KiB - machine: what the BPF maps state (memlock)
'

usage() {
	sed -n 's/^#	\(scripts.*\)/\1/p' "$0" >&2
	exit 2
}

die() {
	echo "scripts/soak.sh: $*" >&2
	exit 1
}

# --- the verdict ---

# Reads samples; prints "NAME|UNIT|SAMPLES|LEAST|MOST|FIRST|LAST|PER HOUR|VERDICT" for each figure. FIRST and LAST are
# those of the windows that are judged; the first of all is not: everything is made for the first time in it.
judge() {
	awk -v window=$((STORM_SECONDS + STORM_PAUSE + 90)) -v figures="$FIGURES" '
		{
			w = int($1 / window)
			nwindows = w # the last one is not whole
			for (i = 2; i <= NF; i++) {
				if ($i == "-")
					continue
				if (!((w, i) in least) || $i < least[w, i])
					least[w, i] = $i
				if (!count[i]++ || $i < low[i]) low[i] = $i
				if ($i > high[i]) high[i] = $i
			}
		}
		END {
			n = split(figures, lines, "\n")
			for (l = 1; l <= n; l++) {
				if (split(lines[l], word, " ") < 4)
					continue
				name = lines[l]
				for (i = 1; i <= 3; i++)
					sub(/^ *[^ ]+ /, "", name)
				judge_one(word[1], word[2] == "-" ? "" : word[2], word[3], name)
			}
		}
		function judge_one(i, unit, may_rise, name,   w, m, x, y, sx, sy, sxx, sxy, per_hour, rise, verdict) {
			m = sx = sy = sxx = sxy = 0
			for (w = unit == "KiB" ? int(nwindows / 2) : 1; w < nwindows; w++) {
				if (!((w, i) in least))
					continue
				x = w * window / 3600; y = least[w, i]
				if (!m++) { first = y; start = x }
				last = y; end = x
				sx += x; sy += y; sxx += x * x; sxy += x * y
			}
			if (m < 3) {
				printf "%s|%s|%d|||||-|too few samples\n", name, unit, count[i]
				return
			}
			per_hour = (m * sxy - sx * sy) / (m * sxx - sx * sx)
			rise = per_hour * (end - start)
			verdict = may_rise == "-" ? "not judged" : rise < may_rise ? "flat" : "GROWS"
			printf "%s|%s|%d|%d|%d|%d|%d|%+.1f|%s\n", name, unit, count[i], low[i], high[i], first, last, \
				per_hour + 0, verdict
		}
	' "$1"
}

is_flat() {
	[[ $1 == *'|flat'* && $1 != *GROWS* && $1 != *'too few'* ]]
}

as_table() {
	echo '| figure | least | most | first judged | last | per hour | verdict |'
	echo '|---|---|---|---|---|---|---|'
	awk -F'|' '
		{
			unit = $2 == "" ? "" : " " $2
			printf "| %s | %s%s | %s%s | %s%s | %s%s | %s%s | %s |\n", $1, $4, unit, $5, unit, $6, unit, $7, unit, \
				$8, unit, $9
		}
	' <<<"$1"
}

# --- the run ---

make_cgroup() {
	local kind root options

	while read -r _ root kind options _; do
		case $kind in
		cgroup) [[ ,$options, == *,memory,* ]] || continue ;;
		cgroup2) [[ " $(<"$root/cgroup.subtree_control") " == *' memory '* ]] || continue ;;
		*) continue ;;
		esac
		mkdir "$root/steadyport-soak-$$-$1"
		echo "$root/steadyport-soak-$$-$1"
		return
	done </proc/self/mounts
	die "no memory control group can be made here: whose BPF objects they are would not be known"
}

# KiB, for either version of control groups. What can be given back is taken first: caches of files and names.
kernel_memory() {
	if [[ -e $1/memory.kmem.usage_in_bytes ]]; then
		echo 0 2>/dev/null >"$1/memory.force_empty" || true
		echo $(($(<"$1/memory.kmem.usage_in_bytes") / 1024))
	else
		echo 1G 2>/dev/null >"$1/memory.reclaim" || true
		awk '$1 == "kernel" { print int($2 / 1024) }' "$1/memory.stat"
	fi
}

find_daemon() {
	local pid words

	while read -r pid; do
		mapfile -d '' words <"/proc/$pid/cmdline" || continue
		if [[ ${words[0]-} == *steadyport && ${words[1]-} == run ]]; then
			echo "$pid"
			return
		fi
	done <"$1/cgroup.procs" 2>/dev/null
}

# "-" for what is not there at the moment.
sample() {
	local daemon figures

	daemon=$(find_daemon "$daemon_cgroup")
	if [[ $daemon ]]; then
		figures=$(
			awk '$1 == "RssAnon:" { print $2 }' "/proc/$daemon/status"
			find "/proc/$daemon/fd" -mindepth 1 | wc -l
			awk '$1 == "sockets:" { print $3 }' "/proc/$daemon/net/sockstat"
			find "/proc/$daemon/root/sys/fs/bpf" -type f | wc -l
		) 2>/dev/null || figures='- - - -'
	else
		figures='- - - -'
	fi
	# shellcheck disable=SC2046,SC2086 # words
	echo "$((SECONDS - start))" $figures \
		$("$BUILD/tests/soak/holdings" "$daemon_cgroup") "$(kernel_memory "$daemon_cgroup")" \
		$("$BUILD/tests/soak/holdings" "$storm_cgroup") "$(kernel_memory "$storm_cgroup")" \
		$(awk '/^(SUnreclaim|Percpu|VmallocUsed):/ { at[$1] = $2 }
			END { print at["SUnreclaim:"], at["Percpu:"], at["VmallocUsed:"] }' /proc/meminfo) \
		"$({ bpftool -j map show 2>/dev/null || true; } | tr , '\n' |
			awk -F: '/"bytes_memlock"/ { n += $2 } END { print int(n / 1024) }')"
}

# run_in CGROUP SECONDS PROGRAM: a program of the chaos tests, its output on stdout.
run_in() {
	(
		echo "$BASHPID" >"$1/cgroup.procs"
		unset TEST_TOTALS CHAOS_SEED CHAOS_STEPS
		V=1 CHAOS_SECONDS=$2 TEST_TIMEOUT=$((2 * $2 + 900)) STEADYPORT=$(realpath "$BUILD/steadyport") \
			exec tests/run.sh "$BUILD/tests/chaos/$3"
	)
}

run_storms() {
	while ((SECONDS - start < seconds)); do
		run_in "$storm_cgroup" "$STORM_SECONDS" storm_test >"$scratch/storm.log" 2>&1 ||
			cat "$scratch/storm.log" >>"$scratch/failed.log"
		cat "$scratch/storm.log" >>"$scratch/storms.log"
		sleep "$STORM_PAUSE"
	done
}

end_all() {
	local cgroup pid try

	[[ ! ${storms-} ]] || kill "$storms" 2>/dev/null || true
	for cgroup in "${daemon_cgroup-}" "${storm_cgroup-}"; do
		[[ -d $cgroup ]] || continue
		# It can be removed once the last one has been waited for by whoever is its parent by then.
		for ((try = 0; try < 100; try++)); do
			! rmdir "$cgroup" 2>/dev/null || break
			while read -r pid; do
				kill -KILL "$pid" 2>/dev/null || true
			done <"$cgroup/cgroup.procs"
			sleep 0.1
		done
	done
	rm -rf "$scratch"
}

# Numbers that the programs say of themselves, added up: add_up PATTERN, with the number where \1 is.
add_up() {
	sed -nE "s/.*$1.*/\\1/p" "$scratch/daemon.log" "$scratch/storms.log" | awk '{ n += $1 } END { print n + 0 }'
}

soak() {
	local daemon

	mkfifo "$scratch/never"
	start=$SECONDS
	run_in "$daemon_cgroup" "$seconds" daemon_test >"$scratch/daemon.log" 2>&1 &
	daemon=$!
	run_storms &
	storms=$!
	while kill -0 "$daemon" 2>/dev/null; do
		sample >>"$samples"
		[[ ${V-} != 1 ]] || tail -n 1 "$samples"
		read -r -t "$INTERVAL" _ <>"$scratch/never" || true
	done
	wait "$daemon" || {
		cat "$scratch/daemon.log"
		die "the daemon's test has failed"
	}
	wait "$storms"
}

report() {
	local figures=$1

	echo "Linux $(uname -r), $(nproc) CPUs, $(date -u +%Y-%m-%d): $((seconds / 60)) minutes."
	echo "The daemon had $(add_up '^ *([0-9]+) shifts: .*') shifts of servers with $(add_up '.* ([0-9]+) restarts,')" \
		"restarts, $(add_up ' ([0-9]+) reloads;') reloads and $(add_up ' ([0-9]+) orders,') commands."
	echo "Beside it $(grep -c '^ok ' "$scratch/storms.log") storms had $(add_up '^([0-9]+) steps in') steps," \
		"$(add_up '^udp: [0-9]+ flows, ([0-9]+) datagrams;') datagrams and" \
		"$(add_up '^tcp: ([0-9]+) connections,') connections; $(grep -c '^FAIL ' "$scratch/storms.log" || true) storms failed."
	echo
	as_table "$figures"
}

does_write=no hours='' judged=''
while (($# > 0)); do
	case $1 in
	--write) does_write=yes ;;
	--hours)
		hours=${2-}
		shift || usage
		;;
	--judge)
		judged=${2-}
		shift || usage
		;;
	*) usage ;;
	esac
	shift || usage
done

if [[ $judged ]]; then
	figures=$(judge "$judged")
	as_table "$figures"
	is_flat "$figures"
	exit
fi
[[ $hours =~ ^[0-9]+([.][0-9]+)?$ ]] || usage
seconds=$(awk -v h="$hours" 'BEGIN { print int(h * 3600) }')
((EUID == 0)) || die "makes network namespaces and loads BPF programs: run it as root"
for program in steadyport tests/chaos/daemon_test tests/chaos/storm_test tests/soak/holdings; do
	[[ -x $BUILD/$program ]] || die "$BUILD/$program is missing: make all tests soak"
done

scratch=$(mktemp -d)
trap end_all EXIT
trap 'exit 130' INT TERM
daemon_cgroup=$(make_cgroup daemon)
storm_cgroup=$(make_cgroup storm)
samples=${SAMPLES:-$scratch/samples}
: >"$samples"
: >"$scratch/storms.log"
storms=
soak
figures=$(judge "$samples")
text=$(report "$figures")
printf '%s\n' "$text"
[[ $does_write == no ]] || pages_put "$PAGE" results "$MAKER" "$text"
[[ ! -e $scratch/failed.log ]] || {
	cat "$scratch/failed.log"
	die "a storm has failed"
}
is_flat "$figures" || die "not flat"
