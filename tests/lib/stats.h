/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Robust statistics of repeated measurements: order statistics, so that one disturbed round changes nothing. Pure. */
#ifndef STEADYPORT_TESTS_STATS_H
#define STEADYPORT_TESTS_STATS_H

#include <stddef.h>

/* A sample of which nothing but the order of its values is assumed. */
struct sp_summary {
	size_t count;
	double min, quarter, median, three_quarters, max;
	double low,
		high; /* confidence interval of the median, 95% or more; of fewer than 6 values: min and max */
};

/* The value below which the part @q (0..1) lies, interpolated between neighbours. Sorts the values. 0 of none. */
double sp_stats_quantile(double *values, size_t count, double q);
double sp_stats_median(double *values, size_t count);

/* Sorts the values. */
struct sp_summary sp_stats_summarise(double *values, size_t count);

/* How y grows with x: y = factor * x^exponent, least squares on logarithms. All x and y are above 0. */
struct sp_growth {
	double exponent, factor;
	double fit; /* R^2: 1 when the points lie on the curve; 0 when x says nothing about y */
};

struct sp_growth sp_stats_growth(const double *x, const double *y, size_t count);

#endif
