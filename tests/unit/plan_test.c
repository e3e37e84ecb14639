// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Planning: readable cases first, then random histories of a group under a model of the program.
 * SP_SEED=N repeats a run; the seed is printed when one fails.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <steadyport/choose.h>
#include "plan.h"

/* splitmix64: the same numbers on every machine. */
static __u64 seed_at;

static __u64 next_random(void)
{
	__u64 z = seed_at += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static __u32 below(__u32 limit)
{
	return (next_random() >> 32) * limit >> 32;
}

static bool one_in(__u32 n)
{
	return below(n) == 0;
}

static __u64 seed_base(void)
{
	const char *text = getenv("SP_SEED");

	return text ? strtoull(text, NULL, 0) : 20240229;
}

/* Where a failing run is: a history is repeated alone by giving its seed. */
static __u64 history_seed;

static void history_begin(__u32 number)
{
	history_seed = seed_base() + number;
	seed_at = history_seed;
}

#define require(condition, fmt, ...)                                                                     \
	do {                                                                                             \
		if (!(condition))                                                                        \
			fail_msg("SP_SEED=%llu: " fmt, (unsigned long long)history_seed, ##__VA_ARGS__); \
	} while (0)

/* Slots 0..n-1 are live, with the default weight. */
static struct sp_plan_slots slots_of(__u32 n)
{
	struct sp_plan_slots slots = { 0 };

	for (__u32 s = 0; s < n; s++)
		slots.slot[s] = (struct sp_plan_slot){ .is_assigned = true,
						       .is_live = true,
						       .weight = SP_WEIGHT_DEFAULT };
	return slots;
}

static __u32 owned_by(const __u16 owner[SP_BUCKETS], __u32 slot)
{
	__u32 n = 0;

	for (__u32 b = 0; b < SP_BUCKETS; b++)
		n += owner[b] == slot;
	return n;
}

static __u32 count_moving(const struct sp_view *view)
{
	__u32 n = 0;

	for (__u32 i = 0; i < SP_BUCKETS / 64; i++)
		n += __builtin_popcountll(view->moving[i]);
	return n;
}

static __u32 count_differing(const struct sp_view *a, const struct sp_view *b)
{
	__u32 n = 0;

	for (__u32 i = 0; i < SP_BUCKETS; i++)
		n += a->owner[i] != b->owner[i];
	return n;
}

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

static void plan__owner_entries_are_garbage__are_given_away(void **state)
{
	struct sp_plan_slots slots = slots_of(5);
	__u32 moved, owned[5] = { 0 }, least = 0;

	(void)state;
	history_begin(0);
	for (__u32 b = 0; b < SP_BUCKETS; b++) {
		first.owner[b] = next_random();
		if (first.owner[b] < 5)
			owned[first.owner[b]]++;
	}
	for (__u32 s = 0; s < 5; s++)
		least += 3276 - owned[s];
	least += 4; /* 16384 = 5 x 3276 + 4 */
	moved = sp_plan_owners(&slots, first.owner);
	assert_int_equal(moved, least);
	for (__u32 s = 0; s < 5; s++)
		assert_in_range(owned_by(first.owner, s), 3276, 3277);
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

/* ---- effective views and moving buckets ---- */

static void plan__effective__dead_slots_lose_their_usable_bit(void **state)
{
	struct sp_plan_slots slots = slots_of(70);

	(void)state;
	sp_plan_first(&slots, &first);
	other = first;
	assert_false(sp_plan_effective(&first, &slots));
	assert_memory_equal(&first, &other, sizeof(first));

	slots.slot[65].is_live = false;
	slots.slot[3].is_draining = true; /* not a matter of being alive */
	assert_true(sp_plan_effective(&first, &slots));
	assert_false(sp_is_usable(&first, 65));
	assert_true(sp_is_usable(&first, 3));
	first.usable[1] |= 1ULL << 1;
	assert_memory_equal(&first, &other, sizeof(first));
}

static void kernel_view(struct sp_view *view, __u32 nslots)
{
	memset(view, 0, sizeof(*view));
	view->kind = SP_VIEW_KERNEL;
	view->nslots = nslots;
	view->prev = SP_VIEW_NONE;
	for (__u32 i = 0; i < nslots; i++)
		view->owner[i] = i;
}

static void plan__effective_kernel_view__dead_owners_become_none(void **state)
{
	struct sp_plan_slots slots = slots_of(4);

	(void)state;
	kernel_view(&first, 4);
	first.owner[1] = SP_SLOTS_MAX;
	slots.slot[2].is_live = false;
	assert_true(sp_plan_effective(&first, &slots));
	assert_int_equal(first.owner[0], 0);
	assert_int_equal(first.owner[1], SP_SLOT_NONE);
	assert_int_equal(first.owner[2], SP_SLOT_NONE);
	assert_int_equal(first.owner[3], 3);
	assert_false(sp_plan_effective(&first, &slots));
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

static void plan__kernel_predecessor__every_bucket_is_moving(void **state)
{
	struct sp_plan_slots slots = slots_of(4);

	(void)state;
	sp_plan_first(&slots, &first);
	kernel_view(&other, 4);
	assert_int_equal(sp_plan_next(&first, &other, false, NULL, &slots, &next), 0);
	assert_int_equal(count_moving(&next), SP_BUCKETS);
}

static void plan__no_predecessor__no_bucket_is_moving(void **state)
{
	struct sp_plan_slots slots = slots_of(4);

	(void)state;
	sp_plan_first(&slots, &first);
	slots.slot[1].is_live = false;
	slots.slot[4] = slots.slot[0];
	assert_true(sp_plan_next(&first, NULL, false, NULL, &slots, &next) > 0);
	assert_int_equal(count_moving(&next), 0);
}

static void plan__buckets_with_kept_flows__stay_moving(void **state)
{
	struct sp_plan_slots slots = slots_of(4);
	__u64 kept[SP_BUCKETS / 64] = { [3] = 0x10, [255] = 1ULL << 63 };

	(void)state;
	sp_plan_first(&slots, &first);
	sp_plan_next(&first, &first, false, kept, &slots, &next);
	assert_memory_equal(next.moving, kept, sizeof(kept));
}

static void plan__window_is_open__moving_buckets_stay_moving(void **state)
{
	struct sp_plan_slots slots = slots_of(4);

	(void)state;
	sp_plan_first(&slots, &first);
	first.moving[7] = 0xff00;
	sp_plan_next(&first, &first, true, NULL, &slots, &next);
	assert_int_equal(count_moving(&next), 8);
	assert_int_equal(next.moving[7], 0xff00);
	sp_plan_next(&first, &first, false, NULL, &slots, &next);
	assert_int_equal(count_moving(&next), 0);
}

static void plan__idle_group_with_a_dead_slot__comes_to_rest(void **state)
{
	struct sp_plan_slots slots = slots_of(4);

	(void)state;
	sp_plan_first(&slots, &first);
	slots.slot[2].is_live = false;
	assert_true(sp_plan_effective(&first, &slots));
	sp_plan_next(&first, &first, false, NULL, &slots, &next);
	assert_int_equal(count_moving(&next), 0);
	assert_true(sp_plan_is_same(&first, &next));
}

static void plan__another_slot_joins__buckets_of_the_dead_one_are_moving(void **state)
{
	struct sp_plan_slots slots = slots_of(4);

	(void)state;
	sp_plan_first(&slots, &first);
	slots.slot[2].is_live = false;
	sp_plan_effective(&first, &slots);
	slots.slot[4] = slots.slot[0];
	sp_plan_next(&first, &first, false, NULL, &slots, &next);
	/* The way from there leads through buckets that have another owner now. */
	for (__u32 b = 0; b < SP_BUCKETS; b++)
		assert_int_equal(sp_bit(next.moving, b),
				 first.owner[b] == 2 || first.owner[b] != next.owner[b]);
}

static void plan__worker_rejoins_its_slot__its_buckets_are_moving(void **state)
{
	struct sp_plan_slots slots = slots_of(4);
	__u32 slot;

	(void)state;
	sp_plan_first(&slots, &first);
	slots.slot[2].is_live = false;
	sp_plan_effective(&first, &slots);
	assert_int_equal(sp_plan_assign(&slots, 1, &slot), 0);
	assert_int_equal(slot, 2);
	assert_int_equal(sp_plan_next(&first, &first, false, NULL, &slots, &next), 0);
	assert_true(sp_is_usable(&next, 2));
	for (__u32 b = 0; b < SP_BUCKETS; b++)
		assert_int_equal(sp_bit(next.moving, b), next.owner[b] == 2);
}

static void plan__is_same__sees_owner_usable_moving_and_nslots_only(void **state)
{
	struct sp_plan_slots slots = slots_of(4);

	(void)state;
	sp_plan_first(&slots, &first);
	other = first;
	other.prev = 2;
	other.learn_until_ns = 5;
	other.serial = 7;
	assert_true(sp_plan_is_same(&first, &other));
	other.owner[SP_BUCKETS - 1] ^= 1;
	assert_false(sp_plan_is_same(&first, &other));
	other = first;
	other.usable[15] = 1;
	assert_false(sp_plan_is_same(&first, &other));
	other = first;
	other.moving[255] = 1;
	assert_false(sp_plan_is_same(&first, &other));
	other = first;
	other.nslots++;
	assert_false(sp_plan_is_same(&first, &other));
	kernel_view(&other, 4);
	assert_false(sp_plan_is_same(&first, &other));
	first = other;
	first.owner[4] = 9; /* beyond its entries */
	assert_true(sp_plan_is_same(&first, &other));
	first.owner[3] = 9;
	assert_false(sp_plan_is_same(&first, &other));
}

/* ---- shares ---- */

static void assert_share(const struct sp_plan_slots *slots, __u32 slot, double expected)
{
	double share = sp_plan_share(&first, slots, slot);

	if (share < expected - 0.0005 || share > expected + 0.0005)
		fail_msg("slot %u has a share of %f, expected is %f", slot, share, expected);
}

static void plan__share__is_what_is_owned_and_a_part_of_what_cannot_be_reached(void **state)
{
	struct sp_plan_slots slots = slots_of(4);

	(void)state;
	slots.slot[0].weight = 300;
	sp_plan_first(&slots, &first);
	assert_share(&slots, 0, 0.5);
	assert_share(&slots, 3, 1.0 / 6);
	slots.slot[3].is_live = false;
	assert_share(&slots, 0, 0.6);
	assert_share(&slots, 1, 0.2);
	assert_share(&slots, 3, 0);
	slots.slot[1].is_draining = true;
	sp_plan_first(&slots, &first);
	assert_share(&slots, 0, 0.75);
	assert_share(&slots, 1, 0);
	assert_share(&slots, 2, 0.25);
	assert_share(&slots, 900, 0);
	assert_share(&slots, SP_SLOT_NONE, 0);
}

static void plan__share_when_no_usable_slot_owns_anything__is_equal(void **state)
{
	struct sp_plan_slots slots = slots_of(4);

	(void)state;
	for (__u32 s = 0; s < 4; s++)
		slots.slot[s].is_draining = true;
	slots.slot[3].is_live = false;
	sp_plan_first(&slots, &first);
	assert_share(&slots, 0, 1.0 / 3);
	assert_share(&slots, 3, 0);

	/* Usable slots come before the others. */
	slots.slot[1].is_draining = false;
	slots.slot[1].weight = 0;
	sp_plan_first(&slots, &first);
	assert_share(&slots, 1, 1);
	assert_share(&slots, 0, 0);
}

/* ---- properties of one step ---- */

static void randomize(struct sp_plan_slots *slots, __u32 n)
{
	bool weighted = one_in(2);

	memset(slots, 0, sizeof(*slots));
	for (__u32 s = 0; s < n; s++) {
		slots->slot[s].is_assigned = !one_in(6);
		slots->slot[s].is_live = slots->slot[s].is_assigned && !one_in(5);
		slots->slot[s].is_draining = one_in(8);
		slots->slot[s].weight = weighted ? below(one_in(4) ? SP_WEIGHT_MAX + 1 : 4) :
						   SP_WEIGHT_DEFAULT;
	}
}

static __u32 positive(__s64 n)
{
	return n > 0 ? n : 0;
}

/*
 * The fewest buckets that have to change owner, by counting: every slot below its floor must receive up to it, and
 * a unit that is left over costs nothing only in a slot that has more than its floor and a claim to a unit.
 */
static __u32 least_moves(const struct sp_plan_slots *slots, const __u32 owned[SP_SLOTS_MAX])
{
	__u64 total = 0;
	__s64 left = SP_BUCKETS, moves = 0, free_units = 0;

	for (__u32 s = 0; s < SP_SLOTS_MAX; s++)
		total += slots->slot[s].is_assigned ? slots->slot[s].weight : 0;
	if (!total)
		return 0;
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++) {
		__u64 weight = slots->slot[s].is_assigned ? slots->slot[s].weight : 0;
		__u32 floor = weight * SP_BUCKETS / total;

		left -= floor;
		moves += positive((__s64)floor - owned[s]);
		free_units += weight * SP_BUCKETS % total && owned[s] > floor;
	}
	return moves + positive(left - free_units);
}

static void check_owners(const struct sp_plan_slots *slots, const __u16 before[SP_BUCKETS],
			 const __u16 after[SP_BUCKETS], __u32 moved)
{
	static __u32 was[SP_SLOTS_MAX], is[SP_SLOTS_MAX];
	__u32 differing = 0, least;
	__u64 total = 0;

	memset(was, 0, sizeof(was));
	memset(is, 0, sizeof(is));
	for (__u32 b = 0; b < SP_BUCKETS; b++) {
		if (before[b] < SP_SLOTS_MAX)
			was[before[b]]++;
		if (after[b] < SP_SLOTS_MAX)
			is[after[b]]++;
		differing += before[b] != after[b];
	}
	least = least_moves(slots, was);
	require(moved == differing, "%u buckets said to move, %u did", moved, differing);
	require(moved == least, "%u buckets moved, %u were enough", moved, least);

	for (__u32 s = 0; s < SP_SLOTS_MAX; s++)
		total += slots->slot[s].is_assigned ? slots->slot[s].weight : 0;
	for (__u32 s = 0; total && s < SP_SLOTS_MAX; s++) {
		__u64 share = (slots->slot[s].is_assigned ? slots->slot[s].weight : 0ULL) * SP_BUCKETS;

		require(is[s] * total < share + total && share < is[s] * total + total,
			"slot %u owns %u buckets, its share is %llu / %llu", s, is[s], share, total);
	}
}

static void plan__random_tables__quotas_are_within_one_and_moves_are_minimal(void **state)
{
	static struct sp_plan_slots slots;
	__u16 owner[SP_BUCKETS], before[SP_BUCKETS];

	(void)state;
	for (__u32 n = 0; n < 2000; n++) {
		__u32 nslots, moved;

		history_begin(n);
		nslots = 1 + below(one_in(20) ? SP_SLOTS_MAX : 12);
		randomize(&slots, nslots);
		for (__u32 b = 0; b < SP_BUCKETS; b++)
			owner[b] = below(nslots + (nslots + 7) / 8);
		for (int step = 0; step < 2; step++) {
			memcpy(before, owner, sizeof(owner));
			moved = sp_plan_owners(&slots, owner);
			check_owners(&slots, before, owner, moved);
			randomize(&slots, nslots);
		}
	}
}

/* Least moves over every choice of slots that get a left-over unit, tried one by one. */
static __u32 least_moves_of_all_roundings(const struct sp_plan_slots *slots, const __u32 owned[6])
{
	__u32 floor[6], left = SP_BUCKETS, least = SP_BUCKETS;
	bool has_rest[6];
	__u64 total = 0;

	for (__u32 s = 0; s < 6; s++)
		total += slots->slot[s].weight;
	for (__u32 s = 0; s < 6; s++) {
		floor[s] = slots->slot[s].weight * SP_BUCKETS / total;
		has_rest[s] = slots->slot[s].weight * SP_BUCKETS % total;
		left -= floor[s];
	}
	for (__u32 units = 0; units < 1 << 6; units++) {
		__u32 moves = 0;
		bool fits = (__u32)__builtin_popcount(units) == left;

		for (__u32 s = 0; s < 6; s++) {
			__u32 unit = units >> s & 1;

			fits = fits && (!unit || has_rest[s]);
			moves += positive((__s64)floor[s] + unit - owned[s]);
		}
		if (fits && moves < least)
			least = moves;
	}
	return least;
}

static void plan__random_tables_of_six__no_rounding_moves_fewer(void **state)
{
	struct sp_plan_slots slots;
	__u16 owner[SP_BUCKETS];

	(void)state;
	for (__u32 n = 0; n < 2000; n++) {
		__u32 owned[6] = { 0 }, moved, least;

		history_begin(n);
		slots = slots_of(6);
		for (__u32 s = 0; s < 6; s++)
			slots.slot[s].weight = 1 + below(9);
		/* Near the target, where single buckets decide. */
		for (__u32 b = 0; b < SP_BUCKETS; b++)
			owner[b] = SP_SLOT_NONE;
		sp_plan_owners(&slots, owner);
		for (__u32 i = 0; i < 12; i++)
			owner[below(SP_BUCKETS)] = below(6);
		for (__u32 b = 0; b < SP_BUCKETS; b++)
			owned[owner[b]]++;
		least = least_moves_of_all_roundings(&slots, owned);
		moved = sp_plan_owners(&slots, owner);
		require(moved == least, "%u buckets moved, %u were enough", moved, least);
	}
}

/* ---- histories ---- */

#define FLOWS 96
#define MEMBERS_MAX 40

struct flow {
	__u64 hash;
	__u32 kernel_hash;
	__u32 slot; /* where its last packet went */
	__u32 incarnation;
	bool is_placed; /* it has a worker, and a claim to stay there */
	bool is_quiet; /* sends nothing until the window has closed */
	bool has_sent; /* since the last publication */

	bool is_kept; /* its entry in the flow table */
	__u32 kept_slot;
	__u32 kept_incarnation;
};

/* A steered group: the maps, the sockets and the flows. */
static struct world {
	struct sp_view current, previous;
	bool is_open; /* the learn window, and with it `previous` */
	bool is_settled; /* learn_until_ns is 0: no window since the view was made */
	bool is_alive[SP_SLOTS_MAX];
	__u32 incarnation[SP_SLOTS_MAX];
	struct sp_plan_slots slots; /* what user space knows */
	struct flow flow[FLOWS];
} world;

static bool is_live_in_world(__u32 slot)
{
	return slot < SP_SLOTS_MAX && world.is_alive[slot];
}

/* The way of DESIGN section 4, written without choose.h: owner and probes, then the usable slots in turn. */
static int model_choose_usable(const struct sp_view *view, __u64 hash)
{
	__u32 low = hash, high = hash >> 32;

	for (__u32 i = 0; i < 16; i++) {
		__u32 slot = view->owner[(low + i * (high | 1)) % 16384];

		if (slot < SP_SLOTS_MAX && view->usable[slot / 64] >> slot % 64 & 1 && is_live_in_world(slot))
			return slot;
	}
	for (__u32 i = 0; i < view->nslots; i++) {
		__u32 slot = ((__u64)low + i) % view->nslots;

		if (view->usable[slot / 64] >> slot % 64 & 1 && is_live_in_world(slot))
			return slot;
	}
	return -1;
}

static int model_choose_any(const struct sp_view *view, __u64 hash)
{
	for (__u32 i = 0; i < view->nslots; i++) {
		__u32 slot = ((__u64)(__u32)hash + i) % view->nslots;

		if (is_live_in_world(slot))
			return slot;
	}
	return -1;
}

static int model_choose_previous(const struct flow *flow)
{
	const struct sp_view *view = &world.previous;
	__u32 slot;

	if (view->kind == SP_VIEW_TABLE)
		return model_choose_usable(view, flow->hash);
	slot = view->owner[(__u64)flow->kernel_hash * view->nslots >> 32];
	return is_live_in_world(slot) ? (int)slot : -1;
}

static void model_keep(struct flow *flow, __u32 slot)
{
	flow->is_kept = true;
	flow->kept_slot = slot;
	flow->kept_incarnation = world.incarnation[slot];
}

static bool is_kept_in_force(const struct flow *flow)
{
	return flow->is_kept && is_live_in_world(flow->kept_slot) &&
	       flow->kept_incarnation == world.incarnation[flow->kept_slot];
}

/* The program, for one datagram. Negative: nobody is live. */
static int model_steer(struct flow *flow, bool *ret_is_last_resort)
{
	__u32 bucket = flow->hash % 16384, owner = world.current.owner[bucket];
	bool is_moving = world.current.moving[bucket / 64] >> bucket % 64 & 1;
	bool owner_takes = owner < SP_SLOTS_MAX && world.current.usable[owner / 64] >> owner % 64 & 1 &&
			   is_live_in_world(owner);
	bool is_orphan = false;
	int slot, previous;

	*ret_is_last_resort = false;
	if (!is_moving && owner_takes)
		return owner;

	/* The flow table is asked in moving buckets, and where the owner died after the view was planned. */
	if (flow->is_kept && (is_moving || !world.is_settled)) {
		if (is_kept_in_force(flow))
			return flow->kept_slot;
		flow->is_kept = false;
		is_orphan = true;
	}

	slot = model_choose_usable(&world.current, flow->hash);
	if (slot < 0) {
		slot = model_choose_any(&world.current, flow->hash);
		*ret_is_last_resort = true;
	}
	if (!world.is_open)
		return slot;
	previous = is_orphan ? -1 : model_choose_previous(flow);
	if (previous >= 0 && previous != slot) {
		model_keep(flow, previous);
		*ret_is_last_resort = false;
		return previous;
	}
	/* The view before cannot tell again where this flow went: remember it, a further change may come. */
	if (previous < 0 && slot >= 0)
		model_keep(flow, slot);
	return slot;
}

static void send_packet(struct flow *flow)
{
	bool is_last_resort;
	int slot = model_steer(flow, &is_last_resort);

	if (slot < 0) {
		for (__u32 s = 0; s < SP_SLOTS_MAX; s++)
			require(!world.is_alive[s] || s >= world.current.nslots,
				"slot %u is live but was not found", s);
		flow->is_placed = false;
		return;
	}
	require(is_live_in_world(slot), "flow %016llx went to slot %d, which is dead",
		(unsigned long long)flow->hash, slot);
	if (flow->is_placed && is_live_in_world(flow->slot) &&
	    world.incarnation[flow->slot] == flow->incarnation)
		require((__u32)slot == flow->slot, "flow %016llx moved from live slot %u to slot %d",
			(unsigned long long)flow->hash, flow->slot, slot);
	flow->slot = slot;
	flow->incarnation = world.incarnation[slot];
	/* With no usable slot left, a draining one serves until there is one again. */
	flow->is_placed = !is_last_resort;
	flow->has_sent = true;
}

static void send_some(void)
{
	for (__u32 i = 0; i < FLOWS; i++)
		if (!world.flow[i].is_quiet && one_in(2))
			send_packet(&world.flow[i]);
}

static int take_planned(void *ctx, __u32 slot)
{
	const struct sp_plan_slots *slots = ctx;

	return slot < SP_SLOTS_MAX && slots->slot[slot].is_live ? 0 : -ENOENT;
}

/* Moving buckets are complete: as promised at planning time, for some hashes of every kind. */
static void check_moving(const struct sp_view *previous, const struct sp_view *view,
			 const struct sp_plan_slots *slots)
{
	for (__u32 i = 0; i < FLOWS; i++) {
		__u64 hash = i % 2 ? next_random() : world.flow[i].hash;
		int before, after;

		if (sp_bit(view->moving, sp_bucket(hash)))
			continue;
		require(previous->kind == SP_VIEW_TABLE, "bucket %u is not moving away from the kernel",
			sp_bucket(hash));
		before = sp_choose(previous, hash, (void *)slots, take_planned);
		after = sp_choose(view, hash, (void *)slots, take_planned);
		require((before < 0 && after < 0) || SP_CHOICE_SLOT(before) == SP_CHOICE_SLOT(after),
			"hash %016llx differs but its bucket is not moving", (unsigned long long)hash);
	}
}

/* Also of those whose worker is gone: that the table knows it is worth something only if no packet passes it by. */
static const __u64 *kept_buckets(void)
{
	static __u64 kept[SP_BUCKETS / 64];

	memset(kept, 0, sizeof(kept));
	for (__u32 i = 0; i < FLOWS; i++)
		if (world.flow[i].is_kept)
			kept[sp_bucket(world.flow[i].hash) / 64] |= 1ULL << (world.flow[i].hash % 64);
	return kept;
}

static void publish(const struct sp_view *current, const struct sp_view *previous)
{
	world.current = *current;
	world.previous = *previous;
	world.is_open = true;
	world.is_settled = false;
	for (__u32 i = 0; i < FLOWS; i++)
		world.flow[i].has_sent = false;
}

/* What one sync does; `slots` are its wishes: drains, weights and retirements on top of what is known. */
static void sync_group(struct sp_plan_slots *slots, __u32 newcomers)
{
	__u32 joined[MEMBERS_MAX], moved;
	struct sp_view *previous;

	for (__u32 s = 0; s < SP_SLOTS_MAX; s++)
		slots->slot[s].is_live = world.is_alive[s];

	/* First of all the dead lose their claims, and that is published before anyone takes their slots. */
	sp_plan_effective(&world.current, slots);
	if (world.is_open)
		sp_plan_effective(&world.previous, slots);
	previous = world.is_open ? &world.previous : &world.current;
	send_some();

	require(sp_plan_assign(slots, newcomers, joined) == 0, "no slot is left");
	for (__u32 i = 0; i < newcomers; i++) {
		world.incarnation[joined[i]]++;
		world.is_alive[joined[i]] = true;
	}
	/* The program still works with the view before: nobody goes to a newcomer yet. */
	send_some();

	moved = sp_plan_next(&world.current, previous, world.is_open, kept_buckets(), slots, &next);
	check_owners(slots, world.current.owner, next.owner, moved);
	check_moving(previous, &next, slots);
	other = *previous;
	publish(&next, &other);
	world.slots = *slots;
}

/* Every flow that has a say sends once more; those that are silent are new flows afterwards. */
static void close_window(void)
{
	for (__u32 i = 0; i < FLOWS; i++) {
		struct flow *flow = &world.flow[i];

		if (!flow->has_sent && !flow->is_quiet)
			send_packet(flow);
		if (!flow->has_sent)
			flow->is_placed = false;
	}
	world.is_open = false;
}

/* The window has closed and nothing has happened: only buckets with kept flows are still looked up. */
static void settle(void)
{
	struct sp_plan_slots slots = world.slots;
	const __u64 *kept;

	for (__u32 i = 0; i < FLOWS; i++)
		world.flow[i].is_kept = is_kept_in_force(&world.flow[i]);
	kept = kept_buckets();
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++)
		slots.slot[s].is_live = world.is_alive[s];
	sp_plan_effective(&world.current, &slots);
	require(sp_plan_next(&world.current, &world.current, false, kept, &slots, &next) == 0,
		"settling moved a bucket");
	require(!memcmp(next.moving, kept, sizeof(next.moving)),
		"settled, but other buckets than those kept are moving");
	world.current = next;
	world.is_settled = true;
	world.slots = slots;
}

/* A live slot by chance, or -1. */
static int some_live_slot(void)
{
	__u32 start = below(SP_SLOTS_MAX);

	for (__u32 i = 0; i < SP_SLOTS_MAX; i++)
		if (world.is_alive[(start + i) % SP_SLOTS_MAX])
			return (start + i) % SP_SLOTS_MAX;
	return -1;
}

static void kill_one(void)
{
	int slot = some_live_slot();

	if (slot >= 0)
		world.is_alive[slot] = false;
}

static void change_something(void)
{
	struct sp_plan_slots slots = world.slots;
	__u32 newcomers = one_in(2) ? below(4) : 0;

	for (__u32 s = 0; s < world.current.nslots; s++) {
		struct sp_plan_slot *slot = &slots.slot[s];

		if (!slot->is_assigned)
			continue;
		if (!world.is_alive[s]) {
			if (one_in(5))
				*slot = (struct sp_plan_slot){ 0 };
			continue;
		}
		if (one_in(slot->is_draining ? 3 : 8))
			slot->is_draining = !slot->is_draining;
		if (one_in(10))
			slot->weight = one_in(4) ? 0 : 1 + below(SP_WEIGHT_MAX);
	}
	sync_group(&slots, newcomers);
}

static void attach(__u32 members)
{
	struct sp_plan_slots slots = slots_of(members);

	memset(world.is_alive, 0, sizeof(world.is_alive));
	memset(world.incarnation, 0, sizeof(world.incarnation));
	for (__u32 s = 0; s < members; s++)
		world.is_alive[s] = true;
	for (__u32 s = 0; one_in(3) && s < members; s++)
		slots.slot[s].weight = below(SP_WEIGHT_MAX + 1);
	world.slots = slots;
	world.is_open = false;
	world.is_settled = true;

	sp_plan_first(&slots, &world.current);
	for (__u32 i = 0; i < FLOWS; i++)
		world.flow[i] = (struct flow){ .hash = next_random(), .kernel_hash = next_random() };
	if (one_in(3)) {
		for (__u32 i = 0; i < FLOWS; i++)
			send_packet(&world.flow[i]);
		return;
	}

	/* A group that lives already: the kernel has its own order of the members. */
	kernel_view(&other, members);
	for (__u32 i = members - 1; i > 0; i--) {
		__u32 j = below(i + 1);
		__u16 kept = other.owner[i];

		other.owner[i] = other.owner[j];
		other.owner[j] = kept;
	}
	for (__u32 i = 0; i < FLOWS; i++) {
		world.flow[i].slot = other.owner[(__u64)world.flow[i].kernel_hash * members >> 32];
		world.flow[i].is_placed = true;
	}
	sp_plan_next(&world.current, &other, false, NULL, &slots, &next);
	publish(&next, &other);
}

static void plan__i1_any_history__no_live_flow_moves(void **state)
{
	(void)state;
	for (__u32 n = 0; n < 10000; n++) {
		history_begin(n);
		attach(1 + below(one_in(10) ? MEMBERS_MAX : 8));
		for (__u32 events = 4 + below(12); events; events--) {
			send_some();
			switch (below(8)) {
			case 0:
			case 1:
			case 2:
				kill_one();
				break;
			case 3:
			case 4:
			case 5:
				change_something();
				break;
			default:
				if (world.is_open)
					close_window();
				if (one_in(2))
					settle();
				for (__u32 i = 0; i < FLOWS; i++)
					world.flow[i].is_quiet = one_in(10);
			}
		}
		close_window();
		settle();
		for (__u32 i = 0; i < FLOWS; i++)
			send_packet(&world.flow[i]);
	}
}

/* Workers are replaced one after another, faster than the window closes: one merged change after the other. */
static void plan__i1_rolling_restart_within_one_window__no_live_flow_moves(void **state)
{
	(void)state;
	for (__u32 n = 0; n < 300; n++) {
		__u32 members;

		history_begin(n);
		members = 2 + below(7);
		attach(members);
		for (__u32 s = 0; s < members; s++) {
			struct sp_plan_slots slots = world.slots;

			send_some();
			world.is_alive[s] = false;
			send_some();
			sync_group(&slots, 1);
			require(world.is_alive[s], "the newcomer did not get the dead slot %u", s);
			send_some();
		}
		close_window();
		settle();
		for (__u32 i = 0; i < FLOWS; i++)
			send_packet(&world.flow[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plan__first_view_of_four__each_owns_a_quarter),
		cmocka_unit_test(plan__i2_slot_dies__its_flows_spread_by_weight),
		cmocka_unit_test(plan__slot_ejected__has_no_claim_to_its_flows),
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
		cmocka_unit_test(plan__owner_entries_are_garbage__are_given_away),
		cmocka_unit_test(plan__assign__lowest_dead_slot_first_then_a_new_one),
		cmocka_unit_test(plan__assign_none__changes_nothing),
		cmocka_unit_test(plan__assign_more_than_are_left__changes_nothing),
		cmocka_unit_test(plan__reassign__only_a_dead_slot_is_had_back),
		cmocka_unit_test(plan__effective__dead_slots_lose_their_usable_bit),
		cmocka_unit_test(plan__effective_kernel_view__dead_owners_become_none),
		cmocka_unit_test(plan__slot_ejected__views_that_name_it_are_told_from_others),
		cmocka_unit_test(plan__kernel_predecessor__every_bucket_is_moving),
		cmocka_unit_test(plan__no_predecessor__no_bucket_is_moving),
		cmocka_unit_test(plan__buckets_with_kept_flows__stay_moving),
		cmocka_unit_test(plan__window_is_open__moving_buckets_stay_moving),
		cmocka_unit_test(plan__idle_group_with_a_dead_slot__comes_to_rest),
		cmocka_unit_test(plan__another_slot_joins__buckets_of_the_dead_one_are_moving),
		cmocka_unit_test(plan__worker_rejoins_its_slot__its_buckets_are_moving),
		cmocka_unit_test(plan__is_same__sees_owner_usable_moving_and_nslots_only),
		cmocka_unit_test(plan__share__is_what_is_owned_and_a_part_of_what_cannot_be_reached),
		cmocka_unit_test(plan__share_when_no_usable_slot_owns_anything__is_equal),
		cmocka_unit_test(plan__random_tables__quotas_are_within_one_and_moves_are_minimal),
		cmocka_unit_test(plan__random_tables_of_six__no_rounding_moves_fewer),
		cmocka_unit_test(plan__i1_any_history__no_live_flow_moves),
		cmocka_unit_test(plan__i1_rolling_restart_within_one_window__no_live_flow_moves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
