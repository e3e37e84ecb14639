/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where in kernel memory the members of a TCP group are: the steering program reads there how long their queues are.
 * Written for every group, also one that is steered by the hash, so that its balance can change at any time.
 */
#ifndef STEADYPORT_SOCKS_H
#define STEADYPORT_SOCKS_H

#include <steadyport/abi.h>
#include "members.h"
#include "pin.h"
#include "state.h"

/* One slot, whose record is @info. Returns 0 or -errno (logged). */
int sp_socks_write(const struct sp_pins *pins, __u32 slot, const struct sp_info *info,
		   const struct sp_member *member);

/*
 * Every slot that holds a visible member. Level-triggered: only what is not as it should be is written.
 * @group: NULL: there is nothing to know. Returns 0 or -errno (logged).
 */
int sp_socks_refresh(const struct sp_pins *pins, const struct sp_state *state, const struct sp_group *group);

#endif
