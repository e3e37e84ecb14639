// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What an operator may ask of slots, and what becomes of them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "change.h"

static struct sp_info info[SP_SLOTS_MAX];
static __u64 cookie[SP_SLOTS_MAX];
static bool is_changed[SP_SLOTS_MAX];
static char why[SP_CHANGE_WHY_LEN];

/* Slots 0 to 2 live, 3 dead, the rest never used. */
static int setup(void **state)
{
	(void)state;
	memset(info, 0, sizeof(info));
	memset(cookie, 0, sizeof(cookie));
	for (__u32 s = 0; s < 4; s++) {
		info[s] = (struct sp_info){ .state = SP_SLOT_LIVE, .incarnation = 7, .weight = 100 };
		cookie[s] = 100 + s;
	}
	info[3].state = SP_SLOT_DEAD;
	cookie[3] = 0;
	return 0;
}

static int ask(enum sp_change_kind kind, const char *word)
{
	struct sp_change change;
	int err = sp_change_parse(kind, &word, 1, &change, why);

	return err ?: sp_change_apply(&change, info, cookie, is_changed, why);
}

static void parse__good_words__name_their_slots(void **state)
{
	const char *const words[] = { "0", "4-6", "1023" };
	struct sp_change change;

	(void)state;
	assert_int_equal(sp_change_parse(SP_CHANGE_DRAIN, words, 3, &change, why), 0);
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++)
		assert_int_equal(change.is_asked[s], s == 0 || (s >= 4 && s <= 6) || s == 1023);
}

static void parse__weights__are_taken_per_range(void **state)
{
	const char *const words[] = { "0=1", "2-3=1000", "4=0" };
	struct sp_change change;

	(void)state;
	assert_int_equal(sp_change_parse(SP_CHANGE_WEIGHT, words, 3, &change, why), 0);
	assert_int_equal(change.weight[0], 1);
	assert_int_equal(change.weight[2], 1000);
	assert_int_equal(change.weight[3], 1000);
	assert_true(change.is_asked[4]);
	assert_false(change.is_asked[1]);
}

static void parse__bad_words__are_refused_and_named(void **state)
{
	static const char *const slots[] = {
		"", "x", "-1", "1024", "3-", "3-2", "3=5", "1 ", " 1", "+1", "99999999999999999999"
	};
	static const char *const weights[] = { "1", "1=", "1=1001", "1=-1", "=1", "1=x", "1=1x", "1-=3" };
	struct sp_change change = { .kind = SP_CHANGE_RETIRE };

	(void)state;
	for (size_t i = 0; i < sizeof(slots) / sizeof(*slots); i++) {
		assert_int_equal(sp_change_parse(SP_CHANGE_DRAIN, &slots[i], 1, &change, why), -EINVAL);
		assert_non_null(strstr(why, "is not a slot"));
	}
	for (size_t i = 0; i < sizeof(weights) / sizeof(*weights); i++) {
		assert_int_equal(sp_change_parse(SP_CHANGE_WEIGHT, &weights[i], 1, &change, why), -EINVAL);
		assert_non_null(strstr(why, "is not SLOT=WEIGHT"));
	}
	assert_int_equal(change.kind, SP_CHANGE_RETIRE);
}

static void apply__drain_and_undrain__come_and_go(void **state)
{
	(void)state;
	assert_int_equal(ask(SP_CHANGE_DRAIN, "1"), 0);
	assert_int_equal(info[1].state, SP_SLOT_DRAINING);
	assert_int_equal(info[1].incarnation, 7);
	assert_true(is_changed[1]);
	assert_int_equal(ask(SP_CHANGE_DRAIN, "1"), 0);
	assert_false(is_changed[1]);
	assert_int_equal(ask(SP_CHANGE_UNDRAIN, "1"), 0);
	assert_int_equal(info[1].state, SP_SLOT_LIVE);
}

/* Once on the way out, and once on the way in: some may have been kept for it in between. */
static void apply__eject_and_undrain__make_its_kept_flows_stale_once_each(void **state)
{
	(void)state;
	assert_int_equal(ask(SP_CHANGE_EJECT, "1"), 0);
	assert_int_equal(info[1].state, SP_SLOT_EJECTED);
	assert_int_equal(info[1].incarnation, 8);
	assert_int_equal(ask(SP_CHANGE_EJECT, "1"), 0);
	assert_int_equal(info[1].incarnation, 8);
	assert_int_equal(ask(SP_CHANGE_DRAIN, "1"), 0);
	assert_int_equal(info[1].state, SP_SLOT_EJECTED);
	assert_int_equal(ask(SP_CHANGE_UNDRAIN, "1"), 0);
	assert_int_equal(info[1].state, SP_SLOT_LIVE);
	assert_int_equal(info[1].incarnation, 9);
	assert_int_equal(ask(SP_CHANGE_UNDRAIN, "1"), 0);
	assert_int_equal(info[1].incarnation, 9);
}

static void apply__retire__keeps_the_incarnation(void **state)
{
	(void)state;
	info[3].weight = 5;
	assert_int_equal(ask(SP_CHANGE_RETIRE, "3"), 0);
	assert_int_equal(info[3].state, SP_SLOT_FREE);
	assert_int_equal(info[3].incarnation, 7);
	assert_int_equal(info[3].weight, SP_WEIGHT_DEFAULT);
}

static void apply__what_cannot_be__changes_nothing(void **state)
{
	static const struct {
		enum sp_change_kind kind;
		const char *word, *why;
	} cases[] = {
		{ SP_CHANGE_DRAIN, "0-3", "slot 3 is dead" },
		{ SP_CHANGE_EJECT, "3", "slot 3 is dead" },
		{ SP_CHANGE_UNDRAIN, "3", "slot 3 is dead" },
		{ SP_CHANGE_RETIRE, "2-3", "slot 2 is live" },
		{ SP_CHANGE_WEIGHT, "0-9=1", "slot 4 was never used" },
		{ SP_CHANGE_WEIGHT, "0-3=0", "at least one slot" },
	};
	struct sp_info before[SP_SLOTS_MAX];

	(void)state;
	memcpy(before, info, sizeof(info));
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(ask(cases[i].kind, cases[i].word), -EINVAL);
		assert_non_null(strstr(why, cases[i].why));
		assert_memory_equal(before, info, sizeof(info));
	}
}

static void apply__parking_socket__is_no_worker(void **state)
{
	static const enum sp_change_kind kinds[] = { SP_CHANGE_DRAIN, SP_CHANGE_UNDRAIN, SP_CHANGE_EJECT,
						     SP_CHANGE_RETIRE };
	struct sp_info before[SP_SLOTS_MAX];

	(void)state;
	/* A weight that a broken daemon might write must not count, either. */
	info[SP_SLOT_PARK] = (struct sp_info){ .state = SP_SLOT_PARKED, .incarnation = 1, .weight = 100 };
	cookie[SP_SLOT_PARK] = 99;
	memcpy(before, info, sizeof(info));
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		assert_int_equal(ask(kinds[i], "1023"), -EINVAL);
		assert_non_null(strstr(why, "slot 1023 holds the parking socket"));
	}
	assert_int_equal(ask(SP_CHANGE_WEIGHT, "1023=7"), -EINVAL);
	assert_int_equal(ask(SP_CHANGE_WEIGHT, "0-3=0"), -EINVAL);
	assert_non_null(strstr(why, "at least one slot"));
	assert_memory_equal(before, info, sizeof(info));

	/* Its daemon has died. */
	cookie[SP_SLOT_PARK] = 0;
	assert_int_equal(ask(SP_CHANGE_RETIRE, "1023"), -EINVAL);
	assert_non_null(strstr(why, "slot 1023 was never used"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse__good_words__name_their_slots),
		cmocka_unit_test(parse__weights__are_taken_per_range),
		cmocka_unit_test(parse__bad_words__are_refused_and_named),
		cmocka_unit_test_setup(apply__drain_and_undrain__come_and_go, setup),
		cmocka_unit_test_setup(apply__eject_and_undrain__make_its_kept_flows_stale_once_each, setup),
		cmocka_unit_test_setup(apply__retire__keeps_the_incarnation, setup),
		cmocka_unit_test_setup(apply__what_cannot_be__changes_nothing, setup),
		cmocka_unit_test_setup(apply__parking_socket__is_no_worker, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
