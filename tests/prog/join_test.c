// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Newcomers, restarts and other planned changes: who is known stays, who is new goes by the new view. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <bpf/bpf.h>
#include <steadyport/choose.h>
#include "fixture.h"

#define FLOWS 600
#define NEW_FLOWS 2000
#define WORKERS 4
#define SHORT_WINDOW_NS 1500000000ULL

/* A round in which nobody may move whose worker lives. */
#define step(fx, set)                      \
	do {                               \
		sp_fixture_round(fx, set); \
		sp_require_still(fx, set); \
	} while (0)

static struct sp_flow_set *attach_and_settle(struct sp_fixture *fx)
{
	struct sp_flow_set *set = sp_fixture_flows(fx, FLOWS);

	sp_fixture_attach(fx);
	if (fx->protocol == SP_UDP)
		step(fx, set);
	sp_fixture_settle(fx);
	return set;
}

static void require_enrolled(const struct sp_fixture *fx, __u32 slot)
{
	assert_int_equal(fx->result.nenrolled, 1);
	assert_int_equal(fx->result.enrolled[0], slot);
	assert_true(fx->result.did_publish);
}

static void require_settled(struct sp_fixture *fx)
{
	sp_fixture_sync(fx);
	assert_false(fx->result.did_publish);
	assert_false(fx->result.did_attach);
	assert_int_equal(fx->result.nenrolled, 0);
	assert_int_equal(fx->result.ndied, 0);
}

/* At least half of what it is due of new flows. */
static void require_fair_share(struct sp_fixture *fx, __u32 id, size_t nlive)
{
	struct sp_flow_set *set = sp_fixture_flows(fx, NEW_FLOWS);

	sp_require_agreement(fx, set);
	print_message("  worker %u has %zu of %zu new flows\n", id, sp_fixture_count(set, id), set->count);
	assert_true(sp_fixture_count(set, id) >= NEW_FLOWS / nlive / 2);
}

static void steer__i1_worker_restarted__known_flows_stay_and_new_ones_reach_it(struct sp_fixture *fx)
{
	struct sp_flow_set *set = attach_and_settle(fx);
	__u32 slot = sp_fixture_slot(fx, 1), newcomer;

	sp_fixture_kill(fx, 1);
	step(fx, set);
	newcomer = sp_fixture_join(fx);
	step(fx, set);
	sp_fixture_sync(fx);
	require_enrolled(fx, slot);
	assert_int_equal(fx->result.ndied, 1);
	assert_int_equal(fx->result.died[0], slot);
	assert_true(fx->result.is_learning);

	step(fx, set);
	step(fx, set);
	assert_int_equal(sp_fixture_count(set, newcomer), 0);
	sp_fixture_end_window(fx);
	step(fx, set);
	sp_fixture_settle(fx);
	step(fx, set);
	assert_int_equal(sp_fixture_count(set, newcomer), 0);
	require_fair_share(fx, newcomer, WORKERS);
	step(fx, set);
}

static void steer__i1_new_slot_joins__known_flows_stay_and_new_ones_reach_it(struct sp_fixture *fx)
{
	struct sp_flow_set *set = attach_and_settle(fx);
	__u32 newcomer = sp_fixture_join(fx);

	sp_fixture_sync(fx);
	require_enrolled(fx, WORKERS);
	step(fx, set);
	sp_fixture_end_window(fx);
	step(fx, set);
	sp_fixture_settle(fx);
	step(fx, set);
	assert_int_equal(sp_fixture_count(set, newcomer), 0);
	require_fair_share(fx, newcomer, WORKERS + 1);
}

/* The time of the window is real here: nobody is learned when it has passed. */
static void steer__learn_window_passes__new_flows_go_by_the_new_view(struct sp_fixture *fx)
{
	struct sp_flow_set *set = sp_fixture_flows(fx, FLOWS);
	__u32 newcomer;
	__u64 learned, end;

	fx->learn_ns = SHORT_WINDOW_NS;
	sp_fixture_attach(fx);
	sp_fixture_settle(fx);
	newcomer = sp_fixture_join(fx);
	sp_fixture_sync(fx);
	assert_true(fx->result.is_learning);
	assert_in_range(fx->result.learn_remaining_ns, 1, SHORT_WINDOW_NS);
	end = sp_state_current(fx->state)->learn_until_ns;
	while (sp_now_ns() < end)
		poll(NULL, 0, 10);

	learned = sp_fixture_sum(fx, learned);
	require_fair_share(fx, newcomer, WORKERS + 1);
	assert_int_equal(sp_fixture_sum(fx, learned), learned);
	sp_fixture_sync(fx);
	assert_false(fx->result.is_learning);
	assert_int_equal(fx->result.learn_remaining_ns, 0);
	require_settled(fx);
	sp_fixture_round(fx, set);
	sp_require_agreement(fx, set);
}

/*
 * Nothing was heard of these flows between the death of their worker and the arrival of the next in its
 * slot.
 */
static void steer__i1_slot_reoccupied__silent_flows_do_not_wait_for_the_newcomer(struct sp_fixture *fx)
{
	struct sp_flow_set *set = attach_and_settle(fx);
	__u32 slot = sp_fixture_slot(fx, 2), newcomer;
	__u64 kept;

	sp_fixture_kill(fx, 2);
	newcomer = sp_fixture_join(fx);
	kept = sp_fixture_row(fx, slot, kept);
	sp_fixture_sync(fx);
	require_enrolled(fx, slot);
	step(fx, set);
	step(fx, set);
	assert_int_equal(sp_fixture_count(set, newcomer), 0);
	assert_int_equal(sp_fixture_row(fx, slot, kept), kept);
}

/*
 * Every bucket moves and asks the table. What was kept on the dead worker has an owner elsewhere, so
 * only the flows that were at home in the slot may find the newcomer there.
 */
static void steer__kept_flow_of_an_earlier_incarnation__does_not_jump_to_the_newcomer(struct sp_fixture *fx)
{
	struct sp_flow_set *set = sp_fixture_flows(fx, FLOWS);
	__u32 slot, newcomer, incarnation;
	__u64 kept, home;

	sp_fixture_attach(fx);
	step(fx, set);
	step(fx, set);
	slot = sp_fixture_slot(fx, 2);
	incarnation = fx->state->info[slot].incarnation;
	kept = sp_fixture_row(fx, slot, kept);
	home = sp_fixture_count(set, 2) - kept;
	assert_true(kept > 0);

	sp_fixture_kill(fx, 2);
	newcomer = sp_fixture_join(fx);
	sp_fixture_sync(fx);
	require_enrolled(fx, slot);
	assert_int_equal(fx->state->info[slot].incarnation, incarnation + 1);
	step(fx, set);
	assert_int_equal(sp_fixture_row(fx, slot, stale), kept);
	assert_int_equal(sp_fixture_count(set, newcomer), home);

	/* The packet that finds such an entry replaces it. */
	step(fx, set);
	assert_int_equal(sp_fixture_sum(fx, stale), kept);
}

/* Here the flows find another worker before the newcomer is there. */
static void steer__kept_flow_of_a_dead_worker__is_replaced_by_the_packet_that_finds_it(struct sp_fixture *fx)
{
	struct sp_flow_set *set = attach_and_settle(fx);
	__u32 slot = sp_fixture_slot(fx, 2), newcomer;
	__u64 stale;

	sp_fixture_kill(fx, 2);
	step(fx, set);
	stale = sp_fixture_row(fx, slot, stale);
	assert_true(stale > 0);
	step(fx, set);
	assert_int_equal(sp_fixture_sum(fx, stale), stale);

	newcomer = sp_fixture_join(fx);
	sp_fixture_sync(fx);
	require_enrolled(fx, slot);
	step(fx, set);
	sp_fixture_settle(fx);
	step(fx, set);
	assert_int_equal(sp_fixture_count(set, newcomer), 0);
	assert_int_equal(sp_fixture_sum(fx, stale), stale);
}

static void steer__i1_changes_within_one_window__known_flows_stay(struct sp_fixture *fx)
{
	struct sp_flow_set *set = attach_and_settle(fx);
	__u32 newcomer;

	/* join */
	sp_fixture_kill(fx, 1);
	step(fx, set);
	newcomer = sp_fixture_join(fx);
	sp_fixture_sync(fx);
	assert_true(fx->result.is_learning);
	step(fx, set);
	/* a death, in moving buckets and in others, seen by packets only */
	sp_fixture_kill(fx, 2);
	step(fx, set);
	step(fx, set);
	/* the next joins before the window of the first is over */
	sp_fixture_join(fx);
	sp_fixture_sync(fx);
	assert_true(fx->result.is_learning);
	step(fx, set);
	/* one that only grows the group */
	sp_fixture_join(fx);
	sp_fixture_sync(fx);
	step(fx, set);
	/* the first newcomer dies and nobody takes its place */
	sp_fixture_kill(fx, newcomer);
	sp_fixture_sync(fx);
	assert_int_equal(fx->result.ndied, 1);
	step(fx, set);
	/* and one that had most of the flows */
	sp_fixture_kill(fx, 0);
	step(fx, set);
	sp_fixture_join(fx);
	sp_fixture_sync(fx);
	step(fx, set);
	step(fx, set);

	sp_fixture_end_window(fx);
	step(fx, set);
	sp_fixture_settle(fx);
	step(fx, set);
	require_settled(fx);
}

/*
 * The window after the attach is open all the time, so flows unknown to the table follow the kernel's
 * old order.
 */
static void steer__i1_changes_while_the_attach_is_learned__known_flows_stay(struct sp_fixture *fx)
{
	struct sp_flow_set *set = sp_fixture_flows(fx, FLOWS);

	sp_fixture_attach(fx);
	step(fx, set);
	sp_fixture_join(fx);
	sp_fixture_sync(fx);
	step(fx, set);
	sp_fixture_kill(fx, 0);
	step(fx, set);
	sp_fixture_kill(fx, 3);
	sp_fixture_join(fx);
	sp_fixture_sync(fx);
	step(fx, set);
	step(fx, set);
	sp_fixture_settle(fx);
	step(fx, set);
}

/*
 * Flows that were not heard of before the change: they must be taken for what they are, flows of the
 * old function.
 */
static void steer__i1_flow_silent_until_two_changes_are_done__stays(struct sp_fixture *fx)
{
	struct sp_flow_set *set = sp_fixture_flows(fx, FLOWS);

	sp_fixture_attach(fx);
	sp_fixture_join(fx);
	sp_fixture_sync(fx);
	sp_fixture_join(fx);
	sp_fixture_sync(fx);
	step(fx, set);
	assert_int_equal(sp_fixture_count(set, WORKERS), 0);
	assert_int_equal(sp_fixture_count(set, WORKERS + 1), 0);
}

struct kept_check {
	struct sp_state *state;
	__u64 buckets[SP_BUCKETS / 64];
	size_t redundant;
	size_t count;
	__u32 oldest_s;
	__u32 newest_s;
};

static int take_live(void *state, __u32 slot)
{
	return sp_slot_is_live(state, slot) ? 0 : -ENOENT;
}

static int check_kept(void *ctx, __u64 hash, const struct sp_flow *flow)
{
	struct kept_check *check = ctx;
	int choice = sp_choose(sp_state_current(check->state), hash, check->state, take_live);

	check->count++;
	check->redundant += choice >= 0 && SP_CHOICE_SLOT(choice) == flow->slot;
	check->buckets[sp_bucket(hash) / 64] |= 1ULL << (sp_bucket(hash) % 64);
	if (flow->last_seen_s < check->oldest_s)
		check->oldest_s = flow->last_seen_s;
	if (flow->last_seen_s > check->newest_s)
		check->newest_s = flow->last_seen_s;
	return 0;
}

static struct kept_check look_at_kept(struct sp_fixture *fx)
{
	struct kept_check check = { .state = fx->state, .oldest_s = -1U };

	sp_fixture_look(fx);
	check.state = fx->state;
	assert_int_equal(sp_state_each_flow(&fx->pins, check_kept, &check), 0);
	return check;
}

static void reconcile__window_is_over__only_buckets_of_kept_flows_move(struct sp_fixture *fx)
{
	struct sp_flow_set *set = attach_and_settle(fx);
	const struct sp_view *view;
	struct kept_check check;

	sp_fixture_kill(fx, 0);
	step(fx, set);
	sp_fixture_join(fx);
	sp_fixture_sync(fx);
	step(fx, set);
	sp_fixture_settle(fx);

	check = look_at_kept(fx);
	view = sp_state_current(fx->state);
	assert_int_equal(view->learn_until_ns, 0);
	assert_true(check.count > 0);
	assert_int_equal(check.redundant, 0);
	assert_memory_equal(view->moving, check.buckets, sizeof(check.buckets));
	step(fx, set);
	assert_int_equal(sp_fixture_kept(fx), check.count);
}

static void reconcile__newcomer_leaves_again__redundant_kept_flows_are_dropped(struct sp_fixture *fx)
{
	struct sp_flow_set *set = attach_and_settle(fx);
	struct kept_check check;

	/* Whoever it could have taken away is kept; without it most of them are at home. */
	sp_fixture_join(fx);
	sp_fixture_sync(fx);
	step(fx, set);
	sp_fixture_settle(fx);
	sp_fixture_kill(fx, WORKERS);
	sp_fixture_sync(fx);
	step(fx, set);
	sp_fixture_settle(fx);
	check = look_at_kept(fx);
	assert_int_equal(check.redundant, 0);
	step(fx, set);
}

static void reconcile__run_twice__second_changes_nothing(struct sp_fixture *fx)
{
	struct sp_flow_set *set = sp_fixture_flows(fx, FLOWS);

	sp_fixture_attach(fx);
	require_settled(fx);
	sp_fixture_round(fx, set);
	if (fx->protocol == SP_UDP)
		sp_require_still(fx, set);
	/* with kept flows, the window open */
	require_settled(fx);
	sp_fixture_settle(fx);
	require_settled(fx);
	/* with a dead slot */
	sp_fixture_kill(fx, 1);
	sp_fixture_sync(fx);
	assert_int_equal(fx->result.ndied, 1);
	assert_int_equal(fx->result.live, WORKERS - 1);
	require_settled(fx);
	step(fx, set);
	sp_fixture_settle(fx);
	require_settled(fx);
	/* with a newcomer */
	sp_fixture_join(fx);
	sp_fixture_sync(fx);
	assert_int_equal(fx->result.nenrolled, 1);
	require_settled(fx);
	sp_fixture_settle(fx);
	require_settled(fx);
	/* with nobody left */
	for (__u32 id = 0; id < fx->nworkers; id++)
		sp_fixture_kill(fx, id);
	sp_fixture_sync(fx);
	assert_int_equal(fx->result.size, 0);
	assert_int_equal(fx->result.live, 0);
	sp_fixture_settle(fx);
	require_settled(fx);
	/* A whole group anew is attached again, in the slots that it had. */
	for (__u32 i = 0; i < WORKERS; i++)
		sp_fixture_join(fx);
	sp_fixture_sync(fx);
	assert_true(fx->result.did_attach);
	assert_int_equal(fx->result.nenrolled, WORKERS);
	for (__u32 i = 0; i < WORKERS; i++)
		assert_int_equal(fx->result.enrolled[i], i);
	require_settled(fx);
}

static void steer__kept_flow_seen_in_a_later_second__time_is_noted(struct sp_fixture *fx)
{
	struct sp_flow_set *set = attach_and_settle(fx);
	struct kept_check before = look_at_kept(fx), after;
	__u32 now_s = sp_now_ns() / 1000000000;

	assert_true(before.count > 0);
	while (sp_now_ns() / 1000000000 <= now_s)
		poll(NULL, 0, 10);
	step(fx, set);
	after = look_at_kept(fx);
	assert_int_equal(after.count, before.count);
	assert_true(after.oldest_s > now_s);
	assert_true(before.newest_s <= now_s);
}

static void steer__tracking_always__flow_silent_during_the_window_stays(struct sp_fixture *fx)
{
	struct sp_flow_set *set;

	sp_fixture_attach(fx);
	sp_fixture_settle(fx);
	set = sp_fixture_flows(fx, FLOWS);
	assert_int_equal(sp_fixture_kept(fx), FLOWS);
	sp_fixture_round(fx, set);
	assert_int_equal(sp_fixture_sum(fx, kept), FLOWS);

	sp_fixture_join(fx);
	sp_fixture_sync(fx);
	sp_fixture_settle(fx);
	step(fx, set);
	assert_int_equal(sp_fixture_count(set, WORKERS), 0);
	sp_fixture_kill(fx, 0);
	step(fx, set);
	step(fx, set);
}

/* Nothing is remembered: the flows of the buckets that move go with them, and no others. */
static void require_only_moves_to(struct sp_fixture *fx, struct sp_flow_set *set, __u32 newcomer)
{
	size_t moved = 0;

	sp_fixture_round(fx, set);
	for (size_t i = 0; i < set->count; i++) {
		if (set->owners[i] == set->before[i])
			continue;
		assert_int_equal(set->owners[i], newcomer);
		moved++;
	}
	assert_true(moved > 0);
	assert_int_equal(sp_fixture_sum(fx, learned), 0);
	assert_int_equal(sp_fixture_kept(fx), 0);
	sp_require_agreement(fx, set);
}

static void steer__nothing_tracked__only_flows_of_moved_buckets_go_to_the_newcomer(struct sp_fixture *fx)
{
	struct sp_flow_set *set;
	__u32 newcomer;

	sp_fixture_attach(fx);
	set = sp_fixture_flows(fx, FLOWS);
	newcomer = sp_fixture_join(fx);
	sp_fixture_sync(fx);
	assert_false(fx->result.is_learning);
	require_only_moves_to(fx, set, newcomer);
	sp_fixture_kill(fx, 1);
	step(fx, set);
	newcomer = sp_fixture_join(fx);
	sp_fixture_sync(fx);
	require_only_moves_to(fx, set, newcomer);
	require_fair_share(fx, newcomer, WORKERS + 1);
}

static void write_info(struct sp_fixture *fx, __u32 id, enum sp_slot_state state, __u32 weight)
{
	__u32 slot = sp_fixture_slot(fx, id);
	struct sp_info info = fx->state->info[slot];

	info.state = state;
	info.weight = weight;
	assert_int_equal(sp_state_write_info(&fx->pins, slot, &info), 0);
}

static void steer__i1_slot_drained__known_flows_stay_and_new_ones_avoid_it(struct sp_fixture *fx)
{
	struct sp_flow_set *set = attach_and_settle(fx), *later;

	write_info(fx, 2, SP_SLOT_DRAINING, SP_WEIGHT_DEFAULT);
	sp_fixture_sync(fx);
	assert_true(fx->result.did_publish);
	step(fx, set);
	sp_fixture_settle(fx);
	step(fx, set);
	assert_true(sp_fixture_count(set, 2) > 0);
	later = sp_fixture_flows(fx, FLOWS);
	sp_require_agreement(fx, later);
	assert_int_equal(sp_fixture_count(later, 2), 0);
	require_settled(fx);
}

static void
steer__i1_slots_reweighted__known_flows_stay_and_new_ones_follow_the_weights(struct sp_fixture *fx)
{
	struct sp_flow_set *set = attach_and_settle(fx), *later;

	write_info(fx, 0, SP_SLOT_LIVE, 3 * SP_WEIGHT_DEFAULT);
	write_info(fx, 1, SP_SLOT_LIVE, 0);
	sp_fixture_sync(fx);
	assert_true(fx->result.did_publish);
	step(fx, set);
	sp_fixture_settle(fx);
	step(fx, set);

	/* 3 : 0 : 1 : 1, and six standard deviations are 131 flows. */
	later = sp_fixture_flows(fx, NEW_FLOWS);
	sp_require_agreement(fx, later);
	assert_in_range(sp_fixture_count(later, 0), NEW_FLOWS * 3 / 5 - 131, NEW_FLOWS * 3 / 5 + 131);
	assert_int_equal(sp_fixture_count(later, 1), 0);
}

int main(int argc, char **argv)
{
	static const struct sp_case cases[] = {
		SP_CASE(steer__i1_worker_restarted__known_flows_stay_and_new_ones_reach_it,
			.protocols = SP_CASE_UDP,
			.places = SP_PLACE_V4_ANY | SP_PLACE_V6_OWN | SP_PLACE_DUAL_V4, .workers = WORKERS),
		SP_CASE(steer__i1_worker_restarted__known_flows_stay_and_new_ones_reach_it,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_V4, .workers = WORKERS,
			.track = SP_TRACK_ALWAYS),
		SP_CASE(steer__i1_new_slot_joins__known_flows_stay_and_new_ones_reach_it,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_V4, .workers = WORKERS),
		SP_CASE(steer__learn_window_passes__new_flows_go_by_the_new_view, .protocols = SP_CASE_UDP,
			.places = SP_PLACE_V4, .workers = WORKERS),
		SP_CASE(steer__i1_slot_reoccupied__silent_flows_do_not_wait_for_the_newcomer,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_V4, .workers = WORKERS),
		SP_CASE(steer__kept_flow_of_an_earlier_incarnation__does_not_jump_to_the_newcomer,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_V4, .workers = WORKERS),
		SP_CASE(steer__kept_flow_of_a_dead_worker__is_replaced_by_the_packet_that_finds_it,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_V4, .workers = WORKERS),
		SP_CASE(steer__i1_changes_within_one_window__known_flows_stay, .protocols = SP_CASE_UDP,
			.places = SP_PLACE_V4 | SP_PLACE_DUAL_V4, .workers = WORKERS),
		SP_CASE(steer__i1_changes_within_one_window__known_flows_stay, .protocols = SP_CASE_UDP,
			.places = SP_PLACE_V4, .workers = WORKERS, .track = SP_TRACK_ALWAYS),
		SP_CASE(steer__i1_changes_while_the_attach_is_learned__known_flows_stay,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_V6, .workers = WORKERS),
		SP_CASE(steer__i1_flow_silent_until_two_changes_are_done__stays, .protocols = SP_CASE_UDP,
			.places = SP_PLACE_V4, .workers = WORKERS),
		SP_CASE(reconcile__window_is_over__only_buckets_of_kept_flows_move, .protocols = SP_CASE_UDP,
			.places = SP_PLACE_V4, .workers = WORKERS),
		SP_CASE(reconcile__newcomer_leaves_again__redundant_kept_flows_are_dropped,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_V4, .workers = WORKERS),
		SP_CASE(reconcile__run_twice__second_changes_nothing, .protocols = SP_CASE_BOTH,
			.places = SP_PLACE_V4, .workers = WORKERS),
		SP_CASE(steer__kept_flow_seen_in_a_later_second__time_is_noted, .protocols = SP_CASE_UDP,
			.places = SP_PLACE_V4, .workers = WORKERS),
		SP_CASE(steer__tracking_always__flow_silent_during_the_window_stays, .protocols = SP_CASE_UDP,
			.places = SP_PLACE_V4, .workers = WORKERS, .track = SP_TRACK_ALWAYS),
		SP_CASE(steer__nothing_tracked__only_flows_of_moved_buckets_go_to_the_newcomer,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_V4, .workers = WORKERS,
			.track = SP_TRACK_OFF),
		SP_CASE(steer__nothing_tracked__only_flows_of_moved_buckets_go_to_the_newcomer,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4 | SP_PLACE_V6, .workers = WORKERS),
		SP_CASE(steer__i1_slot_drained__known_flows_stay_and_new_ones_avoid_it,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_V4, .workers = WORKERS),
		SP_CASE(steer__i1_slots_reweighted__known_flows_stay_and_new_ones_follow_the_weights,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_V4, .workers = WORKERS),
	};

	return sp_fixture_main("join", cases, SP_ARRAY_SIZE(cases), argc, argv);
}
