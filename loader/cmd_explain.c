// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* steadyport explain: the way of one flow, drawn step by step, and where it would go if its worker died now. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "cleanup.h"
#include "cmd.h"
#include "kernel.h"
#include "log.h"
#include "render.h"
#include "snapshot.h"
#include "target.h"
#include "trail.h"
#include "value.h"

#define TEXT_STRLEN 192
#define DOWN "     |"

/* --- What is said of each step --- */

/* The table knows whole seconds: its last packet came less than so many ago. */
static __u64 idle_s(const struct sp_snapshot *s, const struct sp_trail *t)
{
	__s32 idle = s->now_ns / SP_NS_PER_S - t->entry.last_seen_s;

	return idle > 0 ? idle + 1 : 1;
}

static const char *why_asked(const struct sp_snapshot *s, const struct sp_steps *steps)
{
	if (steps->is_moving)
		return "the bucket is moving";
	if (s->state->ctl.track == SP_TRACK_ALWAYS)
		return "this group tracks every flow";
	return "the bucket's owner died since the last change, and what that left is not settled";
}

static const char *why_not_asked(const struct sp_snapshot *s)
{
	return s->state->ctl.protocol == SP_TCP ? "TCP: a connection is asked about once" :
						  "the bucket is not moving";
}

static const char *entry_text(const struct sp_snapshot *s, const struct sp_trail *t,
			      const struct sp_steps *steps, char buf[TEXT_STRLEN])
{
	char age[SP_RENDER_STRLEN];

	sp_render_duration(idle_s(s, t) * SP_NS_PER_S, age);
	switch (steps->entry) {
	case SP_ENTRY_IN_FORCE:
		snprintf(buf, TEXT_STRLEN, "slot %u, last packet less than %s ago", t->entry.slot, age);
		break;
	case SP_ENTRY_ORPHAN:
		snprintf(buf, TEXT_STRLEN, "slot %u, but that worker is gone: placed as a new flow",
			 t->entry.slot);
		break;
	case SP_ENTRY_EXPIRED:
		snprintf(buf, TEXT_STRLEN, "slot %u, but silent for %s: forgotten", t->entry.slot, age);
		break;
	case SP_ENTRY_NONE:
		snprintf(buf, TEXT_STRLEN, "nothing");
		break;
	}
	return buf;
}

static const char *previous_text(const struct sp_snapshot *s, const struct sp_steps *steps,
				 char buf[TEXT_STRLEN])
{
	const struct sp_view *previous = sp_state_previous(s->state, s->now_ns);
	char owner[SP_OWNER_STRLEN];

	if (!previous)
		snprintf(buf, TEXT_STRLEN, "not asked: no learn window is open");
	else if (!steps->asks_table)
		snprintf(buf, TEXT_STRLEN, "not asked: both views agree on this bucket");
	else if (!steps->asks_previous)
		snprintf(buf, TEXT_STRLEN, "not asked: the flow table has answered");
	else if (previous->kind == SP_VIEW_KERNEL)
		snprintf(buf, TEXT_STRLEN, "the kernel's own hash, whose key only the kernel knows");
	else if (steps->previous < 0)
		snprintf(buf, TEXT_STRLEN, "none of its slots is live");
	else
		snprintf(buf, TEXT_STRLEN, "slot %d  %s", steps->previous,
			 sp_snapshot_owner(s, steps->previous, owner));
	return buf;
}

static const char *how(const struct sp_decision *decision)
{
	switch (decision->reason) {
	case SP_REASON_OWNER:
		return "it owns the bucket";
	case SP_REASON_PROBE:
		return "the bucket's owner cannot take it, and the next one that is asked can";
	case SP_REASON_SCAN:
		return "no probe found a worker, and the scan over all slots found this one";
	case SP_REASON_PARK:
		return "no worker is live: it waits in the parking socket";
	case SP_REASON_KEPT:
		return "the flow table keeps it there";
	case SP_REASON_PREVIOUS:
		return "it went there before the change, and is being learned";
	}
	return "";
}

/* Processes that hold the slot's socket, as far as they can be seen. */
static size_t holders(const struct sp_snapshot *s, int slot)
{
	const struct sp_member *member = slot < 0 ? NULL : sp_snapshot_member(s, slot);
	size_t count = 0;

	for (size_t i = 0; member && i < member->nowners; i++)
		count += i == 0 || member->owners[i].pid != member->owners[i - 1].pid;
	return count;
}

/* What follows the kernel's hash cannot be told from here. */
static bool is_heir_known(const struct sp_trail *t)
{
	return t->now.slot >= 0 && !t->now.follows_kernel && !t->next.follows_kernel;
}

/* --- JSON --- */

static json_t *json_entry(const struct sp_snapshot *s, const struct sp_trail *t)
{
	static const char *const states[] = {
		[SP_ENTRY_NONE] = "not asked",
		[SP_ENTRY_IN_FORCE] = "in force",
		[SP_ENTRY_ORPHAN] = "orphan",
		[SP_ENTRY_EXPIRED] = "expired",
	};

	if (!t->is_known)
		return json_null();
	return json_pack("{s:I, s:I, s:I, s:s}", "slot", (json_int_t)t->entry.slot, "incarnation",
			 (json_int_t)t->entry.incarnation, "idle_s", (json_int_t)idle_s(s, t), "state",
			 states[t->steps.entry]);
}

static json_t *json_previous(const struct sp_snapshot *s, const struct sp_steps *steps)
{
	const struct sp_view *previous = sp_state_previous(s->state, s->now_ns);

	if (!previous)
		return json_null();
	return json_pack("{s:s, s:b, s:o, s:I}", "kind",
			 previous->kind == SP_VIEW_KERNEL ? "kernel" : "table", "asked", steps->asks_previous,
			 "slot", sp_trail_json_slot(steps->previous), "remaining_ms",
			 (json_int_t)(sp_snapshot_learn_remaining_ns(s) / SP_NS_PER_MS));
}

/* {slot, pid, comm, reason}, null when it cannot be computed */
static json_t *json_decision(const struct sp_snapshot *s, const struct sp_decision *decision)
{
	json_t *owner = sp_trail_json_owner(s, decision->slot), *object;

	object = json_pack("{s:o, s:O?, s:O?, s:s?}", "slot", sp_trail_json_slot(decision->slot), "pid",
			   json_object_get(owner, "pid"), "comm", json_object_get(owner, "comm"), "reason",
			   sp_trail_reason(decision));
	json_decref(owner);
	return object;
}

static int print_json(const struct sp_snapshot *s, const struct sp_trail *t)
{
	const struct sp_view *view = sp_state_current(s->state);
	char hash[SP_RENDER_STRLEN];

	snprintf(hash, sizeof(hash), "%016llx", t->hash);
	return sp_render_json_print(json_pack(
		"{s:s, s:b, s:o, s:b, s:s, s:{s:I, s:b}, s:{s:b, s:o}, s:o, s:{s:I, s:o}, s:o, s:b, s:I, s:o}",
		"name", s->pins.name, "attached", sp_snapshot_is_attached(s), "flow",
		sp_trail_json_flow(s, t), "assumed_dst", t->is_dst_assumed, "hash", hash, "bucket", "number",
		(json_int_t)sp_bucket(t->hash), "moving", t->steps.is_moving, "flow_table", "asked",
		t->steps.asks_table, "entry", json_entry(s, t), "previous_view", json_previous(s, &t->steps),
		"current_view", "serial", (json_int_t)view->serial, "probes", sp_trail_json_probes(s, t),
		"now", json_decision(s, &t->now), "follows_kernel", t->now.follows_kernel, "socket_holders",
		(json_int_t)holders(s, t->now.slot), "if_it_died",
		is_heir_known(t) ? json_decision(s, &t->next) : json_null()));
}

/* --- The picture --- */

static void step(const char *label, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void step(const char *label, const char *fmt, ...)
{
	char text[2 * TEXT_STRLEN];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	sp_render_line("%-14s%s", label, text);
}

/* The slots in the order in which the current view asks them, down to the one that decides; @dead: -1 or one. */
static void print_probes(const struct sp_snapshot *s, const struct sp_trail *t, int until, int dead)
{
	char owner[SP_OWNER_STRLEN];

	for (size_t i = 0; i < t->nprobes; i++) {
		const struct sp_trail_probe *probe = &t->probes[i];

		/* Found by the flow table or the view before, or by the scan: the last line says so. */
		if (!probe->number)
			continue;
		step(probe->number == 1 ? "current view" : "", "probe %2u  slot %d  %s", probe->number,
		     probe->slot,
		     probe->slot == dead ? "dead by then" : sp_trail_slot_label(s, probe->slot, owner));
		if (probe->slot == until)
			return;
	}
}

static void print_way(const struct sp_snapshot *s, const struct sp_trail *t)
{
	char text[TEXT_STRLEN], owner[SP_OWNER_STRLEN], left[SP_RENDER_STRLEN];
	__u64 remaining = sp_snapshot_learn_remaining_ns(s);

	step("hash", "%016llx, from the four numbers and the group's key", t->hash);
	sp_render_line(DOWN);
	step("bucket", "%u of %d, its low 14 bits%s", sp_bucket(t->hash), SP_BUCKETS,
	     t->steps.is_moving ? "; moving" : "");
	sp_render_line(DOWN);
	if (t->steps.asks_table) {
		step("flow table", "asked: %s", why_asked(s, &t->steps));
		step("", "%s", entry_text(s, t, &t->steps, text));
	} else {
		step("flow table", "not asked: %s", why_not_asked(s));
	}
	sp_render_line(DOWN);
	if (s->state->ctl.protocol == SP_UDP) {
		if (remaining)
			step("view before", "for unknown flows, %s more",
			     sp_render_remaining(remaining, left));
		step(remaining ? "" : "view before", "%s", previous_text(s, &t->steps, text));
		sp_render_line(DOWN);
	}
	if (t->now.reason < SP_REASON_KEPT)
		print_probes(s, t, t->now.slot, -1);
	else
		step("current view", "not followed; alone it would say slot %d", t->steps.current.slot);
	sp_render_line(DOWN);
	sp_render_line("     v");
	if (t->now.slot < 0)
		step("no slot", "nobody is live: the kernel's own hash decides among who else is there");
	else if (t->now.follows_kernel)
		step("its worker",
		     "where the kernel's own hash has it, if it is older than the attach; "
		     "a new one goes to slot %d, %s",
		     t->now.slot, sp_snapshot_owner(s, t->now.slot, owner));
	else
		sp_render_line("slot %-9d%s: %s", t->now.slot, sp_snapshot_owner(s, t->now.slot, owner),
			       how(&t->now));
}

/* What is in the dying worker's socket. */
static void print_queue(const struct sp_snapshot *s, const struct sp_trail *t)
{
	const struct sp_member *member = sp_snapshot_member(s, t->now.slot);
	bool is_udp = s->state->ctl.protocol == SP_UDP;
	char bytes[SP_RENDER_STRLEN];

	if (is_udp && member && member->backlog)
		step("", "what waits there is lost: %s", sp_render_bytes(member->backlog, bytes));
	else if (!is_udp)
		step("", "a connection that waits there is handed over; one that is accepted dies with it");
}

static void print_death(const struct sp_snapshot *s, const struct sp_trail *t)
{
	char owner[SP_OWNER_STRLEN], text[TEXT_STRLEN];
	size_t count = holders(s, t->now.slot);

	sp_render_line("%s", "");
	if (!is_heir_known(t)) {
		sp_render_line("Which worker has it now cannot be computed, nor who would be next.");
		return;
	}
	sp_render_line("If %s died now:", sp_snapshot_owner(s, t->now.slot, owner));
	sp_render_line(DOWN);
	if (count > 1)
		step("its socket",
		     "is held by %zu processes, and closes with the last of them: until then "
		     "all stays as it is",
		     count);
	else
		step("its socket", "closes, and the kernel empties slot %d at once", t->now.slot);
	print_queue(s, t);
	sp_render_line(DOWN);
	if (t->next_steps.asks_table && t->is_known) {
		step("flow table", "%s", entry_text(s, t, &t->next_steps, text));
		sp_render_line(DOWN);
	}
	if (t->next.slot >= 0 && t->next.reason < SP_REASON_KEPT)
		print_probes(s, t, t->next.slot, t->now.slot);
	sp_render_line(DOWN);
	sp_render_line("     v");
	if (t->next.slot < 0)
		step("no slot", "none would be left");
	else
		sp_render_line("slot %-9d%s: %s", t->next.slot, sp_snapshot_owner(s, t->next.slot, owner),
			       how(&t->next));
	sp_render_line("%s", "");
	sp_render_line("The flows of all other live workers would stay where they are.");
}

static void print_picture(const struct sp_snapshot *s, const struct sp_trail *t)
{
	char src[SP_ENDPOINT_STRLEN], dst[SP_ENDPOINT_STRLEN];

	sp_render_line("%s   %s %s -> %s%s", s->pins.name, sp_protocol_name(s->state->ctl.protocol),
		       sp_address_format(&t->flow.src, 0, t->flow.sport, src),
		       sp_address_format(&t->flow.dst, 0, t->flow.dport, dst),
		       t->is_dst_assumed ? " (assumed: from there this host answers the peer)" : "");
	if (!sp_snapshot_is_attached(s))
		sp_render_line("The program is not attached, so this is not in force: steadyport status %s",
			       s->pins.name);
	sp_render_line(DOWN);
	print_way(s, t);
	if (t->now.slot >= 0 && t->now.reason != SP_REASON_PARK)
		print_death(s, t);
}

/* --- The command --- */

static enum sp_exit status_of(int err)
{
	return err == -EINVAL ? SP_EXIT_USAGE : err == -ENOENT ? SP_EXIT_NO_GROUP : SP_EXIT_FAILED;
}

enum sp_exit sp_cmd_explain(const struct sp_args *args)
{
	sp_autosnapshot struct sp_snapshot s = SP_SNAPSHOT_NONE;
	sp_autotarget struct sp_target target = {};
	struct sp_trail trail;
	int err;

	if (sp_trail_parse("explain", args->args + 1, args->nargs - 1, &trail))
		return SP_EXIT_USAGE;
	if (sp_kernel_check())
		return SP_EXIT_FAILED;
	err = sp_target_find(args->bpffs, args->netns, args->args[0], &target);
	if (err)
		return status_of(err);
	if (!*target.name) {
		sp_refuse(0,
			  "%s is not steered: the kernel's own hash decides, whose key only the kernel knows",
			  args->args[0]);
		sp_hint("see what that means for its flows: steadyport doctor %s", args->args[0]);
		return SP_EXIT_NO_GROUP;
	}
	err = sp_snapshot_take(args->bpffs, target.name, target.groups, &s);
	if (err)
		return err == -ENOENT ? SP_EXIT_NO_GROUP : SP_EXIT_FAILED;
	if (sp_trail_follow(&s, &trail))
		return SP_EXIT_FAILED;
	if (args->json)
		return print_json(&s, &trail) ? SP_EXIT_FAILED : SP_EXIT_OK;
	print_picture(&s, &trail);
	return SP_EXIT_OK;
}
