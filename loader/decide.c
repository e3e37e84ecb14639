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

struct sp_decision sp_decide_steps(const struct sp_state *state, __u64 now_ns, const struct sp_flow *kept,
				   __u64 hash, int excluded, struct sp_steps *ret)
{
	const struct sp_view *view = sp_state_current(state), *previous = sp_state_previous(state, now_ns);
	struct taker taker = { .state = state, .excluded = excluded };
	struct sp_steps steps = { .previous = -1, .current = choose_current(view, hash, &taker) };
	struct sp_decision decision = steps.current;
	int choice;

	steps.is_moving = sp_is_moving(view, hash);
	steps.asks_table = state->ctl.protocol == SP_UDP &&
			   (state->ctl.track == SP_TRACK_ALWAYS || steps.is_moving ||
			    (view->learn_until_ns && sp_choose_owner(view, hash, &taker, take) < 0));
	if (steps.asks_table && kept) {
		if (sp_flow_is_expired(kept, now_ns / SP_NS_PER_S, state->ctl.flow_idle_s))
			steps.entry = SP_ENTRY_EXPIRED;
		else
			steps.entry = is_orphan(&taker, kept) ? SP_ENTRY_ORPHAN : SP_ENTRY_IN_FORCE;
	}
	if (steps.entry == SP_ENTRY_IN_FORCE)
		decision = (struct sp_decision){ .slot = kept->slot, .reason = SP_REASON_KEPT };

	steps.asks_previous = steps.asks_table && previous &&
			      (steps.entry == SP_ENTRY_NONE || steps.entry == SP_ENTRY_EXPIRED);
	if (steps.asks_previous && previous->kind == SP_VIEW_KERNEL) {
		decision.follows_kernel = true;
	} else if (steps.asks_previous) {
		choice = sp_choose_usable(previous, hash, &taker, take);
		steps.previous = choice < 0 ? -1 : (int)SP_CHOICE_SLOT(choice);
		if (choice >= 0 && steps.previous != decision.slot)
			decision =
				(struct sp_decision){ .slot = steps.previous, .reason = SP_REASON_PREVIOUS };
	}
	*ret = steps;
	return decision;
}

struct sp_decision sp_decide(const struct sp_state *state, __u64 now_ns, const struct sp_flow *kept,
			     __u64 hash, int excluded)
{
	struct sp_steps steps;

	return sp_decide_steps(state, now_ns, kept, hash, excluded, &steps);
}
