// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The storm's journal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "journal.h"
#include "seed.h"
#include "state.h"

#define LINES 40 /* about twenty steps: most have a line for the order and one for its end */
#define LINE_LEN 200

static struct {
	char title[LINE_LEN];
	char line[LINES][LINE_LEN];
	__u32 written;
	__u32 step;
	__u64 start_ns;
} journal;

void storm_journal_start(const char *title)
{
	journal.written = 0;
	journal.step = 0;
	journal.start_ns = sp_now_ns();
	snprintf(journal.title, sizeof(journal.title), "%s", title);
}

void storm_journal_step(__u32 step)
{
	journal.step = step;
}

static double seconds(void)
{
	return (sp_now_ns() - journal.start_ns) / 1e9;
}

void storm_journal(const char *format, ...)
{
	char *line = journal.line[journal.written++ % LINES];
	int len = snprintf(line, LINE_LEN, "%5u %9.3f s  ", journal.step, seconds());
	const char *verbose = getenv("V");
	va_list ap;

	va_start(ap, format);
	vsnprintf(line + len, LINE_LEN - len, format, ap);
	va_end(ap);
	if (verbose && *verbose)
		printf("%s\n", line);
}

void storm_violation(const char *format, ...)
{
	__u32 first = journal.written > LINES ? journal.written - LINES : 0;
	char what[2000];
	va_list ap;

	va_start(ap, format);
	vsnprintf(what, sizeof(what), format, ap);
	va_end(ap);
	print_error("seed %llu, step %u, %.3f s after the start; %s\n", sp_seed(), journal.step, seconds(),
		    journal.title);
	for (__u32 i = first; i < journal.written; i++)
		print_error("  %s\n", journal.line[i % LINES]);
	print_error("%s\n", what);
	print_error("to repeat it: CHAOS_SEED=%llu CHAOS_SECONDS=%llu make check-chaos\n", sp_seed(),
		    sp_seed_setting("CHAOS_SECONDS", 60));
	fail();
	abort();
}
