/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A group at storm: its model, its workers and its operator; UDP flows or TCP connections ask it. */
#ifndef STEADYPORT_STORM_GROUP_H
#define STEADYPORT_STORM_GROUP_H

#include "crew.h"
#include "flows.h"
#include "orders.h"
#include "stream.h"

struct storm_group {
	enum sp_protocol protocol;
	const char *address; /* bound by the workers */
	__u32 workers_max;
	struct storm_model model;
	struct storm_crew crew;
	struct storm_operator op;
	struct storm_sources sources;
	struct storm_flows flows; /* UDP */
	struct storm_stream stream; /* TCP */

	__u32 serial; /* of the view before the last sync of a calm */

	/* The counters when they were read last, if that was since the attach. */
	__u64 counted_ns;
	__u64 counted;
	__u64 counted_asked;
	__u64 counted_uncounted;
};

/* Questions or connections so far. */
static inline __u64 storm_group_asked(const struct storm_group *g)
{
	return g->protocol == SP_UDP ? g->flows.nasked : g->stream.nconnected;
}

static inline bool storm_group_is_silent(const struct storm_group *g)
{
	return g->protocol == SP_UDP ? !g->flows.nopen : !g->stream.nopen;
}

#endif
