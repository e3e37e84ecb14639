// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Statistics of repeated measurements. */
#include "stats.h"

#include <math.h>
#include <stdlib.h>

#define TAIL 0.025 /* left out at each end of a 95% confidence interval */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double quantile_of_sorted(const double *sorted, size_t count, double q)
{
	double place = q * (double)(count ? count - 1 : 0);
	size_t below = place;

	if (!count)
		return 0;
	if (below + 1 >= count)
		return sorted[count - 1];
	return sorted[below] + (place - (double)below) * (sorted[below + 1] - sorted[below]);
}

double sp_stats_quantile(double *values, size_t count, double q)
{
	if (count)
		qsort(values, count, sizeof(*values), compare);
	return quantile_of_sorted(values, count, q);
}

double sp_stats_median(double *values, size_t count)
{
	return sp_stats_quantile(values, count, 0.5);
}

/*
 * The k smallest and the k largest may be left out: fewer than k of the values lie below the true median with a
 * probability of P(Binomial(count, 1/2) < k).
 */
static size_t left_out(size_t count)
{
	double n = (double)count, below = 0;
	size_t k;

	for (k = 0; k < count / 2; k++) {
		below += exp(lgamma(n + 1) - lgamma((double)k + 1) - lgamma(n - (double)k + 1) - n * M_LN2);
		if (below > TAIL)
			break;
	}
	/* P(Binomial <= k) is beyond the tail, so P(Binomial < k) is within it: the k-th and on are kept. */
	return k ? k - 1 : 0;
}

struct sp_summary sp_stats_summarise(double *values, size_t count)
{
	struct sp_summary summary = { .count = count };
	size_t out = left_out(count);

	if (!count)
		return summary;
	qsort(values, count, sizeof(*values), compare);
	summary.min = values[0];
	summary.quarter = quantile_of_sorted(values, count, 0.25);
	summary.median = quantile_of_sorted(values, count, 0.5);
	summary.three_quarters = quantile_of_sorted(values, count, 0.75);
	summary.max = values[count - 1];
	summary.low = values[out];
	summary.high = values[count - 1 - out];
	return summary;
}

struct sp_growth sp_stats_growth(const double *x, const double *y, size_t count)
{
	double mean_x = 0, mean_y = 0, xx = 0, xy = 0, yy = 0;
	struct sp_growth growth = { 0 };

	for (size_t i = 0; i < count; i++) {
		mean_x += log(x[i]) / (double)count;
		mean_y += log(y[i]) / (double)count;
	}
	for (size_t i = 0; i < count; i++) {
		double dx = log(x[i]) - mean_x, dy = log(y[i]) - mean_y;

		xx += dx * dx;
		xy += dx * dy;
		yy += dy * dy;
	}
	growth.exponent = xx > 0 ? xy / xx : 0;
	growth.factor = exp(mean_y - growth.exponent * mean_x);
	growth.fit = xx > 0 && yy > 0 ? xy * xy / (xx * yy) : 0;
	return growth;
}
