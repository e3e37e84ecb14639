// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The kept flows of a group. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <steadyport/choose.h>
#include "kept.h"
#include "log.h"

#define NS_PER_S 1000000000ULL

void sp_kept_free(struct sp_kept *kept)
{
	free(kept->flows);
	*kept = (struct sp_kept){ 0 };
}

struct reading {
	const struct sp_pins *pins;
	const struct sp_state *state;
	__u32 now_s;
	struct sp_kept kept;
};

static int add(void *ctx, __u64 hash, const struct sp_flow *flow)
{
	struct reading *r = ctx;
	struct sp_kept *kept = &r->kept;
	__s32 idle_s = r->now_s - flow->last_seen_s;

	/* Full whenever the count is a power of two. */
	if ((kept->count & (kept->count - 1)) == 0) {
		void *grown =
			reallocarray(kept->flows, kept->count ? kept->count * 2 : 1, sizeof(*kept->flows));

		if (!grown)
			return sp_fail(-ENOMEM, "cannot read the kept flows of %s", r->pins->name);
		kept->flows = grown;
	}
	kept->flows[kept->count++] = (struct sp_kept_flow){
		.hash = hash,
		.slot = flow->slot & (SP_SLOTS_MAX - 1),
		.last_seen_s = flow->last_seen_s,
		.idle_s = idle_s > 0 ? idle_s : 0,
		.is_stale = flow->slot >= SP_SLOTS_MAX || !sp_slot_is_live(r->state, flow->slot) ||
			    r->state->info[flow->slot].incarnation != flow->incarnation ||
			    r->state->info[flow->slot].state == SP_SLOT_EJECTED,
		/* A packet that touches it in this very second may have read the clock before us. */
		.is_expired = sp_flow_is_expired(flow, r->now_s - 1, r->state->ctl.flow_idle_s),
	};
	return 0;
}

int sp_kept_read(const struct sp_pins *pins, const struct sp_state *state, struct sp_kept *ret_kept)
{
	struct reading r = { .pins = pins, .state = state, .now_s = sp_now_ns() / NS_PER_S };
	int err = 0;

	if (state->ctl.protocol == SP_UDP && state->ctl.track != SP_TRACK_OFF)
		err = sp_state_each_flow(pins, add, &r);
	if (err) {
		sp_kept_free(&r.kept);
		return err;
	}
	*ret_kept = r.kept;
	return 0;
}

bool sp_kept_is_in_force(const struct sp_kept_flow *flow)
{
	return !flow->is_stale && !flow->is_expired;
}

int sp_kept_count_by_slot(const struct sp_pins *pins, const struct sp_state *state,
			  __u64 ret_counts[SP_SLOTS_MAX])
{
	sp_autokept struct sp_kept kept = { 0 };
	int err = sp_kept_read(pins, state, &kept);

	if (err)
		return err;
	memset(ret_counts, 0, SP_SLOTS_MAX * sizeof(*ret_counts));
	for (size_t i = 0; i < kept.count; i++)
		ret_counts[kept.flows[i].slot] += sp_kept_is_in_force(&kept.flows[i]);
	return 0;
}

int sp_kept_count(const struct sp_pins *pins, const struct sp_state *state, __u64 *ret_count)
{
	__u64 counts[SP_SLOTS_MAX];
	int err = sp_kept_count_by_slot(pins, state, counts);

	if (err)
		return err;
	*ret_count = 0;
	for (__u32 slot = 0; slot < SP_SLOTS_MAX; slot++)
		*ret_count += counts[slot];
	return 0;
}

__u64 sp_kept_forgotten(const struct sp_kept *kept, const struct sp_counters *rows, __u32 nrows)
{
	__u64 stored = 0, taken = kept->count;

	for (__u32 i = 0; i < nrows; i++) {
		stored += rows[i].stored;
		taken += rows[i].stale + rows[i].expired + rows[i].settled;
	}
	return stored > taken ? stored - taken : 0;
}

static int take_planned(void *slots, __u32 slot)
{
	return ((const struct sp_plan_slots *)slots)->slot[slot].is_live ? 0 : -ENOENT;
}

bool sp_kept_is_redundant(const struct sp_kept_flow *flow, const struct sp_view *view,
			  const struct sp_plan_slots *slots)
{
	/* A last resort is no place: the flow would leave it for the first slot that becomes usable. */
	int choice = sp_choose_usable(view, flow->hash, (void *)slots, take_planned);

	return sp_kept_is_in_force(flow) && choice >= 0 && SP_CHOICE_SLOT(choice) == flow->slot;
}

void sp_kept_mark(const struct sp_kept *kept, __u64 ret_bits[SP_BUCKETS / 64])
{
	memset(ret_bits, 0, SP_BUCKETS / 8);
	for (size_t i = 0; i < kept->count; i++) {
		__u32 bucket = sp_bucket(kept->flows[i].hash);

		if (!kept->flows[i].is_expired)
			ret_bits[bucket / 64] |= 1ULL << (bucket % 64);
	}
}

static int count_taken(const struct sp_pins *pins, const __u32 settled[SP_SLOTS_MAX],
		       const __u32 expired[SP_SLOTS_MAX])
{
	int err = 0;

	for (__u32 s = 0; !err && s < SP_SLOTS_MAX; s++)
		err = sp_state_count_forgotten(pins, s, settled[s], expired[s]);
	return err;
}

/*
 * With `always` a packet may have come since the entry was read, and stored the flow anew: that is put back. Whoever
 * misses it in between goes where the view places him, which is where it was stored.
 */
static bool take_expired(const struct sp_pins *pins, const struct sp_kept_flow *k)
{
	struct sp_flow flow;

	if (bpf_map_lookup_and_delete_elem(pins->flows, &k->hash, &flow))
		return false;
	if (flow.last_seen_s == k->last_seen_s)
		return true;
	bpf_map_update_elem(pins->flows, &k->hash, &flow, BPF_NOEXIST);
	return false;
}

int sp_kept_drop(const struct sp_pins *pins, enum sp_track track, const struct sp_view *view,
		 const struct sp_plan_slots *slots, struct sp_kept *kept)
{
	__u32 settled[SP_SLOTS_MAX] = { 0 }, expired[SP_SLOTS_MAX] = { 0 };
	size_t left = 0;

	for (size_t i = 0; i < kept->count; i++) {
		const struct sp_kept_flow *k = &kept->flows[i];
		/* With `always` the packet that finds it missing would only store it again. */
		bool is_settled = track == SP_TRACK_TRANSITION &&
				  (k->is_stale || sp_kept_is_redundant(k, view, slots));

		if (k->is_expired && take_expired(pins, k))
			expired[k->slot]++;
		else if (is_settled && bpf_map_delete_elem(pins->flows, &k->hash) == 0)
			settled[k->slot]++;
		else
			kept->flows[left++] = *k;
	}
	kept->count = left;
	return count_taken(pins, settled, expired);
}

int sp_kept_forget(const struct sp_pins *pins, struct sp_kept *kept)
{
	__u32 settled[SP_SLOTS_MAX] = { 0 }, expired[SP_SLOTS_MAX] = { 0 };

	for (size_t i = 0; i < kept->count; i++) {
		const struct sp_kept_flow *k = &kept->flows[i];

		if (bpf_map_delete_elem(pins->flows, &k->hash) == 0)
			(k->is_expired ? expired : settled)[k->slot]++;
	}
	kept->count = 0;
	return count_taken(pins, settled, expired);
}
