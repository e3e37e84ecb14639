// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * `balance` is killed after its first system call, after its third, and so on, and an attach by load in the same way.
 * Whoever comes next completes it, or it never was: what status says is what the program does, and whether connections
 * are counted (I5).
 */
#include <string.h>
#include "kill.h"

#define NAME "web"
#define WORKERS 4
#define CONNECTIONS 60
#define EARLY 20 /* that are there already */

static struct sp_crew crew;

static json_int_t sum_of(const json_t *status, const char *counter)
{
	json_int_t sum = 0;
	json_t *slot;
	size_t i;

	json_array_foreach(sp_json_array(status, "slots"), i, slot)
		sum += sp_json_int(sp_json_object(slot, "counters"), counter);
	return sum;
}

static json_int_t active_in(const json_t *status)
{
	json_int_t sum = 0;
	json_t *slot;
	size_t i;

	json_array_foreach(sp_json_array(status, "slots"), i, slot)
		sum += sp_json_int(slot, "active");
	return sum;
}

/* True if it is the new one. */
static bool check_what_is_in_force(void)
{
	struct sp_crowd crowd;
	json_t *status;
	bool is_new;

	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, CONNECTIONS);
	status = sp_run_json("status", NAME);
	is_new = !strcmp(sp_json_text(status, "balance"), "least-conn");
	assert_int_equal(sum_of(status, "placed") > 0, is_new);
	if (is_new)
		assert_int_equal(active_in(status), CONNECTIONS);
	json_decref(status);
	sp_crowd_close(&crowd);
	return is_new;
}

static void e2e__balance_killed_at_every_other_call__it_is_the_old_or_the_new_one(void **state)
{
	static const char *const change[] = { "steadyport", "balance", NAME, "least-conn", NULL };
	const struct sp_lab_options paused = { .is_paused = true };
	bool was_killed = true, was_old = false, was_new = false;

	(void)state;
	sp_crew_start(&crew, SP_TCP, "127.0.0.1", 0, WORKERS, &paused);
	for (unsigned int nth = 1; was_killed; nth += sp_kill_stride(2)) {
		struct sp_run run;
		bool is_new;

		sp_run("attach", NAME, crew.endpoint);
		was_killed = sp_kill_run(&run, nth, change);
		sp_run_free(&run);
		assert_true(sp_left_attached(crew.port));
		sp_run("sync", NAME);
		assert_false(sp_left_staging(NAME));
		is_new = check_what_is_in_force();
		was_old |= !is_new;
		was_new |= is_new && was_killed;
		sp_run("detach", NAME);
		sp_left_nothing(crew.port);
	}
	assert_true(was_old);
	assert_true(was_new);
}

/* Those that were there before stay where they are, and all of them are served. */
static void e2e__attach_by_load_killed_at_every_fifth_call__completed_or_undone(void **state)
{
	static const char *const words[] = { "steadyport", "attach",	 NAME, crew.endpoint,
					     "--balance",  "least-conn", NULL };
	const struct sp_lab_options paused = { .is_paused = true };
	bool was_killed = true, was_absent = false, was_there = false;
	struct sp_crowd early;
	int owners[EARLY];

	(void)state;
	sp_crew_start(&crew, SP_TCP, "127.0.0.1", 0, WORKERS, &paused);
	sp_crowd_open(&early, &crew, "127.0.0.1", NULL, 0, EARLY);
	for (unsigned int nth = 1; was_killed; nth += sp_kill_stride(5)) {
		struct sp_run run;
		bool has;

		was_killed = sp_kill_run(&run, nth, words);
		sp_run_free(&run);
		has = sp_left_pins(NAME);
		was_absent |= !has;
		was_there |= has;
		/* It refuses when nothing was left to do. */
		sp_run_start(&run, NULL, words);
		sp_run_wait(&run);
		assert_true(run.status == SP_EXIT_OK || has);
		sp_run_free(&run);
		sp_run("sync", NAME);
		assert_false(sp_left_staging(NAME));
		assert_int_equal(sp_status_int(NAME, "enrolled"), WORKERS);
		assert_true(check_what_is_in_force());
		sp_run("detach", NAME);
		sp_left_nothing(crew.port);
	}
	assert_true(was_absent && was_there);
	for (unsigned int id = 0; id < WORKERS; id++)
		assert_int_equal(sp_lab_resume(&crew.workers[id]), 0);
	sp_crowd_answers(&early, owners);
	for (size_t i = 0; i < EARLY; i++)
		assert_in_range(owners[i], 0, WORKERS - 1);
	sp_crowd_close(&early);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(
			e2e__balance_killed_at_every_other_call__it_is_the_old_or_the_new_one,
			sp_run_teardown),
		cmocka_unit_test_teardown(e2e__attach_by_load_killed_at_every_fifth_call__completed_or_undone,
					  sp_run_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
