// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Placement by the length of the accept queues, and by connections. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "active.h"
#include "fixture.h"
#include "steer.h"
#include "steered.h"
#include "swap.h"

#define WORKERS 4
#define MANY 40 /* more than are compared with each other */
#define CONNECTIONS 120

/* Stands in for a kernel that is locked down: the next load of an object with this program fails. */
static const char *refused;

int __real_bpf_object__load_skeleton(struct bpf_object_skeleton *skeleton);
int __wrap_bpf_object__load_skeleton(struct bpf_object_skeleton *skeleton);

int __wrap_bpf_object__load_skeleton(struct bpf_object_skeleton *skeleton)
{
	if (!refused || !bpf_object__find_program_by_name(*skeleton->obj, refused))
		return __real_bpf_object__load_skeleton(skeleton);
	refused = NULL;
	return -EACCES;
}

static void require_waiting(struct sp_fixture *fx, __u32 id, __u32 expected)
{
	__u32 waiting = sp_fixture_waiting(fx, id);

	if (waiting != expected)
		fail_msg("%u connections wait for worker %u, not %u", waiting, id, expected);
}

static void change(struct sp_fixture *fx, enum sp_change_kind kind, __u32 id, __u32 weight)
{
	sp_autofree struct sp_change *change = calloc(1, sizeof(*change));
	const struct sp_reconcile_options options = { .change = change };
	__u32 slot = sp_fixture_slot(fx, id);

	assert_non_null(change);
	change->kind = kind;
	change->is_asked[slot] = true;
	change->weight[slot] = weight;
	require_ok(sp_reconcile(&fx->pins, &options, &fx->result));
	sp_fixture_look(fx);
}

static void balance__nobody_accepts__all_queues_are_equally_long(struct sp_fixture *fx)
{
	sp_fixture_attach(fx);
	sp_fixture_flows(fx, CONNECTIONS);
	for (__u32 id = 0; id < WORKERS; id++)
		require_waiting(fx, id, CONNECTIONS / WORKERS);
	assert_int_equal(sp_fixture_sum(fx, placed) + sp_fixture_sum(fx, steered), CONNECTIONS);
	/* The hash alone leaves some worker too short by more than nothing; each of these moved one. */
	assert_in_range(sp_fixture_sum(fx, placed), 1, CONNECTIONS / 2);
}

/* Each is accepted before the next one comes: there is never anybody with less to do. */
static void balance__nothing_waits__the_hash_decides(struct sp_fixture *fx)
{
	struct sp_flow_set *set;

	sp_fixture_attach(fx);
	for (int i = 0; i < SP_FIXTURE_FLOW_SETS; i++) {
		set = sp_fixture_flows(fx, 1);
		for (int round = 0; round < 10; round++) {
			sp_fixture_round(fx, set);
			sp_require_agreement(fx, set);
			sp_require_still(fx, set);
		}
	}
	assert_int_equal(sp_fixture_sum(fx, placed), 0);
}

static void balance__weights__divide_the_queues(struct sp_fixture *fx)
{
	sp_fixture_attach(fx);
	change(fx, SP_CHANGE_WEIGHT, 1, 300);
	change(fx, SP_CHANGE_WEIGHT, 2, 50);
	change(fx, SP_CHANGE_WEIGHT, 3, 0);
	sp_fixture_flows(fx, 90);
	require_waiting(fx, 0, 20);
	require_waiting(fx, 1, 60);
	require_waiting(fx, 2, 10);
	require_waiting(fx, 3, 0);
}

static void balance__slots_are_drained_and_ejected__they_get_nothing_and_come_back(struct sp_fixture *fx)
{
	sp_fixture_attach(fx);
	change(fx, SP_CHANGE_DRAIN, 0, 0);
	change(fx, SP_CHANGE_EJECT, 3, 0);
	sp_fixture_flows(fx, 40);
	require_waiting(fx, 0, 0);
	require_waiting(fx, 1, 20);
	require_waiting(fx, 2, 20);
	require_waiting(fx, 3, 0);

	change(fx, SP_CHANGE_UNDRAIN, 0, 0);
	change(fx, SP_CHANGE_UNDRAIN, 3, 0);
	sp_fixture_flows(fx, 40);
	for (__u32 id = 0; id < WORKERS; id++)
		require_waiting(fx, id, 20);
}

/* Its queue was short, and its memory may still say so; nobody has told user space that it is gone. */
static void
balance__i2_a_worker_dies_unseen__its_connections_and_new_ones_go_to_the_shortest(struct sp_fixture *fx)
{
	sp_fixture_attach(fx);
	sp_fixture_flows(fx, 4 * 12);
	sp_fixture_kill(fx, 2);
	for (__u32 id = 0; id < WORKERS; id++)
		if (id != 2)
			require_waiting(fx, id, 16);
	assert_int_equal(sp_fixture_sum(fx, migrated), 12);
	sp_fixture_flows(fx, 30);
	for (__u32 id = 0; id < WORKERS; id++)
		if (id != 2)
			require_waiting(fx, id, 26);
	assert_int_equal(sp_fixture_sum(fx, unselected), 0);
}

static void balance__i3_all_but_one_die__it_gets_everything(struct sp_fixture *fx)
{
	sp_fixture_attach(fx);
	sp_fixture_flows(fx, 40);
	for (__u32 id = 1; id < WORKERS; id++)
		sp_fixture_kill(fx, id);
	require_waiting(fx, 0, 40);
	sp_fixture_flows(fx, 40);
	require_waiting(fx, 0, 80);
	assert_int_equal(sp_fixture_sum(fx, unselected), 0);
}

static void balance__a_newcomer_in_a_dead_slot__is_the_shortest_until_it_has_as_many(struct sp_fixture *fx)
{
	__u32 newcomer;

	sp_fixture_attach(fx);
	sp_fixture_flows(fx, 60);
	sp_fixture_kill(fx, 1);
	newcomer = sp_fixture_join(fx);
	sp_fixture_sync(fx);
	require_waiting(fx, newcomer, 0);
	sp_fixture_flows(fx, 20);
	require_waiting(fx, newcomer, 20);
	sp_fixture_flows(fx, 4);
	for (__u32 id = 0; id <= newcomer; id++)
		if (id != 1)
			require_waiting(fx, id, 21);
}

static void balance__more_workers_than_are_compared__queues_differ_by_little(struct sp_fixture *fx)
{
	__u32 shortest = ~0U, longest = 0;

	sp_fixture_attach(fx);
	sp_fixture_flows(fx, MANY * 10);
	for (__u32 id = 0; id < MANY; id++) {
		__u32 waiting = sp_fixture_waiting(fx, id);

		shortest = waiting < shortest ? waiting : shortest;
		longest = waiting > longest ? waiting : longest;
	}
	/* By the hash some have 4 or fewer, and some 17 or more. */
	assert_in_range(shortest, 8, 10);
	assert_in_range(longest, 10, 12);
}

/* A sockarray that user space knows more of than the program: an address too little means by the hash, not by chance. */
static void balance__addresses_are_not_known__the_hash_decides(struct sp_fixture *fx)
{
	const struct sp_sock none = { 0 };
	struct sp_flow_set *set;

	sp_fixture_attach(fx);
	for (__u32 slot = 0; slot < WORKERS; slot++)
		assert_int_equal(bpf_map_update_elem(fx->pins.socks, &slot, &none, BPF_ANY), 0);
	set = sp_fixture_flows(fx, CONNECTIONS);
	assert_int_equal(sp_fixture_sum(fx, placed), 0);
	/* The next look makes good for it. */
	sp_fixture_sync(fx);
	sp_fixture_flows(fx, CONNECTIONS);
	for (__u32 id = 0; id < WORKERS; id++)
		require_waiting(fx, id, CONNECTIONS / 2);
	(void)set;
}

/* Of a stale address the kernel reads whatever is there; bpf_probe_read_kernel() makes zeros of what cannot be read. */
static void balance__addresses_are_wrong__no_connection_is_lost(struct sp_fixture *fx)
{
	sp_fixture_attach(fx);
	for (__u32 slot = 0; slot < WORKERS; slot++) {
		const struct sp_sock wrong = {
			.address = slot == 1 ? 0xdead000000000000ULL :
				   slot == 2 ? 8 :
					       0xffffffff81000000ULL,
			.incarnation = fx->state->info[slot].incarnation,
		};

		assert_int_equal(bpf_map_update_elem(fx->pins.socks, &slot, &wrong, BPF_ANY), 0);
	}
	sp_fixture_flows(fx, CONNECTIONS);
	assert_int_equal(sp_fixture_sum(fx, placed) + sp_fixture_sum(fx, steered), CONNECTIONS);
}

static void balance__changed_while_connections_wait__nobody_moves_and_it_is_in_force(struct sp_fixture *fx)
{
	bool was_attached;
	__u32 before[WORKERS], all = 0;

	sp_fixture_attach(fx);
	sp_fixture_flows(fx, CONNECTIONS);
	for (__u32 id = 0; id < WORKERS; id++)
		before[id] = sp_fixture_waiting(fx, id);
	require_ok(sp_swap_balance(SP_FIXTURE_BPFFS, &fx->pins, SP_BALANCE_LEAST_QUEUE, &was_attached));
	assert_true(was_attached);
	sp_fixture_look(fx);
	assert_int_equal(fx->state->ctl.balance, SP_BALANCE_LEAST_QUEUE);
	for (__u32 id = 0; id < WORKERS; id++)
		require_waiting(fx, id, before[id]);
	sp_fixture_flows(fx, CONNECTIONS);
	for (__u32 id = 0; id < WORKERS; id++)
		require_waiting(fx, id, CONNECTIONS / 2);
	require_ok(sp_swap_balance(SP_FIXTURE_BPFFS, &fx->pins, SP_BALANCE_HASH, &was_attached));
	sp_fixture_look(fx);
	assert_int_equal(fx->state->ctl.balance, SP_BALANCE_HASH);
	for (__u32 id = 0; id < WORKERS; id++)
		all += sp_fixture_waiting(fx, id);
	assert_int_equal(all, 2 * CONNECTIONS);
	/* The meter of the fixture has the runs of the last program only. */
	sp_pins_close(&fx->pins);
}

/* Connections of a worker are in the group while it has not taken them: a listener that closes would hand them on. */
static void await_accepted(struct sp_fixture *fx, __u32 id)
{
	__u64 deadline = sp_lab_now_ms() + SP_FIXTURE_PATIENCE_MS;
	__u32 waiting;

	do
		require_ok(sp_lab_waiting(&fx->workers[id], &waiting));
	while (waiting && sp_lab_left_ms(deadline));
	assert_int_equal(waiting, 0);
}

static void
least_conn__connections_that_stay_open__are_evenly_spread_whoever_has_accepted(struct sp_fixture *fx)
{
	struct sp_flow_set *set;

	sp_fixture_attach(fx);
	set = sp_active_open(fx, 64);
	for (__u32 id = 0; id < fx->nworkers; id++)
		sp_active_require(fx, id, 64 / fx->nworkers);
	sp_active_end(fx, set);
	for (__u32 id = 0; id < fx->nworkers; id++) {
		assert_int_equal(sp_fixture_count(set, id), 64 / fx->nworkers);
		sp_active_require(fx, id, 0);
	}
}

static void least_conn__some_end__new_ones_go_where_they_were(struct sp_fixture *fx)
{
	struct sp_flow_set *first, *second, *third;

	sp_fixture_attach(fx);
	first = sp_active_open(fx, 40);
	second = sp_active_open(fx, 40);
	sp_active_end(fx, first);
	for (__u32 id = 0; id < WORKERS; id++)
		sp_active_require(fx, id, 10);
	third = sp_active_open(fx, 60);
	for (__u32 id = 0; id < WORKERS; id++)
		sp_active_require(fx, id, 25);
	sp_active_end(fx, second);
	sp_active_end(fx, third);
	for (__u32 id = 0; id < WORKERS; id++)
		sp_active_require(fx, id, 0);
}

static void least_conn__weights__divide_the_connections(struct sp_fixture *fx)
{
	sp_fixture_attach(fx);
	change(fx, SP_CHANGE_WEIGHT, 1, 300);
	change(fx, SP_CHANGE_WEIGHT, 2, 50);
	change(fx, SP_CHANGE_WEIGHT, 3, 0);
	sp_active_open(fx, 90);
	sp_active_require(fx, 0, 20);
	sp_active_require(fx, 1, 60);
	sp_active_require(fx, 2, 10);
	sp_active_require(fx, 3, 0);
}

/* Eject and undrain change the incarnation; the connections are the worker's all the same. */
static void least_conn__slot_is_ejected_and_comes_back__what_it_has_still_counts(struct sp_fixture *fx)
{
	struct sp_flow_set *set;

	sp_fixture_attach(fx);
	set = sp_active_open(fx, 40);
	change(fx, SP_CHANGE_EJECT, 3, 0);
	sp_active_require(fx, 3, 10);
	change(fx, SP_CHANGE_UNDRAIN, 3, 0);
	sp_active_end(fx, set);
	sp_active_require(fx, 3, 0);
	sp_active_open(fx, 40);
	for (__u32 id = 0; id < WORKERS; id++)
		sp_active_require(fx, id, 10);
}

/* What waited for the dead one counts where it is now, there and only there. */
static void
least_conn__listener_dies_with_connections_waiting__they_count_where_they_go(struct sp_fixture *fx)
{
	struct sp_flow_set *set;

	sp_fixture_attach(fx);
	set = sp_fixture_flows(fx, 4 * 12);
	for (__u32 id = 0; id < WORKERS; id++)
		sp_active_require(fx, id, 12);
	sp_fixture_kill(fx, 2);
	for (__u32 id = 0; id < WORKERS; id++)
		if (id != 2)
			sp_active_require(fx, id, 16);
	sp_fixture_kill(fx, 3);
	sp_active_require(fx, 0, 24);
	sp_active_require(fx, 1, 24);
	sp_fixture_resume(fx);
	sp_fixture_answers(fx, set);
	sp_active_require(fx, 0, 0);
	sp_active_require(fx, 1, 0);
	assert_int_equal(sp_fixture_count(set, 0) + sp_fixture_count(set, 1), 48);
}

/* The old worker serves on what it has accepted, as one does that is told to end in peace. */
static void least_conn__newcomer_takes_the_slot_of_one_that_serves_on__it_starts_at_0(struct sp_fixture *fx)
{
	struct sp_flow_set *set;
	__u32 newcomer;

	sp_fixture_attach(fx);
	set = sp_active_open(fx, 40);
	sp_active_require(fx, 1, 10);
	await_accepted(fx, 1);
	assert_int_equal(sp_lab_close(&fx->workers[1]), 0);
	newcomer = sp_fixture_join(fx);
	sp_fixture_sync(fx);
	sp_active_require(fx, newcomer, 0);
	sp_active_open(fx, 10);
	sp_active_require(fx, newcomer, 10);
	sp_active_end(fx, set);
	assert_int_equal(sp_fixture_count(set, 1), 10);
	for (__u32 id = 0; id < newcomer; id++)
		if (id != 1)
			sp_active_require(fx, id, 0);
	sp_active_require(fx, newcomer, 10);
}

static void change_balance(struct sp_fixture *fx, enum sp_balance balance)
{
	sp_autogroups struct sp_groups *groups = NULL;

	require_ok(sp_members_scan(0, &groups));
	require_ok(sp_steered_balance(SP_FIXTURE_BPFFS, &fx->pins, balance, groups));
	sp_fixture_look(fx);
	assert_int_equal(fx->state->ctl.balance, balance);
}

static void least_conn__changed_under_connections__counts_from_then_on_and_ends_with_it(struct sp_fixture *fx)
{
	struct sp_flow_set *before, *set;

	sp_fixture_attach(fx);
	before = sp_active_open(fx, 40);
	change_balance(fx, SP_BALANCE_LEAST_CONN);
	set = sp_active_open(fx, 40);
	for (__u32 id = 0; id < WORKERS; id++)
		sp_active_require(fx, id, 10);
	/* Those from before are not known, and do not count when they end. */
	sp_active_end(fx, before);
	for (__u32 id = 0; id < WORKERS; id++)
		sp_active_require(fx, id, 10);
	/* Replaced by itself: two programs count for a moment, and each connection once. */
	{
		bool was_attached;

		require_ok(sp_swap(SP_FIXTURE_BPFFS, &fx->pins, 0, &was_attached));
	}
	sp_active_end(fx, set);
	for (__u32 id = 0; id < WORKERS; id++)
		sp_active_require(fx, id, 0);
	change_balance(fx, SP_BALANCE_HASH);
	set = sp_active_open(fx, 40);
	for (__u32 id = 0; id < WORKERS; id++)
		sp_active_require(fx, id, 0);
	sp_active_end(fx, set);
	sp_pins_close(&fx->pins);
}

static void require_by_hash(struct sp_fixture *fx)
{
	sp_fixture_look(fx);
	assert_int_equal(fx->state->ctl.balance, SP_BALANCE_HASH);
	sp_fixture_flows(fx, CONNECTIONS);
	assert_int_equal(sp_fixture_sum(fx, steered), CONNECTIONS);
	assert_int_equal(sp_fixture_sum(fx, placed), 0);
}

static void balance__kernel_refuses_to_read_its_memory__attached_by_the_hash(struct sp_fixture *fx)
{
	refused = "sp_steer";
	sp_fixture_attach(fx);
	assert_null(refused);
	require_by_hash(fx);
}

static void balance__kernel_refuses_to_count__attached_by_the_hash(struct sp_fixture *fx)
{
	refused = "sp_count";
	sp_fixture_attach(fx);
	assert_null(refused);
	require_by_hash(fx);
}

static void balance__kernel_refuses_a_change__it_stays_as_it_was(struct sp_fixture *fx)
{
	static const struct {
		const char *program;
		enum sp_balance balance;
	} tries[] = { { "sp_steer", SP_BALANCE_LEAST_QUEUE },
		      { "sp_steer", SP_BALANCE_LEAST_CONN },
		      { "sp_count", SP_BALANCE_LEAST_CONN } };
	sp_autogroups struct sp_groups *groups = NULL;

	sp_fixture_attach(fx);
	require_ok(sp_members_scan(0, &groups));
	for (size_t i = 0; i < SP_ARRAY_SIZE(tries); i++) {
		refused = tries[i].program;
		assert_int_equal(sp_steered_balance(SP_FIXTURE_BPFFS, &fx->pins, tries[i].balance, groups),
				 -EACCES);
		assert_null(refused);
		assert_false(sp_pin_is_staged(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME));
	}
	require_by_hash(fx);
}

/* References to a map in the program as the kernel runs it, after the verifier. */
static unsigned int count_references(int prog, int map)
{
	struct bpf_prog_info prog_info = { 0 };
	struct bpf_map_info map_info = { 0 };
	__u32 len = sizeof(map_info);
	sp_autofree struct bpf_insn *insns = NULL;
	unsigned int count = 0;

	assert_int_equal(bpf_obj_get_info_by_fd(map, &map_info, &len), 0);
	len = sizeof(prog_info);
	assert_int_equal(bpf_obj_get_info_by_fd(prog, &prog_info, &len), 0);
	insns = calloc(1, prog_info.xlated_prog_len);
	assert_non_null(insns);
	len = prog_info.xlated_prog_len;
	prog_info = (struct bpf_prog_info){ .xlated_prog_insns = (__u64)(uintptr_t)insns,
					    .xlated_prog_len = len };
	len = sizeof(prog_info);
	assert_int_equal(bpf_obj_get_info_by_fd(prog, &prog_info, &len), 0);
	for (size_t i = 0; i < prog_info.xlated_prog_len / sizeof(*insns); i++)
		count += insns[i].code == (BPF_LD | BPF_IMM | BPF_DW) &&
			 insns[i].src_reg == BPF_PSEUDO_MAP_FD && (__u32)insns[i].imm == map_info.id;
	return count;
}

static void balance__hash__the_program_in_the_kernel_has_nothing_of_it(struct sp_fixture *fx)
{
	struct sp_ctl ctl = { .protocol = SP_TCP };
	struct sp_pins pins = SP_PINS_NONE;

	(void)fx;
	require_ok(sp_steer_load("by_hash", &ctl, 4, 1, &pins));
	assert_int_equal(count_references(pins.prog, pins.socks), 0);
	assert_int_equal(count_references(pins.prog, pins.active), 0);
	assert_true(count_references(pins.prog, pins.views) > 0);
	sp_pins_close(&pins);

	ctl.balance = SP_BALANCE_LEAST_QUEUE;
	require_ok(sp_steer_load("by_load", &ctl, 4, 1, &pins));
	assert_true(count_references(pins.prog, pins.socks) > 0);
	assert_int_equal(count_references(pins.prog, pins.active), 0);
	assert_true(pins.count < 0);
	sp_pins_close(&pins);
}

int main(int argc, char **argv)
{
#define BY_CONNECTIONS(function, ...) \
	SP_CASE(function, .protocols = SP_CASE_TCP, .balance = SP_BALANCE_LEAST_CONN, __VA_ARGS__)
#define BY_QUEUE(function, ...) \
	SP_CASE(function, .protocols = SP_CASE_TCP, .balance = SP_BALANCE_LEAST_QUEUE, __VA_ARGS__)
	static const struct sp_case cases[] = {
		BY_QUEUE(balance__nobody_accepts__all_queues_are_equally_long, .places = SP_PLACE_ALL,
			 .workers = WORKERS, .is_paused = true),
		BY_QUEUE(balance__nobody_accepts__all_queues_are_equally_long, .places = SP_PLACE_V4,
			 .workers = WORKERS, .is_paused = true, .hash = SP_HASH_KERNEL),
		BY_QUEUE(balance__nothing_waits__the_hash_decides, .places = SP_PLACE_EACH_FAMILY,
			 .workers = WORKERS),
		BY_QUEUE(balance__weights__divide_the_queues, .places = SP_PLACE_V4, .workers = WORKERS,
			 .is_paused = true),
		BY_QUEUE(balance__slots_are_drained_and_ejected__they_get_nothing_and_come_back,
			 .places = SP_PLACE_V4, .workers = WORKERS, .is_paused = true),
		BY_QUEUE(balance__i2_a_worker_dies_unseen__its_connections_and_new_ones_go_to_the_shortest,
			 .places = SP_PLACE_EACH_FAMILY, .workers = WORKERS, .is_paused = true),
		BY_QUEUE(balance__i3_all_but_one_die__it_gets_everything, .places = SP_PLACE_V4,
			 .workers = WORKERS, .is_paused = true),
		BY_QUEUE(balance__a_newcomer_in_a_dead_slot__is_the_shortest_until_it_has_as_many,
			 .places = SP_PLACE_V4, .workers = WORKERS, .is_paused = true),
		BY_QUEUE(balance__more_workers_than_are_compared__queues_differ_by_little,
			 .places = SP_PLACE_V4, .workers = MANY, .is_paused = true),
		BY_QUEUE(balance__addresses_are_not_known__the_hash_decides, .places = SP_PLACE_V4,
			 .workers = WORKERS, .is_paused = true),
		BY_QUEUE(balance__addresses_are_wrong__no_connection_is_lost, .places = SP_PLACE_V4,
			 .workers = WORKERS, .is_paused = true),
		SP_CASE(balance__changed_while_connections_wait__nobody_moves_and_it_is_in_force,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4, .workers = WORKERS,
			.is_paused = true),
		BY_CONNECTIONS(least_conn__connections_that_stay_open__are_evenly_spread_whoever_has_accepted,
			       .places = SP_PLACE_ALL, .workers = 8),
		BY_CONNECTIONS(least_conn__some_end__new_ones_go_where_they_were, .places = SP_PLACE_V4,
			       .workers = WORKERS),
		BY_CONNECTIONS(least_conn__weights__divide_the_connections, .places = SP_PLACE_V4,
			       .workers = WORKERS),
		BY_CONNECTIONS(least_conn__slot_is_ejected_and_comes_back__what_it_has_still_counts,
			       .places = SP_PLACE_V4, .workers = WORKERS),
		BY_CONNECTIONS(least_conn__listener_dies_with_connections_waiting__they_count_where_they_go,
			       .places = SP_PLACE_EACH_FAMILY, .workers = WORKERS, .is_paused = true),
		BY_CONNECTIONS(least_conn__newcomer_takes_the_slot_of_one_that_serves_on__it_starts_at_0,
			       .places = SP_PLACE_V4, .workers = WORKERS),
		SP_CASE(least_conn__changed_under_connections__counts_from_then_on_and_ends_with_it,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4, .workers = WORKERS),
		BY_QUEUE(balance__kernel_refuses_to_read_its_memory__attached_by_the_hash,
			 .places = SP_PLACE_V4, .workers = WORKERS, .is_paused = true),
		BY_CONNECTIONS(balance__kernel_refuses_to_count__attached_by_the_hash, .places = SP_PLACE_V4,
			       .workers = WORKERS, .is_paused = true),
		SP_CASE(balance__kernel_refuses_a_change__it_stays_as_it_was, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_V4, .workers = WORKERS, .is_paused = true),
		SP_CASE(balance__hash__the_program_in_the_kernel_has_nothing_of_it, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_V4),
	};

	return sp_fixture_main("balance", cases, SP_ARRAY_SIZE(cases), argc, argv);
}
