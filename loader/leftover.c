// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What is left on a drained slot, and waiting until nothing is. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "connections.h"
#include "kept.h"
#include "leftover.h"
#include "log.h"
#include "render.h"

#define POLL_MS 100

bool sp_leftover_is_none(const struct sp_leftover *left)
{
	return !left->is_learning && !left->kept && !left->waiting && !left->connections;
}

const char *sp_leftover_text(const struct sp_leftover *left, enum sp_protocol protocol,
			     char buf[SP_LEFTOVER_STRLEN])
{
	char number[SP_RENDER_STRLEN], more[SP_RENDER_STRLEN];

	if (protocol == SP_TCP) {
		snprintf(buf, SP_LEFTOVER_STRLEN, "%s connection%s and %u waiting to be accepted",
			 sp_render_count(left->connections, number), left->connections == 1 ? "" : "s",
			 left->waiting);
		return buf;
	}
	snprintf(buf, SP_LEFTOVER_STRLEN, "%s kept flow%s and %s in the receive queue%s",
		 sp_render_count(left->kept, number), left->kept == 1 ? "" : "s",
		 sp_render_bytes(left->waiting, more),
		 left->is_learning ? ", and is still being learned" : "");
	return buf;
}

static const struct sp_member *find_member(const struct sp_groups *groups, __u64 cookie)
{
	for (size_t i = 0; i < groups->ngroups; i++)
		for (size_t m = 0; m < groups->groups[i].nmembers; m++)
			if (groups->groups[i].members[m].cookie == cookie)
				return &groups->groups[i].members[m];
	return NULL;
}

static int count_kept(const struct sp_pins *pins, const struct sp_state *state, __u32 slot, __u64 *ret_count)
{
	sp_autokept struct sp_kept kept = { 0 };
	int err = sp_kept_read(pins, state, &kept);

	*ret_count = 0;
	for (size_t i = 0; !err && i < kept.count; i++)
		*ret_count += kept.flows[i].slot == slot && sp_kept_is_in_force(&kept.flows[i]);
	return err;
}

int sp_leftover_look(const struct sp_pins *pins, __u32 slot, struct sp_leftover *ret)
{
	sp_autoconnections struct sp_connections connections = { 0 };
	sp_autogroups struct sp_groups *groups = NULL;
	sp_autostate struct sp_state *state = NULL;
	struct sp_leftover left = { 0 };
	const struct sp_member *member;
	int err;

	err = sp_state_read(pins, &state);
	err = err ?: sp_members_scan(0, &groups);
	if (err)
		return err;
	member = find_member(groups, state->cookie[slot]);
	if (sp_slot_is_live(state, slot)) {
		left.waiting = member ? member->backlog : 0;
		left.is_learning = sp_state_previous(state, sp_now_ns()) != NULL;
		err = count_kept(pins, state, slot, &left.kept);
		if (!err && state->ctl.protocol == SP_TCP && member) {
			err = sp_connections_scan(state->ctl.port, state->ctl.netns_cookie, &connections);
			left.connections = err ? 0 : sp_connections_count(&connections, member);
		}
	}
	if (!err)
		*ret = left;
	return err;
}

int sp_leftover_wait(const struct sp_pins *pins, const bool *is_asked, __u64 deadline_ns, __u32 *ret_slot,
		     struct sp_leftover *ret_left)
{
	const struct timespec tick = { .tv_nsec = POLL_MS * 1000000L };
	struct sp_leftover left;
	__u32 slot = 0;

	while (slot < SP_SLOTS_MAX) {
		int err = is_asked[slot] ? sp_leftover_look(pins, slot, &left) : 0;

		if (err)
			return err;
		if (!is_asked[slot] || sp_leftover_is_none(&left)) {
			slot++;
			continue;
		}
		if (sp_now_ns() >= deadline_ns) {
			*ret_slot = slot;
			*ret_left = left;
			return -ETIMEDOUT;
		}
		nanosleep(&tick, NULL);
	}
	return 0;
}
