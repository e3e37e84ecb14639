/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the storm has done lately, and how it ends when a promise was broken. */
#ifndef STEADYPORT_STORM_JOURNAL_H
#define STEADYPORT_STORM_JOURNAL_H

#include <linux/types.h>

/* Starts anew; @title says what sort of storm this is. */
void storm_journal_start(const char *title);

/* The number of the step that all lines from now on belong to. */
void storm_journal_step(__u32 step);

void storm_journal(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Shows the seed, the step, the last lines, what was broken and how to repeat it, and fails the test. */
void storm_violation(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
