// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Slot choice: owner, probes, scan, and that no live slot is ever overlooked. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <steadyport/choose.h>

/* splitmix64: the same numbers on every machine. */
static __u64 seed = 0x5eed;

static __u64 next_random(void)
{
	__u64 z = seed += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static __u32 below(__u32 limit)
{
	return (next_random() >> 32) * limit >> 32;
}

/* Stands in for the sockarray; like it, it refuses an index that it does not have. */
struct sockets {
	bool is_live[SP_SLOTS_MAX];
	__u32 asked;
};

static int take(void *ctx, __u32 slot)
{
	struct sockets *sockets = ctx;

	sockets->asked++;
	return slot < SP_SLOTS_MAX && sockets->is_live[slot] ? 0 : -ENOENT;
}

static struct sp_view view;
static struct sockets sockets;

static void set_usable(__u32 slot, bool usable)
{
	__u64 bit = 1ULL << (slot % 64);

	if (usable)
		view.usable[slot / 64] |= bit;
	else
		view.usable[slot / 64] &= ~bit;
}

/* A view of that many usable, live slots; all buckets are slot 0's. */
static void view_of(__u32 nslots)
{
	memset(&view, 0, sizeof(view));
	memset(&sockets, 0, sizeof(sockets));
	view.nslots = nslots;
	for (__u32 s = 0; s < nslots; s++) {
		set_usable(s, true);
		sockets.is_live[s] = true;
	}
}

/* A hash of this bucket whose probes are `step` (odd) buckets apart. */
static __u64 hash_of(__u32 bucket, __u32 step)
{
	return (__u64)step << 32 | bucket;
}

static void choose__owner_is_live__takes_it_and_asks_no_other(void **state)
{
	(void)state;
	view_of(4);
	view.owner[100] = 2;
	assert_int_equal(sp_choose(&view, hash_of(100, 7), &sockets, take), SP_CHOICE(2, SP_HOW_OWNER));
	assert_int_equal(sockets.asked, 1);
}

/* What the usable bits say of an owner, PLAIN has said before; they are for the rest of the way. */
static void choose__plain_view__asks_the_owner_and_goes_on_as_a_table(void **state)
{
	(void)state;
	view_of(4);
	view.kind = SP_VIEW_PLAIN;
	view.owner[100] = 2;
	view.owner[107] = 1;
	view.owner[114] = 3;
	memset(view.moving, 0xff, sizeof(view.moving));
	assert_false(sp_is_moving(&view, hash_of(100, 7)));
	set_usable(2, false);
	assert_int_equal(sp_choose(&view, hash_of(100, 7), &sockets, take), SP_CHOICE(2, SP_HOW_OWNER));
	sockets.is_live[2] = false;
	set_usable(1, false);
	assert_int_equal(sp_choose(&view, hash_of(100, 7), &sockets, take), SP_CHOICE(3, SP_HOW_PROBE));
	view.owner[100] = SP_SLOT_NONE;
	assert_int_equal(sp_choose(&view, hash_of(100, 7), &sockets, take), SP_CHOICE(3, SP_HOW_PROBE));
	view.kind = SP_VIEW_TABLE;
}

static void choose__owner_is_dead__takes_the_next_probe(void **state)
{
	(void)state;
	view_of(4);
	view.owner[100] = 2;
	view.owner[107] = 3;
	sockets.is_live[2] = false;
	assert_int_equal(sp_choose(&view, hash_of(100, 7), &sockets, take), SP_CHOICE(3, SP_HOW_PROBE));

	/* The last of the probes still counts as one. */
	for (__u32 i = 0; i < SP_PROBES - 1; i++)
		view.owner[(100 + 7 * i) & SP_BUCKET_MASK] = 2;
	view.owner[100 + 7 * (SP_PROBES - 1)] = 1;
	assert_int_equal(sp_choose(&view, hash_of(100, 7), &sockets, take), SP_CHOICE(1, SP_HOW_PROBE));
}

static void choose__owner_is_not_usable__is_skipped_without_being_asked(void **state)
{
	(void)state;
	view_of(4);
	view.owner[100] = 2;
	view.owner[107] = 1;
	view.owner[114] = 3;
	set_usable(2, false);
	set_usable(1, false);
	assert_int_equal(sp_choose(&view, hash_of(100, 7), &sockets, take), SP_CHOICE(3, SP_HOW_PROBE));
	assert_int_equal(sockets.asked, 1);
}

static void choose__owner_entry_names_no_slot__is_skipped(void **state)
{
	(void)state;
	view_of(4);
	view.owner[100] = SP_SLOT_NONE;
	view.owner[107] = SP_SLOTS_MAX;
	view.owner[114] = 3;
	assert_int_equal(sp_choose(&view, hash_of(100, 7), &sockets, take), SP_CHOICE(3, SP_HOW_PROBE));
}

static void choose__probes__ask_sixteen_different_buckets_that_wrap(void **state)
{
	(void)state;
	for (__u32 b = 0; b < SP_BUCKETS; b++)
		view.owner[b] = b;
	for (int n = 0; n < 10000; n++) {
		__u64 hash = next_random();
		__u32 bucket[SP_PROBES];

		for (__u32 i = 0; i < SP_PROBES; i++) {
			bucket[i] = sp_probe(&view, hash, i);
			for (__u32 j = 0; j < i; j++)
				assert_int_not_equal(bucket[i], bucket[j]);
		}
		assert_int_equal(bucket[0], sp_bucket(hash));
	}
}

static void choose__all_probes_fail__scans_for_the_first_usable_live_slot(void **state)
{
	(void)state;
	view_of(8);
	sockets.is_live[0] = false; /* owns everything */
	sockets.is_live[5] = false;
	set_usable(6, false);
	assert_int_equal(sp_choose(&view, hash_of(5, 7), &sockets, take), SP_CHOICE(7, SP_HOW_SCAN));
	/* It starts at h mod nslots and comes round. */
	sockets.is_live[7] = false;
	assert_int_equal(sp_choose(&view, hash_of(5, 7), &sockets, take), SP_CHOICE(1, SP_HOW_SCAN));
	assert_int_equal(sp_choose(&view, hash_of(3, 7), &sockets, take), SP_CHOICE(3, SP_HOW_SCAN));
}

static void choose__no_usable_slot_is_live__i3_takes_any_live_one(void **state)
{
	(void)state;
	view_of(8);
	memset(sockets.is_live, 0, sizeof(sockets.is_live));
	sockets.is_live[6] = true;
	set_usable(6, false);
	for (__u32 h = 0; h < 64; h++)
		assert_int_equal(sp_choose(&view, hash_of(h, 7), &sockets, take), SP_CHOICE(6, SP_HOW_SCAN));
}

static void choose__none_is_live__says_so(void **state)
{
	(void)state;
	view_of(8);
	memset(sockets.is_live, 0, sizeof(sockets.is_live));
	assert_int_equal(sp_choose(&view, next_random(), &sockets, take), SP_CHOICE_NONE);
	view_of(0);
	assert_int_equal(sp_choose(&view, next_random(), &sockets, take), SP_CHOICE_NONE);
}

static void choose__hash_near_its_end__i3_scan_reaches_every_slot(void **state)
{
	(void)state;
	/* Where hash + i would pass 2^32, a number of slots that is no power of two must not skip one. */
	for (__u32 nslots = 1; nslots <= 64; nslots++) {
		view_of(nslots);
		for (__u32 b = 0; b < SP_BUCKETS; b++)
			view.owner[b] = SP_SLOT_NONE;
		for (__u32 live = 0; live < nslots; live++) {
			memset(sockets.is_live, 0, sizeof(sockets.is_live));
			sockets.is_live[live] = true;
			for (__u32 h = 0; h < nslots; h++)
				assert_int_equal(sp_choose(&view, hash_of(0xffffffff - h, 7), &sockets, take),
						 SP_CHOICE(live, SP_HOW_SCAN));
		}
	}
}

static void choose__random_views__i3_never_overlook_a_live_slot(void **state)
{
	(void)state;
	for (int table = 0; table < 200; table++) {
		__u32 nslots = 1 + below(table % 4 ? 12 : SP_SLOTS_MAX);

		view_of(nslots);
		for (__u32 b = 0; b < SP_BUCKETS; b++)
			view.owner[b] = below(nslots + 1) < nslots ? below(nslots) : SP_SLOT_NONE;
		for (int n = 0; n < 600; n++) {
			__u32 s = below(nslots), alive = 0, usable = 0, slot;
			int choice;

			/* Mostly dead, mostly unusable: the far end of the search. */
			set_usable(s, below(4) == 0);
			sockets.is_live[below(nslots)] = below(4) == 0;
			choice = sp_choose(&view, next_random(), &sockets, take);
			for (s = 0; s < nslots; s++) {
				alive += sockets.is_live[s];
				usable += sockets.is_live[s] && sp_is_usable(&view, s);
			}
			if (!alive) {
				assert_int_equal(choice, SP_CHOICE_NONE);
				continue;
			}
			assert_true(choice >= 0);
			slot = SP_CHOICE_SLOT(choice);
			assert_true(slot < nslots && sockets.is_live[slot]);
			assert_true(sp_is_usable(&view, slot) || !usable);
		}
	}
}

static void choose__garbage_view__chooses_a_live_slot_or_none(void **state)
{
	(void)state;
	for (int n = 0; n < 300; n++) {
		__u64 *words = (__u64 *)&view;

		for (size_t i = 0; i < sizeof(view) / sizeof(*words); i++)
			words[i] = next_random();
		/* Also more slots than there are. */
		view.nslots = n % 3 ? below(2 * SP_SLOTS_MAX) : (__u32)next_random();
		for (__u32 s = 0; s < SP_SLOTS_MAX; s++)
			sockets.is_live[s] = n % 2 && below(n) == 0;
		for (int k = 0; k < 64; k++) {
			__u64 hash = next_random();
			int choice = sp_choose(&view, hash, &sockets, take);

			if (choice != SP_CHOICE_NONE)
				assert_true(sockets.is_live[SP_CHOICE_SLOT(choice)]);
			choice = sp_choose_kernel(&view, hash, &sockets, take);
			if (choice != SP_CHOICE_NONE)
				assert_true(sockets.is_live[SP_CHOICE_SLOT(choice)]);
		}
	}
}

static void choose__slot_dies__i1_flows_of_the_others_stay(void **state)
{
	(void)state;
	view_of(7);
	for (__u32 b = 0; b < SP_BUCKETS; b++)
		view.owner[b] = below(7);
	for (int n = 0; n < 20000; n++) {
		__u64 hash = next_random();
		__u32 dead = below(7);
		int before = sp_choose(&view, hash, &sockets, take), after;

		sockets.is_live[dead] = false;
		after = sp_choose(&view, hash, &sockets, take);
		if (SP_CHOICE_SLOT(before) == dead)
			assert_int_not_equal(SP_CHOICE_SLOT(after), dead);
		else
			assert_int_equal(after, before);
		sockets.is_live[dead] = n % 3 != 0;
		if (n % 16 == 0)
			memset(sockets.is_live, true, 7);
	}
}

static void choose__slots_die__i2_their_flows_spread_by_weight(void **state)
{
	static const __u32 weight[] = { 100, 200, 50, 150, 100, 300, 100 }; /* 1000 in all */
	__u32 got[7] = { 0 }, flows = 0;

	(void)state;
	view_of(7);
	for (__u32 b = 0; b < SP_BUCKETS; b++) {
		__u32 at = below(1000), s = 0;

		while (at >= weight[s])
			at -= weight[s++];
		view.owner[b] = s;
	}
	sockets.is_live[5] = false;
	sockets.is_live[6] = false;
	while (flows < 60000) {
		__u64 hash = next_random();
		__u32 slot = SP_CHOICE_SLOT(sp_choose(&view, hash, &sockets, take));

		if (view.owner[sp_bucket(hash)] < 5)
			continue;
		flows++;
		got[slot]++;
	}
	for (__u32 s = 0; s < 5; s++) {
		double fair = (double)flows * weight[s] / 600;

		if (got[s] < 0.9 * fair || got[s] > 1.1 * fair)
			fail_msg("slot %u got %u of the dead slots' flows, fair are %.0f", s, got[s], fair);
	}
}

static void choose__no_worker_is_live__tcp_parks(void **state)
{
	(void)state;
	view_of(8);
	memset(sockets.is_live, 0, sizeof(sockets.is_live));
	sockets.is_live[SP_SLOT_PARK] = true;
	for (__u32 h = 0; h < 64; h++)
		assert_int_equal(sp_choose_tcp(&view, hash_of(h, 7), &sockets, take),
				 SP_CHOICE(SP_SLOT_PARK, SP_HOW_PARK));
	/* Also where no slot was ever used, or every worker was retired. */
	view_of(0);
	sockets.is_live[SP_SLOT_PARK] = true;
	assert_int_equal(sp_choose_tcp(&view, next_random(), &sockets, take),
			 SP_CHOICE(SP_SLOT_PARK, SP_HOW_PARK));
	sockets.is_live[SP_SLOT_PARK] = false;
	assert_int_equal(sp_choose_tcp(&view, next_random(), &sockets, take), SP_CHOICE_NONE);
}

static void choose__no_worker_is_live__udp_does_not_park(void **state)
{
	(void)state;
	view_of(8);
	memset(sockets.is_live, 0, sizeof(sockets.is_live));
	sockets.is_live[SP_SLOT_PARK] = true;
	assert_int_equal(sp_choose(&view, next_random(), &sockets, take), SP_CHOICE_NONE);
	assert_int_equal(sp_choose_usable(&view, next_random(), &sockets, take), SP_CHOICE_NONE);
}

static void choose__any_worker_is_live__parking_is_not_even_asked(void **state)
{
	(void)state;
	for (__u32 nslots = 1; nslots <= SP_SLOT_PARK; nslots += 1 + nslots / 2) {
		for (int n = 0; n < 200; n++) {
			__u32 live = below(nslots);
			__u64 hash = next_random();
			int choice;

			view_of(nslots);
			for (__u32 b = 0; b < SP_BUCKETS; b += 1 + below(64))
				view.owner[b] = below(nslots);
			memset(sockets.is_live, 0, sizeof(sockets.is_live));
			sockets.is_live[live] = true;
			/* The last resort, a slot that takes no new flows, comes before it, too. */
			set_usable(live, n % 2);
			choice = sp_choose(&view, hash, &sockets, take);
			assert_int_equal(SP_CHOICE_SLOT(choice), live);
			sockets.is_live[SP_SLOT_PARK] = true;
			assert_int_equal(sp_choose_tcp(&view, hash, &sockets, take), choice);
		}
	}
}

/* Slot 1023 is a worker's where the view has 1024 slots: it is chosen as any other, and there is no parking. */
static void choose__worker_holds_the_parking_slot__is_a_worker(void **state)
{
	(void)state;
	view_of(SP_SLOTS_MAX);
	memset(sockets.is_live, 0, sizeof(sockets.is_live));
	sockets.is_live[SP_SLOT_PARK] = true;
	assert_int_equal(sp_choose_tcp(&view, hash_of(3, 7), &sockets, take),
			 SP_CHOICE(SP_SLOT_PARK, SP_HOW_SCAN));
	view.owner[3] = SP_SLOT_PARK;
	assert_int_equal(sp_choose_tcp(&view, hash_of(3, 7), &sockets, take),
			 SP_CHOICE(SP_SLOT_PARK, SP_HOW_OWNER));
	sockets.is_live[SP_SLOT_PARK] = false;
	sockets.asked = 0;
	assert_int_equal(sp_choose_tcp(&view, hash_of(3, 7), &sockets, take), SP_CHOICE_NONE);
	/* Owner, 15 probes of which all name slot 0, and the scan over all that are usable. */
	assert_int_equal(sockets.asked, SP_PROBES + SP_SLOTS_MAX);
}

static void choose__kernel_view__scales_like_the_kernel(void **state)
{
	(void)state;
	for (__u32 nslots = 1; nslots <= SP_SLOTS_MAX; nslots += 1 + nslots / 2) {
		view_of(nslots);
		view.kind = SP_VIEW_KERNEL;
		for (__u32 i = 0; i < nslots; i++)
			view.owner[i] = nslots - 1 - i;
		for (int n = 0; n < 1000; n++) {
			__u32 hash = n ? (__u32)next_random() : UINT32_MAX;
			__u32 position = (__u64)hash * nslots >> 32; /* reciprocal_scale() */

			assert_int_equal(sp_choose_kernel(&view, hash, &sockets, take),
					 SP_CHOICE(nslots - 1 - position, SP_HOW_OWNER));
		}
	}
}

static void choose__kernel_view_names_a_dead_slot__has_no_successor(void **state)
{
	(void)state;
	view_of(2);
	view.kind = SP_VIEW_KERNEL;
	view.owner[0] = 0;
	view.owner[1] = 1;
	sockets.is_live[1] = false;
	assert_int_equal(sp_choose_kernel(&view, 0, &sockets, take), SP_CHOICE(0, SP_HOW_OWNER));
	assert_int_equal(sp_choose_kernel(&view, 0x80000000, &sockets, take), SP_CHOICE_NONE);
	view.owner[0] = SP_SLOT_NONE;
	assert_int_equal(sp_choose_kernel(&view, 0, &sockets, take), SP_CHOICE_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(choose__owner_is_live__takes_it_and_asks_no_other),
		cmocka_unit_test(choose__plain_view__asks_the_owner_and_goes_on_as_a_table),
		cmocka_unit_test(choose__owner_is_dead__takes_the_next_probe),
		cmocka_unit_test(choose__owner_is_not_usable__is_skipped_without_being_asked),
		cmocka_unit_test(choose__owner_entry_names_no_slot__is_skipped),
		cmocka_unit_test(choose__probes__ask_sixteen_different_buckets_that_wrap),
		cmocka_unit_test(choose__all_probes_fail__scans_for_the_first_usable_live_slot),
		cmocka_unit_test(choose__no_usable_slot_is_live__i3_takes_any_live_one),
		cmocka_unit_test(choose__none_is_live__says_so),
		cmocka_unit_test(choose__hash_near_its_end__i3_scan_reaches_every_slot),
		cmocka_unit_test(choose__random_views__i3_never_overlook_a_live_slot),
		cmocka_unit_test(choose__garbage_view__chooses_a_live_slot_or_none),
		cmocka_unit_test(choose__slot_dies__i1_flows_of_the_others_stay),
		cmocka_unit_test(choose__slots_die__i2_their_flows_spread_by_weight),
		cmocka_unit_test(choose__no_worker_is_live__tcp_parks),
		cmocka_unit_test(choose__no_worker_is_live__udp_does_not_park),
		cmocka_unit_test(choose__any_worker_is_live__parking_is_not_even_asked),
		cmocka_unit_test(choose__worker_holds_the_parking_slot__is_a_worker),
		cmocka_unit_test(choose__kernel_view__scales_like_the_kernel),
		cmocka_unit_test(choose__kernel_view_names_a_dead_slot__has_no_successor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
