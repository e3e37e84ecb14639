// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* steadyport groups: every reuseport group that visible processes hold, steered or not. */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include "cleanup.h"
#include "cmd.h"
#include "group.h"
#include "kernel.h"
#include "log.h"
#include "members.h"
#include "netns.h"
#include "park.h"
#include "pin.h"
#include "render.h"
#include "snapshot.h"

#define CELL_STRLEN 128
#define COMMS_SHOWN 2 /* names of owners in a group's line */

/* The groups that we steer. */
struct steered {
	char (*names)[SP_NAME_MAX + 1];
	__u32 (*ids)[2]; /* sp_pin_program_ids() */
	__u64 *parking; /* cookies of their parking sockets; 0: none */
	size_t count;
};

static void free_steered(struct steered *steered)
{
	free(steered->names);
	free(steered->ids);
	free(steered->parking);
}

static __u64 parking_of(const char *bpffs, const char *name)
{
	sp_autoclose int slots = sp_pin_open_slots(bpffs, name), info = sp_pin_open_info(bpffs, name);

	return sp_park_cookie(slots, info);
}

static int list_steered(const char *bpffs, struct steered *ret)
{
	__attribute__((cleanup(free_steered))) struct steered steered = {};
	int err;

	err = sp_pin_list(bpffs, &steered.names, &steered.count);
	if (err)
		return err;
	steered.ids = calloc(steered.count + 1, sizeof(*steered.ids));
	steered.parking = calloc(steered.count + 1, sizeof(*steered.parking));
	if (!steered.ids || !steered.parking)
		return sp_fail(-ENOMEM, "cannot list the steered groups");
	for (size_t i = 0; i < steered.count; i++) {
		sp_pin_program_ids(bpffs, steered.names[i], steered.ids[i]);
		steered.parking[i] = parking_of(bpffs, steered.names[i]);
	}
	*ret = steered;
	steered = (struct steered){};
	return 0;
}

/* NULL: none of ours. */
static const char *steered_as(const struct steered *steered, const struct sp_group *group)
{
	for (size_t i = 0; group->prog_id && i < steered->count; i++) {
		if (steered->ids[i][0] == group->prog_id || steered->ids[i][1] == group->prog_id)
			return steered->names[i];
	}
	return NULL;
}

/* Also where the program is gone: the socket stays in its slot until its daemon notices. */
static bool is_parking(const struct steered *steered, const struct sp_member *member)
{
	for (size_t i = 0; i < steered->count; i++) {
		if (steered->parking[i] == member->cookie)
			return true;
	}
	return false;
}

static bool has_parking(const struct steered *steered, const struct sp_group *group)
{
	for (size_t m = 0; m < group->nmembers; m++) {
		if (is_parking(steered, &group->members[m]))
			return true;
	}
	return false;
}

static bool has_our_program(const struct sp_group *group)
{
	return group->prog_id && !strncmp(group->prog_name, SP_PROG_NAME, sizeof(group->prog_name));
}

static const char *program_kind(const struct sp_group *group)
{
	if (!group->prog_type)
		return "none";
	if (!group->prog_id)
		return "classic";
	return has_our_program(group) ? "steadyport" : "foreign";
}

static const char *program_text(const struct sp_group *group, char buf[CELL_STRLEN])
{
	if (!group->prog_type)
		snprintf(buf, CELL_STRLEN, "none");
	else if (!group->prog_id)
		snprintf(buf, CELL_STRLEN, "classic BPF");
	else if (has_our_program(group))
		snprintf(buf, CELL_STRLEN, "%u %s", group->prog_id, SP_PROG_NAME);
	else
		snprintf(buf, CELL_STRLEN, "%u %.*s%s(foreign)", group->prog_id, SP_COMM_LEN,
			 group->prog_name, group->prog_name[0] ? " " : "");
	return buf;
}

static const char *user_text(__u32 uid, char buf[CELL_STRLEN])
{
	const struct passwd *user = getpwuid(uid);

	if (user)
		snprintf(buf, CELL_STRLEN, "%s", user->pw_name);
	else
		snprintf(buf, CELL_STRLEN, "%u", uid);
	return buf;
}

static int compare_pids(const void *a, const void *b)
{
	const struct sp_owner *const *x = a, *const *y = b;

	return ((*x)->pid > (*y)->pid) - ((*x)->pid < (*y)->pid);
}

/* One owner for each process, sorted by pid. Returns their number; without memory 0. */
static size_t processes_of(const struct sp_group *group, const struct sp_owner ***ret_owners)
{
	const struct sp_owner **owners;
	size_t count = 0, nprocesses = 0;

	for (size_t m = 0; m < group->nmembers; m++)
		count += group->members[m].nowners;
	owners = calloc(count + 1, sizeof(*owners));
	*ret_owners = owners;
	if (!owners)
		return 0;
	count = 0;
	for (size_t m = 0; m < group->nmembers; m++) {
		for (size_t i = 0; i < group->members[m].nowners; i++)
			owners[count++] = &group->members[m].owners[i];
	}
	qsort(owners, count, sizeof(*owners), compare_pids);
	for (size_t i = 0; i < count; i++) {
		if (nprocesses == 0 || owners[i]->pid != owners[nprocesses - 1]->pid)
			owners[nprocesses++] = owners[i];
	}
	return nprocesses;
}

static __u32 count_hidden(const struct sp_group *group)
{
	return group->size > group->nmembers ? group->size - group->nmembers : 0;
}

/* "pgbouncer[812]", "nginx (5 processes)", "nginx, haproxy (3 processes)", with "+3 not visible" behind it */
static const char *owners_text(const struct sp_group *group, char buf[CELL_STRLEN])
{
	sp_autofree const struct sp_owner **owners = NULL;
	size_t nprocesses = processes_of(group, &owners), ncomms = 0;
	char comms[CELL_STRLEN / 2] = "", hidden[SP_RENDER_STRLEN] = "";

	if (count_hidden(group))
		snprintf(hidden, sizeof(hidden), " +%u not visible", count_hidden(group));
	if (nprocesses == 1) {
		snprintf(buf, CELL_STRLEN, "%.*s[%u]%s", SP_COMM_LEN, owners[0]->comm, owners[0]->pid,
			 hidden);
		return buf;
	}
	for (size_t i = 0; i < nprocesses && ncomms <= COMMS_SHOWN; i++) {
		size_t len = strlen(comms);
		bool is_known = false;

		for (size_t j = 0; j < i && !is_known; j++)
			is_known = !strncmp(owners[i]->comm, owners[j]->comm, SP_COMM_LEN);
		if (is_known)
			continue;
		if (ncomms++ == COMMS_SHOWN)
			snprintf(comms + len, sizeof(comms) - len, ", ...");
		else
			snprintf(comms + len, sizeof(comms) - len, "%s%.*s", len ? ", " : "", SP_COMM_LEN,
				 owners[i]->comm);
	}
	snprintf(buf, CELL_STRLEN, "%s (%zu processes)%s", comms, nprocesses, hidden);
	return buf;
}

static json_t *json_member(const struct sp_member *member, const struct steered *steered)
{
	return json_pack("{s:I, s:I, s:b, s:b, s:I, s:I, s:I, s:o}", "position", (json_int_t)member->position,
			 "cookie", (json_int_t)member->cookie, "connected", member->is_connected, "parking",
			 is_parking(steered, member), "backlog", (json_int_t)member->backlog, "backlog_max",
			 (json_int_t)member->backlog_max, "drops", (json_int_t)member->drops, "owners",
			 sp_snapshot_member_json(member));
}

static json_t *json_members(const struct sp_group *group, const struct steered *steered)
{
	json_t *members = json_array();

	for (size_t m = 0; members && m < group->nmembers; m++) {
		if (json_array_append_new(members, json_member(&group->members[m], steered))) {
			json_decref(members);
			return NULL;
		}
	}
	return members;
}

static json_t *json_program(const struct sp_group *group)
{
	char name[SP_COMM_LEN + 1];

	snprintf(name, sizeof(name), "%.*s", SP_COMM_LEN, group->prog_name);
	if (!group->prog_id)
		return json_pack("{s:s, s:n, s:n}", "kind", program_kind(group), "id", "name");
	return json_pack("{s:s, s:I, s:o}", "kind", program_kind(group), "id", (json_int_t)group->prog_id,
			 "name", sp_render_json_text(name));
}

static json_t *json_group(const struct sp_group *group, const struct steered *steered)
{
	char endpoint[SP_ENDPOINT_STRLEN], netns[SP_NETNS_STRLEN], user[CELL_STRLEN];

	return json_pack("{s:s, s:s, s:I, s:o, s:I, s:I, s:I, s:I, s:I, s:o, s:b, s:b, s:o, s:s?, s:o}",
			 "endpoint", sp_group_endpoint(group, endpoint), "protocol",
			 sp_protocol_name(group->protocol), "port", (json_int_t)group->port, "netns",
			 sp_render_json_text(sp_netns_name(group->netns_inode, netns)), "netns_inode",
			 (json_int_t)group->netns_inode, "netns_cookie", (json_int_t)group->netns_cookie,
			 "members", (json_int_t)group->size, "members_visible", (json_int_t)group->nmembers,
			 "uid", (json_int_t)group->uid, "user",
			 sp_render_json_text(user_text(group->uid, user)), "v6only", group->is_v6only,
			 "has_connected", group->has_conns, "program", json_program(group), "steered_as",
			 steered_as(steered, group), "sockets", json_members(group, steered));
}

static int print_json(const struct sp_groups *groups, const struct steered *steered)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < groups->ngroups; i++) {
		if (json_array_append_new(list, json_group(&groups->groups[i], steered))) {
			json_decref(list);
			list = NULL;
		}
	}
	return sp_render_json_print(list);
}

static int print_groups(const struct sp_groups *groups, const struct steered *steered)
{
	static const struct sp_render_column columns[] = {
		{ "PROTO", false },  { "LISTENS ON", false }, { "NETNS", false },   { "MEMBERS", true },
		{ "OWNERS", false }, { "UID", false },	      { "PROGRAM", false }, { "STEERED AS", false },
	};
	sp_autotable struct sp_render_table *table = sp_render_table_new(columns, SP_ARRAY_SIZE(columns));
	char text[CELL_STRLEN], place[SP_ENDPOINT_STRLEN], netns[SP_NETNS_STRLEN];

	for (size_t i = 0; i < groups->ngroups; i++) {
		const struct sp_group *g = &groups->groups[i];
		const char *name = steered_as(steered, g);

		sp_render_cell(table, SP_PLAIN, "%s", sp_protocol_name(g->protocol));
		sp_render_cell(table, SP_PLAIN, "%s",
			       sp_address_format(&g->address, g->ifindex, g->port, place));
		sp_render_cell(table, SP_PLAIN, "%s", sp_netns_name(g->netns_inode, netns));
		sp_render_cell(table, SP_PLAIN, "%u", g->size);
		sp_render_cell(table, SP_PLAIN, "%s", owners_text(g, text));
		sp_render_cell(table, SP_PLAIN, "%s", user_text(g->uid, text));
		sp_render_cell(table, SP_PLAIN, "%s", program_text(g, text));
		sp_render_cell(table, name ? SP_GREEN : SP_PLAIN, "%s%s", name ?: "-",
			       has_parking(steered, g) ? " (parking)" : "");
	}
	return sp_render_table_print(table);
}

static int print_members(const struct sp_group *group, const struct steered *steered)
{
	static const struct sp_render_column columns[] = {
		{ "POSITION", true }, { "COOKIE", true }, { "QUEUE", true },
		{ "LIMIT", true },    { "DROPS", true },  { "OWNERS (PROCESS[PID] FD)", false },
	};
	sp_autotable struct sp_render_table *table = sp_render_table_new(columns, SP_ARRAY_SIZE(columns));
	char endpoint[SP_ENDPOINT_STRLEN], netns[SP_NETNS_STRLEN], number[SP_RENDER_STRLEN];
	bool is_udp = group->protocol == SP_UDP;

	for (size_t m = 0; m < group->nmembers; m++) {
		const struct sp_member *member = &group->members[m];
		char owners[CELL_STRLEN] = "";

		for (size_t i = 0; i < member->nowners; i++) {
			const struct sp_owner *owner = &member->owners[i];
			size_t len = strlen(owners);

			if (len > CELL_STRLEN - 50) {
				snprintf(owners + len, sizeof(owners) - len, ", ... (%zu)", member->nowners);
				break;
			}
			snprintf(owners + len, sizeof(owners) - len, "%s%.*s[%u] %u", len ? ", " : "",
				 SP_COMM_LEN, owner->comm, owner->pid, owner->fd);
		}
		if (member->position < 0)
			sp_render_cell(table, SP_PLAIN, "-");
		else
			sp_render_cell(table, SP_PLAIN, "%d", member->position);
		sp_render_cell(table, SP_PLAIN, "%llu", member->cookie);
		sp_render_cell(table, SP_PLAIN, "%s",
			       is_udp ? sp_render_bytes(member->backlog, number) :
					sp_render_count(member->backlog, number));
		sp_render_cell(table, SP_PLAIN, "%s",
			       is_udp ? sp_render_bytes(member->backlog_max, number) :
					sp_render_count(member->backlog_max, number));
		sp_render_cell(table, SP_PLAIN, "%s", sp_render_count(member->drops, number));
		sp_render_cell(table, SP_PLAIN, "%s%s%s", owners, member->is_connected ? " (connected)" : "",
			       is_parking(steered, member) ? " (parking)" : "");
	}
	sp_render_line("%s", "");
	sp_render_line("%s in netns %s", sp_group_endpoint(group, endpoint),
		       sp_netns_name(group->netns_inode, netns));
	return sp_render_table_print(table);
}

/* The next command for someone who has not steered that group yet. */
static void print_footer(const struct sp_groups *groups)
{
	char endpoint[SP_ENDPOINT_STRLEN], netns[SP_RENDER_STRLEN] = "";
	__u64 cookie;
	__u32 inode;

	for (size_t i = 0; i < groups->ngroups; i++) {
		const struct sp_group *group = &groups->groups[i];

		if (group->prog_type || !group->nmembers || !group->members[0].nowners)
			continue;
		if (!sp_netns_resolve(NULL, &cookie, &inode) && cookie != group->netns_cookie)
			snprintf(netns, sizeof(netns), " --netns %u", group->members[0].owners[0].pid);
		sp_render_line("Steer one: steadyport attach NAME %s%s", sp_group_endpoint(group, endpoint),
			       netns);
		return;
	}
}

/* What the scan cannot see, said at once: it would otherwise pass for "there is nothing". */
static void warn_of_hidden(const struct sp_groups *groups)
{
	__u32 hidden = 0;

	if (!sp_kernel_shows_all_processes())
		sp_warn("only processes of this pid namespace are visible; the host's namespace sees all");
	for (size_t i = 0; i < groups->ngroups; i++)
		hidden += count_hidden(&groups->groups[i]);
	if (hidden)
		sp_warn("%u member%s held by no process that is visible from here", hidden,
			hidden == 1 ? " is" : "s are");
}

enum sp_exit sp_cmd_groups(const struct sp_args *args)
{
	__attribute__((cleanup(free_steered))) struct steered steered = {};
	sp_autogroups struct sp_groups *groups = NULL;

	if (sp_kernel_check() || sp_members_scan(0, &groups) || list_steered(args->bpffs, &steered))
		return SP_EXIT_FAILED;
	warn_of_hidden(groups);

	if (args->json)
		return print_json(groups, &steered) ? SP_EXIT_FAILED : SP_EXIT_OK;
	if (!groups->ngroups) {
		sp_warn("no reuseport group: no visible process holds a socket with SO_REUSEPORT");
		return SP_EXIT_OK;
	}
	if (print_groups(groups, &steered))
		return SP_EXIT_FAILED;
	for (size_t i = 0; args->all && i < groups->ngroups; i++) {
		if (print_members(&groups->groups[i], &steered))
			return SP_EXIT_FAILED;
	}
	print_footer(groups);
	return SP_EXIT_OK;
}
