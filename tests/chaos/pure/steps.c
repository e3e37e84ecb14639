// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The steps of a history, each with what must be so after it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "balance.h"
#include "report.h"
#include "spread.h"
#include "steps.h"

struct sp_steps sp_steps;
struct sp_steps_tally sp_steps_tally;

#define MS 1000000ULL
#define SECOND 1000000000ULL

void sp_steps_begin(__u64 seed, __u32 nworkers, __u32 nflows)
{
	memset(&sp_steps, 0, sizeof(sp_steps));
	sp_report_begin(seed);
	sp_spread_begin();
	sp_sim_boot(&sp_model_hooks);
	sp_model_begin(nflows, seed);
	while (nworkers--)
		sp_steps_join();
}

void sp_steps_pass(__u64 ns)
{
	/* A window is looked at when it closes, not when somebody asks later. */
	if (sp_model_is_learning() && sp_sim.now_ns + ns >= sp_sim_view()->learn_until_ns) {
		__u64 until = sp_sim.now_ns + ns;

		sp_sim.now_ns = sp_sim_view()->learn_until_ns;
		sp_model_look();
		sp_sim.now_ns = until;
	} else {
		sp_sim.now_ns += ns;
	}
	sp_model_look();
}

void sp_steps_send(struct sp_model_flow *flow)
{
	if (flow->is_quiet)
		return;
	sp_model_send(flow);
	sp_steps_tally.packets++;
}

void sp_steps_all_send(void)
{
	for (__u32 i = 0; i < sp_model.nflows; i++)
		sp_steps_send(&sp_model.flows[i]);
}

__u32 sp_steps_join(void)
{
	__u32 worker = sp_sim_join();

	sp_report_event("worker %u binds", worker);
	sp_steps.is_disturbed = true;
	sp_steps_tally.joins++;
	return worker;
}

void sp_steps_close(__u32 worker)
{
	/* The loader's duplicate keeps it open. */
	if (worker == sp_sim_held())
		return;
	sp_report_event("worker %u in slot %d dies", worker, (__s16)sp_sim.slot_of[worker]);
	sp_sim_close(worker);
	sp_steps.is_disturbed = true;
	sp_steps_tally.deaths++;
}

void sp_steps_take_off(void)
{
	sp_report_event("somebody takes the program off");
	sp_sim_detach();
	sp_steps.is_disturbed = true;
	sp_steps_tally.detaches++;
}

/* --- the loader --- */

void sp_steps_load(const struct sp_sim_options *options)
{
	sp_steps.options = *options;
	sp_steps.is_loaded = true;
	sp_steps.has_killed = sp_steps.has_attached = false;
	sp_sim_load(options);
	sp_model_loaded();
	sp_report_event("%s, %s, %s, learning for %llu ms, room for %u flows which expire after %u s",
			options->protocol == SP_TCP ? "TCP" : "UDP",
			options->track == SP_TRACK_ALWAYS ? "track always" :
			options->track == SP_TRACK_OFF	  ? "track off" :
							    "track transition",
			options->hash == SP_HASH_KERNEL ? "kernel's hash" : "siphash", options->learn_ns / MS,
			options->flow_room, options->flow_idle_s);
}

void sp_steps_unload(void)
{
	sp_report_event("detach");
	sp_sim_unload();
	sp_steps.is_loaded = false;
	sp_steps_tally.detaches++;
}

static void check_slots(void)
{
	const struct sp_view *view = sp_sim_view();

	for (__u32 i = 0; i < sp_sim.nmembers; i++)
		sp_require(sp_sim.slot_of[sp_sim.member[i]] != SP_SLOT_NONE,
			   "the loader is done, but worker %u is in no slot", sp_sim.member[i]);
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++) {
		const struct sp_info *info = &sp_sim.info[s];
		bool is_usable = view->usable[s / 64] >> s % 64 & 1;

		sp_require(is_usable == (sp_sim.in_slot[s] && info->state == SP_SLOT_LIVE),
			   "slot %u is %susable: its state is %d and its worker %u", s,
			   is_usable ? "" : "not ", info->state, sp_sim.in_slot[s]);
		sp_require(info->state != SP_SLOT_EJECTED || !sp_model_names(s),
			   "slot %u is ejected, but a view in force still sends flows there", s);
		sp_require((info->state == SP_SLOT_FREE || info->state == SP_SLOT_DEAD) == !sp_sim.in_slot[s],
			   "slot %u is said to be in state %d and holds worker %u", s, info->state,
			   sp_sim.in_slot[s]);
	}
}

/*
 * At rest the flow table is asked only where it holds something, and it holds only what the view does not say. With
 * `always` it is asked for every packet anyway. The loader lets an entry expire a second later than the program, and
 * time has passed since it looked.
 */
static void check_rest(bool is_same_function, __u64 began_ns)
{
	__u32 late_s = 1 + sp_sim.now_ns / SECOND - began_ns / SECOND;
	static __u64 kept[SP_BUCKETS / 64], expiring[SP_BUCKETS / 64];
	const struct sp_view *view = sp_sim_view();

	memset(kept, 0, sizeof(kept));
	memset(expiring, 0, sizeof(expiring));
	for (__u32 i = 0; sp_steps.options.track == SP_TRACK_TRANSITION && i < sp_model.nflows; i++) {
		const struct sp_model_flow *flow = &sp_model.flows[i];
		__u32 worker = sp_model_kept(flow, 0);
		__u64 mask = 1ULL << flow->hash % 64;

		if (worker)
			kept[flow->hash % SP_BUCKETS / 64] |= mask;
		else if (sp_model_kept(flow, late_s) || !is_same_function)
			expiring[flow->hash % SP_BUCKETS / 64] |= mask;
		sp_require(!worker || !is_same_function ||
				   sp_model_choose_usable(view, flow->hash) != sp_sim.slot_of[worker],
			   "flow %016llx is kept where the view places it anyway", flow->hash);
	}
	for (__u32 i = 0; i < SP_BUCKETS / 64; i++)
		sp_require((kept[i] & ~view->moving[i]) == 0 &&
				   (view->moving[i] & ~kept[i] & ~expiring[i]) == 0,
			   "at rest, but of buckets %u to %u %016llx are moving, and %016llx hold kept flows",
			   i * 64, i * 64 + 63, view->moving[i], kept[i]);
}

static void check_done(const struct sp_view *before, __u64 began_ns)
{
	const struct sp_view *view = sp_sim_view();
	__u32 weight[SP_SLOTS_MAX];
	const char *fault;

	for (__u32 s = 0; s < SP_SLOTS_MAX; s++)
		weight[s] = sp_sim.info[s].state == SP_SLOT_FREE ? 0 : sp_sim.info[s].weight;
	fault = sp_balance_fault(weight, before->owner, view->owner, sp_steps.result.moved_buckets);
	sp_require(!fault, "%s", fault);
	if (sp_steps.is_disturbed)
		return;
	check_slots();
	sp_require(sp_sim.is_attached == (sp_sim.nmembers > 0), "the loader is done, but not attached");
	if (sp_sim.is_attached && !view->learn_until_ns)
		check_rest(!memcmp(before->usable, view->usable, sizeof(view->usable)), began_ns);
}

static const char *const change_names[] = {
	[SP_CHANGE_DRAIN] = "drain",   [SP_CHANGE_UNDRAIN] = "undrain", [SP_CHANGE_EJECT] = "eject",
	[SP_CHANGE_RETIRE] = "retire", [SP_CHANGE_WEIGHT] = "weight",
};

static void report_begin(const struct sp_change *change, bool is_new)
{
	char slots[64] = "";
	size_t len = 0;

	for (__u32 s = 0; change && s < SP_SLOTS_MAX && len < sizeof(slots); s++)
		if (change->is_asked[s])
			len += snprintf(slots + len, sizeof(slots) - len, " %u", s);
	sp_report_event("%s%s begins with %u members",
			is_new ? "attach" :
			change ? change_names[change->kind] :
				 "sync",
			slots, sp_sim.nmembers);
}

enum sp_sim_end sp_steps_reconcile(const struct sp_sim_run *run)
{
	static struct sp_view before;
	bool is_new = !sp_steps.has_attached;
	__u32 nmembers_max = sp_sim.nmembers;
	__u64 began_ns, lost, joins = sp_steps_tally.joins;
	enum sp_sim_end end;
	int err;

	/* No two of them at the same time: by its end one window is told from another. */
	sp_steps_pass(MS);
	began_ns = sp_sim.now_ns;
	before = *sp_sim_view();
	sp_steps.is_disturbed = false;
	report_begin(run->change, is_new);
	sp_model_loader_begins();
	lost = sp_sim.lost[SP_SIM_EVICTED] + sp_sim.lost[SP_SIM_STALE];
	end = sp_sim_reconcile(run, &sp_steps.result, &err);
	sp_model_look();
	nmembers_max += sp_steps_tally.joins - joins;
	sp_steps.is_disturbed |= lost != sp_sim.lost[SP_SIM_EVICTED] + sp_sim.lost[SP_SIM_STALE];
	sp_steps_tally.runs++;
	sp_steps_tally.killed += end == SP_SIM_KILLED;
	sp_steps_tally.changes += run->change != NULL;
	switch (end) {
	case SP_SIM_DONE:
		sp_report_event("it is done: %u enrolled, %u died, %u buckets moved%s",
				sp_steps.result.nenrolled, sp_steps.result.ndied,
				sp_steps.result.moved_buckets,
				sp_steps.result.did_publish ? ", published" : "");
		check_done(&before, began_ns);
		sp_steps.has_attached = true;
		break;
	case SP_SIM_REFUSED:
		sp_report_event("it is refused: %s", strerror(-err));
		sp_require((err == -EINVAL && run->change) ||
				   (err == -ENOSPC && nmembers_max > SP_SLOTS_MAX) ||
				   ((err == -ESTALE || err == -ENOENT) && sp_steps.is_disturbed),
			   "the loader fails: %s", strerror(-err));
		if (is_new)
			sp_steps_unload();
		break;
	case SP_SIM_KILLED:
		sp_steps.has_killed = sp_steps.has_attached = true;
		break;
	}
	return end;
}

enum sp_sim_end sp_steps_change(const struct sp_change *change)
{
	const struct sp_sim_run run = { .change = change, .calls = SP_SIM_NEVER };

	return sp_steps_reconcile(&run);
}

void sp_steps_settle(void)
{
	__u64 dropped = sp_sim.lost[SP_SIM_DROPPED];

	for (__u32 i = 0; sp_steps_change(NULL) == SP_SIM_DONE && sp_steps.result.did_publish; i++) {
		/* What expires meanwhile is a reason to go on. */
		sp_require(i < 4 || sp_sim.lost[SP_SIM_DROPPED] > dropped, "the group does not come to rest");
		dropped = sp_sim.lost[SP_SIM_DROPPED];
		sp_steps_all_send();
		sp_steps_pass(sp_steps.options.learn_ns + 1);
	}
	sp_steps_all_send();
}

bool sp_steps_can_spread(void)
{
	return sp_sim.is_attached && sp_steps.options.protocol == SP_UDP &&
	       sp_steps.options.track == SP_TRACK_TRANSITION && !sp_sim_view()->learn_until_ns;
}

void sp_steps_end(struct sp_random *random)
{
	if (!sp_steps.is_loaded || sp_sim.nmembers > SP_SLOTS_MAX)
		return;
	sp_steps_settle();
	for (__u32 i = 0; i < 3 && sp_steps_can_spread(); i++) {
		__u32 worker = sp_sim.member[sp_random_below(random, sp_sim.nmembers)];

		sp_spread_take(random, sp_sim.slot_of[worker], 4096);
		sp_steps_close(worker);
		if (sp_sim.is_attached)
			sp_steps_tally.spread += sp_spread_send();
	}
	sp_steps_all_send();
	sp_spread_check();
	sp_sim_check_outcomes();
	if (!sp_steps.has_killed)
		sp_sim_check_flow_books();
}
