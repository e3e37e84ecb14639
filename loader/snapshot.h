/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One steered group as its pins and the kernel show it now: what the reading commands answer from. */
#ifndef STEADYPORT_SNAPSHOT_H
#define STEADYPORT_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>
#include <steadyport/abi.h>
#include "endpoint.h"
#include "members.h"
#include "pin.h"
#include "render.h"
#include "state.h"

struct sp_snapshot {
	struct sp_pins pins;
	struct sp_state *state;
	const struct sp_groups *groups; /* of the caller; may be NULL */
	const struct sp_group *group; /* the kernel's group at this place; NULL: gone, or not looked for */
	__u32 program_id; /* of our program, attached or not */
	__u64 now_ns; /* CLOCK_MONOTONIC */
	__u64 wall_ns; /* CLOCK_REALTIME */
};

/* One that sp_snapshot_free() may be given. */
#define SP_SNAPSHOT_NONE             \
	{                            \
		.pins = SP_PINS_NONE \
	}

/**
 * sp_snapshot_take - read a steered group
 * @groups: a scan that outlives the snapshot; NULL: owners are those at enrolment
 * Returns 0; -ENOENT (logged) when NAME is not steered; other -errno (logged).
 */
int sp_snapshot_take(const char *bpffs, const char *name, const struct sp_groups *groups,
		     struct sp_snapshot *ret_snapshot);
void sp_snapshot_free(struct sp_snapshot *snapshot);
#define sp_autosnapshot __attribute__((cleanup(sp_snapshot_free)))

/* True when the members run our program. */
bool sp_snapshot_is_attached(const struct sp_snapshot *snapshot);
/* True when they run another one, classic BPF included. */
bool sp_snapshot_is_foreign(const struct sp_snapshot *snapshot);
/* True when the group there is another user's, and runs no program of ours. */
bool sp_snapshot_is_other_user(const struct sp_snapshot *snapshot);

/* Until the learn window closes; 0: it is closed. */
__u64 sp_snapshot_learn_remaining_ns(const struct sp_snapshot *snapshot);

/* Members the kernel has, less the parking socket; 0: the group is gone. */
__u32 sp_snapshot_size(const struct sp_snapshot *snapshot);

/* FREE; PARKED; DEAD if the sockarray holds no socket there; else LIVE, DRAINING or EJECTED. */
enum sp_slot_state sp_snapshot_slot_state(const struct sp_snapshot *snapshot, __u32 slot);
/* "free", "live", "draining", "ejected", "parked", "dead" */
const char *sp_snapshot_state_name(enum sp_slot_state state);
enum sp_colour sp_snapshot_state_colour(enum sp_slot_state state);
/* Slots in that state. */
__u32 sp_snapshot_count(const struct sp_snapshot *snapshot, enum sp_slot_state state);

/* The member that was enrolled in the slot, as the scan saw it; NULL: not seen. */
const struct sp_member *sp_snapshot_member(const struct sp_snapshot *snapshot, __u32 slot);
/*
 * Visible members of the group that no slot holds though it could: a connected one is not enrolled, and a parking
 * socket may be about to take another's place.
 */
__u32 sp_snapshot_count_unenrolled(const struct sp_snapshot *snapshot);

#define SP_OWNER_STRLEN 64

/* "h3d[4411]", "nginx[812] +4" when more processes hold it, "(h3d, 12 s)": dead that long. Returns buf. */
const char *sp_snapshot_owner(const struct sp_snapshot *snapshot, __u32 slot, char buf[SP_OWNER_STRLEN]);
/* The same for a member; "nobody visible" without owners. */
const char *sp_snapshot_member_owner(const struct sp_member *member, char buf[SP_OWNER_STRLEN]);

/* "udp:[::]:443" with separator ':', "udp [::]:443" with ' '. Returns buf. */
const char *sp_snapshot_endpoint(const struct sp_snapshot *snapshot, char separator,
				 char buf[SP_ENDPOINT_STRLEN]);

/* [{pid, comm, fd}]; NULL without memory. If a slot's member was not seen: who held it at enrolment, fd null. */
json_t *sp_snapshot_member_json(const struct sp_member *member);
json_t *sp_snapshot_json_owners(const struct sp_snapshot *snapshot, __u32 slot);

#endif
