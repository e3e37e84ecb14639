/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the steering program of one group tells user space, from its ring buffer. A ring buffer has one reader: only
 * the daemon listens, commands do not.
 */
#ifndef STEADYPORT_EVENTS_H
#define STEADYPORT_EVENTS_H

#include <stdbool.h>
#include <steadyport/abi.h>
#include "pin.h"

struct sp_events;

/**
 * sp_events_open - listen to a group
 * @pins: may be closed afterwards
 * What was told before and nobody has read is handed over first, however old it is.
 * Returns 0 or -errno (logged).
 */
int sp_events_open(const struct sp_pins *pins, struct sp_events **ret_events);

/* Readable when there are events. */
int sp_events_fd(const struct sp_events *events);

/**
 * sp_events_read - hand over all events that there are, the oldest first
 * Returns 0; -EOVERFLOW (not logged): all were handed over, and the ring was so full that others may have been lost.
 */
int sp_events_read(struct sp_events *events, void (*each)(void *ctx, const struct sp_event *event),
		   void *ctx);

void sp_events_free(struct sp_events **events);
#define sp_autoevents __attribute__((cleanup(sp_events_free)))

#endif
