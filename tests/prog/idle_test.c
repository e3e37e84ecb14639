// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How kept flows end: silent for too long, needed no more. */
#include <string.h>
#include <bpf/bpf.h>
#include "fixture.h"
#include "kept.h"

#define FLOWS 600
#define WORKERS 4
#define IDLE_S 180

static void set_idle(struct sp_fixture *fx, __u32 seconds)
{
	struct sp_ctl *ctl;

	assert_int_equal(sp_state_map_ctl(&fx->pins, &ctl), 0);
	ctl->flow_idle_s = seconds;
	sp_state_unmap_ctl(ctl);
}

struct ageing {
	struct sp_fixture *fx;
	__u32 seconds;
};

/* No packet is on its way. */
static int make_older(void *ctx, __u64 hash, const struct sp_flow *flow)
{
	const struct ageing *ageing = ctx;
	struct sp_flow older = *flow;

	older.last_seen_s -= ageing->seconds;
	assert_int_equal(bpf_map_update_elem(ageing->fx->pins.flows, &hash, &older, BPF_EXIST), 0);
	return 0;
}

/* As if this much time had passed since the last packet of each kept flow. */
static void let_pass(struct sp_fixture *fx, __u32 seconds)
{
	struct ageing ageing = { fx, seconds };

	assert_int_equal(sp_state_each_flow(&fx->pins, make_older, &ageing), 0);
}

/* Flows that are kept since the attach, and a window that is over. */
static struct sp_flow_set *attach_and_keep(struct sp_fixture *fx)
{
	struct sp_flow_set *set = sp_fixture_flows(fx, FLOWS);

	sp_fixture_attach(fx);
	set_idle(fx, IDLE_S);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	sp_fixture_end_window(fx);
	assert_true(sp_fixture_kept(fx) > FLOWS / 2);
	return set;
}

static __u64 entries(struct sp_fixture *fx)
{
	sp_autokept struct sp_kept kept = { 0 };

	sp_fixture_look(fx);
	assert_int_equal(sp_kept_read(&fx->pins, fx->state, &kept), 0);
	return kept.count;
}

/* Nothing leaves the table without being counted. */
static void require_balance(struct sp_fixture *fx)
{
	assert_int_equal(sp_fixture_sum(fx, stored), sp_fixture_sum(fx, stale) + sp_fixture_sum(fx, expired) +
							     sp_fixture_sum(fx, settled) + entries(fx));
}

static void steer__kept_flow_silent_for_too_long__is_placed_by_the_view(struct sp_fixture *fx)
{
	struct sp_flow_set *set = attach_and_keep(fx);
	__u64 kept = sp_fixture_kept(fx);

	let_pass(fx, IDLE_S + 2);
	assert_int_equal(sp_fixture_kept(fx), 0);
	sp_fixture_round(fx, set);
	assert_int_equal(sp_fixture_sum(fx, expired), kept);
	sp_require_agreement(fx, set);
	assert_int_equal(entries(fx), 0);
	require_balance(fx);
}

static void steer__kept_flow_silent_but_not_for_too_long__stays(struct sp_fixture *fx)
{
	struct sp_flow_set *set = attach_and_keep(fx);

	/* The round takes less than the rest. */
	let_pass(fx, IDLE_S - 60);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	/* It was heard of: the time starts again. */
	let_pass(fx, IDLE_S - 60);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	assert_int_equal(sp_fixture_sum(fx, expired), 0);
	require_balance(fx);
}

static void steer__idle_time_is_zero__a_kept_flow_stays_for_ever(struct sp_fixture *fx)
{
	struct sp_flow_set *set = attach_and_keep(fx);

	set_idle(fx, 0);
	let_pass(fx, 100000);
	sp_fixture_settle(fx);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	assert_int_equal(sp_fixture_sum(fx, expired), 0);
}

static __u32 count_moving(struct sp_fixture *fx)
{
	const struct sp_view *view = sp_state_current(fx->state);
	__u32 count = 0;

	for (size_t i = 0; i < SP_ARRAY_SIZE(view->moving); i++)
		count += __builtin_popcountll(view->moving[i]);
	return count;
}

static void sync__at_rest__sweeps_silent_flows_and_their_buckets_stop_moving(struct sp_fixture *fx)
{
	struct sp_flow_set *set = attach_and_keep(fx);
	__u64 kept = sp_fixture_kept(fx);

	sp_fixture_sync(fx);
	assert_int_equal(sp_fixture_kept(fx), kept);
	assert_true(count_moving(fx) > 0 && count_moving(fx) <= kept);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);

	let_pass(fx, IDLE_S + 3);
	sp_fixture_sync(fx);
	assert_int_equal(sp_fixture_sum(fx, expired), kept);
	assert_int_equal(entries(fx), 0);
	assert_int_equal(count_moving(fx), 0);
	require_balance(fx);
	sp_fixture_round(fx, set);
	sp_require_agreement(fx, set);
	/* On the fast path again: the table is not even asked. */
	assert_int_equal(sp_fixture_sum(fx, expired), kept);
}

/* Only at rest: while something changes a packet may just make an entry where the old one was. */
static void sync__a_worker_joins__silent_flows_are_left_to_their_packets(struct sp_fixture *fx)
{
	struct sp_flow_set *set = attach_and_keep(fx);
	__u64 kept = sp_fixture_kept(fx);

	let_pass(fx, IDLE_S + 3);
	sp_fixture_join(fx);
	sp_fixture_sync(fx);
	assert_true(fx->result.is_learning);
	assert_int_equal(entries(fx), kept);
	assert_int_equal(sp_fixture_sum(fx, expired), 0);
	sp_fixture_round(fx, set);
	/* They count as unknown: those in moving buckets follow the view before, as the ones they are. */
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	require_balance(fx);
}

static void steer__always_tracked_flow_is_silent__comes_back_as_a_new_one(struct sp_fixture *fx)
{
	struct sp_flow_set *set = attach_and_keep(fx);

	assert_int_equal(sp_fixture_kept(fx), FLOWS);
	let_pass(fx, IDLE_S + 2);
	sp_fixture_round(fx, set);
	assert_int_equal(sp_fixture_sum(fx, expired), FLOWS);
	sp_require_agreement(fx, set);
	assert_int_equal(sp_fixture_kept(fx), FLOWS);
	require_balance(fx);
}

int main(int argc, char **argv)
{
	static const struct sp_case cases[] = {
		SP_CASE(steer__kept_flow_silent_for_too_long__is_placed_by_the_view, .protocols = SP_CASE_UDP,
			.places = SP_PLACE_EACH_FAMILY, .workers = WORKERS),
		SP_CASE(steer__kept_flow_silent_but_not_for_too_long__stays, .protocols = SP_CASE_UDP,
			.places = SP_PLACE_V4, .workers = WORKERS),
		SP_CASE(steer__idle_time_is_zero__a_kept_flow_stays_for_ever, .protocols = SP_CASE_UDP,
			.places = SP_PLACE_V4, .workers = WORKERS),
		SP_CASE(sync__at_rest__sweeps_silent_flows_and_their_buckets_stop_moving,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_EACH_FAMILY, .workers = WORKERS),
		SP_CASE(sync__a_worker_joins__silent_flows_are_left_to_their_packets,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_V4, .workers = WORKERS),
		SP_CASE(steer__always_tracked_flow_is_silent__comes_back_as_a_new_one,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_V4, .workers = WORKERS,
			.track = SP_TRACK_ALWAYS),
	};

	return sp_fixture_main("idle", cases, SP_ARRAY_SIZE(cases), argc, argv);
}
