#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Compares vmlinux/vmlinux.h, which is trimmed by hand, with the running kernel's BTF, or shows what to trim.
#
#	scripts/gen-vmlinux.sh [--check]    every type, field and enum value of vmlinux.h exists in the kernel
#	scripts/gen-vmlinux.sh --print      the full definitions of those types, as the kernel has them
#
#	BTF=FILE            another kernel's BTF instead of /sys/kernel/btf/vmlinux
#	BPFTOOL, CLANG      which bpftool and clang
#
# Fields of kernel structs are relocated when a program is loaded, so they may be anywhere; but without a field of
# that name the load fails. A field that a program asks for with bpf_core_field_exists() may be missing. Structs
# that are not relocated (UAPI) must have every field at the same offset.
set -euo pipefail

cd "$(dirname "$0")/.."
readonly HEADER=vmlinux/vmlinux.h
BTF=${BTF:-/sys/kernel/btf/vmlinux}
BPFTOOL=${BPFTOOL:-bpftool}
CLANG=${CLANG:-clang}

usage() {
	sed -n 's/^#	\(scripts.*\)/\1/p' "$0" >&2
	exit 2
}

[[ -r $BTF ]] || {
	echo "scripts/gen-vmlinux.sh: cannot read $BTF: this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)" >&2
	exit 1
}
"$BPFTOOL" version >/dev/null || {
	echo "scripts/gen-vmlinux.sh: $BPFTOOL does not run: name one that does with BPFTOOL=..." >&2
	exit 1
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Prints "kind name" for each record and enum that the header defines.
defined_types() {
	sed -n 's/^\(struct\|union\|enum\) \([a-z_0-9]*\) {$/\1 \2/p' "$1"
}

print_definitions() {
	"$BPFTOOL" btf dump file "$BTF" format c >"$scratch/kernel.h"
	{
		defined_types "$HEADER" | sed 's/$/ {/'
		# Typedefs of nameless structs, and nameless enums by one of their values.
		sed -n 's/^} \([a-z_0-9]*\);$/} \1;/p' "$HEADER"
		awk '/^enum \{$/ { getline; print "value", $1 }' "$HEADER"
	} >"$scratch/wanted"
	awk '
		NR == FNR {
			if ($1 == "value") value[$2] = 1
			else wanted[$0] = 1
			next
		}
		/^(struct|union|enum|typedef)[^;]*\{$/ { block = ""; open = 1; hit = ($0 in wanted) }
		!open { next }
		{ block = block $0 "\n" }
		/^\t[A-Za-z_0-9]+ = / && ($1 in value) && block ~ /^enum \{/ { hit = 1 }
		/^\}/ { if (hit || ($0 in wanted)) print block; open = 0 }
	' "$scratch/wanted" "$scratch/kernel.h"
}

# BTF of all that the header defines: nameless enums get a name, and a variable of each type keeps it in the object.
compile_header() {
	awk '/^enum \{$/ { print "enum sp_nameless_" ++n " {"; next } { print }' "$HEADER" >"$scratch/vmlinux.h"
	{
		echo '#include "vmlinux.h"'
		defined_types "$scratch/vmlinux.h" | awk '{ print $1, $2, "use_" $1 "_" $2 ";" }'
	} >"$scratch/header.c"
	"$CLANG" -O2 -g -target bpf -I"$scratch" -c "$scratch/header.c" -o "$scratch/header.o"
	"$BPFTOOL" btf dump file "$scratch/header.o" format raw
}

check() {
	compile_header >"$scratch/header.raw"
	"$BPFTOOL" btf dump file "$BTF" format raw >"$scratch/kernel.raw"

	{
		# Structs before the attribute that makes accesses relocatable.
		awk '/preserve_access_index/ { exit } /^struct [a-z_0-9]* \{$/ { print "fixed", $2 }' "$HEADER"
		# Fields that may be missing, and the structs that are reached only through them.
		sed -n 's/.*bpf_core_field_exists([^)]*[>.]\([a-z_0-9]*\)).*/\1/p' bpf/*.[ch] | sort -u |
			while read -r field; do
				echo "optional $field"
				sed -n "s/.*struct \([a-z_0-9]*\) \*$field;.*/optional_struct \1/p" "$HEADER"
			done
	} >"$scratch/rules"

	awk '
		FILENAME == ARGV[1] {
			if ($1 == "fixed") fixed[$2] = 1
			else if ($1 == "optional") optional[$2] = 1
			else optional_struct[$2] = 1
			next
		}
		FNR == 1 { side = (FILENAME == ARGV[2] ? "h" : "k") }
		/^\[/ {
			id = side substr($1, 2, length($1) - 2)
			kind[id] = $2
			split($0, quoted, "\047")
			name[id] = quoted[2]
			vlen[id] = 0
			target[id] = ($0 ~ /type_id=/) ? side field_of("type_id") : ""
			if (($2 == "STRUCT" || $2 == "UNION") && name[id] != "(anon)") {
				if (side == "k") by_name[$2, name[id]] = id
				else local[++nlocal] = id
			}
			next
		}
		kind[id] == "STRUCT" || kind[id] == "UNION" {
			split($0, quoted, "\047")
			i = ++vlen[id]
			member[id, i] = quoted[2]
			type[id, i] = side field_of("type_id")
			offset[id, i] = field_of("bits_offset")
			next
		}
		kind[id] ~ /^ENUM/ {
			split($0, quoted, "\047")
			if (side == "k") value[quoted[2]] = value[quoted[2]] " " field_of("val") " "
			else { constant[++nconstants] = quoted[2]; wanted[nconstants] = field_of("val") }
		}

		function field_of(key,   at) {
			at = substr($0, index($0, key "=") + length(key) + 1)
			sub(/[^-0-9].*/, "", at)
			return at
		}

		# Through typedefs and qualifiers to what it is.
		function stripped(id) {
			while (kind[id] ~ /^(TYPEDEF|CONST|VOLATILE|RESTRICT|TYPE_TAG)$/) id = target[id]
			return id
		}

		function is_record(id) { return kind[id] == "STRUCT" || kind[id] == "UNION" }

		# Finds a member of that name, also in nameless records inside; sets found_type and found_offset.
		function find(id, what, base,   i) {
			for (i = 1; i <= vlen[id]; i++) {
				if (member[id, i] == what) {
					found_type = type[id, i]
					found_offset = base + offset[id, i]
					return 1
				}
				if (member[id, i] == "(anon)" && find(stripped(type[id, i]), what, base + offset[id, i]))
					return 1
			}
			return 0
		}

		function complain(text) { print "differs: " text; bad++ }

		# Every member of our record mine must be in the kernel record theirs.
		function compare(mine, theirs, path, base, all,   i, inner) {
			for (i = 1; i <= vlen[mine]; i++) {
				inner = stripped(type[mine, i])
				if (member[mine, i] == "(anon)") {
					if (is_record(inner)) compare(inner, theirs, path, base + offset[mine, i], all)
					continue
				}
				checked++
				if (!find(theirs, member[mine, i], 0)) {
					if (member[mine, i] in optional)
						print "note: " path "." member[mine, i] " is not in this kernel; the programs ask before they use it"
					else
						complain(path "." member[mine, i])
					continue
				}
				if (all && found_offset != base + offset[mine, i])
					complain(path "." member[mine, i] " at bit " base + offset[mine, i] ": the kernel has it at bit " found_offset)
				if (is_record(inner) && name[inner] == "(anon)")
					compare(inner, stripped(found_type), path "." member[mine, i], 0, 0)
			}
		}

		END {
			for (n = 1; n <= nlocal; n++) {
				what = name[local[n]]
				if ((kind[local[n]], what) in by_name)
					compare(local[n], by_name[kind[local[n]], what], "struct " what, 0, what in fixed)
				else if (what in optional_struct)
					print "note: struct " what " is not in this kernel; the programs ask before they use it"
				else
					complain("struct " what)
			}
			for (n = 1; n <= nconstants; n++) {
				checked++
				if (!(constant[n] in value))
					complain(constant[n])
				else if (index(value[constant[n]], " " wanted[n] " ") == 0)
					complain(constant[n] " = " wanted[n] ": the kernel has" value[constant[n]])
			}
			print nlocal " structs, " checked " fields and values checked, " bad + 0 " differ"
			exit bad > 0 || nlocal == 0
		}
	' "$scratch/rules" "$scratch/header.raw" "$scratch/kernel.raw"
}

case ${1---check} in
--check) check ;;
--print) print_definitions ;;
*) usage ;;
esac
