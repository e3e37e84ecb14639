// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Planning: what holds for one step whatever it is, over random examples. Whole histories are in tests/chaos. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <steadyport/choose.h>
#include "balance.h"
#include "plan.h"
#include "seed.h"

/* The same numbers in each run: what fails here fails again. */
static struct sp_random numbers;
static __u32 example;

static void example_begin(__u32 number)
{
	example = number;
	numbers.state = number;
}

static __u32 below(__u32 limit)
{
	return sp_random_below(&numbers, limit);
}

static bool one_in(__u32 n)
{
	return sp_random_one_in(&numbers, n);
}

#define require(condition, fmt, ...)                                          \
	do {                                                                  \
		if (!(condition))                                             \
			fail_msg("example %u: " fmt, example, ##__VA_ARGS__); \
	} while (0)

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

static const char *fault_of(const struct sp_plan_slots *slots, const __u16 before[SP_BUCKETS],
			    const __u16 after[SP_BUCKETS], __u32 moved)
{
	__u32 weight[SP_SLOTS_MAX];

	for (__u32 s = 0; s < SP_SLOTS_MAX; s++)
		weight[s] = slots->slot[s].is_assigned ? slots->slot[s].weight : 0;
	return sp_balance_fault(weight, before, after, moved);
}

static void plan__random_tables__quotas_are_within_one_and_moves_are_minimal(void **state)
{
	static struct sp_plan_slots slots;
	__u16 owner[SP_BUCKETS], before[SP_BUCKETS];

	(void)state;
	for (__u32 n = 0; n < 1000; n++) {
		__u32 nslots;

		example_begin(n);
		nslots = 1 + below(one_in(20) ? SP_SLOTS_MAX : 12);
		randomize(&slots, nslots);
		for (__u32 b = 0; b < SP_BUCKETS; b++)
			owner[b] = below(nslots + (nslots + 7) / 8);
		for (int step = 0; step < 2; step++) {
			__u32 moved;
			const char *fault;

			memcpy(before, owner, sizeof(owner));
			moved = sp_plan_owners(&slots, owner);
			fault = fault_of(&slots, before, owner, moved);
			require(!fault, "%s", fault);
			randomize(&slots, nslots);
		}
	}
}

static int take_live(void *slots, __u32 slot)
{
	return ((struct sp_plan_slots *)slots)->slot[slot].is_live ? 0 : -1;
}

static int choice_of(const struct sp_view *view, __u64 hash, struct sp_plan_slots *slots)
{
	int choice = sp_choose_usable(view, hash, slots, take_live);

	return choice < 0 ? choice : (int)SP_CHOICE_SLOT(choice);
}

static void plan__random_change__who_may_be_placed_differently_is_in_a_moving_bucket(void **state)
{
	static struct sp_plan_slots slots;
	static struct sp_view first, next;
	__u32 nslots, stayed = 0;

	(void)state;
	for (__u32 n = 0; n < 300; n++) {
		example_begin(n);
		nslots = 1 + below(one_in(20) ? SP_SLOTS_MAX : 12);
		randomize(&slots, nslots);
		sp_plan_first(&slots, &first);
		randomize(&slots, nslots);
		sp_plan_effective(&first, &slots);
		sp_plan_next(&first, &first, false, NULL, &slots, &next);
		for (__u32 i = 0; i < 500; i++) {
			__u64 hash = sp_random_next(&numbers);

			if (sp_bit(next.moving, sp_bucket(hash)))
				continue;
			require(choice_of(&first, hash, &slots) == choice_of(&next, hash, &slots),
				"hash %llx moves, but its bucket does not", hash);
			stayed++;
		}
	}
	/* Or there was nothing to see. */
	assert_true(stayed > 10000);
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
	static struct sp_plan_slots slots;
	__u16 owner[SP_BUCKETS];

	(void)state;
	for (__u32 n = 0; n < 1000; n++) {
		__u32 owned[6] = { 0 }, moved, least;

		example_begin(n);
		for (__u32 s = 0; s < 6; s++)
			slots.slot[s] = (struct sp_plan_slot){ .is_assigned = true, .weight = 1 + below(9) };
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

/* Whatever the entries say, what is a slot's within its share stays. */
static void plan__owner_entries_are_garbage__are_given_away(void **state)
{
	static struct sp_plan_slots slots;
	__u16 owner[SP_BUCKETS], before[SP_BUCKETS];
	const char *fault;
	__u32 moved;

	(void)state;
	example_begin(0);
	for (__u32 s = 0; s < 5; s++)
		slots.slot[s] = (struct sp_plan_slot){ .is_assigned = true, .is_live = true, .weight = 1 };
	for (__u32 b = 0; b < SP_BUCKETS; b++)
		owner[b] = sp_random_next(&numbers);
	memcpy(before, owner, sizeof(owner));
	moved = sp_plan_owners(&slots, owner);
	fault = fault_of(&slots, before, owner, moved);
	require(!fault, "%s", fault);
	for (__u32 b = 0; b < SP_BUCKETS; b++)
		assert_in_range(owner[b], 0, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plan__random_tables__quotas_are_within_one_and_moves_are_minimal),
		cmocka_unit_test(plan__random_tables_of_six__no_rounding_moves_fewer),
		cmocka_unit_test(plan__owner_entries_are_garbage__are_given_away),
		cmocka_unit_test(plan__random_change__who_may_be_placed_differently_is_in_a_moving_bucket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
