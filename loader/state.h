/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A steered group's state as its pinned maps hold it: read in one go, and the only ways in which it is written. */
#ifndef STEADYPORT_STATE_H
#define STEADYPORT_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <steadyport/abi.h>
#include "endpoint.h"
#include "pin.h"

struct sp_state {
	struct sp_ctl ctl;
	struct sp_view *views; /* SP_VIEWS of them */
	struct sp_info *info; /* SP_SLOTS_MAX of them */
	__u64 *cookie; /* SP_SLOTS_MAX: the socket that the sockarray holds there; 0: empty, its member is closed */
};

/* The control element alone: where the group is, before anything is looked at. 0 or -errno (logged). */
int sp_state_read_ctl(const struct sp_pins *pins, struct sp_ctl *ret_ctl);

/* Returns 0 or -errno (logged). The sockarray is read last: a slot that died meanwhile is seen as dead. */
int sp_state_read(const struct sp_pins *pins, struct sp_state **ret_state);
void sp_state_free(struct sp_state **state);
#define sp_autostate __attribute__((cleanup(sp_state_free)))

/* The view in force. */
static inline const struct sp_view *sp_state_current(const struct sp_state *state)
{
	return &state->views[state->ctl.current];
}

/* Its predecessor while the learn window is open, else NULL. */
const struct sp_view *sp_state_previous(const struct sp_state *state, __u64 now_ns);

static inline bool sp_slot_is_live(const struct sp_state *state, __u32 slot)
{
	return state->cookie[slot] != 0;
}

/* The slot that holds the socket with this cookie, or -1. */
int sp_state_slot_of(const struct sp_state *state, __u64 cookie);

/* A daemon's parking socket is in its slot. */
static inline bool sp_state_parks(const struct sp_state *state)
{
	return state->info[SP_SLOT_PARK].state == SP_SLOT_PARKED && state->cookie[SP_SLOT_PARK] != 0;
}

/*
 * True for a parking socket: that in the slot, and while one is handed over, also the other, which is about to come
 * there or to go. No daemon need be there: the service manager keeps them.
 */
bool sp_state_is_parking(const struct sp_state *state, __u64 cookie);

/* The group's own address, for printing and matching. */
void sp_state_address(const struct sp_state *state, struct sp_address *ret_address);

/* Nanoseconds of CLOCK_MONOTONIC, which bpf_ktime_get_ns() shares; and of CLOCK_REALTIME. */
__u64 sp_now_ns(void);
__u64 sp_wall_ns(void);

/* Writers, each one map element. 0 or -errno (logged). */
int sp_state_write_view(const struct sp_pins *pins, __u32 index, const struct sp_view *view);
int sp_state_write_info(const struct sp_pins *pins, __u32 slot, const struct sp_info *info);

/*
 * Takes every socket out of the sockarray; a negative fd is ignored. Without this they are free for another array only
 * when the kernel frees this one, some grace periods after its last user: an attach until then finds them taken.
 */
void sp_state_empty_slots(int slots);

/*
 * One 32-bit store through the mapping of sp_ctl. Packets may still see the view before, so it must not be written, nor
 * a slot filled that it alone uses, until sp_kernel_wait_readers() has returned.
 */
int sp_state_publish(const struct sp_pins *pins, __u32 index);

/* sp_ctl, mapped: single fields are stored; an update of the element would rewrite all of it. It outlives the pins. */
int sp_state_map_ctl(const struct sp_pins *pins, struct sp_ctl **ret_ctl);
void sp_state_unmap_ctl(struct sp_ctl *ctl);

/* Another learn window and another end for kept flows, from now on. */
int sp_state_set_times(const struct sp_pins *pins, __u64 learn_ns, __u32 flow_idle_s);

/* Notes the time of the attach, and whose group it is. */
int sp_state_mark_attached(const struct sp_pins *pins, __u32 uid);

/* Each entry of the flow table. A callback that returns nonzero ends the walk with that value. */
int sp_state_each_flow(const struct sp_pins *pins,
		       int (*each)(void *ctx, __u64 hash, const struct sp_flow *flow), void *ctx);

/**
 * sp_state_counters - counters of all rows, summed over CPUs and over the programs since the attach
 * @ret_rows: calloc()ed, @ret_count elements: the slots' rows, then the group's
 */
int sp_state_counters(const struct sp_pins *pins, struct sp_counters **ret_rows, __u32 *ret_count);

/* Slots that have a row of their own in sp_counters; 0 (logged) when that cannot be told. */
__u32 sp_state_counter_slots(const struct sp_pins *pins);

/* sp_carried becomes all that the programs before this one have counted. They must have ended. May be repeated. */
int sp_state_carry_counters(const struct sp_pins *pins);

/* Adds what user space took out of the flow table to the slot's counters. */
int sp_state_count_forgotten(const struct sp_pins *pins, __u32 slot, __u64 settled, __u64 expired);

#endif
