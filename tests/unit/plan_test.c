// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Planning: who owns the buckets, and slots for newcomers. What moves is in plan_moving_test.c, random cases are in plan_random_test.c, whole histories in tests/chaos. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <steadyport/choose.h>
#include "plan.h"
#include "views.h"

/* Big, and used by every case from scratch. */
static struct sp_view first, next, other;

/* ---- the owner table ---- */

static void plan__first_view_of_four__each_owns_a_quarter(void **state)
{
	struct sp_plan_slots slots = slots_of(4);

	(void)state;
	sp_plan_first(&slots, &first);
	assert_int_equal(first.kind, SP_VIEW_TABLE);
	assert_int_equal(first.nslots, 4);
	assert_int_equal(first.prev, SP_VIEW_NONE);
	assert_int_equal(first.learn_until_ns, 0);
	assert_int_equal(first.usable[0], 0xf);
	assert_int_equal(count_moving(&first), 0);
	for (__u32 s = 0; s < 4; s++)
		assert_int_equal(owned_by(first.owner, s), SP_BUCKETS / 4);
	assert_int_equal(owned_by(first.owner, SP_SLOT_NONE), 0);
}

static int take_live(void *slots, __u32 slot)
{
	return ((struct sp_plan_slots *)slots)->slot[slot].is_live ? 0 : -1;
}

/* The probes of a flow are an arithmetic progression of buckets: a regular layout of owners would resonate with it. */
static void plan__i2_slot_dies__its_flows_spread_by_weight(void **state)
{
	struct sp_plan_slots slots = slots_of(4);
	__u32 n[4] = { 0 }, total = 0;

	(void)state;
	slots.slot[3].weight = 300;
	sp_plan_first(&slots, &first);
	slots.slot[1].is_live = false;
	for (__u64 i = 0; i < 600000; i++) {
		__u64 hash = (i + 1) * 0x9e3779b97f4a7c15ULL;
		int choice;

		hash = (hash ^ (hash >> 31)) * 0xbf58476d1ce4e5b9ULL;
		hash ^= hash >> 29;
		if (sp_probe(&first, hash, 0) != 1)
			continue;
		choice = sp_choose(&first, hash, &slots, take_live);
		assert_true(choice >= 0);
		n[SP_CHOICE_SLOT(choice)]++;
		total++;
	}
	/* About 100,000 flows over weights 100, 100 and 300. */
	assert_int_equal(n[1], 0);
	assert_in_range(n[0], total * 19 / 100, total * 21 / 100);
	assert_in_range(n[2], total * 19 / 100, total * 21 / 100);
	assert_in_range(n[3], total * 58 / 100, total * 62 / 100);
}

static void plan__slot_ejected__has_no_claim_to_its_flows(void **state)
{
	struct sp_plan_slots slots = slots_of(4);
	__u32 mine;

	(void)state;
	sp_plan_first(&slots, &first);
	slots.slot[2].is_ejected = true;
	assert_true(sp_plan_effective(&first, &slots));
	assert_int_equal(first.usable[0], 0xb);
	/* No bucket moves, and nothing is to be learned: both views send its flows to the others. */
	assert_int_equal(sp_plan_next(&first, &first, false, NULL, &slots, &next), 0);
	assert_int_equal(next.usable[0], 0xb);
	assert_int_equal(count_moving(&next), 0);
	/* It holds a socket: no newcomer is put over it. */
	assert_int_equal(sp_plan_assign(&slots, 1, &mine), 0);
	assert_int_equal(mine, 4);
}

static void plan__slot_ejected__views_that_name_it_are_told_from_others(void **state)
{
	struct sp_plan_slots slots = slots_of(4);

	(void)state;
	sp_plan_first(&slots, &first);
	kernel_view(&other, 4);
	assert_false(sp_plan_is_ejecting(&first, &slots));
	assert_false(sp_plan_is_ejecting(&other, &slots));
	slots.slot[1].is_live = false;
	slots.slot[2].is_ejected = true;
	assert_true(sp_plan_is_ejecting(&first, &slots));
	assert_true(sp_plan_is_ejecting(&other, &slots));
	sp_plan_effective(&first, &slots);
	sp_plan_effective(&other, &slots);
	assert_false(sp_plan_is_ejecting(&first, &slots));
	assert_false(sp_plan_is_ejecting(&other, &slots));
}

static void plan__no_slots__nobody_owns_anything(void **state)
{
	struct sp_plan_slots slots = slots_of(0);

	(void)state;
	sp_plan_first(&slots, &first);
	assert_int_equal(first.nslots, 0);
	assert_int_equal(owned_by(first.owner, SP_SLOT_NONE), SP_BUCKETS);
}

static void plan__weights_1_and_15_times_100__quotas_are_the_exact_shares(void **state)
{
	struct sp_plan_slots slots = slots_of(16);
	__u32 quota[SP_SLOTS_MAX], sum = 0;

	(void)state;
	slots.slot[0].weight = 1;
	sp_plan_first(&slots, &first);
	sp_plan_quotas(&slots, first.owner, quota);
	assert_in_range(quota[0], 10, 11); /* 16384 / 1501 = 10.9 */
	for (__u32 s = 1; s < 16; s++)
		assert_in_range(quota[s], 1091, 1092); /* 1091.5 */
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++) {
		sum += quota[s];
		assert_int_equal(owned_by(first.owner, s), quota[s]);
	}
	assert_int_equal(sum, SP_BUCKETS);
}

static void plan__weight_zero__owns_nothing_but_is_usable(void **state)
{
	struct sp_plan_slots slots = slots_of(3);

	(void)state;
	slots.slot[1].weight = 0;
	sp_plan_first(&slots, &first);
	assert_int_equal(owned_by(first.owner, 1), 0);
	assert_int_equal(owned_by(first.owner, 0), SP_BUCKETS / 2);
	assert_int_equal(first.usable[0], 0x7);
}

static void plan__nobody_has_a_weight__no_bucket_moves(void **state)
{
	struct sp_plan_slots slots = slots_of(3);
	__u32 quota[SP_SLOTS_MAX];

	(void)state;
	sp_plan_first(&slots, &first);
	for (__u32 s = 0; s < 3; s++)
		slots.slot[s].weight = 0;
	sp_plan_quotas(&slots, first.owner, quota);
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++)
		assert_int_equal(quota[s], 0);
	assert_int_equal(sp_plan_next(&first, &first, false, NULL, &slots, &next), 0);
	assert_int_equal(count_differing(&first, &next), 0);
}

static void plan__leftover_unit__goes_where_it_saves_a_move(void **state)
{
	struct sp_plan_slots slots = slots_of(3);
	__u32 quota[SP_SLOTS_MAX];

	(void)state;
	/* 5461 1/3 each: one unit is left. Without owners the lowest slot gets it ... */
	for (__u32 b = 0; b < SP_BUCKETS; b++)
		first.owner[b] = SP_SLOT_NONE;
	sp_plan_quotas(&slots, first.owner, quota);
	assert_int_equal(quota[0], 5462);
	/* ... else the one that has it. */
	for (__u32 b = 0; b < SP_BUCKETS; b++)
		first.owner[b] = b < 5461 ? 0 : b < 2 * 5461 ? 1 : 2;
	sp_plan_quotas(&slots, first.owner, quota);
	assert_int_equal(quota[2], 5462);
	assert_int_equal(sp_plan_owners(&slots, first.owner), 0);
}

static void plan__balanced_already__no_bucket_moves(void **state)
{
	(void)state;
	for (__u32 n = 1; n <= SP_SLOTS_MAX; n += 1 + n / 3) {
		struct sp_plan_slots slots = slots_of(n);

		sp_plan_first(&slots, &first);
		assert_int_equal(sp_plan_next(&first, &first, false, NULL, &slots, &next), 0);
		assert_true(sp_plan_is_same(&first, &next));
	}
}

static void plan__newcomer__takes_its_share_from_all_evenly(void **state)
{
	struct sp_plan_slots slots = slots_of(4);
	__u32 given[4] = { 0 }, part[16] = { 0 }, moved;

	(void)state;
	sp_plan_first(&slots, &first);
	slots.slot[4] = slots.slot[0];
	moved = sp_plan_next(&first, &first, false, NULL, &slots, &next);
	assert_int_equal(moved, SP_BUCKETS / 5);
	assert_int_equal(moved, owned_by(next.owner, 4));
	assert_int_equal(next.nslots, 5);
	for (__u32 b = 0; b < SP_BUCKETS; b++) {
		if (first.owner[b] == next.owner[b])
			continue;
		assert_int_equal(next.owner[b], 4);
		given[first.owner[b]]++;
		part[b / (SP_BUCKETS / 16)]++;
	}
	for (__u32 s = 0; s < 4; s++)
		assert_in_range(given[s], 819, 820);
	/* 205 on average; chosen at random, with a standard deviation of 13. */
	for (__u32 i = 0; i < 16; i++)
		assert_in_range(part[i], 140, 270);
}

static void plan__two_newcomers__both_get_buckets_of_every_donor(void **state)
{
	struct sp_plan_slots slots = slots_of(4);
	__u32 given[4][2] = { 0 };

	(void)state;
	sp_plan_first(&slots, &first);
	slots.slot[4] = slots.slot[5] = slots.slot[0];
	sp_plan_next(&first, &first, false, NULL, &slots, &next);
	for (__u32 b = 0; b < SP_BUCKETS; b++)
		if (first.owner[b] != next.owner[b])
			given[first.owner[b]][next.owner[b] - 4]++;
	/* 16384 / 6 = 2731 for each newcomer, 683 of them from each donor. */
	for (__u32 s = 0; s < 4; s++)
		for (__u32 n = 0; n < 2; n++)
			assert_in_range(given[s][n], 600, 770);
}

static void plan__slot_dies__no_bucket_moves(void **state)
{
	struct sp_plan_slots slots = slots_of(4);

	(void)state;
	sp_plan_first(&slots, &first);
	slots.slot[2].is_live = false;
	assert_int_equal(sp_plan_next(&first, &first, false, NULL, &slots, &next), 0);
	assert_int_equal(count_differing(&first, &next), 0);
	assert_int_equal(next.usable[0], 0xb);
	assert_int_equal(next.nslots, 4);
}

static void plan__slot_is_retired__only_its_buckets_move(void **state)
{
	struct sp_plan_slots slots = slots_of(4);
	__u32 got[4] = { 0 };

	(void)state;
	sp_plan_first(&slots, &first);
	slots.slot[3].is_assigned = false;
	slots.slot[3].is_live = false;
	assert_int_equal(sp_plan_next(&first, &first, false, NULL, &slots, &next), SP_BUCKETS / 4);
	assert_int_equal(next.nslots, 3);
	for (__u32 b = 0; b < SP_BUCKETS; b++) {
		if (first.owner[b] != 3)
			assert_int_equal(next.owner[b], first.owner[b]);
		else
			got[next.owner[b]]++;
	}
	for (__u32 s = 0; s < 3; s++)
		assert_in_range(got[s], 1365, 1366);
}

static void plan__slot_drains__keeps_its_buckets_which_all_move(void **state)
{
	struct sp_plan_slots slots = slots_of(4);

	(void)state;
	sp_plan_first(&slots, &first);
	slots.slot[1].is_draining = true;
	assert_int_equal(sp_plan_next(&first, &first, false, NULL, &slots, &next), 0);
	assert_int_equal(next.usable[0], 0xd);
	assert_int_equal(owned_by(next.owner, 1), SP_BUCKETS / 4);
	for (__u32 b = 0; b < SP_BUCKETS; b++)
		assert_int_equal(sp_bit(next.moving, b), next.owner[b] == 1);
}

static void plan__grow_one_by_one_to_the_limit__balanced_and_minimal_throughout(void **state)
{
	struct sp_plan_slots slots = slots_of(1);

	(void)state;
	sp_plan_first(&slots, &first);
	for (__u32 n = 2; n <= SP_SLOTS_MAX; n++) {
		__u32 slot, moved;

		assert_int_equal(sp_plan_assign(&slots, 1, &slot), 0);
		assert_int_equal(slot, n - 1);
		moved = sp_plan_owners(&slots, first.owner);
		assert_in_range(moved, SP_BUCKETS / n, SP_BUCKETS / n + 1);
		if (n % 64)
			continue;
		for (__u32 s = 0; s < n; s++)
			assert_in_range(owned_by(first.owner, s), SP_BUCKETS / n, SP_BUCKETS / n + 1);
	}
}

/* ---- slots for newcomers ---- */

static void plan__assign__lowest_dead_slot_first_then_a_new_one(void **state)
{
	struct sp_plan_slots slots = slots_of(6);
	__u32 got[4];

	(void)state;
	slots.slot[1] = (struct sp_plan_slot){ 0 }; /* retired */
	slots.slot[4].is_live = false;
	slots.slot[4].is_draining = true;
	slots.slot[4].weight = 7;
	slots.slot[5].is_live = false;

	assert_int_equal(sp_plan_assign(&slots, 1, got), 0);
	assert_int_equal(got[0], 4);
	assert_true(slots.slot[4].is_live);
	assert_false(slots.slot[4].is_draining);
	assert_int_equal(slots.slot[4].weight, 7);

	assert_int_equal(sp_plan_assign(&slots, 3, got), 0);
	assert_int_equal(got[0], 1);
	assert_int_equal(got[1], 5);
	assert_int_equal(got[2], 6);
	assert_true(slots.slot[1].is_assigned && slots.slot[1].is_live);
	assert_int_equal(slots.slot[1].weight, SP_WEIGHT_DEFAULT);
	assert_int_equal(slots.slot[6].weight, SP_WEIGHT_DEFAULT);
	assert_false(slots.slot[7].is_assigned);
}

static void plan__assign_none__changes_nothing(void **state)
{
	struct sp_plan_slots slots = slots_of(3), before = slots;

	(void)state;
	assert_int_equal(sp_plan_assign(&slots, 0, NULL), 0);
	assert_memory_equal(&slots, &before, sizeof(slots));
}

static void plan__assign_more_than_are_left__changes_nothing(void **state)
{
	struct sp_plan_slots slots = slots_of(SP_SLOTS_MAX - 2), before;
	__u32 got[4] = { 1, 2, 3, 4 };

	(void)state;
	slots.slot[10].is_live = false;
	before = slots;
	assert_int_equal(sp_plan_assign(&slots, 4, got), -ENOSPC);
	assert_memory_equal(&slots, &before, sizeof(slots));
	assert_int_equal(got[0], 1);
	assert_int_equal(sp_plan_assign(&slots, 3, got), 0);
	assert_int_equal(got[0], 10);
	assert_int_equal(got[2], SP_SLOTS_MAX - 1);
	assert_int_equal(sp_plan_assign(&slots, 1, got), -ENOSPC);
}

static void plan__reassign__only_a_dead_slot_is_had_back(void **state)
{
	struct sp_plan_slots slots = slots_of(4), before;

	(void)state;
	slots.slot[1] = (struct sp_plan_slot){ 0 }; /* retired */
	slots.slot[2].is_live = false;
	slots.slot[2].is_ejected = true;
	slots.slot[2].weight = 7;
	before = slots;
	assert_false(sp_plan_reassign(&slots, 0));
	assert_false(sp_plan_reassign(&slots, 1));
	assert_memory_equal(&slots, &before, sizeof(slots));

	assert_true(sp_plan_reassign(&slots, 2));
	assert_true(slots.slot[2].is_live);
	assert_false(slots.slot[2].is_ejected);
	assert_int_equal(slots.slot[2].weight, 7);
	assert_false(sp_plan_reassign(&slots, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plan__first_view_of_four__each_owns_a_quarter),
		cmocka_unit_test(plan__i2_slot_dies__its_flows_spread_by_weight),
		cmocka_unit_test(plan__slot_ejected__has_no_claim_to_its_flows),
		cmocka_unit_test(plan__slot_ejected__views_that_name_it_are_told_from_others),
		cmocka_unit_test(plan__no_slots__nobody_owns_anything),
		cmocka_unit_test(plan__weights_1_and_15_times_100__quotas_are_the_exact_shares),
		cmocka_unit_test(plan__weight_zero__owns_nothing_but_is_usable),
		cmocka_unit_test(plan__nobody_has_a_weight__no_bucket_moves),
		cmocka_unit_test(plan__leftover_unit__goes_where_it_saves_a_move),
		cmocka_unit_test(plan__balanced_already__no_bucket_moves),
		cmocka_unit_test(plan__newcomer__takes_its_share_from_all_evenly),
		cmocka_unit_test(plan__two_newcomers__both_get_buckets_of_every_donor),
		cmocka_unit_test(plan__slot_dies__no_bucket_moves),
		cmocka_unit_test(plan__slot_is_retired__only_its_buckets_move),
		cmocka_unit_test(plan__slot_drains__keeps_its_buckets_which_all_move),
		cmocka_unit_test(plan__grow_one_by_one_to_the_limit__balanced_and_minimal_throughout),
		cmocka_unit_test(plan__assign__lowest_dead_slot_first_then_a_new_one),
		cmocka_unit_test(plan__assign_none__changes_nothing),
		cmocka_unit_test(plan__assign_more_than_are_left__changes_nothing),
		cmocka_unit_test(plan__reassign__only_a_dead_slot_is_had_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
