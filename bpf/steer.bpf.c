// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The steering program: picks the member of a SO_REUSEPORT group for a flow.
 *
 * Asked by the kernel for every UDP packet, once for every new TCP connection, and once more for each connection
 * that waits in a listener which is closed. The policy reads straight down; docs/how-it-works.md tells why.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <steadyport/abi.h>
#include <steadyport/choose.h>
#include "account.bpf.h"
#include "balance.bpf.h"
#include "flows.bpf.h"
#include "maps.bpf.h"
#include "packet.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Fixed for the life of the program, so that the verifier drops what a group does not need. */
const volatile __u32 sp_protocol = SP_TCP;
const volatile __u32 sp_hash = SP_HASH_SIPHASH;
const volatile __u32 sp_track = SP_TRACK_TRANSITION;

/* (loader) The kernel has bpf_loop(): the verifier follows a turn of the scan, and not 1,024. */
const volatile bool sp_has_loop = false;

/* The last socket that was selected wins, so a slot may be tried, and another after it. */
static __always_inline int take(void *md, __u32 slot)
{
	int err = bpf_sk_select_reuseport(md, &sp_slots, &slot, 0);

	return err ? refused(slot, err) : 0;
}

static __always_inline struct sp_view *view_at(__u32 index)
{
	return bpf_map_lookup_elem(&sp_views, &index);
}

/*
 * The way round a dead owner is in global functions: the verifier walks each of them once, not for each caller and
 * each turn of a loop.
 */
__noinline int take_other(struct sk_reuseport_md *md, __u32 slot)
{
	return take(md, slot);
}

static __always_inline int take_in_loop(void *md, __u32 slot)
{
	return take_other(md, slot);
}

struct scan {
	struct sk_reuseport_md *md;
	__u64 hash;
	__u32 index;
	bool usable;
	int choice;
};

/* Not with take_other(): a chain of calls is eight long at most, and this is the end of the longest. */
static long scan_turn(__u32 i, void *ctx)
{
	struct scan *scan = ctx;
	struct sp_view *view = view_at(scan->index);
	__u32 slot;

	if (!view || i >= view->nslots)
		return 1;
	slot = sp_scanned(view->nslots, scan->hash, i);
	if (sp_is_usable(view, slot) != scan->usable || take(scan->md, slot))
		return 0;
	scan->choice = SP_CHOICE(slot, SP_HOW_SCAN);
	return 1;
}

__noinline int choose_scan_by_loop(struct sk_reuseport_md *md, __u32 index, __u64 hash, bool usable)
{
	struct scan scan = { md, hash, index, usable, SP_CHOICE_NONE };

	/* Some kernels follow this function though nobody calls it. */
	if (sp_has_loop)
		bpf_loop(SP_SLOTS_MAX, scan_turn, &scan, 0);
	return scan.choice;
}

__noinline int choose_scan_by_turns(struct sk_reuseport_md *md, __u32 index, __u64 hash, bool usable)
{
	struct sp_view *view = view_at(index);

	return view && !sp_has_loop ? sp_choose_scan(view, hash, usable, md, take_in_loop) : SP_CHOICE_NONE;
}

static __always_inline int choose_scan(struct sk_reuseport_md *md, __u32 index, __u64 hash, bool usable)
{
	return sp_has_loop ? choose_scan_by_loop(md, index, hash, usable) :
			     choose_scan_by_turns(md, index, hash, usable);
}

/* Without `any` the last resort is left out: slots that are live but not usable in the view. */
__noinline int choose_other(struct sk_reuseport_md *md, __u32 index, __u64 hash, bool any)
{
	struct sp_view *view = view_at(index);
	int choice;

	if (!view)
		return SP_CHOICE_NONE;
	choice = sp_choose_probe(view, hash, md, take_in_loop);
	if (choice < 0)
		choice = choose_scan(md, index, hash, true);
	if (choice < 0 && any)
		choice = choose_scan(md, index, hash, false);
	if (choice < 0 && any && sp_protocol == SP_TCP)
		choice = sp_choose_park(view, md, take_in_loop);
	return choice;
}

static __noinline int finish(int choice)
{
	__u32 slot = SP_CHOICE_SLOT(choice);

	if (choice < 0) {
		count_group(unselected);
		return SK_PASS; /* nothing of ours is live: the kernel's hash over whoever else is there */
	}
	switch (SP_CHOICE_HOW(choice)) {
	case SP_HOW_OWNER:
		count(slot, steered);
		break;
	case SP_HOW_PROBE:
		count(slot, rerouted);
		break;
	case SP_HOW_PARK:
		count(slot, parked);
		break;
	case SP_HOW_LOAD:
		count(slot, placed);
		break;
	default:
		count(slot, scanned);
	}
	return SK_PASS;
}

/* The slot of an unknown flow under the view before the current one, taken; or SP_CHOICE_NONE. */
static __always_inline int choose_previous(struct sk_reuseport_md *md, __u32 index, __u64 hash)
{
	struct sp_view *view = view_at(index);
	int choice;

	if (!view)
		return SP_CHOICE_NONE;
	if (view->kind == SP_VIEW_KERNEL)
		return sp_choose_kernel(view, md->hash, md, take);
	/* No last resort: it would find whoever joined since, not where this flow went. */
	choice = sp_choose_owner(view, hash, md, take);
	return choice >= 0 ? choice : choose_other(md, index, hash, false);
}

/*
 * A UDP flow that the current view alone cannot place: it is kept, or unknown during a learn window. Unknown flows
 * follow the previous view and are kept where the current one would not find them.
 */
static __noinline int steer_unsettled(struct sk_reuseport_md *md, const struct sp_ctl *ctl,
				      struct sp_view *view, __u32 index, __u64 hash)
{
	__u64 now = bpf_ktime_get_ns();
	enum memory memory = take_kept(md, hash, now, ctl->flow_idle_s, take);
	int choice, previous = 0;

	if (memory == MEMORY_TAKEN)
		return SK_PASS;

	choice = sp_choose_owner(view, hash, md, take);
	if (choice < 0)
		choice = choose_other(md, index, hash, true);
	if (now < view->learn_until_ns && memory == MEMORY_ORPHAN) {
		/* It has no worker to stay with. Led by the previous view it would miss all who have joined since. */
		previous = SP_CHOICE_NONE;
	} else if (now < view->learn_until_ns) {
		previous = choose_previous(md, view->prev, hash);
		if (previous >= 0 && SP_CHOICE_SLOT(previous) != SP_CHOICE_SLOT(choice)) {
			keep(hash, SP_CHOICE_SLOT(previous), now);
			count(SP_CHOICE_SLOT(previous), learned);
			return SK_PASS;
		}
	}
	/* What the previous view cannot place, only the table remembers if the view changes again. */
	if (choice >= 0 && (sp_track == SP_TRACK_ALWAYS || previous < 0))
		keep(hash, SP_CHOICE_SLOT(choice), now);
	else if (memory == MEMORY_ORPHAN)
		bpf_map_delete_elem(&sp_flows, &hash);
	return finish(choice);
}

/* Where a connection goes: where the hash says, or where there is less to do. */
static __always_inline int place(struct sk_reuseport_md *md, struct sp_view *view, __u32 index, __u64 hash)
{
	int choice = sp_choose_owner(view, hash, md, take);

	if (choice < 0)
		choice = choose_other(md, index, hash, true);
	if (sp_balance != SP_BALANCE_HASH && choice >= 0)
		choice = balance(md, view, index, hash, choice, take_in_loop);
	return choice;
}

/* A connection that must leave a closed listener. */
static __noinline int steer_migrating(struct sk_reuseport_md *md, struct bpf_sock *migrating,
				      const struct sp_ctl *ctl, struct sp_view *view, __u32 index)
{
	__u64 hash = sp_hash == SP_HASH_KERNEL ? sp_flow_hash_kernel(md->hash) :
						 hash_migrating(migrating, ctl->key);
	int choice = place(md, view, index, hash);

	if (choice < 0)
		return finish(choice);
	if (sp_balance == SP_BALANCE_LEAST_CONN)
		count_moved(migrating, SP_CHOICE_SLOT(choice));
	return migrated(SP_CHOICE_SLOT(choice));
}

/* A new connection of a group that does not go by the hash alone. */
static __noinline int steer_by_load(struct sk_reuseport_md *md, struct sp_view *view, __u32 index, __u64 hash)
{
	return finish(place(md, view, index, hash));
}

/*
 * The bucket's owner is not usable, or died after the view was planned. The two views in force may differ in the rest of
 * the chain, so until the view is settled (learn_until_ns 0) its flows are learned and kept, too.
 */
static __noinline int steer_without_owner(struct sk_reuseport_md *md, const struct sp_ctl *ctl,
					  struct sp_view *view, __u32 index, __u64 hash)
{
	if (sp_protocol == SP_UDP && view->learn_until_ns)
		return steer_unsettled(md, ctl, view, index, hash);
	return finish(choose_other(md, index, hash, true));
}

/* A view that is not PLAIN: something moves, or is drained, or dead; or every flow is remembered. */
static __noinline int steer_planned(struct sk_reuseport_md *md, const struct sp_ctl *ctl,
				    struct sp_view *view, __u32 index, __u64 hash)
{
	int choice;

	if (sp_protocol == SP_UDP && (sp_track == SP_TRACK_ALWAYS || sp_is_moving(view, hash)))
		return steer_unsettled(md, ctl, view, index, hash);
	choice = sp_choose_owner(view, hash, md, take);
	return choice < 0 ? steer_without_owner(md, ctl, view, index, hash) : finish(choice);
}

/*
 * The hot path: the flow's hash, the owner of its bucket, one question, one count. It is short, and nothing of the rest
 * lies in between: what it costs most is cache lines, of code as much as of data.
 */
SEC("sk_reuseport/migrate")
int sp_steer(struct sk_reuseport_md *md)
{
	struct bpf_sock *migrating;
	__u32 zero = 0, index;
	struct sp_view *view;
	struct sp_ctl *ctl;
	__u64 hash;
	int choice;

	ctl = bpf_map_lookup_elem(&sp_ctl, &zero);
	if (!ctl)
		return finish(SP_CHOICE_NONE);
	index = *(volatile __u32 *)&ctl->current;
	view = view_at(index);
	if (!view)
		return finish(SP_CHOICE_NONE);
	migrating = md->migrating_sk;
	if (migrating)
		return steer_migrating(md, migrating, ctl, view, index);

	hash = sp_hash == SP_HASH_KERNEL ? sp_flow_hash_kernel(md->hash) : hash_packet(md, ctl->key);
	if (sp_protocol == SP_TCP && sp_balance != SP_BALANCE_HASH)
		return steer_by_load(md, view, index, hash);
	if (sp_track != SP_TRACK_ALWAYS && view->kind == SP_VIEW_PLAIN) {
		choice = sp_choose_owner(view, hash, md, take);
		if (choice < 0)
			return steer_without_owner(md, ctl, view, index, hash);
		count(SP_CHOICE_SLOT(choice), steered);
		return SK_PASS;
	}
	return steer_planned(md, ctl, view, index, hash);
}
