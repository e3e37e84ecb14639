/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The way of one flow through a steered group: its four numbers, its hash, the slots that are asked, the one that
 * takes it, and the one that would if that one died. What `where` answers and `explain` draws.
 */
#ifndef STEADYPORT_TRAIL_H
#define STEADYPORT_TRAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>
#include "decide.h"
#include "snapshot.h"
#include "tuple.h"

#define SP_TRAIL_PROBES_MAX (SP_PROBES + 2) /* the probes, and two that only the scan finds */

struct sp_trail_probe {
	int slot;
	__u32 number; /* which probe of the current view names it first, from 1; 0: none does */
};

struct sp_trail {
	const char *command; /* that hints name */
	struct sp_tuple flow;
	bool is_dst_assumed;
	__u64 hash;
	bool is_known; /* the flow table has an entry */
	struct sp_flow entry;
	struct sp_decision now, next; /* next: if the slot of `now` died */
	struct sp_steps steps, next_steps; /* how it came to each */
	struct sp_trail_probe probes[SP_TRAIL_PROBES_MAX]; /* in the order in which they are asked */
	size_t nprobes;
};

/* "SRC:PORT [DST:PORT]", and nothing else is set but @command. Returns 0 or -EINVAL (logged). */
int sp_trail_parse(const char *command, const char *const *words, int nwords, struct sp_trail *ret);

/**
 * sp_trail_follow - where the flow goes now, by the group's own maps
 * @trail: parsed; a destination that was left out is filled in
 * Returns 0; -EINVAL (logged) for a flow that the group can never get, and for a hash that cannot be computed.
 */
int sp_trail_follow(const struct sp_snapshot *snapshot, struct sp_trail *trail);

/* "owner", "probe", "scan", "parked", "kept", "previous"; NULL when no slot takes the flow. */
const char *sp_trail_reason(const struct sp_decision *decision);

/* "dead", "parking", "live" or "not usable" in the current view. */
const char *sp_trail_slot_state(const struct sp_snapshot *snapshot, int slot);
/* "dead", "not usable", or the owner of a slot that could take the flow. Returns buf. */
const char *sp_trail_slot_label(const struct sp_snapshot *snapshot, int slot, char buf[SP_OWNER_STRLEN]);

/* {protocol, src, dst} */
json_t *sp_trail_json_flow(const struct sp_snapshot *snapshot, const struct sp_trail *trail);
/* The number, or null for none. */
json_t *sp_trail_json_slot(int slot);
/* The first owner of the slot: {pid, comm, fd}; {} when there is no slot. */
json_t *sp_trail_json_owner(const struct sp_snapshot *snapshot, int slot);
/* [{slot, state, probe}] */
json_t *sp_trail_json_probes(const struct sp_snapshot *snapshot, const struct sp_trail *trail);

#endif
