// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* steadyport where: the slot a flow goes to, why, and the next one; computed as the program does it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "cleanup.h"
#include "cmd.h"
#include "kernel.h"
#include "members.h"
#include "render.h"
#include "snapshot.h"
#include "trail.h"
#include "value.h"

#define REMARK_STRLEN 96

static int print_json(const struct sp_snapshot *s, const struct sp_trail *t)
{
	json_t *owner = sp_trail_json_owner(s, t->now.slot), *document;
	char hash[SP_RENDER_STRLEN];

	snprintf(hash, sizeof(hash), "%016llx", t->hash);
	document = json_pack("{s:s, s:o, s:b, s:s, s:I, s:o, s:O?, s:O?, s:s?, s:o, s:b, s:s, s:o}", "name",
			     s->pins.name, "flow", sp_trail_json_flow(s, t), "assumed_dst", t->is_dst_assumed,
			     "hash", hash, "bucket", (json_int_t)sp_bucket(t->hash), "slot",
			     sp_trail_json_slot(t->now.slot), "pid", json_object_get(owner, "pid"), "comm",
			     json_object_get(owner, "comm"), "reason", sp_trail_reason(&t->now), "next_slot",
			     sp_trail_json_slot(t->next.slot), "follows_kernel", t->now.follows_kernel,
			     "balance", sp_value_balance_name(s->state->ctl.balance), "probes",
			     sp_trail_json_probes(s, t));
	json_decref(owner);
	return sp_render_json_print(document);
}

static const char *remark(const struct sp_trail *t, int slot, char buf[REMARK_STRLEN])
{
	if (slot == t->now.slot && t->now.reason == SP_REASON_KEPT)
		snprintf(buf, REMARK_STRLEN, "<- goes here: a kept flow");
	else if (slot == t->now.slot && t->now.reason == SP_REASON_PREVIOUS)
		snprintf(buf, REMARK_STRLEN,
			 "<- goes here: it went here before the change, which is being learned");
	else if (slot == t->now.slot && t->now.reason == SP_REASON_PARK)
		snprintf(buf, REMARK_STRLEN, "<- waits here, in the parking socket");
	else if (slot == t->next.slot && t->next.reason == SP_REASON_PARK)
		snprintf(buf, REMARK_STRLEN, "   would wait here if slot %d died", t->now.slot);
	else if (slot == t->now.slot)
		snprintf(buf, REMARK_STRLEN, "<- goes here%s",
			 t->now.follows_kernel ? " once the learning is over" : "");
	else if (slot == t->next.slot)
		snprintf(buf, REMARK_STRLEN, "   would go here if slot %d died", t->now.slot);
	else
		buf[0] = '\0';
	return buf;
}

/* The owner of a slot that counts, also when its state is not the usual one. */
static const char *label(const struct sp_snapshot *s, const struct sp_trail *t, int slot,
			 char buf[SP_OWNER_STRLEN])
{
	if (slot == t->now.slot || slot == t->next.slot)
		return sp_snapshot_owner(s, slot, buf);
	return sp_trail_slot_label(s, slot, buf);
}

static void print_probes(const struct sp_snapshot *s, const struct sp_trail *t)
{
	char text[SP_OWNER_STRLEN], why[REMARK_STRLEN];
	int width = 0, digits = 1;

	for (size_t i = 0; i < t->nprobes; i++) {
		int len = strlen(label(s, t, t->probes[i].slot, text));

		width = len > width ? len : width;
		len = snprintf(text, sizeof(text), "%d", t->probes[i].slot);
		digits = len > digits ? len : digits;
	}
	for (size_t i = 0; i < t->nprobes; i++) {
		bool has_remark = *remark(t, t->probes[i].slot, why);

		sp_render_line("%2zu. slot %*d  %-*s%s%s", i + 1, digits, t->probes[i].slot,
			       has_remark ? width : 0, label(s, t, t->probes[i].slot, text),
			       has_remark ? "   " : "", why);
	}
}

static void print_answer(const struct sp_snapshot *s, const struct sp_trail *t)
{
	char src[SP_ENDPOINT_STRLEN], dst[SP_ENDPOINT_STRLEN], left[SP_RENDER_STRLEN];

	sp_render_line("%s %s -> %s    hash %016llx  bucket %u", sp_protocol_name(s->state->ctl.protocol),
		       sp_address_format(&t->flow.src, 0, t->flow.sport, src),
		       sp_address_format(&t->flow.dst, 0, t->flow.dport, dst), t->hash, sp_bucket(t->hash));
	if (t->is_dst_assumed)
		sp_render_line("Assuming it was sent to %s: from there this host answers the peer.", dst);
	print_probes(s, t);
	if (t->now.slot < 0)
		sp_render_line("No slot is live: the kernel's own hash decides. Enrol new workers: "
			       "steadyport sync %s",
			       s->pins.name);
	else if (t->now.reason == SP_REASON_PARK)
		sp_render_line("No worker is live: it waits until one is.");
	else if (t->next.slot < 0)
		sp_render_line("If slot %d died, none would be left.", t->now.slot);
	if (s->state->ctl.balance != SP_BALANCE_HASH)
		sp_render_line(
			"This is what the hash names. Its balance is %s: a new connection goes elsewhere if "
			"another worker has less to do when it comes.",
			sp_value_balance_name(s->state->ctl.balance));
	if (t->now.follows_kernel)
		sp_render_line(
			"It was not seen since the attach. If its next packet comes within %s, it stays where "
			"the kernel's own hash has it, which cannot be computed here.",
			sp_render_remaining(sp_snapshot_learn_remaining_ns(s), left));
	if (!sp_snapshot_is_attached(s))
		sp_render_line("The program is not attached, so this is not in force: steadyport status %s",
			       s->pins.name);
}

enum sp_exit sp_cmd_where(const struct sp_args *args)
{
	sp_autosnapshot struct sp_snapshot s = SP_SNAPSHOT_NONE;
	sp_autogroups struct sp_groups *groups = NULL;
	struct sp_trail trail;
	int err;

	if (sp_trail_parse("where", args->args + 1, args->nargs - 1, &trail))
		return SP_EXIT_USAGE;
	if (sp_kernel_check() || sp_members_scan(0, &groups))
		return SP_EXIT_FAILED;
	err = sp_snapshot_take(args->bpffs, args->args[0], groups, &s);
	if (err)
		return err == -ENOENT ? SP_EXIT_NO_GROUP : SP_EXIT_FAILED;
	if (sp_trail_follow(&s, &trail))
		return SP_EXIT_FAILED;
	if (args->json)
		return print_json(&s, &trail) ? SP_EXIT_FAILED : SP_EXIT_OK;
	print_answer(&s, &trail);
	return SP_EXIT_OK;
}
