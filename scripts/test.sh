#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# From a fresh Debian or Ubuntu machine to every test, as root: installs what is missing, builds, checks, tests.
#
#	scripts/test.sh                     everything
#	scripts/test.sh PART...             build lint unit prog e2e faults chaos fuzz asan selftest kernels package perf
#
#	CI=true             a skip is a failure
#	V=1                 show commands and output as they come
#	FAULTS=all          fail every system call and every allocation, each in all ways that fit: hours
#	CHAOS_SECONDS=60, CHAOS_STEPS=N, CHAOS_SEED=N
#	                    how long the storms last, and which one: a storm that fails says how to repeat it
#	FUZZ_SECONDS=60     for each fuzz target, two at once; tests/fuzz/run.sh tells more
#	KERNEL_TESTS='*'    run all tests on the other kernels, too, which takes hours; without it a part of each kind, and
#	                    the demo, on the two that differ most from this one
#
# The last line is "N passed, N failed" or "N passed, N failed, N skipped": the cases of all test programs, and one
# failure for each other step that fails. The exit status says the same.
set -euo pipefail

cd "$(dirname "$0")/.."
readonly PARTS=(build lint unit prog e2e faults chaos fuzz asan selftest kernels package perf)

usage() {
	sed -n 's/^#	\(scripts.*\)/\1/p' "$0" >&2
	exit 2
}

(($# > 0)) || set -- "${PARTS[@]}"
for part; do
	[[ " ${PARTS[*]} " == *" $part "* ]] || usage
done

TEST_TOTALS=$(mktemp)
export TEST_TOTALS
trap 'rm -f "$TEST_TOTALS"' EXIT
build=(make --no-print-directory -j"$(nproc)" "V=${V-}")

failures() {
	awk '{ n += $2 } END { print n + 0 }' "$TEST_TOTALS"
}

# Runs one step. If it fails and has not counted its failures itself, it counts as one.
step() {
	local title=$1 before
	shift

	printf '\n== %s\n' "$title"
	before=$(failures)
	"$@" && return 0
	(($(failures) > before)) || echo "0 1 0" >>"$TEST_TOTALS"
	echo "FAIL $title"
	return 1
}

# What cannot be checked here: loud, and in CI a failure.
cannot() {
	echo "SKIP $1"
	if [[ ${CI-} == true ]]; then
		return 1
	fi
	echo "0 0 1" >>"$TEST_TOTALS"
}

check_format() {
	local tool

	# Another version of clang-format would ask for other line breaks.
	for tool in clang-format-14 clang-format; do
		if [[ $("$tool" --version 2>/dev/null) == *"version 14."* ]]; then
			"${build[@]}" format-check CLANG_FORMAT="$tool"
			return
		fi
	done
	cannot "clang-format 14 is not installed"
}

check_scripts() {
	local scripts

	mapfile -t scripts < <(find .ci packaging scripts tests -type f \( -name '*.sh' -o -name '*.bash' -o -path .ci/run \) | sort)
	shellcheck "${scripts[@]}"
}

check_docs() {
	"${build[@]}" all >/dev/null
	scripts/check-docs.sh
}

check_screens() {
	local failed=0

	"${build[@]}" all build/tests/e2e/top_test >/dev/null
	scripts/screens.sh || failed=1
	scripts/pictures.sh --check || failed=1
	return "$failed"
}

check_man() {
	"${build[@]}" all >/dev/null
	scripts/check-man.sh
}

check_packaging() {
	"${build[@]}" all >/dev/null
	if ! command -v systemd-analyze >/dev/null; then
		cannot "systemd-analyze is not installed"
		return
	fi
	scripts/check-packaging.sh
}

check_operations() {
	local failed=0

	"${build[@]}" all >/dev/null
	scripts/check-dashboard.sh || failed=1
	scripts/check-k8s.py || failed=1
	return "$failed"
}

part_build() {
	step "build with gcc" "${build[@]}" CC=gcc all tests || return 0
	step "build with clang" "${build[@]}" CC=clang BUILD=build/clang all tests || return 0
}

part_lint() {
	step "format" check_format || true
	step "shellcheck" check_scripts || true
	step "cppcheck" "${build[@]}" cppcheck || true
	step "clang-tidy and clang's analyzer" "${build[@]}" tidy || true
	step "documentation against the binary" check_docs || true
	step "manual pages against the binary" check_man || true
	step "packaging against the service manager" check_packaging || true
	step "dashboard and Kubernetes manifest" check_operations || true
	step "vmlinux.h against this kernel" "${build[@]}" vmlinux-check || true
}

part_unit() {
	step "unit tests" "${build[@]}" check-unit || true
	step "branches of the programs" "${build[@]}" branches || true
}

part_prog() {
	step "prog tests" "${build[@]}" check-prog || true
	step "tests of TCP, placed by load" "${build[@]}" check-balance || true
	step "verifier budget" scripts/verifier-report.sh || true
}

part_e2e() {
	step "end-to-end tests" "${build[@]}" check-e2e || true
	step "screens of the documentation" check_screens || true
}

part_faults() {
	step "fault injection" "${build[@]}" check-faults || true
}

part_chaos() {
	step "chaos" "${build[@]}" check-chaos || true
}

part_fuzz() {
	step "build the fuzz targets" "${build[@]}" fuzz || return 0
	step "fuzzing" tests/fuzz/run.sh || true
}

part_asan() {
	local asan=("${build[@]}" BUILD=build/asan "SANITIZE=address,undefined")

	# cmocka's own handler for SIGSEGV would hide where it happened.
	export ASAN_OPTIONS=handle_segv=2:handle_sigbus=2:handle_sigfpe=2 UBSAN_OPTIONS=print_stacktrace=1
	step "unit tests with address and undefined behaviour sanitizers" "${asan[@]}" check-unit || true
	step "prog tests with address and undefined behaviour sanitizers" "${asan[@]}" check-prog || true
	unset ASAN_OPTIONS UBSAN_OPTIONS
}

part_selftest() {
	step "the test runner goes red" "${build[@]}" selftest || true
}

part_kernels() {
	# In an emulated machine all of them take hours. One without the wake-up of heirs, and a newer one that has it.
	export KERNEL_TESTS=${KERNEL_TESTS-unit/* prog/@(load|verifier|steer|death|migrate|wake)_test e2e/@(tcp|udp|doctor_machine)_test chaos/*}
	step "build for other kernels" "${build[@]}" all tests-unit tests-prog tests-e2e tests-chaos || return 0
	step "other kernels" env -u CHAOS_SECONDS -u CHAOS_STEPS scripts/kernels.sh 6.1.0-49-amd64 6.12 || true
}

part_package() {
	step "the package's life on a fresh machine" scripts/check-deb.sh || true
	step "the newcomer's commands on a fresh machine" scripts/check-newcomer.sh || true
}

part_perf() {
	step "ratios that must not rot" scripts/perf-gate.sh || true
}

step "dependencies" scripts/install-deps.sh build test || true
for part; do
	"part_$part"
done

awk '
	{ passed += $1; failed += $2; skipped += $3 }
	END {
		printf "\n%d passed, %d failed", passed, failed
		if (skipped) printf ", %d skipped", skipped
		print ""
		exit failed > 0
	}
' "$TEST_TOTALS"
