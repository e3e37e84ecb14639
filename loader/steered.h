/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What every command that changes a steered group does: complete what was interrupted, reconcile, make room. */
#ifndef STEADYPORT_STEERED_H
#define STEADYPORT_STEERED_H

#include "pin.h"
#include "reconcile.h"

/**
 * sp_steered_reconcile - sp_reconcile() for a group that is steered already
 * @pins: those of another program afterwards where an interrupted upgrade was completed or counters became too few
 * The caller holds the lock. Returns what sp_reconcile() does; also an error of what was to be completed.
 */
int sp_steered_reconcile(const char *bpffs, struct sp_pins *pins, const struct sp_reconcile_options *options,
			 struct sp_reconcile_result *ret_result);

/* Tells of sockets that get no traffic, or take it from the group. */
void sp_steered_warn(const char *name, const struct sp_reconcile_result *result);

#endif
