/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where the program puts a flow, computed from a copy of its maps. Pure. */
#ifndef STEADYPORT_DECIDE_H
#define STEADYPORT_DECIDE_H

#include <stdbool.h>
#include <steadyport/choose.h>
#include "state.h"

enum sp_reason {
	SP_REASON_OWNER = SP_HOW_OWNER,
	SP_REASON_PROBE = SP_HOW_PROBE,
	SP_REASON_SCAN = SP_HOW_SCAN,
	SP_REASON_PARK = SP_HOW_PARK, /* no worker is live: it waits in the parking socket */
	SP_REASON_KEPT, /* the flow table names the slot */
	SP_REASON_PREVIOUS, /* the view before the change does, and its learn window is open */
};

struct sp_decision {
	int slot; /* -1: none, the kernel's own hash decides */
	enum sp_reason reason;
	/* Unknown, in the learn window of the attach: it stays where the kernel's hash has it, whatever `slot` says. */
	bool follows_kernel;
};

/**
 * sp_decide - what sp_steer() in bpf/steer.bpf.c decides, with the same choose.h, for a packet that arrives now
 * @kept:     what the flow table holds for the hash, NULL: nothing
 * @excluded: a slot to be taken for dead; -1: none
 */
struct sp_decision sp_decide(const struct sp_state *state, __u64 now_ns, const struct sp_flow *kept,
			     __u64 hash, int excluded);

/* What the flow table says of a flow. */
enum sp_entry {
	SP_ENTRY_NONE, /* nothing, or it is not asked */
	SP_ENTRY_IN_FORCE,
	SP_ENTRY_ORPHAN, /* its worker is gone or ejected: placed by the current view */
	SP_ENTRY_EXPIRED, /* silent for too long: as unknown as one without an entry */
};

/* The steps that led there. */
struct sp_steps {
	bool is_moving; /* its bucket is, in the current view */
	bool asks_table;
	enum sp_entry entry;
	bool asks_previous;
	int previous; /* the slot of a TABLE view before; -1: it names none, or is not asked */
	struct sp_decision current; /* what the current view alone says */
};

/* sp_decide(), and how it came to that. */
struct sp_decision sp_decide_steps(const struct sp_state *state, __u64 now_ns, const struct sp_flow *kept,
				   __u64 hash, int excluded, struct sp_steps *ret);

#endif
