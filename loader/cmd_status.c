// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* steadyport status: one steered group, slot by slot, and in sentences what its operator must know. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "cleanup.h"
#include "cmd.h"
#include "kernel.h"
#include "log.h"
#include "members.h"
#include "netns.h"
#include "render.h"
#include "report.h"
#include "snapshot.h"
#include "tags.h"
#include "value.h"

#define NS_PER_MS 1000000
#define SLOTS_NAMED 8 /* slots that a sentence names one by one */
#define TEXT_STRLEN 256

/* null: nobody counts */
static json_t *json_active(const struct sp_snapshot *s, __u32 slot)
{
	return s->state->ctl.balance == SP_BALANCE_LEAST_CONN ? json_integer(sp_tags_active(&s->pins, slot)) :
								json_null();
}

static json_t *json_slot(const struct sp_report *r, __u32 slot)
{
	const struct sp_snapshot *s = &r->snapshot;
	const struct sp_member *member = sp_snapshot_member(s, slot);
	const struct sp_info *info = &s->state->info[slot];

	return json_pack("{s:I, s:s, s:I, s:o, s:I, s:f, s:I, s:I, s:o, s:I, s:I, s:o}", "slot",
			 (json_int_t)slot, "state", sp_snapshot_state_name(sp_snapshot_slot_state(s, slot)),
			 "cookie", (json_int_t)info->cookie, "owners", sp_snapshot_json_owners(s, slot),
			 "weight", (json_int_t)info->weight, "share", sp_report_share(r, slot), "backlog",
			 (json_int_t)(member ? member->backlog : 0), "backlog_max",
			 (json_int_t)(member ? member->backlog_max : 0), "active", json_active(s, slot),
			 "drops", (json_int_t)(member ? member->drops : 0), "incarnation",
			 (json_int_t)info->incarnation, "counters",
			 sp_render_json_counters(sp_report_counters(r, slot)));
}

static json_t *json_slots(const struct sp_report *r)
{
	json_t *slots = json_array();

	for (__u32 slot = 0; slots && slot < SP_SLOTS_MAX; slot++) {
		if (sp_snapshot_slot_state(&r->snapshot, slot) == SP_SLOT_FREE)
			continue;
		if (json_array_append_new(slots, json_slot(r, slot))) {
			json_decref(slots);
			return NULL;
		}
	}
	return slots;
}

/* Classic BPF has no id: 0. */
static json_t *json_foreign(const struct sp_snapshot *s)
{
	return sp_snapshot_is_foreign(s) ? json_integer(s->group->prog_id) : json_null();
}

static json_t *json_foreign_uid(const struct sp_snapshot *s)
{
	return sp_snapshot_is_other_user(s) ? json_integer(s->group->uid) : json_null();
}

static int print_json(const struct sp_report *r)
{
	const struct sp_snapshot *s = &r->snapshot;
	const struct sp_view *view = sp_state_current(s->state);
	__u64 remaining = sp_snapshot_learn_remaining_ns(s);
	char endpoint[SP_ENDPOINT_STRLEN], netns[SP_NETNS_STRLEN];

	return sp_render_json_print(json_pack(
		"{s:s, s:s, s:s, s:o, s:b, s:I, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:b, s:I, s:I, s:s, s:s, s:s, "
		"s:I, s:I, s:o, s:o}",
		"name", s->pins.name, "endpoint", sp_snapshot_endpoint(s, ':', endpoint), "protocol",
		sp_protocol_name(s->state->ctl.protocol), "netns",
		sp_render_json_text(sp_netns_name(s->state->ctl.netns_inode, netns)), "attached",
		sp_snapshot_is_attached(s), "program_id", (json_int_t)s->program_id, "foreign_program_id",
		json_foreign(s), "foreign_uid", json_foreign_uid(s), "members",
		(json_int_t)sp_snapshot_size(s), "members_not_visible", (json_int_t)sp_report_hidden(r),
		"enrolled",
		(json_int_t)(r->count[SP_SLOT_LIVE] + r->count[SP_SLOT_DRAINING] + r->count[SP_SLOT_EJECTED]),
		"unenrolled", (json_int_t)sp_snapshot_count_unenrolled(s), "outside", (json_int_t)r->noutside,
		"learning", remaining > 0, "learn_remaining_ms",
		(json_int_t)((remaining + NS_PER_MS - 1) / NS_PER_MS), "kept_flows",
		(json_int_t)r->kept_flows, "hash", sp_value_hash_name(s->state->ctl.hash), "track",
		sp_value_track_name(s->state->ctl.track), "balance",
		sp_value_balance_name(s->state->ctl.balance), "moving_buckets",
		(json_int_t)sp_report_moving(r), "view_serial", (json_int_t)view->serial, "slots",
		json_slots(r), "group_counters", sp_render_json_counters(sp_report_group_counters(r))));
}

static void print_head(const struct sp_report *r)
{
	const struct sp_snapshot *s = &r->snapshot;
	char place[SP_REPORT_STRLEN], slots[SP_REPORT_STRLEN], program[SP_REPORT_STRLEN];
	char kept[SP_RENDER_STRLEN], tail[TEXT_STRLEN] = "";

	if (s->state->ctl.protocol == SP_UDP)
		snprintf(tail, sizeof(tail), "   %s kept flow%s", sp_render_count(r->kept_flows, kept),
			 r->kept_flows == 1 ? "" : "s");
	else if (s->state->ctl.balance != SP_BALANCE_HASH)
		snprintf(tail, sizeof(tail), "   balance %s", sp_value_balance_name(s->state->ctl.balance));
	sp_render_line("%s   %s   %s   %s%s", s->pins.name, sp_report_place(r, place),
		       sp_report_slots(r, slots), sp_report_program(r, program), tail);
}

static void cell_count(struct sp_render_table *table, __u64 count)
{
	char number[SP_RENDER_STRLEN];

	sp_render_cell(table, SP_PLAIN, "%s", count ? sp_render_count(count, number) : "-");
}

static void add_slot(struct sp_render_table *table, const struct sp_report *r, __u32 slot)
{
	const struct sp_snapshot *s = &r->snapshot;
	enum sp_slot_state state = sp_snapshot_slot_state(s, slot);
	const struct sp_member *member = sp_snapshot_member(s, slot);
	const struct sp_counters *c = sp_report_counters(r, slot);
	const struct sp_counters *group = sp_report_group_counters(r);
	bool is_udp = s->state->ctl.protocol == SP_UDP, is_by_load = s->state->ctl.balance != SP_BALANCE_HASH;
	char owner[SP_OWNER_STRLEN], number[SP_RENDER_STRLEN];

	sp_render_cell(table, SP_PLAIN, "%u", slot);
	sp_render_cell(table, sp_snapshot_state_colour(state), "%s", sp_snapshot_state_name(state));
	sp_render_cell(table, SP_PLAIN, "%s", sp_snapshot_owner(s, slot, owner));
	if (state == SP_SLOT_PARKED) {
		/* Every worker has a row of its own soon after it was enrolled, so these are the parking socket's. */
		sp_render_cell(table, SP_PLAIN, "-");
		sp_render_cell(table, SP_PLAIN, "-");
		cell_count(table, c->parked + group->parked);
		sp_render_cell(table, SP_PLAIN, "-");
		if (is_by_load)
			sp_render_cell(table, SP_PLAIN, "-");
		cell_count(table, c->migrated + group->migrated);
	} else {
		sp_render_cell(table, SP_PLAIN, "%u", s->state->info[slot].weight);
		sp_render_cell(table, SP_PLAIN, "%s", sp_render_percent(sp_report_share(r, slot), number));
		cell_count(table, c->steered);
		cell_count(table, c->rerouted + c->scanned);
		if (is_by_load)
			cell_count(table, c->placed);
		cell_count(table, is_udp ? c->kept + c->learned : c->migrated);
	}
	if (!member) {
		sp_render_cell(table, SP_PLAIN, "-");
		sp_render_cell(table, SP_PLAIN, "-");
	} else {
		sp_render_cell(table, member->drops ? SP_RED : SP_PLAIN, "%s",
			       sp_render_count(member->drops, number));
		if (is_udp)
			sp_render_cell(table, SP_PLAIN, "%s", sp_render_bytes(member->backlog, number));
		else
			sp_render_cell(table, SP_PLAIN, "%u of %u", member->backlog, member->backlog_max);
	}
	if (s->state->ctl.balance == SP_BALANCE_LEAST_CONN)
		cell_count(table, sp_tags_active(&s->pins, slot));
}

static int print_slots(const struct sp_report *r)
{
	const struct sp_ctl *ctl = &r->snapshot.state->ctl;
	const struct {
		struct sp_render_column column;
		bool is_shown;
	} all[] = {
		{ { "SLOT", true }, true },
		{ { "STATE", false }, true },
		{ { "OWNER", false }, true },
		{ { "WEIGHT", true }, true },
		{ { "SHARE", true }, true },
		{ { "STEERED", true }, true },
		{ { "REROUTED", true }, true },
		{ { "PLACED", true }, ctl->balance != SP_BALANCE_HASH },
		{ { ctl->protocol == SP_UDP ? "KEPT" : "MIGRATED", true }, true },
		{ { "DROPS", true }, true },
		{ { "QUEUE", true }, true },
		{ { "ACTIVE", true }, ctl->balance == SP_BALANCE_LEAST_CONN },
	};
	struct sp_render_column columns[SP_ARRAY_SIZE(all)];
	sp_autotable struct sp_render_table *table = NULL;
	size_t ncolumns = 0;

	for (size_t i = 0; i < SP_ARRAY_SIZE(all); i++)
		if (all[i].is_shown)
			columns[ncolumns++] = all[i].column;
	table = sp_render_table_new(columns, ncolumns);
	for (__u32 slot = 0; slot < SP_SLOTS_MAX; slot++) {
		if (sp_snapshot_slot_state(&r->snapshot, slot) != SP_SLOT_FREE)
			add_slot(table, r, slot);
	}
	return sp_render_table_print(table);
}

/* "0", "0 and 1", "0, 1 and 4", "0, 1, 2 and 9 more": the slots of a state */
static const char *name_slots(const struct sp_report *r, enum sp_slot_state state, char buf[TEXT_STRLEN])
{
	__u32 all = r->count[state], named = all > SLOTS_NAMED ? SLOTS_NAMED : all, n = 0;
	size_t len = 0;

	buf[0] = '\0';
	for (__u32 slot = 0; slot < SP_SLOTS_MAX && n < named; slot++) {
		if (sp_snapshot_slot_state(&r->snapshot, slot) != state)
			continue;
		n++;
		len += snprintf(buf + len, TEXT_STRLEN - len, "%s%u",
				n == 1	 ? "" :
				n == all ? " and " :
					   ", ",
				slot);
	}
	if (all > named)
		snprintf(buf + len, TEXT_STRLEN - len, " and %u more", all - named);
	return buf;
}

static void tell_of_dead_slots(const struct sp_report *r)
{
	const struct sp_snapshot *s = &r->snapshot;
	__u32 dead = r->count[SP_SLOT_DEAD], live = r->count[SP_SLOT_LIVE], slot = 0;
	char names[TEXT_STRLEN], heirs[TEXT_STRLEN], age[SP_RENDER_STRLEN], when[TEXT_STRLEN];
	__u64 died_at;

	while (sp_snapshot_slot_state(s, slot) != SP_SLOT_DEAD)
		slot++;
	died_at = s->state->info[slot].died_at;
	if (dead == 1 && died_at && died_at <= s->wall_ns)
		snprintf(when, sizeof(when), "Slot %u died %s ago", slot,
			 sp_render_duration(s->wall_ns - died_at, age));
	else
		snprintf(when, sizeof(when), "Slot%s %.200s %s dead", dead == 1 ? "" : "s",
			 name_slots(r, SP_SLOT_DEAD, names), dead == 1 ? "is" : "are");
	if (live)
		sp_render_line("%s; %s flows are on slot%s %s. New workers take %s: steadyport sync %s", when,
			       dead == 1 ? "its" : "their", live == 1 ? "" : "s",
			       name_slots(r, SP_SLOT_LIVE, heirs), dead == 1 ? "it" : "them", s->pins.name);
	else
		sp_render_line("%s. New workers take %s: steadyport sync %s", when, dead == 1 ? "it" : "them",
			       s->pins.name);
}

/* Dead in the eyes of the group, but not for its peer. */
static void tell_of_connected(const struct sp_report *r)
{
	const struct sp_member *member;
	char owner[SP_OWNER_STRLEN];

	for (__u32 slot = 0, told = 0; slot < SP_SLOTS_MAX && told < SLOTS_NAMED; slot++) {
		if (sp_snapshot_slot_state(&r->snapshot, slot) != SP_SLOT_DEAD)
			continue;
		member = sp_snapshot_member(&r->snapshot, slot);
		if (!member || !member->is_connected)
			continue;
		sp_render_line(
			"Slot %u's socket is still open, but connected: %s gets its peer's packets only.",
			slot, sp_snapshot_member_owner(member, owner));
		told++;
	}
}

static void tell_of_outside(const struct sp_report *r)
{
	bool is_one = r->noutside == 1;
	char owner[SP_OWNER_STRLEN];

	if (r->noutside)
		sp_render_line(
			"%u socket%s on this address %s outside the group (%s%s) and may take its packets: "
			"close %s and any connected one, then start anew.",
			r->noutside, is_one ? "" : "s", is_one ? "is" : "are",
			sp_snapshot_member_owner(r->outside, owner), is_one ? "" : ", ...",
			is_one ? "it" : "them");
}

static const char *foreign_text(const struct sp_group *group, char buf[TEXT_STRLEN])
{
	if (group->prog_id)
		snprintf(buf, TEXT_STRLEN, "Program %u (%.*s)", group->prog_id, SP_COMM_LEN,
			 group->prog_name);
	else
		snprintf(buf, TEXT_STRLEN, "A classic BPF program");
	return buf;
}

static void tell_of_attachment(const struct sp_snapshot *s)
{
	char endpoint[SP_ENDPOINT_STRLEN], program[TEXT_STRLEN];
	const char *name = s->pins.name;

	sp_snapshot_endpoint(s, ':', endpoint);
	if (!s->group)
		sp_render_line(
			"No visible process holds a member any more. When they are back: steadyport sync %s; to "
			"forget the group: steadyport detach %s",
			name, name);
	else if (s->group->prog_type)
		sp_render_line("%s is attached instead. Take over again: steadyport sync %s --replace",
			       foreign_text(s->group, program), name);
	else if (sp_snapshot_is_other_user(s))
		sp_render_line(
			"The group here is one of uid %u now, and %s was made for that of uid %u. If that is "
			"meant: steadyport sync %s --replace",
			s->group->uid, name, s->state->ctl.uid, name);
	else if (s->state->ctl.attached_at)
		sp_render_line("The program is not attached any more, so the kernel's own hash decides: "
			       "steadyport sync %s",
			       name);
	else
		sp_render_line("The program was never attached, so the kernel's own hash decides: "
			       "steadyport attach %s %s",
			       name, endpoint);
}

/* Nothing is wrong with these, but somebody has to end it. */
static void tell_of_planned(const struct sp_report *r, enum sp_slot_state state, const char *what)
{
	char names[TEXT_STRLEN];

	if (r->count[state])
		sp_render_line("Slot%s %s %s %s. To end that: steadyport undrain %s SLOT",
			       r->count[state] == 1 ? "" : "s", name_slots(r, state, names),
			       r->count[state] == 1 ? "is" : "are", what, r->snapshot.pins.name);
}

/* Says nothing while a worker serves, and the socket only stands by. */
static void tell_of_parking(const struct sp_report *r)
{
	const struct sp_member *member = sp_snapshot_member(&r->snapshot, SP_SLOT_PARK);
	__u32 waiting = member ? member->backlog : 0;

	if (r->count[SP_SLOT_LIVE] + r->count[SP_SLOT_DRAINING] + r->count[SP_SLOT_EJECTED])
		return;
	if (waiting)
		sp_render_line("No worker is live: %u connection%s in the parking socket until one is.",
			       waiting, waiting == 1 ? " waits" : "s wait");
	else
		sp_render_line("No worker is live: connections wait in the parking socket until one is.");
}

/* The most urgent first; nothing when all is well. */
static void print_sentences(const struct sp_report *r)
{
	const struct sp_snapshot *s = &r->snapshot;
	__u32 unenrolled = sp_snapshot_count_unenrolled(s), hidden = sp_report_hidden(r);
	__u64 remaining = sp_snapshot_learn_remaining_ns(s);
	char age[SP_RENDER_STRLEN];

	if (!sp_snapshot_is_attached(s))
		tell_of_attachment(s);
	tell_of_outside(r);
	if (r->count[SP_SLOT_PARKED])
		tell_of_parking(r);
	if (r->count[SP_SLOT_DEAD])
		tell_of_dead_slots(r);
	tell_of_connected(r);
	tell_of_planned(r, SP_SLOT_EJECTED, "ejected: nothing goes there");
	tell_of_planned(r, SP_SLOT_DRAINING, "draining: no new flows go there");
	if (unenrolled)
		sp_render_line("%u member%s not enrolled and get%s no new flows: steadyport sync %s",
			       unenrolled, unenrolled == 1 ? " is" : "s are", unenrolled == 1 ? "s" : "",
			       s->pins.name);
	if (hidden)
		sp_render_line(
			"%u member%s held by no process that is visible from here and may get no flows.",
			hidden, hidden == 1 ? " is" : "s are");
	if (s->group && s->group->has_conns)
		sp_render_line(
			"The group has had a connected UDP socket: its peer's packets pass steadyport by.");
	if (remaining)
		sp_render_line("Existing flows are being learned for %s more.",
			       sp_render_remaining(remaining, age));
}

/* Asked before the scan, which then also shows the sockets of that port that are in no group. */
static int read_port(const char *bpffs, const char *name, __u16 *ret_port)
{
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	struct sp_ctl ctl;
	int err;

	err = sp_pin_open(bpffs, name, &pins);
	err = err ?: sp_state_read_ctl(&pins, &ctl);
	if (!err)
		*ret_port = ctl.port;
	return err;
}

enum sp_exit sp_cmd_status(const struct sp_args *args)
{
	sp_autoreport struct sp_report report = SP_REPORT_NONE;
	sp_autogroups struct sp_groups *groups = NULL;
	__u16 port;
	int err;

	if (sp_kernel_check())
		return SP_EXIT_FAILED;
	err = read_port(args->bpffs, args->args[0], &port);
	err = err ?: sp_members_scan(port, &groups);
	err = err ?: sp_report_take(args->bpffs, args->args[0], groups, &report);
	if (err)
		return err == -ENOENT ? SP_EXIT_NO_GROUP : SP_EXIT_FAILED;

	if (args->json)
		return print_json(&report) ? SP_EXIT_FAILED : SP_EXIT_OK;
	print_head(&report);
	if (print_slots(&report))
		return SP_EXIT_FAILED;
	print_sentences(&report);
	return SP_EXIT_OK;
}
