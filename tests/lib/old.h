/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Pins as an older steadyport has left them. */
#ifndef STEADYPORT_TESTS_OLD_H
#define STEADYPORT_TESTS_OLD_H

/*
 * Turns the pins of a group that has just been attached into those of ABI version 1: without sp_carried, and with
 * other fields where those of today are. The program reads none of what differs but the idle time, which is "never".
 */
void sp_old_make(const char *name);

#endif
