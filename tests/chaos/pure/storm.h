/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Random histories of one steered group, with all that may happen to it, in any order and in the middle of the
 * loader's work.
 */
#ifndef STEADYPORT_TESTS_PURE_STORM_H
#define STEADYPORT_TESTS_PURE_STORM_H

#include <linux/types.h>

/* One history: as long as it likes to be, or @steps_max events. Returns the number of its events. */
__u64 sp_storm_history(__u64 seed, __u64 steps_max);

#endif
