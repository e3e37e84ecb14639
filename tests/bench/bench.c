// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Rounds, ratios and figures. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "cleanup.h"

#define QUICK_PART 5

void sp_bench_die(const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	va_start(ap, fmt);
	fputs("bench: ", stderr);
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, " (%s)\n", strerror(saved));
	va_end(ap);
	exit(1);
}

unsigned int sp_bench_sender_cpu(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN) - 1;
}

void sp_bench_pin(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sp_bench_require(sched_setaffinity(0, sizeof(set), &set) == 0);
}

double sp_bench_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double ms_of(struct timeval t)
{
	return (double)t.tv_sec * 1e3 + (double)t.tv_usec / 1e3;
}

struct sp_cost sp_bench_run(const char *const *words)
{
	double start = sp_bench_now();
	pid_t pid = fork();
	struct sp_cost cost;
	struct rusage usage;
	int status, null;

	sp_bench_require(pid >= 0);
	if (pid == 0) {
		null = open("/dev/null", O_WRONLY);
		if (dup2(null, 1) < 0)
			_exit(126);
		execv(words[0], (char *const *)words);
		_exit(127);
	}
	sp_bench_require(wait4(pid, &status, 0, &usage) == pid);
	cost.wall_ms = (sp_bench_now() - start) * 1e3;
	cost.cpu_ms = ms_of(usage.ru_utime) + ms_of(usage.ru_stime);
	if (status)
		sp_bench_die("%s %s %s ended with status %#x", words[0], words[1], words[2] ?: "", status);
	return cost;
}

size_t sp_bench_rounds(const struct sp_bench *bench, size_t nrounds)
{
	return bench->is_quick ? (nrounds + QUICK_PART - 1) / QUICK_PART : nrounds;
}

struct sp_rounds sp_rounds_new(size_t ncontenders, size_t nrounds)
{
	struct sp_rounds rounds = { .ncontenders = ncontenders, .nrounds = nrounds };

	rounds.values = calloc(ncontenders * nrounds, sizeof(*rounds.values));
	sp_bench_require(rounds.values);
	return rounds;
}

void sp_rounds_free(struct sp_rounds *rounds)
{
	free(rounds->values);
	*rounds = (struct sp_rounds){ 0 };
}

struct sp_summary sp_rounds_value(const struct sp_rounds *rounds, size_t contender)
{
	sp_autofree double *values = calloc(rounds->nrounds, sizeof(*values));

	sp_bench_require(values);
	memcpy(values, sp_rounds_at(rounds, contender, 0), rounds->nrounds * sizeof(*values));
	return sp_stats_summarise(values, rounds->nrounds);
}

struct sp_summary sp_rounds_ratio(const struct sp_rounds *rounds, size_t contender, size_t baseline)
{
	sp_autofree double *ratios = calloc(rounds->nrounds, sizeof(*ratios));

	sp_bench_require(ratios);
	for (size_t i = 0; i < rounds->nrounds; i++)
		ratios[i] = *sp_rounds_at(rounds, contender, i) / *sp_rounds_at(rounds, baseline, i);
	return sp_stats_summarise(ratios, rounds->nrounds);
}

static json_t *summary_to_json(const struct sp_summary *summary)
{
	return json_pack("{s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "rounds", (json_int_t)summary->count,
			 "median", summary->median, "low", summary->low, "high", summary->high, "quarter",
			 summary->quarter, "three_quarters", summary->three_quarters, "min", summary->min,
			 "max", summary->max);
}

static const char *verdict(double value, struct sp_limit limit)
{
	if (!limit.value)
		return "";
	return (limit.is_least ? value >= limit.value : value <= limit.value) ? "met" : "missed";
}

/* One line for whoever waits for the end. */
static void tell(const char *text, const struct sp_summary *figure, const char *unit, struct sp_limit limit)
{
	printf("  %-40s %9.3f %-24s [%.3f, %.3f]", text, figure->median, unit, figure->low, figure->high);
	if (limit.value)
		printf("  %s %g: %s", limit.is_least ? "at least" : "at most", limit.value,
		       verdict(figure->median, limit));
	putchar('\n');
	fflush(stdout);
}

static void add(struct sp_bench *bench, const char *name, const char *text, const struct sp_summary *figure,
		const char *unit, struct sp_limit limit, json_t *ret_more)
{
	json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:o}", "family", bench->family, "name", name, "text",
				text, "unit", unit, "figure", summary_to_json(figure));

	sp_bench_require(row);
	if (limit.value)
		json_object_set_new(row, "target",
				    json_pack("{s:f, s:b, s:s}", "limit", limit.value, "is_least",
					      limit.is_least, "verdict", verdict(figure->median, limit)));
	if (ret_more)
		json_object_update_new(row, ret_more);
	json_array_append_new(bench->figures, row);
}

void sp_bench_ratio(struct sp_bench *bench, const char *name, const char *text,
		    const struct sp_rounds *rounds, size_t contender, size_t baseline,
		    const char *baseline_name, const char *unit, struct sp_limit limit)
{
	struct sp_summary ratio = sp_rounds_ratio(rounds, contender, baseline);
	struct sp_summary value = sp_rounds_value(rounds, contender);
	char with_unit[64];

	snprintf(with_unit, sizeof(with_unit), "x %9.4g %s, least %.4g", value.median, unit, value.min);
	tell(text, &ratio, with_unit, limit);
	add(bench, name, text, &ratio, "x", limit,
	    json_pack("{s:s, s:s, s:o}", "baseline", baseline_name, "value_unit", unit, "value",
		      summary_to_json(&value)));
}

void sp_bench_value(struct sp_bench *bench, const char *name, const char *text, struct sp_summary value,
		    const char *unit, struct sp_limit limit)
{
	tell(text, &value, unit, limit);
	add(bench, name, text, &value, unit, limit, NULL);
}

void sp_bench_growth(struct sp_bench *bench, const char *name, const char *text, const char *unit,
		     const double *x, const double *y, size_t count)
{
	struct sp_growth growth = sp_stats_growth(x, y, count);
	json_t *points = json_array();
	json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:f, s:f, s:o}", "family", bench->family, "name", name,
				"text", text, "unit", unit, "exponent", growth.exponent, "fit", growth.fit,
				"points", points);

	sp_bench_require(row);
	printf("  %-40s", text);
	for (size_t i = 0; i < count; i++) {
		printf(" %g: %.4g,", x[i], y[i]);
		json_array_append_new(points, json_pack("[f, f]", x[i], y[i]));
	}
	printf(" %s, exponent %.3f\n", unit, growth.exponent);
	json_array_append_new(bench->figures, row);
}
