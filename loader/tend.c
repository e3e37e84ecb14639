// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* One configured group, tended: attached, kept in step, attached again. */
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include "cleanup.h"
#include "group.h"
#include "log.h"
#include "park.h"
#include "state.h"
#include "steer.h"
#include "steered.h"
#include "tend.h"
#include "tend_config.h"
#include "tend_look.h"
#include "value.h"

#define BACKOFF_FIRST_NS SP_NS_PER_S
#define BACKOFF_MAX_NS (60 * SP_NS_PER_S)
#define RETAKE_PAUSE_NS (10 * SP_NS_PER_S) /* two programs that take a group from each other do it in turns */
#define TIDY_PER_IDLE 4 /* looks for kept flows that are needed no more, in the time after which one is */
#define ROOM_QUIET_NS (3 * SP_NS_PER_S)
#define RECOUNT_NS (10 * SP_NS_PER_S)
#define WINDOW_SLACK_NS SP_NS_PER_MS /* after the end of a learn window */

const char *sp_tend_state_name(enum sp_tend_state state)
{
	static const char *const names[] = {
		[SP_TEND_WAITING] = "waiting", [SP_TEND_STEERED] = "steered", [SP_TEND_GONE] = "gone",
		[SP_TEND_FOREIGN] = "foreign", [SP_TEND_REFUSED] = "refused", [SP_TEND_RELEASED] = "released",
	};

	return names[state];
}

struct sp_tended *sp_tend_new(const struct sp_config_group *config, struct sp_care *care)
{
	struct sp_tended *t = calloc(1, sizeof(*t));

	if (t)
		t->result = calloc(1, sizeof(*t->result));
	if (!t || !t->result) {
		sp_fail(-ENOMEM, "cannot look after %s", config->name);
		free(t);
		return NULL;
	}
	t->config = *config;
	t->pins = (struct sp_pins)SP_PINS_NONE;
	t->is_new = true;
	t->due_ns = 1;
	t->cared = sp_care_take(care, config->name, config->endpoint.protocol);
	if (!t->cared)
		sp_tend_free(&t);
	return t;
}

/* The pins are another set than before, or none any more. */
static void forget_pins(struct sp_tended *t)
{
	sp_pins_close(&t->pins);
	if (t->ctl)
		sp_state_unmap_ctl(t->ctl);
	t->ctl = NULL;
	t->identity = 0;
	t->program_id = 0;
}

void sp_tend_free(struct sp_tended **tended)
{
	struct sp_tended *t = *tended;

	if (!t)
		return;
	forget_pins(t);
	sp_care_drop(&t->cared);
	free(t->change);
	free(t->result);
	free(t);
	*tended = NULL;
}

/* The only place where the state changes: what begins with a group that is steered, and ends with it, hooks in here. */
static void become(struct sp_tended *t, enum sp_tend_state state)
{
	t->state = state;
}

/* --- configuration --- */

void sp_tend_reconfigure(struct sp_tended *t, const struct sp_config_group *config, const char *path)
{
	const struct sp_config_group before = t->config;

	/* A name that a command has detached, and one that failed, get another chance. */
	if (t->state == SP_TEND_RELEASED || t->state == SP_TEND_REFUSED) {
		t->due_ns = 1;
		t->backoff_ns = 0;
	}
	if (t->state == SP_TEND_RELEASED)
		become(t, SP_TEND_WAITING);
	t->config.line = config->line;
	if (sp_config_group_is_same(&before, config))
		return;

	t->config = *config;
	t->is_new = true;
	t->due_ns = 1;
	if (t->identity && t->state != SP_TEND_REFUSED)
		sp_tend_config_keep_place(t, &before, path);
}

bool sp_tend_is_about(const struct sp_tended *t, const struct sp_watch_event *event)
{
	return t->config.endpoint.protocol == event->key.protocol &&
	       t->config.endpoint.port == event->key.port &&
	       (!t->netns_cookie || t->netns_cookie == event->netns_cookie);
}

bool sp_tend_is_due(struct sp_tended *t, const char *bpffs, const struct sp_groups *groups, __u64 now_ns)
{
	struct sp_tend_look now;

	sp_tend_look_find_netns(t);
	if ((t->due_ns && now_ns >= t->due_ns) || sp_cared_is_due(t->cared))
		return true;
	now = sp_tend_look_take(t, bpffs, groups);
	return memcmp(&now, &t->last, sizeof(now)) != 0;
}

/* --- acting --- */

/* Tried again later; what only a command, a member or a reload can change is waited for. */
static void fail(struct sp_tended *t, enum sp_tend_state state, int err)
{
	become(t, state);
	t->due_ns = 0;
	if (err == -EEXIST || err == -EPROTO)
		return;
	if (err == -EBUSY && t->result->did_replace) { /* by another program */
		if (t->config.on_foreign == SP_ON_FOREIGN_RETAKE)
			t->due_ns = t->retaken_ns + RETAKE_PAUSE_NS;
		return;
	}
	t->backoff_ns = t->backoff_ns ? t->backoff_ns * 2 : BACKOFF_FIRST_NS;
	if (t->backoff_ns > BACKOFF_MAX_NS)
		t->backoff_ns = BACKOFF_MAX_NS;
	t->due_ns = sp_now_ns() + t->backoff_ns;
}

/* Opens what is pinned under the name. Returns 0 or -errno (logged); -ENOENT (not logged): nothing is. */
static int open_pins(struct sp_tended *t, const char *bpffs, const struct sp_groups *groups)
{
	__u64 identity;
	bool is_other;
	int err = sp_pin_identity(bpffs, t->config.name, &identity);

	if (err)
		return err;
	is_other = identity != t->identity;
	if (is_other)
		forget_pins(t);
	t->identity = identity;
	if (!identity)
		return -ENOENT;
	err = sp_pin_open(bpffs, t->config.name, &t->pins);
	err = err ?: sp_steer_program_id(&t->pins, &t->program_id);
	if (!err && !t->ctl)
		err = sp_state_map_ctl(&t->pins, &t->ctl);
	err = err ?: sp_tend_config_check_place(t, groups);
	if (!err && (is_other || t->is_new))
		err = sp_tend_config_apply(t);
	return err;
}

/* What is steered elsewhere is refused, and no pass would ever hand that socket over. */
bool sp_tend_inherit(struct sp_tended *t, const char *bpffs, __u64 cookie, int *fd)
{
	sp_autoclose int slots = sp_pin_open_slots(bpffs, t->config.name);
	sp_autoclose int info = sp_pin_open_info(bpffs, t->config.name);
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	struct sp_ctl ctl;

	if (!t->config.park_ns || sp_park_cookie(slots, info) != cookie ||
	    sp_pin_open(bpffs, t->config.name, &pins) || sp_state_read_ctl(&pins, &ctl))
		return false;
	sp_tend_look_find_netns(t);
	return sp_tend_config_is_place(t, &ctl) && ctl.netns_cookie == t->netns_cookie &&
	       sp_cared_inherit(t->cared, t->config.park_ns, cookie, fd);
}

/* Why there is no such group: asked once, for it takes a scan of its own. */
static void explain(const struct sp_tended *t)
{
	sp_autogroups struct sp_groups *groups = NULL;
	const struct sp_group *unused;

	if (!t->netns_cookie || sp_members_scan(t->config.endpoint.port, &groups))
		return;
	for (size_t i = 0; i < groups->ngroups; i++) {
		const struct sp_group *g = &groups->groups[i];

		if (g->netns_cookie != t->netns_cookie || g->port != t->config.endpoint.port ||
		    g->protocol != t->config.endpoint.protocol)
			continue;
		sp_group_find(groups, &t->config.endpoint, t->netns_cookie, &unused);
		return;
	}
}

static void wait_for(struct sp_tended *t, const struct sp_groups *groups, __u32 fit)
{
	const struct sp_group *unused;

	if (fit > 1 && t->last.fit != fit) {
		sp_group_find(groups, &t->config.endpoint, t->netns_cookie, &unused);
	} else if (fit == 0 && (t->is_new || t->last.fit)) {
		sp_tell("%s: waiting for a reuseport group on %s%s%s", t->config.name,
			t->config.endpoint_text, *t->config.netns ? " in " : "", t->config.netns);
		if (t->is_new)
			explain(t);
	}
	t->is_new = false;
	t->due_ns = 0;
	t->backoff_ns = 0;
	become(t, SP_TEND_WAITING);
}

static bool may_retake(const struct sp_tended *t)
{
	return t->config.on_foreign == SP_ON_FOREIGN_RETAKE &&
	       (!t->retaken_ns || sp_now_ns() >= t->retaken_ns + RETAKE_PAUSE_NS);
}

static bool is_recount_due(const struct sp_tended *t, const char *bpffs)
{
	return sp_tend_look_is_counting(t) &&
	       (sp_now_ns() >= t->recount_ns || !sp_pin_has_links(bpffs, t->config.name));
}

static void count(struct sp_tended *t)
{
	t->enrolments += t->result->nenrolled;
	t->deaths += t->result->ndied;
}

/* When to look again though nothing changes: a window that ends, members that could not be enrolled, kept flows. */
static void settle(struct sp_tended *t, const struct sp_group *group)
{
	const struct sp_reconcile_result *result = t->result;
	__u64 now = sp_now_ns();
	__u64 parking = sp_park_cookie(t->pins.slots, t->pins.info);
	__u64 window_end = now + result->learn_remaining_ns + WINDOW_SLACK_NS;
	size_t wanted = 0;

	count(t);
	for (size_t i = 0; group && i < group->nmembers; i++)
		wanted += !group->members[i].is_connected && group->members[i].cookie != parking;
	if (result->out_of_reach || result->taken || wanted > result->live) {
		fail(t, SP_TEND_STEERED, -EPERM);
	} else {
		become(t, result->size ? SP_TEND_STEERED : SP_TEND_GONE);
		t->backoff_ns = 0;
		t->due_ns = 0;
	}
	/* What failed is tried again while the window is open, too: it may be an hour. */
	if (result->is_learning && (!t->due_ns || window_end < t->due_ns))
		t->due_ns = window_end;
	else if (!result->is_learning && result->is_moving && t->config.flow_idle_ns && !t->due_ns)
		t->due_ns = now + t->config.flow_idle_ns / TIDY_PER_IDLE + SP_NS_PER_S;
	if (result->did_replace)
		t->retaken_ns = now;
}

/* Tried again after the same time where it failed: the log says so, and the group is steered as it should be. */
static void plan_recount(struct sp_tended *t, bool is_done)
{
	if (!sp_tend_look_is_counting(t))
		return;
	if (is_done || !t->recount_ns)
		t->recount_ns = sp_now_ns() + RECOUNT_NS;
	if (!t->due_ns || t->recount_ns < t->due_ns)
		t->due_ns = t->recount_ns;
}

/*
 * More counters for more slots, when nothing joins any more: it takes a program to be verified, some 100 ms in which
 * no other group is looked after. Until then the new slots are counted in the group's row.
 */
static void make_room(struct sp_tended *t, const char *bpffs)
{
	__u64 at = sp_now_ns() + ROOM_QUIET_NS;

	if (!sp_steered_lacks_room(&t->pins, t->result))
		return;
	if (t->result->nenrolled) {
		if (!t->due_ns || t->due_ns > at)
			t->due_ns = at;
		return;
	}
	if (!sp_steered_make_room(bpffs, &t->pins, t->result))
		t->program_id = t->result->program_id;
	/* The pins are others now: look at them at once. */
	t->due_ns = 1;
}

/* Asked for once: where it is refused the log says so, and the group is steered as before. */
static void change_balance(struct sp_tended *t, const char *bpffs, const struct sp_groups *groups)
{
	if (!t->is_balance_due)
		return;
	t->is_balance_due = false;
	if (sp_steered_balance(bpffs, &t->pins, t->config.balance, groups) ||
	    sp_steer_program_id(&t->pins, &t->program_id))
		return;
	sp_tell("%s: new connections are placed by %s now; none has moved", t->config.name,
		sp_value_balance_name(t->config.balance));
	/* The pins are others now: look at them at once. */
	t->due_ns = 1;
}

static void attach(struct sp_tended *t, const char *bpffs, const struct sp_groups *groups,
		   const struct sp_group *group, struct sp_scanner *scanner)
{
	const struct sp_steered_options options = {
		.learn_ns = t->config.learn_ns,
		.flow_idle_ns = t->config.flow_idle_ns,
		.track = t->config.track,
		.hash = t->config.hash,
		.balance = t->config.balance,
		.flows = t->config.flows,
		.slots = t->config.slots,
	};
	const struct sp_reconcile_options reconcile = {
		.may_replace = may_retake(t),
		.weights = t->config.weight,
		.scanner = scanner,
	};
	int err;

	err = sp_steered_attach(bpffs, t->config.name, group, &options, &reconcile, t->result);
	if (!err)
		sp_steered_tell_attached(t->config.name, group, t->result, sp_tell);
	t->is_new = false;
	err = err ?: open_pins(t, bpffs, groups);
	if (err)
		fail(t,
		     err == -ENOENT ? SP_TEND_WAITING :
		     err == -EBUSY  ? SP_TEND_FOREIGN :
				      SP_TEND_REFUSED,
		     err);
	else
		settle(t, group);
}

bool sp_tend_begin(struct sp_tended *t, const char *bpffs, const struct sp_groups *groups,
		   struct sp_scanner *scanner, bool *may_attach, struct sp_reconcile_job *ret_job)
{
	const struct sp_group *group;
	__u32 fit;
	int err;

	memset(t->result, 0, sizeof(*t->result));
	err = open_pins(t, bpffs, groups);
	/* One that is not ours is nobody's: there is no other daemon. */
	if (!err && !sp_cared_parks(t->cared))
		sp_park_stop(t->pins.slots, t->pins.info, groups);
	if (!err) {
		*ret_job = (struct sp_reconcile_job){
			.result = t->result,
			.options = {
				.may_replace = may_retake(t),
				.may_be_partial = true,
				.may_not_wait = true,
				.counts_again = is_recount_due(t, bpffs),
				.change = t->change,
				.weights = t->config.weight,
				.groups = groups,
				.scanner = scanner,
			},
		};
		return true;
	}
	if (err != -ENOENT) {
		fail(t, SP_TEND_REFUSED, err);
		return false;
	}

	if (t->state == SP_TEND_STEERED || t->state == SP_TEND_GONE || t->state == SP_TEND_FOREIGN) {
		sp_tell("%s: a command has detached it: left alone until this daemon is told to reload",
			t->config.name);
		become(t, SP_TEND_RELEASED);
	}
	group = sp_tend_look_find_group(t, groups, &fit);
	if (t->state == SP_TEND_RELEASED)
		t->due_ns = 0;
	else if (!group)
		wait_for(t, groups, fit);
	else if (*may_attach)
		attach(t, bpffs, groups, group, scanner);
	else
		t->due_ns = 1;
	*may_attach &= !group || t->state == SP_TEND_RELEASED;
	return false;
}

/* --- afterwards --- */

static void tell(struct sp_tended *t, enum sp_tend_state before)
{
	const struct sp_reconcile_result *result = t->result;
	char place[SP_ENDPOINT_STRLEN];

	if (before == SP_TEND_WAITING || before == SP_TEND_REFUSED || before == SP_TEND_RELEASED) {
		sp_tend_config_format_place(t->ctl, place);
		sp_tell("%s: steered already: program %u, %u member%s of %s", t->config.name,
			result->program_id, result->live, result->live == 1 ? "" : "s", place);
	}
	sp_steered_tell(t->config.name, result, sp_tell);
	if (t->state == SP_TEND_GONE && before != SP_TEND_GONE && !sp_cared_parks(t->cared))
		sp_tell("%s: the group has no members now; it is attached again when its workers are back",
			t->config.name);
	/* The next look finds the same: told once. */
	if (result->out_of_reach != t->warned[0] || result->taken != t->warned[1] ||
	    result->outside != t->warned[2])
		sp_steered_warn(t->config.name, result);
	t->warned[0] = result->out_of_reach;
	t->warned[1] = result->taken;
	t->warned[2] = result->outside;
}

static void end_job(struct sp_tended *t, const struct sp_groups *groups, int err)
{
	enum sp_tend_state before = t->state;
	__u32 fit;

	if (!err || err == -EINVAL) {
		free(t->change);
		t->change = NULL;
	}
	t->program_id = t->result->program_id ?: t->program_id;
	switch (err) {
	case 0:
		settle(t, sp_tend_look_find_group(t, groups, &fit));
		tell(t, before);
		break;
	case -EAGAIN: /* a window is about to end */
		count(t);
		sp_steered_tell(t->config.name, t->result, sp_tell);
		t->due_ns = sp_now_ns() + t->result->learn_remaining_ns + WINDOW_SLACK_NS;
		break;
	case -EINVAL: /* the weights leave nothing: told, and the rest is to be done */
		t->due_ns = 1;
		break;
	case -EBUSY:
		fail(t, SP_TEND_FOREIGN, err);
		break;
	default:
		fail(t, SP_TEND_REFUSED, err);
		break;
	}
}

/* Parking changes with the pass, and may ask for the next one. @err: of the job, or what stands for it */
static void care_for(struct sp_tended *t, const struct sp_groups *groups, int err)
{
	__u32 unused;
	const struct sp_group *group = sp_tend_look_find_group(t, groups, &unused);
	const struct sp_cared_sight sight = {
		.pins = t->identity ? &t->pins : NULL,
		.group = group,
		/* The scan is of the time before the job. */
		.is_attached = group && (!err || group->prog_id == t->program_id),
		.live = t->result->live,
		.park_ns = t->config.park_ns,
	};
	__u64 next;

	/* What a job that failed has left is not known; that it is not attached is. */
	if (err && sight.pins && sight.is_attached)
		return;
	sp_cared_update(t->cared, &sight);
	next = sp_cared_next_ns(t->cared);
	if (next && (!t->due_ns || next < t->due_ns))
		t->due_ns = next;
}

void sp_tend_end(struct sp_tended *t, const char *bpffs, const struct sp_groups *groups,
		 const struct sp_reconcile_job *job)
{
	bool is_steered;

	if (job)
		end_job(t, groups, job->err);
	if (job && !job->err) {
		make_room(t, bpffs);
		change_balance(t, bpffs, groups);
	}
	is_steered = t->state == SP_TEND_STEERED || t->state == SP_TEND_GONE;
	if (is_steered && (!job || !job->err))
		plan_recount(t, job && job->options.counts_again);
	care_for(t, groups, job ? job->err : is_steered ? 0 : -EPERM);
	sp_pins_close(&t->pins);
	t->last = sp_tend_look_take(t, bpffs, groups);
	/* The scan is of the time before. */
	if (t->result->did_attach && t->last.size) {
		t->last.prog_id = t->program_id;
		t->last.prog_type = BPF_PROG_TYPE_SK_REUSEPORT;
	}
}
