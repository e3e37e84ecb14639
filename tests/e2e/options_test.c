// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the options of attach change in the way a group is steered. */
#include <string.h>
#include "cleanup.h"
#include "run.h"

#define WORKERS 4
#define NEWCOMER WORKERS
#define FLOWS 400
#define SEED "0f0e0d0c0b0a09080706050403020100"
#define OTHER_SEED "0f0e0d0c0b0a09080706050403020101"

static struct sp_crew crew;
static struct sp_crowd crowd;
static int before[FLOWS], after[FLOWS], later[FLOWS];

static void start(enum sp_protocol protocol)
{
	sp_crew_start(&crew, protocol, "127.0.0.1", 0, WORKERS, NULL);
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 20000, FLOWS);
}

/* Flows that changed worker, and those of them that went to the newcomer. */
static size_t count_moved(const int *from, const int *to, size_t *ret_to_newcomer)
{
	size_t moved = 0, to_newcomer = 0;

	for (size_t i = 0; i < FLOWS; i++) {
		moved += from[i] != to[i];
		to_newcomer += from[i] != to[i] && to[i] == NEWCOMER;
	}
	*ret_to_newcomer = to_newcomer;
	return moved;
}

static void e2e__learn_0__no_window_and_nothing_kept(void **state)
{
	(void)state;
	start(SP_UDP);
	sp_crowd_ask(&crowd, before);
	assert_null(strstr(sp_run("attach", "dns", crew.endpoint, "--learn", "0")->out, "being learned"));
	assert_false(sp_status_bool("dns", "learning"));
	assert_int_equal(sp_status_int("dns", "learn_remaining_ms"), 0);
	/* What the attach moved it moved at once; from then on all stay. */
	sp_crowd_ask(&crowd, before);
	sp_crowd_stays(&crowd, &crew, before, after);
	assert_int_equal(sp_status_int("dns", "kept_flows"), 0);
	sp_crew_kill(&crew, 1);
	sp_crowd_stays(&crowd, &crew, before, after);
	sp_crowd_close(&crowd);
}

static void e2e__track_off_and_a_newcomer__only_flows_of_its_buckets_move(void **state)
{
	size_t moved, to_newcomer;

	(void)state;
	start(SP_UDP);
	sp_run("attach", "dns", crew.endpoint, "--track", "off");
	sp_crowd_ask(&crowd, before);
	sp_crew_add(&crew, NEWCOMER);
	sp_run("sync", "dns");
	sp_crowd_ask(&crowd, after);
	moved = count_moved(before, after, &to_newcomer);
	assert_int_equal(moved, to_newcomer);
	/* A fifth of all, but for chance: these are far outside of it. */
	assert_in_range(moved, FLOWS / 10, FLOWS / 3);
	assert_int_equal(sp_status_int("dns", "kept_flows"), 0);
	sp_crowd_close(&crowd);
}

static void e2e__track_always_and_no_window__a_newcomer_takes_no_known_flow(void **state)
{
	(void)state;
	start(SP_UDP);
	sp_run("attach", "dns", crew.endpoint, "--track", "always", "--learn", "0");
	sp_crowd_ask(&crowd, before);
	assert_int_equal(sp_status_int("dns", "kept_flows"), FLOWS);
	sp_crew_add(&crew, NEWCOMER);
	sp_run("sync", "dns");
	assert_false(sp_status_bool("dns", "learning"));
	sp_crowd_stays(&crowd, &crew, before, after);
	sp_crowd_close(&crowd);
}

static void e2e__track_transition__keeps_only_flows_that_the_change_would_move(void **state)
{
	json_int_t kept;

	(void)state;
	start(SP_UDP);
	sp_run("attach", "dns", crew.endpoint, "--learn", sp_run_window(1000));
	sp_status_wait_settled("dns");
	sp_crowd_ask(&crowd, before);
	assert_int_equal(sp_status_int("dns", "kept_flows"), 0);
	sp_run("detach", "dns");

	/* With a window that is surely open when they are asked, about a fifth is kept. */
	sp_run("attach", "dns", crew.endpoint, "--learn", "1h");
	sp_crowd_ask(&crowd, before);
	kept = sp_status_int("dns", "kept_flows");
	assert_in_range(kept, FLOWS / 2, FLOWS - 1);
	sp_crowd_stays(&crowd, &crew, before, after);
	assert_int_equal(sp_status_int("dns", "kept_flows"), kept);
	sp_crowd_close(&crowd);
}

static void attach_and_ask(const char *seed, int *owners)
{
	sp_run("attach", "dns", crew.endpoint, "--learn", "0", "--seed", seed);
	sp_crowd_ask(&crowd, owners);
	sp_run("detach", "dns");
}

static void e2e__the_same_seed_twice__the_same_placement(void **state)
{
	size_t unused;

	(void)state;
	start(SP_UDP);
	attach_and_ask(SEED, before);
	attach_and_ask(OTHER_SEED, later);
	attach_and_ask(SEED, after);
	assert_memory_equal(before, after, sizeof(before));
	assert_true(count_moved(before, later, &unused) > FLOWS / 2);
	sp_crowd_close(&crowd);
}

static void e2e__detach_then_attach_at_once__all_members_are_enrolled_again(void **state)
{
	(void)state;
	start(SP_UDP);
	/* The kernel frees the maps of a detached program a little later; they may not hold on to sockets. */
	for (int i = 0; i < 6; i++) {
		sp_run("attach", "dns", crew.endpoint);
		assert_int_equal(sp_status_int("dns", "enrolled"), WORKERS);
		sp_run("detach", "dns");
	}
	sp_crowd_close(&crowd);
}

static void e2e__sync_again__changes_nothing(void **state)
{
	json_int_t serial;

	(void)state;
	start(SP_UDP);
	sp_run("attach", "dns", crew.endpoint, "--learn", "0");
	sp_crowd_ask(&crowd, before);
	sp_crew_add(&crew, NEWCOMER);
	sp_run("sync", "dns");
	/* The first one after the window settles what was learned. */
	assert_non_null(strstr(sp_run("sync", "dns")->out, "what was learned is settled"));
	serial = sp_status_int("dns", "view_serial");
	assert_non_null(strstr(sp_run("sync", "dns")->out, "nothing to do"));
	assert_non_null(strstr(sp_run("sync", "dns")->out, "nothing to do"));
	assert_int_equal(sp_status_int("dns", "view_serial"), serial);
	sp_crowd_close(&crowd);
}

static void e2e__all_workers_restarted__sync_steers_the_new_ones(void **state)
{
	int count[WORKERS] = { 0 };

	(void)state;
	start(SP_UDP);
	sp_run("attach", "dns", crew.endpoint);
	for (unsigned int id = 0; id < WORKERS; id++)
		sp_crew_kill(&crew, id);
	assert_int_equal(sp_status_int("dns", "members"), 0);
	assert_non_null(strstr(sp_run("sync", "dns")->out, "no members"));
	for (unsigned int id = 0; id < WORKERS; id++)
		sp_crew_add(&crew, id);
	assert_non_null(strstr(sp_run("sync", "dns")->out, "attached"));
	assert_true(sp_status_bool("dns", "attached"));
	assert_int_equal(sp_status_int("dns", "enrolled"), WORKERS);
	sp_crowd_ask(&crowd, before);
	for (size_t i = 0; i < FLOWS; i++)
		count[before[i]]++;
	for (unsigned int id = 0; id < WORKERS; id++)
		assert_true(count[id] > 0);
	sp_crew_kill(&crew, 3);
	sp_crowd_stays(&crowd, &crew, before, after);
	sp_crowd_close(&crowd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(e2e__learn_0__no_window_and_nothing_kept, sp_run_teardown),
		cmocka_unit_test_teardown(e2e__track_off_and_a_newcomer__only_flows_of_its_buckets_move,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__track_always_and_no_window__a_newcomer_takes_no_known_flow,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__track_transition__keeps_only_flows_that_the_change_would_move,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__the_same_seed_twice__the_same_placement, sp_run_teardown),
		cmocka_unit_test_teardown(e2e__detach_then_attach_at_once__all_members_are_enrolled_again,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__sync_again__changes_nothing, sp_run_teardown),
		cmocka_unit_test_teardown(e2e__all_workers_restarted__sync_steers_the_new_ones,
					  sp_run_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
