/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Placement by load: which of the slots that a connection could go to has the least to do. Pure; compiled into the
 * program and the loader.
 *
 * The hash's own choice is candidate 0 and wins every tie, so a group with nothing to do is steered as by the hash.
 */
#ifndef STEADYPORT_BALANCE_H
#define STEADYPORT_BALANCE_H

#include "abi.h"
#include "choose.h"

#define SP_CANDIDATES \
	32 /* looked at beside the hash's own choice; in a group of no more slots that is all of them */

#define SP_LOAD_SHIFT 20 /* loads of different ratio stay different: a weight is below 2^10 */
#define SP_LOAD_CONNECTIONS_MAX 0xffffffu /* so that a load fits a rank */
#define SP_LOAD_UNKNOWN (~0ULL >> 11)

/* What a slot has to do for each unit of weight. Weight 0 takes nothing. */
static __always_inline __u64 sp_load(__u32 connections, __u32 weight)
{
	if (connections > SP_LOAD_CONNECTIONS_MAX)
		connections = SP_LOAD_CONNECTIONS_MAX;
	return weight ? ((__u64)connections << SP_LOAD_SHIFT) / weight : SP_LOAD_UNKNOWN;
}

/*
 * The slot of the lowest rank is the one. Among equal loads the hash's own choice is first, and the order of the others
 * is another one for each flow. A rank tells its slot, rather than its place in a list, because the verifier would
 * follow each place on its own.
 */
static __always_inline __u64 sp_rank_own(__u64 load)
{
	return load << 11;
}

static __always_inline __u64 sp_rank_other(__u64 load, __u32 slot, __u64 hash)
{
	return load << 11 | SP_SLOTS_MAX | ((slot ^ hash >> 32) & (SP_SLOTS_MAX - 1));
}

static __always_inline bool sp_rank_is_own(__u64 rank)
{
	return !(rank & SP_SLOTS_MAX);
}

static __always_inline __u32 sp_rank_slot(__u64 rank, __u64 hash)
{
	return (rank ^ hash >> 32) & (SP_SLOTS_MAX - 1);
}

_Static_assert(SP_SLOTS_MAX == 1 << 10, "a rank has ten bits for a slot, and one above them");

/*
 * Candidate i of a flow, or SP_SLOT_NONE: in small groups every slot; of large ones the owner table gives a sample,
 * another one for each flow, in which a slot comes as often as its weight says.
 */
static __always_inline __u32 sp_candidate(const struct sp_view *view, __u64 hash, __u32 i)
{
	if (view->nslots > SP_CANDIDATES)
		return sp_probe(view, hash, i + 1);
	return i < view->nslots ? i : SP_SLOT_NONE;
}

#endif
