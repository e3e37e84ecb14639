/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sockets that the kernel has announced. One that no scan has shown yet is awaited: a listener is announced before it is
 * in its group, so the scan that follows at once may miss it. Those that were shown are remembered for as long as there
 * is room, so that it can be told how long they waited for their share. Pure.
 */
#ifndef STEADYPORT_ANNOUNCED_H
#define STEADYPORT_ANNOUNCED_H

#include <stdbool.h>
#include <stddef.h>
#include <steadyport/abi.h>
#include "members.h"

#define SP_ANNOUNCED_MAX 64

struct sp_announced_socket {
	__u64 cookie;
	__u64 heard_ns; /* CLOCK_MONOTONIC */
	bool is_shown; /* by a scan, in whatever group: awaited no more */
};

struct sp_announced {
	struct sp_announced_socket sockets[SP_ANNOUNCED_MAX]; /* the oldest first */
	size_t count;
};

/* One more. When so many are awaited it is forgotten, and left to the next look that is due anyway. */
void sp_announced_add(struct sp_announced *announced, const struct sp_watch_event *event);

/* When it was announced, CLOCK_MONOTONIC; 0: it was not, or is forgotten. */
__u64 sp_announced_when(const struct sp_announced *announced, __u64 cookie);

/* Forgets those that no scan has shown in 200 ms. True when some are still to come. */
bool sp_announced_prune(struct sp_announced *announced, const struct sp_groups *groups, __u64 now_ns);

#endif
