/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where flows come from: every flow of a storm has four numbers that none before it had. A number that comes again could
 * meet a kept flow of its former life, which rightly stays where it is.
 */
#ifndef STEADYPORT_STORM_SOURCES_H
#define STEADYPORT_STORM_SOURCES_H

#include <stdbool.h>
#include "endpoint.h"

#define STORM_TARGETS_MAX 2

/* Clients of one endpoint: what they ask, and the next own address that none has had. */
struct storm_sources {
	struct {
		struct sp_address target, own;
		__u16 port;
		__u32 naddresses;
	} by_target[STORM_TARGETS_MAX];
	__u32 ntargets;
	__u32 next;
};

/* @second may be NULL: a dual-stack group is asked over both families in turn. */
void storm_sources_init(struct storm_sources *sources, const char *first, const char *second);

struct storm_source {
	struct sp_address target, own;
	__u16 port;
};

void storm_sources_take(struct storm_sources *sources, struct storm_source *ret);

/* A non-blocking socket of this source, connected or on its way to be, or -errno. */
int storm_source_connect(const struct storm_source *source, enum sp_protocol protocol, __u16 port);

#endif
