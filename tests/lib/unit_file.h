/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The [Service] section of a unit of packaging/ and its drop-ins, as the service manager reads it. */
#ifndef STEADYPORT_TESTS_UNIT_FILE_H
#define STEADYPORT_TESTS_UNIT_FILE_H

#include <stdbool.h>
#include <stddef.h>

#define SP_UNIT_LINES_MAX 128

struct sp_unit {
	size_t count;
	struct {
		char key[48];
		char value[256];
	} lines[SP_UNIT_LINES_MAX];
};

/* Adds the lines of a file of packaging/ to those that are there; fails the test when it cannot be read. */
void sp_unit_read(struct sp_unit *unit, const char *name);

/* True when the last line of that key has this value. */
bool sp_unit_says(const struct sp_unit *unit, const char *key, const char *value);

/* Calls @each for every word of every line of that key. */
void sp_unit_each_word(const struct sp_unit *unit, const char *key, void (*each)(void *ctx, const char *word),
		       void *ctx);

#endif
