// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Announced sockets are awaited until a scan shows them, or for as long as listen() can take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "announced.h"
#include "value.h"

#define NOW (1000 * SP_NS_PER_S)

static struct sp_announced announced;

/* A scan that shows two sockets, in two groups. */
static struct sp_member members[] = { { .cookie = 11 }, { .cookie = 22 } };
static struct sp_group list[] = {
	{ .members = &members[0], .nmembers = 1 },
	{ .members = &members[1], .nmembers = 1 },
};
static const struct sp_groups groups = { .groups = list, .ngroups = 2 };
static const struct sp_groups nothing;

static int setup(void **state)
{
	(void)state;
	announced.count = 0;
	return 0;
}

static void hear(enum sp_watch_kind kind, __u64 cookie, __u64 time_ns)
{
	const struct sp_watch_event event = { .kind = kind, .cookie = cookie, .time_ns = time_ns };

	sp_announced_add(&announced, &event);
}

static void announced__shown_by_a_scan__awaited_no_more(void **state)
{
	(void)state;
	hear(SP_WATCH_LISTENS, 11, NOW);
	hear(SP_WATCH_BOUND, 22, NOW);
	assert_true(sp_announced_prune(&announced, &nothing, NOW));
	assert_false(sp_announced_prune(&announced, &groups, NOW));
	assert_false(sp_announced_prune(&announced, &nothing, NOW));
}

static void announced__one_of_two_is_shown__the_other_is_awaited(void **state)
{
	(void)state;
	hear(SP_WATCH_LISTENS, 33, NOW);
	hear(SP_WATCH_LISTENS, 11, NOW);
	assert_true(sp_announced_prune(&announced, &groups, NOW));
	assert_false(announced.sockets[0].is_shown);
	assert_int_equal(announced.sockets[0].cookie, 33);
}

static void announced__shown_and_not_enrolled_yet__it_is_known_when(void **state)
{
	(void)state;
	hear(SP_WATCH_BOUND, 11, NOW);
	assert_int_equal(sp_announced_when(&announced, 11), NOW);
	assert_int_equal(sp_announced_when(&announced, 22), 0);
	assert_false(sp_announced_prune(&announced, &groups, NOW + SP_NS_PER_S));
	assert_false(sp_announced_prune(&announced, &nothing, NOW + SP_NS_PER_S));
	assert_int_equal(sp_announced_when(&announced, 11), NOW);
}

static void announced__more_than_there_is_room__those_shown_go_first(void **state)
{
	(void)state;
	hear(SP_WATCH_LISTENS, 33, NOW);
	hear(SP_WATCH_LISTENS, 11, NOW);
	hear(SP_WATCH_LISTENS, 22, NOW);
	assert_true(sp_announced_prune(&announced, &groups, NOW));
	for (__u64 i = 0; i < SP_ANNOUNCED_MAX; i++)
		hear(SP_WATCH_LISTENS, 100 + i, NOW);
	assert_int_equal(announced.count, SP_ANNOUNCED_MAX);
	assert_int_equal(sp_announced_when(&announced, 33), NOW);
	assert_int_equal(sp_announced_when(&announced, 11), 0);
	assert_int_equal(sp_announced_when(&announced, 22), 0);
	assert_int_equal(announced.sockets[0].cookie, 33);
	assert_int_equal(announced.sockets[SP_ANNOUNCED_MAX - 1].cookie, 100 + SP_ANNOUNCED_MAX - 2);
}

/* listen() failed after all, or it is in no group. */
static void announced__never_shown__forgotten(void **state)
{
	(void)state;
	hear(SP_WATCH_LISTENS, 33, NOW);
	assert_true(sp_announced_prune(&announced, &groups, NOW + 199 * SP_NS_PER_MS));
	assert_false(sp_announced_prune(&announced, &groups, NOW + 200 * SP_NS_PER_MS));
}

static void announced__gone__not_awaited(void **state)
{
	(void)state;
	hear(SP_WATCH_GONE, 33, NOW);
	assert_false(sp_announced_prune(&announced, &nothing, NOW));
}

static void announced__more_than_there_is_room__the_first_ones_are_awaited(void **state)
{
	(void)state;
	for (__u64 i = 0; i < 2 * SP_ANNOUNCED_MAX; i++)
		hear(SP_WATCH_LISTENS, 100 + i, NOW);
	assert_int_equal(announced.count, SP_ANNOUNCED_MAX);
	assert_int_equal(announced.sockets[SP_ANNOUNCED_MAX - 1].cookie, 100 + SP_ANNOUNCED_MAX - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(announced__shown_by_a_scan__awaited_no_more, setup),
		cmocka_unit_test_setup(announced__one_of_two_is_shown__the_other_is_awaited, setup),
		cmocka_unit_test_setup(announced__shown_and_not_enrolled_yet__it_is_known_when, setup),
		cmocka_unit_test_setup(announced__more_than_there_is_room__those_shown_go_first, setup),
		cmocka_unit_test_setup(announced__never_shown__forgotten, setup),
		cmocka_unit_test_setup(announced__gone__not_awaited, setup),
		cmocka_unit_test_setup(announced__more_than_there_is_room__the_first_ones_are_awaited, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
