/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How many connections each worker has: the one place that counts up and down.
 *
 * What becomes of a connection is told by its own tag, in one atomic step. Whoever has made that step, and nobody else,
 * changes the number: so it is counted once, whoever else looks at it at the same moment.
 */
#ifndef STEADYPORT_ACTIVE_BPF_H
#define STEADYPORT_ACTIVE_BPF_H

#include "maps.bpf.h"

/* Those states in which the application still has it. */
static __always_inline bool is_open(int state)
{
	return state == TCP_ESTABLISHED || state == TCP_CLOSE_WAIT;
}

static __always_inline bool is_counted(__u32 counted)
{
	return counted != SP_TAG_NEW && counted != SP_TAG_ENDED;
}

static __always_inline __u32 current_tally(void)
{
	__u32 zero = 0;
	struct sp_ctl *ctl = bpf_map_lookup_elem(&sp_ctl, &zero);

	return ctl ? ctl->tally & (SP_TALLIES - 1) : 0;
}

/* A worker that has left its slot takes its connections with it: its successor starts at 0. */
static __always_inline void count_active(const struct sp_tag *tag, __u32 counted, __s32 change)
{
	struct sp_active *active;
	struct sp_info *info;
	__u32 slot = tag->slot;

	info = bpf_map_lookup_elem(&sp_info, &slot);
	active = bpf_map_lookup_elem(&sp_active, &slot);
	if (info && active && info->cookie == tag->worker)
		__sync_fetch_and_add(&active->tally[(counted - SP_TAG_IN(0)) & (SP_TALLIES - 1)], change);
}

static __always_inline void count_opened(struct sp_tag *tag, __u32 tally)
{
	if (__sync_val_compare_and_swap(&tag->counted, SP_TAG_NEW, SP_TAG_IN(tally)) == SP_TAG_NEW)
		count_active(tag, SP_TAG_IN(tally), 1);
}

static __always_inline void count_ended(struct sp_tag *tag)
{
	__u32 was = __sync_lock_test_and_set(&tag->counted, SP_TAG_ENDED);

	if (is_counted(was))
		count_active(tag, was, -1);
}

/*
 * Makes good for what was not seen of a connection, and takes it over into the tally. Its state is stored after the
 * tracepoint: one that is about to open is counted already, and one that is about to end has ended.
 */
static __always_inline void count_again(struct sp_tag *tag, int state, __u32 tally)
{
	__u32 was = *(volatile __u32 *)&tag->counted, now = SP_TAG_IN(tally);

	if (!is_open(state) && state != TCP_SYN_RECV) {
		if (is_counted(was))
			count_ended(tag);
		return;
	}
	if (was == now || was == SP_TAG_ENDED || (was == SP_TAG_NEW && !is_open(state)))
		return;
	if (__sync_val_compare_and_swap(&tag->counted, was, now) != was)
		return;
	count_active(tag, now, 1);
	if (was != SP_TAG_NEW)
		count_active(tag, was, -1);
}

#endif
