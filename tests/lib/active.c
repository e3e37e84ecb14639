// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Connections that stay open, and their count. */
#include <poll.h>
#include <string.h>
#include "active.h"
#include "tags.h"

struct sp_flow_set *sp_active_open(struct sp_fixture *fx, size_t count)
{
	fx->manner = SP_LAB_WAITS;
	return sp_fixture_flows(fx, count);
}

void sp_active_end(struct sp_fixture *fx, struct sp_flow_set *set)
{
	require_ok(sp_lab_ask(&set->lab));
	sp_fixture_answers(fx, set);
}

void sp_active_require(struct sp_fixture *fx, __u32 id, __u32 expected)
{
	__u32 slot = sp_fixture_slot(fx, id);
	__u64 deadline = sp_lab_now_ms() + SP_FIXTURE_PATIENCE_MS;
	__u32 active = sp_tags_active(&fx->pins, slot);

	while (active != expected && sp_lab_left_ms(deadline)) {
		poll(NULL, 0, 1);
		active = sp_tags_active(&fx->pins, slot);
	}
	if (active != expected)
		fail_msg("worker %u has %u connections, not %u", id, active, expected);
}
