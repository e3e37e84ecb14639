/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The tour: from "who may listen where" to what steadyport changes, each line the outcome of system calls
 * made now.
 */
#ifndef STEADYPORT_TOUR_H
#define STEADYPORT_TOUR_H

#include <stdbool.h>
#include <stdio.h>
#include "demo.h"

/* In the laboratory that was entered before; adds 192.0.2.10 to it. 0 or -errno (logged). */
int sp_tour_run(FILE *out, const struct sp_demo_setup *setup, bool has_colour);

#endif
