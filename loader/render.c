// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Answers: the only writer to stdout. Aligned tables, JSON, and numbers as people read them. */
#include "render.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cleanup.h"
#include "log.h"

#define NS_PER_MS 1000000ULL
#define NS_PER_S (1000 * NS_PER_MS)
#define NS_PER_MIN (60 * NS_PER_S)
#define NS_PER_H (60 * NS_PER_MIN)
#define NS_PER_D (24 * NS_PER_H)

#define COUNT_SHORT_FROM 100000 /* below it all digits are shown */
#define COLUMN_GAP 2

const struct sp_render_counter sp_render_counters[] = {
#define SP_COUNTER(name, kind, text) { #name, text, offsetof(struct sp_counters, name) },
#include <steadyport/counters.def>
#undef SP_COUNTER
};

const size_t sp_render_ncounters = SP_ARRAY_SIZE(sp_render_counters);

const char *sp_render_count(__u64 count, char buf[SP_RENDER_STRLEN])
{
	static const char units[] = "kMGTPE";
	__u64 unit = 1000;

	if (count < 1000) {
		snprintf(buf, SP_RENDER_STRLEN, "%llu", count);
		return buf;
	}
	if (count < COUNT_SHORT_FROM) {
		snprintf(buf, SP_RENDER_STRLEN, "%llu,%03llu", count / 1000, count % 1000);
		return buf;
	}
	for (size_t i = 0;; i++, unit *= 1000) {
		__u64 tenths = count / (unit / 10) + (count % (unit / 10) >= unit / 20);

		/* What rounds up to a thousand is one of the next unit. */
		if (tenths < 10000 || !units[i + 1]) {
			snprintf(buf, SP_RENDER_STRLEN, "%llu.%llu %c", tenths / 10, tenths % 10, units[i]);
			return buf;
		}
	}
}

const char *sp_render_bytes(__u64 bytes, char buf[SP_RENDER_STRLEN])
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = bytes / 1024.0;
	size_t i = 0;

	if (bytes == 0) {
		strcpy(buf, "0");
		return buf;
	}
	if (bytes < 1024) {
		snprintf(buf, SP_RENDER_STRLEN, "%llu B", bytes);
		return buf;
	}
	for (; value >= 1023.5 && i + 1 < SP_ARRAY_SIZE(units); i++)
		value /= 1024;
	snprintf(buf, SP_RENDER_STRLEN, "%.*f %s", i > 0 && value < 99.95 ? 1 : 0, value, units[i]);
	return buf;
}

const char *sp_render_duration(__u64 ns, char buf[SP_RENDER_STRLEN])
{
	if (ns == 0)
		strcpy(buf, "0 s");
	else if (ns < NS_PER_S)
		snprintf(buf, SP_RENDER_STRLEN, "%llu ms", ns / NS_PER_MS);
	else if (ns < 2 * NS_PER_MIN)
		snprintf(buf, SP_RENDER_STRLEN, "%llu s", ns / NS_PER_S);
	else if (ns < 2 * NS_PER_H)
		snprintf(buf, SP_RENDER_STRLEN, "%llu min", ns / NS_PER_MIN);
	else if (ns < 2 * NS_PER_D)
		snprintf(buf, SP_RENDER_STRLEN, "%llu h", ns / NS_PER_H);
	else
		snprintf(buf, SP_RENDER_STRLEN, "%llu d", ns / NS_PER_D);
	return buf;
}

const char *sp_render_remaining(__u64 ns, char buf[SP_RENDER_STRLEN])
{
	return sp_render_duration(ns > NS_PER_S ? (ns + NS_PER_S - 1) / NS_PER_S * NS_PER_S : ns, buf);
}

const char *sp_render_percent(double share, char buf[SP_RENDER_STRLEN])
{
	snprintf(buf, SP_RENDER_STRLEN, "%.1f%%", share * 100);
	return buf;
}

bool sp_render_has_colour(void)
{
	const char *no_color = getenv("NO_COLOR");

	return !(no_color && *no_color) && isatty(STDOUT_FILENO);
}

/* Names of processes and groups are others' words: no escape sequence of theirs may reach the terminal. */
static void make_printable(char *text)
{
	for (; *text; text++) {
		if (*text < ' ' || *text > '~')
			*text = '?';
	}
}

static char *format_printable(const char *fmt, va_list ap)
{
	char *text;

	if (vasprintf(&text, fmt, ap) < 0)
		return NULL;
	make_printable(text);
	return text;
}

void sp_render_line(const char *fmt, ...)
{
	sp_autofree char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = format_printable(fmt, ap);
	va_end(ap);
	if (text)
		puts(text);
	else
		sp_fail(-ENOMEM, "cannot print a line");
}

struct cell {
	char *text;
	enum sp_colour colour;
};

struct sp_render_table {
	const struct sp_render_column *columns;
	size_t ncolumns;
	struct cell *cells;
	size_t ncells;
	size_t room;
	bool has_failed;
};

struct sp_render_table *sp_render_table_new(const struct sp_render_column *columns, size_t ncolumns)
{
	struct sp_render_table *table = calloc(1, sizeof(*table));

	if (table) {
		table->columns = columns;
		table->ncolumns = ncolumns;
	}
	return table;
}

void sp_render_cell(struct sp_render_table *table, enum sp_colour colour, const char *fmt, ...)
{
	va_list ap;
	char *text;

	if (!table || table->has_failed)
		return;
	if (table->ncells == table->room) {
		size_t room = table->room ? 2 * table->room : 8 * table->ncolumns;
		struct cell *cells = reallocarray(table->cells, room, sizeof(*cells));

		if (!cells) {
			table->has_failed = true;
			return;
		}
		table->cells = cells;
		table->room = room;
	}
	va_start(ap, fmt);
	text = format_printable(fmt, ap);
	va_end(ap);
	if (!text) {
		table->has_failed = true;
		return;
	}
	table->cells[table->ncells++] = (struct cell){ .text = text, .colour = colour };
}

static const char *colour_code(enum sp_colour colour)
{
	switch (colour) {
	case SP_BOLD:
		return "\033[1m";
	case SP_DIM:
		return "\033[2m";
	case SP_RED:
		return "\033[31m";
	case SP_GREEN:
		return "\033[32m";
	case SP_YELLOW:
		return "\033[33m";
	case SP_PLAIN:
		break;
	}
	return NULL;
}

static void put_cell(FILE *out, const char *text, enum sp_colour colour, bool is_right, bool is_last,
		     int width)
{
	const char *code = colour_code(colour);
	int pad = width - (int)strlen(text);

	if (is_right)
		fprintf(out, "%*s", pad, "");
	if (code)
		fprintf(out, "%s%s\033[0m", code, text);
	else
		fputs(text, out);
	if (is_last)
		fputc('\n', out);
	else
		fprintf(out, "%*s", COLUMN_GAP + (is_right ? 0 : pad), "");
}

char *sp_render_table_text(const struct sp_render_table *table, bool has_colour)
{
	sp_autofree int *widths = NULL;
	char *text = NULL;
	size_t size = 0;
	FILE *out;

	if (!table || table->has_failed)
		return NULL;
	widths = calloc(table->ncolumns, sizeof(*widths));
	out = open_memstream(&text, &size);
	if (!widths || !out) {
		if (out)
			fclose(out);
		free(text);
		return NULL;
	}
	for (size_t c = 0; c < table->ncolumns; c++)
		widths[c] = strlen(table->columns[c].heading);
	for (size_t i = 0; i < table->ncells; i++) {
		int width = strlen(table->cells[i].text);

		if (width > widths[i % table->ncolumns])
			widths[i % table->ncolumns] = width;
	}
	for (size_t c = 0; c < table->ncolumns; c++)
		put_cell(out, table->columns[c].heading, has_colour ? SP_BOLD : SP_PLAIN,
			 table->columns[c].is_right, c + 1 == table->ncolumns, widths[c]);
	for (size_t i = 0; i < table->ncells; i++) {
		size_t c = i % table->ncolumns;

		put_cell(out, table->cells[i].text, has_colour ? table->cells[i].colour : SP_PLAIN,
			 table->columns[c].is_right, c + 1 == table->ncolumns, widths[c]);
	}
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

int sp_render_table_print(const struct sp_render_table *table)
{
	sp_autofree char *text = sp_render_table_text(table, sp_render_has_colour());

	if (!text)
		return sp_fail(-ENOMEM, "cannot print the table");
	fputs(text, stdout);
	return 0;
}

void sp_render_table_free(struct sp_render_table **table)
{
	if (!*table)
		return;
	for (size_t i = 0; i < (*table)->ncells; i++)
		free((*table)->cells[i].text);
	free((*table)->cells);
	free(*table);
	*table = NULL;
}

json_t *sp_render_json_text(const char *text)
{
	json_t *string = json_string(text);
	sp_autofree char *copy = NULL;

	if (string)
		return string;
	copy = strdup(text);
	if (!copy)
		return NULL;
	make_printable(copy);
	return json_string(copy);
}

json_t *sp_render_json_counters(const struct sp_counters *counters)
{
	json_t *object = json_object();

	for (size_t i = 0; object && i < sp_render_ncounters; i++) {
		if (json_object_set_new(object, sp_render_counters[i].name,
					json_integer(sp_render_counter_of(counters, i)))) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

int sp_render_json_print(json_t *document)
{
	sp_autofree char *text = NULL;

	if (document)
		text = json_dumps(document, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	json_decref(document);
	if (!text)
		return sp_fail(-ENOMEM, "cannot print the JSON document");
	puts(text);
	return 0;
}
