/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sockets that the kernel has announced and that no scan has shown yet: a listener is announced before it is in its
 * group, so the scan that follows at once may miss it. Pure.
 */
#ifndef STEADYPORT_ANNOUNCED_H
#define STEADYPORT_ANNOUNCED_H

#include <stdbool.h>
#include <stddef.h>
#include <steadyport/abi.h>
#include "members.h"

#define SP_ANNOUNCED_MAX 64

struct sp_announced {
	struct {
		__u64 cookie;
		__u64 heard_ns; /* CLOCK_MONOTONIC */
	} sockets[SP_ANNOUNCED_MAX];
	size_t count;
};

/* One more; without room it is forgotten, and left to the next look that is due anyway. */
void sp_announced_add(struct sp_announced *announced, const struct sp_watch_event *event);

/*
 * Forgets those that the scan shows in whatever group, and those that have not come in 200 ms. True when some are
 * still to come.
 */
bool sp_announced_prune(struct sp_announced *announced, const struct sp_groups *groups, __u64 now_ns);

#endif
