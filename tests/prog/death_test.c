// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Workers die by SIGKILL while no loader process runs: what the program does by itself. */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "fixture.h"

#define FLOWS 400
#define WORKERS 4

/*
 * Flows enough that a dead worker's share among the survivors is within 30% of even unless luck is
 * worse than five standard deviations: of n flows that fall to one of k survivors m = n / k are due,
 * and 5 x sqrt(m) < 0.3 x m from m = 278 on.
 */
#define MANY_FLOWS 3600
#define TOLERANCE_PERCENT 30

/* What the last worker to die had is spread evenly over those that live, unless it depends on what they have to do. */
static void require_even_spread(const struct sp_fixture *fx, const struct sp_flow_set *set, __u32 dead)
{
	size_t got[SP_FIXTURE_WORKERS] = { 0 }, total = 0, nlive = 0;

	for (size_t i = 0; i < set->count; i++) {
		if (set->before[i] != (int)dead)
			continue;
		got[set->owners[i]]++;
		total++;
	}
	for (__u32 id = 0; id < fx->nworkers; id++)
		nlive += !fx->is_dead[id];
	for (__u32 id = 0; id < fx->nworkers; id++) {
		size_t even = total / nlive;

		if (fx->is_dead[id])
			continue;
		print_message("  worker %u got %zu of %zu flows of worker %u\n", id, got[id], total, dead);
		if (nlive > 1 && sp_fixture_goes_by_hash(fx))
			assert_in_range(got[id], even * (100 - TOLERANCE_PERCENT) / 100,
					even * (100 + TOLERANCE_PERCENT) / 100);
	}
}

static void steer__i1_worker_killed__survivors_keep_their_flows(struct sp_fixture *fx)
{
	struct sp_flow_set *set;
	__u64 rerouted;

	sp_fixture_attach(fx);
	sp_fixture_settle(fx);
	set = sp_fixture_flows(fx, FLOWS);
	sp_require_agreement(fx, set);
	assert_int_equal(sp_fixture_sum(fx, steered), FLOWS);

	for (__u32 dead = 0; dead < WORKERS - 1; dead++) {
		rerouted = sp_fixture_sum(fx, rerouted);
		sp_fixture_kill(fx, dead);
		sp_fixture_round(fx, set);
		sp_require_still(fx, set);
		sp_require_agreement(fx, set);
		assert_true(sp_fixture_sum(fx, rerouted) > rerouted);
		assert_true(sp_fixture_row(fx, sp_fixture_slot(fx, dead), empty) > 0);
	}
	assert_int_equal(sp_fixture_count(set, WORKERS - 1), FLOWS);
	assert_int_equal(sp_fixture_sum(fx, unselected), 0);
	sp_require_asked(fx, sp_fixture_outcomes(fx), FLOWS * WORKERS);
}

static void steer__i2_worker_killed__its_flows_spread_evenly_at_once(struct sp_fixture *fx)
{
	struct sp_flow_set *set;

	sp_fixture_attach(fx);
	sp_fixture_settle(fx);
	set = sp_fixture_flows(fx, MANY_FLOWS);
	for (__u32 dead = WORKERS - 1; dead > 0; dead--) {
		sp_fixture_kill(fx, dead);
		sp_fixture_round(fx, set);
		sp_require_still(fx, set);
		require_even_spread(fx, set, dead);
	}
	sp_require_asked(fx, sp_fixture_outcomes(fx), MANY_FLOWS * WORKERS);
}

/* The window after the attach is open, and every bucket moves: death must not wait for it. */
static void steer__i1_worker_killed_while_learning__survivors_keep_their_flows(struct sp_fixture *fx)
{
	struct sp_flow_set *set = sp_fixture_flows(fx, FLOWS);

	sp_fixture_attach(fx);
	for (__u32 dead = 0; dead < WORKERS - 1; dead++) {
		/* Also with flows that are first seen after the death of their worker. */
		if (dead)
			sp_fixture_round(fx, set);
		sp_fixture_kill(fx, dead);
		sp_fixture_round(fx, set);
		sp_require_still(fx, set);
		sp_fixture_round(fx, set);
		sp_require_still(fx, set);
	}
	assert_int_equal(sp_fixture_count(set, WORKERS - 1), FLOWS);
	assert_int_equal(sp_fixture_sum(fx, unselected), 0);
}

static void
steer__i3_only_enrolled_worker_dies__unenrolled_member_is_left_to_the_kernel(struct sp_fixture *fx)
{
	struct sp_flow_set *set;
	__u32 newcomer;
	__u64 runs;

	sp_fixture_attach(fx);
	sp_fixture_settle(fx);
	sp_fixture_kill(fx, 0);
	newcomer = sp_fixture_join(fx);
	set = sp_fixture_flows(fx, FLOWS);
	/* Half of them would be its share under the kernel's hash. */
	assert_int_equal(sp_fixture_count(set, newcomer), 0);
	assert_int_equal(sp_fixture_sum(fx, unselected), 0);

	sp_fixture_kill(fx, 1);
	sp_fixture_round(fx, set);
	assert_int_equal(sp_fixture_count(set, newcomer), FLOWS);
	sp_require_asked(fx, sp_fixture_sum(fx, unselected), FLOWS);
	sp_require_asked(fx, sp_fixture_row(fx, sp_state_counter_slots(&fx->pins), unselected), FLOWS);

	sp_fixture_kill(fx, newcomer);
	runs = sp_fixture_runs(fx);
	if (fx->protocol == SP_UDP) {
		sp_fixture_round(fx, set);
		assert_int_equal(sp_fixture_count(set, SP_LAB_REFUSED), FLOWS);
	} else {
		struct sp_lab_flows refused = SP_LAB_NO_FLOWS;

		assert_int_equal(sp_lab_open(SP_TCP, &fx->target, fx->port, 0, 1, SP_FIXTURE_PATIENCE_MS,
					     &refused),
				 -ECONNREFUSED);
	}
	assert_int_equal(sp_fixture_runs(fx), runs);
}

static void steer__socket_closed_and_process_alive__counts_as_death(struct sp_fixture *fx)
{
	struct sp_flow_set *set;

	sp_fixture_attach(fx);
	sp_fixture_settle(fx);
	set = sp_fixture_flows(fx, FLOWS);
	assert_int_equal(sp_lab_close(&fx->workers[2]), 0);
	fx->is_dead[2] = true;
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	sp_require_agreement(fx, set);
}

/* Whoever enrolled the workers lives on, in this process: a duplicate of a socket kept here would keep it open. */
static void steer__i6_worker_killed__its_socket_is_gone_at_once(struct sp_fixture *fx)
{
	__u32 newcomer;

	sp_fixture_attach(fx);
	newcomer = sp_fixture_join(fx);
	sp_fixture_sync(fx);
	for (__u32 dead = 0; dead < newcomer; dead++) {
		__u32 slot = sp_fixture_slot(fx, dead);

		assert_true(sp_slot_is_live(fx->state, slot));
		sp_fixture_kill(fx, dead);
		sp_fixture_look(fx);
		assert_false(sp_slot_is_live(fx->state, slot));
	}
	assert_true(sp_slot_is_live(fx->state, sp_fixture_slot(fx, newcomer)));
}

static void steer__i1_worker_killed_under_kernel_hash__survivors_keep_their_flows(struct sp_fixture *fx)
{
	struct sp_flow_set *set;

	sp_fixture_attach(fx);
	sp_fixture_settle(fx);
	set = sp_fixture_flows(fx, FLOWS);
	sp_require_spread(fx, set);
	for (__u32 dead = 0; dead < WORKERS - 1; dead++) {
		sp_fixture_kill(fx, dead);
		sp_fixture_round(fx, set);
		sp_require_still(fx, set);
	}
	assert_int_equal(sp_fixture_sum(fx, unreadable), 0);
	sp_require_asked(fx, sp_fixture_outcomes(fx), FLOWS * WORKERS);
}

/*
 * The newcomer's flows are kept on those who had them. When one of these dies in the same window, its kept flows are
 * free and go where new ones go, which is the newcomer. The view of before does not know it.
 */
static void steer__i2_worker_dies_after_a_join__the_newcomer_gets_what_was_kept_from_it(struct sp_fixture *fx)
{
	struct sp_flow_set *set;
	__u32 slot, newcomer;
	__u64 stale;

	sp_fixture_attach(fx);
	sp_fixture_settle(fx);
	set = sp_fixture_flows(fx, MANY_FLOWS);
	slot = sp_fixture_slot(fx, 0);
	newcomer = sp_fixture_join(fx);
	sp_fixture_sync(fx);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	assert_int_equal(sp_fixture_count(set, newcomer), 0);

	sp_fixture_kill(fx, 0);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	stale = sp_fixture_row(fx, slot, stale);
	assert_true(stale > MANY_FLOWS / WORKERS / (WORKERS + 1) / 2);
	assert_int_equal(sp_fixture_count(set, newcomer), stale);

	/* There they stay, whatever comes. */
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	sp_fixture_join(fx);
	sp_fixture_sync(fx);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	sp_fixture_settle(fx);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	assert_int_equal(sp_fixture_count(set, newcomer), stale);
	assert_int_equal(sp_fixture_sum(fx, stale), stale);
}

static int expect_in_force(void *ctx, __u64 hash, const struct sp_flow *flow)
{
	struct sp_fixture *fx = ctx;

	(void)hash;
	assert_int_equal(flow->incarnation, fx->state->info[flow->slot].incarnation);
	assert_true(sp_slot_is_live(fx->state, flow->slot));
	return 0;
}

/* An entry of a dead worker says that its flow has not been heard of since: it must not be there when it has been. */
static void reconcile__nothing_is_learned__entries_of_dead_workers_are_dropped(struct sp_fixture *fx)
{
	struct sp_flow_set *set = sp_fixture_flows(fx, FLOWS);

	sp_fixture_attach(fx);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	sp_fixture_kill(fx, 1);
	sp_fixture_settle(fx);
	assert_int_equal(sp_state_each_flow(&fx->pins, expect_in_force, fx), 0);
	assert_true(sp_fixture_sum(fx, settled) > 0);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	assert_int_equal(sp_fixture_sum(fx, stale), 0);
}

/*
 * A reader that is a whole ring behind, as when nobody reads for a long time: the reader's place is in a page that it
 * writes, the writer's in the next one (kernel/bpf/ringbuf.c).
 */
static void fill_ring(struct sp_fixture *fx)
{
	long page = sysconf(_SC_PAGESIZE);
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);
	unsigned long *reader, *writer;

	assert_int_equal(bpf_obj_get_info_by_fd(fx->pins.events, &info, &len), 0);
	reader = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fx->pins.events, 0);
	writer = mmap(NULL, page, PROT_READ, MAP_SHARED, fx->pins.events, page);
	assert_ptr_not_equal(reader, MAP_FAILED);
	assert_ptr_not_equal(writer, MAP_FAILED);
	*reader = *writer - info.max_entries;
	munmap(reader, page);
	munmap(writer, page);
}

static void steer__nobody_reads_events_when_a_worker_dies__counted_and_flows_go_on(struct sp_fixture *fx)
{
	struct sp_flow_set *set;

	sp_fixture_attach(fx);
	sp_fixture_settle(fx);
	set = sp_fixture_flows(fx, FLOWS);
	fill_ring(fx);
	sp_fixture_kill(fx, 1);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	sp_require_agreement(fx, set);
	/* Once in the life of a slot its end is told, or is not. */
	assert_int_equal(sp_fixture_row(fx, sp_fixture_slot(fx, 1), events_lost), 1);
	assert_int_equal(sp_fixture_sum(fx, events_lost), 1);
}

int main(int argc, char **argv)
{
	static const struct sp_case cases[] = {
		SP_CASE(steer__i1_worker_killed__survivors_keep_their_flows, .protocols = SP_CASE_BOTH,
			.places = SP_PLACE_EACH_FAMILY | SP_PLACE_V4_OWN, .workers = WORKERS),
		SP_CASE(steer__i2_worker_killed__its_flows_spread_evenly_at_once, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_V4, .workers = WORKERS),
		SP_CASE(steer__i2_worker_killed__its_flows_spread_evenly_at_once, .protocols = SP_CASE_UDP,
			.places = SP_PLACE_V6, .workers = WORKERS),
		SP_CASE(steer__i1_worker_killed_while_learning__survivors_keep_their_flows,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_V4 | SP_PLACE_DUAL_V4,
			.workers = WORKERS),
		SP_CASE(steer__i2_worker_dies_after_a_join__the_newcomer_gets_what_was_kept_from_it,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_V4 | SP_PLACE_V6, .workers = WORKERS),
		SP_CASE(reconcile__nothing_is_learned__entries_of_dead_workers_are_dropped,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_V4, .workers = WORKERS),
		SP_CASE(steer__i3_only_enrolled_worker_dies__unenrolled_member_is_left_to_the_kernel,
			.protocols = SP_CASE_BOTH, .places = SP_PLACE_V4 | SP_PLACE_DUAL_V6, .workers = 2),
		SP_CASE(steer__socket_closed_and_process_alive__counts_as_death, .protocols = SP_CASE_BOTH,
			.places = SP_PLACE_V4, .workers = WORKERS),
		SP_CASE(steer__i6_worker_killed__its_socket_is_gone_at_once, .protocols = SP_CASE_BOTH,
			.places = SP_PLACE_V4 | SP_PLACE_V6, .workers = WORKERS),
		SP_CASE(steer__i1_worker_killed_under_kernel_hash__survivors_keep_their_flows,
			.protocols = SP_CASE_BOTH, .places = SP_PLACE_V6 | SP_PLACE_DUAL_V4,
			.workers = WORKERS, .hash = SP_HASH_KERNEL),
		SP_CASE(steer__nobody_reads_events_when_a_worker_dies__counted_and_flows_go_on,
			.protocols = SP_CASE_BOTH, .places = SP_PLACE_V4, .workers = WORKERS),
	};

	return sp_fixture_main("death", cases, SP_ARRAY_SIZE(cases), argc, argv);
}
