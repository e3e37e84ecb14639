// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Reconciliation: what is in force, what comes next, and its publication. */
#include <errno.h>
#include <string.h>
#include <time.h>
#include "cleanup.h"
#include "kernel.h"
#include "log.h"
#include "reconcile_steps.h"

#define WINDOW_MARGIN_NS 30000000ULL /* a window that ends sooner is waited for rather than merged with */

/* What the kernel did with a flow until now: owner[i] is the slot of the i-th member in the kernel's order. */
static void view_of_kernel(const struct reconcile *r, struct sp_view *ret_view)
{
	const struct sp_group *g = r->group;
	__u32 size = g->size < SP_SLOTS_MAX ? g->size : SP_SLOTS_MAX;

	memset(ret_view, 0, sizeof(*ret_view));
	ret_view->kind = SP_VIEW_KERNEL;
	ret_view->prev = SP_VIEW_NONE;
	ret_view->nslots = g->size;
	for (__u32 b = 0; b < SP_BUCKETS; b++)
		ret_view->owner[b] = SP_SLOT_NONE;
	for (size_t i = 0; i < g->nmembers; i++) {
		const struct sp_member *m = &g->members[i];
		int slot = sp_state_slot_of(r->state, m->cookie);

		if (m->position >= 0 && (__u32)m->position < size && slot >= 0)
			ret_view->owner[m->position] = slot;
	}
	/* reuseport_select_sock_by_hash() goes on from a connected UDP socket to the next that is not. */
	for (size_t i = 0; i < g->nmembers; i++) {
		const struct sp_member *m = &g->members[i];

		if (!m->is_connected || m->position < 0 || (__u32)m->position >= size)
			continue;
		for (__u32 step = 1; step < size; step++) {
			__u16 slot = ret_view->owner[(m->position + step) % size];

			if (slot != SP_SLOT_NONE) {
				ret_view->owner[m->position] = slot;
				break;
			}
		}
	}
}

static bool is_same_function(const struct sp_view *a, const struct sp_view *b)
{
	return a->kind == b->kind && a->nslots == b->nslots &&
	       !memcmp(a->usable, b->usable, sizeof(a->usable)) &&
	       !memcmp(a->owner, b->owner, sizeof(a->owner));
}

static __u32 free_view(const struct sp_state *state, __u32 not_this)
{
	__u32 i = 0;

	/* At most three are taken, and SP_VIEWS is four. */
	while (i == state->ctl.current || i == sp_state_current(state)->prev || i == not_this)
		i++;
	return i;
}

/* Writes the views to free places and puts the first in force. previous may be NULL: nothing to learn. */
static int publish(struct reconcile *r, struct sp_view *view, const struct sp_view *previous)
{
	__u32 index, prev = SP_VIEW_NONE;
	int err;

	if (previous) {
		prev = free_view(r->state, SP_VIEW_NONE);
		err = sp_state_write_view(r->pins, prev, previous);
		if (err)
			return err;
		r->state->views[prev] = *previous;
	}
	index = free_view(r->state, prev);
	view->prev = prev;
	view->serial = sp_state_current(r->state)->serial + 1;
	err = sp_state_write_view(r->pins, index, view);
	if (!err)
		err = sp_state_publish(r->pins, index);
	if (err)
		return err;
	r->state->views[index] = *view;
	r->state->ctl.current = index;
	r->result->did_publish = true;
	r->result->in_force_ns = sp_now_ns();
	r->is_seen = true;
	return 0;
}

static void wait_until(__u64 ns)
{
	const struct timespec t = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

/*
 * A change during a window is merged with it: unknown flows still follow the oldest view. That is only right if the
 * window is still open when the new view is in force; one that is about to end is waited for.
 */
int sp_reconcile_settle_window(struct reconcile *r)
{
	const struct sp_view *current = sp_state_current(r->state);
	const struct sp_view *previous = sp_state_previous(r->state, sp_now_ns());
	int err = 0;

	if (previous && sp_now_ns() + WINDOW_MARGIN_NS > current->learn_until_ns) {
		if (r->options->may_not_wait) {
			err = -EAGAIN;
		} else {
			wait_until(current->learn_until_ns);
			previous = NULL;
		}
	}
	r->is_open = previous && r->is_attached;
	if (previous)
		r->previous = *previous;
	r->current = *current;
	return err;
}

/*
 * Before a newcomer is put into a dead worker's slot, the slot must be unusable in every view in force: it would
 * pull back flows that went on to others. A TCP connection is asked about once, so there is nothing to pull back.
 */
int sp_reconcile_clear_dead(struct reconcile *r)
{
	sp_autofree struct sp_plan_slots *without_newcomers = calloc(1, sizeof(*without_newcomers));
	bool is_changed;

	if (!without_newcomers)
		return sp_fail(-ENOMEM, "cannot plan for %s", r->pins->name);
	sp_reconcile_slots(r->state, without_newcomers);
	is_changed = sp_plan_effective(&r->current, without_newcomers);
	if (r->is_open)
		is_changed |= sp_plan_effective(&r->previous, without_newcomers);
	if (!is_changed || !r->is_attached || !r->nnewcomers || r->is_enrolled ||
	    r->state->ctl.protocol == SP_TCP)
		return 0;
	return publish(r, &r->current, r->is_open ? &r->previous : NULL);
}

/* Until another view is published, flows go on to a slot that is ejected. */
static bool is_ejecting(const struct reconcile *r)
{
	const struct sp_view *in_force = sp_state_current(r->state);

	return sp_plan_is_ejecting(in_force, &r->slots) ||
	       (r->is_open && sp_plan_is_ejecting(&r->state->views[in_force->prev], &r->slots));
}

/* With `always` the table is asked anyway: marks would only make each pass publish another view. */
static void mark_kept(const struct reconcile *r, __u64 ret_bits[SP_BUCKETS / 64])
{
	if (r->state->ctl.track == SP_TRACK_ALWAYS)
		memset(ret_bits, 0, SP_BUCKETS / 8);
	else
		sp_kept_mark(&r->kept, ret_bits);
}

/* The next view and the window it opens; -EAGAIN when the open window ended while we planned. */
int sp_reconcile_advance(struct reconcile *r)
{
	const struct sp_view *in_force = sp_state_current(r->state);
	bool has_flows = r->state->ctl.protocol == SP_UDP && r->state->ctl.track != SP_TRACK_OFF;
	sp_autofree struct sp_view *kernel = NULL;
	const struct sp_view *previous = NULL;
	__u64 kept[SP_BUCKETS / 64], now;
	bool is_changed;
	__u32 moved;
	int err;

	if (has_flows && r->is_attached) {
		previous = r->is_open ? &r->previous : &r->current;
	} else if (has_flows && r->group && !r->result->did_replace) {
		kernel = calloc(1, sizeof(*kernel));
		if (!kernel)
			return sp_fail(-ENOMEM, "cannot plan for %s", r->pins->name);
		view_of_kernel(r, kernel);
		sp_plan_effective(kernel, &r->slots);
		previous = kernel;
		/* Flows are where the kernel has them: what was kept before would take them away from there. */
		err = sp_kept_forget(r->pins, &r->kept);
		if (err)
			return err;
	}

	mark_kept(r, kept);
	moved = sp_plan_next(&r->current, previous, r->is_open, kept, &r->slots, &r->next);
	is_changed = previous && (kernel || !is_same_function(&r->current, &r->next));
	if (!is_changed && !r->is_open && !is_ejecting(r) && r->kept.count) {
		err = sp_kept_drop(r->pins, r->state->ctl.track, &r->next, &r->slots, &r->kept);
		if (err)
			return err;
		mark_kept(r, kept);
		sp_plan_next(&r->current, previous, r->is_open, kept, &r->slots, &r->next);
	}

	now = sp_now_ns();
	if (is_changed)
		r->next.learn_until_ns = now + r->state->ctl.learn_ns;
	else
		r->next.learn_until_ns = r->is_open ? r->current.learn_until_ns : 0;
	if (!r->next.learn_until_ns)
		previous = NULL;

	if (!kernel && !is_ejecting(r) && sp_plan_is_same(in_force, &r->next) &&
	    in_force->learn_until_ns == r->next.learn_until_ns)
		return 0;
	if (r->is_open && now + WINDOW_MARGIN_NS / 2 > r->current.learn_until_ns)
		return -EAGAIN;
	r->result->moved_buckets = moved;
	return publish(r, &r->next, previous);
}
