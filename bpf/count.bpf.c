// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Counts the connections of each worker of a group. A connection has the tag of the listener that it was made from. It is
 * counted from the moment at which its handshake is complete, in the accept queue, until its worker closes it or it ends.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <steadyport/abi.h>
#include "active.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * It runs for every TCP socket of the machine that changes its state; for one that is not of this group the kernel finds
 * no tag, which takes as long as to look whether there are any.
 */
SEC("tp_btf/inet_sock_set_state")
int sp_count(__u64 *args) /* sk, old state, new state */
{
	struct sock *sk = (struct sock *)args[0];
	struct sp_tag *tag = bpf_sk_storage_get(&sp_tags, sk, 0, 0), *moved;
	__u64 cookie;

	if (!tag)
		return 0;
	if (is_open((int)args[2])) {
		count_opened(tag, current_tally());
		return 0;
	}
	if (!is_open((int)args[1]) && !is_counted(tag->counted))
		return 0;
	count_ended(tag);
	cookie = bpf_get_socket_cookie(sk);
	moved = bpf_map_lookup_elem(&sp_moved, &cookie);
	if (moved) {
		count_ended(moved);
		bpf_map_delete_elem(&sp_moved, &cookie);
	}
	return 0;
}

/*
 * Run for each socket that has a tag, whenever its link is read: takes what is open over into the tally in force, and
 * writes nothing to its reader. See loader/recount.h.
 */
SEC("iter/bpf_sk_storage_map")
int sp_recount(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct sp_tag *tag = ctx->value, *moved;
	struct sock *sk = ctx->sk;
	__u64 cookie;
	int state;

	if (!sk || !tag)
		return 0;
	state = sk->__sk_common.skc_state;
	if (state == TCP_LISTEN)
		return 0;
	cookie = bpf_get_socket_cookie(sk);
	moved = bpf_map_lookup_elem(&sp_moved, &cookie);
	if (moved) {
		count_ended(tag);
		count_again(moved, state, current_tally());
	} else {
		count_again(tag, state, current_tally());
	}
	return 0;
}
