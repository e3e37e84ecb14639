// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The flow table of the simulated kernel. */
#include <string.h>
#include "flow_table.h"

#define CELLS (4 * SP_TABLE_ROOM_MAX)

static __u32 home_of(__u64 hash)
{
	return (hash * 0x9e3779b97f4a7c15ULL >> 40) % CELLS;
}

/* The cell of a hash, or the free one where it would be. */
static __u32 cell_of(const struct sp_table *table, __u64 hash)
{
	__u32 c = home_of(hash);

	while (table->cell[c] && table->entry[table->cell[c] - 1].hash != hash)
		c = (c + 1) % CELLS;
	return c;
}

void sp_table_reset(struct sp_table *table, __u32 room)
{
	table->room = room;
	table->count = 0;
	memset(table->cell, 0, sizeof(table->cell));
}

struct sp_table_entry *sp_table_find(struct sp_table *table, __u64 hash)
{
	__u16 index = table->cell[cell_of(table, hash)];

	return index ? &table->entry[index - 1] : NULL;
}

void sp_table_put(struct sp_table *table, __u64 hash, const struct sp_flow *flow, __u32 worker)
{
	__u32 c = cell_of(table, hash);

	if (!table->cell[c])
		table->cell[c] = ++table->count;
	table->entry[table->cell[c] - 1] = (struct sp_table_entry){ hash, *flow, worker };
}

/* Whoever stands behind a hole and could have stood in it moves up, or it would not be found again. */
static void close_hole(struct sp_table *table, __u32 hole)
{
	for (__u32 c = (hole + 1) % CELLS; table->cell[c]; c = (c + 1) % CELLS) {
		__u32 home = home_of(table->entry[table->cell[c] - 1].hash);

		if ((c - home) % CELLS < (c - hole) % CELLS)
			continue;
		table->cell[hole] = table->cell[c];
		table->cell[c] = 0;
		hole = c;
	}
}

bool sp_table_remove(struct sp_table *table, __u64 hash)
{
	__u32 c = cell_of(table, hash), index = table->cell[c];

	if (!index)
		return false;
	if (index != table->count) {
		table->cell[cell_of(table, table->entry[table->count - 1].hash)] = index;
		table->entry[index - 1] = table->entry[table->count - 1];
	}
	table->cell[c] = 0;
	close_hole(table, c);
	table->count--;
	return true;
}
