/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel's own hash does to the flows of a group when a member leaves or joins: reuseport_select_sock_by_hash()
 * and __reuseport_detach_sock() of net/core/sock_reuseport.c, counted over all 2^32 hashes. Exact, and pure.
 */
#ifndef STEADYPORT_REHASH_H
#define STEADYPORT_REHASH_H

#include <linux/types.h>

#define SP_REHASH_SPACE (1ULL << 32)

/* Hashes, which flows have evenly. */
struct sp_rehash {
	__u64 flows; /* of the members that are there before and after */
	__u64 moved; /* of these: they come to another one of them */
};

/* The member at @position of @count leaves: the last one takes its place, and the hash is scaled to one less. */
struct sp_rehash sp_rehash_leave(__u32 count, __u32 position);

/* One more comes after the last; flows that come to it have not moved between the others. */
struct sp_rehash sp_rehash_join(__u32 count);

/* 0 to 1; without flows 0. */
double sp_rehash_share(const struct sp_rehash *rehash);

#endif
