/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who must own what: an account of all flows and of where each may go next, kept beside the program and the loader
 * and written without choose.h and plan.h. It speaks of workers, not of slots' incarnations: a flow belongs to a
 * worker until that worker is gone, and whoever takes the slot later is somebody else.
 */
#ifndef STEADYPORT_TESTS_PURE_MODEL_H
#define STEADYPORT_TESTS_PURE_MODEL_H

#include "kernel.h"

#define SP_MODEL_FLOWS_MAX 1024

struct sp_model_flow {
	struct sp_sim_packet packet;
	__u64 hash;
	__u32 worker; /* the one that it has a claim to stay on; 0: it is a new flow */
	bool has_sent; /* since the learn window opened */
	bool is_quiet; /* sends nothing until further notice */
};

extern struct sp_model {
	__u32 nflows;
	struct sp_model_flow flows[SP_MODEL_FLOWS_MAX];
} sp_model;

extern const struct sp_sim_hooks sp_model_hooks;

/* A new group of flows that nobody has seen. */
void sp_model_begin(__u32 nflows, __u64 seed);
/* The hashes of the flows, once the options of the group are known. */
void sp_model_loaded(void);

/* One packet of a flow: delivered, and checked. */
void sp_model_send(struct sp_model_flow *flow);
/* The loader is about to look. */
void sp_model_loader_begins(void);
/* To be called when time has passed, and when the loader may have published. */
void sp_model_look(void);

/*
 * The live worker that the flow's entry in the table was made for; 0: it has no such entry, or that has expired, to
 * somebody whose clock is late by some seconds.
 */
__u32 sp_model_kept(const struct sp_model_flow *flow, __u32 late_s);

/* True while the program learns. */
bool sp_model_is_learning(void);

/* True when a view in force would send flows to this slot. */
bool sp_model_names(__u32 slot);

/* The way of DESIGN section 4; negative: none. Of the usable slots only, and the last resort. */
int sp_model_choose_usable(const struct sp_view *view, __u64 hash);
int sp_model_choose_any(const struct sp_view *view, __u64 hash);
__u64 sp_model_hash(const struct sp_sim_packet *packet);

#endif
