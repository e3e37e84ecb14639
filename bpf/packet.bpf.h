/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The four numbers of the flow that the program was asked about, and their hash.
 *
 * The program is asked with a packet (a SYN, a cookie ACK, a datagram), or about a connection that must leave a
 * closed listener: then `migrating_sk` holds the addresses, and the packet is an empty one or that of the final
 * ACK; it is not read (reuseport_migrate_sock()). Both must hash alike.
 */
#ifndef STEADYPORT_PACKET_BPF_H
#define STEADYPORT_PACKET_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <steadyport/flow.h>
#include "account.bpf.h"

#define SP_AF_INET6 10
#define SP_ETH_P_IP 0x0800
#define SP_IPV4_SADDR 12 /* offsetof(struct iphdr, saddr) */
#define SP_IPV6_SADDR 8 /* offsetof(struct ipv6hdr, saddr) */

/*
 * Since Linux 6.2 a program can look at the kernel's own structs. That is how the addresses are read where it can:
 * bpf_skb_load_bytes_relative() costs as much as their hash. Where it cannot, nothing may ask for these functions, or
 * libbpf 1.1 looks for them in the modules' BTF, which takes CAP_SYS_ADMIN: so this file is compiled twice.
 */
#ifndef SP_HAS_CAST
#define SP_HAS_CAST 1
#endif

extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym;
extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym;

static __always_inline const void *network_header(struct sk_reuseport_md *md, __u32 btf_id)
{
	struct sk_reuseport_kern *kern = bpf_cast_to_kern_ctx(md);
	struct sk_buff *skb = kern->skb;

	return bpf_rdonly_cast(skb->head + skb->network_header, btf_id);
}

/*
 * The readers return 0, or negative when the packet is too short for what it claims to be. Ports stay in registers: a
 * load of both from where they were stored one by one would wait for these stores.
 */
static __always_inline int read_ports(struct sk_reuseport_md *md, __be16 *ret_sport, __be16 *ret_dport)
{
	__be16 *data = md->data; /* the transport header */
	__be16 ports[2];

	if ((void *)(data + 2) <= md->data_end) {
		*ret_sport = data[0];
		*ret_dport = data[1];
		return 0;
	}
	if (bpf_skb_load_bytes(md, 0, ports, sizeof(ports)))
		return -1;
	*ret_sport = ports[0];
	*ret_dport = ports[1];
	return 0;
}

/* The packet's four numbers could not be read: the kernel's hash of them instead. */
static __noinline __u64 hash_unreadable(struct sk_reuseport_md *md)
{
	count_group(unreadable);
	return sp_flow_hash_kernel(md->hash);
}

static __always_inline __u64 hash_packet4(struct sk_reuseport_md *md, const __u64 key[2])
{
	struct sp_tuple4 t;

	if (read_ports(md, &t.sport, &t.dport))
		return hash_unreadable(md);
	if (SP_HAS_CAST) {
		const struct iphdr *ip = network_header(md, bpf_core_type_id_kernel(struct iphdr));

		t.src = ip->saddr;
		t.dst = ip->daddr;
	} else {
		__be32 addrs[2];

		if (bpf_skb_load_bytes_relative(md, SP_IPV4_SADDR, addrs, sizeof(addrs), BPF_HDR_START_NET))
			return hash_unreadable(md);
		t.src = addrs[0];
		t.dst = addrs[1];
	}
	return sp_flow_hash4(key, &t);
}

static __noinline __u64 hash_packet6(struct sk_reuseport_md *md, const __u64 key[2])
{
	struct sp_tuple6 t;

	if (read_ports(md, &t.sport, &t.dport))
		return hash_unreadable(md);
	if (SP_HAS_CAST) {
		const struct ipv6hdr *ip = network_header(md, bpf_core_type_id_kernel(struct ipv6hdr));

		for (int i = 0; i < 4; i++) {
			t.src[i] = ip->saddr.in6_u.u6_addr32[i];
			t.dst[i] = ip->daddr.in6_u.u6_addr32[i];
		}
	} else {
		__be32 addrs[8];

		if (bpf_skb_load_bytes_relative(md, SP_IPV6_SADDR, addrs, sizeof(addrs), BPF_HDR_START_NET))
			return hash_unreadable(md);
		for (int i = 0; i < 4; i++) {
			t.src[i] = addrs[i];
			t.dst[i] = addrs[4 + i];
		}
	}
	return sp_flow_hash6(key, &t);
}

static __always_inline __u64 hash_packet(struct sk_reuseport_md *md, const __u64 key[2])
{
	return md->eth_protocol == bpf_htons(SP_ETH_P_IP) ? hash_packet4(md, key) : hash_packet6(md, key);
}

/* `src` of the socket is our side, so it is the packet's destination. */
static __always_inline __u64 hash_migrating(struct bpf_sock *sk, const __u64 key[2])
{
	struct sp_tuple4 t4;
	struct sp_tuple6 t6;

	if (sk->family == SP_AF_INET6) {
		t6.dst[0] = sk->src_ip6[0];
		t6.dst[1] = sk->src_ip6[1];
		t6.dst[2] = sk->src_ip6[2];
		t6.dst[3] = sk->src_ip6[3];
		t6.src[0] = sk->dst_ip6[0];
		t6.src[1] = sk->dst_ip6[1];
		t6.src[2] = sk->dst_ip6[2];
		t6.src[3] = sk->dst_ip6[3];
		t6.sport = sk->dst_port;
		t6.dport = bpf_htons(sk->src_port);
		if (t6.src[0] || t6.src[1] || t6.src[2] != bpf_htonl(0xffff))
			return sp_flow_hash6(key, &t6);
		/* An IPv4 connection of a dual-stack listener: its SYN was an IPv4 packet. */
		t4.src = t6.src[3];
		t4.dst = t6.dst[3];
	} else {
		t4.src = sk->dst_ip4;
		t4.dst = sk->src_ip4;
	}
	t4.sport = sk->dst_port;
	t4.dport = bpf_htons(sk->src_port);
	return sp_flow_hash4(key, &t4);
}

#endif
