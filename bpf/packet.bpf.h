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
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <steadyport/flow.h>

#define SP_AF_INET6 10
#define SP_ETH_P_IP 0x0800
#define SP_IPV4_SADDR 12 /* offsetof(struct iphdr, saddr) */
#define SP_IPV6_SADDR 8 /* offsetof(struct ipv6hdr, saddr) */
#define SP_PORTS_LEN 4 /* source and destination port, first in TCP and UDP alike */

/* Both readers return 0, or negative when the packet is too short for what it claims to be. */
static __always_inline int read_ports(struct sk_reuseport_md *md, __be16 ret_ports[2])
{
	void *data = md->data;

	/* `data` is the transport header. */
	if (data + SP_PORTS_LEN <= md->data_end) {
		__builtin_memcpy(ret_ports, data, SP_PORTS_LEN);
		return 0;
	}
	return bpf_skb_load_bytes(md, 0, ret_ports, SP_PORTS_LEN);
}

static __always_inline int hash_packet4(struct sk_reuseport_md *md, const __u64 key[2], __u64 *ret_hash)
{
	struct sp_tuple4 t;

	if (read_ports(md, &t.sport) ||
	    bpf_skb_load_bytes_relative(md, SP_IPV4_SADDR, &t, 8, BPF_HDR_START_NET))
		return -1;
	*ret_hash = sp_flow_hash4(key, &t);
	return 0;
}

static __always_inline int hash_packet6(struct sk_reuseport_md *md, const __u64 key[2], __u64 *ret_hash)
{
	struct sp_tuple6 t;

	if (read_ports(md, &t.sport) ||
	    bpf_skb_load_bytes_relative(md, SP_IPV6_SADDR, &t, 32, BPF_HDR_START_NET))
		return -1;
	*ret_hash = sp_flow_hash6(key, &t);
	return 0;
}

/* `src` of the socket is our side, so it is the packet's destination. */
static __noinline __u64 hash_migrating(struct bpf_sock *sk, __u64 key0, __u64 key1)
{
	const __u64 key[2] = { key0, key1 };
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
