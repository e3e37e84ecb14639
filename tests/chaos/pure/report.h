/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a storm is, what happened last, and how a violation is told so that it can be repeated. */
#ifndef STEADYPORT_TESTS_PURE_REPORT_H
#define STEADYPORT_TESTS_PURE_REPORT_H

#include <linux/types.h>

/* A history begins: with this seed it is the first one of a run. */
void sp_report_begin(__u64 seed);

/* A random event of it happens. Returns its number, from 1. */
__u64 sp_report_step(void);

/* What it was; packets go without saying. The last ones are shown with a violation. */
void sp_report_event(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Ends the case. The first sentence says which promise is broken for whom. */
void sp_report_violation(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

#define sp_require(condition, ...)                        \
	do {                                              \
		if (__builtin_expect(!(condition), 0))    \
			sp_report_violation(__VA_ARGS__); \
	} while (0)

#endif
