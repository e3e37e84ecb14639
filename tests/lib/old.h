/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Pins as an older steadyport has left them. */
#ifndef STEADYPORT_TESTS_OLD_H
#define STEADYPORT_TESTS_OLD_H

#include <steadyport/abi.h>

/*
 * Turns the pins of a group that has just been attached into those of an older ABI version: without the maps that came
 * later, and with other fields where those of today are. The program reads none of what differs but the idle time, which
 * was "never" in version 1.
 */
void sp_old_make(const char *name, __u32 abi);

#endif
