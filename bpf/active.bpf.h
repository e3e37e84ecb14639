/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How many connections each worker has: the one place that counts up and down. */
#ifndef STEADYPORT_ACTIVE_BPF_H
#define STEADYPORT_ACTIVE_BPF_H

#include "maps.bpf.h"

/* Those states in which the application still has it. */
static __always_inline bool is_open(int state)
{
	return state == TCP_ESTABLISHED || state == TCP_CLOSE_WAIT;
}

/* A worker that has left its slot takes its connections with it: its successor starts at 0. */
static __always_inline void count_active(const struct sp_tag *tag, __s32 change)
{
	struct sp_active *active;
	struct sp_info *info;
	__u32 slot = tag->slot;

	info = bpf_map_lookup_elem(&sp_info, &slot);
	active = bpf_map_lookup_elem(&sp_active, &slot);
	if (info && active && info->cookie == tag->worker)
		__sync_fetch_and_add(&active->connections, change);
}

#endif
