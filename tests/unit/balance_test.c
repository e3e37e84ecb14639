// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Placement by load: loads, ranks and candidates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <steadyport/balance.h>

static struct sp_view view;

/* Owners in turn, all usable. */
static void view_of(__u32 nslots)
{
	memset(&view, 0, sizeof(view));
	view.nslots = nslots;
	for (__u32 b = 0; b < SP_BUCKETS; b++)
		view.owner[b] = b % nslots;
	for (__u32 s = 0; s < nslots; s++)
		view.usable[s / 64] |= 1ULL << (s % 64);
}

static __u64 hash_of(__u64 i)
{
	return (i + 1) * 0x9e3779b97f4a7c15ULL;
}

/* As the program does it. */
static __u32 place(__u64 hash, __u32 own, const __u32 *connections, const __u32 *weight)
{
	__u64 best = sp_rank_own(sp_load(connections[own], weight[own]));

	for (__u32 i = 0; i < SP_CANDIDATES; i++) {
		__u32 slot = sp_candidate(&view, hash, i);
		__u64 rank;

		if (slot == own || !sp_is_usable(&view, slot))
			continue;
		rank = sp_rank_other(sp_load(connections[slot], weight[slot]), slot, hash);
		if (rank < best)
			best = rank;
	}
	return sp_rank_is_own(best) ? own : sp_rank_slot(best, hash);
}

static void load__weights__divide_the_connections(void **state)
{
	(void)state;
	assert_int_equal(sp_load(0, 1), 0);
	assert_int_equal(sp_load(0, SP_WEIGHT_MAX), 0);
	assert_int_equal(sp_load(2, 100), sp_load(1, 50));
	assert_int_equal(sp_load(20, 1000), sp_load(1, 50));
	assert_true(sp_load(3, 100) > sp_load(1, 50));
	assert_true(sp_load(1, 50) > sp_load(1, 100));
}

/* The nearest two ratios of weights up to 1000, at the least load. */
static void load__ratios_that_differ__stay_apart(void **state)
{
	(void)state;
	assert_true(sp_load(1, SP_WEIGHT_MAX - 1) > sp_load(1, SP_WEIGHT_MAX));
	assert_true(sp_load(1000000, 999) > sp_load(1000000, 1000));
	assert_true(sp_load(1, SP_WEIGHT_MAX) > sp_load(0, 1));
}

static void load__weight_0_or_any_number_of_connections__fits_a_rank(void **state)
{
	(void)state;
	assert_true(sp_load(0, 0) == SP_LOAD_UNKNOWN);
	assert_true(sp_load(~0U, 1) < SP_LOAD_UNKNOWN);
	assert_true(sp_rank_own(SP_LOAD_UNKNOWN) >> 11 == SP_LOAD_UNKNOWN);
	assert_true(sp_rank_own(SP_LOAD_UNKNOWN) < sp_rank_other(SP_LOAD_UNKNOWN, 0, 0));
}

static void rank__every_slot__is_told_again(void **state)
{
	(void)state;
	for (__u32 slot = 0; slot < SP_SLOTS_MAX; slot++) {
		__u64 hash = hash_of(slot), rank = sp_rank_other(sp_load(slot, 7), slot, hash);

		assert_int_equal(sp_rank_slot(rank, hash), slot);
		assert_false(sp_rank_is_own(rank));
	}
	assert_true(sp_rank_is_own(sp_rank_own(sp_load(9, 9))));
}

static void place__equal_loads__the_own_choice_stays(void **state)
{
	__u32 connections[8], weight[8];

	(void)state;
	view_of(8);
	for (__u32 n = 0; n < 3; n++) {
		for (__u32 s = 0; s < 8; s++) {
			weight[s] = 100 + s * 50;
			connections[s] = n * (2 + s);
		}
		for (__u32 own = 0; own < 8; own++)
			assert_int_equal(place(hash_of(own), own, connections, weight), own);
	}
}

static void place__one_has_less_for_its_weight__every_flow_goes_there(void **state)
{
	__u32 connections[8] = { 4, 4, 4, 4, 6, 4, 4, 4 }, weight[8] = { 10, 10, 10, 10, 20, 10, 10, 10 };

	(void)state;
	view_of(8);
	for (__u32 i = 0; i < 1000; i++)
		assert_int_equal(place(hash_of(i), i % 8, connections, weight), 4);
}

static void place__several_have_the_least__flows_spread_over_them(void **state)
{
	__u32 connections[8] = { 1, 1, 1, 9, 1, 1, 1, 1 }, weight[8] = { 1, 1, 1, 1, 1, 1, 1, 1 };
	__u32 got[8] = { 0 };

	(void)state;
	view_of(8);
	for (__u32 i = 0; i < 7000; i++)
		got[place(hash_of(i), 3, connections, weight)]++;
	assert_int_equal(got[3], 0);
	for (__u32 s = 0; s < 8; s++)
		assert_true(s == 3 || (got[s] > 500 && got[s] < 2100));
}

static void place__slot_is_not_usable_or_has_weight_0__it_gets_nothing(void **state)
{
	__u32 connections[8] = { 9, 9, 0, 0, 9, 9, 9, 9 }, weight[8] = { 1, 1, 1, 0, 1, 1, 1, 1 };

	(void)state;
	view_of(8);
	view.usable[0] &= ~(1ULL << 2);
	for (__u32 i = 0; i < 1000; i++)
		assert_int_equal(place(hash_of(i), 5, connections, weight), 5);
}

static void candidates__32_slots_or_fewer__are_all_of_them(void **state)
{
	(void)state;
	for (__u32 nslots = 1; nslots <= SP_CANDIDATES; nslots++) {
		bool seen[SP_CANDIDATES] = { false };

		view_of(nslots);
		for (__u32 i = 0; i < SP_CANDIDATES; i++) {
			__u32 slot = sp_candidate(&view, hash_of(nslots), i);

			if (i < nslots)
				seen[slot] = true;
			else
				assert_int_equal(slot, SP_SLOT_NONE);
		}
		for (__u32 s = 0; s < nslots; s++)
			assert_true(seen[s]);
	}
}

static void candidates__more_slots__are_a_sample_that_differs_from_flow_to_flow(void **state)
{
	static __u32 times[SP_SLOTS_MAX];

	(void)state;
	for (__u32 nslots = SP_CANDIDATES + 1; nslots <= SP_SLOTS_MAX; nslots *= 2) {
		memset(times, 0, sizeof(times));
		view_of(nslots);
		for (__u32 i = 0; i < nslots * 8; i++)
			for (__u32 c = 0; c < SP_CANDIDATES; c++)
				times[sp_candidate(&view, hash_of(i), c)]++;
		/* 256 times each on the average */
		for (__u32 s = 0; s < nslots; s++)
			assert_in_range(times[s], 128, 512);
	}
}

static void candidates__no_slots__there_are_none(void **state)
{
	(void)state;
	memset(&view, 0, sizeof(view));
	for (__u32 i = 0; i < SP_CANDIDATES; i++)
		assert_int_equal(sp_candidate(&view, hash_of(i), i), SP_SLOT_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(load__weights__divide_the_connections),
		cmocka_unit_test(load__ratios_that_differ__stay_apart),
		cmocka_unit_test(load__weight_0_or_any_number_of_connections__fits_a_rank),
		cmocka_unit_test(rank__every_slot__is_told_again),
		cmocka_unit_test(place__equal_loads__the_own_choice_stays),
		cmocka_unit_test(place__one_has_less_for_its_weight__every_flow_goes_there),
		cmocka_unit_test(place__several_have_the_least__flows_spread_over_them),
		cmocka_unit_test(place__slot_is_not_usable_or_has_weight_0__it_gets_nothing),
		cmocka_unit_test(candidates__32_slots_or_fewer__are_all_of_them),
		cmocka_unit_test(candidates__more_slots__are_a_sample_that_differs_from_flow_to_flow),
		cmocka_unit_test(candidates__no_slots__there_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
