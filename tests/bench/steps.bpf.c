// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the hot path is made of: each program does one thing more than the one before, with the steering program's own parts. */
/* The parts that no step needs. */
#pragma clang diagnostic ignored "-Wunused-function"
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <steadyport/abi.h>
#include <steadyport/choose.h>
#include "../../bpf/account.bpf.h"
#include "../../bpf/maps.bpf.h"
#include "../../bpf/packet.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile __u32 sp_step_members = 1;

static __always_inline int take(void *md, __u32 slot)
{
	return bpf_sk_select_reuseport(md, &sp_slots, &slot, 0);
}

/* The slot that owns the hash's bucket, taken; or negative. */
static __always_inline int take_owner(struct sk_reuseport_md *md, const struct sp_ctl *ctl, __u64 hash)
{
	__u32 index = *(volatile __u32 *)&ctl->current;
	struct sp_view *view = bpf_map_lookup_elem(&sp_views, &index);
	int choice = view ? sp_choose_owner(view, hash, md, take) : SP_CHOICE_NONE;

	return choice < 0 ? choice : (int)SP_CHOICE_SLOT(choice);
}

static __always_inline const struct sp_ctl *get_ctl(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&sp_ctl, &zero);
}

static __always_inline int take_and_count(struct sk_reuseport_md *md, const struct sp_ctl *ctl, __u64 hash)
{
	int slot = take_owner(md, ctl, hash);

	if (slot >= 0)
		count(slot, steered);
	return SK_PASS;
}

SEC("sk_reuseport/migrate")
int sp_step_select(struct sk_reuseport_md *md)
{
	take(md, (__u64)md->hash * sp_step_members >> 32);
	return SK_PASS;
}

SEC("sk_reuseport/migrate")
int sp_step_owner(struct sk_reuseport_md *md)
{
	const struct sp_ctl *ctl = get_ctl();

	if (ctl)
		take_owner(md, ctl, sp_flow_hash_kernel(md->hash));
	return SK_PASS;
}

SEC("sk_reuseport/migrate")
int sp_step_count(struct sk_reuseport_md *md)
{
	const struct sp_ctl *ctl = get_ctl();

	return ctl ? take_and_count(md, ctl, sp_flow_hash_kernel(md->hash)) : SK_PASS;
}

/* The numbers of the flow are read, and mixed by the least that depends on all of them. */
SEC("sk_reuseport/migrate")
int sp_step_read(struct sk_reuseport_md *md)
{
	const struct iphdr *ip = network_header(md, bpf_core_type_id_kernel(struct iphdr));
	const struct sp_ctl *ctl = get_ctl();
	__be16 sport, dport;

	if (!ctl || md->eth_protocol != bpf_htons(SP_ETH_P_IP) || read_ports(md, &sport, &dport))
		return SK_PASS;
	return take_and_count(md, ctl, sp_flow_hash_kernel(ip->saddr + ip->daddr + sport + dport));
}

SEC("sk_reuseport/migrate")
int sp_step_siphash(struct sk_reuseport_md *md)
{
	const struct sp_ctl *ctl = get_ctl();

	return ctl ? take_and_count(md, ctl, hash_packet(md, ctl->key)) : SK_PASS;
}

/* The same as before Linux 6.2: the addresses are copied out of the packet. */
SEC("sk_reuseport/migrate")
int sp_step_copy(struct sk_reuseport_md *md)
{
	const struct sp_ctl *ctl = get_ctl();
	struct sp_tuple4 t;
	__be32 addrs[2];

	if (!ctl || md->eth_protocol != bpf_htons(SP_ETH_P_IP) || read_ports(md, &t.sport, &t.dport) ||
	    bpf_skb_load_bytes_relative(md, SP_IPV4_SADDR, addrs, sizeof(addrs), BPF_HDR_START_NET))
		return SK_PASS;
	t.src = addrs[0];
	t.dst = addrs[1];
	return take_and_count(md, ctl, sp_flow_hash4(ctl->key, &t));
}
