// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Groups from 10 members to 200, over the sizes at which the kernel changes how it looks for sockets: above 10 sockets
 * of a port it looks UDP sockets up by address and port, and an array of members grows from 128 to 256.
 */
#include "fixture.h"

#define SMALL 10
#define PER_WORKER 25 /* flows, so that a worker without any means that it cannot be reached */

/* Every worker is reached, and by the flows that user space expects. */
static struct sp_flow_set *require_all_reached(struct sp_fixture *fx)
{
	struct sp_flow_set *set = sp_fixture_flows(fx, PER_WORKER * fx->nworkers);

	sp_require_agreement(fx, set);
	for (__u32 id = 0; id < fx->nworkers; id++)
		assert_true(fx->is_dead[id] || sp_fixture_count(set, id) > 0);
	return set;
}

static void round_and_require_still(struct sp_fixture *fx, struct sp_flow_set *set)
{
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
}

static void steer__i1_udp_group_grows__every_member_is_reached_and_nobody_moves(struct sp_fixture *fx)
{
	static const __u32 sizes[] = { 11, 20, 200 };
	struct sp_flow_set *set;

	sp_fixture_attach(fx);
	sp_fixture_settle(fx);
	set = require_all_reached(fx);
	for (size_t i = 0; i < SP_ARRAY_SIZE(sizes); i++) {
		while (fx->nworkers < sizes[i] + i) /* one has died on each way */
			sp_fixture_join(fx);
		sp_fixture_sync(fx);
		assert_int_equal(fx->result.live, sizes[i]);
		round_and_require_still(fx, set);
		sp_fixture_settle(fx);
		round_and_require_still(fx, set);
		set = require_all_reached(fx);
		sp_fixture_kill(fx, sizes[i] / 2);
		round_and_require_still(fx, set);
	}
	assert_int_equal(sp_fixture_sum(fx, unselected), 0);
}

/* Connections wait in every queue; one worker dies, and only its own are with others. */
static void steer__i1_member_of_a_tcp_group_dies__every_other_keeps_its_connections(struct sp_fixture *fx)
{
	__u32 waiting[SP_FIXTURE_WORKERS], victim = fx->nworkers / 2, migrated = 0;
	struct sp_flow_set *set;

	sp_fixture_attach(fx);
	set = sp_fixture_flows(fx, PER_WORKER * fx->nworkers);
	for (__u32 id = 0; id < fx->nworkers; id++) {
		waiting[id] = sp_fixture_waiting(fx, id);
		assert_true(waiting[id] > 0);
	}
	sp_fixture_kill(fx, victim);
	for (__u32 id = 0; id < fx->nworkers; id++) {
		if (id != victim)
			migrated += sp_fixture_waiting(fx, id) - waiting[id];
	}
	assert_int_equal(migrated, waiting[victim]);
	assert_int_equal(sp_fixture_sum(fx, migrated), migrated);
	sp_fixture_resume(fx);
	sp_fixture_answers(fx, set);
	for (__u32 id = 0; id < fx->nworkers; id++)
		assert_true(sp_fixture_count(set, id) >= (id == victim ? 0 : waiting[id]));
	assert_int_equal(sp_fixture_count(set, victim), 0);
	for (size_t i = 0; i < set->count; i++)
		assert_true(set->owners[i] >= 0);
}

int main(int argc, char **argv)
{
	static const struct sp_case cases[] = {
		SP_CASE(steer__i1_udp_group_grows__every_member_is_reached_and_nobody_moves,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_EACH_FAMILY, .workers = SMALL),
		SP_CASE(steer__i1_member_of_a_tcp_group_dies__every_other_keeps_its_connections,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_EACH_FAMILY, .workers = 10,
			.is_paused = true),
		SP_CASE(steer__i1_member_of_a_tcp_group_dies__every_other_keeps_its_connections,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_EACH_FAMILY, .workers = 20,
			.is_paused = true),
		SP_CASE(steer__i1_member_of_a_tcp_group_dies__every_other_keeps_its_connections,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_EACH_FAMILY, .workers = 200,
			.is_paused = true),
	};

	return sp_fixture_main("size", cases, SP_ARRAY_SIZE(cases), argc, argv);
}
