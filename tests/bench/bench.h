/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Measuring by comparison. Contenders take turns within one run, A B C A B C ..., in rounds too short for the machine to
 * change its mind about its speed; each round gives one value for each of them, and what is told is the median, over
 * all rounds, of a contender's value divided by the baseline's of the same round.
 *
 * Nothing here is a test: a figure that misses its target is a row of a table. What cannot be measured at all ends the
 * program.
 */
#ifndef STEADYPORT_TESTS_BENCH_H
#define STEADYPORT_TESTS_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>
#include "stats.h"

struct sp_bench {
	bool is_quick; /* a fifth of the rounds */
	const char *binary; /* steadyport */
	const char *rival; /* another build of the binary to be measured beside this one, or NULL */
	json_t *figures; /* what was measured so far */
	const char *family; /* of the figures that are measured now */
};

/* What is wanted of a figure; value 0: nothing. */
struct sp_limit {
	double value;
	bool is_least; /* the figure shall be at least this, not at most */
};

/* The values of all contenders: one row for each, of one value for each round. */
struct sp_rounds {
	size_t ncontenders, nrounds;
	double *values;
};

struct sp_rounds sp_rounds_new(size_t ncontenders, size_t nrounds);
void sp_rounds_free(struct sp_rounds *rounds);

static inline double *sp_rounds_at(const struct sp_rounds *rounds, size_t contender, size_t round)
{
	return &rounds->values[contender * rounds->nrounds + round];
}

/* As many rounds as asked for, or a fifth of that with --quick. */
size_t sp_bench_rounds(const struct sp_bench *bench, size_t nrounds);

/* Of one contender, in the unit in which it was measured. */
struct sp_summary sp_rounds_value(const struct sp_rounds *rounds, size_t contender);
/* Of one contender's value divided by another's of the same round. */
struct sp_summary sp_rounds_ratio(const struct sp_rounds *rounds, size_t contender, size_t baseline);

/**
 * sp_bench_ratio - one figure: a ratio to a named baseline, with the values themselves beside it
 * @name:     for programs: letters, digits and '_', unique
 * @text:     for people
 * @baseline: index and name of it
 * @unit:     of the values
 */
void sp_bench_ratio(struct sp_bench *bench, const char *name, const char *text,
		    const struct sp_rounds *rounds, size_t contender, size_t baseline,
		    const char *baseline_name, const char *unit, struct sp_limit limit);

/* One figure that is not a ratio to anything: a count, a share, a time with a target of its own. */
void sp_bench_value(struct sp_bench *bench, const char *name, const char *text, struct sp_summary value,
		    const char *unit, struct sp_limit limit);

/* How a value grows with a variable: the exponent that was fitted, 0: it does not, 1: in proportion. */
void sp_bench_growth(struct sp_bench *bench, const char *name, const char *text, const char *unit,
		     const double *x, const double *y, size_t count);

/* Ends the program: something could not be measured. */
void sp_bench_die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
#define sp_bench_require(condition) \
	((condition) ? (void)0 : sp_bench_die("%s:%d: %s", __FILE__, __LINE__, #condition))

/* What a program took from its start to its end. */
struct sp_cost {
	double wall_ms, cpu_ms;
};

/* Runs a program that must end with status 0; what it says is not shown. @words: a path first, NULL last. */
struct sp_cost sp_bench_run(const char *const *words);

/* The calling process and its children run on this CPU only: the last one is the sender's, the first the workers'. */
void sp_bench_pin(unsigned int cpu);
unsigned int sp_bench_sender_cpu(void);

/* Seconds of a clock that does not jump. */
double sp_bench_now(void);

/* The families of figures. */
void sp_bench_steer(struct sp_bench *bench);
void sp_bench_steps(struct sp_bench *bench);
void sp_bench_scale(struct sp_bench *bench);
void sp_bench_wire(struct sp_bench *bench);
void sp_bench_balance(struct sp_bench *bench);
void sp_bench_commands(struct sp_bench *bench);
void sp_bench_daemon(struct sp_bench *bench);

#endif
