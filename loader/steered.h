/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A steered group from its first day to its last, as attach, sync, detach and the daemon make and end it. All that
 * change something expect the caller to hold the lock.
 */
#ifndef STEADYPORT_STEERED_H
#define STEADYPORT_STEERED_H

#include <stdbool.h>
#include <steadyport/abi.h>
#include "members.h"
#include "pin.h"
#include "reconcile.h"

/* How a group is to be steered; fixed for as long as it is, but for learn_ns and flow_idle_ns. */
struct sp_steered_options {
	__u64 learn_ns;
	__u64 flow_idle_ns;
	enum sp_track track;
	enum sp_hash hash;
	enum sp_balance balance;
	bool has_seed;
	__u64 seed[2];
	__u32 flows;
	__u32 slots; /* that have counters of their own; 0: as the group has members */
	bool may_upgrade; /* pins of this name and group that an older steadyport made */
};

/**
 * sp_steered_attach - steer a group under a name from now on
 * A name that was published for this very group and never attached, by a command that was killed, is completed; one
 * that an older steadyport made is brought up to date if that is asked for.
 * Returns 0; -EEXIST (logged) when the name or the group is taken; other -errno (logged); nothing is left then.
 */
int sp_steered_attach(const char *bpffs, const char *name, const struct sp_group *group,
		      const struct sp_steered_options *options, const struct sp_reconcile_options *reconcile,
		      struct sp_reconcile_result *ret_result);

/**
 * sp_steered_detach - give the groups that run NAME's program back to the kernel's hash, and forget NAME
 * @groups: a scan
 * @say:    told what was done, a line each
 * Of the maps it reads no more than what tells a parking socket, which is stopped first. So it also ends what another
 * version or a killed command has left.
 */
int sp_steered_detach(const char *bpffs, const char *name, const struct sp_groups *groups,
		      void (*say)(const char *fmt, ...));

/**
 * sp_steered_reconcile - sp_reconcile() for a group that is steered already: completes first what was interrupted, and
 * makes room for counters afterwards. Where connections are counted, and it was asked for, they are counted again
 * @pins: those of another program afterwards where an interrupted upgrade was completed or counters became too few
 * Returns what sp_reconcile() does; also an error of what was to be completed.
 */
int sp_steered_reconcile(const char *bpffs, struct sp_pins *pins, const struct sp_reconcile_options *options,
			 struct sp_reconcile_result *ret_result);

/*
 * The same for several groups at once, see sp_reconcile_all(), but that no room is made: it takes a program that must
 * be verified. @pins: of each job, whose own is set to it
 */
void sp_steered_reconcile_all(const char *bpffs, struct sp_pins *const *pins, struct sp_reconcile_job *jobs,
			      size_t njobs);

/* True when there are slots that are counted in the group's row, for they have no counters of their own. */
bool sp_steered_lacks_room(const struct sp_pins *pins, const struct sp_reconcile_result *result);

/* Replaces the program by one with more counters. @result: the program's id is updated. Returns 0 or -errno (logged). */
int sp_steered_make_room(const char *bpffs, struct sp_pins *pins, struct sp_reconcile_result *result);

/**
 * sp_steered_balance - place connections in another way from now on; nobody moves
 * @pins:   those of another program afterwards
 * @groups: a scan
 * Returns 0; -EINVAL (logged) for UDP; other -errno (logged), also where this kernel does not allow it: the group is
 * steered as before then.
 */
int sp_steered_balance(const char *bpffs, struct sp_pins *pins, enum sp_balance balance,
		       const struct sp_groups *groups);

/* True when the group is the one that these pins are for. */
bool sp_steered_is_at(const struct sp_ctl *ctl, const struct sp_group *group);

/* What sp_steered_attach() did, in sentences. */
void sp_steered_tell_attached(const char *name, const struct sp_group *group,
			      const struct sp_reconcile_result *result, void (*say)(const char *fmt, ...));

/* What a later reconciliation did; nothing of note: false, and nothing is said. */
bool sp_steered_tell(const char *name, const struct sp_reconcile_result *result,
		     void (*say)(const char *fmt, ...));

/* Tells of sockets that get no traffic, or take it from the group. */
void sp_steered_warn(const char *name, const struct sp_reconcile_result *result);

#endif
