// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* steadyport list: one line for each steered group. */
#include <errno.h>
#include "cleanup.h"
#include "cmd.h"
#include "kept.h"
#include "kernel.h"
#include "log.h"
#include "members.h"
#include "netns.h"
#include "pin.h"
#include "render.h"
#include "snapshot.h"

static const struct sp_render_column columns[] = {
	{ "NAME", false },   { "ENDPOINT", false }, { "NETNS", false }, { "LIVE SLOTS", true },
	{ "PROGRAM", true }, { "ATTACHED", false }, { "KEPT", true },	{ "SINCE", true },
};

static const char *attached_text(const struct sp_snapshot *s)
{
	if (sp_snapshot_is_attached(s))
		return "yes";
	if (sp_snapshot_is_foreign(s))
		return "no (foreign)";
	if (sp_snapshot_is_other_user(s))
		return "no (other user)";
	return s->group ? "no" : "no (gone)";
}

static __u64 age_ns(const struct sp_snapshot *s)
{
	__u64 at = s->state->ctl.attached_at;

	return at && at < s->wall_ns ? s->wall_ns - at : 0;
}

static void add_row(struct sp_render_table *table, const struct sp_snapshot *s, __u64 kept)
{
	__u32 live = sp_snapshot_count(s, SP_SLOT_LIVE) + sp_snapshot_count(s, SP_SLOT_DRAINING) +
		     sp_snapshot_count(s, SP_SLOT_EJECTED);
	char endpoint[SP_ENDPOINT_STRLEN], netns[SP_NETNS_STRLEN], number[SP_RENDER_STRLEN];
	bool is_attached = sp_snapshot_is_attached(s);

	sp_render_cell(table, SP_BOLD, "%s", s->pins.name);
	sp_render_cell(table, SP_PLAIN, "%s", sp_snapshot_endpoint(s, ':', endpoint));
	sp_render_cell(table, SP_PLAIN, "%s", sp_netns_name(s->state->ctl.netns_inode, netns));
	sp_render_cell(table, SP_PLAIN, "%u/%u", live, live + sp_snapshot_count(s, SP_SLOT_DEAD));
	sp_render_cell(table, SP_PLAIN, "%u", s->program_id);
	sp_render_cell(table, is_attached ? SP_GREEN : SP_RED, "%s", attached_text(s));
	if (s->state->ctl.protocol == SP_UDP)
		sp_render_cell(table, SP_PLAIN, "%s", sp_render_count(kept, number));
	else
		sp_render_cell(table, SP_PLAIN, "-");
	sp_render_cell(table, SP_PLAIN, "%s", age_ns(s) ? sp_render_duration(age_ns(s), number) : "-");
}

static json_t *json_row(const struct sp_snapshot *s, __u64 kept)
{
	__u32 live = sp_snapshot_count(s, SP_SLOT_LIVE), draining = sp_snapshot_count(s, SP_SLOT_DRAINING);
	char endpoint[SP_ENDPOINT_STRLEN], netns[SP_NETNS_STRLEN];

	return json_pack("{s:s, s:s, s:s, s:o, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "name",
			 s->pins.name, "endpoint", sp_snapshot_endpoint(s, ':', endpoint), "protocol",
			 sp_protocol_name(s->state->ctl.protocol), "netns",
			 sp_render_json_text(sp_netns_name(s->state->ctl.netns_inode, netns)), "attached",
			 sp_snapshot_is_attached(s), "program_id", (json_int_t)s->program_id, "members",
			 (json_int_t)sp_snapshot_size(s), "live", (json_int_t)live, "draining",
			 (json_int_t)draining, "ejected", (json_int_t)sp_snapshot_count(s, SP_SLOT_EJECTED),
			 "dead", (json_int_t)sp_snapshot_count(s, SP_SLOT_DEAD), "kept_flows",
			 (json_int_t)kept, "attached_for_ms", (json_int_t)(age_ns(s) / 1000000));
}

/* One group to the table or the array. Returns 0 or -errno (logged). */
static int add_group(const char *bpffs, const char *name, const struct sp_groups *groups,
		     struct sp_render_table *table, json_t *list)
{
	sp_autosnapshot struct sp_snapshot s = SP_SNAPSHOT_NONE;
	__u64 kept = 0;
	int err;

	err = sp_snapshot_take(bpffs, name, groups, &s);
	if (err)
		return err;
	err = sp_kept_count(&s.pins, s.state, &kept);
	if (err)
		return err;
	if (list) {
		if (json_array_append_new(list, json_row(&s, kept)))
			return sp_fail(-ENOMEM, "cannot list %s", name);
	} else {
		add_row(table, &s, kept);
	}
	return 0;
}

enum sp_exit sp_cmd_list(const struct sp_args *args)
{
	sp_autotable struct sp_render_table *table = sp_render_table_new(columns, SP_ARRAY_SIZE(columns));
	json_t *list = args->json ? json_array() : NULL;
	char(*names)[SP_NAME_MAX + 1] = NULL;
	sp_autogroups struct sp_groups *groups = NULL;
	enum sp_exit status = SP_EXIT_OK;
	size_t count = 0;

	if (sp_kernel_check() || sp_pin_list(args->bpffs, &names, &count) ||
	    (count && sp_members_scan(0, &groups))) {
		free(names);
		json_decref(list);
		return SP_EXIT_FAILED;
	}
	/* One that cannot be read does not hide the others. */
	for (size_t i = 0; i < count; i++) {
		if (add_group(args->bpffs, names[i], groups, table, list))
			status = SP_EXIT_FAILED;
	}
	free(names);

	if (args->json)
		return sp_render_json_print(list) ? SP_EXIT_FAILED : status;
	if (!count) {
		sp_warn("no group is steered here (%s/steadyport)", args->bpffs);
		sp_hint("see those there are: steadyport groups");
		return status;
	}
	return sp_render_table_print(table) ? SP_EXIT_FAILED : status;
}
