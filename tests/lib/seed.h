/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Random tests that can be repeated: numbers from a seed, the same on every machine, and the settings of a run
 * from its environment.
 */
#ifndef STEADYPORT_TESTS_SEED_H
#define STEADYPORT_TESTS_SEED_H

#include <linux/types.h>
#include <stdbool.h>

/* A stream of numbers. Whoever needs numbers that do not depend on others' draws starts one of its own. */
struct sp_random {
	__u64 state;
};

/* $CHAOS_SEED, else a random one; printed when first asked for, so that a run that hangs can be repeated, too. */
__u64 sp_seed(void);

/* A number from the environment: CHAOS_STEPS, CHAOS_SECONDS. What is no number ends the program. */
__u64 sp_seed_setting(const char *name, __u64 otherwise);

/* splitmix64 */
static inline __u64 sp_random_next(struct sp_random *r)
{
	__u64 z = r->state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* 0..limit-1; limit is not 0 */
static inline __u32 sp_random_below(struct sp_random *r, __u32 limit)
{
	return (sp_random_next(r) >> 32) * limit >> 32;
}

static inline bool sp_random_one_in(struct sp_random *r, __u32 n)
{
	return sp_random_below(r, n) == 0;
}

#endif
