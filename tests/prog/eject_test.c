// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* An ejected slot keeps no flow, whatever the packets did while it was being ejected. */
#include "fixture.h"

#define FLOWS 600
#define WORKERS 4
#define HUNG 1

/* The first half of what `eject` does: the slot is marked, the view that leaves it out is not yet in force. */
static void mark_ejected(struct sp_fixture *fx, __u32 id)
{
	__u32 slot = sp_fixture_slot(fx, id);
	struct sp_info info = fx->state->info[slot];

	info.incarnation++;
	info.state = SP_SLOT_EJECTED;
	assert_int_equal(sp_state_write_info(&fx->pins, slot, &info), 0);
}

static void require_others_stay(const struct sp_flow_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		assert_true(set->owners[i] >= 0);
		if (set->before[i] != HUNG)
			assert_int_equal(set->owners[i], set->before[i]);
	}
}

static void require_left(struct sp_fixture *fx, struct sp_flow_set *set)
{
	sp_fixture_round(fx, set);
	assert_int_equal(sp_fixture_count(set, HUNG), 0);
	assert_true(sp_fixture_count_before(set, HUNG) > 0);
	require_others_stay(set);
}

static void steer__packets_between_mark_and_view__flows_leave_with_the_view(struct sp_fixture *fx)
{
	struct sp_flow_set *set = sp_fixture_flows(fx, FLOWS);

	sp_fixture_attach(fx);
	sp_fixture_round(fx, set);
	mark_ejected(fx, HUNG);
	/* Some go by the view in force already, and some find the slot there. */
	sp_fixture_round(fx, set);
	require_others_stay(set);
	sp_fixture_sync(fx);
	require_left(fx, set);
}

static void
steer__ejected_slot_was_the_last_resort__flows_leave_for_the_first_that_is_usable(struct sp_fixture *fx)
{
	struct sp_flow_set *set;
	__u32 newcomer;

	sp_fixture_attach(fx);
	sp_fixture_settle(fx);
	for (__u32 id = 0; id < WORKERS; id++) {
		if (id != HUNG)
			sp_fixture_kill(fx, id);
	}
	mark_ejected(fx, HUNG);
	sp_fixture_sync(fx);
	set = sp_fixture_flows(fx, FLOWS);
	assert_int_equal(sp_fixture_count(set, HUNG), FLOWS);

	newcomer = sp_fixture_join(fx);
	sp_fixture_sync(fx);
	require_left(fx, set);
	assert_int_equal(sp_fixture_count(set, newcomer), FLOWS);
}

int main(int argc, char **argv)
{
	static const struct sp_case cases[] = {
		SP_CASE(steer__packets_between_mark_and_view__flows_leave_with_the_view,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_V4 | SP_PLACE_V6, .workers = WORKERS),
		SP_CASE(steer__packets_between_mark_and_view__flows_leave_with_the_view,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_V4, .workers = WORKERS,
			.track = SP_TRACK_ALWAYS),
		SP_CASE(steer__ejected_slot_was_the_last_resort__flows_leave_for_the_first_that_is_usable,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_V4, .workers = WORKERS),
		SP_CASE(steer__ejected_slot_was_the_last_resort__flows_leave_for_the_first_that_is_usable,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_V4, .workers = WORKERS,
			.track = SP_TRACK_ALWAYS),
	};

	return sp_fixture_main("eject", cases, SP_ARRAY_SIZE(cases), argc, argv);
}
