/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections of each worker, counted by a program of its own (count.bpf.c) for as long as a group's balance needs it.
 * Its link is pinned beside the group's maps: it counts whether anybody of ours runs or not, and ends with the pins.
 */
#ifndef STEADYPORT_TAGS_H
#define STEADYPORT_TAGS_H

#include <steadyport/abi.h>
#include "members.h"
#include "pin.h"
#include "state.h"

/*
 * Loads the programs over the group's maps and starts to count: pins->count and pins->recount are their links. Returns 0
 * or -errno (logged).
 */
int sp_tags_start(struct sp_pins *pins);

/*
 * A worker that is about to be in the slot: its connections count from 0 on. @socket: its listener, for the moment.
 * Returns 0 or -errno (logged).
 */
int sp_tags_put(const struct sp_pins *pins, __u32 slot, __u64 cookie, int socket);

/* All workers that are in slots, before the program is started, and after it has ended. Who is gone is no error. */
int sp_tags_put_all(const struct sp_pins *pins, const struct sp_state *state, const struct sp_group *group);
void sp_tags_take_all(const struct sp_pins *pins, const struct sp_state *state, const struct sp_group *group);

/* Connections that the worker in the slot has, as counted; 0 where nobody counts. */
__u32 sp_tags_active(const struct sp_pins *pins, __u32 slot);

/* Those of all slots into @active, SP_SLOTS_MAX of them. Returns it, or NULL where nobody counts. */
const __u32 *sp_tags_active_all(const struct sp_pins *pins, const struct sp_state *state, __u32 *active);

#endif
