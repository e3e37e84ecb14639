// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Counts the connections of each worker of a group. It runs for every TCP socket of the machine that changes its state;
 * for one that is not of this group the kernel finds no tag, which takes as long as to look whether there are any.
 *
 * A connection has the tag of the listener that it was made from. It is counted from the moment at which its handshake is
 * complete, in the accept queue, until its worker closes it or it ends.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <steadyport/abi.h>
#include "active.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("tp_btf/inet_sock_set_state")
int sp_count(__u64 *args) /* sk, old state, new state */
{
	struct sock *sk = (struct sock *)args[0];
	bool counts = is_open((int)args[2]);
	struct sp_tag *tag = bpf_sk_storage_get(&sp_tags, sk, 0, 0), *moved;
	__u64 cookie;

	if (!tag || counts == tag->is_counted)
		return 0;
	tag->is_counted = counts;
	if (counts) {
		count_active(tag, 1);
		return 0;
	}
	cookie = bpf_get_socket_cookie(sk);
	moved = bpf_map_lookup_elem(&sp_moved, &cookie);
	if (moved) {
		count_active(moved, -1);
		bpf_map_delete_elem(&sp_moved, &cookie);
	} else {
		count_active(tag, -1);
	}
	return 0;
}
