/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A kernel of our own, so that the program and the loader can be stormed without root and at the speed of memory:
 * one reuseport group, the maps, a clock. bpf/steer.bpf.c is compiled for this machine and calls it by the helpers'
 * names; the loader's own reconcile, state and plan run on it, too (loader.h).
 */
#ifndef STEADYPORT_TESTS_PURE_KERNEL_H
#define STEADYPORT_TESTS_PURE_KERNEL_H

#include <stdbool.h>
#include <steadyport/abi.h>
#include <steadyport/flow.h>
#include "flow_table.h"

#define SP_SIM_MEMBERS_MAX 1100
#define SP_SIM_WORKERS_MAX 32768

/* A worker is known by its socket's cookie: 1, 2, 3 and so on; no number is used twice. 0: none. */

struct sp_sim_options {
	enum sp_protocol protocol;
	enum sp_track track;
	enum sp_hash hash;
	__u64 learn_ns;
	__u32 flow_room;
	__u32 flow_idle_s;
};

struct sp_sim_packet {
	struct sp_tuple4 tuple;
	__u32 kernel_hash;
};

enum sp_sim_loss {
	SP_SIM_EVICTED, /* the table was full */
	SP_SIM_STALE, /* the program deleted it: its worker is gone, or it was silent for too long */
	SP_SIM_DROPPED, /* the loader deleted it */
};

/* Called when somebody has done what others must know of. */
struct sp_sim_hooks {
	void (*time_passed)(void);
	void (*attached)(void);
	void (*detached)(void);
	void (*slot_written)(__u32 slot, const struct sp_info *before);
	void (*slot_taken)(void);
	void (*flow_lost)(const struct sp_table_entry *entry, enum sp_sim_loss why);
};

extern struct sp_sim {
	const struct sp_sim_hooks *hooks;
	struct sp_sim_options options;
	__u64 now_ns;

	/* the group */
	bool is_attached;
	__u32 nmembers;
	__u32 member[SP_SIM_MEMBERS_MAX]; /* in the order of socks[] in net/core/sock_reuseport.c */
	__u32 last_worker;
	bool is_open[SP_SIM_WORKERS_MAX]; /* by worker */
	__u16 slot_of[SP_SIM_WORKERS_MAX]; /* by worker; SP_SLOT_NONE: in none */

	/* the maps */
	__u32 in_slot[SP_SLOTS_MAX]; /* sp_slots; 0: empty */
	struct sp_view views[SP_VIEWS];
	struct sp_ctl ctl;
	struct sp_info info[SP_SLOTS_MAX];
	struct sp_sock socks[SP_SLOTS_MAX];
	struct sp_table flows;
	struct sp_counters counters[SP_SLOTS_MAX + 1];
	struct sp_counters carried[SP_SLOTS_MAX + 1];

	__u64 lost[SP_SIM_DROPPED + 1]; /* entries of the flow table, by enum sp_sim_loss */
	__u64 replaced; /* entries that were stored over one of a worker that is gone */
	__u64 delivered[SP_SLOTS_MAX + 1]; /* runs of the program by the slot they chose; the last: none */
} sp_sim;

/* A new machine: no group, no time, no maps. */
void sp_sim_boot(const struct sp_sim_hooks *hooks);

/* What `attach` loads before it reconciles: fresh maps for these options. */
void sp_sim_load(const struct sp_sim_options *options);
/* What `detach` leaves: no program, all slots empty. */
void sp_sim_unload(void);

__u32 sp_sim_join(void);
void sp_sim_close(__u32 worker);
/* The program is taken off by somebody else. */
void sp_sim_detach(void);
void sp_sim_attach(void);

static inline const struct sp_view *sp_sim_view(void)
{
	return &sp_sim.views[sp_sim.ctl.current];
}

/* The worker that gets the packet, 0 when there is none. */
__u32 sp_sim_deliver(const struct sp_sim_packet *packet);

/* Last seen too long ago, even for somebody whose clock is late by some seconds. */
static inline bool sp_sim_is_expired(const struct sp_table_entry *entry, __u32 late_s)
{
	__u32 idle_s = sp_sim.options.flow_idle_s;

	return idle_s && sp_sim.now_ns / 1000000000 > (__u64)entry->flow.last_seen_s + idle_s + late_s;
}

/* One entry of the flow table goes. */
void sp_sim_evict(__u32 index);
/* It is gone already: whoever must know is told. */
void sp_sim_lose(const struct sp_table_entry *entry, enum sp_sim_loss why);
/* Somebody deletes this one. Returns 0 or -ENOENT. */
int sp_sim_forget(__u64 hash, enum sp_sim_loss why);

/*
 * I8: every run has added one to one outcome, in the row of the slot that it chose. The flow table's books are
 * balanced unless a loader was killed before it wrote down what it had dropped.
 */
void sp_sim_check_outcomes(void);
void sp_sim_check_flow_books(void);

#endif
