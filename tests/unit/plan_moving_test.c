// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Planning: the view that was in effect, which buckets move, and shares. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <steadyport/choose.h>
#include "plan.h"
#include "views.h"

/* Big, and used by every case from scratch. */
static struct sp_view first, next, other;

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

static void plan__nothing_moves_and_all_owners_are_usable__plain(void **state)
{
	struct sp_plan_slots slots = { 0 };
	struct sp_view view;
	__u32 chosen[3];

	(void)state;
	assert_int_equal(sp_plan_assign(&slots, 3, chosen), 0);
	sp_plan_first(&slots, &view);
	assert_true(sp_plan_is_plain(&view));
	view.moving[255] = 1ULL << 63;
	assert_false(sp_plan_is_plain(&view));
	view.moving[255] = 0;
	view.owner[SP_BUCKETS - 1] = SP_SLOT_NONE;
	assert_true(sp_plan_is_plain(&view));
	slots.slot[1].is_live = false;
	assert_true(sp_plan_effective(&view, &slots));
	assert_false(sp_plan_is_plain(&view));
	kernel_view(&view, 3);
	assert_false(sp_plan_is_plain(&view));
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plan__effective__dead_slots_lose_their_usable_bit),
		cmocka_unit_test(plan__nothing_moves_and_all_owners_are_usable__plain),
		cmocka_unit_test(plan__effective_kernel_view__dead_owners_become_none),
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
