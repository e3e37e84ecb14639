#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Boots other kernels in qemu and runs the demo and the tests there: does the program load, does it steer?
#
#	scripts/kernels.sh [--again] [--write] [VERSION...]     default: 6.1.0-49-amd64 6.1 6.12 running
#
# VERSION is a series (6.1: the newest Debian cloud kernel of it), a whole one (6.1.0-49-amd64, which does not wake
# the heirs of a closed listener), or "running": this machine's own, without qemu. The packages are downloaded and
# unpacked into build/kernels, not installed.
#
#	--again               do not run what passed the last time on that kernel, by build/kernels/said: to go on where a
#	                      run ended, or after the mend of one test
#	--write               put the results into docs/kernels.md, if every kernel had its turn; those of others stay
#	BUILD=build           where the built programs are
#	KERNEL_DIR=DIR        use the kernels in DIR/*/boot/vmlinuz-*, all that fit VERSION, and download nothing
#	KERNEL_TESTS='*'      which test programs to run: patterns for KIND/NAME, as in 'unit/* prog/steer_test'
#	KERNEL_TIMEOUT=300    seconds for one kernel to boot and to show the demo
#	TEST_TIMEOUT=600      seconds more for each test program
#	CHAOS_SECONDS=20, CHAOS_STEPS=100000
#	                      how long the storms last, where they are among the tests
#	CI=true, V=1, TEST_TOTALS=FILE      as for tests/run.sh
#
# It emulates (TCG), about ten times slower than the machine: /dev/kvm is there on some machines whose guests do
# not survive it. What is translated is found again by its address only (QEMU before 8), so no process is put at random
# addresses: one starts in half the time. A processor that can less is faster, too.
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib/pages.sh
. scripts/lib/pages.sh
readonly BUILD=${BUILD:-build}
readonly KERNEL_TIMEOUT=${KERNEL_TIMEOUT:-300}
readonly TEST_TIMEOUT=${TEST_TIMEOUT:-600}
readonly CHAOS_SECONDS=${CHAOS_SECONDS:-20} CHAOS_STEPS=${CHAOS_STEPS:-100000}
readonly KINDS=(unit prog e2e chaos)
# What end-to-end tests run besides steadyport, and what of the tree and of the machine they read.
readonly TOOLS=(bpftool comm haproxy ip nginx nstat promtool ss systemd-analyze wrk zsh)
readonly TREE=(docs/bpftool.md packaging scripts/lib tests/e2e/bpftool_page tests/e2e/completion)
readonly DATA=(/lib/terminfo /usr/lib/*/zsh /usr/share/zsh/functions)
# Modules by which the kernel tells of sockets, in the order to load them.
readonly MODULES=(inet_diag tcp_diag udp_diag)
readonly PAGE=docs/kernels.md
readonly HERE='the machine itself'
readonly MAKER='scripts/kernels.sh --write'

read -ra patterns <<<"${KERNEL_TESTS-*}"
passed=0 failed=0 skipped=0
table='' page_table='' page_budget=''
programs=() rest=() said=''
does_write=no does_repeat=no
declare -A count
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

row() {
	table+=$(printf '%-30s %-5s %5s  %s' "$@")$'\n'
}

# What cannot be tried: loud here, and in CI a failure.
cannot() {
	if [[ ${CI-} == true ]]; then
		row "$1" FAIL 0 "CI=true, but $2"
		((failed += 1))
	else
		row "$1" SKIP 0 "$2"
		((skipped += 1))
	fi
}

is_asked_for() {
	local pattern

	for pattern in "${patterns[@]}"; do
		# shellcheck disable=SC2053 # a pattern
		[[ $1 != $pattern ]] || return 0
	done
	return 1
}

find_programs() {
	local kind program

	for kind in "${KINDS[@]}"; do
		for program in "$BUILD/tests/$kind"/*_test; do
			[[ ! -x $program ]] || ! is_asked_for "$kind/${program##*/}" || programs+=("$kind/${program##*/}")
		done
	done
}

# Name of the package for a version, empty if the index has none.
package_of() {
	local escaped=${1//./\\.}

	escaped=${escaped//+/\\+}
	{
		apt-cache search --names-only "^linux-image-$escaped\$"
		apt-cache search --names-only "^linux-image-$escaped\\..*-cloud-amd64\$"
	} | awk '{ print $1 }' | sort -V | tail -n 1
}

# Downloads and unpacks a package, complete or not at all.
unpack() {
	local dir=$1 package=$2

	echo "downloading $package" >&2
	rm -rf "$dir" "$dir.new"
	mkdir -p "$dir.new"
	(cd "$dir.new" && apt-get download -qq -o APT::Sandbox::User=root "$package") >&2 || return 1
	dpkg -x "$dir.new/"*.deb "$dir.new"
	rm -f "$dir.new/"*.deb
	mv "$dir.new" "$dir"
}

# Prints the path of the newest kernel of a version, nothing if there is none.
fetch() {
	local package dir try

	for try in first second; do
		package=$(package_of "$1")
		dir=$BUILD/kernels/$package
		if [[ $package ]] && { [[ -d $dir ]] || unpack "$dir" "$package"; }; then
			compgen -G "$dir/boot/vmlinuz-*"
			return
		fi
		# No index yet, or one so old that its packages have been replaced.
		[[ $try == first ]] && ((EUID == 0)) || return 0
		apt-get update -qq >&2 || return 0
	done
}

# Kernels under KERNEL_DIR that fit a version.
find_local() {
	local image

	for image in "$KERNEL_DIR"/*/boot/vmlinuz-* "$KERNEL_DIR"/boot/vmlinuz-*; do
		[[ ! -e $image ]] || case ${image##*/vmlinuz-} in "$1" | "$1".*) echo "$image" ;; esac
	done
}

# Copies a program and the shared libraries that it loads, without their debug information.
add_program() {
	local library

	mkdir -p "$scratch/root${2%/*}"
	cp -L "$1" "$scratch/root$2"
	strip -g "$scratch/root$2"
	ldd "$1" | grep -o '/[^ ]*' | while read -r library; do
		[[ -e $scratch/root$library ]] || {
			mkdir -p "$scratch/root${library%/*}"
			cp -L "$library" "$scratch/root$library"
		}
	done
}

# A tool that nothing names, and promtool is as big as all the rest, stays here.
add_tools() {
	local tool path

	add_program "$(command -v bash)" /bin/bash
	for tool in "${TOOLS[@]}"; do
		path=$(command -v "$tool") || continue
		! grep -qarF "$tool" "${programs[@]/#/$BUILD/tests/}" "${TREE[@]}" || add_program "$path" "/sbin/$tool"
	done
	for path in "${TREE[@]/#/$PWD/}" "${DATA[@]}"; do
		mkdir -p "$scratch/root${path%/*}"
		[[ ! -e $path ]] || cp -a "$path" "$scratch/root$path"
	done
}

make_initramfs() {
	local program

	mkdir -p "$scratch/root"/{dev,etc,proc,run,sys,tmp,usr/bin,usr/sbin,var/lib/nginx,var/log/nginx}
	ln -s usr/bin usr/sbin "$scratch/root"
	cp "$(command -v busybox)" "$scratch/root/bin/busybox"
	printf '%s\n' 'root:x:0:0:root:/:/bin/sh' 'nobody:x:65534:65534::/:/bin/false' >"$scratch/root/etc/passwd"
	printf '%s\n' root:x:0: nogroup:x:65534: >"$scratch/root/etc/group"
	add_program "$BUILD/steadyport" /bin/steadyport
	for program in "${programs[@]}"; do
		add_program "$BUILD/tests/$program" "/tests/$program"
	done
	[[ " ${programs[*]}" != *' e2e/'* ]] || add_tools
	cat >"$scratch/root/init" <<-INIT
		#!/bin/busybox sh
		/bin/busybox --install -s /bin
		mount -t proc proc /proc
		mount -t sysfs sysfs /sys
		mount -t devtmpfs dev /dev
		ln -s /proc/self/fd /dev/fd
		mkdir /dev/pts
		mount -t devpts devpts /dev/pts
		for m in ${MODULES[*]}; do
			[ ! -e /modules/\$m.ko ] || insmod /modules/\$m.ko
		done
		mount -t bpf bpf /sys/fs/bpf
		mount -t cgroup2 cgroup2 /sys/fs/cgroup
		echo +memory >/sys/fs/cgroup/cgroup.subtree_control
		mount --make-rprivate /
		dmesg -n 1
		ip link set lo up
		ulimit -n 20000
		export STEADYPORT=/bin/steadyport HOME=/ PATH=/sbin:/bin CHAOS_SECONDS=$CHAOS_SECONDS CHAOS_STEPS=$CHAOS_STEPS TEST_SLOWNESS=6
		run() {
			name=\$1
			shift
			start=\$(cut -d. -f1 /proc/uptime)
			echo "=begin= \$name"
			unshare -n -m sh -c 'umount /sys/fs/bpf 2>/dev/null; mount -t bpf bpf /sys/fs/bpf; ip link set lo up; exec "\$@"' - \\
				timeout -s KILL $TEST_TIMEOUT "\$@" </dev/null 2>&1
			echo "=end= \$name \$?"
			echo "took: \$name \$((\$(cut -d. -f1 /proc/uptime) - start)) s"
		}
		run version steadyport --version
		run demo steadyport demo
		echo '[daemon]' >/tmp/wakes.conf
		timeout -s TERM 5 steadyport -v run --config /tmp/wakes.conf 2>&1
		for t in \$(cat /list); do
			run "\$t" "/tests/\$t"
		done
		echo "=done="
		poweroff -f
	INIT
	chmod +x "$scratch/root/init"
	pack "$scratch/root" >"$scratch/initramfs"
}

pack() {
	(cd "$1" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1)
}

# What every kernel gets, followed by what is this one's own: modules, and which programs to run.
make_initrd() {
	local kernel=${1%/boot/*} module file

	rm -rf "$scratch/own"
	mkdir -p "$scratch/own/modules"
	for module in "${MODULES[@]}"; do
		for file in "$kernel"/{,usr/}lib/modules/*/kernel/net/*/"$module".ko*; do
			[[ -e $file ]] || continue
			case $file in
			*.xz) xz -dc "$file" ;;
			*.zst) zstd -dcq "$file" ;;
			*) cat "$file" ;;
			esac >"$scratch/own/modules/$module.ko"
		done
	done
	printf '%s\n' "${rest[@]}" >"$scratch/own/list"
	{ cat "$scratch/initramfs" && pack "$scratch/own"; } >"$scratch/initrd"
}

# Reads the console: one line "NAME STATUS PASSED FAILED SKIPPED" for each program, and "done" if all had their turn.
digest() {
	awk '
		/=begin= / { sub(/.*=begin= /, ""); ok = bad = skip = 0; next }
		/^\[ *PASSED *\] [0-9]+ test/ { ok += cases() }
		/^\[ *FAILED *\] [0-9]+ test/ { bad += cases() }
		/^\[ *SKIPPED *\] [0-9]+ test/ { skip += cases() }
		/=end= / { sub(/.*=end= /, ""); print $0, ok, bad, skip }
		/=done=/ { print "done" }
		function cases(   n) { n = $0; sub(/^[^]]*\] /, "", n); return n + 0 }
	' "$1"
}

# Puts what each program has said to its end on a kernel, by its console, into a file of its own.
split() {
	mkdir -p "${KINDS[@]/#/$said/}"
	[[ -e $said/console ]] || return 0
	# Carriage returns, and the firmware's escape sequences before the first line.
	tr -d '\r' <"$said/console" | sed 's/\x1b\[[0-9;?]*[A-Za-z]//g; s/\x1bc//g' >"$scratch/console"
	awk -v said="$said" '
		/=begin= [a-z0-9]+\// { name = $0; sub(/.*=begin= /, "", name); text = "" }
		name { text = text $0 "\n" }
		name && /=end= / { printf "%s", text >(said "/" name); close(said "/" name); name = "" }
	' "$scratch/console"
	rm "$said/console"
}

# Sets $said, where a kernel's results are, and $rest, the programs to run; has in $scratch/kept what the others said.
choose() {
	local program

	said=$BUILD/kernels/said/$1 rest=()
	# One is there if the last run was killed.
	split
	: >"$scratch/kept"
	for program in "${programs[@]}"; do
		if [[ $does_repeat == yes && -e $said/$program ]] &&
			[[ $(digest "$said/$program") =~ ^[^\ ]+\ 0\ [1-9][0-9]*\ 0\ 0$ ]]; then
			cat "$said/$program" >>"$scratch/kept"
		else
			rest+=("$program")
			rm -f "$said/$program"
		fi
	done
}

# Has in $scratch/console what all programs said, whenever it was.
gather() {
	split
	[[ ${V-} != 1 ]] || sed 's/^/    | /' "$scratch/console"
	cat "$scratch/kept" "$scratch/console" >"$scratch/all"
	mv "$scratch/all" "$scratch/console"
}

# Takes the digest of $scratch/console into the totals; sets $why and $is_done.
take_results() {
	local name code ok bad skip kind

	count=() why='' is_done=no
	while read -r name code ok bad skip; do
		if [[ $name == 'done' ]]; then
			is_done=yes
			continue
		fi
		kind=${name%%/*}
		# The programs without cases count as one.
		[[ $name == */* ]] || { ((code == 0)) && ok=1 || bad=1; }
		if ((code == 77)); then
			ok=0 bad=0 skip=1
		elif ((code != 0 && bad == 0)) || ((ok + bad + skip == 0)); then
			bad=1
		fi
		if [[ ${CI-} == true ]]; then
			((bad += skip, skip = 0)) || true
		fi
		((bad == 0)) || why+="${why:+, }$name: $bad failed (exit status $code)"
		((passed += ok, failed += bad, skipped += skip)) || true
		((count[$kind] = ${count[$kind]-0} + ok, count[bad] = ${count[bad]-0} + bad,
			count[skip] = ${count[skip]-0} + skip)) || true
	done < <(digest "$scratch/console")
}

wakes() {
	case $(grep -oE -m 1 'this kernel (wakes|does not wake)|cannot tell whether this kernel wakes' "$scratch/console") in
	'this kernel wakes') echo yes ;;
	'this kernel does not wake') echo no ;;
	*) echo '?' ;;
	esac
}

# report VERSION WHERE CASES-BEFORE FAILED-BEFORE
report() {
	local result=ok kind cells='' budget

	((failed == $4)) || result=FAIL
	if [[ $result == FAIL && ${V-} != 1 ]]; then
		sed 's/^/    | /' "$scratch/console"
	else
		sed -n 's/^budget: /    /p' "$scratch/console"
	fi
	row "$1" "$result" $((passed + failed - $3)) "${why:-$(grep -m 1 '^steadyport ' "$scratch/console" || true)}"
	for kind in demo "${KINDS[@]}"; do
		cells+=" ${count[$kind]-0} |"
	done
	budget=$(sed -n 's/^budget: //p' "$scratch/console")
	[[ -z $budget ]] || page_budget+="$budget"$'\n\n'
	page_table+="| $1 | $2 | $(wakes) |$cells ${count[bad]-0} | ${count[skip]-0} |"$'\n'
}

boot() {
	local image=$1 cases_before=$((passed + failed)) bad_before=$failed
	local version=${1##*/vmlinuz-} status=0 why is_done deadline

	choose "$version"
	deadline=$((KERNEL_TIMEOUT + TEST_TIMEOUT * ${#rest[@]}))
	echo "booting $version"
	make_initrd "$image"
	timeout -k 5 "$deadline" qemu-system-x86_64 -accel tcg,thread=multi -cpu qemu64 -m 2048 -smp 2 -nographic \
		-no-reboot -nic none -kernel "$image" -initrd "$scratch/initrd" \
		-append "console=ttyS0 quiet panic=-1 mitigations=off norandmaps" </dev/null >"$said/console" 2>&1 || status=$?
	gather
	take_results
	if [[ $is_done == no ]]; then
		((failed += 1, count[bad] = ${count[bad]-0} + 1))
		if ((status == 124 || status == 137)); then
			why+="${why:+, }still running after $deadline s"
		else
			why+="${why:+, }the machine ended early (qemu's exit status $status)"
		fi
	fi
	report "$version" qemu "$cases_before" "$bad_before"
}

# The same on the running kernel, each in namespaces of its own as tests/run.sh makes them.
run_here() {
	local version cases_before=$((passed + failed)) bad_before=$failed why is_done program status

	version=$(uname -r)
	choose "$version"
	echo "running on $version"
	export CHAOS_SECONDS CHAOS_STEPS STEADYPORT
	STEADYPORT=$(realpath "$BUILD/steadyport")
	echo '[daemon]' >"$scratch/wakes.conf"
	{
		inside() {
			echo "=begin= $1"
			status=0
			unshare -n -m --propagation private sh -c \
				'umount /sys/fs/bpf 2>/dev/null; mount -t bpf bpf /sys/fs/bpf; ip link set lo up; exec "$@"' - \
				timeout -k 5 -s KILL "$TEST_TIMEOUT" "${@:2}" </dev/null 2>&1 || status=$?
			echo "=end= $1 $status"
		}
		inside version "$STEADYPORT" --version
		inside demo "$STEADYPORT" demo
		unshare -n -m --propagation private sh -c \
			'mount -t bpf bpf /sys/fs/bpf; exec timeout 5 "$@"' - \
			"$STEADYPORT" -v run --config "$scratch/wakes.conf" 2>&1 || true
		for program in "${rest[@]}"; do
			inside "$program" "$BUILD/tests/$program"
		done
		echo "=done="
	} >"$said/console" 2>&1
	gather
	take_results
	report "$version" "$HERE" "$cases_before" "$bad_before"
}

# What the page has of kernels that were not run now: rows of the table, and paragraphs of the budget of those that have a
# row. There is one machine, whatever its kernel was.
rows_of_others() {
	local row

	while IFS= read -r row; do
		[[ $page_table == *"${row%% |*} |"* || ($row == *"| $HERE |"* && $page_table == *"| $HERE |"*) ]] ||
			printf '%s\n' "$row"
	done < <(grep -E '^\| [0-9]+\.' "$PAGE" || true)
}

# budgets_of ROWS
budgets_of() {
	awk -v rows="$1" '
		/^Linux / { shown = index(rows, "| " $2 " |") }
		/^$|^```/ { if (shown) print ""; shown = 0 }
		shown { print }
	' "$PAGE"
}

while [[ ${1-} == --* ]]; do
	case $1 in
	--again) does_repeat=yes ;;
	--write) does_write=yes ;;
	*)
		sed -n 's/^#	\(scripts.*\)/\1/p' "$0" >&2
		exit 2
		;;
	esac
	shift
done
(($# > 0)) || set -- 6.1.0-49-amd64 6.1 6.12 running

for tool in qemu-system-x86_64 busybox ldd strip; do
	command -v "$tool" >/dev/null || {
		echo "scripts/kernels.sh: $tool is missing: scripts/install-deps.sh build test" >&2
		exit 1
	}
done
[[ -x $BUILD/steadyport ]] || {
	echo "scripts/kernels.sh: $BUILD/steadyport is missing: make all tests" >&2
	exit 1
}

page_table='| kernel | in | wakes heirs | demo | unit | prog | e2e | chaos | failed | skipped |'$'\n'
page_table+='|---|---|---|---|---|---|---|---|---|---|'$'\n'
find_programs
for version; do
	if [[ $version == running ]]; then
		run_here
		continue
	fi
	if [[ $(uname -m) != x86_64 ]]; then
		cannot "$version" "this machine is no x86-64 and cannot run the test programs of another"
		continue
	fi
	[[ -e $scratch/initramfs ]] || make_initramfs
	if [[ ${KERNEL_DIR-} ]]; then
		mapfile -t images < <(find_local "$version")
	else
		mapfile -t images < <(fetch "$version")
	fi
	((${#images[@]} > 0)) || cannot "$version" "no such kernel in ${KERNEL_DIR:-the package index, or no way to fetch it}"
	for image in "${images[@]}"; do
		# Two series may name the same one.
		[[ $table == *"${image##*/vmlinuz-} "* ]] || boot "$image"
	done
done

printf '\n%-30s %-5s %5s\n%s' KERNEL '' CASES "$table"
if [[ $does_write == yes && $table != *SKIP* ]]; then
	others=$(rows_of_others)
	pages_put "$PAGE" results "$MAKER" "$page_table${others:+$others$'\n'}
Of the tests: \`${KERNEL_TESTS-*}\`"
	[[ -z $page_budget ]] || pages_put "$PAGE" budget "$MAKER" "$(pages_fence "$page_budget$(budgets_of "$others")")"
fi
if [[ ${TEST_TOTALS-} ]]; then
	echo "$passed $failed $skipped" >>"$TEST_TOTALS"
else
	summary="$passed passed, $failed failed"
	((skipped == 0)) || summary+=", $skipped skipped"
	echo "$summary"
fi
((failed == 0))
