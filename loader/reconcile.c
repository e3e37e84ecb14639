// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Makes a steered group's state fit its members. */
#include <errno.h>
#include <string.h>
#include "cleanup.h"
#include "group.h"
#include "kernel.h"
#include "log.h"
#include "reconcile.h"
#include "reconcile_steps.h"
#include "socks.h"
#include "steer.h"
#include "takeover.h"

#define SCAN_TRIES 3

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
	r->result->size = r->group ? r->group->size - sp_reconcile_count_parking(r) : 0;
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

static int attach(struct reconcile *r)
{
	sp_autoclose int socket = -1;
	char endpoint[SP_ENDPOINT_STRLEN];
	int err;

	/* Attached, and killed before it was noted: still to be completed. */
	if (!r->group || (r->is_attached && r->state->ctl.attached_at))
		return 0;
	if (!r->is_attached) {
		if (!sp_reconcile_is_anyone_live(r->state)) {
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
	err = err ?: sp_reconcile_find_newcomers(r);
	err = err ?: sp_reconcile_change(r);
	if (err)
		return err;
	sp_reconcile_slots(r->state, &r->slots);
	err = sp_reconcile_assign_slots(r);
	return err ?: sp_reconcile_mark_dead(r);
}

/*
 * Also while a window is waited for: the function is the same as before, and the end of the window, so it may come at
 * any time. What it takes to get out of sight then passes meanwhile.
 */
static int make_room(struct reconcile *r)
{
	int window = sp_reconcile_settle_window(r), err = 0;

	if (!window || window == -EAGAIN)
		err = sp_reconcile_clear_dead(r);
	return err ?: window;
}

/* Again from make_room() on if the window ended meanwhile. */
static int settle(struct reconcile *r)
{
	int err;

	err = sp_reconcile_enrol(r);
	err = err ?: sp_socks_refresh(r->pins, r->state, r->group);
	sp_kept_free(&r->kept);
	err = err ?: sp_kept_read(r->pins, r->state, &r->kept);
	err = err ?: sp_reconcile_advance(r);
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
