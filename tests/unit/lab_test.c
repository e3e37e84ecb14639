// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The laboratory's pure parts: which flows moved, and addresses. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>
#include "cleanup.h"
#include "lab.h"

#define NWORKERS 4

/* One flow: worker 1 of the workers 0..3 is dead. */
static struct sp_lab_moves judge(int before, int after)
{
	static const bool is_dead[NWORKERS] = { [1] = true };

	return sp_lab_count_moves(&before, &after, 1, is_dead, NWORKERS);
}

static void count_moves__one_flow__judged_by_who_had_it_and_who_has_it(void **state)
{
	static const struct {
		int before, after;
		struct sp_lab_moves expected;
	} cases[] = {
		{ 0, 0, { .survivor_flows = 1 } },
		{ 0, 2, { .survivor_flows = 1, .moved = 1 } },
		{ 0,
		  1,
		  { .survivor_flows = 1, .moved = 1 } }, /* even if a dead worker's answer was on its way */
		{ 0, SP_LAB_SILENT, { .survivor_flows = 1, .lost = 1 } },
		{ 0, SP_LAB_RESET, { .survivor_flows = 1, .lost = 1 } },
		{ 0, SP_LAB_REFUSED, { .survivor_flows = 1, .lost = 1 } },
		{ 0, SP_LAB_CLOSED, { .survivor_flows = 1, .lost = 1 } },
		{ 1, 0, { 0 } },
		{ 1, 1, { 0 } },
		{ 1, SP_LAB_SILENT, { 0 } },
		{ SP_LAB_SILENT, 0, { .stray = 1 } },
		{ SP_LAB_SILENT, SP_LAB_SILENT, { .stray = 1 } },
		{ SP_LAB_REFUSED, 3, { .stray = 1 } },
		{ 3, NWORKERS, { .survivor_flows = 1, .moved = 1 } }, /* to a newcomer */
		{ NWORKERS, NWORKERS, { .survivor_flows = 1 } }, /* ids beyond the array are alive */
		{ NWORKERS, 0, { .survivor_flows = 1, .moved = 1 } },
		{ 1000000, SP_LAB_SILENT, { .survivor_flows = 1, .lost = 1 } },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(cases); i++) {
		struct sp_lab_moves moves = judge(cases[i].before, cases[i].after);

		if (memcmp(&moves, &cases[i].expected, sizeof(moves)))
			fail_msg("%d -> %d: %zu flows, %zu moved, %zu lost, %zu stray", cases[i].before,
				 cases[i].after, moves.survivor_flows, moves.moved, moves.lost, moves.stray);
	}
}

static void count_moves__many_flows__each_counted(void **state)
{
	static const int before[] = { 0, 1, 2, 3, 0, 1, 2, 3, SP_LAB_SILENT };
	static const int after[] = { 0, 2, 2, 0, 3, 0, SP_LAB_RESET, 3, 1 };
	static const bool is_dead[NWORKERS] = { [1] = true };
	struct sp_lab_moves moves =
		sp_lab_count_moves(before, after, SP_ARRAY_SIZE(before), is_dead, NWORKERS);

	(void)state;
	assert_int_equal(moves.survivor_flows, 6);
	assert_int_equal(moves.moved, 2);
	assert_int_equal(moves.lost, 1);
	assert_int_equal(moves.stray, 1);
}

static void count_moves__nobody_dead__no_array_needed(void **state)
{
	static const int before[] = { 0, 1, 2 }, after[] = { 0, 2, 2 };
	struct sp_lab_moves moves = sp_lab_count_moves(before, after, SP_ARRAY_SIZE(before), NULL, 0);

	(void)state;
	assert_int_equal(moves.survivor_flows, 3);
	assert_int_equal(moves.moved, 1);
}

static void count_moves__no_flows__all_zero(void **state)
{
	const struct sp_lab_moves none = { 0 };
	struct sp_lab_moves moves = sp_lab_count_moves(NULL, NULL, 0, NULL, 0);

	(void)state;
	assert_memory_equal(&moves, &none, sizeof(moves));
}

static void address__good_text__bytes_in_network_order(void **state)
{
	static const struct {
		const char *text;
		struct sp_address address;
	} cases[] = {
		{ "127.0.0.1", { AF_INET, { 127, 0, 0, 1 } } },
		{ "0.0.0.0", { AF_INET, { 0 } } },
		{ "192.0.2.255", { AF_INET, { 192, 0, 2, 255 } } },
		{ "::", { AF_INET6, { 0 } } },
		{ "::1", { AF_INET6, { [15] = 1 } } },
		{ "2001:db8::a", { AF_INET6, { 0x20, 0x01, 0x0d, 0xb8, [15] = 0x0a } } },
		{ "::ffff:192.0.2.1", { AF_INET6, { [10] = 0xff, 0xff, 192, 0, 2, 1 } } },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(cases); i++) {
		struct sp_address address;

		assert_int_equal(sp_lab_address(cases[i].text, &address), 0);
		assert_memory_equal(&address, &cases[i].address, sizeof(address));
	}
}

static void address__bad_text__refused_and_output_untouched(void **state)
{
	static const char *const texts[] = { "",      "127.1", "127.0.0.256", "127.0.0.1 ", "127.0.0.1:80",
					     "[::1]", ":::",   "1::2::3",     "fe80::1%lo", "localhost" };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(texts); i++) {
		struct sp_address address, untouched;

		memset(&address, 0xa5, sizeof(address));
		memset(&untouched, 0xa5, sizeof(untouched));
		if (sp_lab_address(texts[i], &address) != -EINVAL)
			fail_msg("accepted: %s", texts[i]);
		assert_memory_equal(&address, &untouched, sizeof(address));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(count_moves__one_flow__judged_by_who_had_it_and_who_has_it),
		cmocka_unit_test(count_moves__many_flows__each_counted),
		cmocka_unit_test(count_moves__nobody_dead__no_array_needed),
		cmocka_unit_test(count_moves__no_flows__all_zero),
		cmocka_unit_test(address__good_text__bytes_in_network_order),
		cmocka_unit_test(address__bad_text__refused_and_output_untouched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
