/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Loading the steering program: options in, open program and maps out. */
#ifndef STEADYPORT_STEER_H
#define STEADYPORT_STEER_H

#include <steadyport/abi.h>
#include "pin.h"

/**
 * sp_steer_load - load program and maps for one group; nothing is pinned, enrolled or attached yet
 * @name:   its name
 * @ctl:    identity and options; abi, current and counter_slots are filled in
 * @nslots: slots the group is expected to need; sizes the counters
 * @nflows: room for kept flows (UDP; TCP groups get none)
 * The first view is an empty table: nothing usable, nothing moving.
 * Returns 0 or -errno (logged).
 */
int sp_steer_load(const char *name, const struct sp_ctl *ctl, __u32 nslots, __u32 nflows,
		  struct sp_pins *ret_pins);

/* Kernel id of a loaded program, or -errno. */
int sp_steer_program_id(const struct sp_pins *pins, __u32 *ret_id);

#endif
