// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Members that are in no slot yet. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "cleanup.h"
#include "group.h"
#include "log.h"
#include "newcomers.h"

#define NAMED_MAX 8 /* members that a refusal names one by one */

void sp_newcomers_free(struct sp_newcomers *newcomers)
{
	free(newcomers->members);
	free(newcomers->taken);
	*newcomers = (struct sp_newcomers){ 0 };
}

/* A socket fits one sockarray. That of a program which is replaced goes with it, unless something else keeps it. */
static bool is_taken_for_good(const struct sp_member *member, bool is_replaced)
{
	return member->is_taken && !(is_replaced && member->array_id && !member->is_array_shared);
}

static int sort_out(struct sp_newcomers *n, const struct sp_member *member, bool is_replaced)
{
	const struct sp_owner *owner = &member->owners[0];
	sp_autoclose int fd = -1;
	int err = sp_group_socket(member, &fd);

	if (err == -ESTALE)
		return 0; /* closed meanwhile */
	if (err == -EPERM || err == -EACCES) {
		sp_note("member %llu: %s", member->cookie, strerror(-err));
		n->forbidden++;
	} else if (err) {
		return sp_fail(err, "cannot take the socket of %s[%u]", owner->comm, owner->pid);
	} else if (is_taken_for_good(member, is_replaced)) {
		n->taken[n->ntaken++] = member;
	} else {
		n->members[n->count++] = member;
	}
	return 0;
}

/* The parking socket is known to be a member, whether its holder can be seen or not. */
static __u32 count_unseen(const struct sp_state *state, const struct sp_group *group)
{
	__u32 seen = group->nmembers + sp_state_parks(state);

	for (size_t i = 0; i < group->nmembers; i++)
		if (sp_state_parks(state) && group->members[i].cookie == state->cookie[SP_SLOT_PARK])
			seen--;
	return group->size > seen ? group->size - seen : 0;
}

int sp_newcomers_find(const struct sp_state *state, const struct sp_group *group, bool is_replaced,
		      struct sp_newcomers *ret_newcomers)
{
	sp_autonewcomers struct sp_newcomers n = {
		.members = calloc(group->nmembers + 1, sizeof(*n.members)),
		.taken = calloc(group->nmembers + 1, sizeof(*n.taken)),
		.unseen = count_unseen(state, group),
	};
	int err = 0;

	if (!n.members || !n.taken)
		return sp_fail(-ENOMEM, "cannot sort the members of a group");
	for (size_t i = 0; !err && i < group->nmembers; i++) {
		const struct sp_member *member = &group->members[i];

		/*
		 * A connected UDP socket gets its peer's packets without us and nobody else's with us. A parking
		 * socket that is in no slot was being handed over when its daemon died; nobody serves it.
		 */
		if (!member->is_connected && sp_state_slot_of(state, member->cookie) < 0 &&
		    !sp_state_is_parking(state, member->cookie))
			err = sort_out(&n, member, is_replaced);
	}
	if (err)
		return err;
	*ret_newcomers = n;
	n = (struct sp_newcomers){ 0 };
	return 0;
}

/* "h3d[4411], h3d[4412] and 3 more" */
static const char *name_members(const struct sp_member *const *members, size_t count, char *buf, size_t size)
{
	size_t named = count > NAMED_MAX ? NAMED_MAX : count, len = 0;

	for (size_t i = 0; i < named && len < size; i++) {
		const struct sp_owner *owner = &members[i]->owners[0];

		len += snprintf(buf + len, size - len, "%s%.*s[%u]",
				i == 0	       ? "" :
				i + 1 == count ? " and " :
						 ", ",
				SP_COMM_LEN, owner->comm, owner->pid);
	}
	if (count > named && len < size)
		snprintf(buf + len, size - len, " and %zu more", count - named);
	return buf;
}

static int refuse_taken(const struct sp_newcomers *n, const struct sp_group *group, const char *or_partial)
{
	char endpoint[SP_ENDPOINT_STRLEN], names[512];
	__u32 array_id = n->taken[0]->array_id;

	sp_refuse(0, "%s: the sockets of %zu of %u members are in another BPF sockarray or sockmap: %s",
		  sp_group_endpoint(group, endpoint), n->ntaken, group->size,
		  name_members(n->taken, n->ntaken, names, sizeof(names)));
	if (array_id)
		sp_hint("something else keeps map %u or its program %u: bpftool map show id %u and bpftool prog show "
			"id %u tell who; end that first%s",
			array_id, group->prog_id, array_id, group->prog_id, or_partial);
	else
		sp_hint("a socket fits one of them: bpftool map show lists them and who has them open; end that "
			"first%s",
			or_partial);
	return -EBUSY;
}

int sp_newcomers_refuse(const struct sp_newcomers *n, const struct sp_group *group, bool has_others)
{
	const char *or_partial = has_others ? ", or say --partial: those members then get no traffic" : "";
	char endpoint[SP_ENDPOINT_STRLEN];

	if (n->ntaken)
		return refuse_taken(n, group, or_partial);
	sp_group_endpoint(group, endpoint);
	if (n->unseen)
		sp_refuse(0, "%s: %u of %u members are held by processes that cannot be seen from here",
			  endpoint, n->unseen, group->size);
	if (n->forbidden)
		sp_refuse(
			0,
			"%s: %u of %u members are held by processes that may not be read (need CAP_SYS_PTRACE)",
			endpoint, n->forbidden, group->size);
	sp_hint("run it as root in the host's pid namespace%s", or_partial);
	return -EPERM;
}
