/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What an owner table owes, computed by counting and not as plan.c does it. */
#ifndef STEADYPORT_TESTS_BALANCE_H
#define STEADYPORT_TESTS_BALANCE_H

#include <steadyport/abi.h>

/* The fewest buckets that have to change owner so that every slot owns its share, rounded down or up. */
__u32 sp_balance_least_moves(const __u32 weight[SP_SLOTS_MAX], const __u32 owned[SP_SLOTS_MAX]);

/**
 * sp_balance_fault - whether a table that followed another is balanced, and moved no bucket in vain
 * @weight: per slot, 0: it has no share
 * @moved:  the number of buckets that changed owner, as its maker says
 * Returns NULL, or a sentence that is valid until the next call.
 */
const char *sp_balance_fault(const __u32 weight[SP_SLOTS_MAX], const __u16 before[SP_BUCKETS],
			     const __u16 after[SP_BUCKETS], __u32 moved);

#endif
