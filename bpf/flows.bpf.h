/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The flow table: UDP flows that are remembered because the current view alone would not find their worker. */
#ifndef STEADYPORT_FLOWS_BPF_H
#define STEADYPORT_FLOWS_BPF_H

#include <steadyport/choose.h>
#include "account.bpf.h"
#include "maps.bpf.h"

static __always_inline __u32 seconds(__u64 ns)
{
	return ns / 1000000000;
}

static __always_inline void keep(__u64 hash, __u32 slot, __u64 now)
{
	struct sp_info *info = bpf_map_lookup_elem(&sp_info, &slot);
	struct sp_flow flow = { .slot = slot, .last_seen_s = seconds(now) };

	if (!info)
		return;
	flow.incarnation = info->incarnation;
	if (bpf_map_update_elem(&sp_flows, &hash, &flow, BPF_ANY))
		count(slot, keep_failed);
	else
		count(slot, stored);
}

/* What the table knows of a flow. */
enum memory {
	MEMORY_NONE,
	MEMORY_TAKEN, /* its worker, which lives and is selected */
	MEMORY_ORPHAN, /* its worker, which is gone. It has not been heard of since: its first packet ends this */
};

/*
 * Asked before anything else in a moving bucket: a flow that was kept stays, unless its worker is gone or it was
 * silent for too long. The latter is decided here and not only where user space cleans up: whoever sweeps an expired
 * entry away then changes nothing for a packet that arrives at the same time.
 */
static __always_inline enum memory take_kept(void *md, __u64 hash, __u64 now, __u32 idle_s,
					     int (*take)(void *md, __u32 slot))
{
	struct sp_flow *flow = bpf_map_lookup_elem(&sp_flows, &hash);
	struct sp_info *info;
	__u32 slot;

	if (!flow)
		return MEMORY_NONE;
	slot = flow->slot;
	if (sp_flow_is_expired(flow, seconds(now), idle_s)) {
		bpf_map_delete_elem(&sp_flows, &hash);
		count(slot, expired);
		return MEMORY_NONE;
	}
	info = bpf_map_lookup_elem(&sp_info, &slot);
	/* A slot that is being ejected is still in the view: what is kept for it until it is not ends with that, too. */
	if (info && info->incarnation == flow->incarnation && info->state != SP_SLOT_EJECTED &&
	    take(md, slot) == 0) {
		/* A shared cache line: written once a second, not once a packet. */
		if (flow->last_seen_s != seconds(now))
			flow->last_seen_s = seconds(now);
		count(slot, kept);
		return MEMORY_TAKEN;
	}
	count(slot, stale);
	return MEMORY_ORPHAN;
}

#endif
