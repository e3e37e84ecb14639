// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Who has TCP connections on a local port: one pass over every open file of every process that the reader may see, one
 * struct sp_connection_record for each that is a connection which still has an application at work: established, or
 * closed by the peer only.
 */
#include "vmlinux.h"
#include <steadyport/abi.h>
#include "socket.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile __u16 sp_port = 0;
const volatile __u64 sp_netns_cookie = 0;

SEC("iter/task_file")
int sp_connections(struct bpf_iter__task_file *ctx)
{
	struct sp_connection_record r = {};
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct socket *socket;
	struct sock *sk;
	__u16 family;
	__u8 state;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk)
		return 0;

	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	state = BPF_CORE_READ(sk, __sk_common.skc_state);
	if ((family != SP_AF_INET && family != SP_AF_INET6) || BPF_CORE_READ(sk, sk_protocol) != SP_TCP ||
	    (state != TCP_ESTABLISHED && state != TCP_CLOSE_WAIT) ||
	    BPF_CORE_READ(sk, __sk_common.skc_num) != sp_port ||
	    netns_cookie_of(BPF_CORE_READ(sk, __sk_common.skc_net.net)) != sp_netns_cookie)
		return 0;

	r.cookie = bpf_get_socket_cookie(sk);
	r.pid = pid_of(task);
	r.fd = ctx->fd;
	bpf_seq_write(ctx->meta->seq, &r, sizeof(r));
	return 0;
}
