// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Figures to tables. */
#include "render.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "bench.h"
#include "cleanup.h"

#define BEGIN "<!-- figures: made by make bench-write -->\n"
#define END "<!-- end of figures -->\n"

static const char *text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key)) ?: "";
}

static double number(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

/* Three digits that count, and groups of three before the point. */
static const char *tell(double value, char buf[32])
{
	int decimals = value == 0 ? 0 : 2 - (int)floor(log10(fabs(value)));
	char plain[32], *out = buf;
	size_t whole;

	snprintf(plain, sizeof(plain), "%.*f", decimals < 0 ? 0 : decimals > 4 ? 4 : decimals, value);
	whole = strcspn(plain, ".");
	for (size_t i = 0; plain[i] && out < buf + 30; i++) {
		if (i && i < whole && (whole - i) % 3 == 0 && plain[i - 1] != '-')
			*out++ = ',';
		*out++ = plain[i];
	}
	*out = '\0';
	return buf;
}

/* Ratios are what is compared: always two decimals. */
static const char *tell_in(double value, const char *unit, char buf[32])
{
	if (strcmp(unit, "x"))
		return tell(value, buf);
	snprintf(buf, 32, value < 10 ? "%.3f" : "%.0f", value);
	return buf;
}

static void print_interval(FILE *to, const json_t *figure, const char *unit)
{
	char low[32], high[32];

	if (number(figure, "rounds") > 1)
		fprintf(to, "%s to %s", tell_in(number(figure, "low"), unit, low),
			tell_in(number(figure, "high"), unit, high));
}

static void print_targets(FILE *to, const json_t *figures)
{
	const json_t *row;
	size_t i;

	fputs("| wanted | | measured | 95% interval | |\n|---|---|---|---|---|\n", to);
	json_array_foreach(figures, i, row) {
		const json_t *target = json_object_get(row, "target"),
			     *figure = json_object_get(row, "figure");
		const char *unit = text(row, "unit");
		char median[32];

		if (!target)
			continue;
		fprintf(to, "| %s | %s %g %s | %s | ", text(row, "text"),
			json_is_true(json_object_get(target, "is_least")) ? "at least" : "at most",
			number(target, "limit"), unit, tell_in(number(figure, "median"), unit, median));
		print_interval(to, figure, unit);
		fprintf(to, " | %s |\n", text(target, "verdict"));
	}
}

static void print_family(FILE *to, const json_t *figures, const char *family)
{
	const json_t *row;
	size_t i;

	fprintf(to,
		"\n**%s**\n\n| | ratio | 95%% interval | to | itself | least |\n|---|---|---|---|---|---|\n",
		family);
	json_array_foreach(figures, i, row) {
		const json_t *figure = json_object_get(row, "figure"), *value = json_object_get(row, "value");
		const char *unit = text(row, value ? "value_unit" : "unit");
		char median[32], least[32], ratio[32];

		if (strcmp(text(row, "family"), family) || !figure)
			continue;
		fprintf(to, "| %s | ", text(row, "text"));
		if (value) {
			fprintf(to, "%s | ", tell_in(number(figure, "median"), "x", ratio));
			print_interval(to, figure, "x");
			fprintf(to, " | `%s` | ", text(row, "baseline"));
		} else {
			fputs("| | | ", to);
			value = figure;
		}
		fprintf(to, "%s %s | %s |\n", tell(number(value, "median"), median), unit,
			tell(number(value, "min"), least));
	}
}

static void print_growth(FILE *to, const json_t *figures)
{
	const json_t *row, *point;
	size_t i, k;

	fputs("\n**growth**\n\n| | measured | exponent |\n|---|---|---|\n", to);
	json_array_foreach(figures, i, row) {
		if (!json_object_get(row, "exponent"))
			continue;
		fprintf(to, "| %s | ", text(row, "text"));
		json_array_foreach(json_object_get(row, "points"), k, point) {
			char x[32], y[32];

			fprintf(to, "%s%s: %s", k ? ", " : "",
				tell(json_number_value(json_array_get(point, 0)), x),
				tell(json_number_value(json_array_get(point, 1)), y));
		}
		fprintf(to, " %s | %.2f |\n", text(row, "unit"), number(row, "exponent"));
	}
}

static void print_report(FILE *to, const json_t *report)
{
	const json_t *figures = json_object_get(report, "figures"), *row;
	const char *family = "";
	size_t i;

	fprintf(to, "Linux %s, %s, %d CPUs; %.0f seconds%s.\n\n", text(report, "kernel"), text(report, "cpu"),
		(int)number(report, "cpus"), number(report, "seconds"),
		json_is_true(json_object_get(report, "is_quick")) ? ", few rounds" : "");
	print_targets(to, figures);
	json_array_foreach(figures, i, row) {
		if (strcmp(family, text(row, "family"))) {
			family = text(row, "family");
			print_family(to, figures, family);
		}
	}
	print_growth(to, figures);
}

void sp_bench_render(const json_t *report, const char *path)
{
	sp_autofile FILE *file = fopen(path, "r");
	sp_autofree char *before = NULL;
	char *begin, *end;
	size_t len = 0;

	if (!file || getdelim(&before, &len, '\0', file) < 0)
		sp_bench_die("cannot read %s", path);
	sp_close_file(&file);
	begin = strstr(before, BEGIN);
	end = strstr(before, END);
	if (!begin || !end || end < begin)
		sp_bench_die("%s: the lines between which the figures belong are missing", path);
	file = fopen(path, "w");
	sp_bench_require(file);
	fwrite(before, 1, begin - before, file);
	fputs(BEGIN, file);
	print_report(file, report);
	fputs(end, file);
	if (fflush(file) || ferror(file))
		sp_bench_die("cannot write %s", path);
}
