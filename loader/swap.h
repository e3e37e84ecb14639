/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Replacing the program of a steered group by this binary's own, under traffic: for upgrades, for another balance, and
 * for counters that have become too few. Slots, views, flows and all else stay the same maps; only the counters are new.
 *
 * The steps: load over the old maps; let the new set of pins and the old one change places; attach; wait until no
 * packet is in the old program; carry its counts over; remove it. Killed anywhere the group is steered by one program
 * or the other, both look at the same views, and the next changing command completes what is left.
 */
#ifndef STEADYPORT_SWAP_H
#define STEADYPORT_SWAP_H

#include <stdbool.h>
#include <steadyport/abi.h>
#include "pin.h"

/**
 * sp_swap - replace the program
 * @pins:   of any ABI version since SP_ABI_OLDEST; become those of the new program
 * @nslots: slots that shall have counters of their own; 0: as many as now
 * @ret_was_attached: the old program steered the group, and the new one does now
 * The caller holds the lock. Returns 0 or -errno (logged); also after an error the group is steered as it was.
 */
int sp_swap(const char *bpffs, struct sp_pins *pins, __u32 nslots, bool *ret_was_attached);

/* The same by one of another balance. @pins: of this ABI version */
int sp_swap_balance(const char *bpffs, struct sp_pins *pins, enum sp_balance balance, bool *ret_was_attached);

/* Completes what a killed sp_swap() has left, if anything. The caller holds the lock. */
int sp_swap_complete(const char *bpffs, struct sp_pins *pins);

#endif
