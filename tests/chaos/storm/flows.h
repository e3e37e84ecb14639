/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The storm's UDP flows: each asks in turn, again and again, and every answer is judged. Now and then a flow ends and
 * another begins.
 */
#ifndef STEADYPORT_STORM_FLOWS_H
#define STEADYPORT_STORM_FLOWS_H

#include "model.h"
#include "seed.h"
#include "sources.h"

struct storm_flow {
	int fd;
	struct storm_source source;
	struct storm_asked asked; /* asked_ns 0: no question is open */
	__u32 round; /* of the last question */
	__u32 place; /* among the open questions */
	__u64 lost_ns; /* when the question was asked that was taken for lost last */
	__u32 lost_round;
};

struct storm_flows {
	struct storm_model *model;
	struct storm_sources *sources;
	struct sp_random random;
	__u16 port;
	int epoll;
	__u64 tag; /* of events; the flow's number is added */
	__u64 period_ns; /* each flow asks once in it */
	struct storm_flow *flow;
	__u32 count;
	__u32 *open; /* flows whose question is open */
	__u32 nopen;
	__u32 cursor;
	__u64 next_ns; /* the flow at the cursor asks */
	__u64 pass_ns; /* the cursor was at the first flow */
	__u64 last_pass_ns; /* how long it took to come round */
	__u64 silence_ns; /* when the open questions were last looked through */
	bool is_paused; /* no question is asked */

	__u64 nopened; /* flows, ever */
	__u64 nasked;
	__u64 nlost;
	__u64 nlate; /* taken for lost too soon */
	__u64 dropped_before; /* by the kernel, when the storm began */
	__u64 ndropped; /* questions or answers that it may have dropped since */
	struct strays *strays;
	__u64 nstrays; /* questions that the kernel has left in another's socket that closed */
	__u64 nbound; /* answers that had to come from the flow's worker, and did */
	__u64 nmoved; /* to another worker, as they had to */
	__u64 gap_ns; /* the longest time that a flow was unheard of while a learn window was open */
};

void storm_flows_open(struct storm_flows *f, __u32 count, __u64 now);
void storm_flows_close(struct storm_flows *f);

/* Asks where it is time to; looks for questions that stay unanswered. */
void storm_flows_pump(struct storm_flows *f, __u64 now);
/* When the next question is due. */
__u64 storm_flows_due_ns(const struct storm_flows *f);
/* Something came for flow number @i. */
void storm_flows_hear(struct storm_flows *f, __u32 i, __u64 now);
/* The flows do not come round fast enough to be learned in a window. */
bool storm_flows_are_behind(const struct storm_flows *f, __u64 now);

#endif
