/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kept flows of a group: read, told apart, and forgotten when they are needed no more. */
#ifndef STEADYPORT_KEPT_H
#define STEADYPORT_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <steadyport/abi.h>
#include "pin.h"
#include "plan.h"
#include "state.h"

struct sp_kept_flow {
	__u64 hash;
	__u32 slot;
	__u32 last_seen_s; /* CLOCK_MONOTONIC */
	__u32 idle_s; /* since its last packet */
	bool is_stale; /* its worker is gone or ejected, and no packet has come since: the next one replaces it */
	bool is_expired; /* silent for longer than flow_idle_s: the program does not take it for known any more */
};

struct sp_kept {
	struct sp_kept_flow *flows;
	size_t count;
};

#define sp_autokept __attribute__((cleanup(sp_kept_free)))
void sp_kept_free(struct sp_kept *kept);

/* Every entry of the flow table, as of now; a TCP group, or one that tracks nothing, has none. 0 or -errno (logged). */
int sp_kept_read(const struct sp_pins *pins, const struct sp_state *state, struct sp_kept *ret_kept);

/* Neither stale nor expired: a flow that the table keeps in its place. */
bool sp_kept_is_in_force(const struct sp_kept_flow *flow);

/* How many are in force, of each slot and in all. 0 or -errno (logged). */
int sp_kept_count_by_slot(const struct sp_pins *pins, const struct sp_state *state,
			  __u64 ret_counts[SP_SLOTS_MAX]);
int sp_kept_count(const struct sp_pins *pins, const struct sp_state *state, __u64 *ret_count);

/*
 * Entries that the LRU table has forgotten to make room. The kernel does not say: it is what was stored, less what was
 * taken out for a reason, less what is there. Under traffic the numbers are of different moments, so it is exact at rest
 * only. @rows: of all counters
 */
__u64 sp_kept_forgotten(const struct sp_kept *kept, const struct sp_counters *rows, __u32 nrows);

/* True when the view places the flow in the slot where it is kept. */
bool sp_kept_is_redundant(const struct sp_kept_flow *flow, const struct sp_view *view,
			  const struct sp_plan_slots *slots);

/*
 * A bit for each bucket that holds an entry which is not expired. A stale one, too: it says that the flow has no worker
 * to stay with, which holds only as long as no packet of the flow can pass it by.
 */
void sp_kept_mark(const struct sp_kept *kept, __u64 ret_bits[SP_BUCKETS / 64]);

/**
 * sp_kept_drop - forget the expired, and with tracking `transition` the redundant and the stale ones, in the table and
 *                in @kept
 * Only while nothing changes and no learn window is open: a packet that meets such an entry at the same time is then
 * placed by the current view, with and without it. What was forgotten is counted. Returns 0 or -errno (logged).
 */
int sp_kept_drop(const struct sp_pins *pins, enum sp_track track, const struct sp_view *view,
		 const struct sp_plan_slots *slots, struct sp_kept *kept);

/* Forgets all of them, in the table and in @kept. Only while the program is not attached. 0 or -errno (logged). */
int sp_kept_forget(const struct sp_pins *pins, struct sp_kept *kept);

#endif
