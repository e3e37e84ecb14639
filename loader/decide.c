// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Where the program puts a flow. */
#include "decide.h"

#include <errno.h>
#include "value.h"

struct taker {
	const struct sp_state *state;
	int excluded; /* a slot to be taken for dead; -1: none */
};

/* As the kernel does: what lies outside the sockarray is empty, also when a view says it has more slots than that. */
static int take(void *ctx, __u32 slot)
{
	const struct taker *taker = ctx;

	return slot < SP_SLOTS_MAX && (int)slot != taker->excluded && sp_slot_is_live(taker->state, slot) ?
		       0 :
		       -ENOENT;
}

/* Its worker is gone, or is to go: it is placed as new flows are. */
static bool is_orphan(struct taker *taker, const struct sp_flow *kept)
{
	const struct sp_info *info;

	if (kept->slot >= SP_SLOTS_MAX)
		return true;
	info = &taker->state->info[kept->slot];
	return info->incarnation != kept->incarnation || info->state == SP_SLOT_EJECTED ||
	       take(taker, kept->slot);
}

static struct sp_decision choose_current(const struct sp_view *view, __u64 hash, struct taker *taker)
{
	int choice = taker->state->ctl.protocol == SP_TCP ? sp_choose_tcp(view, hash, taker, take) :
							    sp_choose(view, hash, taker, take);

	if (choice < 0)
		return (struct sp_decision){ .slot = -1 };
	return (struct sp_decision){ .slot = SP_CHOICE_SLOT(choice),
				     .reason = (enum sp_reason)SP_CHOICE_HOW(choice) };
}

struct sp_decision sp_decide(const struct sp_state *state, __u64 now_ns, const struct sp_flow *kept,
			     __u64 hash, int excluded)
{
	const struct sp_view *view = sp_state_current(state), *previous = sp_state_previous(state, now_ns);
	struct taker taker = { .state = state, .excluded = excluded };
	struct sp_decision current = choose_current(view, hash, &taker);
	bool is_unsettled;
	int choice;

	is_unsettled = state->ctl.track == SP_TRACK_ALWAYS || sp_is_moving(view, hash) ||
		       (view->learn_until_ns && sp_choose_owner(view, hash, &taker, take) < 0);
	if (state->ctl.protocol != SP_UDP || !is_unsettled)
		return current;

	if (kept && !sp_flow_is_expired(kept, now_ns / SP_NS_PER_S, state->ctl.flow_idle_s)) {
		if (is_orphan(&taker, kept))
			return current;
		return (struct sp_decision){ .slot = kept->slot, .reason = SP_REASON_KEPT };
	}
	if (!previous)
		return current;
	if (previous->kind == SP_VIEW_KERNEL) {
		current.follows_kernel = true;
		return current;
	}
	choice = sp_choose_usable(previous, hash, &taker, take);
	if (choice >= 0 && (int)SP_CHOICE_SLOT(choice) != current.slot)
		return (struct sp_decision){ .slot = SP_CHOICE_SLOT(choice), .reason = SP_REASON_PREVIOUS };
	return current;
}
