/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel says of a steered group, read from the pins and past steadyport's own answers: runs of the program,
 * the owner table in force. Every function fails the test that calls it when the thing cannot be done.
 */
#ifndef STEADYPORT_TESTS_METER_H
#define STEADYPORT_TESTS_METER_H

#include <stddef.h>
#include <steadyport/abi.h>

/* The books of one group, from sp_meter_open() on. */
#define SP_METER_PROGRAMS 8

struct sp_meter {
	const char *name;
	int stats; /* the kernel counts runs while it is open */
	int programs[SP_METER_PROGRAMS]; /* held open, so that their runs can be read after they were replaced */
	size_t nprograms;
	__u64 runs, outcomes; /* when it was opened */
};

/* Nothing may be on its way to the group now, nor when the books are balanced. */
void sp_meter_open(struct sp_meter *meter, const char *name);
void sp_meter_close(struct sp_meter *meter);
/* After the program was replaced: the runs of the new one count, too. */
void sp_meter_follow(struct sp_meter *meter);

/* So many datagrams were sent since: each was one run of the program, and each run had one outcome (I8). */
#define sp_meter_require_sum(meter, datagrams) sp_meter_check_sum(meter, datagrams, __FILE__, __LINE__)
void sp_meter_check_sum(const struct sp_meter *meter, __u64 datagrams, const char *file, int line);

/* The view in force. */
void sp_meter_view(const char *name, struct sp_view *ret_view);

/* How many buckets each slot owns. */
void sp_meter_owned(const struct sp_view *view, __u32 ret_owned[SP_SLOTS_MAX]);

/* Buckets that have another owner. */
__u32 sp_meter_moved(const struct sp_view *before, const struct sp_view *after);

#endif
