// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Who is in a reuseport group: one pass over every open file of every process that the reader may see, one
 * struct sp_member_record for each that is a listening TCP or a bound UDP socket of interest.
 *
 * Everything beyond the socket is read with probe reads: a socket that is closed meanwhile gives stale numbers in
 * one record, never a fault.
 */
#include "vmlinux.h"
#include <steadyport/abi.h>
#include "socket.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define SP_IPPROTO_MPTCP 262
#define SP_CHUNK 16
#define SP_USED_MAPS_MAX 64 /* MAX_USED_MAPS */
#define SP_USER_DATA_FLAGS 7UL /* ~SK_USER_DATA_PTRMASK */

/* 0: members of groups only; else also sockets of this port that are in none, to tell why an endpoint does not fit. */
const volatile __u16 sp_any_on_port = 0;

/*
 * Position of a socket in its group, or -1. Global, so that the verifier walks the loops once; the addresses are
 * opaque numbers to it.
 */
__noinline int position_of(__u64 sk, __u64 socks, __u32 count)
{
	__u64 chunk[SP_CHUNK];

	for (__u32 base = 0; base < SP_SLOTS_MAX; base += SP_CHUNK) {
		if (base >= count)
			break;
		/* The array's allocation is at least 128 entries and doubles, so a whole chunk is readable. */
		if (bpf_probe_read_kernel(chunk, sizeof(chunk), (void *)(socks + base * sizeof(__u64))))
			break;
		for (__u32 i = 0; i < SP_CHUNK; i++) {
			if (chunk[i] == sk)
				return base + i < count ? (int)(base + i) : -1;
		}
	}
	return -1;
}

/* The sockarray of the program in whose element a socket's user data points, or 0. Global as above. */
__noinline __u64 array_of(__u64 prog, __u64 place)
{
	struct bpf_prog_aux *aux = BPF_CORE_READ((struct bpf_prog *)prog, aux);
	__u32 count = BPF_CORE_READ(aux, used_map_cnt);
	struct bpf_map **maps = BPF_CORE_READ(aux, used_maps);

	for (__u32 i = 0; i < SP_USED_MAPS_MAX && i < count; i++) {
		struct bpf_map *map = NULL;
		__u64 first;

		if (bpf_probe_read_kernel(&map, sizeof(map), &maps[i]) ||
		    BPF_CORE_READ(map, map_type) != BPF_MAP_TYPE_REUSEPORT_SOCKARRAY)
			continue;
		first = (__u64)map + bpf_core_field_offset(struct reuseport_array, ptrs);
		if (place >= first && place < first + BPF_CORE_READ(map, max_entries) * sizeof(__u64))
			return (__u64)map;
	}
	return 0;
}

static __always_inline __u32 drops_of(struct sock *sk)
{
	if (bpf_core_field_exists(sk->sk_drop_counters)) {
		struct numa_drop_counters *counters = BPF_CORE_READ(sk, sk_drop_counters);

		if (counters)
			return BPF_CORE_READ(counters, drops0.counter) +
			       BPF_CORE_READ(counters, drops1.counter);
	}
	return BPF_CORE_READ(sk, sk_drops.counter);
}

static __always_inline void describe_socket(struct sp_member_record *r, struct sock *sk)
{
	struct net *net = BPF_CORE_READ(sk, __sk_common.skc_net.net);

	r->netns_inode = BPF_CORE_READ(net, ns.inum);
	r->netns_cookie = netns_cookie_of(net);
	r->uid = BPF_CORE_READ(sk, sk_uid.val);
	r->ifindex = BPF_CORE_READ(sk, __sk_common.skc_bound_dev_if);
	r->v6only = BPF_CORE_READ_BITFIELD_PROBED(sk, __sk_common.skc_ipv6only);
	if (r->family == SP_AF_INET)
		BPF_CORE_READ_INTO((__be32 *)r->addr, sk, __sk_common.skc_rcv_saddr);
	else
		BPF_CORE_READ_INTO((struct in6_addr *)r->addr, sk, __sk_common.skc_v6_rcv_saddr);

	r->drops = drops_of(sk);
	if (r->protocol == SP_TCP) {
		r->backlog = BPF_CORE_READ(sk, sk_ack_backlog);
		r->backlog_max = BPF_CORE_READ(sk, sk_max_ack_backlog);
	} else {
		r->backlog = BPF_CORE_READ(sk, sk_backlog.rmem_alloc.counter);
		r->backlog_max = BPF_CORE_READ(sk, sk_rcvbuf);
	}
}

/* @place: the element of a sockarray that refers to the socket, if any does */
static __always_inline void describe_group(struct sp_member_record *r, __u64 sk, struct sock_reuseport *group,
					   __u64 place)
{
	struct bpf_prog *prog = BPF_CORE_READ(group, prog);

	r->group = (__u64)group;
	r->group_size = BPF_CORE_READ(group, num_socks);
	r->has_conns = BPF_CORE_READ_BITFIELD_PROBED(group, has_conns);
	r->position = position_of(sk, (__u64)group + bpf_core_field_offset(struct sock_reuseport, socks),
				  r->group_size);
	if (prog) {
		struct bpf_map *array = (struct bpf_map *)array_of((__u64)prog, place);

		if (array) {
			r->array_id = BPF_CORE_READ(array, id);
			r->array_refs = BPF_CORE_READ(array, refcnt.counter) +
					BPF_CORE_READ(prog, aux, refcnt.counter);
		}
		/* A classic program has no type of its own; it is what socket filters once were. */
		r->prog_type = BPF_CORE_READ(prog, type) ?: BPF_PROG_TYPE_SOCKET_FILTER;
		r->prog_id = BPF_CORE_READ(prog, aux, id);
		BPF_CORE_READ_STR_INTO(&r->prog_name, prog, aux, name);
	}
}

/* Most files are none of ours, and each costs a few loads: what is BTF-typed needs no probe reads. */
static __always_inline struct sock *socket_of_interest(struct file *file, struct socket **ret_socket)
{
	struct socket *socket;
	struct sock *sk;

	socket = bpf_sock_from_file(file);
	if (!socket)
		return NULL;
	sk = socket->sk;
	if (!sk || !sk->__sk_common.skc_num ||
	    (sk->__sk_common.skc_family != SP_AF_INET && sk->__sk_common.skc_family != SP_AF_INET6))
		return NULL;
	*ret_socket = socket;
	return sk;
}

SEC("iter/task_file")
int sp_members(struct bpf_iter__task_file *ctx)
{
	struct sp_member_record r = { .position = -1 };
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct sock_reuseport *group;
	struct socket *socket;
	struct sock *sk;
	__u64 user_data;
	__u16 protocol;

	if (!task || !file)
		return 0;
	sk = socket_of_interest(file, &socket);
	if (!sk)
		return 0;

	r.family = BPF_CORE_READ(sk, __sk_common.skc_family);
	protocol = BPF_CORE_READ(sk, sk_protocol);
	r.is_mptcp = protocol == SP_IPPROTO_MPTCP;
	r.protocol = r.is_mptcp ? SP_TCP : protocol;
	r.state = BPF_CORE_READ(sk, __sk_common.skc_state);
	r.port = BPF_CORE_READ(sk, __sk_common.skc_num);
	if (r.protocol != SP_UDP && (r.protocol != SP_TCP || r.state != TCP_LISTEN))
		return 0;

	user_data = (__u64)BPF_CORE_READ(sk, sk_user_data);
	r.is_taken = user_data != 0;
	group = BPF_CORE_READ(sk, sk_reuseport_cb);
	if (group)
		describe_group(&r, (__u64)BPF_CORE_READ(socket, sk), group, user_data & ~SP_USER_DATA_FLAGS);
	else if (r.port != sp_any_on_port)
		return 0;

	describe_socket(&r, sk);
	r.cookie = bpf_get_socket_cookie(sk);
	r.sock = (__u64)BPF_CORE_READ(socket, sk);
	r.pid = pid_of(task);
	r.fd = ctx->fd;
	BPF_CORE_READ_STR_INTO(&r.comm, task, group_leader, comm);
	bpf_seq_write(ctx->meta->seq, &r, sizeof(r));
	return 0;
}
