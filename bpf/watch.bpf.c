// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Who joined or left: tells the daemon of sockets on its ports that begin to listen, are bound, or stop listening.
 * These programs run for every socket of the machine, so each looks at what is cheapest first. They never refuse
 * anything. Nothing tells of the end of a UDP socket with its port: it is found by the sweep, or by its successor.
 */
#include "vmlinux.h"
#include <steadyport/abi.h>
#include "socket.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define SP_WATCHED_MAX 4096 /* more ports than groups that a host has */
#define SP_LET_IT_BIND 1 /* what any other value of cgroup/post_bind would not */

/* A set: the ports of the configured groups. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SP_WATCHED_MAX);
	__type(key, struct sp_watch_key);
	__type(value, __u8);
} sp_watched SEC(".maps");

/* What does not fit is found by the sweep. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 128 * 1024);
} sp_news SEC(".maps");

static __always_inline bool is_watched(enum sp_protocol protocol, __u16 port, struct sp_watch_key *ret_key)
{
	const struct sp_watch_key key = { .port = port, .protocol = protocol };

	*ret_key = key;
	return bpf_map_lookup_elem(&sp_watched, &key);
}

static __always_inline void tell(enum sp_watch_kind kind, const struct sp_watch_key *key, __u64 netns_cookie,
				 __u64 cookie)
{
	struct sp_watch_event *event = bpf_ringbuf_reserve(&sp_news, sizeof(*event), 0);

	if (!event)
		return;
	event->kind = kind;
	event->key = *key;
	event->netns_cookie = netns_cookie;
	event->cookie = cookie;
	event->time_ns = bpf_ktime_get_ns();
	bpf_ringbuf_submit(event, 0);
}

/*
 * inet_csk_listen_start() announces the state before it hashes the socket and so before the socket is in its group.
 * tcp_set_state() announces TCP_CLOSE after it has taken it out.
 */
SEC("tp_btf/inet_sock_set_state")
int sp_watch_tcp(__u64 *args) /* sk, old state, new state */
{
	struct sock *sk = (struct sock *)args[0];
	bool listens = (int)args[2] == TCP_LISTEN;
	/* A new connection is a copy of its listener, and is announced as what listened (inet_csk_clone_lock()). */
	bool stops = (int)args[1] == TCP_LISTEN && (int)args[2] == TCP_CLOSE;
	struct sp_watch_key key;

	if (!listens && !stops)
		return 0;
	if (!BPF_CORE_READ_BITFIELD_PROBED(sk, __sk_common.skc_reuseport) ||
	    !is_watched(SP_TCP, BPF_CORE_READ(sk, __sk_common.skc_num), &key))
		return 0;
	tell(listens ? SP_WATCH_LISTENS : SP_WATCH_GONE, &key,
	     netns_cookie_of(BPF_CORE_READ(sk, __sk_common.skc_net.net)), bpf_get_socket_cookie(sk));
	return 0;
}

/* Runs after udp_lib_get_port(), which has put the socket into its group. */
static __always_inline int tell_bound(struct bpf_sock *sk)
{
	struct sp_watch_key key;

	if (sk->protocol == SP_UDP && is_watched(SP_UDP, sk->src_port, &key))
		tell(SP_WATCH_BOUND, &key, bpf_get_netns_cookie(sk), bpf_get_socket_cookie(sk));
	return SP_LET_IT_BIND;
}

SEC("cgroup/post_bind4")
int sp_watch_bind4(struct bpf_sock *sk)
{
	return tell_bound(sk);
}

SEC("cgroup/post_bind6")
int sp_watch_bind6(struct bpf_sock *sk)
{
	return tell_bound(sk);
}
