/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Loading the steering program: options in, open program and maps out. */
#ifndef STEADYPORT_STEER_H
#define STEADYPORT_STEER_H

#include <steadyport/abi.h>
#include "pin.h"

/**
 * sp_steer_load - load program and maps for one group; nothing is pinned, enrolled or attached yet
 * @name:   its name
 * @ctl:    identity and options; abi and current are filled in
 * @nslots: slots that shall have counters of their own, rounded up to a power of two; those beyond are counted in
 *          the group's row
 * @nflows: room for kept flows (UDP; TCP groups get none)
 * The first view is an empty table: nothing usable, nothing moving.
 * A balance that cannot be loaded here is told, and SP_BALANCE_HASH is what the group gets.
 * Returns 0 or -errno (logged).
 */
int sp_steer_load(const char *name, const struct sp_ctl *ctl, __u32 nslots, __u32 nflows,
		  struct sp_pins *ret_pins);

/**
 * sp_steer_reload - load this binary's program over the maps of a group that is steered already
 * @old:    of any ABI version since SP_ABI_OLDEST; its counters stay its own, the new ones start at 0
 * Returns 0 or -errno (logged).
 */
int sp_steer_reload(const struct sp_pins *old, const struct sp_ctl *ctl, __u32 nslots,
		    struct sp_pins *ret_pins);

/* Kernel id of a loaded program, or -errno. */
int sp_steer_program_id(const struct sp_pins *pins, __u32 *ret_id);

#endif
