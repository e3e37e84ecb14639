/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Planning: what is in force and what changes, to the views that come next. Pure: no syscalls, no BPF, no clock.
 * The rules, and why they are so: DESIGN in docs/how-it-works.md.
 */
#ifndef STEADYPORT_PLAN_H
#define STEADYPORT_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <steadyport/abi.h>

/* One worker position, as planning sees it. */
struct sp_plan_slot {
	bool is_assigned; /* it has a share of the table: enrolled once and not retired, dead or alive */
	bool is_live; /* its socket is open now */
	bool is_draining; /* it takes no new flows */
	bool is_ejected; /* it takes none and has no claim to the flows it had */
	__u32 weight; /* 0..SP_WEIGHT_MAX */
};

struct sp_plan_slots {
	struct sp_plan_slot slot[SP_SLOTS_MAX];
};

/**
 * sp_plan_assign - slots for newcomers: the lowest dead slots first, then the lowest ones never used or retired
 * @slots:      in: as they are; out: the chosen ones are assigned, live, not draining; a slot that was never used
 *              gets SP_WEIGHT_DEFAULT, a dead one keeps its weight
 * @count:      newcomers
 * @ret_slots:  room for @count slot numbers, ascending
 * Returns 0, or -ENOSPC with nothing changed when fewer than @count slots are left.
 */
int sp_plan_assign(struct sp_plan_slots *slots, size_t count, __u32 *ret_slots);

/* The same for one that was in that slot before. False, and nothing changed, if it is live or was retired. */
bool sp_plan_reassign(struct sp_plan_slots *slots, __u32 slot);

/**
 * sp_plan_quotas - how many buckets each slot shall own
 * @owner:      the owners now, SP_SLOT_NONE allowed
 * @ret_quota:  per slot; the sum is SP_BUCKETS if any assigned slot has a weight, else 0
 *
 * Every quota is the exact share weight / sum(weights) x SP_BUCKETS rounded down or up. Among all such roundings
 * this is one that lets the fewest buckets change owner.
 */
void sp_plan_quotas(const struct sp_plan_slots *slots, const __u16 owner[SP_BUCKETS],
		    __u32 ret_quota[SP_SLOTS_MAX]);

/**
 * sp_plan_owners - the new owner table for these slots
 * @owner:      in: the owners now; out: the new ones
 * Returns the number of buckets that changed owner: the provable minimum, sum(max(0, quota - owned)).
 */
__u32 sp_plan_owners(const struct sp_plan_slots *slots, __u16 owner[SP_BUCKETS]);

/* A first view for these slots: balanced, usable where assigned, live and not draining; nothing moving. */
void sp_plan_first(const struct sp_plan_slots *slots, struct sp_view *ret_view);

/* True for a TABLE view that may be written as PLAIN: no bucket moves, and what owns a bucket is usable. */
bool sp_plan_is_plain(const struct sp_view *view);

/**
 * sp_plan_effective - the function that a view really is while these slots are live
 * @view:       its usable bits (TABLE) or owners (KERNEL) of slots that are not live, or ejected, are cleared. Whoever occupies
 *              such a slot later then has no claim to flows that went on to other slots (a rejoining worker).
 * Returns true when something was cleared.
 */
bool sp_plan_effective(struct sp_view *view, const struct sp_plan_slots *slots);

/* True when a view names a slot that is ejected: sp_plan_effective() would clear it though it is live. */
bool sp_plan_is_ejecting(const struct sp_view *view, const struct sp_plan_slots *slots);

/**
 * sp_plan_next - the view that follows
 * @current:    the view in force, effective
 * @previous:   what flows not seen yet are to be taken to follow: the effective predecessor of @current while its
 *              learn window is open, else @current itself; KERNEL views are allowed; NULL: nothing to learn (TCP)
 * @is_open:    the learn window of @current is open
 * @kept:       buckets that hold kept flows, a bit each; NULL: none
 * @slots:      as they shall be: owners are rebalanced to them
 * @ret_view:   the result; prev, learn_until_ns and serial are left to whoever publishes it
 *
 * moving is complete: for every hash h, if @previous and the result may choose differently, or a kept flow of h may
 * exist, then moving(bucket(h)). While the window is open all buckets moving in @current stay moving.
 * Returns the number of buckets that changed owner.
 */
__u32 sp_plan_next(const struct sp_view *current, const struct sp_view *previous, bool is_open,
		   const __u64 *kept, const struct sp_plan_slots *slots, struct sp_view *ret_view);

/* True when two views are the same function and look at the flow table in the same buckets. */
bool sp_plan_is_same(const struct sp_view *a, const struct sp_view *b);

/* The share of new flows that a slot gets while exactly the usable slots are live, 0..1. */
double sp_plan_share(const struct sp_view *view, const struct sp_plan_slots *slots, __u32 slot);

#endif
