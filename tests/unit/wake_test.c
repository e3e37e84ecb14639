// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* When a slot is woken: what is noted, and what is due. No slot holds a socket here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "cleanup.h"
#include "wake.h"

#define MS 1000000ULL
#define T0 (1000 * MS)

static const struct sp_pins no_pins = SP_PINS_NONE;
static const struct sp_groups no_groups;

static void dispatch(struct sp_wake *wake, __u64 now_ns)
{
	assert_int_equal(sp_wake_dispatch(wake, &no_pins, &no_groups, true, now_ns), 0);
}

static void wake__nothing_was_noted__nothing_is_due(void **state)
{
	sp_autowake struct sp_wake *wake = sp_wake_new();

	(void)state;
	assert_non_null(wake);
	assert_int_equal(sp_wake_next_ns(wake), 0);
	dispatch(wake, T0);
	assert_int_equal(sp_wake_next_ns(wake), 0);
}

static void wake__one_event__is_due_soon_and_once_more(void **state)
{
	sp_autowake struct sp_wake *wake = sp_wake_new();

	(void)state;
	assert_non_null(wake);
	sp_wake_note(wake, 5, T0);
	assert_int_equal(sp_wake_next_ns(wake), T0 + MS);
	dispatch(wake, T0 + MS - 1);
	assert_int_equal(sp_wake_next_ns(wake), T0 + MS);
	dispatch(wake, T0 + MS);
	assert_int_equal(sp_wake_next_ns(wake), T0 + 20 * MS);
	dispatch(wake, T0 + 20 * MS);
	assert_int_equal(sp_wake_next_ns(wake), 0);
}

static void wake__many_events__first_is_soon_and_the_last_is_waited_for(void **state)
{
	sp_autowake struct sp_wake *wake = sp_wake_new();

	(void)state;
	assert_non_null(wake);
	for (int i = 0; i < 1000; i++)
		sp_wake_note(wake, 5, T0 + i * MS / 2000);
	assert_int_equal(sp_wake_next_ns(wake), T0 + MS);
	dispatch(wake, T0 + MS);
	sp_wake_note(wake, 5, T0 + 10 * MS);
	assert_int_equal(sp_wake_next_ns(wake), T0 + 11 * MS);
	dispatch(wake, T0 + 11 * MS);
	assert_int_equal(sp_wake_next_ns(wake), T0 + 30 * MS);
	/* Nobody came for a while: once is enough. */
	sp_wake_note(wake, 5, T0 + 29 * MS);
	dispatch(wake, T0 + 100 * MS);
	assert_int_equal(sp_wake_next_ns(wake), 0);
}

static void wake__several_slots__the_earliest_is_next(void **state)
{
	sp_autowake struct sp_wake *wake = sp_wake_new();

	(void)state;
	assert_non_null(wake);
	sp_wake_note(wake, 900, T0 + 3 * MS);
	sp_wake_note(wake, 7, T0);
	assert_int_equal(sp_wake_next_ns(wake), T0 + MS);
	dispatch(wake, T0 + 2 * MS);
	assert_int_equal(sp_wake_next_ns(wake), T0 + 4 * MS);
	dispatch(wake, T0 + 4 * MS);
	assert_int_equal(sp_wake_next_ns(wake), T0 + 20 * MS);
	dispatch(wake, T0 + 20 * MS);
	assert_int_equal(sp_wake_next_ns(wake), T0 + 23 * MS);
}

static void wake__slot_beyond_the_last__is_ignored(void **state)
{
	sp_autowake struct sp_wake *wake = sp_wake_new();

	(void)state;
	assert_non_null(wake);
	sp_wake_note(wake, SP_SLOTS_MAX, T0);
	assert_int_equal(sp_wake_next_ns(wake), 0);
	sp_wake_note(wake, SP_SLOTS_MAX - 1, T0);
	assert_int_equal(sp_wake_next_ns(wake), T0 + MS);
}

static void wake__slots_are_empty__nobody_is_woken(void **state)
{
	sp_autowake struct sp_wake *wake = sp_wake_new();

	(void)state;
	assert_non_null(wake);
	sp_wake_note_all(wake, T0);
	assert_int_equal(sp_wake_next_ns(wake), T0 + MS);
	dispatch(wake, T0 + 20 * MS);
	assert_int_equal(sp_wake_next_ns(wake), 0);
	assert_int_equal(sp_wake_count(wake), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wake__nothing_was_noted__nothing_is_due),
		cmocka_unit_test(wake__one_event__is_due_soon_and_once_more),
		cmocka_unit_test(wake__many_events__first_is_soon_and_the_last_is_waited_for),
		cmocka_unit_test(wake__several_slots__the_earliest_is_next),
		cmocka_unit_test(wake__slot_beyond_the_last__is_ignored),
		cmocka_unit_test(wake__slots_are_empty__nobody_is_woken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
