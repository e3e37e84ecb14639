// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Connections that the kernel ends because their listener closed while they came: see losses.h. */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Of include/net/tcp_states.h; vmlinux.h has those that the programs of steadyport need. */
#define TCP_FIN_WAIT1 4

const volatile __u32 sp_losses_netns; /* its inode */
const volatile __u16 sp_losses_port;
__u64 sp_losses_raced;

struct socket;

struct sock___file {
	struct socket *sk_socket;
} __attribute__((preserve_access_index));

/* skc_num is 0 by the time that tcp_set_state() announces TCP_CLOSE. */
struct inet_sock___port {
	__be16 inet_sport;
} __attribute__((preserve_access_index));

static __always_inline bool is_accepted(struct sock *sk)
{
	return BPF_CORE_READ((struct sock___file *)sk, sk_socket);
}

SEC("tp_btf/inet_sock_set_state")
int sp_losses_tcp(__u64 *args) /* sk, old state, new state */
{
	struct sock *sk = (struct sock *)args[0];
	int from = args[1], to = args[2];
	bool is_reset = from == TCP_SYN_RECV && to == TCP_CLOSE;
	bool is_shut = from == TCP_ESTABLISHED && to == TCP_FIN_WAIT1 && !is_accepted(sk);

	if ((is_reset || is_shut) &&
	    BPF_CORE_READ((struct inet_sock___port *)sk, inet_sport) == bpf_htons(sp_losses_port) &&
	    BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum) == sp_losses_netns)
		__sync_fetch_and_add(&sp_losses_raced, 1);
	return 0;
}
