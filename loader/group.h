/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Acting on a kernel group through its members' sockets. A socket is another process's: it is duplicated with
 * pidfd_getfd(), used, and closed at once. Kept open it would keep a dead worker's listener alive (DESIGN I6).
 */
#ifndef STEADYPORT_GROUP_H
#define STEADYPORT_GROUP_H

#include <stdbool.h>
#include <steadyport/abi.h>
#include "members.h"

/**
 * sp_group_lookup - the one group that an endpoint names in one network namespace
 * Returns 0; -ENOENT if none fits, -EEXIST if several do; says nothing.
 */
int sp_group_lookup(const struct sp_groups *groups, const struct sp_endpoint *endpoint, __u64 netns_cookie,
		    const struct sp_group **ret_group);

/**
 * sp_group_find - the same, for whoever waits for an answer
 * @groups: a scan with any_on_port set to the endpoint's port
 * Returns 0; -ENOENT (logged) if none fits, saying what else is on that port; -EEXIST (logged) if several fit.
 */
int sp_group_find(const struct sp_groups *groups, const struct sp_endpoint *endpoint, __u64 netns_cookie,
		  const struct sp_group **ret_group);

/* The group at exactly this place, or NULL. Of several, the one that program @prog_id steers. */
const struct sp_group *sp_group_at(const struct sp_groups *groups, const struct sp_ctl *place, __u32 prog_id);

/**
 * sp_group_outside - UDP sockets at a group's place that are not in it
 * @groups: a scan with any_on_port set to the place's port
 * @group: NULL: it has no members
 * Such a socket has left the group with connect(), or has joined another one that did. The kernel may give it any
 * packet of the group's, unless it is connected now: those are not counted.
 * Returns one of them, NULL if there is none.
 */
const struct sp_member *sp_group_outside(const struct sp_groups *groups, const struct sp_ctl *place,
					 const struct sp_group *group, __u32 *ret_count);

/**
 * sp_group_socket - a duplicate of a member's socket, for the caller to close soon
 * Tries each owner. Returns 0; -ESTALE (not logged) when no owner holds the member any more; -EPERM (not logged)
 * when none of them may be looked into; other -errno.
 */
int sp_group_socket(const struct sp_member *member, int *ret_fd);

/* Any one member's socket: the attachment is the group's. Same errors, for the group as a whole. */
int sp_group_any_socket(const struct sp_group *group, int *ret_fd);

/* Attach replaces what is attached. Both return 0 or -errno (not logged). */
int sp_group_attach(int socket, int prog);
int sp_group_detach(int socket);

/* Wakes all who wait for a listening socket, and changes nothing else: see wake.h. Returns 0 or -errno (not logged). */
int sp_group_wake(int socket);

/*
 * Ends the listening at once, whoever else holds the socket: it leaves its group, and the connections that wait in it
 * go to those whom the program names. Returns 0 or -errno (not logged).
 */
int sp_group_stop(int socket);

/* "tcp:0.0.0.0:8080", the form an ENDPOINT has. Returns buf. */
const char *sp_group_endpoint(const struct sp_group *group, char buf[SP_ENDPOINT_STRLEN]);

#endif
