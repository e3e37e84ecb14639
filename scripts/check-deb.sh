#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Goes through the Debian package's life on a fresh machine (scripts/lib/machine.sh): installed it starts and attaches
# nothing; the demo runs; an upgrade leaves groups steered and the configuration as it was changed; removed it leaves no
# group steered; purged it leaves nothing at all. As root.
#
#	scripts/check-deb.sh              build it, and check that lintian has nothing to say of it
#	scripts/check-deb.sh PACKAGE      this one, which is built already
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib/machine.sh
. scripts/lib/machine.sh

# --- there ---

say() {
	printf '    %s\n' "$*"
}

die() {
	echo "check-deb: $*" >&2
	exit 1
}

quiet() {
	"$@" >/tmp/said 2>&1 || {
		cat /tmp/said >&2
		die "failed: $*"
	}
}

steered() {
	steadyport list --json | tr -d ' \n'
}

# Every file with its mode, owner and content, but what changes by itself.
everything() {
	find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /archive -o -path /root -o \
		-path /var/log -o -path /var/cache -o -path '/var/lib/dpkg/*-old' -o -path /var/lib/dpkg/status -o \
		-path '/var/lib/dpkg/lock*' -o -path /var/lib/dpkg/triggers -o -path /etc/ld.so.cache \) -prune -o \
		-printf '%p %M %u:%g %l ' \( -type f -exec sha256sum -z {} \; -o -true \) -printf '\n' |
		tr '\0' '\n' | sort
}

# As a server that was there before, on a port that nobody else has.
start_nginx() {
	cat >/root/nginx.conf <<-'END'
		worker_processes 2;
		pid /run/check.pid;
		events {}
		http {
			server {
				listen 127.0.0.1:8080 reuseport;
				location / { return 200 "here"; }
			}
		}
	END
	quiet nginx -c /root/nginx.conf
}

serves() {
	local answer

	exec 3<>/dev/tcp/127.0.0.1/8080
	printf 'GET / HTTP/1.0\r\n\r\n' >&3
	answer=$(cat <&3)
	exec 3>&-
	[[ $answer == *'200 OK'*here ]]
}

live_through() {
	local package=$1 demo conf=/etc/steadyport/steadyport.conf

	quiet apt-get update -qq
	quiet apt-get install -y nginx procps
	quiet apt-get satisfy -y --no-install-recommends "$(dpkg-deb -f "$package" Depends)"
	start_nginx
	everything >/root/before

	quiet dpkg -i "$package"
	[[ -e $conf ]] || die "there is no $conf"
	[[ ! -e /sys/fs/bpf/steadyport ]] || die "something is pinned though nobody has asked for it"
	! pgrep -x steadyport >/dev/null || die "something was started"
	! compgen -G '/etc/systemd/system/*/steadyport.service' || die "it was enabled"
	steadyport run --check >/dev/null || die "the configuration has errors"
	say "installed: nothing is started, enabled or attached"

	demo=$(steadyport demo --json | tr -d ' \n') || die "the demo has failed"
	[[ $demo == *'"steadyport":{'*'"moved":0,'*'"steadyport":{'*'"reset":0,'*'"holds":true'* ]] ||
		die "the demo: $demo"
	say "the demo: no flow moved, no connection reset"

	echo '# mine' >>"$conf"
	quiet steadyport attach web tcp:127.0.0.1:8080
	quiet dpkg -i "$package"
	[[ $(steered) == *'"name":"web"'* ]] || die "after an upgrade web is not steered: $(steered)"
	[[ $(tail -n 1 "$conf") == '# mine' ]] || die "an upgrade has replaced the configuration"
	serves || die "nginx does not serve after an upgrade"
	say "upgraded: web is steered, the configuration is as it was changed"

	quiet dpkg -r steadyport
	[[ ! -e /sys/fs/bpf/steadyport/web ]] || die "removed, but web is still pinned"
	serves || die "nginx does not serve after removal"
	[[ $(tail -n 1 "$conf") == '# mine' ]] || die "removal has taken the configuration"
	quiet dpkg -P steadyport
	everything >/root/after
	diff -u --label before --label purged /root/before /root/after || die "purged, but not without residue"
	[[ -z $(find /sys/fs/bpf -mindepth 1 ! -name '*.debug') ]] || die "purged, but there are pins"
	say "removed: web has the kernel's hash, nginx serves; purged: $(wc -l </root/before) files as before"

	# Pins of a group that could not be detached, and files that an administrator put beside the configuration.
	quiet dpkg -i "$package"
	mkdir -p /sys/fs/bpf/steadyport/broken/inner
	touch /etc/steadyport/mine.conf
	dpkg -r steadyport >/root/removal 2>&1 || die "cannot be removed: $(cat /root/removal)"
	grep -q 'broken could not be detached' /root/removal || die "removal does not name the group that it left"
	quiet dpkg -P steadyport
	[[ ! -e /etc/steadyport && ! -e /sys/fs/bpf/steadyport ]] || die "purged, but something is left"
	say "purged: also what had to be left at removal"
}

if [[ ${1-} == --there ]]; then
	live_through /root/steadyport.deb
	exit
fi

# --- here ---

(($# <= 1)) || {
	sed -n 's/^#	\(scripts.*\)/\1/p' "$0" >&2
	exit 2
}
scratch=$(mktemp -d)
trap 'rm -rf --one-file-system "$scratch"' EXIT

package=${1-}
if [[ ! $package ]]; then
	DEB_BUILD_OPTIONS="nocheck ${DEB_BUILD_OPTIONS-}" LINTIAN=yes scripts/build-deb.sh "$scratch" >"$scratch/log" 2>&1 || {
		cat "$scratch/log" >&2
		exit 1
	}
	package=$(compgen -G "$scratch/steadyport_*.deb")
	say "built ${package##*/}: lintian has nothing to say"
fi

root=$scratch/root
# shellcheck disable=SC2046 # words
machine_make "$root" nginx procps \
	$(dpkg-deb -f "$package" Depends | tr ',' '\n' | sed 's/[(|].*//')
cp "$package" "$root/root/steadyport.deb"
install -D -t "$root/root/scripts" scripts/check-deb.sh
install -D -t "$root/root/scripts/lib" scripts/lib/machine.sh
machine_run "$root" bash /root/scripts/check-deb.sh --there
