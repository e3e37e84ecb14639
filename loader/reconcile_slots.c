// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Reconciliation: who is new, who is dead, and the slots of both. */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "group.h"
#include "kernel.h"
#include "log.h"
#include "newcomers.h"
#include "park.h"
#include "reconcile_steps.h"
#include "tags.h"

#define RELEASE_PATIENCE_MS 10000
#define RELEASE_POLL_MS 10

/* Those in no slot, too, that a daemon has left which was killed. */
__u32 sp_reconcile_count_parking(const struct reconcile *r)
{
	__u32 count = sp_state_parks(r->state);

	for (size_t i = 0; i < r->group->nmembers; i++) {
		__u64 cookie = r->group->members[i].cookie;

		count += cookie != r->state->cookie[SP_SLOT_PARK] && sp_state_is_parking(r->state, cookie);
	}
	return count;
}

bool sp_reconcile_is_anyone_live(const struct sp_state *state)
{
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++)
		if (sp_slot_is_live(state, s) && state->info[s].state != SP_SLOT_PARKED)
			return true;
	return false;
}

/* Nothing has changed when it refuses. A program without a member in its slots would be worse than what is there. */
int sp_reconcile_find_newcomers(struct reconcile *r)
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
	is_empty = !r->is_attached && !found.count && !sp_reconcile_is_anyone_live(r->state);
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

int sp_reconcile_mark_dead(struct reconcile *r)
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
			if (r->group && sp_reconcile_count_parking(r))
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

int sp_reconcile_change(struct reconcile *r)
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
 * made sure of by sp_reconcile_find_newcomers().
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

int sp_reconcile_enrol(struct reconcile *r)
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

int sp_reconcile_assign_slots(struct reconcile *r)
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
