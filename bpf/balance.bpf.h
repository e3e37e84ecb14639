/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Placement by load: a second look at what the hash has chosen for a connection. A program that is loaded for
 * SP_BALANCE_HASH has nothing of it: its functions are static, and the verifier takes out what is not reached.
 */
#ifndef STEADYPORT_BALANCE_BPF_H
#define STEADYPORT_BALANCE_BPF_H

#include <bpf/bpf_core_read.h>
#include <steadyport/balance.h>
#include "maps.bpf.h"

const volatile __u32 sp_balance = SP_BALANCE_HASH;

#define SP_BALANCE_TRIES 2 /* workers that died just now and look idle */

/*
 * What was placed with a listener and not accepted yet: half-open requests, too, or all SYNs of one round trip would go
 * to the same worker. The address may be that of a socket which is gone: then these are two wrong numbers.
 */
static __always_inline __u32 waiting_at(__u64 sock)
{
	struct inet_connection_sock *listener = (struct inet_connection_sock *)sock;

	return BPF_CORE_READ((struct sock *)sock, sk_ack_backlog) +
	       BPF_CORE_READ(listener, icsk_accept_queue.qlen.counter);
}

/* SP_LOAD_UNKNOWN: weight 0, found empty since it was enrolled, or not known where its socket is. */
static __noinline __u64 load_of(__u32 slot)
{
	struct sp_info *info = bpf_map_lookup_elem(&sp_info, &slot);
	struct sp_sock *sock = bpf_map_lookup_elem(&sp_socks, &slot);

	if (!info || !sock || !sock->address || sock->incarnation != info->incarnation ||
	    info->empty_seen == info->incarnation)
		return SP_LOAD_UNKNOWN;
	return sp_load(waiting_at(sock->address), info->weight);
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

#endif
