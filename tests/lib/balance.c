// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What an owner table owes. */
#include <stdio.h>
#include <string.h>
#include "balance.h"

static __u32 positive(__s64 n)
{
	return n > 0 ? n : 0;
}

static __u64 total_of(const __u32 weight[SP_SLOTS_MAX])
{
	__u64 total = 0;

	for (__u32 s = 0; s < SP_SLOTS_MAX; s++)
		total += weight[s];
	return total;
}

/*
 * Every slot below its floor must receive up to it, and a unit that is left over costs nothing only in a slot that
 * has more than its floor and a claim to a unit.
 */
__u32 sp_balance_least_moves(const __u32 weight[SP_SLOTS_MAX], const __u32 owned[SP_SLOTS_MAX])
{
	__s64 left = SP_BUCKETS, moves = 0, free_units = 0;
	__u64 total = total_of(weight);

	if (!total)
		return 0;
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++) {
		__u64 share = (__u64)weight[s] * SP_BUCKETS;
		__u32 floor = share / total;

		left -= floor;
		moves += positive((__s64)floor - owned[s]);
		free_units += share % total && owned[s] > floor;
	}
	return moves + positive(left - free_units);
}

const char *sp_balance_fault(const __u32 weight[SP_SLOTS_MAX], const __u16 before[SP_BUCKETS],
			     const __u16 after[SP_BUCKETS], __u32 moved)
{
	__u32 was[SP_SLOTS_MAX] = { 0 }, is[SP_SLOTS_MAX] = { 0 }, differing = 0, least;
	__u64 total = total_of(weight);
	static char text[120];

	for (__u32 b = 0; b < SP_BUCKETS; b++) {
		if (before[b] < SP_SLOTS_MAX)
			was[before[b]]++;
		if (after[b] < SP_SLOTS_MAX)
			is[after[b]]++;
		differing += before[b] != after[b];
	}
	least = sp_balance_least_moves(weight, was);
	if (moved != differing) {
		snprintf(text, sizeof(text), "%u buckets are said to have moved, %u did", moved, differing);
		return text;
	}
	if (moved != least) {
		snprintf(text, sizeof(text), "%u buckets moved, %u were enough", moved, least);
		return text;
	}
	for (__u32 s = 0; total && s < SP_SLOTS_MAX; s++) {
		__u64 share = (__u64)weight[s] * SP_BUCKETS;

		if (is[s] * total < share + total && share < is[s] * total + total)
			continue;
		snprintf(text, sizeof(text), "slot %u owns %u buckets, its share is %llu / %llu", s, is[s],
			 share, total);
		return text;
	}
	return NULL;
}
