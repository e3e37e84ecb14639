// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* steadyport flows: the kept flows of a group, counted by slot or listed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <bpf/bpf.h>
#include <steadyport/choose.h>
#include "cleanup.h"
#include "cmd.h"
#include "kept.h"
#include "kernel.h"
#include "log.h"
#include "members.h"
#include "reconcile.h"
#include "render.h"
#include "snapshot.h"
#include "value.h"

#define NS_PER_S 1000000000ULL

/* What the flow table holds for one slot. */
struct tally {
	__u64 kept;
	__u64 redundant; /* of these: where the current view would put them, too */
	__u64 expired; /* still in the table, not in force */
	__u64 stale;
	__u32 idle_s; /* of the one in force that was silent for longest */
};

struct report {
	struct sp_snapshot snapshot;
	struct sp_plan_slots *slots;
	struct sp_kept kept;
	struct tally tallies[SP_SLOTS_MAX];
	struct tally all;
	__u64 evicted;
	__u32 room; /* entries of the flow table */
};

static void free_report(struct report **r)
{
	if (!*r)
		return;
	sp_snapshot_free(&(*r)->snapshot);
	sp_kept_free(&(*r)->kept);
	free((*r)->slots);
	free(*r);
}

static void tally(struct report *r, struct tally *t, const struct sp_kept_flow *flow)
{
	t->stale += flow->is_stale;
	t->expired += !flow->is_stale && flow->is_expired;
	if (!sp_kept_is_in_force(flow))
		return;
	t->kept++;
	t->redundant += sp_kept_is_redundant(flow, sp_state_current(r->snapshot.state), r->slots);
	if (flow->idle_s > t->idle_s)
		t->idle_s = flow->idle_s;
}

static int count_evicted(struct report *r)
{
	sp_autofree struct sp_counters *rows = NULL;
	__u32 nrows;
	int err = sp_state_counters(&r->snapshot.pins, &rows, &nrows);

	if (!err)
		r->evicted = sp_kept_forgotten(&r->kept, rows, nrows);
	return err;
}

static int read_report(const struct sp_args *args, const struct sp_groups *groups, struct report *r)
{
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);
	int err;

	err = sp_snapshot_take(args->bpffs, args->args[0], groups, &r->snapshot);
	if (err)
		return err;
	r->slots = calloc(1, sizeof(*r->slots));
	if (!r->slots)
		return sp_fail(-ENOMEM, "cannot look at %s", args->args[0]);
	sp_reconcile_slots(r->snapshot.state, r->slots);
	err = sp_kept_read(&r->snapshot.pins, r->snapshot.state, &r->kept);
	err = err ?: count_evicted(r);
	if (err)
		return err;
	if (bpf_obj_get_info_by_fd(r->snapshot.pins.flows, &info, &len) == 0)
		r->room = info.max_entries;
	for (size_t i = 0; i < r->kept.count; i++) {
		const struct sp_kept_flow *flow = &r->kept.flows[i];

		tally(r, &r->tallies[flow->slot], flow);
		tally(r, &r->all, flow);
	}
	return 0;
}

/* Known to the table, or in use: worth a line. */
static bool is_shown(const struct report *r, const struct sp_args *args, __u32 slot)
{
	const struct tally *t = &r->tallies[slot];

	if (args->slot >= 0)
		return slot == (__u32)args->slot;
	return t->kept || t->expired || t->stale ||
	       sp_snapshot_slot_state(&r->snapshot, slot) != SP_SLOT_FREE;
}

static bool is_listed(const struct sp_args *args, const struct sp_kept_flow *flow)
{
	return sp_kept_is_in_force(flow) && (args->slot < 0 || flow->slot == (__u32)args->slot);
}

/* "3f90aa64c1d2e5b7": as `where` shows it */
static const char *hash_text(__u64 hash, char buf[SP_RENDER_STRLEN])
{
	snprintf(buf, SP_RENDER_STRLEN, "%016llx", hash);
	return buf;
}

static json_t *json_tally(const struct report *r, __u32 slot)
{
	const struct tally *t = &r->tallies[slot];

	return json_pack("{s:I, s:s, s:o, s:I, s:I, s:I, s:I, s:I}", "slot", (json_int_t)slot, "state",
			 sp_snapshot_state_name(sp_snapshot_slot_state(&r->snapshot, slot)), "owners",
			 sp_snapshot_json_owners(&r->snapshot, slot), "kept", (json_int_t)t->kept,
			 "redundant", (json_int_t)t->redundant, "expired", (json_int_t)t->expired, "stale",
			 (json_int_t)t->stale, "idle_max_s", (json_int_t)t->idle_s);
}

static json_t *json_flow(const struct report *r, const struct sp_kept_flow *flow)
{
	char hash[SP_RENDER_STRLEN];

	return json_pack("{s:s, s:I, s:I, s:I, s:b}", "hash", hash_text(flow->hash, hash), "bucket",
			 (json_int_t)sp_bucket(flow->hash), "slot", (json_int_t)flow->slot, "idle_s",
			 (json_int_t)flow->idle_s, "redundant",
			 sp_kept_is_redundant(flow, sp_state_current(r->snapshot.state), r->slots));
}

static int print_json(const struct report *r, const struct sp_args *args)
{
	json_t *slots = json_array(), *flows = args->all || args->slot >= 0 ? json_array() : json_null();
	int err = 0;

	for (__u32 slot = 0; !err && slot < SP_SLOTS_MAX; slot++)
		if (is_shown(r, args, slot))
			err = json_array_append_new(slots, json_tally(r, slot));
	for (size_t i = 0; !err && json_is_array(flows) && i < r->kept.count; i++)
		if (is_listed(args, &r->kept.flows[i]))
			err = json_array_append_new(flows, json_flow(r, &r->kept.flows[i]));
	if (err) {
		json_decref(slots);
		json_decref(flows);
		return sp_fail(-ENOMEM, "cannot list the flows of %s", args->args[0]);
	}
	return sp_render_json_print(
		json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "name", r->snapshot.pins.name,
			  "track", sp_value_track_name(r->snapshot.state->ctl.track), "flow_idle_s",
			  (json_int_t)r->snapshot.state->ctl.flow_idle_s, "room", (json_int_t)r->room,
			  "entries", (json_int_t)r->kept.count, "kept_flows", (json_int_t)r->all.kept,
			  "evicted", (json_int_t)r->evicted, "slots", slots, "flows", flows));
}

static int print_slots(const struct report *r, const struct sp_args *args)
{
	static const struct sp_render_column columns[] = {
		{ "SLOT", true },      { "STATE", false },  { "OWNER", false }, { "KEPT", true },
		{ "REDUNDANT", true }, { "EXPIRED", true }, { "STALE", true },	{ "SILENT FOR", true },
	};
	sp_autotable struct sp_render_table *table = sp_render_table_new(columns, SP_ARRAY_SIZE(columns));
	char owner[SP_OWNER_STRLEN], number[SP_RENDER_STRLEN];

	for (__u32 slot = 0; slot < SP_SLOTS_MAX; slot++) {
		const struct tally *t = &r->tallies[slot];

		if (!is_shown(r, args, slot))
			continue;
		sp_render_cell(table, SP_PLAIN, "%u", slot);
		sp_render_cell(table, SP_PLAIN, "%s",
			       sp_snapshot_state_name(sp_snapshot_slot_state(&r->snapshot, slot)));
		sp_render_cell(table, SP_PLAIN, "%s", sp_snapshot_owner(&r->snapshot, slot, owner));
		sp_render_cell(table, SP_PLAIN, "%s", sp_render_count(t->kept, number));
		sp_render_cell(table, SP_PLAIN, "%s", sp_render_count(t->redundant, number));
		sp_render_cell(table, SP_PLAIN, "%s", sp_render_count(t->expired, number));
		sp_render_cell(table, SP_PLAIN, "%s", sp_render_count(t->stale, number));
		sp_render_cell(table, SP_PLAIN, "%s",
			       t->kept ? sp_render_duration(t->idle_s * NS_PER_S, number) : "-");
	}
	return sp_render_table_print(table);
}

static int print_flows(const struct report *r, const struct sp_args *args)
{
	static const struct sp_render_column columns[] = {
		{ "HASH", false },	{ "BUCKET", true }, { "SLOT", true },
		{ "SILENT FOR", true }, { "", false },
	};
	sp_autotable struct sp_render_table *table = sp_render_table_new(columns, SP_ARRAY_SIZE(columns));
	char text[SP_RENDER_STRLEN];

	for (size_t i = 0; i < r->kept.count; i++) {
		const struct sp_kept_flow *flow = &r->kept.flows[i];

		if (!is_listed(args, flow))
			continue;
		sp_render_cell(table, SP_PLAIN, "%s", hash_text(flow->hash, text));
		sp_render_cell(table, SP_PLAIN, "%u", sp_bucket(flow->hash));
		sp_render_cell(table, SP_PLAIN, "%u", flow->slot);
		sp_render_cell(table, SP_PLAIN, "%s", sp_render_duration(flow->idle_s * NS_PER_S, text));
		sp_render_cell(table, SP_PLAIN, "%s",
			       sp_kept_is_redundant(flow, sp_state_current(r->snapshot.state), r->slots) ?
				       "redundant" :
				       "");
	}
	return sp_render_table_print(table);
}

static int print_text(const struct report *r, const struct sp_args *args)
{
	char kept[SP_RENDER_STRLEN], number[SP_RENDER_STRLEN];
	const struct sp_ctl *ctl = &r->snapshot.state->ctl;
	int err;

	if (ctl->protocol == SP_TCP) {
		sp_render_line("%s is a TCP group: connections need no table, none is kept", args->args[0]);
		return 0;
	}
	sp_render_line("%s   %s kept flow%s   room for %u", args->args[0], sp_render_count(r->all.kept, kept),
		       r->all.kept == 1 ? "" : "s", r->room);
	err = print_slots(r, args);
	if (!err && (args->all || args->slot >= 0) && r->all.kept)
		err = print_flows(r, args);
	if (err)
		return err;
	if (r->all.expired && ctl->flow_idle_s)
		sp_render_line(
			"%s flow%s silent for more than %s: forgotten with the next steadyport sync %s",
			sp_render_count(r->all.expired, number), r->all.expired == 1 ? " is" : "s are",
			sp_render_duration(ctl->flow_idle_s * NS_PER_S, kept), args->args[0]);
	if (r->evicted)
		sp_render_line(
			"The table was full: %s flow%s had to go for others. More room: attach with --flows N",
			sp_render_count(r->evicted, number), r->evicted == 1 ? "" : "s");
	return 0;
}

enum sp_exit sp_cmd_flows(const struct sp_args *args)
{
	__attribute__((cleanup(free_report))) struct report *r = NULL;
	sp_autogroups struct sp_groups *groups = NULL;
	int err;

	err = sp_kernel_check() ?: sp_members_scan(0, &groups);
	if (err)
		return SP_EXIT_FAILED;
	r = calloc(1, sizeof(*r));
	if (!r) {
		sp_fail(-ENOMEM, "cannot list flows");
		return SP_EXIT_FAILED;
	}
	r->snapshot = (struct sp_snapshot)SP_SNAPSHOT_NONE;
	err = read_report(args, groups, r);
	if (err)
		return err == -ENOENT ? SP_EXIT_NO_GROUP : SP_EXIT_FAILED;
	err = args->json ? print_json(r, args) : print_text(r, args);
	return err ? SP_EXIT_FAILED : SP_EXIT_OK;
}
