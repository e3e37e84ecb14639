#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Runs clang-tidy over one file of the loader; the exit status is 1, and everything it said is shown, if it found fault.
#
#	scripts/lint/tidy.sh FILE COMPILER_OPTION...
#
#	CLANG_TIDY=clang-tidy
#
# The analyzer of clang 14 does not know __attribute__((cleanup)). To it a variable that frees itself leaks, and is emptied
# in vain when what it held is handed on. So these are left out:
#	leaks       the leak checker of the address sanitizer looks for them (`make asan`), and scripts/valgrind.sh
#	dead stores to a variable that is declared with a cleanup
set -euo pipefail

(($# > 0)) || {
	sed -n 's/^#	\(scripts.*\)/\1/p' "$0" >&2
	exit 2
}

readonly FILE=$1
shift
status=0
said=$("${CLANG_TIDY:-clang-tidy}" --quiet "$FILE" -- "$@" 2>/dev/null) || status=$?

frees_itself() {
	grep -qE "(\bsp_auto[a-z]+|cleanup\([a-z_]+\)\)\)) .*\b$1\b" "$FILE"
}

found=0 left_out=0
while IFS= read -r line; do
	case $line in
	*"error: Potential leak of memory"*"[clang-analyzer-unix.Malloc"* | *"error: Potential memory leak [clang-analyzer-unix.Malloc"*)
		((left_out += 1))
		continue
		;;
	*"error: Value stored to '"*"[clang-analyzer-deadcode.DeadStores"*)
		name=${line#*"Value stored to '"}
		if frees_itself "${name%%\'*}"; then
			((left_out += 1))
			continue
		fi
		;;
	esac
	((found += 1))
done < <(grep -E '^[^ ]+: (error|warning): ' <<<"$said")

# It failed, and not for what is left out.
((found == 0 && (status == 0 || left_out > 0))) || {
	printf '%s\n' "$said"
	exit 1
}
