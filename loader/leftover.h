/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is left on a drained slot, and waiting until nothing is. */
#ifndef STEADYPORT_LEFTOVER_H
#define STEADYPORT_LEFTOVER_H

#include <stdbool.h>
#include <steadyport/abi.h>
#include "members.h"
#include "pin.h"
#include "state.h"

struct sp_leftover {
	bool is_learning; /* UDP: flows that will be kept may not all be known yet */
	__u64 kept; /* UDP: flows */
	__u32 waiting; /* TCP: connections to be accepted; UDP: bytes in the receive queue */
	__u64 connections; /* TCP: of the slot's owners on that port */
};

bool sp_leftover_is_none(const struct sp_leftover *left);

#define SP_LEFTOVER_STRLEN 128
/* "41 kept flows and 2 KiB in the receive queue". Returns buf. */
const char *sp_leftover_text(const struct sp_leftover *left, enum sp_protocol protocol,
			     char buf[SP_LEFTOVER_STRLEN]);

/**
 * sp_leftover_look - what is left on a slot now
 * A slot whose socket is closed has nothing left. Returns 0 or -errno (logged).
 */
int sp_leftover_look(const struct sp_pins *pins, __u32 slot, struct sp_leftover *ret);

/**
 * sp_leftover_wait - wait until nothing is left on the slots
 * @is_asked: SP_SLOTS_MAX
 * @deadline_ns: CLOCK_MONOTONIC
 * @ret_slot, @ret_left: with -ETIMEDOUT the lowest slot that has something left
 * Nothing is locked and nothing changed. Returns 0, -ETIMEDOUT (not logged), or -errno (logged).
 */
int sp_leftover_wait(const struct sp_pins *pins, const bool *is_asked, __u64 deadline_ns, __u32 *ret_slot,
		     struct sp_leftover *ret_left);

#endif
