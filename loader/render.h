/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Answers: the only writer to stdout. Aligned tables, JSON, and numbers as people read them. */
#ifndef STEADYPORT_RENDER_H
#define STEADYPORT_RENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>
#include <steadyport/abi.h>

/* Never the only carrier of a meaning: a pipe, a log and NO_COLOR have none. */
enum sp_colour {
	SP_PLAIN,
	SP_BOLD,
	SP_DIM,
	SP_RED,
	SP_GREEN,
	SP_YELLOW,
};

#define SP_RENDER_STRLEN 32 /* room for the longest number with its unit, and for its NUL */

/* "999", "12,345", "904.1 k", "1.2 M": plain digits below 100,000. All these return buf. */
const char *sp_render_count(__u64 count, char buf[SP_RENDER_STRLEN]);
/* "0", "512 B", "12 KiB", "1.5 MiB" */
const char *sp_render_bytes(__u64 bytes, char buf[SP_RENDER_STRLEN]);
/* "500 ms", "12 s", "3 min", "3 h", "2 d": whole units, rounded down, the next one from two of it on */
const char *sp_render_duration(__u64 ns, char buf[SP_RENDER_STRLEN]);
/* The same, rounded up to whole seconds from one second on: what is left must not read as less than it is. */
const char *sp_render_remaining(__u64 ns, char buf[SP_RENDER_STRLEN]);
/* 0.5 to "50.0%" */
const char *sp_render_percent(double share, char buf[SP_RENDER_STRLEN]);

/* True when stdout is a terminal and NO_COLOR is not set. */
bool sp_render_has_colour(void);

/* A line of the answer; what could steer a terminal is shown as '?'. */
void sp_render_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

struct sp_render_column {
	const char *heading;
	bool is_right; /* numbers */
};

/*
 * A table under construction. Running out of memory is remembered and told by the functions that end it, so that
 * the calls between need no checks.
 */
struct sp_render_table;

/* @columns must outlive the table. */
struct sp_render_table *sp_render_table_new(const struct sp_render_column *columns, size_t ncolumns);
/* The next cell; the row ends with the last column. */
void sp_render_cell(struct sp_render_table *table, enum sp_colour colour, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The whole table as text to free(), or NULL without memory. */
char *sp_render_table_text(const struct sp_render_table *table, bool has_colour);
/* Returns 0 or -ENOMEM (logged). */
int sp_render_table_print(const struct sp_render_table *table);
void sp_render_table_free(struct sp_render_table **table);
#define sp_autotable __attribute__((cleanup(sp_render_table_free)))

/* A JSON string of any bytes: those that are not UTF-8 (a process may name itself so) become '?'. */
json_t *sp_render_json_text(const char *text);
/* {name: value} of every counter */
json_t *sp_render_json_counters(const struct sp_counters *counters);
/*
 * Prints one document and drops it. Returns 0, or -ENOMEM (logged) when @document is NULL, which is what
 * json_pack() returns when any part of it was.
 */
int sp_render_json_print(json_t *document);

/* Every counter of counters.def in its order. */
struct sp_render_counter {
	const char *name;
	const char *text;
	size_t offset; /* in struct sp_counters */
};

extern const struct sp_render_counter sp_render_counters[];
extern const size_t sp_render_ncounters;

static inline __u64 sp_render_counter_of(const struct sp_counters *counters, size_t i)
{
	return *(const __u64 *)((const char *)counters + sp_render_counters[i].offset);
}

#endif
