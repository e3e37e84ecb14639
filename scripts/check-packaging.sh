#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Holds packaging/ against the service manager, the Makefile and the documentation; starts nothing, installs into a
# scratch folder only. Needs build/steadyport and systemd-analyze.
#
#	scripts/check-packaging.sh             check
#	scripts/check-packaging.sh --write     put systemd-analyze's figure into docs/daemon.md, then check
#
# Checked: what `make install` puts where, and that `make uninstall` leaves nothing but a configuration that was
# changed; that the installed units are right and the configuration has no error; the figure of `systemd-analyze
# security` in docs/daemon.md, where this is the systemd that it names.
set -euo pipefail

cd "$(dirname "$0")/.."
readonly PAGE=docs/daemon.md
# The words before the version and before the figure, in a line of their own in $PAGE.
readonly FIGURE='systemd-analyze security'

failed=0
complain() {
	echo "check-packaging: $*" >&2
	failed=1
}

usage() {
	sed -n 's/^#	\(scripts.*\)/\1/p' "$0" >&2
	exit 2
}

(($# <= 1)) || usage
[[ $# == 0 || $1 == --write ]] || usage

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

quiet_make() {
	make --no-print-directory "$@" >"$scratch/make.log" 2>&1 || {
		cat "$scratch/make.log" >&2
		exit 1
	}
}

files_below() {
	(cd "$1" && find . ! -type d -printf '%m %P\n' | sort -k 2)
}

expect_files() {
	local what=$1 difference

	difference=$(diff -u --label expected --label "after $what" - <(files_below "$scratch/root")) && return
	complain "other files than expected after $what"
	printf '%s\n' "$difference" >&2
}

check_install() {
	local at=(DESTDIR="$scratch/root" PREFIX=/opt/steadyport)
	local config=$scratch/root/etc/steadyport/steadyport.conf

	mkdir "$scratch/root"
	# Whatever the umask of who installs.
	(umask 077 && quiet_make install "${at[@]}")
	expect_files "make install" <<-'END'
		644 etc/steadyport/steadyport.conf
		644 opt/steadyport/lib/systemd/system/steadyport.service
		755 opt/steadyport/sbin/steadyport
		644 opt/steadyport/share/bash-completion/completions/steadyport
		644 opt/steadyport/share/doc/steadyport/netns.conf
		644 opt/steadyport/share/doc/steadyport/server.conf
		644 opt/steadyport/share/man/man5/steadyport.conf.5
		644 opt/steadyport/share/man/man7/steadyport-bpf.7
		644 opt/steadyport/share/man/man8/steadyport.8
		644 opt/steadyport/share/zsh/site-functions/_steadyport
	END
	! grep -rn /usr/sbin/ "$scratch/root" --include='*.service' --include='*.conf' ||
		complain "these paths are not those of PREFIX"
	quiet_make uninstall "${at[@]}"
	expect_files "make uninstall" </dev/null

	quiet_make install "${at[@]}"
	echo '# mine' >>"$config"
	quiet_make install "${at[@]}"
	quiet_make uninstall "${at[@]}"
	expect_files "make uninstall with a configuration that was changed" <<<'644 etc/steadyport/steadyport.conf'
	[[ $(tail -n 1 "$config") == '# mine' ]] || complain "a second make install has replaced the configuration"
}

# Any word of systemd-analyze's is a complaint: it exits 0 for keys that it does not know.
verify() {
	local said

	said=$(systemd-analyze verify "$@" 2>&1) && [[ -z $said ]] && return
	complain "systemd-analyze verify: $said"
}

# Installed where the paths of the units lead, so that systemd-analyze finds what they start.
install_really() {
	quiet_make install DESTDIR= PREFIX="$scratch/usr" SYSCONFDIR="$scratch/etc"
	units=$scratch/usr/lib/systemd/system
	examples=$scratch/usr/share/doc/steadyport
}

check_units() {
	verify "$units/steadyport.service"
	install -D -m 0644 "$examples/netns.conf" "$units/steadyport.service.d/netns.conf"
	verify "$units/steadyport.service"
	rm -r "$units/steadyport.service.d"
	install -D -m 0644 "$examples/server.conf" "$units/myserver.service.d/steadyport.conf"
	printf '[Service]\nExecStart=/bin/true\n' >"$units/myserver.service"
	verify "$units/myserver.service"
}

check_config() {
	local binary=$scratch/usr/sbin/steadyport config=$scratch/etc/steadyport/steadyport.conf

	"$binary" run --check --config "$config" >/dev/null || complain "packaging/steadyport.conf has errors"
	# Every line that is to be had by taking its # away.
	sed 's/^#\([a-z[]\)/\1/' "$config" >"$scratch/all.conf"
	[[ $("$binary" run --check --config "$scratch/all.conf") == *': 1 group, no errors' ]] ||
		complain "packaging/steadyport.conf has errors in what is commented out"
}

check_figure() {
	local version figure line

	version=$(systemd-analyze --version | awk 'NR == 1 { print $2 }')
	figure=$(systemd-analyze security --offline=true "$units/steadyport.service" |
		sed -n 's/.*Overall exposure level for steadyport.service: \([0-9.]* [A-Z]*\).*/\1/p')
	[[ $figure ]] || complain "systemd-analyze security says no figure"
	line="\`$FIGURE\` of systemd $version rates it $figure."
	[[ $# == 0 ]] || sed -i "s/^\`$FIGURE\` of systemd .* rates it .*\.\$/$line/" "$PAGE"
	if grep -qxF "$line" "$PAGE"; then
		return
	elif grep -q "^\`$FIGURE\` of systemd $version " "$PAGE" || ! grep -q "^\`$FIGURE\` of systemd " "$PAGE"; then
		complain "$PAGE does not have the line: $line (scripts/check-packaging.sh --write makes it)"
	else
		echo "check-packaging: the figure in $PAGE is of another systemd than this one, $version: not compared" >&2
	fi
}

check_install
install_really
check_units
check_config
check_figure "$@"
exit "$failed"
