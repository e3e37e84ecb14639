// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A snapshot with all that is counted beside it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "group.h"
#include "kept.h"
#include "log.h"
#include "netns.h"
#include "reconcile.h"
#include "render.h"
#include "report.h"

void sp_report_free(struct sp_report *r)
{
	sp_snapshot_free(&r->snapshot);
	free(r->slots);
	free(r->rows);
	*r = (struct sp_report)SP_REPORT_NONE;
}

int sp_report_take(const char *bpffs, const char *name, const struct sp_groups *groups, struct sp_report *r)
{
	struct bpf_map_info flows = { 0 };
	__u32 len = sizeof(flows);
	int err;

	err = sp_snapshot_take(bpffs, name, groups, &r->snapshot);
	if (err)
		return err;
	r->slots = calloc(1, sizeof(*r->slots));
	if (!r->slots)
		return sp_fail(-ENOMEM, "cannot look at %s", name);
	sp_reconcile_slots(r->snapshot.state, r->slots);
	for (__u32 slot = 0; slot < SP_SLOTS_MAX; slot++)
		r->count[sp_snapshot_slot_state(&r->snapshot, slot)]++;
	r->outside = sp_group_outside(groups, &r->snapshot.state->ctl, r->snapshot.group, &r->noutside);
	if (!bpf_obj_get_info_by_fd(r->snapshot.pins.flows, &flows, &len))
		r->kept_limit = flows.max_entries;
	err = sp_kept_count_by_slot(&r->snapshot.pins, r->snapshot.state, r->kept);
	if (err)
		return err;
	for (__u32 slot = 0; slot < SP_SLOTS_MAX; slot++)
		r->kept_flows += r->kept[slot];
	return sp_state_counters(&r->snapshot.pins, &r->rows, &r->nrows);
}

const struct sp_counters *sp_report_counters(const struct sp_report *r, __u32 slot)
{
	static const struct sp_counters none;

	/* Slots enrolled beyond the rows that the counters were made with count in the group's row. */
	return slot + 1 < r->nrows ? &r->rows[slot] : &none;
}

const struct sp_counters *sp_report_group_counters(const struct sp_report *r)
{
	return &r->rows[r->nrows - 1];
}

double sp_report_share(const struct sp_report *r, __u32 slot)
{
	return sp_plan_share(sp_state_current(r->snapshot.state), r->slots, slot);
}

__u32 sp_report_moving(const struct sp_report *r)
{
	const struct sp_view *view = sp_state_current(r->snapshot.state);
	__u32 count = 0;

	for (size_t i = 0; i < SP_ARRAY_SIZE(view->moving); i++)
		count += __builtin_popcountll(view->moving[i]);
	return count;
}

__u32 sp_report_hidden(const struct sp_report *r)
{
	const struct sp_group *group = r->snapshot.group;

	return group && group->size > group->nmembers ? group->size - group->nmembers : 0;
}

/* --- sentences --- */

const char *sp_report_place(const struct sp_report *r, char buf[SP_REPORT_STRLEN])
{
	char endpoint[SP_ENDPOINT_STRLEN], netns[SP_NETNS_STRLEN];
	bool is_host;

	sp_netns_name(r->snapshot.state->ctl.netns_inode, netns);
	is_host = !strcmp(netns, "host");
	snprintf(buf, SP_REPORT_STRLEN, "%s%s%s", sp_snapshot_endpoint(&r->snapshot, ' ', endpoint),
		 is_host ? "" : " in netns ", is_host ? "" : netns);
	return buf;
}

const char *sp_report_slots(const struct sp_report *r, char buf[SP_REPORT_STRLEN])
{
	static const enum sp_slot_state states[] = { SP_SLOT_LIVE, SP_SLOT_DRAINING, SP_SLOT_EJECTED,
						     SP_SLOT_DEAD };
	__u32 all = SP_SLOTS_MAX - r->count[SP_SLOT_FREE] - r->count[SP_SLOT_PARKED];
	const char *separator = ": ";
	size_t len;

	len = snprintf(buf, SP_REPORT_STRLEN, "%u slot%s", all, all == 1 ? "" : "s");
	for (size_t i = 0; i < SP_ARRAY_SIZE(states); i++) {
		if (!r->count[states[i]])
			continue;
		len += snprintf(buf + len, SP_REPORT_STRLEN - len, "%s%u %s", separator, r->count[states[i]],
				sp_snapshot_state_name(states[i]));
		separator = ", ";
	}
	if (r->count[SP_SLOT_PARKED])
		snprintf(buf + len, SP_REPORT_STRLEN - len, ", parking");
	return buf;
}

const char *sp_report_program(const struct sp_report *r, char buf[SP_REPORT_STRLEN])
{
	const struct sp_snapshot *s = &r->snapshot;
	__u64 since = s->state->ctl.attached_at;
	char age[SP_RENDER_STRLEN];

	if (!sp_snapshot_is_attached(s))
		snprintf(buf, SP_REPORT_STRLEN, "program %u not attached", s->program_id);
	else if (since && since <= s->wall_ns)
		snprintf(buf, SP_REPORT_STRLEN, "program %u attached %s ago", s->program_id,
			 sp_render_duration(s->wall_ns - since, age));
	else
		snprintf(buf, SP_REPORT_STRLEN, "program %u attached", s->program_id);
	return buf;
}
