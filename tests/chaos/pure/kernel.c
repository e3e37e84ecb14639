// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The simulated kernel: the group, and the helpers that the program calls. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include "kernel.h"
#include "report.h"

#define IPV4_SADDR 12 /* offsetof(struct iphdr, saddr) */

struct sp_sim sp_sim;

/* bpf/steer.bpf.c: its entry, its knobs and, for their addresses only, its maps */
int sp_steer(struct sk_reuseport_md *md);
extern volatile __u32 sp_protocol, sp_hash, sp_track, sp_counter_slots;
extern char sp_slots[], sp_views[], sp_ctl[], sp_info[], sp_flows[], sp_counters[], sp_events[], sp_socks[];

/* The run of the program that is going on. */
static const struct sp_sim_packet *packet;
static int selected;

/* --- the group --- */

void sp_sim_boot(const struct sp_sim_hooks *hooks)
{
	/* All of it: what is left of the history before would make this one another when it is repeated alone. */
	memset(&sp_sim, 0, sizeof(sp_sim));
	sp_sim.hooks = hooks;
	sp_sim.now_ns = 1000000000;
	sp_sim.slot_of[0] = SP_SLOT_NONE;
}

void sp_sim_load(const struct sp_sim_options *options)
{
	sp_sim.options = *options;
	sp_protocol = options->protocol;
	sp_hash = options->hash;
	sp_track = options->track;
	sp_counter_slots = SP_SLOTS_MAX;

	memset(sp_sim.views, 0, sizeof(sp_sim.views));
	memset(sp_sim.info, 0, sizeof(sp_sim.info));
	memset(sp_sim.socks, 0, sizeof(sp_sim.socks));
	memset(sp_sim.counters, 0, sizeof(sp_sim.counters));
	memset(sp_sim.carried, 0, sizeof(sp_sim.carried));
	memset(sp_sim.lost, 0, sizeof(sp_sim.lost));
	sp_sim.replaced = 0;
	memset(sp_sim.delivered, 0, sizeof(sp_sim.delivered));
	memset(sp_sim.in_slot, 0, sizeof(sp_sim.in_slot));
	sp_table_reset(&sp_sim.flows, options->flow_room);

	/* As sp_steer_load() leaves them. */
	sp_sim.views[0].prev = SP_VIEW_NONE;
	memset(sp_sim.views[0].owner, 0xff, sizeof(sp_sim.views[0].owner));
	sp_sim.ctl = (struct sp_ctl){
		.abi = SP_ABI_VERSION,
		.key = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 },
		.netns_cookie = 1,
		.protocol = options->protocol,
		.family = 2, /* AF_INET */
		.port = 443,
		.hash = options->hash,
		.track = options->track,
		.flow_idle_s = options->flow_idle_s,
		.learn_ns = options->learn_ns,
	};
}

void sp_sim_unload(void)
{
	sp_sim_detach();
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++) {
		if (sp_sim.in_slot[s])
			sp_sim.slot_of[sp_sim.in_slot[s]] = SP_SLOT_NONE;
		sp_sim.in_slot[s] = 0;
	}
}

void sp_sim_attach(void)
{
	sp_sim.is_attached = true;
	sp_sim.hooks->attached();
}

void sp_sim_detach(void)
{
	if (!sp_sim.is_attached)
		return;
	sp_sim.is_attached = false;
	sp_sim.hooks->detached();
}

__u32 sp_sim_join(void)
{
	__u32 worker = ++sp_sim.last_worker;

	sp_require(worker < SP_SIM_WORKERS_MAX && sp_sim.nmembers < SP_SIM_MEMBERS_MAX,
		   "the storm makes more workers than there is room for");
	sp_sim.is_open[worker] = true;
	sp_sim.slot_of[worker] = SP_SLOT_NONE;
	sp_sim.member[sp_sim.nmembers++] = worker;
	if (!sp_sim.is_attached)
		sp_sim.hooks->detached();
	return worker;
}

/* __reuseport_detach_sock(): the last one moves into the hole. The sockarray's entry goes with the socket. */
void sp_sim_close(__u32 worker)
{
	__u32 i = 0;

	while (sp_sim.member[i] != worker)
		i++;
	sp_sim.member[i] = sp_sim.member[--sp_sim.nmembers];
	if (sp_sim.slot_of[worker] != SP_SLOT_NONE)
		sp_sim.in_slot[sp_sim.slot_of[worker]] = 0;
	sp_sim.slot_of[worker] = SP_SLOT_NONE;
	sp_sim.is_open[worker] = false;
	if (!sp_sim.nmembers)
		sp_sim.is_attached = false;
	if (!sp_sim.is_attached)
		sp_sim.hooks->detached();
}

__u32 sp_sim_deliver(const struct sp_sim_packet *p)
{
	struct sk_reuseport_md md = {
		.data = (void *)&p->tuple.sport,
		.data_end = (void *)(&p->tuple.dport + 1),
		.eth_protocol = htons(ETH_P_IP),
		.hash = p->kernel_hash,
	};

	if (!sp_sim.nmembers)
		return 0;
	if (sp_sim.is_attached) {
		packet = p;
		selected = SP_SLOTS_MAX;
		sp_steer(&md);
		sp_sim.delivered[selected]++;
		if (selected < SP_SLOTS_MAX)
			return sp_sim.in_slot[selected];
	}
	/* reuseport_select_sock_by_hash() */
	return sp_sim.member[(__u64)p->kernel_hash * sp_sim.nmembers >> 32];
}

void sp_sim_lose(const struct sp_table_entry *entry, enum sp_sim_loss why)
{
	sp_sim.lost[why]++;
	sp_sim.hooks->flow_lost(entry, why);
}

int sp_sim_forget(__u64 hash, enum sp_sim_loss why)
{
	const struct sp_table_entry *found = sp_table_find(&sp_sim.flows, hash);
	struct sp_table_entry entry;

	if (!found)
		return -ENOENT;
	entry = *found;
	sp_table_remove(&sp_sim.flows, hash);
	sp_sim_lose(&entry, why);
	return 0;
}

void sp_sim_evict(__u32 index)
{
	sp_sim_forget(sp_sim.flows.entry[index].hash, SP_SIM_EVICTED);
}

/* Each flow that was stored is in the table, or was taken out and counted, or the kernel has evicted it. */
void sp_sim_check_flow_books(void)
{
	__u64 stored = 0, by_program = 0, by_loader = 0;

	for (__u32 row = 0; row <= SP_SLOTS_MAX; row++) {
		const struct sp_counters *c = &sp_sim.counters[row], *carried = &sp_sim.carried[row];

		stored += c->stored;
		by_program += c->stale + c->expired;
		by_loader += carried->settled + carried->expired;
	}
	sp_require(by_program == sp_sim.lost[SP_SIM_STALE] + sp_sim.replaced,
		   "%llu flows were counted as forgotten by the program, it were %llu, and %llu stored anew",
		   by_program, sp_sim.lost[SP_SIM_STALE], sp_sim.replaced);
	sp_require(by_loader == sp_sim.lost[SP_SIM_DROPPED],
		   "%llu flows were counted as forgotten by the loader, it were %llu", by_loader,
		   sp_sim.lost[SP_SIM_DROPPED]);
	sp_require(stored == sp_sim.flows.count + by_program + by_loader + sp_sim.lost[SP_SIM_EVICTED],
		   "%llu flows were counted as stored, %u of them are left", stored, sp_sim.flows.count);
}

void sp_sim_check_outcomes(void)
{
	for (__u32 row = 0; row <= SP_SLOTS_MAX; row++) {
		const struct sp_counters *c = &sp_sim.counters[row];
		__u64 outcomes = 0;

#define SP_COUNTER(name, kind, text) outcomes += SP_COUNTER_IS_##kind ? c->name : 0;
#define SP_COUNTER_IS_OUTCOME 1
#define SP_COUNTER_IS_DETAIL 0
#include <steadyport/counters.def>
#undef SP_COUNTER
		sp_require(outcomes == sp_sim.delivered[row],
			   "I8: %llu runs of the program chose slot %u, its outcomes add up to %llu",
			   sp_sim.delivered[row], row, outcomes);
	}
}

/* --- what the program calls --- */

void *sp_sim_lookup(void *map, const void *key)
{
	__u32 index = *(const __u32 *)key;
	struct sp_table_entry *entry;

	if (map == sp_views)
		return index < SP_VIEWS ? &sp_sim.views[index] : NULL;
	if (map == sp_ctl)
		return &sp_sim.ctl;
	if (map == sp_info)
		return index < SP_SLOTS_MAX ? &sp_sim.info[index] : NULL;
	if (map == sp_socks)
		return index < SP_SLOTS_MAX ? &sp_sim.socks[index] : NULL;
	if (map == sp_counters)
		return index <= SP_SLOTS_MAX ? &sp_sim.counters[index] : NULL;
	sp_require(map == sp_flows, "the program looks into a map that is not simulated");
	entry = sp_table_find(&sp_sim.flows, *(const __u64 *)key);
	return entry ? &entry->flow : NULL;
}

/* A full LRU map makes room; which entry goes is nobody's to rely on. */
long sp_sim_update(void *map, const void *key, const void *value, __u64 flags)
{
	const struct sp_flow *flow = value;
	__u64 hash = *(const __u64 *)key;

	sp_require(map == sp_flows && flags == BPF_ANY, "the program writes a map that is not simulated");
	sp_sim.replaced += sp_table_find(&sp_sim.flows, hash) != NULL;
	if (sp_table_is_full(&sp_sim.flows) && !sp_table_find(&sp_sim.flows, hash))
		sp_sim_evict(hash % sp_sim.flows.count);
	sp_table_put(&sp_sim.flows, hash, flow, sp_sim.in_slot[flow->slot]);
	return 0;
}

long sp_sim_delete(void *map, const void *key)
{
	sp_require(map == sp_flows, "the program deletes from a map that is not simulated");
	return sp_sim_forget(*(const __u64 *)key, SP_SIM_STALE);
}

long bpf_sk_select_reuseport(struct sk_reuseport_md *md, void *map, void *key, __u64 flags)
{
	__u32 slot = *(__u32 *)key;

	(void)md;
	(void)flags;
	sp_require(map == sp_slots, "the program selects from a map that is no sockarray");
	if (slot >= SP_SLOTS_MAX || !sp_sim.in_slot[slot])
		return -ENOENT;
	selected = slot;
	return 0;
}

long bpf_skb_load_bytes(const void *md, __u32 offset, void *to, __u32 len)
{
	(void)md;
	memcpy(to, (const char *)&packet->tuple.sport + offset, len);
	return 0;
}

long bpf_skb_load_bytes_relative(const void *md, __u32 offset, void *to, __u32 len, __u32 start)
{
	(void)md;
	sp_require(start == BPF_HDR_START_NET && offset == IPV4_SADDR && len == 8,
		   "the program reads %u bytes at %u, which are not the IPv4 addresses", len, offset);
	memcpy(to, &packet->tuple, len);
	return 0;
}

void *bpf_ringbuf_reserve(void *ringbuf, __u64 size, __u64 flags)
{
	static struct sp_event event;

	(void)flags;
	sp_require(ringbuf == sp_events && size == sizeof(event), "the program writes an unknown event");
	return &event;
}

void bpf_ringbuf_submit(void *data, __u64 flags)
{
	(void)data;
	(void)flags;
}

/* No connection waits anywhere: the simulated group is steered by the hash. */
long bpf_probe_read_kernel(void *to, __u32 size, const void *from)
{
	(void)from;
	memset(to, 0, size);
	return 0;
}

__u64 bpf_get_socket_cookie(void *sk)
{
	(void)sk;
	sp_report_violation("the program counts connections of a group that is steered by the hash");
}

__u64 bpf_ktime_get_ns(void)
{
	return sp_sim.now_ns;
}
