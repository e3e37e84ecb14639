/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* doctor at work: what it finds of this machine and of one group. Every function fails the test that calls it. */
#ifndef STEADYPORT_TESTS_EXAMINE_H
#define STEADYPORT_TESTS_EXAMINE_H

#include "run.h"

/* `doctor WORD --watch WATCH --json`; @word NULL: of the machine. Its exit status must be that of what it found. */
#define sp_examine(word, watch) sp_examine_as(__FILE__, __LINE__, word, watch, NULL)
/* The same in a process that was prepared. */
void sp_examine_as(const char *file, int line, const char *word, const char *watch,
		   const struct sp_run_setup *setup);

/* The document of the last examination; valid until the next. */
const json_t *sp_examined(void);
/* What it said of a finding in its first group, or of the machine; NULL: it was not found. */
const json_t *sp_examined_finding(const char *id);

/* Examines the group, and it is found, or not. */
#define sp_finds(word, id) sp_examine_expect(__FILE__, __LINE__, word, "0", id, true)
#define sp_finds_not(word, id) sp_examine_expect(__FILE__, __LINE__, word, "0", id, false)
void sp_examine_expect(const char *file, int line, const char *word, const char *watch, const char *id,
		       bool is_expected);

/* A part of the finding: "what", "why" or "fix". */
const char *sp_examined_text(const char *id, const char *part);

#endif
