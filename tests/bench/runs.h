/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Contenders that take turns with packets of the same flows; what is compared is the kernel's run time of their programs. */
#ifndef STEADYPORT_TESTS_BENCH_RUNS_H
#define STEADYPORT_TESTS_BENCH_RUNS_H

#include "bench.h"
#include "contender.h"

/* Which flows a contender is sent. */
enum sp_traffic {
	SP_TRAFFIC_ANY,
	SP_TRAFFIC_ORPHANS, /* whose bucket's owner is closed */
	SP_TRAFFIC_KEPT, /* that are in the flow table after each of them was seen once */
};

struct sp_entry {
	struct sp_contender contender;
	enum sp_traffic traffic;
	__u32 nflows; /* 1000 if 0; of which those that fit the traffic are sent */
	size_t baseline; /* index of the entry that this one is divided by */
	struct sp_limit limit;

	/* filled in by sp_runs_compare() */
	double ns; /* median */
	__u32 *flows;
	size_t count, next;
};

#define SP_CONTENDER(id, says, how, ...) \
	.contender = { .name = id, .text = says, .steering = SP_STEERED_BY_##how, ##__VA_ARGS__ }

/*
 * Each entry in turn, in short rounds, every other round the other way round. Now and then all of them are set up anew:
 * where the kernel happens to put a program's code and tables makes a difference of some per cent.
 */
void sp_runs_compare(struct sp_bench *bench, struct sp_entry *entries, size_t count);

/* Run-time statistics are kept, and packets can be sent, between these two. */
void sp_runs_begin(void);
void sp_runs_end(void);

#endif
