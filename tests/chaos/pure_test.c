// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The storm without sockets: the program and the loader, compiled for this machine over a kernel of our own, and an
 * independent account of who must own what (pure/model.h). Needs no root; millions of steps a minute.
 *
 *	CHAOS_STEPS=N	events of the random storm: packets, deaths, commands, time
 *	CHAOS_SEED=N	its first history; a violation names the seed of the history that it is in
 */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "pure/report.h"
#include "pure/steps.h"
#include "pure/storm.h"
#include "seed.h"

#define SECOND 1000000000ULL
#define STEPS_DEFAULT 5000000

static const struct sp_sim_options usual = {
	.protocol = SP_UDP,
	.track = SP_TRACK_TRANSITION,
	.hash = SP_HASH_SIPHASH,
	.learn_ns = 5 * SECOND,
	.flow_room = SP_TABLE_ROOM_MAX,
	.flow_idle_s = SP_FLOW_IDLE_DEFAULT_S,
};

static struct sp_random numbers;

static void must(const struct sp_change *change)
{
	sp_require(sp_steps_change(change) == SP_SIM_DONE, "the loader is not done");
}

/* A steered group whose flows are all known. */
static void begin_steered(__u64 seed, __u32 nworkers, __u32 nflows)
{
	sp_steps_begin(seed, nworkers, nflows);
	sp_steps_all_send();
	sp_steps_load(&usual);
	must(NULL);
	sp_steps_all_send();
}

static void pure__random_storm__every_flow_goes_where_it_must(void **state)
{
	const struct sp_steps_tally *t = &sp_steps_tally;
	__u64 seed = sp_seed(), left = sp_seed_setting("CHAOS_STEPS", STEPS_DEFAULT);
	struct sp_random seeds = { seed };

	(void)state;
	sp_steps_tally = (struct sp_steps_tally){ 0 };
	while (left) {
		left -= sp_storm_history(seed, left);
		seed = sp_random_next(&seeds);
	}
	print_message(
		"%llu steps in %llu histories: %llu packets, %llu deaths, %llu joins, %llu runs of the loader "
		"(%llu killed, %llu changes), %llu detaches, %llu flows for I2\n",
		t->steps, t->histories, t->packets, t->deaths, t->joins, t->runs, t->killed, t->changes,
		t->detaches, t->spread);
}

/* Workers are replaced one after another, faster than the window closes: one merged change after the other. */
static void pure__i1_rolling_restart_within_one_window__no_live_flow_moves(void **state)
{
	(void)state;
	for (__u32 n = 0; n < 100; n++) {
		__u32 nworkers = 2 + n % 14;

		begin_steered(n, nworkers, 200);
		for (__u32 s = 0; s < nworkers; s++) {
			__u32 newcomer;

			sp_steps_close(sp_sim.in_slot[s]);
			sp_steps_all_send();
			newcomer = sp_steps_join();
			must(NULL);
			sp_require(sp_sim.in_slot[s] == newcomer, "the newcomer has not got the dead slot %u",
				   s);
			sp_require(sp_model_is_learning(), "the window has closed");
			sp_steps_all_send();
		}
		sp_steps_end(&numbers);
	}
}

/* To the last slot and back to two workers, by halves that die at once. */
static void pure__grow_to_1024_slots_and_shrink__balanced_and_nobody_moves(void **state)
{
	static struct sp_change retire;

	(void)state;
	begin_steered(1, 2, SP_MODEL_FLOWS_MAX);
	for (__u32 n = 2; n < SP_SLOTS_MAX; n *= 2) {
		for (__u32 i = 0; i < n; i++)
			sp_steps_join();
		must(NULL);
		sp_steps_settle();
	}
	sp_require(sp_sim_view()->nslots == SP_SLOTS_MAX, "there are %u slots", sp_sim_view()->nslots);
	sp_steps_join();
	sp_require(sp_steps_change(NULL) == SP_SIM_REFUSED, "there is a slot for one worker too many");
	sp_steps_close(sp_sim.last_worker);

	for (__u32 n = SP_SLOTS_MAX; n > 2; n /= 2) {
		for (__u32 i = 0; i < n / 2; i++)
			sp_steps_close(sp_sim.member[i]);
		sp_steps_all_send();
		retire = (struct sp_change){ .kind = SP_CHANGE_RETIRE };
		for (__u32 s = 0; s < SP_SLOTS_MAX; s++)
			retire.is_asked[s] = sp_sim.info[s].state != SP_SLOT_FREE && !sp_sim.in_slot[s];
		must(&retire);
		sp_steps_settle();
	}
	sp_steps_end(&numbers);
}

/* --- a loader that is killed --- */

/* Something for every part of the loader to do: a dead slot to be taken, a new one, and whatever is asked. */
static void prepare(void)
{
	begin_steered(3, 6, 400);
	sp_steps_settle();
	sp_steps_close(sp_sim.in_slot[2]);
	sp_steps_close(sp_sim.in_slot[5]);
	sp_steps_all_send();
	sp_steps_join();
}

static void kill_at_every_call(const struct sp_change *change)
{
	enum sp_sim_end end = SP_SIM_KILLED;

	for (__u32 calls = 0; end == SP_SIM_KILLED; calls++) {
		const struct sp_sim_run run = { .change = change, .calls = calls };

		prepare();
		end = sp_steps_reconcile(&run);
		sp_steps_all_send();
		sp_steps_join();
		must(NULL);
		sp_steps_end(&numbers);
		sp_require(calls < 200, "the loader comes to no end");
	}
}

static void pure__i5_sync_killed_at_any_call__the_next_one_completes_it(void **state)
{
	(void)state;
	kill_at_every_call(NULL);
}

static void pure__i5_change_killed_at_any_call__the_next_sync_completes_it(void **state)
{
	struct sp_change change = { 0 };

	(void)state;
	change.is_asked[1] = change.is_asked[3] = true;
	change.weight[1] = 7;
	for (change.kind = SP_CHANGE_DRAIN; change.kind <= SP_CHANGE_WEIGHT; change.kind++) {
		if (change.kind != SP_CHANGE_RETIRE)
			kill_at_every_call(&change);
	}
	change = (struct sp_change){ .kind = SP_CHANGE_RETIRE };
	change.is_asked[5] = true;
	kill_at_every_call(&change);
}

static void pure__i5_attach_killed_at_any_call__the_next_one_completes_it(void **state)
{
	enum sp_sim_end end = SP_SIM_KILLED;

	(void)state;
	for (__u32 calls = 0; end == SP_SIM_KILLED; calls++) {
		const struct sp_sim_run run = { .calls = calls };

		sp_steps_begin(calls, 5, 400);
		sp_steps_all_send();
		sp_steps_load(&usual);
		end = sp_steps_reconcile(&run);
		sp_steps_all_send();
		must(NULL);
		sp_require(sp_sim.is_attached, "it is not attached");
		sp_steps_end(&numbers);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pure__i1_rolling_restart_within_one_window__no_live_flow_moves),
		cmocka_unit_test(pure__grow_to_1024_slots_and_shrink__balanced_and_nobody_moves),
		cmocka_unit_test(pure__i5_sync_killed_at_any_call__the_next_one_completes_it),
		cmocka_unit_test(pure__i5_change_killed_at_any_call__the_next_sync_completes_it),
		cmocka_unit_test(pure__i5_attach_killed_at_any_call__the_next_one_completes_it),
		cmocka_unit_test(pure__random_storm__every_flow_goes_where_it_must),
	};

	/* The loader reads a group's state into fresh memory each time: let it not come from the kernel each time. */
	mallopt(M_MMAP_THRESHOLD, 64 << 20);
	mallopt(M_TRIM_THRESHOLD, 64 << 20);
	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
