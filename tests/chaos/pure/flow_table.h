/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The flow table of the simulated kernel: an LRU hash map that forgets any entry when it is full. */
#ifndef STEADYPORT_TESTS_PURE_FLOW_TABLE_H
#define STEADYPORT_TESTS_PURE_FLOW_TABLE_H

#include <stdbool.h>
#include <steadyport/abi.h>

#define SP_TABLE_ROOM_MAX 2048

struct sp_table_entry {
	__u64 hash;
	struct sp_flow flow;
	__u32 worker; /* the one that it was made for; 0: it must not win again */
};

struct sp_table {
	__u32 room, count;
	struct sp_table_entry entry[SP_TABLE_ROOM_MAX]; /* the first count, in no order */
	__u16 cell[4 * SP_TABLE_ROOM_MAX]; /* by hash, linear probing: index + 1 of the entry; 0: free */
};

void sp_table_reset(struct sp_table *table, __u32 room);
struct sp_table_entry *sp_table_find(struct sp_table *table, __u64 hash);
static inline bool sp_table_is_full(const struct sp_table *table)
{
	return table->count == table->room;
}
/* Adds or replaces; a full table takes no new hash. */
void sp_table_put(struct sp_table *table, __u64 hash, const struct sp_flow *flow, __u32 worker);
/* Returns whether it was there. Moves another entry to its place. */
bool sp_table_remove(struct sp_table *table, __u64 hash);

#endif
