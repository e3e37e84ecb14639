// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The kernel's rehash, counted: against the kernel's own formula on hashes one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "rehash.h"

#define COUNT_MAX 40
#define SAMPLES (1 << 16)

/* reciprocal_scale() of include/linux/kernel.h */
static __u32 scale(__u32 hash, __u32 count)
{
	return (__u64)hash * count >> 32;
}

/* The member that a hash comes to, by the numbers that they had before; -1: the newcomer. */
static int member_after_leave(__u32 hash, __u32 count, __u32 position)
{
	__u32 at = scale(hash, count - 1);

	return at == position ? count - 1 : at;
}

/* Hashes at equal steps, odd, so that they meet all residues. */
static __u32 sample(__u32 i)
{
	return i * ((1u << 16) + 1);
}

static void require_near(double share, __u64 moved, __u64 flows)
{
	double counted = flows ? (double)moved / flows : 0, difference = share - counted;

	assert_true(difference < 0.002 && difference > -0.002);
}

static void rehash__a_member_leaves__as_the_kernel_s_formula_says(void **state)
{
	(void)state;
	for (__u32 count = 2; count <= COUNT_MAX; count++) {
		for (__u32 position = 0; position < count; position++) {
			struct sp_rehash rehash = sp_rehash_leave(count, position);
			__u64 flows = 0, moved = 0;

			for (__u32 i = 0; i < SAMPLES; i++) {
				int before = scale(sample(i), count);

				if (before == (int)position)
					continue;
				flows++;
				moved += member_after_leave(sample(i), count, position) != before;
			}
			require_near(sp_rehash_share(&rehash), moved, flows);
		}
	}
}

static void rehash__a_member_joins__as_the_kernel_s_formula_says(void **state)
{
	(void)state;
	for (__u32 count = 1; count <= COUNT_MAX; count++) {
		struct sp_rehash rehash = sp_rehash_join(count);
		__u64 moved = 0;

		for (__u32 i = 0; i < SAMPLES; i++) {
			__u32 after = scale(sample(i), count + 1);

			moved += after != count && after != scale(sample(i), count);
		}
		assert_true(rehash.flows == SP_REHASH_SPACE);
		require_near(sp_rehash_share(&rehash), moved, SAMPLES);
	}
}

/* 4 members, the second leaves: 3/4 of the hashes are others', and 5/12 of all move. */
static void rehash__four_members__exact(void **state)
{
	struct sp_rehash rehash = sp_rehash_leave(4, 1);

	(void)state;
	assert_true(rehash.flows == 3 * (SP_REHASH_SPACE / 4));
	/* 2^32 is no multiple of 3: each border is the next whole hash. */
	assert_true(rehash.moved == SP_REHASH_SPACE - SP_REHASH_SPACE / 4 - SP_REHASH_SPACE / 4 -
					    (SP_REHASH_SPACE * 3 / 4 - (SP_REHASH_SPACE * 2 + 2) / 3));
	assert_true(sp_rehash_share(&rehash) > 0.5555 && sp_rehash_share(&rehash) < 0.5556);
}

static void rehash__two_members__nobody_moves_when_one_leaves(void **state)
{
	(void)state;
	for (__u32 position = 0; position < 2; position++) {
		struct sp_rehash rehash = sp_rehash_leave(2, position);

		assert_true(rehash.flows == SP_REHASH_SPACE / 2);
		assert_true(rehash.moved == 0);
	}
}

static void rehash__one_member_or_none__no_flows_are_left(void **state)
{
	struct sp_rehash one = sp_rehash_leave(1, 0), none = sp_rehash_leave(0, 0), first = sp_rehash_join(0);

	(void)state;
	assert_true(one.flows == 0 && one.moved == 0 && sp_rehash_share(&one) == 0);
	assert_true(none.flows == 0 && none.moved == 0);
	assert_true(first.flows == 0 && first.moved == 0);
}

/* The kernel's limit, U16_MAX members: nothing overflows. */
static void rehash__very_many_members__between_none_and_all(void **state)
{
	struct sp_rehash rehash = sp_rehash_leave(65535, 7);

	(void)state;
	assert_true(rehash.flows < SP_REHASH_SPACE && rehash.moved <= rehash.flows);
	assert_true(sp_rehash_share(&rehash) > 0.49 && sp_rehash_share(&rehash) < 0.51);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rehash__a_member_leaves__as_the_kernel_s_formula_says),
		cmocka_unit_test(rehash__a_member_joins__as_the_kernel_s_formula_says),
		cmocka_unit_test(rehash__four_members__exact),
		cmocka_unit_test(rehash__two_members__nobody_moves_when_one_leaves),
		cmocka_unit_test(rehash__one_member_or_none__no_flows_are_left),
		cmocka_unit_test(rehash__very_many_members__between_none_and_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
