// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a service manager says of the sockets that it passes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "passed.h"

#define OWN 4711
#define COOKIE_MAX 999999999999999999ULL /* of what sp_value_number() reads: 18 digits */

static void passed__count_for_this_process__is_taken(void **state)
{
	(void)state;
	assert_int_equal(sp_passed_count("4711", "3", OWN), 3);
	assert_int_equal(sp_passed_count("4711", "0", OWN), 0);
}

static void passed__nothing_or_for_another_process_or_no_number__is_none(void **state)
{
	(void)state;
	assert_int_equal(sp_passed_count(NULL, NULL, OWN), 0);
	assert_int_equal(sp_passed_count("4711", NULL, OWN), 0);
	assert_int_equal(sp_passed_count(NULL, "3", OWN), 0);
	assert_int_equal(sp_passed_count("4712", "3", OWN), 0);
	assert_int_equal(sp_passed_count("-1", "3", -1), 0);
	assert_int_equal(sp_passed_count("4711", "-3", OWN), 0);
	assert_int_equal(sp_passed_count("4711", "3 ", OWN), 0);
	assert_int_equal(sp_passed_count("4711", "65537", OWN), 0);
	assert_int_equal(sp_passed_count("4711", "99999999999999999999", OWN), 0);
}

static void require_name(const char *names, size_t index, const char *expected)
{
	char name[SP_PASSED_NAME_LEN];

	assert_true(sp_passed_name(names, index, name));
	assert_string_equal(name, expected);
}

static void passed__names__are_told_apart_by_colons(void **state)
{
	(void)state;
	require_name("one", 0, "one");
	require_name("one:two:three", 0, "one");
	require_name("one:two:three", 1, "two");
	require_name("one:two:three", 2, "three");
	require_name("one::three", 2, "three");
}

static void passed__name_is_missing_or_empty_or_too_long__is_none(void **state)
{
	char name[SP_PASSED_NAME_LEN], longest[SP_PASSED_NAME_LEN + 1];

	(void)state;
	assert_false(sp_passed_name(NULL, 0, name));
	assert_false(sp_passed_name("", 0, name));
	assert_false(sp_passed_name("one", 1, name));
	assert_false(sp_passed_name("one:two", 9, name));
	assert_false(sp_passed_name("one::three", 1, name));
	assert_false(sp_passed_name("one:", 1, name));
	memset(longest, 'x', sizeof(longest));
	longest[SP_PASSED_NAME_LEN] = '\0';
	assert_false(sp_passed_name(longest, 0, name));
	longest[SP_PASSED_NAME_LEN - 1] = '\0';
	require_name(longest, 0, longest);
}

static void passed__parking_socket_is_called__is_known_by_its_cookie(void **state)
{
	char name[SP_PASSED_NAME_LEN];

	(void)state;
	sp_passed_call("web", 4098, name);
	assert_string_equal(name, "parking-web-4098");
	assert_true(sp_passed_is_parking(name, 4098));
	assert_false(sp_passed_is_parking(name, 4099));
	assert_false(sp_passed_is_parking(name, 98));
	sp_passed_call("web-1-2", COOKIE_MAX, name);
	assert_true(sp_passed_is_parking(name, COOKIE_MAX));
	assert_false(sp_passed_is_parking(name, 2));
}

static void passed__longest_name_of_a_group__fits(void **state)
{
	char group[SP_NAME_MAX + 1], name[SP_PASSED_NAME_LEN];

	(void)state;
	memset(group, 'x', SP_NAME_MAX);
	group[SP_NAME_MAX] = '\0';
	sp_passed_call(group, COOKIE_MAX, name);
	assert_non_null(strstr(name, group));
	assert_true(sp_passed_is_parking(name, COOKIE_MAX));
}

static void passed__name_of_something_else__is_no_parking_socket(void **state)
{
	static const char *const names[] = { "",
					     "steadyport.socket",
					     "parking",
					     "parking-",
					     "parking-7",
					     "parking-web-",
					     "parking-web-7x",
					     "parking-web-07 ",
					     "xparking-w-7",
					     "Parking-web-7",
					     "parking-web-+7" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_false(sp_passed_is_parking(names[i], 7));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passed__count_for_this_process__is_taken),
		cmocka_unit_test(passed__nothing_or_for_another_process_or_no_number__is_none),
		cmocka_unit_test(passed__names__are_told_apart_by_colons),
		cmocka_unit_test(passed__name_is_missing_or_empty_or_too_long__is_none),
		cmocka_unit_test(passed__parking_socket_is_called__is_known_by_its_cookie),
		cmocka_unit_test(passed__longest_name_of_a_group__fits),
		cmocka_unit_test(passed__name_of_something_else__is_no_parking_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
