/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which processes have TCP connections on a local port. */
#ifndef STEADYPORT_CONNECTIONS_H
#define STEADYPORT_CONNECTIONS_H

#include <stddef.h>
#include <steadyport/abi.h>
#include "members.h"

struct sp_connections {
	struct sp_connection_record *records; /* sorted by cookie */
	size_t count;
};

#define sp_autoconnections __attribute__((cleanup(sp_connections_free)))
void sp_connections_free(struct sp_connections *connections);

/**
 * sp_connections_scan - every connection of that local port, in one network namespace, that a visible process holds
 * Established ones, and those that only the peer has closed. Needs CAP_BPF and CAP_PERFMON.
 * Returns 0 or -errno (logged), @ret untouched on failure.
 */
int sp_connections_scan(__u16 port, __u64 netns_cookie, struct sp_connections *ret);

/* Connections that at least one of the member's owners holds. */
size_t sp_connections_count(const struct sp_connections *connections, const struct sp_member *member);

#endif
