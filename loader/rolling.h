/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A rolling restart under load: TCP workers are stopped and replaced one after another while connections come, once
 * under the kernel's hash and once under steadyport. Measuring and showing are apart, as with the demonstration.
 */
#ifndef STEADYPORT_ROLLING_H
#define STEADYPORT_ROLLING_H

#include <stdbool.h>
#include <stdio.h>
#include <jansson.h>
#include <steadyport/abi.h>
#include "demo.h"

#define SP_ROLLING_WORKERS_MAX 16
#define SP_ROLLING_RATE_MAX 5000 /* connections a second */
#define SP_ROLLING_BUSY_MS \
	100 /* a worker that is told to stop has been busy for so long: connections wait for it */
#define SP_ROLLING_STEP_MS 800 /* from one restart to the next */
#define SP_ROLLING_CALM_MS 600 /* before the first one, and after the last */
#define SP_ROLLING_BIN_MS 100
#define SP_ROLLING_BINS \
	((2 * SP_ROLLING_CALM_MS + SP_ROLLING_WORKERS_MAX * SP_ROLLING_STEP_MS) / SP_ROLLING_BIN_MS)

struct sp_rolling_setup {
	__u32 workers; /* 2..SP_ROLLING_WORKERS_MAX */
	__u32 rate; /* 1..SP_ROLLING_RATE_MAX */
	struct sp_demo_setup demo; /* for attach and detach: bpffs, program */
};

/* What became of the connections of one mode. */
struct sp_rolling_mode {
	__u32 connections;
	__u32 answered;
	__u32 reset, refused, closed; /* failed; closed: without an answer */
	__u32 unanswered; /* nothing happened until the deadline; failed, too */
	/* By when it happened, so long after the first connection; what comes later is in the last bin. */
	__u32 answered_in[SP_ROLLING_BINS];
	__u32 failed_in[SP_ROLLING_BINS];
	__u32 stopped_ms[SP_ROLLING_WORKERS_MAX]; /* when each worker was told to stop */
};

struct sp_rolling_result {
	__u32 workers;
	__u32 rate;
	__u32 bins; /* in use */
	char kernel[65]; /* uname -r */
	struct sp_rolling_mode mode[SP_DEMO_MODES];
};

/* In the laboratory that was entered before. 0 or -errno (logged); no process is left in either case. */
int sp_rolling_measure(const struct sp_rolling_setup *setup, struct sp_rolling_result *ret);

/* Pure, but for @out. */
__u32 sp_rolling_failed(const struct sp_rolling_mode *mode);
/* True when nothing failed under steadyport. */
bool sp_rolling_holds(const struct sp_rolling_result *result);
void sp_rolling_render(FILE *out, const struct sp_rolling_result *result, bool has_colour);
/* NULL without memory. */
json_t *sp_rolling_json(const struct sp_rolling_result *result);
/* 0 or -EIO (not logged). */
int sp_rolling_svg(FILE *out, const struct sp_rolling_result *result);

#endif
