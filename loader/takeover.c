// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Groups that are somebody else's by now. */
#include <errno.h>
#include "group.h"
#include "log.h"
#include "takeover.h"

int sp_takeover_refuse(const char *name, const struct sp_ctl *ctl, const struct sp_group *group)
{
	char endpoint[SP_ENDPOINT_STRLEN];

	sp_group_endpoint(group, endpoint);
	if (group->prog_id)
		sp_refuse(0, "%s is steered by another program: %u %s", endpoint, group->prog_id,
			  group->prog_name);
	else if (group->prog_type)
		sp_refuse(0, "%s is steered by a classic BPF program", endpoint);
	else if (group->uid != ctl->uid)
		/* The kernel groups by user, too: when all members have gone, anybody may bind the port. */
		sp_refuse(0, "%s is a group of uid %u now; %s was made for that of uid %u", endpoint,
			  group->uid, name, ctl->uid);
	else
		return 0;

	if (ctl->attached_at)
		sp_hint("to take it back: steadyport sync %s --replace", name);
	else
		sp_hint("to take it over: steadyport attach %s %s --replace", name, endpoint);
	return -EBUSY;
}
