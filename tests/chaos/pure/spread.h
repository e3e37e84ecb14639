/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* I2 by statistics: where the flows of dead slots go, over a whole history. */
#ifndef STEADYPORT_TESTS_PURE_SPREAD_H
#define STEADYPORT_TESTS_PURE_SPREAD_H

#include "kernel.h"
#include "seed.h"

void sp_spread_begin(void);
/* Up to so many flows that nobody has seen, all of this slot: taken before its worker dies. At most 4096. */
void sp_spread_take(struct sp_random *random, __u32 slot, __u32 nflows);
/* They send, now that it is dead. Returns their number. */
__u32 sp_spread_send(void);
void sp_spread_check(void);

#endif
