/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the daemon counts and sees, in Prometheus' text format. Pure: facts to text. The format wants all samples of a
 * metric in one place, so they are gathered by metric while groups are added one after another.
 */
#ifndef STEADYPORT_METRICS_H
#define STEADYPORT_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <event2/buffer.h>
#include <steadyport/abi.h>
#include "netstat.h"
#include "report.h"
#include "tend.h"

/* Seconds of which each bucket counts what took no longer, and one for the rest. */
#define SP_HISTOGRAM_BOUNDS                                                \
	{                                                                  \
		0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1 \
	}
#define SP_HISTOGRAM_BUCKETS 11

struct sp_histogram {
	__u64 count[SP_HISTOGRAM_BUCKETS];
	__u64 sum_ns;
};

void sp_histogram_add(struct sp_histogram *histogram, __u64 ns);

/* Of the whole daemon. */
struct sp_metrics_daemon {
	bool is_reload_ok;
	const struct sp_histogram *reconcile;
	size_t count[SP_TEND_STATES]; /* groups by state */
};

/* Of a configured group; it need not exist. */
struct sp_metrics_group {
	const char *name;
	const char *endpoint; /* as configured */
	enum sp_tend_state state;
	bool is_pinned;
	__u64 enrolments, deaths, wake_ups; /* since the daemon's start */
	__u32 parked;
	const __u32 *active; /* connections of each slot; NULL: nobody counts */
	const struct sp_report *report; /* NULL: nothing is pinned, or it cannot be read */
};

struct sp_metrics;

/* NULL without memory. Running out of it later is told by sp_metrics_write(), so that the calls between need no checks. */
struct sp_metrics *sp_metrics_new(void);
void sp_metrics_free(struct sp_metrics **metrics);

void sp_metrics_add_daemon(struct sp_metrics *metrics, const struct sp_metrics_daemon *daemon);
/* Each name once. */
void sp_metrics_add_group(struct sp_metrics *metrics, const struct sp_metrics_group *group);
/* Each netns once. @netns: as sp_netns_name() says */
void sp_metrics_add_netstat(struct sp_metrics *metrics, const char *netns, const struct sp_netstat *netstat);

/* Appends the text; what was added is gone then. 0 or -ENOMEM (not logged). */
int sp_metrics_write(struct sp_metrics *metrics, struct evbuffer *out);

/* Names of all metrics in the order of the text, without "steadyport_"; NULL behind the last. */
const char *sp_metrics_name(size_t i);
/* "group, slot" */
const char *sp_metrics_labels(size_t i);

#endif
