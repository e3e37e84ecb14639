// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Hash flooding: somebody who knows the algorithm and chooses his addresses and ports, but not the key, cannot have his
 * flows come to one worker. Every number is drawn from fixed seeds, so each case always ends alike.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <steadyport/choose.h>
#include <steadyport/flow.h>
#include "plan.h"
#include "seed.h"

#define WORKERS 16
#define TARGET 5
#define CHOSEN (WORKERS * 512) /* flows of an attack */
#define SECRETS 50
/*
 * Chi-square with 15 degrees of freedom: an even distribution exceeds it once in 10^6. Counts that all come to one
 * worker give 122,880, twice its share 600.
 */
#define CHI_SQUARE_MAX 58.0

static struct sp_view view;

static int plan(void **state)
{
	static struct sp_plan_slots slots;

	(void)state;
	for (__u32 s = 0; s < WORKERS; s++) {
		slots.slot[s] = (struct sp_plan_slot){ .is_assigned = true, .is_live = true, .weight = 100 };
	}
	sp_plan_first(&slots, &view);
	return 0;
}

static __u32 worker_of(const __u64 key[2], const struct sp_tuple4 *tuple)
{
	return view.owner[sp_bucket(sp_flow_hash4(key, tuple))];
}

static void draw_key(struct sp_random *random, __u64 key[2])
{
	key[0] = sp_random_next(random);
	key[1] = sp_random_next(random);
}

static double chi_square(const __u32 count[WORKERS], __u32 all)
{
	double expected = (double)all / WORKERS, sum = 0;

	for (__u32 w = 0; w < WORKERS; w++)
		sum += (count[w] - expected) * (count[w] - expected) / expected;
	return sum;
}

static void require_even(const struct sp_tuple4 *tuples, __u32 n)
{
	struct sp_random random = { .state = 1 };

	for (int i = 0; i < SECRETS; i++) {
		__u32 count[WORKERS] = { 0 };
		__u64 key[2];

		draw_key(&random, key);
		for (__u32 t = 0; t < n; t++)
			count[worker_of(key, &tuples[t])]++;
		if (chi_square(count, n) > CHI_SQUARE_MAX)
			fail_msg("secret %d: chi-square %.1f over %u flows", i, chi_square(count, n), n);
	}
}

static struct sp_tuple4 *tuples_new(void)
{
	struct sp_tuple4 *tuples = calloc(CHOSEN, sizeof(*tuples));

	assert_non_null(tuples);
	return tuples;
}

/* Chosen with a key of his own so that all come to one worker there: under another key they are like any others. */
static void flood__flows_chosen_with_a_guessed_key__spread_evenly(void **state)
{
	struct sp_random random = { .state = 2 };
	struct sp_tuple4 *tuples = tuples_new();
	const __u64 guess[2] = { 0, 0 };

	(void)state;
	for (__u32 n = 0; n < CHOSEN;) {
		struct sp_tuple4 tuple = {
			.src = sp_random_next(&random),
			.dst = 0x0100007f,
			.sport = sp_random_next(&random),
			.dport = 0x5000,
		};

		if (worker_of(guess, &tuple) == TARGET)
			tuples[n++] = tuple;
	}
	require_even(tuples, CHOSEN);
	free(tuples);
}

static void flood__ports_in_a_row__spread_evenly(void **state)
{
	struct sp_tuple4 *tuples = tuples_new();

	(void)state;
	for (__u32 n = 0; n < CHOSEN; n++)
		tuples[n] = (struct sp_tuple4){
			.src = 0x0a00000a, .dst = 0x0100007f, .sport = htons(1024 + n), .dport = 0x5000
		};
	require_even(tuples, CHOSEN);
	for (__u32 n = 0; n < CHOSEN; n++)
		tuples[n] = (struct sp_tuple4){
			.src = htonl(0x0a000000 + n), .dst = 0x0100007f, .sport = 0x3412, .dport = 0x5000
		};
	require_even(tuples, CHOSEN);
	free(tuples);
}

/*
 * He sees which worker answers each of his flows. Of those of one worker he tries the neighbours: what he has seen says
 * nothing about what he has not.
 */
static void flood__neighbours_of_flows_seen_on_one_worker__spread_evenly(void **state)
{
	struct sp_random random = { .state = 3 };

	(void)state;
	for (int i = 0; i < SECRETS; i++) {
		__u32 count[WORKERS] = { 0 }, all = 0;
		__u64 key[2];

		draw_key(&random, key);
		while (all < CHOSEN) {
			struct sp_tuple4 tuple = {
				.src = sp_random_next(&random),
				.dst = 0x0100007f,
				.sport = sp_random_next(&random),
				.dport = 0x5000,
			};

			if (worker_of(key, &tuple) != TARGET)
				continue;
			for (int bit = 0; bit < 16; bit++) {
				struct sp_tuple4 near = tuple;

				near.sport ^= 1 << bit;
				count[worker_of(key, &near)]++;
				all++;
			}
		}
		if (chi_square(count, all) > CHI_SQUARE_MAX)
			fail_msg("secret %d: chi-square %.1f", i, chi_square(count, all));
	}
}

/* What the cases above would say of a hash without a key: that it is no good. */
static void flood__key_is_known__all_come_to_one_worker(void **state)
{
	struct sp_random random = { .state = 2 };
	const __u64 known[2] = { 7, 11 };
	__u32 count[WORKERS] = { 0 };

	(void)state;
	for (__u32 n = 0; n < CHOSEN;) {
		struct sp_tuple4 tuple = { .src = sp_random_next(&random), .sport = 1, .dport = 2 };

		if (worker_of(known, &tuple) != TARGET)
			continue;
		count[TARGET]++;
		n++;
	}
	assert_true(chi_square(count, CHOSEN) > 100 * CHI_SQUARE_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flood__flows_chosen_with_a_guessed_key__spread_evenly),
		cmocka_unit_test(flood__ports_in_a_row__spread_evenly),
		cmocka_unit_test(flood__neighbours_of_flows_seen_on_one_worker__spread_evenly),
		cmocka_unit_test(flood__key_is_known__all_come_to_one_worker),
	};

	return cmocka_run_group_tests(tests, plan, NULL);
}
