# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What zsh would offer for a line, one candidate on a line: a shell on a terminal of its own gets the line and a Tab.
#
#	zsh -f completion/zsh.zsh DIRECTORY LINE DUMP
#
# DUMP: a file that compinit writes if it is not there: with it, it is ready ten times as fast.
zmodload zsh/zpty
scratch=$(mktemp -d)
# compadd is what all completion functions end in.
cat >$scratch/setup <<END
fpath=($1 \$fpath)
autoload -U compinit
compinit -C -d $3
compadd() {
	local -a found
	if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then
		builtin compadd "\$@"
		return
	fi
	builtin compadd -A found "\$@"
	((\$#found)) && print -rl -- "\${(Q)found[@]}" >>$scratch/found
}
report() {
	zle complete-word
	: >$scratch/done
	exit
}
zle -N report
bindkey '^I' report
: >$scratch/ready
END

wait_for() {
	local -F deadline=$((SECONDS + 30))

	until [[ -e $scratch/$1 ]]; do
		((SECONDS < deadline)) || {
			print -u 2 "waited in vain for $1"
			rm -r $scratch
			exit 1
		}
		sleep 0.01
	done
}
typeset -F SECONDS
zpty shell zsh -f -i
zpty -w shell ". $scratch/setup"
wait_for ready
zpty -w -n shell "$2"$'\t'
wait_for done
zpty -d shell
[[ ! -e $scratch/found ]] || sort -u $scratch/found
rm -r $scratch
