// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The program of a live group is replaced: by `upgrade`, and when counters become too few. Nothing moves. */
#include <stdio.h>
#include <string.h>
#include "old.h"
#include "run.h"

#define NAME "dns"
#define WORKERS 4
#define FLOWS 600
#define LEARN sp_run_window(1000)
#define ROWS 16 /* of counters, the least that a group has */

static struct sp_crew crew;
static struct sp_crowd crowd;
static int before[FLOWS], after[FLOWS];
static json_int_t asked;

static void attach(void)
{
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, FLOWS);
	sp_crowd_ask(&crowd, before);
	sp_run("attach", NAME, crew.endpoint, "--learn", LEARN);
	asked = 0;
}

static void ask(void)
{
	sp_crowd_stays(&crowd, &crew, before, after);
	asked += FLOWS;
}

static void settle(void)
{
	ask();
	sp_status_wait_settled(NAME);
	sp_run("sync", NAME);
	ask();
}

/* A new program, and all else as it was. */
static void upgrade(void)
{
	json_t *was = sp_run_json("status", NAME), *is;

	sp_run("upgrade", NAME);
	is = sp_run_json("status", NAME);
	assert_int_not_equal(sp_json_int(was, "program_id"), sp_json_int(is, "program_id"));
	assert_true(sp_json_bool(is, "attached"));
	json_object_del(was, "program_id");
	json_object_del(is, "program_id");
	json_object_del(was, "learn_remaining_ms");
	json_object_del(is, "learn_remaining_ms");
	assert_true(json_equal(was, is));
	json_decref(was);
	json_decref(is);
	assert_int_equal(sp_counters_outcomes(NAME), asked);
	ask();
	assert_int_equal(sp_counters_outcomes(NAME), asked);
}

static void e2e__upgrade__no_flow_moves_and_counters_go_on(void **state)
{
	(void)state;
	attach();
	ask();
	upgrade(); /* inside the learn window */
	settle();
	upgrade();
	sp_run("drain", NAME, "1");
	upgrade();
	settle();
	upgrade(); /* with kept flows and a drained slot */
	sp_crew_kill(&crew, 2);
	sp_crowd_ask(&crowd, before);
	asked += FLOWS;
	upgrade(); /* with a dead slot */
	sp_crew_add(&crew, 2);
	sp_run("sync", NAME);
	settle();
	upgrade();
	sp_crowd_close(&crowd);
}

static void e2e__upgrade_tcp__waiting_connections_still_migrate(void **state)
{
	const struct sp_lab_options paused = { .is_paused = true };
	struct sp_crowd connections;
	static int owners[200];

	(void)state;
	sp_crew_start(&crew, SP_TCP, "127.0.0.1", 0, WORKERS, &paused);
	sp_run("attach", NAME, crew.endpoint);
	sp_crowd_open(&connections, &crew, "127.0.0.1", NULL, 0, 200);
	sp_run("upgrade", NAME);
	sp_crew_kill(&crew, 1);
	for (unsigned int id = 0; id < WORKERS; id++)
		if (id != 1)
			assert_int_equal(sp_lab_resume(&crew.workers[id]), 0);
	sp_crowd_answers(&connections, owners);
	for (size_t i = 0; i < 200; i++)
		assert_true(owners[i] >= 0 && owners[i] != 1);
	sp_crowd_close(&connections);
}

static void e2e__upgrade_from_abi_1__no_flow_moves_and_counters_go_on(void **state)
{
	(void)state;
	attach();
	ask();
	sp_old_make(NAME, 1);
	assert_non_null(strstr(sp_run_fails(SP_EXIT_FAILED, "sync", NAME)->err, "steadyport upgrade " NAME));
	assert_non_null(strstr(sp_run_fails(SP_EXIT_FAILED, "attach", NAME, crew.endpoint)->err, "upgrade"));
	ask();
	assert_non_null(strstr(sp_run("upgrade", NAME)->out, "ABI 1 to "));
	assert_int_equal(sp_counters_outcomes(NAME), asked);
	settle();
	assert_int_equal(sp_counters_outcomes(NAME), asked);
	upgrade();
	sp_crowd_close(&crowd);
}

static void e2e__attach_upgrade__brings_older_pins_up_to_date_and_enrols(void **state)
{
	(void)state;
	attach();
	ask();
	sp_old_make(NAME, 1);
	sp_crew_add(&crew, WORKERS);
	sp_run("attach", NAME, crew.endpoint, "--upgrade");
	assert_int_equal(sp_status_int(NAME, "enrolled"), WORKERS + 1);
	settle();
	assert_int_equal(sp_counters_outcomes(NAME), asked);
	/* It is up to date now, and the name is taken. */
	sp_run_fails(SP_EXIT_FAILED, "attach", NAME, crew.endpoint, "--upgrade");
	sp_crowd_close(&crowd);
}

static void e2e__upgrade_of_what_is_not_there__exit_3(void **state)
{
	(void)state;
	sp_run_fails(SP_EXIT_NO_GROUP, "upgrade", NAME);
}

/* Counters of slots that were enrolled beyond the rows. */
static json_int_t outcomes_of_slot(unsigned int number)
{
	json_t *status = sp_run_json("status", NAME), *document = json_object();
	json_t *slot = sp_json_find(sp_json_array(status, "slots"), "slot", number);
	json_int_t sum;

	json_object_set_new(document, "slots", json_array());
	json_object_set(document, "group_counters", sp_json_object(slot, "counters"));
	sum = sp_json_outcomes(document);
	json_decref(document);
	json_decref(status);
	return sum;
}

static void e2e__group_outgrows_its_counters__new_slots_get_rows_and_nobody_moves(void **state)
{
	static struct sp_crew more;
	static int owners[FLOWS];
	struct sp_crowd newcomers;
	json_int_t program;

	(void)state;
	attach();
	settle();
	program = sp_status_int(NAME, "program_id");
	/* 16 rows are the least; the second crew listens on the same port. */
	for (unsigned int id = WORKERS; id < ROWS; id++)
		sp_crew_add(&crew, id);
	sp_run("sync", NAME);
	settle();
	assert_int_equal(sp_status_int(NAME, "program_id"), program);

	sp_crew_start(&more, SP_UDP, "127.0.0.1", crew.port, 4, NULL);
	sp_run("sync", NAME);
	assert_int_not_equal(sp_status_int(NAME, "program_id"), program);
	assert_int_equal(sp_status_int(NAME, "enrolled"), ROWS + 4);
	settle();
	assert_int_equal(sp_counters_outcomes(NAME), asked);

	sp_crowd_open(&newcomers, &crew, "127.0.0.1", NULL, 0, FLOWS);
	sp_crowd_ask(&newcomers, owners);
	asked += FLOWS;
	for (unsigned int slot = ROWS; slot < ROWS + 4; slot++)
		assert_true(outcomes_of_slot(slot) > 0);
	assert_int_equal(sp_counters_outcomes(NAME), asked);
	ask();
	sp_crowd_close(&newcomers);
	sp_crowd_close(&crowd);
}

static void e2e__attach_with_slots__no_replacement_when_it_grows(void **state)
{
	json_int_t program;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, ROWS, NULL);
	sp_run("attach", NAME, crew.endpoint, "--learn", "0", "--slots", "17");
	program = sp_status_int(NAME, "program_id");
	{
		static struct sp_crew more;

		sp_crew_start(&more, SP_UDP, "127.0.0.1", crew.port, 16, NULL);
		sp_run("sync", NAME);
	}
	assert_int_equal(sp_status_int(NAME, "enrolled"), 2 * ROWS);
	assert_int_equal(sp_status_int(NAME, "program_id"), program);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(e2e__upgrade__no_flow_moves_and_counters_go_on, sp_run_teardown),
		cmocka_unit_test_teardown(e2e__upgrade_tcp__waiting_connections_still_migrate,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__upgrade_from_abi_1__no_flow_moves_and_counters_go_on,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__attach_upgrade__brings_older_pins_up_to_date_and_enrols,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__upgrade_of_what_is_not_there__exit_3, sp_run_teardown),
		cmocka_unit_test_teardown(
			e2e__group_outgrows_its_counters__new_slots_get_rows_and_nobody_moves,
			sp_run_teardown),
		cmocka_unit_test_teardown(e2e__attach_with_slots__no_replacement_when_it_grows,
					  sp_run_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
