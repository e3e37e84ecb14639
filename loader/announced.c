// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Sockets that were announced and not seen yet. */
#include "announced.h"
#include "value.h"

#define PATIENCE_NS (200 * SP_NS_PER_MS) /* for listen() to get from its announcement to its end */

void sp_announced_add(struct sp_announced *announced, const struct sp_watch_event *event)
{
	if (event->kind == SP_WATCH_GONE || announced->count == SP_ANNOUNCED_MAX)
		return;
	announced->sockets[announced->count].cookie = event->cookie;
	announced->sockets[announced->count++].heard_ns = event->time_ns;
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

	for (size_t i = 0; i < announced->count; i++) {
		if (now_ns < announced->sockets[i].heard_ns + PATIENCE_NS &&
		    !shows(groups, announced->sockets[i].cookie))
			announced->sockets[left++] = announced->sockets[i];
	}
	announced->count = left;
	return left;
}
