// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Makes a steered group's state fit its members. */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "group.h"
#include "kept.h"
#include "kernel.h"
#include "log.h"
#include "newcomers.h"
#include "park.h"
#include "reconcile.h"
#include "socks.h"
#include "steer.h"
#include "tags.h"
#include "takeover.h"

#define SCAN_TRIES 3
#define RELEASE_PATIENCE_MS 10000
#define RELEASE_POLL_MS 10
#define WINDOW_MARGIN_NS 30000000ULL /* a window that ends sooner is waited for rather than merged with */

/* A member that is in no slot yet. */
struct newcomer {
	const struct sp_member *member;
	__u32 slot;
};

/* One reconciliation: what is, what shall be, and what was done. */
struct reconcile {
	const struct sp_pins *pins;
	const struct sp_reconcile_options *options;
	struct sp_reconcile_result *result;
	struct sp_state *state;
	struct sp_groups *scanned; /* by ourselves */
	const struct sp_groups *groups;
	const struct sp_group *group; /* NULL: gone */
	bool is_attached;
	struct newcomer *newcomers;
	size_t nnewcomers;
	bool is_enrolled; /* the newcomers are in their slots */
	int waited_ms; /* for the sockarray of a program that is replaced, all members together */
	struct sp_kept kept;
	struct sp_plan_slots slots; /* as they shall be */
	struct sp_view current; /* effective */
	struct sp_view previous; /* effective; valid if is_open */
	struct sp_view next;
	bool is_open; /* the learn window of the view in force */
	bool is_seen; /* packets may still see the view before the one in force */
	bool is_settled; /* the last view is in force */
	int err;
};

void sp_reconcile_slots(const struct sp_state *state, struct sp_plan_slots *ret_slots)
{
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++) {
		const struct sp_info *info = &state->info[s];

		ret_slots->slot[s] = (struct sp_plan_slot){
			.is_assigned = info->state != SP_SLOT_FREE && info->state != SP_SLOT_PARKED,
			.is_live = sp_slot_is_live(state, s),
			.is_draining = info->state == SP_SLOT_DRAINING,
			.is_ejected = info->state == SP_SLOT_EJECTED,
			.weight = info->weight,
		};
	}
}

/* --- looking --- */

/* A socket on the port that is in no group tells why there is none; a caller's scanner may leave it out. */
static int scan(struct reconcile *r, __u16 port)
{
	int err;

	sp_groups_free(&r->scanned);
	err = r->options->scanner ? sp_scanner_scan(r->options->scanner, &r->scanned) :
				    sp_members_scan(port, &r->scanned);
	if (!err)
		r->groups = r->scanned;
	return err;
}

/* Those in no slot, too, that a daemon has left which was killed. */
static __u32 count_parking(const struct reconcile *r)
{
	__u32 count = sp_state_parks(r->state);

	for (size_t i = 0; i < r->group->nmembers; i++) {
		__u64 cookie = r->group->members[i].cookie;

		count += cookie != r->state->cookie[SP_SLOT_PARK] && sp_state_is_parking(r->state, cookie);
	}
	return count;
}

/* A member that closes while the files are walked is counted by the kernel but not seen: look again. */
static int look(struct reconcile *r)
{
	int err = sp_steer_program_id(r->pins, &r->result->program_id);
	struct sp_ctl ctl = { 0 };

	err = err ?: sp_state_read_ctl(r->pins, &ctl);
	for (int i = 0; !err && i < SCAN_TRIES; i++) {
		if (i == 0 && r->options->groups)
			r->groups = r->options->groups;
		else
			err = scan(r, ctl.port);
		if (err)
			break;
		sp_state_free(&r->state);
		err = sp_state_read(r->pins, &r->state);
		if (err)
			break;
		r->group = sp_group_at(r->groups, &r->state->ctl, r->result->program_id);
		if (!r->group || r->group->nmembers >= r->group->size)
			break;
	}
	if (err)
		return err;
	r->is_attached = r->group && r->group->prog_id == r->result->program_id;
	r->result->size = r->group ? r->group->size - count_parking(r) : 0;
	sp_group_outside(r->groups, &r->state->ctl, r->group, &r->result->outside);
	return 0;
}

static int refuse_takeover(const struct reconcile *r)
{
	const struct sp_group *g = r->group;

	if (!g || r->is_attached)
		return 0;
	r->result->did_replace = g->prog_type != 0;
	r->result->replaced_program = g->prog_id;
	return r->options->may_replace ? 0 : sp_takeover_refuse(r->pins->name, &r->state->ctl, g);
}

/* --- finding newcomers --- */

static bool is_anyone_live(const struct sp_state *state)
{
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++)
		if (sp_slot_is_live(state, s) && state->info[s].state != SP_SLOT_PARKED)
			return true;
	return false;
}

/* Nothing has changed when it refuses. A program without a member in its slots would be worse than what is there. */
static int find_newcomers(struct reconcile *r)
{
	sp_autonewcomers struct sp_newcomers found = { 0 };
	struct sp_reconcile_result *result = r->result;
	bool is_complete, is_empty;
	int err;

	if (!r->group)
		return 0;
	err = sp_newcomers_find(r->state, r->group, result->did_replace, &found);
	if (err)
		return err;
	result->out_of_reach = found.unseen + found.forbidden;
	result->taken = found.ntaken;
	is_complete = !result->out_of_reach && !result->taken;
	is_empty = !r->is_attached && !found.count && !is_anyone_live(r->state);
	if (!is_complete && (is_empty || !r->options->may_be_partial))
		return sp_newcomers_refuse(&found, r->group, !is_empty);

	r->newcomers = calloc(found.count + 1, sizeof(*r->newcomers));
	if (!r->newcomers)
		return sp_fail(-ENOMEM, "cannot enrol the members of %s", r->pins->name);
	for (size_t i = 0; i < found.count; i++)
		r->newcomers[r->nnewcomers++].member = found.members[i];
	return 0;
}

/* --- slots --- */

static int mark_dead(struct reconcile *r)
{
	struct sp_reconcile_result *result = r->result;

	for (__u32 s = 0; s < SP_SLOTS_MAX; s++) {
		struct sp_info *info = &r->state->info[s];
		int err;

		if (info->state == SP_SLOT_FREE || info->state == SP_SLOT_DEAD ||
		    sp_slot_is_live(r->state, s))
			continue;
		/* The parking socket is no worker: nobody will take its place. What it was called is still needed. */
		if (info->state == SP_SLOT_PARKED) {
			if (r->group && count_parking(r))
				continue;
			info->state = SP_SLOT_FREE;
			info->died_at = 0;
		} else {
			info->state = SP_SLOT_DEAD;
			info->died_at = sp_wall_ns();
			result->died[result->ndied++] = s;
		}
		err = sp_state_write_info(r->pins, s, info);
		if (err)
			return err;
	}
	return 0;
}

static int change(struct reconcile *r)
{
	char why[SP_CHANGE_WHY_LEN];
	int err;

	if (!r->options->change)
		return 0;
	err = sp_change_apply(r->options->change, r->state->info, r->state->cookie, r->result->is_changed,
			      why);
	if (err) {
		sp_refuse(0, "%s: %s", r->pins->name, why);
		sp_hint("see its slots: steadyport status %s", r->pins->name);
	}
	for (__u32 s = 0; !err && s < SP_SLOTS_MAX; s++)
		if (r->result->is_changed[s])
			err = sp_state_write_info(r->pins, s, &r->state->info[s]);
	return err;
}

/*
 * A socket fits one sockarray. When a program is replaced that has the members in one of its own, they are free only
 * when it is detached and the kernel has freed its maps, which takes a grace period or two. That it will free them was
 * made sure of by find_newcomers().
 */
static int put_in_slot(struct reconcile *r, __u32 slot, int socket)
{
	const struct timespec tick = { .tv_nsec = RELEASE_POLL_MS * 1000000L };
	__u64 value = socket;
	int err = bpf_map_update_elem(r->pins->slots, &slot, &value, BPF_ANY);

	if (err != -EBUSY || !r->result->did_replace)
		return err;
	sp_group_detach(socket);
	for (; err == -EBUSY && r->waited_ms < RELEASE_PATIENCE_MS; r->waited_ms += RELEASE_POLL_MS) {
		nanosleep(&tick, NULL);
		err = bpf_map_update_elem(r->pins->slots, &slot, &value, BPF_ANY);
	}
	return err;
}

/*
 * The incarnation goes up before the socket is in the slot, so that no kept flow of the dead worker finds the new
 * one. A crash in between leaves a slot that looks dead: the next pass takes it again. The duplicate of the socket
 * is open for as short as can be: a worker that is killed now must not live on in it.
 */
static int enrol_one(struct reconcile *r, const struct newcomer *n)
{
	const struct sp_owner *owner = &n->member->owners[0];
	struct sp_info *info = &r->state->info[n->slot];
	const struct sp_info before = *info;
	int err, failed;

	info->incarnation++;
	info->state = SP_SLOT_LIVE;
	info->weight = r->slots.slot[n->slot].weight;
	info->pid = owner->pid;
	info->cookie = n->member->cookie;
	memcpy(info->comm, owner->comm, sizeof(info->comm));
	info->enrolled_at = sp_wall_ns();
	info->died_at = 0;
	err = sp_state_write_info(r->pins, n->slot, info);
	if (err)
		return err;

	{
		sp_autoclose int socket = -1;

		err = sp_group_socket(n->member, &socket);
		if (!err && r->state->ctl.balance == SP_BALANCE_LEAST_CONN)
			err = sp_tags_put(r->pins, n->slot, info->cookie, socket);
		if (!err)
			err = put_in_slot(r, n->slot, socket);
	}
	if (!err) {
		r->state->cookie[n->slot] = info->cookie;
		r->result->in_force_ns = sp_now_ns();
		r->result->cookies[r->result->nenrolled] = info->cookie;
		r->result->enrolled[r->result->nenrolled++] = n->slot;
		return 0;
	}

	switch (err) {
	case -EINVAL: /* these two: closed meanwhile */
	case -ESTALE:
		err = 0;
		break;
	case -EBUSY:
		sp_warn("%s: the socket of %s[%u] (cookie %llu) is in another BPF map already, so it cannot be enrolled",
			r->pins->name, owner->comm, owner->pid, n->member->cookie);
		err = 0;
		break;
	default: /* without it the others would be given its flows */
		sp_fail(err, "%s: cannot enrol %s[%u] (cookie %llu)", r->pins->name, owner->comm, owner->pid,
			n->member->cookie);
	}
	r->slots.slot[n->slot].is_live = false;
	if (before.state == SP_SLOT_FREE)
		r->slots.slot[n->slot].is_assigned = false;
	info->state = before.state;
	info->cookie = before.cookie;
	info->died_at = before.died_at;
	failed = sp_state_write_info(r->pins, n->slot, info);
	return err ?: failed;
}

static int enrol(struct reconcile *r)
{
	int err = 0;

	for (size_t i = 0; !err && !r->is_enrolled && i < r->nnewcomers; i++)
		err = enrol_one(r, &r->newcomers[i]);
	r->is_enrolled = !err;
	return err;
}

/* A listener that was shut down and listens again is the same socket: it has its own slot back. */
static bool reassign_slot(struct reconcile *r, struct newcomer *n)
{
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++) {
		if (r->state->info[s].cookie != n->member->cookie || !sp_plan_reassign(&r->slots, s))
			continue;
		n->slot = s;
		return true;
	}
	return false;
}

static int compare_newcomers(const void *a, const void *b)
{
	const struct newcomer *x = a, *y = b;

	return (x->slot > y->slot) - (x->slot < y->slot);
}

/* A worker goes before the parking socket; its holder sees that it was stopped. */
static bool stop_parking(struct reconcile *r)
{
	if (!sp_state_parks(r->state) || sp_park_stop(r->pins->slots, r->pins->info, r->groups))
		return false;
	r->state->cookie[SP_SLOT_PARK] = 0;
	r->slots.slot[SP_SLOT_PARK].is_live = false;
	return true;
}

static int assign_slots(struct reconcile *r)
{
	__u32 numbers[SP_SLOTS_MAX];
	char endpoint[SP_ENDPOINT_STRLEN];
	size_t nstrangers = 0;
	int err;

	if (!r->nnewcomers)
		return 0;
	for (size_t i = 0; i < r->nnewcomers; i++) {
		r->newcomers[i].slot = SP_SLOT_NONE;
		nstrangers += !reassign_slot(r, &r->newcomers[i]);
	}
	err = nstrangers > SP_SLOTS_MAX ? -ENOSPC : sp_plan_assign(&r->slots, nstrangers, numbers);
	if (err && nstrangers <= SP_SLOTS_MAX && stop_parking(r))
		err = sp_plan_assign(&r->slots, nstrangers, numbers);
	if (err) {
		sp_refuse(0, "%s has more members than the %d slots a group may have",
			  sp_group_endpoint(r->group, endpoint), SP_SLOTS_MAX);
		return err;
	}
	for (size_t i = r->nnewcomers; i-- > 0;)
		if (r->newcomers[i].slot == SP_SLOT_NONE)
			r->newcomers[i].slot = numbers[--nstrangers];
	qsort(r->newcomers, r->nnewcomers, sizeof(*r->newcomers), compare_newcomers);
	for (size_t i = 0; i < r->nnewcomers; i++) {
		__u32 slot = r->newcomers[i].slot;

		if (r->options->weights && r->options->weights[slot] <= SP_WEIGHT_MAX &&
		    r->state->info[slot].state == SP_SLOT_FREE)
			r->slots.slot[slot].weight = r->options->weights[slot];
	}
	return 0;
}

/* --- views --- */

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
static int settle_window(struct reconcile *r)
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
static int clear_dead(struct reconcile *r)
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
static int advance(struct reconcile *r)
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

static int attach(struct reconcile *r)
{
	sp_autoclose int socket = -1;
	char endpoint[SP_ENDPOINT_STRLEN];
	int err;

	/* Attached, and killed before it was noted: still to be completed. */
	if (!r->group || (r->is_attached && r->state->ctl.attached_at))
		return 0;
	if (!r->is_attached) {
		if (!is_anyone_live(r->state)) {
			sp_refuse(0, "%s has no member that can be enrolled: its program was not attached",
				  r->pins->name);
			sp_hint("see them: steadyport groups --all");
			return -ENOENT;
		}
		err = sp_group_any_socket(r->group, &socket);
		if (!err)
			err = sp_group_attach(socket, r->pins->prog);
		if (err)
			return sp_fail(err, "cannot attach the program to %s",
				       sp_group_endpoint(r->group, endpoint));
	}
	r->result->did_attach = true;
	return sp_state_mark_attached(r->pins, r->group->uid);
}

/* --- the steps in their order --- */

/* All that can be refused is refused here, before anything but the records of the dead is written. */
static int prepare(struct reconcile *r)
{
	int err;

	err = look(r);
	err = err ?: refuse_takeover(r);
	err = err ?: find_newcomers(r);
	err = err ?: change(r);
	if (err)
		return err;
	sp_reconcile_slots(r->state, &r->slots);
	err = assign_slots(r);
	return err ?: mark_dead(r);
}

/*
 * Also while a window is waited for: the function is the same as before, and the end of the window, so it may come at
 * any time. What it takes to get out of sight then passes meanwhile.
 */
static int make_room(struct reconcile *r)
{
	int window = settle_window(r), err = 0;

	if (!window || window == -EAGAIN)
		err = clear_dead(r);
	return err ?: window;
}

/* Again from make_room() on if the window ended meanwhile. */
static int settle(struct reconcile *r)
{
	int err;

	err = enrol(r);
	err = err ?: sp_socks_refresh(r->pins, r->state, r->group);
	sp_kept_free(&r->kept);
	err = err ?: sp_kept_read(r->pins, r->state, &r->kept);
	err = err ?: advance(r);
	if (err == -EAGAIN)
		return 0;
	r->is_settled = true;
	return err ?: attach(r);
}

static void report_window(struct reconcile *r)
{
	const struct sp_view *current = sp_state_current(r->state);
	__u64 now = sp_now_ns();

	for (size_t i = 0; i < SP_ARRAY_SIZE(current->moving); i++)
		r->result->is_moving |= current->moving[i] != 0;
	r->result->is_learning = sp_state_previous(r->state, now);
	r->result->learn_remaining_ns = r->result->is_learning ? current->learn_until_ns - now : 0;
}

/* A step of all that have not failed and are not done. Returns how many there are. */
static size_t each(struct reconcile *all, size_t count, int (*step)(struct reconcile *r))
{
	size_t left = 0;

	for (size_t i = 0; i < count; i++) {
		struct reconcile *r = &all[i];

		if (!r->err && !r->is_settled)
			r->err = step(r);
		left += !r->err && !r->is_settled;
	}
	return left;
}

/* Until no packet can see a view that is not in force any more. */
static void wait_unseen(struct reconcile *all, size_t count)
{
	bool is_any = false;
	int err;

	for (size_t i = 0; i < count; i++)
		is_any |= all[i].is_seen;
	if (!is_any)
		return;
	err = sp_kernel_wait_readers();
	for (size_t i = 0; i < count; i++) {
		if (all[i].is_seen)
			all[i].err = all[i].err ?: err;
		all[i].is_seen = false;
	}
}

static void finish(struct reconcile *r)
{
	if (r->state && (!r->err || r->err == -EAGAIN))
		report_window(r);
	if (!r->err)
		r->result->nslots = sp_state_current(r->state)->nslots;
	for (__u32 s = 0; !r->err && s < SP_SLOTS_MAX; s++)
		r->result->live += sp_slot_is_live(r->state, s) && r->state->info[s].state != SP_SLOT_PARKED;
	free(r->newcomers);
	sp_kept_free(&r->kept);
	sp_groups_free(&r->scanned);
	sp_state_free(&r->state);
}

void sp_reconcile_all(struct sp_reconcile_job *jobs, size_t njobs)
{
	sp_autofree struct reconcile *all = calloc(njobs ?: 1, sizeof(*all));

	for (size_t i = 0; i < njobs; i++) {
		memset(jobs[i].result, 0, sizeof(*jobs[i].result));
		if (!all)
			jobs[i].err = sp_fail(-ENOMEM, "cannot reconcile %s", jobs[i].pins->name);
	}
	if (!all)
		return;
	for (size_t i = 0; i < njobs; i++) {
		all[i].pins = jobs[i].pins;
		all[i].options = &jobs[i].options;
		all[i].result = jobs[i].result;
		all[i].err = jobs[i].err;
	}

	each(all, njobs, prepare);
	while (each(all, njobs, make_room)) {
		wait_unseen(all, njobs);
		each(all, njobs, settle);
	}
	wait_unseen(all, njobs);

	for (size_t i = 0; i < njobs; i++) {
		finish(&all[i]);
		jobs[i].err = all[i].err;
	}
}

int sp_reconcile(const struct sp_pins *pins, const struct sp_reconcile_options *options,
		 struct sp_reconcile_result *ret_result)
{
	struct sp_reconcile_job job = { .pins = pins, .options = *options, .result = ret_result };

	sp_reconcile_all(&job, 1);
	return job.err;
}
