/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the daemon does for its steered groups between and after its passes: hears what their programs tell, wakes the
 * heirs of closed listeners where this kernel does not, holds parking sockets.
 */
#ifndef STEADYPORT_CARE_H
#define STEADYPORT_CARE_H

#include <stdbool.h>
#include <steadyport/abi.h>
#include "members.h"
#include "pin.h"

/* For all groups of a daemon. */
struct sp_care;

/* Finds out whether this kernel wakes heirs, and tells. Returns 0 or -errno (logged). */
int sp_care_open(struct sp_care **ret_care);
void sp_care_free(struct sp_care **care);

/* Readable when a program tells something, or a parking socket holds a connection: sp_care_read(). */
int sp_care_fd(const struct sp_care *care);

/* True when a pass is called for: a worker has died, or sp_cared_is_due() for some group. */
bool sp_care_read(struct sp_care *care);

/* When the next heirs are to be woken, CLOCK_MONOTONIC: sp_care_wake(); 0: none are. */
__u64 sp_care_next_ns(const struct sp_care *care);

/* Wakes those that are due. @groups: a scan made just now */
void sp_care_wake(struct sp_care *care, const struct sp_groups *groups);

/* One of its groups. */
struct sp_cared;

/* What a pass has left behind. */
struct sp_cared_sight {
	const struct sp_pins *pins; /* NULL: there are none any more */
	const struct sp_group *group; /* of a scan made under the lock; NULL: it is gone */
	bool is_attached; /* it runs our program */
	__u32 live; /* workers in slots */
	__u64 park_ns; /* as configured; 0: no parking */
};

/* NULL without memory (logged). To be dropped before the care is freed. */
struct sp_cared *sp_care_take(struct sp_care *care, const char *name, enum sp_protocol protocol);
void sp_care_drop(struct sp_cared **cared);

/* Before its first pass: goes on with the parking socket in its slot. False without memory (logged). */
bool sp_cared_inherit(struct sp_cared *cared, __u64 park_ns, __u64 cookie, int *fd);

/* At the end of each pass over the group, under its lock. */
void sp_cared_update(struct sp_cared *cared, const struct sp_cared_sight *sight);

/* Under the lock, before the group is looked for elsewhere: nobody will come for what waits in its parking socket. */
void sp_cared_end_parking(struct sp_cared *cared, const struct sp_pins *pins);

/* True when the group needs a pass now, whatever a scan shows: a connection waits in its parking socket. */
bool sp_cared_is_due(const struct sp_cared *cared);

/* When it needs one at the latest, CLOCK_MONOTONIC; 0: no need. */
__u64 sp_cared_next_ns(const struct sp_cared *cared);

/* True while it holds a parking socket. */
bool sp_cared_parks(const struct sp_cared *cared);

/* For whoever counts: connections that wait in the parking socket, and wake-ups since the start. */
__u32 sp_cared_parked(const struct sp_cared *cared);
__u64 sp_cared_wakes(const struct sp_cared *cared);

#endif
