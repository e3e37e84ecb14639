/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Placement by load: a second look at what the hash has chosen for a connection. A program that is loaded for
 * SP_BALANCE_HASH has nothing of it: its functions are static, and the verifier takes out what is not reached.
 */
#ifndef STEADYPORT_BALANCE_BPF_H
#define STEADYPORT_BALANCE_BPF_H

#include <bpf/bpf_core_read.h>
#include <steadyport/balance.h>
#include "active.bpf.h"
#include "maps.bpf.h"

const volatile __u32 sp_balance = SP_BALANCE_HASH;

#define SP_BALANCE_TRIES 2 /* workers that died just now and look idle */

/*
 * Handshakes that were placed with a listener and are not complete: without them all SYNs of one round trip would go to
 * the same worker. The address may be that of a socket which is gone: then this is a wrong number, and so is the next.
 */
static __always_inline __u32 half_open_at(__u64 sock)
{
	return BPF_CORE_READ((struct inet_connection_sock *)sock, icsk_accept_queue.qlen.counter);
}

static __always_inline __u32 queued_at(__u64 sock)
{
	return BPF_CORE_READ((struct sock *)sock, sk_ack_backlog);
}

/* Those in the accept queue are among them. Below 0 by one for a moment, when a worker left just as one was closed. */
static __always_inline __u32 active_in(__u32 slot)
{
	struct sp_active *active = bpf_map_lookup_elem(&sp_active, &slot);
	__s32 connections;

	if (!active)
		return 0;
	connections = active->tally[0] + active->tally[1];
	return connections & ~(connections >> 31); /* no branch for the verifier to follow */
}

/* SP_LOAD_UNKNOWN: weight 0, found empty since it was enrolled, or not known where its socket is. */
static __noinline __u64 load_of(__u32 slot)
{
	struct sp_info *info = bpf_map_lookup_elem(&sp_info, &slot);
	struct sp_sock *sock = bpf_map_lookup_elem(&sp_socks, &slot);

	if (!info || !sock || !sock->address || sock->incarnation != info->incarnation ||
	    info->empty_seen == info->incarnation)
		return SP_LOAD_UNKNOWN;
	return sp_load(half_open_at(sock->address) + (sp_balance == SP_BALANCE_LEAST_CONN ?
							      active_in(slot) :
							      queued_at(sock->address)),
		       info->weight);
}

/* The lowest rank of all candidates. */
static __noinline __u64 least_loaded(__u32 index, __u64 hash, __u32 own, __u64 own_load)
{
	struct sp_view *view = bpf_map_lookup_elem(&sp_views, &index);
	__u64 best = sp_rank_own(own_load);

	if (!view)
		return best;
	for (__u32 i = 0; i < SP_CANDIDATES; i++) {
		__u32 slot = sp_candidate(view, hash, i);
		__u64 rank;

		if (slot == own || !sp_is_usable(view, slot))
			continue;
		rank = sp_rank_other(load_of(slot), slot, hash);
		if (rank < best)
			best = rank;
	}
	return best;
}

/*
 * @choice: of the hash, taken. It stays unless a usable slot has less to do and can be taken. Where it is itself one
 * that takes nothing new all others are dead, and nothing is to be compared.
 */
static __always_inline int balance(void *md, const struct sp_view *view, __u32 index, __u64 hash, int choice,
				   int (*take)(void *md, __u32 slot))
{
	__u32 own = SP_CHOICE_SLOT(choice);
	__u64 own_load = load_of(own);

	if (!own_load || own_load == SP_LOAD_UNKNOWN || !sp_is_usable(view, own))
		return choice;
	for (int i = 0; i < SP_BALANCE_TRIES; i++) {
		__u64 rank = least_loaded(index, hash, own, own_load);
		__u32 slot = sp_rank_slot(rank, hash);

		if (sp_rank_is_own(rank))
			return choice;
		if (take(md, slot) == 0)
			return SP_CHOICE(slot, SP_HOW_LOAD);
	}
	return choice;
}

/* Where connections are counted, one that leaves a closed listener is counted where it goes. */
static __always_inline void count_moved(struct bpf_sock *migrating, __u32 slot)
{
	struct sp_info *info = bpf_map_lookup_elem(&sp_info, &slot);
	struct sp_tag to = { .slot = slot, .counted = SP_TAG_IN(current_tally()) };
	__u64 cookie;

	/* A half-open one is made from the new listener, whose tag it gets. */
	if (!info || !is_open(migrating->state))
		return;
	to.worker = info->cookie;
	cookie = bpf_get_socket_cookie(migrating);
	if (!bpf_map_update_elem(&sp_moved, &cookie, &to, BPF_ANY))
		count_active(&to, to.counted, 1);
}

#endif
