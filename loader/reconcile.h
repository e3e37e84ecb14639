/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The one procedure behind attach, sync and whoever watches: makes a steered group's state fit its members.
 * Level-triggered: it looks at what is, not at what happened; running it again changes nothing.
 */
#ifndef STEADYPORT_RECONCILE_H
#define STEADYPORT_RECONCILE_H

#include <stdbool.h>
#include <steadyport/abi.h>
#include "change.h"
#include "members.h"
#include "pin.h"
#include "plan.h"
#include "state.h"

struct sp_reconcile_options {
	bool may_replace; /* take the group over from a program that is not ours, or follow it to another user */
	const struct sp_change *change; /* what an operator asks for; NULL: nothing */
	bool may_be_partial; /* go on though some members cannot be reached; they get no traffic */
	const __u16 *
		weights; /* SP_SLOTS_MAX: of newcomers in slots never used; above SP_WEIGHT_MAX: default. NULL: all */
	const struct sp_groups *groups; /* a scan made under the lock; NULL: it makes its own */
	struct sp_scanner *scanner; /* for further scans; NULL: one is loaded for each */
	bool may_not_wait; /* for the end of a learn window: -EAGAIN instead */
	bool counts_again; /* sp_steered_reconcile(): connections, where they are counted */
};

struct sp_reconcile_result {
	__u32 program_id;
	__u32 size; /* members the kernel has, less the parking socket; 0: the group is gone */
	__u32 live; /* of them in slots */
	__u32 nslots; /* the highest slot of the view in force, and one */
	__u32 out_of_reach; /* members that no visible process holds, or that may not be taken */
	__u32 taken; /* members that are in another sockarray, for good */
	__u32 outside; /* UDP sockets at the group's place that are not in it: see sp_group_outside() */
	__u32 nenrolled;
	__u32 enrolled[SP_SLOTS_MAX]; /* slots of the newcomers, ascending */
	__u64 cookies[SP_SLOTS_MAX]; /* of their sockets */
	__u32 ndied;
	__u32 died[SP_SLOTS_MAX]; /* slots seen to be dead for the first time, ascending */
	__u32 moved_buckets;
	__u32 replaced_program; /* id of the program that was attached before; 0: none or classic */
	bool is_changed[SP_SLOTS_MAX]; /* by what was asked */
	bool did_attach;
	bool did_replace; /* something else was attached: its choices are unknown, so flows may have moved */
	bool did_publish;
	__u64 in_force_ns; /* CLOCK_MONOTONIC: when the last newcomer was in its slot and the last view published */
	/* With counts_again: */
	bool did_restart; /* what counts connections was gone */
	__u32 corrected; /* connections that were missing from the counts, or too many */
	int count_err; /* 0, or why they could not be counted again (logged) */
	bool is_moving; /* packets of some buckets are looked up in the flow table */
	bool is_learning;
	__u64 learn_remaining_ns; /* with -EAGAIN, too: when to come again */
};

/**
 * sp_reconcile - enrol newcomers, mark the dead, rebalance, settle what was learned, attach if need be
 * The caller holds the lock. Returns 0 or -errno (logged): -EBUSY a foreign program is attached, the group is
 * another user's now, or members are in another sockarray, -EPERM members out of reach, -ENOSPC no slot left, -EINVAL
 * a change that cannot be; with these nothing was changed. -EAGAIN (not logged) only with may_not_wait: a learn window
 * ends in less than 30 ms; what was done until then is in the result.
 */
int sp_reconcile(const struct sp_pins *pins, const struct sp_reconcile_options *options,
		 struct sp_reconcile_result *ret_result);

struct sp_reconcile_job {
	const struct sp_pins *pins;
	struct sp_reconcile_options options;
	struct sp_reconcile_result *result;
	int err; /* in: not 0: nothing is done for this one; out: as sp_reconcile() returns it */
};

/*
 * The same for several groups at once. A view must be out of sight before the next step, which takes the kernel a
 * grace period (10 to 30 ms); all groups wait for the same ones, of which there are at most two.
 */
void sp_reconcile_all(struct sp_reconcile_job *jobs, size_t njobs);

/* Slots as planning sees them. */
void sp_reconcile_slots(const struct sp_state *state, struct sp_plan_slots *ret_slots);

#endif
