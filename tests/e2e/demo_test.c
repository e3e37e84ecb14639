// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* steadyport demo: what it measures holds, it says so in every form, and nothing of it is left. */
#include <string.h>
#include "run.h"

static json_int_t number(const json_t *document, const char *protocol, const char *who, const char *what)
{
	const json_t *side = json_object_get(json_object_get(document, protocol), who);

	assert_true(json_is_integer(json_object_get(side, what)));
	return json_integer_value(json_object_get(side, what));
}

static void check_nothing_is_left(void)
{
	json_t *groups = sp_run_json("list");

	assert_true(json_is_array(groups));
	assert_int_equal(json_array_size(groups), 0);
	json_decref(groups);
}

static void e2e__demo__flows_move_without_steadyport_and_stay_with_it(void **state)
{
	json_t *document = sp_run_json("demo", "--flows", "400");

	(void)state;
	assert_true(json_is_true(json_object_get(document, "holds")));
	assert_true(number(document, "udp", "kernel", "moved") > 0);
	assert_int_equal(number(document, "udp", "steadyport", "moved"), 0);
	assert_int_equal(number(document, "udp", "steadyport", "moved_by_attach"), 0);
	assert_true(number(document, "tcp", "kernel", "reset") > 0);
	assert_int_equal(number(document, "tcp", "steadyport", "reset"), 0);
	json_decref(document);
	check_nothing_is_left();
}

static void e2e__demo_tour__tells_the_story_then_measures(void **state)
{
	const struct sp_run *run = sp_run("demo", "--tour", "--flows", "400");

	(void)state;
	assert_non_null(strstr(run->out, "EADDRINUSE"));
	assert_non_null(strstr(run->out, "6. The same under steadyport"));
	assert_non_null(strstr(run->out, "exit status 0"));
	check_nothing_is_left();
}

static void e2e__demo_that_kills_everybody__is_refused(void **state)
{
	(void)state;
	sp_run_fails(SP_EXIT_USAGE, "demo", "--workers", "2", "--kill", "2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(e2e__demo__flows_move_without_steadyport_and_stay_with_it,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__demo_tour__tells_the_story_then_measures, sp_run_teardown),
		cmocka_unit_test_teardown(e2e__demo_that_kills_everybody__is_refused, sp_run_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
