/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What happens next: the random choice of a step, and doing it. */
#ifndef STEADYPORT_STORM_STEPS_H
#define STEADYPORT_STORM_STEPS_H

#include "group.h"

enum storm_step {
	STORM_STEP_START, /* a worker */
	STORM_STEP_START_SOME,
	STORM_STEP_KILL, /* SIGKILL */
	STORM_STEP_KILL_SOME,
	STORM_STEP_LEAVE, /* SIGTERM */
	STORM_STEP_STALL, /* a worker stops to accept or to read, and is killed or goes on */
	STORM_STEP_ORDER, /* to steadyport */
	STORM_STEPS,
};

/* Draws a step; nothing is done yet. @r is the step's own, to be drawn from again when it is done. */
enum storm_step storm_step_draw(struct sp_random *r);

/* Does it; false if it makes no sense as things are. An order needs an operator that is not busy. */
bool storm_step_do(struct storm_group *g, enum storm_step step, struct sp_random *r);

#endif
