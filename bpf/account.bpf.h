/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Accounting: counters, and events for user space. Nothing here changes a decision. */
#ifndef STEADYPORT_ACCOUNT_BPF_H
#define STEADYPORT_ACCOUNT_BPF_H

#include "maps.bpf.h"

/* Slots that have a counter row of their own; the row behind them is the group's, and of any slot beyond. */
const volatile __u32 sp_counter_slots = 1;

static __always_inline struct sp_counters *group_counters(void)
{
	__u32 row = sp_counter_slots;

	return bpf_map_lookup_elem(&sp_counters, &row);
}

static __always_inline struct sp_counters *counters_of(__u32 slot)
{
	return bpf_map_lookup_elem(&sp_counters, &slot) ?: group_counters();
}

/* Per CPU, and the program cannot be interrupted by itself: plain adds lose nothing. */
#define add_one(row, name)                    \
	({                                    \
		struct sp_counters *c_ = row; \
		if (c_)                       \
			c_->name++;           \
	})
#define count(slot, name) add_one(counters_of(slot), name)
#define count_group(name) add_one(group_counters(), name)

static __always_inline void event(enum sp_event_kind kind, __u32 slot, __u32 incarnation)
{
	struct sp_event *e = bpf_ringbuf_reserve(&sp_events, sizeof(*e), 0);

	if (!e) {
		count(slot, events_lost);
		return;
	}
	e->kind = kind;
	e->slot = slot;
	e->incarnation = incarnation;
	e->pad = 0;
	e->time_ns = bpf_ktime_get_ns();
	bpf_ringbuf_submit(e, 0);
}

/*
 * The slot was asked and not taken: say why, and tell user space once in each life of a slot that it ended.
 * Global, so that the verifier walks it once and not for each of the many probes.
 */
__noinline int refused(__u32 slot, int err)
{
	struct sp_info *info;
	__u32 life;

	switch (err) {
	case -2: /* ENOENT */
		count(slot, empty);
		info = bpf_map_lookup_elem(&sp_info, &slot);
		if (!info)
			break;
		life = info->incarnation;
		if (info->empty_seen != life && __sync_lock_test_and_set(&info->empty_seen, life) != life)
			event(SP_EVENT_EMPTY, slot, life);
		break;
	case -77: /* EBADFD */
		count(slot, other_group);
		break;
	case -91: /* EPROTOTYPE */
	case -97: /* EAFNOSUPPORT */
		count(slot, wrong_type);
		break;
	default:
		count(slot, refused);
	}
	return err;
}

static __noinline int migrated(__u32 slot)
{
	struct sp_info *info = bpf_map_lookup_elem(&sp_info, &slot);

	count(slot, migrated);
	event(SP_EVENT_MIGRATED, slot, info ? info->incarnation : 0);
	return SK_PASS;
}

#endif
