// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How groups, members and their holders end, and come back. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include "fixture.h"
#include "group.h"
#include "members.h"

#define FLOWS 400
#define WORKERS 4

static void write_weight(struct sp_fixture *fx, __u32 slot, __u32 weight)
{
	struct sp_info info = fx->state->info[slot];

	info.weight = weight;
	require_ok(sp_state_write_info(&fx->pins, slot, &info));
}

static void kill_all(struct sp_fixture *fx)
{
	for (__u32 id = 0; id < fx->nworkers; id++)
		if (!fx->is_dead[id])
			sp_fixture_kill(fx, id);
}

static void join_many(struct sp_fixture *fx, __u32 count)
{
	for (__u32 i = 0; i < count; i++)
		sp_fixture_join(fx);
}

static void require_slots(struct sp_fixture *fx, __u32 first, __u32 count, __u32 incarnation)
{
	assert_int_equal(fx->result.nenrolled, count);
	for (__u32 i = 0; i < count; i++) {
		assert_int_equal(fx->result.enrolled[i], first + i);
		assert_int_equal(fx->state->info[first + i].state, SP_SLOT_LIVE);
		assert_int_equal(fx->state->info[first + i].incarnation, incarnation);
	}
}

/* Nobody was dead, new or moved in the eyes of the loader. */
static void require_nothing_to_do(struct sp_fixture *fx)
{
	sp_fixture_sync(fx);
	assert_int_equal(fx->result.nenrolled, 0);
	assert_int_equal(fx->result.ndied, 0);
	assert_false(fx->result.did_publish);
	assert_false(fx->result.did_attach);
}

/* --- the whole group --- */

static void ending__whole_group_dies_and_returns__slots_weights_and_counters_go_on(struct sp_fixture *fx)
{
	struct sp_flow_set *set;
	__u64 steered[WORKERS];

	sp_fixture_attach(fx);
	sp_fixture_settle(fx);
	write_weight(fx, 1, 300);
	write_weight(fx, 2, 0);
	sp_fixture_sync(fx);
	sp_fixture_settle(fx);
	sp_fixture_flows(fx, FLOWS);
	for (__u32 slot = 0; slot < WORKERS; slot++)
		steered[slot] = sp_fixture_row(fx, slot, steered);
	/* By least-queue a worker that accepts late is given less, whatever its weight. */
	assert_true(steered[1] > steered[0] || sp_fixture_balance(fx) == SP_BALANCE_LEAST_QUEUE);
	assert_int_equal(steered[2], 0);

	kill_all(fx);
	sp_fixture_sync(fx);
	assert_int_equal(fx->result.size, 0);
	assert_int_equal(fx->result.ndied, WORKERS);
	require_nothing_to_do(fx);

	join_many(fx, WORKERS);
	set = sp_fixture_flows(fx, FLOWS);
	sp_fixture_sync(fx);
	assert_true(fx->result.did_attach);
	require_slots(fx, 0, WORKERS, 2);
	assert_int_equal(fx->state->info[1].weight, 300);
	assert_int_equal(fx->state->info[2].weight, 0);
	for (__u32 slot = 0; slot < WORKERS; slot++)
		sp_require_asked(fx, sp_fixture_row(fx, slot, steered), steered[slot]);

	/* The kernel chose while nobody was asked; its choice stays. TCP asks anew for each connection. */
	sp_fixture_round(fx, set);
	if (fx->protocol == SP_UDP)
		sp_require_still(fx, set);
	sp_fixture_settle(fx);
	sp_fixture_round(fx, set);
	if (fx->protocol == SP_UDP)
		sp_require_still(fx, set);
	else
		sp_require_agreement(fx, set);
	set = sp_fixture_flows(fx, FLOWS);
	sp_require_agreement(fx, set);
	assert_int_equal(sp_fixture_count(set, WORKERS + 2), 0);
	for (__u32 slot = 0; slot < WORKERS; slot++)
		assert_true(sp_fixture_row(fx, slot, steered) >= steered[slot]);
}

/* Two views were in force, flows were kept, and all of it is of workers that are gone. */
static void
ending__whole_group_dies_while_it_is_learned__returning_one_is_learned_afresh(struct sp_fixture *fx)
{
	struct sp_flow_set *set = sp_fixture_flows(fx, FLOWS);

	sp_fixture_attach(fx);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	assert_true(sp_fixture_kept(fx) > 0);
	kill_all(fx);
	join_many(fx, WORKERS);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);

	sp_fixture_sync(fx);
	assert_true(fx->result.did_attach);
	assert_true(fx->result.is_learning);
	assert_int_equal(fx->result.ndied, WORKERS);
	require_slots(fx, 0, WORKERS, 2);
	for (int i = 0; i < 2; i++) {
		sp_fixture_round(fx, set);
		sp_require_still(fx, set);
	}
	sp_fixture_settle(fx);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	assert_int_equal(sp_fixture_sum(fx, keep_failed), 0);
}

static void ending__only_some_workers_return__they_take_all_until_the_others_come(struct sp_fixture *fx)
{
	struct sp_flow_set *set;

	sp_fixture_attach(fx);
	sp_fixture_settle(fx);
	kill_all(fx);
	join_many(fx, 2);
	set = sp_fixture_flows(fx, FLOWS);
	sp_fixture_sync(fx);
	require_slots(fx, 0, 2, 2);
	assert_int_equal(fx->state->info[2].state, SP_SLOT_DEAD);
	assert_int_equal(fx->state->info[3].state, SP_SLOT_DEAD);
	sp_fixture_round(fx, set);
	if (fx->protocol == SP_UDP)
		sp_require_still(fx, set);
	sp_fixture_settle(fx);
	sp_fixture_round(fx, set);
	assert_int_equal(sp_fixture_count(set, WORKERS) + sp_fixture_count(set, WORKERS + 1), FLOWS);

	join_many(fx, 2);
	sp_fixture_sync(fx);
	assert_false(fx->result.did_attach);
	require_slots(fx, 2, 2, 2);
	sp_fixture_round(fx, set);
	if (fx->protocol == SP_UDP)
		sp_require_still(fx, set);
	sp_fixture_settle(fx);
	set = sp_fixture_flows(fx, FLOWS);
	sp_require_agreement(fx, set);
	assert_true(sp_fixture_count(set, WORKERS + 2) > 0);
	assert_true(sp_fixture_count(set, WORKERS + 3) > 0);
}

/* --- listeners that listen again --- */

static void shut_down(struct sp_fixture *fx, __u32 id)
{
	sp_autoclose int socket = sp_fixture_borrow(fx, id);

	assert_int_equal(shutdown(socket, SHUT_RDWR), 0);
}

static void listen_again(struct sp_fixture *fx, __u32 id)
{
	sp_autoclose int socket = sp_fixture_borrow(fx, id);

	assert_int_equal(listen(socket, 4096), 0);
	assert_int_equal(sp_fixture_cookie(socket), fx->workers[id].cookie);
}

/* The same socket with the same cookie: only the empty slot tells that it was away. */
static void listen__again_on_the_same_socket__is_enrolled_again_in_its_slot(struct sp_fixture *fx)
{
	struct sp_flow_set *set;
	__u32 slot, queued;

	sp_fixture_attach(fx);
	slot = sp_fixture_slot(fx, 2);
	set = sp_fixture_flows(fx, FLOWS);
	queued = sp_fixture_waiting(fx, 2);
	assert_in_range(queued, 1, FLOWS / 2);
	shut_down(fx, 2);
	assert_int_equal(sp_fixture_sum(fx, migrated), queued);
	listen_again(fx, 2);
	assert_int_equal(sp_fixture_waiting(fx, 2), 0);

	sp_fixture_sync(fx);
	assert_false(fx->result.did_attach);
	assert_int_equal(fx->result.ndied, 1);
	require_slots(fx, slot, 1, 2);
	sp_fixture_resume(fx);
	sp_fixture_answers(fx, set);
	for (size_t i = 0; i < set->count; i++)
		assert_in_range(set->owners[i], 0, WORKERS - 1);
	assert_int_equal(sp_fixture_count(set, 2), 0);
	sp_fixture_round(fx, set);
	sp_require_agreement(fx, set);
	assert_true(sp_fixture_count(set, 2) > 0);
	if (sp_fixture_goes_by_hash(fx))
		assert_int_equal(sp_fixture_count(set, 2), queued);
}

static void listen__again_while_a_lower_slot_is_dead__has_its_own_slot_back(struct sp_fixture *fx)
{
	struct sp_flow_set *set;

	sp_fixture_attach(fx);
	write_weight(fx, 3, 200);
	sp_fixture_kill(fx, 0);
	shut_down(fx, 3);
	shut_down(fx, 1);
	sp_fixture_sync(fx);
	assert_int_equal(fx->result.ndied, 3);
	assert_int_equal(fx->result.size, 1);
	set = sp_fixture_flows(fx, FLOWS);
	assert_int_equal(sp_fixture_count(set, 2), FLOWS);

	listen_again(fx, 3);
	sp_fixture_sync(fx);
	require_slots(fx, 3, 1, 2);
	assert_int_equal(fx->state->info[3].weight, 200);
	/* Together with one that has no slot: it takes the one that nobody comes back to. */
	listen_again(fx, 1);
	sp_fixture_join(fx);
	sp_fixture_sync(fx);
	require_slots(fx, 0, 2, 2);
	assert_int_equal(sp_fixture_slot(fx, 1), 1);
	assert_int_equal(sp_fixture_slot(fx, WORKERS), 0);
	sp_fixture_round(fx, set);
	sp_require_agreement(fx, set);
}

/* With the last of them the kernel lets go of the program. */
static void listen__all_shut_down_and_listening_again__attached_anew_in_the_same_slots(struct sp_fixture *fx)
{
	struct sp_flow_set *set;

	sp_fixture_attach(fx);
	for (__u32 id = 0; id < WORKERS; id++)
		shut_down(fx, id);
	sp_fixture_sync(fx);
	assert_int_equal(fx->result.size, 0);
	assert_int_equal(fx->result.ndied, WORKERS);
	/* Another order than that of the slots. */
	for (__u32 id = WORKERS; id-- > 0;)
		listen_again(fx, id);
	sp_fixture_sync(fx);
	assert_true(fx->result.did_attach);
	require_slots(fx, 0, WORKERS, 2);
	for (__u32 id = 0; id < WORKERS; id++)
		assert_int_equal(sp_fixture_slot(fx, id), id);
	set = sp_fixture_flows(fx, FLOWS);
	sp_require_agreement(fx, set);
	for (__u32 id = 0; id < WORKERS; id++)
		assert_true(sp_fixture_count(set, id) > 0);
}

/* --- members with several holders, holders with several members --- */

/* The processes that hold the member of that worker now. */
static size_t owners_of(struct sp_fixture *fx, __u32 id)
{
	sp_autogroups struct sp_groups *groups = NULL;
	const struct sp_group *group;

	require_ok(sp_members_scan(0, &groups));
	group = sp_group_at(groups, &fx->state->ctl, fx->result.program_id);
	assert_non_null(group);
	for (size_t i = 0; i < group->nmembers; i++)
		if (group->members[i].cookie == fx->workers[id].cookie)
			return group->members[i].nowners;
	return 0;
}

/* A second holder that does not serve until it is told to, so that it is clear who answers. */
static __u32 add_holder(struct sp_fixture *fx, __u32 id, __u32 (*add)(struct sp_fixture *fx, __u32 id))
{
	__u32 other;

	require_ok(sp_lab_pause(&fx->workers[id]));
	fx->options.is_paused = true;
	other = add(fx, id);
	fx->options.is_paused = false;
	require_ok(sp_lab_resume(&fx->workers[id]));
	return other;
}

static void require_heir(struct sp_fixture *fx, struct sp_flow_set *set, __u32 id, __u32 heir)
{
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	for (size_t i = 0; sp_fixture_goes_by_hash(fx) && i < set->count; i++)
		assert_int_equal(set->owners[i], set->before[i] == (int)id ? heir : (__u32)set->before[i]);
	assert_true(sp_fixture_count(set, heir) > 0);
}

static void check_holders(struct sp_fixture *fx, __u32 (*add)(struct sp_fixture *fx, __u32 id))
{
	struct sp_flow_set *set = sp_fixture_flows(fx, FLOWS);
	__u32 first = 1, second, third, slot;

	sp_fixture_attach(fx);
	sp_fixture_settle(fx);
	slot = sp_fixture_slot(fx, first);
	sp_fixture_round(fx, set);

	/* The one that does not serve dies: nobody notices. */
	second = add_holder(fx, first, add);
	assert_int_equal(owners_of(fx, first), 2);
	sp_fixture_kill(fx, second);
	assert_int_equal(owners_of(fx, first), 1);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	require_nothing_to_do(fx);

	/* The one that serves dies; its member lives, and with it its slot. */
	third = add_holder(fx, first, add);
	sp_fixture_kill(fx, first);
	assert_int_equal(owners_of(fx, third), 1);
	require_ok(sp_lab_resume(&fx->workers[third]));
	require_heir(fx, set, first, third);
	require_nothing_to_do(fx);
	assert_int_equal(sp_fixture_slot(fx, third), slot);
	assert_int_equal(fx->state->info[slot].incarnation, 1);
	assert_int_equal(sp_fixture_sum(fx, empty), 0);

	/* With its last holder it dies. */
	sp_fixture_kill(fx, third);
	sp_fixture_sync(fx);
	assert_int_equal(fx->result.ndied, 1);
	assert_int_equal(fx->result.died[0], slot);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
}

static void holder__one_of_two_after_a_fork_dies__member_lives_on_in_the_other(struct sp_fixture *fx)
{
	check_holders(fx, sp_fixture_fork);
}

static void holder__socket_passed_to_a_successor__member_lives_on_in_it(struct sp_fixture *fx)
{
	check_holders(fx, sp_fixture_share);
}

/* What waits in the queue of a member is not lost with the one that should have served it. */
static void holder__serving_one_dies_with_connections_waiting__other_answers_them(struct sp_fixture *fx)
{
	struct sp_flow_set *set;
	__u32 heir;

	sp_fixture_attach(fx);
	set = sp_fixture_flows(fx, FLOWS);
	heir = sp_fixture_fork(fx, 1);
	sp_fixture_kill(fx, 1);
	sp_fixture_resume(fx);
	sp_fixture_answers(fx, set);
	assert_int_equal(sp_fixture_sum(fx, migrated), 0);
	assert_int_equal(sp_fixture_count(set, heir), sp_fixture_row(fx, sp_fixture_slot(fx, heir), steered));
	sp_require_agreement(fx, set);
}

static void holder__i1_process_with_two_members_is_killed__both_slots_die_at_once(struct sp_fixture *fx)
{
	struct sp_flow_set *set;
	__u32 twin, queued;

	fx->options.nsockets = 2;
	twin = sp_fixture_join(fx);
	fx->options.nsockets = 0;
	sp_fixture_attach(fx);
	assert_int_equal(fx->result.live, WORKERS + 2);
	sp_fixture_settle(fx);
	set = sp_fixture_flows(fx, FLOWS);
	if (fx->is_paused) {
		queued = sp_fixture_waiting(fx, twin);
		assert_in_range(queued, 1, FLOWS - 1);
	}
	sp_fixture_kill(fx, twin);
	if (fx->is_paused) {
		/* From the first to the second some of them, and on to others. */
		assert_in_range(sp_fixture_sum(fx, migrated), queued, 2 * queued - 1);
		sp_fixture_resume(fx);
		sp_fixture_answers(fx, set);
	} else {
		sp_fixture_round(fx, set);
		sp_require_still(fx, set);
		assert_true(sp_fixture_count_before(set, twin) > 0);
	}
	sp_require_agreement(fx, set);
	sp_fixture_sync(fx);
	assert_int_equal(fx->result.ndied, 2);
	for (__u32 i = 0; i < 2; i++)
		assert_int_equal(fx->state->info[WORKERS + i].state, SP_SLOT_DEAD);
	assert_int_equal(fx->result.live, WORKERS);
}

int main(int argc, char **argv)
{
	static const struct sp_case cases[] = {
		SP_CASE(ending__whole_group_dies_and_returns__slots_weights_and_counters_go_on,
			.protocols = SP_CASE_BOTH, .places = SP_PLACE_EACH_FAMILY, .workers = WORKERS),
		SP_CASE(ending__whole_group_dies_while_it_is_learned__returning_one_is_learned_afresh,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_EACH_FAMILY, .workers = WORKERS),
		SP_CASE(ending__whole_group_dies_while_it_is_learned__returning_one_is_learned_afresh,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_V4, .workers = WORKERS,
			.track = SP_TRACK_ALWAYS),
		SP_CASE(ending__only_some_workers_return__they_take_all_until_the_others_come,
			.protocols = SP_CASE_BOTH, .places = SP_PLACE_V4 | SP_PLACE_V6, .workers = WORKERS),
		SP_CASE(listen__again_on_the_same_socket__is_enrolled_again_in_its_slot,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_EACH_FAMILY, .workers = WORKERS,
			.is_paused = true),
		SP_CASE(listen__again_while_a_lower_slot_is_dead__has_its_own_slot_back,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4, .workers = WORKERS),
		SP_CASE(listen__all_shut_down_and_listening_again__attached_anew_in_the_same_slots,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4 | SP_PLACE_V6, .workers = WORKERS),
		SP_CASE(holder__one_of_two_after_a_fork_dies__member_lives_on_in_the_other,
			.protocols = SP_CASE_BOTH, .places = SP_PLACE_V4 | SP_PLACE_V6, .workers = WORKERS),
		SP_CASE(holder__socket_passed_to_a_successor__member_lives_on_in_it,
			.protocols = SP_CASE_BOTH, .places = SP_PLACE_V4 | SP_PLACE_V6, .workers = WORKERS),
		SP_CASE(holder__serving_one_dies_with_connections_waiting__other_answers_them,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4, .workers = WORKERS,
			.is_paused = true),
		SP_CASE(holder__i1_process_with_two_members_is_killed__both_slots_die_at_once,
			.protocols = SP_CASE_BOTH, .places = SP_PLACE_V4 | SP_PLACE_V6, .workers = WORKERS),
		SP_CASE(holder__i1_process_with_two_members_is_killed__both_slots_die_at_once,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_DUAL_V4, .workers = WORKERS,
			.is_paused = true),
	};

	return sp_fixture_main("endings", cases, SP_ARRAY_SIZE(cases), argc, argv);
}
