// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Metrics as Prometheus reads them. */
#include "exposition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "cleanup.h"
#include "metrics.h"

#define PREFIX "steadyport_"
#define NAME_LEN 128
#define SAMPLES_MAX 100000

enum type {
	GAUGE,
	COUNTER,
	HISTOGRAM
};

static const char *const type_names[] = {
	[GAUGE] = "gauge", [COUNTER] = "counter", [HISTOGRAM] = "histogram"
};

struct reader {
	char name[NAME_LEN]; /* of the metric that is being read */
	enum type type;
	size_t index; /* in the list; the next one stands behind it */
	bool has_help, has_type;
	const char *samples[SAMPLES_MAX];
	size_t nsamples;
};

/* The line's text up to its NUL; the caller has cut it off. */
static void read_comment(struct reader *r, const char *line)
{
	char kind[8], name[NAME_LEN], rest[512];

	assert_int_equal(sscanf(line, "# %7s %127s %511[^\n]", kind, name, rest), 3);
	if (!strcmp(kind, "HELP")) {
		assert_memory_equal(name, PREFIX, strlen(PREFIX));
		while (sp_metrics_name(r->index) && strcmp(sp_metrics_name(r->index), name + strlen(PREFIX)))
			r->index++;
		if (!sp_metrics_name(r->index))
			fail_msg("%s is unknown, or in the wrong place", name);
		strcpy(r->name, name);
		r->has_help = true;
		r->has_type = false;
		return;
	}
	assert_string_equal(kind, "TYPE");
	assert_string_equal(name, r->name);
	assert_true(r->has_help && !r->has_type);
	r->has_type = true;
	for (r->type = GAUGE; strcmp(rest, type_names[r->type]); r->type++)
		assert_true(r->type < HISTOGRAM);
	assert_int_equal(r->type == COUNTER, strlen(name) > 6 && !strcmp(name + strlen(name) - 6, "_total"));
}

/*
 * Behind the closing brace. What is in quotes may hold braces.
 * @ret_names: "group, slot"
 */
static const char *read_labels(const char *at, char ret_names[NAME_LEN])
{
	size_t len = 0;

	do {
		at++;
		len += snprintf(ret_names + len, NAME_LEN - len, "%s%.*s", len ? ", " : "",
				(int)strcspn(at, "="), at);
		assert_true(len < NAME_LEN);
		at += strcspn(at, "=") + 1;
		assert_int_equal(*at, '"');
		for (at++; *at && *at != '"'; at++)
			at += *at == '\\' && at[1];
		at++;
	} while (*at == ',');
	assert_int_equal(*at, '}');
	return at + 1;
}

static void read_sample(struct reader *r, char *line)
{
	size_t len = strcspn(line, "{ "), name_len = strlen(r->name);
	const char *suffix = line + name_len, *rest = line + len;
	bool is_bucket = r->type == HISTOGRAM && !strncmp(suffix, "_bucket", len - name_len);
	char labels[NAME_LEN] = "";
	char *end;

	assert_true(r->has_help && r->has_type);
	assert_memory_equal(line, r->name, name_len);
	if (r->type != HISTOGRAM)
		assert_int_equal(len, name_len);
	else
		assert_true(is_bucket || !strncmp(suffix, "_sum ", 5) || !strncmp(suffix, "_count ", 7));
	if (*rest == '{')
		rest = read_labels(rest, labels);
	assert_string_equal(labels, r->type != HISTOGRAM || is_bucket ? sp_metrics_labels(r->index) : "");
	assert_int_equal(*rest, ' ');
	strtod(rest + 1, &end);
	assert_true(end > rest + 1 && !*end);
	line[rest - line] = '\0';
	assert_true(r->nsamples < SAMPLES_MAX);
	r->samples[r->nsamples++] = line;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void sp_exposition_check(const char *text)
{
	sp_autofree struct reader *r = calloc(1, sizeof(*r));
	sp_autofree char *copy = strdup(text);
	size_t len = strlen(text);

	assert_non_null(r);
	assert_non_null(copy);
	assert_true(len > 0 && text[len - 1] == '\n');
	for (char *line = strtok(copy, "\n"); line; line = strtok(NULL, "\n")) {
		if (*line == '#')
			read_comment(r, line);
		else
			read_sample(r, line);
	}
	qsort(r->samples, r->nsamples, sizeof(*r->samples), compare);
	for (size_t i = 1; i < r->nsamples; i++) {
		if (!strcmp(r->samples[i - 1], r->samples[i]))
			fail_msg("%s is there twice", r->samples[i]);
	}
}

static const char *find(const char *text, const char *sample)
{
	size_t len = strlen(sample);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, sample, len) && line[len] == ' ')
			return line + len + 1;
	}
	return NULL;
}

bool sp_exposition_has(const char *text, const char *sample)
{
	return find(text, sample);
}

double sp_exposition_value(const char *text, const char *sample)
{
	const char *value = find(text, sample);

	if (!value)
		fail_msg("there is no %s", sample);
	return strtod(value, NULL);
}
