// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The account of flows, and what it demands of every packet. */
#include <string.h>
#include "model.h"
#include "loader.h"
#include "report.h"
#include "seed.h"

#define BUCKETS 16384
#define PROBES 16
#define NS_PER_S 1000000000ULL

struct sp_model sp_model;

/* What of the kernel's state was seen last. */
static struct {
	__u32 serial; /* of the view in force */
	__u64 view_learns_until_ns;
	__u64 learn_until_ns; /* the same while the window is open, else 0 */
	bool is_blurred; /* members came or went since the loader began: it does not know of it */
} seen;

#define flow_require(flow, condition, fmt, ...) \
	sp_require(condition, "flow %016llx: " fmt, (flow)->hash, ##__VA_ARGS__)

/* --- the function that a view is --- */

static bool bit(const __u64 *bits, __u32 i)
{
	return bits[i / 64] >> i % 64 & 1;
}

static bool is_live(__u32 slot)
{
	return slot < SP_SLOTS_MAX && sp_sim.in_slot[slot];
}

/* As it is now, or as if exactly the usable slots were live. */
static int choose_usable(const struct sp_view *view, __u64 hash, bool as_planned)
{
	__u32 low = hash, high = hash >> 32;

	for (__u32 i = 0; i < PROBES; i++) {
		__u32 slot = view->owner[(low + i * (high | 1)) % BUCKETS];

		if (slot < SP_SLOTS_MAX && bit(view->usable, slot) && (as_planned || is_live(slot)))
			return slot;
	}
	for (__u32 i = 0; i < view->nslots; i++) {
		__u32 slot = ((__u64)low + i) % view->nslots;

		if (bit(view->usable, slot) && (as_planned || is_live(slot)))
			return slot;
	}
	return -1;
}

int sp_model_choose_usable(const struct sp_view *view, __u64 hash)
{
	return choose_usable(view, hash, false);
}

int sp_model_choose_any(const struct sp_view *view, __u64 hash)
{
	for (__u32 i = 0; i < view->nslots; i++) {
		__u32 slot = ((__u64)(__u32)hash + i) % view->nslots;

		if (is_live(slot))
			return slot;
	}
	return -1;
}

static int choose_previous(const struct sp_view *view, const struct sp_model_flow *flow)
{
	__u32 slot;

	if (view->kind != SP_VIEW_KERNEL)
		return sp_model_choose_usable(view, flow->hash);
	slot = view->owner[(__u64)flow->packet.kernel_hash * view->nslots >> 32];
	return is_live(slot) ? (int)slot : -1;
}

__u64 sp_model_hash(const struct sp_sim_packet *packet)
{
	return sp_sim.options.hash == SP_HASH_KERNEL ? packet->kernel_hash * 0x9e3779b97f4a7c15ULL :
						       sp_flow_hash4(sp_sim.ctl.key, &packet->tuple);
}

static bool names(const struct sp_view *view, __u32 slot)
{
	if (view->kind != SP_VIEW_KERNEL)
		return bit(view->usable, slot);
	for (__u32 i = 0; i < view->nslots; i++)
		if (view->owner[i] == slot)
			return true;
	return false;
}

bool sp_model_names(__u32 slot)
{
	return names(sp_sim_view(), slot) ||
	       (sp_model_is_learning() && names(&sp_sim.views[sp_sim_view()->prev], slot));
}

/* --- the account --- */

static bool is_tracked(void)
{
	return sp_sim.options.protocol == SP_UDP && sp_sim.options.track != SP_TRACK_OFF;
}

bool sp_model_is_learning(void)
{
	return sp_sim.is_attached && is_tracked() && sp_sim.now_ns < sp_sim_view()->learn_until_ns &&
	       sp_sim_view()->prev != SP_VIEW_NONE;
}

/* A worker whose flows stay: it is in a slot, and was not thrown out of the group. */
static bool is_steady(__u32 worker)
{
	return worker && sp_sim.slot_of[worker] != SP_SLOT_NONE &&
	       sp_sim.info[sp_sim.slot_of[worker]].state != SP_SLOT_EJECTED;
}

__u32 sp_model_kept(const struct sp_model_flow *flow, __u32 late_s)
{
	const struct sp_table_entry *entry = is_tracked() ? sp_table_find(&sp_sim.flows, flow->hash) : NULL;

	return entry && is_steady(entry->worker) && !sp_sim_is_expired(entry, late_s) ? entry->worker : 0;
}

/* Its entry is of a worker that is gone: it has not been heard of since, and is a new flow. */
static bool is_orphan(const struct sp_model_flow *flow)
{
	const struct sp_table_entry *entry = is_tracked() ? sp_table_find(&sp_sim.flows, flow->hash) : NULL;

	return entry && !is_steady(entry->worker) && !sp_sim_is_expired(entry, 0);
}

static bool is_placed_by(const struct sp_view *view, const struct sp_model_flow *flow)
{
	return sp_model_choose_usable(view, flow->hash) == sp_sim.slot_of[flow->worker];
}

#define each_flow(flow)                              \
	struct sp_model_flow *flow = sp_model.flows; \
	flow < sp_model.flows + sp_model.nflows;     \
	flow++

void sp_model_begin(__u32 nflows, __u64 seed)
{
	struct sp_random numbers = { seed };

	sp_model.nflows = nflows;
	for (each_flow(flow)) {
		*flow = (struct sp_model_flow){ 0 };
		flow->packet.tuple.src = sp_random_next(&numbers);
		flow->packet.tuple.dst = 0x0100007f;
		flow->packet.tuple.sport = sp_random_next(&numbers);
		flow->packet.tuple.dport = 443;
		flow->packet.kernel_hash = sp_random_next(&numbers);
	}
	memset(&seen, 0, sizeof(seen));
}

void sp_model_loaded(void)
{
	seen.serial = sp_sim_view()->serial;
	seen.view_learns_until_ns = seen.learn_until_ns = 0;
	for (each_flow(flow))
		flow->hash = sp_model_hash(&flow->packet);
}

/*
 * Who has sent nothing for as long as the window was open cannot be told from a new flow, unless something else
 * says where it was.
 */
static void close_window(void)
{
	for (each_flow(flow))
		if (is_steady(flow->worker) && !flow->has_sent && !sp_model_kept(flow, 0) &&
		    !is_placed_by(sp_sim_view(), flow))
			flow->worker = 0;
	seen.learn_until_ns = 0;
}

/* Where two views may choose differently while exactly their usable slots are live, the flow table must be asked. */
static void check_moving(const struct sp_view *previous, const struct sp_view *view)
{
	struct sp_random numbers = { sp_sim.now_ns };

	for (__u32 b = 0; view->kind == SP_VIEW_PLAIN && b < BUCKETS; b++)
		sp_require(!bit(view->moving, b) &&
				   (view->owner[b] >= SP_SLOTS_MAX || bit(view->usable, view->owner[b])),
			   "the view is said to be plain, but bucket %u is not", b);
	for (__u32 i = 0; i < 64; i++) {
		__u64 hash = i % 2 ? sp_random_next(&numbers) : sp_model.flows[i % sp_model.nflows].hash;

		if (bit(view->moving, hash % BUCKETS))
			continue;
		sp_require(previous->kind != SP_VIEW_KERNEL,
			   "bucket %llu is not moving, though the kernel's order was in force",
			   hash % BUCKETS);
		sp_require(choose_usable(previous, hash, true) == choose_usable(view, hash, true),
			   "flow %016llx: the views differ, but its bucket is not moving", hash);
	}
}

/* Nothing is learned: only who is where the view wants him stays. */
static void release_misplaced(void)
{
	for (each_flow(flow))
		if (is_steady(flow->worker) && !is_placed_by(sp_sim_view(), flow))
			flow->worker = 0;
}

static void view_changed(void)
{
	const struct sp_view *view = sp_sim_view();
	bool is_window_new = view->learn_until_ns != seen.view_learns_until_ns;

	if (is_window_new)
		for (each_flow(flow))
			flow->has_sent = false;
	seen.serial = sp_sim_view()->serial;
	seen.view_learns_until_ns = view->learn_until_ns;
	seen.learn_until_ns = 0;
	if (is_tracked() && view->learn_until_ns > sp_sim.now_ns && view->prev != SP_VIEW_NONE) {
		seen.learn_until_ns = view->learn_until_ns;
		/* Else it is the view before, less who has died since: the program knows what to do about them. */
		if (is_window_new)
			check_moving(&sp_sim.views[view->prev], view);
	}
	if (!is_tracked() && sp_sim.is_attached)
		release_misplaced();
}

void sp_model_loader_begins(void)
{
	seen.is_blurred = false;
}

void sp_model_look(void)
{
	if (seen.learn_until_ns && sp_sim.now_ns >= seen.learn_until_ns)
		close_window();
	if (seen.serial != sp_sim_view()->serial)
		view_changed();
}

/* --- what others do to it --- */

static void attached(void)
{
	for (each_flow(flow)) {
		/* The program has seen none of them yet. */
		flow->has_sent = false;
		if (!is_tracked() || !is_steady(flow->worker))
			flow->worker = 0;
	}
}

/* The kernel's own hash decides, from now on or over other members: everybody may have moved. */
static void detached(void)
{
	for (each_flow(flow))
		flow->worker = 0;
	for (__u32 i = 0; i < sp_sim.flows.count; i++)
		sp_sim.flows.entry[i].worker = 0;
	seen.is_blurred = true;
}

static void slot_written(__u32 slot, const struct sp_info *before)
{
	__u32 worker = sp_sim.in_slot[slot];

	if ((sp_sim.info[slot].state == SP_SLOT_EJECTED) == (before->state == SP_SLOT_EJECTED) || !worker)
		return;
	/* Out, or back in: either way nobody belongs to it. */
	for (each_flow(flow))
		if (flow->worker == worker)
			flow->worker = 0;
	for (__u32 i = 0; i < sp_sim.flows.count; i++)
		if (sp_sim.flows.entry[i].worker == worker)
			sp_sim.flows.entry[i].worker = 0;
}

/* A connection is asked about once: the loader lets a TCP worker into its slot before the others are told of it. */
static void slot_taken(void)
{
	if (sp_sim.options.protocol == SP_TCP && sp_sim.is_attached)
		release_misplaced();
}

/* Nothing remembers a flow any more: it may move, once. */
static void release(__u64 hash)
{
	for (each_flow(flow))
		if (flow->hash == hash)
			flow->worker = 0;
}

static void flow_lost(const struct sp_table_entry *entry, enum sp_sim_loss why)
{
	bool is_needed = is_steady(entry->worker) && !sp_sim_is_expired(entry, 0);

	if (why == SP_SIM_EVICTED || sp_sim_is_expired(entry, 0))
		release(entry->hash);
	if (why == SP_SIM_STALE)
		flow_require(entry, !is_needed, "the program forgets it though worker %u lives",
			     entry->worker);
	if (why == SP_SIM_DROPPED && !sp_model_is_learning() && sp_sim.options.track == SP_TRACK_TRANSITION &&
	    sp_model_choose_usable(sp_sim_view(), entry->hash) == sp_sim.slot_of[entry->worker])
		is_needed = false;
	flow_require(entry, why == SP_SIM_EVICTED || !is_needed,
		     "the loader forgets it though only the table knows its worker %u", entry->worker);
}

const struct sp_sim_hooks sp_model_hooks = {
	.time_passed = sp_model_look,
	.attached = attached,
	.detached = detached,
	.slot_written = slot_written,
	.slot_taken = slot_taken,
	.flow_lost = flow_lost,
};

/* --- a packet --- */

/* What the model knows of the flow before it is delivered. */
struct prospect {
	int current; /* where the view in force puts it; negative: nowhere */
	int slot; /* where it has to go; negative: nobody is live */
};

static struct prospect foresee(const struct sp_model_flow *flow)
{
	const struct sp_view *view = sp_sim_view();
	__u32 kept = sp_model_kept(flow, 0);
	struct prospect p;
	int previous;

	p.current = sp_model_choose_usable(view, flow->hash);
	p.slot = p.current;
	if (kept) {
		p.slot = sp_sim.slot_of[kept];
	} else if (sp_model_is_learning() && !is_orphan(flow)) {
		previous = choose_previous(&sp_sim.views[view->prev], flow);
		if (previous >= 0)
			p.slot = previous;
	}
	if (p.slot < 0)
		p.slot = sp_model_choose_any(view, flow->hash);
	return p;
}

static void send_steered(struct sp_model_flow *flow)
{
	const struct sp_table_entry *entry = sp_table_find(&sp_sim.flows, flow->hash);
	const struct prospect p = foresee(flow);
	__u32 worker, kept;
	__u32 slot;

	if (entry && sp_sim_is_expired(entry, 0))
		flow->worker = 0;
	worker = sp_sim_deliver(&flow->packet);
	slot = sp_sim.slot_of[worker];
	flow_require(flow, !is_steady(flow->worker) || worker == flow->worker,
		     "I1: it moved from worker %u in slot %u, which lives, to worker %u in slot %u",
		     flow->worker, sp_sim.slot_of[flow->worker], worker, slot);
	if (p.slot < 0) {
		flow_require(flow, slot == SP_SLOT_NONE || slot >= sp_sim_view()->nslots,
			     "slot %u was chosen, but nobody is live", slot);
		flow->worker = 0;
		return;
	}
	flow_require(flow, slot != SP_SLOT_NONE, "I3: no slot was chosen, but slot %d is live", p.slot);
	flow_require(flow, is_steady(worker) || p.current < 0 || sp_model_names(slot),
		     "it went to slot %u, which is ejected", slot);
	flow_require(flow, slot == (__u32)p.slot, "it went to slot %u, but slot %d is its place", slot,
		     p.slot);

	kept = sp_model_kept(flow, 0);
	flow_require(flow, !kept || kept == worker, "it went to worker %u, but is kept for worker %u", worker,
		     kept);
	entry = kept ? sp_table_find(&sp_sim.flows, flow->hash) : NULL;
	flow_require(flow, !entry || entry->flow.last_seen_s == sp_sim.now_ns / NS_PER_S,
		     "it sends at %llu s, its entry says %u s", sp_sim.now_ns / NS_PER_S,
		     entry->flow.last_seen_s);
	flow_require(flow, kept || p.current < 0 || p.current == (int)slot || !is_steady(worker),
		     "it went to slot %u, the view says %d, and nothing remembers it", slot, p.current);
	flow_require(flow,
		     kept || !is_tracked() || sp_sim.options.track != SP_TRACK_ALWAYS || !is_steady(worker),
		     "every flow is to be kept, but this one is not");
	/* With no usable slot left, another one serves until there is one again; it has no claim to the flow. */
	flow->worker = kept || (p.current >= 0 && is_steady(worker)) ? worker : 0;
	flow->has_sent = true;
}

void sp_model_send(struct sp_model_flow *flow)
{
	if (sp_sim.is_attached)
		send_steered(flow);
	else
		flow->worker = seen.is_blurred && sp_sim_is_reconciling() ? 0 : sp_sim_deliver(&flow->packet);
}
