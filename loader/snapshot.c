// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* One steered group as its pins and the kernel show it now: what the reading commands answer from. */
#include "snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "group.h"
#include "log.h"
#include "render.h"
#include "steer.h"

int sp_snapshot_take(const char *bpffs, const char *name, const struct sp_groups *groups,
		     struct sp_snapshot *ret_snapshot)
{
	sp_autosnapshot struct sp_snapshot s = SP_SNAPSHOT_NONE;
	int err;

	err = sp_pin_open(bpffs, name, &s.pins);
	if (err)
		return err;
	err = sp_state_read(&s.pins, &s.state);
	if (err)
		return err;
	err = sp_steer_program_id(&s.pins, &s.program_id);
	if (err)
		return err;
	s.groups = groups;
	if (groups)
		s.group = sp_group_at(groups, &s.state->ctl, s.program_id);
	s.now_ns = sp_now_ns();
	s.wall_ns = sp_wall_ns();

	*ret_snapshot = s;
	s = (struct sp_snapshot)SP_SNAPSHOT_NONE;
	return 0;
}

void sp_snapshot_free(struct sp_snapshot *snapshot)
{
	sp_state_free(&snapshot->state);
	sp_pins_close(&snapshot->pins);
}

bool sp_snapshot_is_attached(const struct sp_snapshot *snapshot)
{
	const struct sp_group *group = snapshot->group;

	/* While a program is being replaced the one before it may still be attached. */
	return group && group->prog_id &&
	       (group->prog_id == snapshot->program_id || group->prog_id == snapshot->pins.old_program_id);
}

bool sp_snapshot_is_foreign(const struct sp_snapshot *snapshot)
{
	return snapshot->group && snapshot->group->prog_type && !sp_snapshot_is_attached(snapshot);
}

bool sp_snapshot_is_other_user(const struct sp_snapshot *snapshot)
{
	return snapshot->group && !sp_snapshot_is_attached(snapshot) &&
	       snapshot->group->uid != snapshot->state->ctl.uid;
}

__u64 sp_snapshot_learn_remaining_ns(const struct sp_snapshot *snapshot)
{
	if (!sp_state_previous(snapshot->state, snapshot->now_ns))
		return 0;
	return sp_state_current(snapshot->state)->learn_until_ns - snapshot->now_ns;
}

enum sp_slot_state sp_snapshot_slot_state(const struct sp_snapshot *snapshot, __u32 slot)
{
	enum sp_slot_state state = snapshot->state->info[slot].state;

	if (state == SP_SLOT_FREE || sp_slot_is_live(snapshot->state, slot))
		return state;
	/* The parking socket is no worker: nobody is missing there. */
	return state == SP_SLOT_PARKED ? SP_SLOT_FREE : SP_SLOT_DEAD;
}

const char *sp_snapshot_state_name(enum sp_slot_state state)
{
	switch (state) {
	case SP_SLOT_LIVE:
		return "live";
	case SP_SLOT_DRAINING:
		return "draining";
	case SP_SLOT_DEAD:
		return "dead";
	case SP_SLOT_EJECTED:
		return "ejected";
	case SP_SLOT_PARKED:
		return "parked";
	case SP_SLOT_FREE:
		break;
	}
	return "free";
}

enum sp_colour sp_snapshot_state_colour(enum sp_slot_state state)
{
	switch (state) {
	case SP_SLOT_LIVE:
		return SP_GREEN;
	case SP_SLOT_DRAINING:
		return SP_YELLOW;
	case SP_SLOT_PARKED:
		return SP_PLAIN;
	default:
		return SP_RED;
	}
}

__u32 sp_snapshot_count(const struct sp_snapshot *snapshot, enum sp_slot_state state)
{
	__u32 count = 0;

	for (__u32 slot = 0; slot < SP_SLOTS_MAX; slot++)
		count += sp_snapshot_slot_state(snapshot, slot) == state;
	return count;
}

const struct sp_member *sp_snapshot_member(const struct sp_snapshot *snapshot, __u32 slot)
{
	return snapshot->groups ? sp_groups_member(snapshot->groups, snapshot->state->info[slot].cookie) :
				  NULL;
}

__u32 sp_snapshot_size(const struct sp_snapshot *snapshot)
{
	__u32 nparking = 0;

	if (!snapshot->group)
		return 0;
	for (size_t m = 0; m < snapshot->group->nmembers; m++)
		nparking += sp_state_is_parking(snapshot->state, snapshot->group->members[m].cookie);
	return snapshot->group->size - nparking;
}

__u32 sp_snapshot_count_unenrolled(const struct sp_snapshot *snapshot)
{
	__u32 count = 0;

	for (size_t m = 0; snapshot->group && m < snapshot->group->nmembers; m++) {
		const struct sp_member *member = &snapshot->group->members[m];

		count += !member->is_connected && sp_state_slot_of(snapshot->state, member->cookie) < 0 &&
			 !sp_state_is_parking(snapshot->state, member->cookie);
	}
	return count;
}

const char *sp_snapshot_member_owner(const struct sp_member *member, char buf[SP_OWNER_STRLEN])
{
	size_t nprocesses = 0;

	if (!member->nowners) {
		strcpy(buf, "nobody visible");
		return buf;
	}
	/* Sorted by pid: a process that holds it twice stands in a row. */
	for (size_t i = 0; i < member->nowners; i++)
		nprocesses += i == 0 || member->owners[i].pid != member->owners[i - 1].pid;
	if (nprocesses == 1)
		snprintf(buf, SP_OWNER_STRLEN, "%.*s[%u]", SP_COMM_LEN, member->owners[0].comm,
			 member->owners[0].pid);
	else
		snprintf(buf, SP_OWNER_STRLEN, "%.*s[%u] +%zu", SP_COMM_LEN, member->owners[0].comm,
			 member->owners[0].pid, nprocesses - 1);
	return buf;
}

static bool is_held_by(const struct sp_member *member, __u32 pid)
{
	for (size_t i = 0; i < member->nowners; i++)
		if (member->owners[i].pid == pid)
			return true;
	return false;
}

const char *sp_snapshot_owner(const struct sp_snapshot *snapshot, __u32 slot, char buf[SP_OWNER_STRLEN])
{
	const struct sp_info *info = &snapshot->state->info[slot];
	const struct sp_member *member;
	char age[SP_RENDER_STRLEN];

	if (sp_snapshot_slot_state(snapshot, slot) == SP_SLOT_DEAD) {
		if (info->died_at && info->died_at <= snapshot->wall_ns)
			snprintf(buf, SP_OWNER_STRLEN, "(%.*s, %s)", SP_COMM_LEN, info->comm,
				 sp_render_duration(snapshot->wall_ns - info->died_at, age));
		else
			snprintf(buf, SP_OWNER_STRLEN, "(%.*s)", SP_COMM_LEN, info->comm);
		return buf;
	}
	member = sp_snapshot_member(snapshot, slot);
	/* The service manager may hold a parking socket, too; its daemon is whom it belongs to. */
	if (member && !(info->state == SP_SLOT_PARKED && is_held_by(member, info->pid)))
		return sp_snapshot_member_owner(member, buf);
	snprintf(buf, SP_OWNER_STRLEN, "%.*s[%u]", SP_COMM_LEN, info->comm, info->pid);
	return buf;
}

const char *sp_snapshot_endpoint(const struct sp_snapshot *snapshot, char separator,
				 char buf[SP_ENDPOINT_STRLEN])
{
	const struct sp_ctl *ctl = &snapshot->state->ctl;
	char text[SP_ENDPOINT_STRLEN];
	struct sp_address address;

	sp_state_address(snapshot->state, &address);
	sp_address_format(&address, ctl->ifindex, ctl->port, text);
	snprintf(buf, SP_ENDPOINT_STRLEN, "%s%c%.80s", sp_protocol_name(ctl->protocol), separator, text);
	return buf;
}

static json_t *json_comm(const char comm[SP_COMM_LEN])
{
	char text[SP_COMM_LEN + 1];

	snprintf(text, sizeof(text), "%.*s", SP_COMM_LEN, comm);
	return sp_render_json_text(text);
}

json_t *sp_snapshot_member_json(const struct sp_member *member)
{
	json_t *owners = json_array();

	for (size_t i = 0; owners && i < member->nowners; i++) {
		const struct sp_owner *owner = &member->owners[i];

		if (json_array_append_new(owners,
					  json_pack("{s:I, s:o, s:I}", "pid", (json_int_t)owner->pid, "comm",
						    json_comm(owner->comm), "fd", (json_int_t)owner->fd))) {
			json_decref(owners);
			return NULL;
		}
	}
	return owners;
}

json_t *sp_snapshot_json_owners(const struct sp_snapshot *snapshot, __u32 slot)
{
	const struct sp_member *member = sp_snapshot_member(snapshot, slot);
	const struct sp_info *info = &snapshot->state->info[slot];

	if (member)
		return sp_snapshot_member_json(member);
	return json_pack("[{s:I, s:o, s:n}]", "pid", (json_int_t)info->pid, "comm", json_comm(info->comm),
			 "fd");
}
