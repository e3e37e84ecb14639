// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The helpers that the program calls, over tables with anything in them. */
#include <errno.h>
#include "../fuzz.h"
#include "kernel.h"

/* bpf/steer.bpf.c: its entry, its knobs and, for their addresses only, its maps */
int sp_steer(struct sk_reuseport_md *md);
extern volatile __u32 sp_protocol, sp_hash, sp_track, sp_counter_slots, sp_balance;
extern volatile bool sp_has_loop;
extern char sp_slots[], sp_views[], sp_ctl[], sp_info[], sp_flows[], sp_counters[], sp_events[], sp_socks[];
extern char sp_active[], sp_moved[];

void *sp_sim_lookup(void *map, const void *key);
long sp_sim_update(void *map, const void *key, const void *value, __u64 flags);
long sp_sim_delete(void *map, const void *key);
long bpf_sk_select_reuseport(struct sk_reuseport_md *md, void *map, void *key, __u64 flags);
long bpf_skb_load_bytes(const void *md, __u32 offset, void *to, __u32 len);
long bpf_skb_load_bytes_relative(const void *md, __u32 offset, void *to, __u32 len, __u32 start);
long bpf_probe_read_kernel(void *to, __u32 size, const void *from);
void *bpf_ringbuf_reserve(void *ringbuf, __u64 size, __u64 flags);
void bpf_ringbuf_submit(void *data, __u64 flags);
__u64 bpf_ktime_get_ns(void);
__u64 bpf_get_socket_cookie(void *sk);

static struct sp_fuzz_kernel *kernel;
static const struct sp_fuzz_packet *packet;
static struct sp_fuzz_run run;
static struct sp_event reserved;
static bool is_reserved;

/* One packet is one flow: whatever is asked of the flow table is asked for the same hash. */
static void see_flow_hash(const void *key)
{
	__u64 hash;

	memcpy(&hash, key, sizeof(hash));
	sp_must(!run.has_asked_flow || run.flow_hash == hash, "two hashes of one packet");
	run.has_asked_flow = true;
	run.flow_hash = hash;
}

void *sp_sim_lookup(void *map, const void *key)
{
	__u32 index = *(const __u32 *)key;

	if (map == sp_views)
		return index < SP_VIEWS ? &kernel->views[index] : NULL;
	if (map == sp_ctl)
		return index < 1 ? &kernel->ctl : NULL;
	if (map == sp_info)
		return index < SP_SLOTS_MAX ? &kernel->info[index] : NULL;
	if (map == sp_socks)
		return index < SP_SLOTS_MAX ? &kernel->socks[index] : NULL;
	if (map == sp_active)
		return index < SP_SLOTS_MAX ? &kernel->active[index] : NULL;
	if (map == sp_moved)
		return kernel->has_moved ? &kernel->moved : NULL;
	if (map == sp_counters)
		return index <= kernel->counter_slots ? &kernel->counters[index] : NULL;
	sp_must(map == sp_flows, "the program looks into a map that is not there");
	see_flow_hash(key);
	return kernel->has_flow ? &kernel->flow : NULL;
}

long sp_sim_update(void *map, const void *key, const void *value, __u64 flags)
{
	sp_must((map == sp_flows || map == sp_moved) && flags == BPF_ANY,
		"the program writes a map that is not its own");
	if (map == sp_flows)
		see_flow_hash(key);
	if (kernel->cannot_keep)
		return -ENOMEM;
	if (map == sp_moved) {
		kernel->moved = *(const struct sp_tag *)value;
		kernel->has_moved = true;
		return 0;
	}
	kernel->flow = *(const struct sp_flow *)value;
	kernel->has_flow = true;
	run.has_stored_flow = true;
	return 0;
}

long sp_sim_delete(void *map, const void *key)
{
	if (map == sp_moved) {
		kernel->has_moved = false;
		return 0;
	}
	sp_must(map == sp_flows, "the program deletes from a map that is not its own");
	see_flow_hash(key);
	if (!kernel->has_flow)
		return -ENOENT;
	kernel->has_flow = false;
	return 0;
}

long bpf_sk_select_reuseport(struct sk_reuseport_md *md, void *map, void *key, __u64 flags)
{
	__u32 slot = *(const __u32 *)key;
	int err = slot < SP_SLOTS_MAX ? kernel->select_err[slot] : -ENOENT;

	(void)md;
	sp_must(map == sp_slots && !flags, "the program selects from a map that is no sockarray");
	run.nselects++;
	if (!err)
		run.selected = slot;
	return err;
}

/* As the kernel: bytes that are not there leave zeros. */
static long load(const __u8 *from, __u32 room, __u32 offset, void *to, __u32 len)
{
	if (offset > room || len > room - offset) {
		memset(to, 0, len);
		return -EFAULT;
	}
	memcpy(to, from + offset, len);
	return 0;
}

long bpf_skb_load_bytes(const void *md, __u32 offset, void *to, __u32 len)
{
	(void)md;
	sp_must(!packet->migrating, "the packet of a migration is read, which the kernel leaves empty");
	return load(packet->network + packet->header_len, packet->len - packet->header_len, offset, to, len);
}

long bpf_skb_load_bytes_relative(const void *md, __u32 offset, void *to, __u32 len, __u32 start)
{
	(void)md;
	sp_must(!packet->migrating, "the packet of a migration is read, which the kernel leaves empty");
	sp_must(start == BPF_HDR_START_NET, "relative to something else than the IP header");
	return load(packet->network, packet->len, offset, to, len);
}

void *bpf_ringbuf_reserve(void *ringbuf, __u64 size, __u64 flags)
{
	sp_must(ringbuf == sp_events && size == sizeof(reserved) && !flags,
		"the program writes an unknown event");
	sp_must(!is_reserved, "two events are reserved at once");
	is_reserved = !kernel->is_ring_full;
	return is_reserved ? &reserved : NULL;
}

void bpf_ringbuf_submit(void *data, __u64 flags)
{
	sp_must(is_reserved && data == &reserved && !flags, "an event is submitted that was not reserved");
	sp_must(reserved.kind == SP_EVENT_MIGRATED || reserved.kind == SP_EVENT_EMPTY, "an event of kind %d",
		reserved.kind);
	is_reserved = false;
	run.events++;
}

/* Sockets lie far apart; which of its fields is read makes no difference. */
long bpf_probe_read_kernel(void *to, __u32 size, const void *from)
{
	__u64 slot = (__u64)(uintptr_t)from / SP_FUZZ_SOCK - 1;

	sp_must(size == sizeof(__u32), "the program reads %u bytes of a socket", size);
	sp_must(slot < SP_SLOTS_MAX, "the program reads where no socket is");
	memcpy(to, &kernel->waiting[slot], size);
	return 0;
}

__u64 bpf_get_socket_cookie(void *sk)
{
	return (__u64)(uintptr_t)sk;
}

__u64 bpf_ktime_get_ns(void)
{
	return kernel->now_ns;
}

static __u64 outcomes_of(const struct sp_counters *c)
{
	__u64 outcomes = 0;

#define SP_COUNTER(name, kind, text) outcomes += SP_COUNTER_IS_##kind ? c->name : 0;
#define SP_COUNTER_IS_OUTCOME 1
#define SP_COUNTER_IS_DETAIL 0
#include <steadyport/counters.def>
#undef SP_COUNTER
	return outcomes;
}

static void check_outcomes(void)
{
	__u32 group_row = kernel->counter_slots;
	__u32 row = run.selected >= 0 && run.selected < (int)group_row ? (__u32)run.selected : group_row;

	for (__u32 r = 0; r <= group_row; r++)
		sp_must(outcomes_of(&kernel->counters[r]) == (r == row),
			"I8: slot %d was selected, and row %u has %llu outcomes", run.selected, r,
			outcomes_of(&kernel->counters[r]));
}

void sp_fuzz_set(struct sp_fuzz_kernel *k)
{
	kernel = k;
}

struct sp_fuzz_run sp_fuzz_steer(struct sp_fuzz_kernel *k, const struct sp_fuzz_packet *p)
{
	__u8 *linear = malloc(p->linear_len ? p->linear_len : 1);
	struct sk_reuseport_md md = {
		.len = p->len - p->header_len,
		.eth_protocol = p->eth_protocol,
		.hash = p->kernel_hash,
		.migrating_sk = p->migrating,
	};

	sp_must(linear, "no memory");
	memcpy(linear, p->network, p->linear_len);
	md.data = linear + p->header_len;
	md.data_end = linear + p->linear_len;
	sp_fuzz_set(k);
	packet = p;
	run = (struct sp_fuzz_run){ .selected = -1 };
	sp_protocol = k->protocol;
	sp_hash = k->hash;
	sp_track = k->track;
	sp_counter_slots = k->counter_slots;
	sp_balance = k->balance;
	sp_has_loop = k->has_loop;
	memset(k->counters, 0, sizeof(k->counters));
	sp_must(sp_steer(&md) == SK_PASS, "the program drops a packet");
	sp_must(!is_reserved, "an event is reserved and never submitted");
	check_outcomes();
	free(linear);
	return run;
}
