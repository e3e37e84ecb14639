// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The last events of a history, and the sentence that repeats it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "report.h"

#define EVENTS 40
#define EVENT_LEN 240

static __u64 history_seed, step, steps_before;
static char event[EVENTS][EVENT_LEN];
static __u64 nevents;

void sp_report_begin(__u64 seed)
{
	history_seed = seed;
	steps_before += step;
	step = 0;
	nevents = 0;
}

__u64 sp_report_step(void)
{
	return ++step;
}

void sp_report_event(const char *fmt, ...)
{
	char *text = event[nevents++ % EVENTS];
	int n = snprintf(text, EVENT_LEN, "step %llu: ", step);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text + n, EVENT_LEN - n, fmt, ap);
	va_end(ap);
}

void sp_report_violation(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (__u64 i = nevents > EVENTS ? nevents - EVENTS : 0; i < nevents; i++)
		print_error("    %s\n", event[i % EVENTS]);
	fail_msg("step %llu: %s; repeat it with CHAOS_SEED=%llu (after %llu steps)", step, text, history_seed,
		 steps_before);
	abort();
}
