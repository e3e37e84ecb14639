// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * `upgrade` is killed after its first system call, after its second, and so on. No flow moves, the group is steered
 * all the time, no count is lost or goes back, and the next command completes what was left (I5, I8).
 */
#include "kill.h"
#include "old.h"

#define NAME "dns"
#define WORKERS 4
#define FLOWS 64

static struct sp_crew crew;
static struct sp_crowd crowd;
static int before[FLOWS], after[FLOWS];
static json_int_t asked; /* datagrams that the program was asked about since the attach */

static void attach_anew(void)
{
	sp_run("attach", NAME, crew.endpoint, "--learn", "1h");
	sp_crowd_ask(&crowd, before);
	asked = FLOWS;
}

static void ask(void)
{
	sp_crowd_stays(&crowd, &crew, before, after);
	asked += FLOWS;
}

static const char *const upgrade[] = { "steadyport", "upgrade", NAME, NULL };

/* Kills it, then looks at what is there. False: it was not killed. */
static bool interrupt(unsigned int nth)
{
	struct sp_run run;
	bool was_killed;

	was_killed = sp_kill_run(&run, nth, upgrade);
	if (!was_killed)
		assert_int_equal(run.status, SP_EXIT_OK);
	sp_run_free(&run);
	assert_true(sp_left_attached(crew.port));
	ask();
	return was_killed;
}

static void expect_complete(void)
{
	assert_false(sp_left_staging(NAME));
	assert_true(sp_left_pins(NAME));
	assert_true(sp_status_bool(NAME, "attached"));
	assert_int_equal(sp_counters_outcomes(NAME), asked);
	ask();
	assert_int_equal(sp_counters_outcomes(NAME), asked);
}

static void e2e__upgrade_killed_at_any_call__no_flow_moves_and_no_count_is_lost(void **state)
{
	bool was_killed = true, was_interrupted = false;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, FLOWS);
	attach_anew();
	for (unsigned int nth = 1; was_killed; nth += sp_kill_stride(1)) {
		was_killed = interrupt(nth);
		was_interrupted |= sp_left_staging(NAME);
		assert_int_equal(sp_counters_outcomes(NAME), asked);
		assert_true(sp_status_bool(NAME, "attached"));
		if (nth % 4 == 0) {
			sp_run("detach", NAME);
			sp_left_nothing(crew.port);
			attach_anew();
			continue;
		}
		sp_run(nth % 2 ? "sync" : "upgrade", NAME);
		expect_complete();
	}
	assert_true(was_interrupted);
	sp_crowd_close(&crowd);
}

static void e2e__upgrade_from_abi_1_killed_at_any_call__no_flow_moves_and_no_count_is_lost(void **state)
{
	bool was_killed = true;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, FLOWS);
	for (unsigned int nth = 1; was_killed; nth += sp_kill_stride(1)) {
		attach_anew();
		sp_old_make(NAME, 1);
		was_killed = interrupt(nth);
		sp_run("upgrade", NAME);
		expect_complete();
		sp_run("detach", NAME);
		sp_left_nothing(crew.port);
	}
	sp_crowd_close(&crowd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(e2e__upgrade_killed_at_any_call__no_flow_moves_and_no_count_is_lost,
					  sp_run_teardown),
		cmocka_unit_test_teardown(
			e2e__upgrade_from_abi_1_killed_at_any_call__no_flow_moves_and_no_count_is_lost,
			sp_run_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
