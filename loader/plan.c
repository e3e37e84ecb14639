// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Planning: quotas, the owner table that reaches them with the fewest moves, and which buckets may differ. */
#include <errno.h>
#include <string.h>
#include <steadyport/choose.h>
#include "plan.h"

/* Owner entries that name no slot are counted in a row of their own, behind the slots. */
#define ROW_NONE SP_SLOTS_MAX
#define ROWS (SP_SLOTS_MAX + 1)

/* Two different ones: the same permutation of both lists would undo itself. */
#define SEED_BUCKETS 1
#define SEED_RECEIVERS 2

static __u32 row_of(__u16 owner)
{
	return owner < SP_SLOTS_MAX ? owner : ROW_NONE;
}

static void count_owned(const __u16 owner[SP_BUCKETS], __u32 ret_owned[ROWS])
{
	memset(ret_owned, 0, ROWS * sizeof(*ret_owned));
	for (__u32 b = 0; b < SP_BUCKETS; b++)
		ret_owned[row_of(owner[b])]++;
}

static __u32 weight_of(const struct sp_plan_slot *slot)
{
	return slot->is_assigned ? slot->weight : 0;
}

static bool is_usable(const struct sp_plan_slot *slot)
{
	return slot->is_assigned && slot->is_live && !slot->is_draining && !slot->is_ejected;
}

static void occupy(struct sp_plan_slot *slot)
{
	if (!slot->is_assigned)
		slot->weight = SP_WEIGHT_DEFAULT;
	slot->is_assigned = true;
	slot->is_live = true;
	slot->is_draining = false;
	slot->is_ejected = false;
}

bool sp_plan_reassign(struct sp_plan_slots *slots, __u32 slot)
{
	if (!slots->slot[slot].is_assigned || slots->slot[slot].is_live)
		return false;
	occupy(&slots->slot[slot]);
	return true;
}

int sp_plan_assign(struct sp_plan_slots *slots, size_t count, __u32 *ret_slots)
{
	bool is_chosen[SP_SLOTS_MAX] = { false };
	size_t left = count, n = 0;

	/* A slot that holds a socket is not left, assigned or not: enrolling would throw that socket out. */
	for (int pass = 0; pass < 2; pass++) {
		const bool dead = pass == 0;

		for (__u32 s = 0; s < SP_SLOTS_MAX && left; s++) {
			if (slots->slot[s].is_live || slots->slot[s].is_assigned != dead)
				continue;
			is_chosen[s] = true;
			left--;
		}
	}
	if (left)
		return -ENOSPC;

	for (__u32 s = 0; s < SP_SLOTS_MAX; s++) {
		if (!is_chosen[s])
			continue;
		occupy(&slots->slot[s]);
		ret_slots[n++] = s;
	}
	return 0;
}

/*
 * The exact shares leave fewer units over than there are slots with a remainder, so each unit goes to another slot.
 * A unit costs a move where the slot owns no more than its floor, and none where it owns more: serving the latter
 * first is the minimum over all roundings. After that the largest remainder is the fairest.
 */
static void quotas_of(const struct sp_plan_slots *slots, const __u32 owned[ROWS],
		      __u32 ret_quota[SP_SLOTS_MAX])
{
	__u64 total = 0, remainder[SP_SLOTS_MAX];
	__u32 left = SP_BUCKETS;

	memset(ret_quota, 0, SP_SLOTS_MAX * sizeof(*ret_quota));
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++)
		total += weight_of(&slots->slot[s]);
	if (!total)
		return;

	for (__u32 s = 0; s < SP_SLOTS_MAX; s++) {
		__u64 share = (__u64)weight_of(&slots->slot[s]) * SP_BUCKETS;

		ret_quota[s] = share / total;
		remainder[s] = share % total;
		left -= ret_quota[s];
	}

	while (left) {
		__u32 best = SP_SLOTS_MAX;
		bool best_saves = false;

		for (__u32 s = 0; s < SP_SLOTS_MAX; s++) {
			bool saves = owned[s] > ret_quota[s];

			if (!remainder[s])
				continue;
			if (best < SP_SLOTS_MAX &&
			    (saves != best_saves ? best_saves : remainder[s] <= remainder[best]))
				continue;
			best = s;
			best_saves = saves;
		}
		ret_quota[best]++;
		remainder[best] = 0;
		left--;
	}
}

void sp_plan_quotas(const struct sp_plan_slots *slots, const __u16 owner[SP_BUCKETS],
		    __u32 ret_quota[SP_SLOTS_MAX])
{
	__u32 owned[ROWS];

	count_owned(owner, owned);
	quotas_of(slots, owned, ret_quota);
}

/* Fisher-Yates over splitmix64: the same permutation for the same seed and length, always. */
static void shuffle(__u64 seed, __u16 *list, __u32 length)
{
	__u64 state = seed;

	for (__u32 left = length; left > 1; left--) {
		__u64 z = state += 0x9e3779b97f4a7c15ULL;
		__u16 *other, last = list[left - 1];

		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
		z ^= z >> 31;
		other = &list[((z >> 32) * left) >> 32];
		list[left - 1] = *other;
		*other = last;
	}
}

/*
 * Buckets are given away in a pseudo-random order, and so is each to whom. The probes of a flow are an arithmetic
 * progression of buckets: owners in any regular pattern would resonate with it, and a dead slot's flows would pile
 * up on few of the survivors.
 */
__u32 sp_plan_owners(const struct sp_plan_slots *slots, __u16 owner[SP_BUCKETS])
{
	__u32 owned[ROWS], quota[SP_SLOTS_MAX], nreceivers = 0, moved = 0;
	__u16 order[SP_BUCKETS], receivers[SP_BUCKETS];

	count_owned(owner, owned);
	quotas_of(slots, owned, quota);
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++)
		for (__u32 i = owned[s]; i < quota[s]; i++)
			receivers[nreceivers++] = s;
	shuffle(SEED_RECEIVERS, receivers, nreceivers);
	for (__u32 b = 0; b < SP_BUCKETS; b++)
		order[b] = b;
	shuffle(SEED_BUCKETS, order, SP_BUCKETS);

	/* Without a weight anywhere nobody receives, and the old owners are as good as none. */
	for (__u32 i = 0; i < SP_BUCKETS && moved < nreceivers; i++) {
		__u16 b = order[i];
		__u32 giver = row_of(owner[b]);

		if (giver != ROW_NONE && owned[giver] <= quota[giver])
			continue;
		owned[giver]--;
		owner[b] = receivers[moved++];
	}
	return moved;
}

static void set_bit(__u64 *bits, __u32 i)
{
	bits[i / 64] |= 1ULL << (i % 64);
}

/* All of a TABLE view that follows from the slots alone. */
static void view_init(const struct sp_plan_slots *slots, struct sp_view *view)
{
	view->kind = SP_VIEW_TABLE;
	view->prev = SP_VIEW_NONE;
	view->learn_until_ns = 0;
	view->nslots = 0;
	view->serial = 0;
	memset(view->usable, 0, sizeof(view->usable));
	memset(view->moving, 0, sizeof(view->moving));
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++) {
		if (slots->slot[s].is_assigned)
			view->nslots = s + 1;
		if (is_usable(&slots->slot[s]))
			set_bit(view->usable, s);
	}
}

void sp_plan_first(const struct sp_plan_slots *slots, struct sp_view *ret_view)
{
	view_init(slots, ret_view);
	for (__u32 b = 0; b < SP_BUCKETS; b++)
		ret_view->owner[b] = SP_SLOT_NONE;
	sp_plan_owners(slots, ret_view->owner);
}

bool sp_plan_is_plain(const struct sp_view *view)
{
	if (view->kind != SP_VIEW_TABLE)
		return false;
	for (size_t i = 0; i < SP_BUCKETS / 64; i++)
		if (view->moving[i])
			return false;
	for (__u32 b = 0; b < SP_BUCKETS; b++)
		if (view->owner[b] < SP_SLOTS_MAX && !sp_is_usable(view, view->owner[b]))
			return false;
	return true;
}

/* Whether flows that a view sends to this slot may be taken to be there. */
static bool has_claim(const struct sp_plan_slot *slot)
{
	return slot->is_live && !slot->is_ejected;
}

bool sp_plan_effective(struct sp_view *view, const struct sp_plan_slots *slots)
{
	bool is_cleared = false;

	if (view->kind == SP_VIEW_KERNEL) {
		for (__u32 i = 0; i < view->nslots && i < SP_BUCKETS; i++) {
			__u16 owner = view->owner[i];

			if (owner == SP_SLOT_NONE || (owner < SP_SLOTS_MAX && has_claim(&slots->slot[owner])))
				continue;
			view->owner[i] = SP_SLOT_NONE;
			is_cleared = true;
		}
		return is_cleared;
	}

	for (__u32 s = 0; s < SP_SLOTS_MAX; s++) {
		if (has_claim(&slots->slot[s]) || !sp_bit(view->usable, s))
			continue;
		view->usable[s / 64] &= ~(1ULL << (s % 64));
		is_cleared = true;
	}
	return is_cleared;
}

bool sp_plan_is_ejecting(const struct sp_view *view, const struct sp_plan_slots *slots)
{
	if (view->kind == SP_VIEW_KERNEL) {
		for (__u32 i = 0; i < view->nslots && i < SP_BUCKETS; i++)
			if (view->owner[i] < SP_SLOTS_MAX && slots->slot[view->owner[i]].is_ejected)
				return true;
		return false;
	}
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++)
		if (slots->slot[s].is_ejected && sp_is_usable(view, s))
			return true;
	return false;
}

/* What choose() makes of a hash depends on nothing else in a view. */
static bool is_same_function(const struct sp_view *a, const struct sp_view *b)
{
	if (a->kind != b->kind || a->nslots != b->nslots)
		return false;
	if (a->kind == SP_VIEW_KERNEL)
		return !memcmp(a->owner, b->owner,
			       (a->nslots < SP_BUCKETS ? a->nslots : SP_BUCKETS) * sizeof(*a->owner));
	return !memcmp(a->usable, b->usable, sizeof(a->usable)) &&
	       !memcmp(a->owner, b->owner, sizeof(a->owner));
}

/*
 * Where both views name the same owner and it takes new flows in both, the first probe is the end of the way in
 * both: views are effective, so it is live. Anywhere else the rest of the probes decides, and these lead through
 * buckets that may have changed.
 */
static bool may_differ(const struct sp_view *a, const struct sp_view *b, __u32 bucket)
{
	__u16 owner = a->owner[bucket];

	return owner != b->owner[bucket] || !sp_is_usable(a, owner) || !sp_is_usable(b, owner);
}

static void set_moving(const struct sp_view *previous, struct sp_view *view)
{
	if (!previous)
		return;
	if (previous->kind == SP_VIEW_KERNEL) {
		memset(view->moving, 0xff, sizeof(view->moving));
		return;
	}
	/*
	 * The same function cannot choose differently, however far its probes go. Without this exception the buckets
	 * of a dead slot would move as long as it is dead, and an idle group with a dead slot never come to rest.
	 */
	if (is_same_function(previous, view))
		return;
	for (__u32 b = 0; b < SP_BUCKETS; b++)
		if (may_differ(previous, view, b))
			set_bit(view->moving, b);
}

__u32 sp_plan_next(const struct sp_view *current, const struct sp_view *previous, bool is_open,
		   const __u64 *kept, const struct sp_plan_slots *slots, struct sp_view *ret_view)
{
	__u32 moved;

	view_init(slots, ret_view);
	memcpy(ret_view->owner, current->owner, sizeof(ret_view->owner));
	moved = sp_plan_owners(slots, ret_view->owner);

	set_moving(previous, ret_view);
	for (__u32 i = 0; i < SP_BUCKETS / 64; i++) {
		if (kept)
			ret_view->moving[i] |= kept[i];
		/* Flows may be kept there after @kept was read. */
		if (is_open)
			ret_view->moving[i] |= current->moving[i];
	}
	return moved;
}

bool sp_plan_is_same(const struct sp_view *a, const struct sp_view *b)
{
	return is_same_function(a, b) && !memcmp(a->moving, b->moving, sizeof(a->moving));
}

double sp_plan_share(const struct sp_view *view, const struct sp_plan_slots *slots, __u32 slot)
{
	__u32 owned[ROWS], reached = 0, nusable = 0, nlive = 0;
	bool takes[SP_SLOTS_MAX];

	if (slot >= SP_SLOTS_MAX)
		return 0;
	count_owned(view->owner, owned);
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++) {
		takes[s] = sp_is_usable(view, s) && slots->slot[s].is_live;
		nlive += slots->slot[s].is_live && slots->slot[s].is_assigned;
		nusable += takes[s];
		reached += takes[s] ? owned[s] : 0;
	}

	/*
	 * The buckets of the others are spread in proportion to what the reached ones own, so the share of the whole
	 * is the share among these. The few flows that no probe brings to an owner are not told apart.
	 */
	if (reached)
		return takes[slot] ? (double)owned[slot] / reached : 0;
	/* The scan asks the usable slots first, then any. */
	if (nusable)
		return takes[slot] ? 1.0 / nusable : 0;
	return slots->slot[slot].is_live && slots->slot[slot].is_assigned ? 1.0 / nlive : 0;
}
