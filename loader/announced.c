// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Sockets that were announced and not enrolled yet. */
#include <string.h>
#include "announced.h"
#include "value.h"

#define PATIENCE_NS (200 * SP_NS_PER_MS) /* for listen() to get from its announcement to its end */

/* A new one, in the place of the first that need not be awaited if there is no other. NULL: there is none at all. */
static struct sp_announced_socket *make_room(struct sp_announced *announced)
{
	if (announced->count < SP_ANNOUNCED_MAX)
		return &announced->sockets[announced->count++];
	for (size_t i = 0; i < announced->count; i++) {
		if (!announced->sockets[i].is_shown)
			continue;
		memmove(&announced->sockets[i], &announced->sockets[i + 1],
			(announced->count - i - 1) * sizeof(announced->sockets[i]));
		return &announced->sockets[announced->count - 1];
	}
	return NULL;
}

void sp_announced_add(struct sp_announced *announced, const struct sp_watch_event *event)
{
	struct sp_announced_socket *socket = event->kind == SP_WATCH_GONE ? NULL : make_room(announced);

	if (socket)
		*socket = (struct sp_announced_socket){ .cookie = event->cookie, .heard_ns = event->time_ns };
}

__u64 sp_announced_when(const struct sp_announced *announced, __u64 cookie)
{
	for (size_t i = 0; i < announced->count; i++) {
		if (announced->sockets[i].cookie == cookie)
			return announced->sockets[i].heard_ns;
	}
	return 0;
}

static bool shows(const struct sp_groups *groups, __u64 cookie)
{
	for (size_t i = 0; i < groups->ngroups; i++) {
		const struct sp_group *g = &groups->groups[i];

		for (size_t j = 0; j < g->nmembers; j++) {
			if (g->members[j].cookie == cookie)
				return true;
		}
	}
	return false;
}

bool sp_announced_prune(struct sp_announced *announced, const struct sp_groups *groups, __u64 now_ns)
{
	size_t left = 0;
	bool is_any = false;

	for (size_t i = 0; i < announced->count; i++) {
		struct sp_announced_socket socket = announced->sockets[i];

		socket.is_shown = socket.is_shown || shows(groups, socket.cookie);
		if (!socket.is_shown && now_ns >= socket.heard_ns + PATIENCE_NS)
			continue;
		is_any |= !socket.is_shown;
		announced->sockets[left++] = socket;
	}
	announced->count = left;
	return is_any;
}
