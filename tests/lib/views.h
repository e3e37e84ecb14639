/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Slots and views for the cases that plan, and what is counted in them. */
#ifndef STEADYPORT_TESTS_VIEWS_H
#define STEADYPORT_TESTS_VIEWS_H

#include <string.h>
#include "plan.h"

/* Slots 0..n-1 are live, with the default weight. */
static inline struct sp_plan_slots slots_of(__u32 n)
{
	struct sp_plan_slots slots = { 0 };

	for (__u32 s = 0; s < n; s++)
		slots.slot[s] = (struct sp_plan_slot){ .is_assigned = true,
						       .is_live = true,
						       .weight = SP_WEIGHT_DEFAULT };
	return slots;
}

static inline __u32 owned_by(const __u16 owner[SP_BUCKETS], __u32 slot)
{
	__u32 n = 0;

	for (__u32 b = 0; b < SP_BUCKETS; b++)
		n += owner[b] == slot;
	return n;
}

static inline __u32 count_moving(const struct sp_view *view)
{
	__u32 n = 0;

	for (__u32 i = 0; i < SP_BUCKETS / 64; i++)
		n += __builtin_popcountll(view->moving[i]);
	return n;
}

static inline __u32 count_differing(const struct sp_view *a, const struct sp_view *b)
{
	__u32 n = 0;

	for (__u32 i = 0; i < SP_BUCKETS; i++)
		n += a->owner[i] != b->owner[i];
	return n;
}

static inline void kernel_view(struct sp_view *view, __u32 nslots)
{
	memset(view, 0, sizeof(*view));
	view->kind = SP_VIEW_KERNEL;
	view->nslots = nslots;
	view->prev = SP_VIEW_NONE;
	for (__u32 i = 0; i < nslots; i++)
		view->owner[i] = i;
}

#endif
