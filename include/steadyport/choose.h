/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Slot choice: view and hash in, slot out. Pure; compiled into the program and the loader (DESIGN I7).
 *
 * "Taking" a slot is the caller's: in the kernel it is bpf_sk_select_reuseport(), in user space a look at the
 * cookies of the sockarray. It returns 0 when the slot holds a live socket.
 */
#ifndef STEADYPORT_CHOOSE_H
#define STEADYPORT_CHOOSE_H

#include "abi.h"
#include "flow.h"

/* How a slot was found. */
enum sp_how {
	SP_HOW_OWNER = 0,
	SP_HOW_PROBE = 1,
	SP_HOW_SCAN = 2,
	SP_HOW_PARK = 3,
	SP_HOW_LOAD = 4, /* see balance.h */
};

/* A choice in one register: slot, and enum sp_how from bit 16 up; negative: no slot is live. */
#define SP_CHOICE_NONE (-1)
#define SP_CHOICE(slot, how) ((int)((slot) | (__u32)(how) << 16))
#define SP_CHOICE_SLOT(choice) ((__u32)(0xffff & (choice)))
#define SP_CHOICE_HOW(choice) ((enum sp_how)((__u32)(choice) >> 16))

static __always_inline __u32 sp_bucket(__u64 hash)
{
	return hash & SP_BUCKET_MASK;
}

static __always_inline bool sp_bit(const __u64 *bits, __u32 i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

static __always_inline bool sp_is_usable(const struct sp_view *view, __u32 slot)
{
	return slot < SP_SLOTS_MAX && sp_bit(view->usable, slot & (SP_SLOTS_MAX - 1));
}

/* A bucket's owner. That of a PLAIN view is all that a packet has to look at. */
static __always_inline bool sp_is_usable_owner(const struct sp_view *view, __u32 slot)
{
	return view->kind == SP_VIEW_PLAIN ? slot < SP_SLOTS_MAX : sp_is_usable(view, slot);
}

static __always_inline bool sp_is_moving(const struct sp_view *view, __u64 hash)
{
	return view->kind != SP_VIEW_PLAIN && sp_bit(view->moving, sp_bucket(hash));
}

/* Seconds of CLOCK_MONOTONIC. Signed: another CPU may have seen the flow in the second that begins just now. */
static __always_inline bool sp_flow_is_expired(const struct sp_flow *flow, __u32 now_s, __u32 idle_s)
{
	return idle_s && (__s32)(now_s - flow->last_seen_s) > (__s32)idle_s;
}

/* The owner that probe number i of a flow asks. The step is odd, hence sixteen different buckets. */
static __always_inline __u32 sp_probe(const struct sp_view *view, __u64 hash, __u32 i)
{
	__u32 low = hash, step = hash >> 32 | 1;

	return view->owner[(low + i * step) & SP_BUCKET_MASK];
}

/* The first and nearly always only step: the bucket's owner. */
static __always_inline int sp_choose_owner(const struct sp_view *view, __u64 hash, void *ctx,
					   int (*take)(void *ctx, __u32 slot))
{
	__u32 slot = sp_probe(view, hash, 0);

	if (sp_is_usable_owner(view, slot) && take(ctx, slot) == 0)
		return SP_CHOICE(slot, SP_HOW_OWNER);
	return SP_CHOICE_NONE;
}

/* When the owner is dead or not usable: what the other probes name. */
static __always_inline int sp_choose_probe(const struct sp_view *view, __u64 hash, void *ctx,
					   int (*take)(void *ctx, __u32 slot))
{
	for (__u32 i = 1; i < SP_PROBES; i++) {
		__u32 slot = sp_probe(view, hash, i);

		if (sp_is_usable(view, slot) && take(ctx, slot) == 0)
			return SP_CHOICE(slot, SP_HOW_PROBE);
	}
	return SP_CHOICE_NONE;
}

/* Turn i of the scan. Not carried from turn to turn: a variable that is would multiply the verifier's states. */
static __always_inline __u32 sp_scanned(__u32 nslots, __u64 hash, __u32 i)
{
	return ((__u32)hash % nslots + i) % nslots;
}

/* When all probes fail: every slot in turn, first among the usable ones, then, asked again, among the others (I3). */
static __always_inline int sp_choose_scan(const struct sp_view *view, __u64 hash, bool usable, void *ctx,
					  int (*take)(void *ctx, __u32 slot))
{
	__u32 nslots = view->nslots;

	if (nslots == 0)
		return SP_CHOICE_NONE;
	for (__u32 i = 0; i < SP_SLOTS_MAX; i++) {
		__u32 slot = sp_scanned(nslots, hash, i);

		if (i >= nslots)
			break;
		if (sp_is_usable(view, slot) == usable && take(ctx, slot) == 0)
			return SP_CHOICE(slot, SP_HOW_SCAN);
	}
	return SP_CHOICE_NONE;
}

/*
 * A TABLE view as the previous one, for flows not seen yet: its usable slots only. The last resort of sp_choose()
 * would find whoever joined since, not where the flow went. The program spells both functions with the same steps.
 */
static __always_inline int sp_choose_usable(const struct sp_view *view, __u64 hash, void *ctx,
					    int (*take)(void *ctx, __u32 slot))
{
	int choice = sp_choose_owner(view, hash, ctx, take);

	if (choice < 0)
		choice = sp_choose_probe(view, hash, ctx, take);
	if (choice < 0)
		choice = sp_choose_scan(view, hash, true, ctx, take);
	return choice;
}

/* Nobody is live: the parking socket, if there is one. A worker that has its slot was asked by the scan. */
static __always_inline int sp_choose_park(const struct sp_view *view, void *ctx,
					  int (*take)(void *ctx, __u32 slot))
{
	if (view->nslots <= SP_SLOT_PARK && take(ctx, SP_SLOT_PARK) == 0)
		return SP_CHOICE(SP_SLOT_PARK, SP_HOW_PARK);
	return SP_CHOICE_NONE;
}

/* A TABLE view as the current one. */
static __always_inline int sp_choose(const struct sp_view *view, __u64 hash, void *ctx,
				     int (*take)(void *ctx, __u32 slot))
{
	int choice = sp_choose_usable(view, hash, ctx, take);

	return choice >= 0 ? choice : sp_choose_scan(view, hash, false, ctx, take);
}

/* The same for TCP: a connection can wait for a worker. */
static __always_inline int sp_choose_tcp(const struct sp_view *view, __u64 hash, void *ctx,
					 int (*take)(void *ctx, __u32 slot))
{
	int choice = sp_choose(view, hash, ctx, take);

	return choice >= 0 ? choice : sp_choose_park(view, ctx, take);
}

/*
 * The whole function of a KERNEL view: what net/core/sock_reuseport.c, reuseport_select_sock_by_hash() did with
 * this hash. A slot that is gone since then has no successor here: its flows follow the current view.
 */
static __always_inline int sp_choose_kernel(const struct sp_view *view, __u32 kernel_hash, void *ctx,
					    int (*take)(void *ctx, __u32 slot))
{
	__u32 slot = view->owner[((__u64)kernel_hash * view->nslots >> 32) & SP_BUCKET_MASK];

	if (slot < SP_SLOTS_MAX && take(ctx, slot) == 0)
		return SP_CHOICE(slot, SP_HOW_OWNER);
	return SP_CHOICE_NONE;
}

#endif
