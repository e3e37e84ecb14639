#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Holds packaging/grafana/steadyport.json, and the expressions in docs/metrics.md, against the lists that all metrics are
# made from: every metric that a query names exists, and has the labels by which the query picks and sums. Needs jq; with
# promtool, every query is also parsed.
#
#	scripts/check-dashboard.sh
set -euo pipefail

cd "$(dirname "$0")/.."
readonly DASHBOARD=packaging/grafana/steadyport.json
# Prometheus' own, and the histogram's.
readonly ANYONES='instance job __name__'

failed=0
complain() {
	echo "check-dashboard: $*" >&2
	failed=1
}

(($# == 0)) || {
	sed -n 's/^#	\(scripts.*\)/\1/p' "$0" >&2
	exit 2
}

declare -A labels_of
while IFS='|' read -r name type labels; do
	labels_of[steadyport_$name]=${labels//,/}
	if [[ $type == HISTOGRAM ]]; then
		labels_of[steadyport_${name}_bucket]=${labels//,/}
		labels_of[steadyport_${name}_sum]=
		labels_of[steadyport_${name}_count]=
	fi
done < <(sed -nE 's/^SP_METRIC\([A-Z_]+, "([a-z_]+)", ([A-Z]+), "([a-z, ]*)".*/\1|\2|\3/p' loader/metrics.def)
while IFS= read -r name; do
	labels_of[steadyport_${name}_total]='group slot'
done < <(sed -nE 's/^SP_COUNTER\(([a-z_]+),.*/\1/p' include/steadyport/counters.def)
((${#labels_of[@]} > 40)) || complain "only ${#labels_of[@]} metrics found in the lists"

# A pattern stands for each name that it makes: steadyport_(a|b)_total
names_in() {
	local name words word

	grep -oE 'steadyport_\([a-z_|]+\)[a-z_]*|steadyport_[a-z_]+' <<<"$1" | while IFS= read -r name; do
		if [[ $name =~ ^(.*)\((.*)\)(.*)$ ]]; then
			IFS='|' read -ra words <<<"${BASH_REMATCH[2]}"
			for word in "${words[@]}"; do
				echo "${BASH_REMATCH[1]}$word${BASH_REMATCH[3]}"
			done
		else
			echo "$name"
		fi
	done
}

# check_query WHERE QUERY
check_query() {
	local where=$1 query=$2 name label known=" $ANYONES " names

	mapfile -t names < <(names_in "$query")
	((${#names[@]} > 0)) || complain "$where names no metric: $query"
	for name in "${names[@]}"; do
		if [[ -v labels_of[$name] ]]; then
			known+="${labels_of[$name]} "
		else
			complain "$where: there is no metric $name: $query"
		fi
	done
	while IFS= read -r label; do
		[[ $known == *" $label "* ]] || complain "$where: no metric there has the label $label: $query"
	done < <({
		grep -oE '[a-z_]+ *(=~|!~|!=|=)"' <<<"$query" | sed -E 's/ *[=!~]+"//'
		grep -oE '\bby \([a-z_, ]+\)' <<<"$query" | sed -E 's/by \(|\)//g' | tr -s ', ' '\n'
	} | sort -u | sed '/^$/d')
}

jq -e . "$DASHBOARD" >/dev/null || exit 1
queries=()
while IFS=$'\t' read -r title query; do
	check_query "$title" "$query"
	queries+=("$query")
done < <(jq -r '.panels[] | .title as $t | (.targets // [])[] | [$t, .expr] | @tsv' "$DASHBOARD" | sed 's/\\\\/\\/g')
((${#queries[@]} > 20)) || complain "only ${#queries[@]} queries found in $DASHBOARD"
while IFS= read -r query; do
	check_query "a variable" "${query#label_values(}"
done < <(jq -r '.templating.list[] | .definition // empty' "$DASHBOARD")
# shellcheck disable=SC2016 # the backticks are Markdown's
while IFS= read -r query; do
	check_query docs/metrics.md "$query"
done < <(grep -oE '`[^`]*steadyport_[^`]*`' docs/metrics.md | tr -d '`' | grep '[({]' || true)

if command -v promtool >/dev/null; then
	rules=$(mktemp --suffix=.yaml)
	trap 'rm -f "$rules"' EXIT
	{
		printf 'groups:\n- name: dashboard\n  rules:\n'
		for i in "${!queries[@]}"; do
			query=${queries[i]//\$__rate_interval/5m}
			printf "  - record: 'query:%s'\n    expr: '%s'\n" "$i" "${query//\'/\'\'}"
		done
	} >"$rules"
	said=$(promtool check rules "$rules" 2>&1) || complain "promtool: $said"
fi
exit "$failed"
