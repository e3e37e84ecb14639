// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The statistics that the bench tells: medians, their confidence intervals, exponents. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "cleanup.h"
#include "stats.h"

#define EXACT 1e-9

static void stats__median__of_none_one_odd_and_even(void **state)
{
	double one[] = { 7 }, odd[] = { 9, 1, 5 }, even[] = { 4, 1, 2, 3 };

	(void)state;
	assert_float_equal(sp_stats_median(NULL, 0), 0, EXACT);
	assert_float_equal(sp_stats_median(one, 1), 7, EXACT);
	assert_float_equal(sp_stats_median(odd, 3), 5, EXACT);
	assert_float_equal(sp_stats_median(even, 4), 2.5, EXACT);
}

static void stats__quantile__between_two_values__interpolated(void **state)
{
	double values[] = { 40, 10, 30, 20, 50 };

	(void)state;
	assert_float_equal(sp_stats_quantile(values, 5, 0), 10, EXACT);
	assert_float_equal(sp_stats_quantile(values, 5, 0.25), 20, EXACT);
	assert_float_equal(sp_stats_quantile(values, 5, 0.9), 46, EXACT);
	assert_float_equal(sp_stats_quantile(values, 5, 1), 50, EXACT);
}

/* The ranks of the tables: 5 values say nothing with 95%, of 6 all are needed, of 9 the 2nd to the 8th, of 100 the 40th to the 61st. */
static void stats__interval_of_the_median__ranks_of_the_binomial_table(void **state)
{
	static const struct {
		size_t count;
		double low, high;
	} cases[] = { { 1, 1, 1 }, { 5, 1, 5 }, { 6, 1, 6 }, { 9, 2, 8 }, { 20, 6, 15 }, { 100, 40, 61 } };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(cases); i++) {
		double values[100];
		struct sp_summary summary;

		for (size_t k = 0; k < cases[i].count; k++)
			values[k] = (double)(cases[i].count - k);
		summary = sp_stats_summarise(values, cases[i].count);
		assert_int_equal(summary.count, cases[i].count);
		assert_float_equal(summary.low, cases[i].low, EXACT);
		assert_float_equal(summary.high, cases[i].high, EXACT);
	}
}

/* Medians of uniform samples: the true one, 0.5, is outside the interval of at most one sample in twenty, or so. */
static void stats__interval_of_the_median__covers_the_true_one_as_often_as_it_says(void **state)
{
	int missed = 0, trials = 2000;
	unsigned int seed = 1;

	(void)state;
	for (int trial = 0; trial < trials; trial++) {
		struct sp_summary summary;
		double values[25];

		for (size_t i = 0; i < SP_ARRAY_SIZE(values); i++)
			values[i] = (double)rand_r(&seed) / RAND_MAX;
		summary = sp_stats_summarise(values, SP_ARRAY_SIZE(values));
		missed += summary.low > 0.5 || summary.high < 0.5;
	}
	assert_in_range(missed, trials / 50, trials / 20);
}

static void stats__one_wild_round__median_and_quartiles_unmoved(void **state)
{
	double calm[] = { 1, 2, 3, 4, 5, 6, 7 }, wild[] = { 1, 2, 3, 4, 5, 6, 7e9 };
	struct sp_summary a = sp_stats_summarise(calm, 7), b = sp_stats_summarise(wild, 7);

	(void)state;
	assert_float_equal(a.median, b.median, EXACT);
	assert_float_equal(a.quarter, b.quarter, EXACT);
	assert_float_equal(a.min, 1, EXACT);
	assert_float_equal(a.max, 7, EXACT);
}

static void stats__growth__exponent_and_factor_of_the_curve(void **state)
{
	static const double exponents[] = { 0, 0.5, 1, 2, -1 };
	static const double x[] = { 4, 16, 64, 256, 1024 };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(exponents); i++) {
		double y[SP_ARRAY_SIZE(x)];
		struct sp_growth growth;

		for (size_t k = 0; k < SP_ARRAY_SIZE(x); k++)
			y[k] = 3 * pow(x[k], exponents[i]);
		growth = sp_stats_growth(x, y, SP_ARRAY_SIZE(x));
		assert_float_equal(growth.exponent, exponents[i], EXACT);
		assert_float_equal(growth.factor, 3, 1e-6);
		if (exponents[i])
			assert_float_equal(growth.fit, 1, EXACT);
	}
}

static void stats__growth__one_x_says_nothing(void **state)
{
	static const double x[] = { 4, 4 }, y[] = { 1, 2 };
	struct sp_growth growth = sp_stats_growth(x, y, 2);

	(void)state;
	assert_float_equal(growth.exponent, 0, EXACT);
	assert_float_equal(growth.fit, 0, EXACT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stats__median__of_none_one_odd_and_even),
		cmocka_unit_test(stats__quantile__between_two_values__interpolated),
		cmocka_unit_test(stats__interval_of_the_median__ranks_of_the_binomial_table),
		cmocka_unit_test(stats__interval_of_the_median__covers_the_true_one_as_often_as_it_says),
		cmocka_unit_test(stats__one_wild_round__median_and_quartiles_unmoved),
		cmocka_unit_test(stats__growth__exponent_and_factor_of_the_curve),
		cmocka_unit_test(stats__growth__one_x_says_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
