/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a history of a steered group is made of, written down or random; each step checks what must be so after it. */
#ifndef STEADYPORT_TESTS_PURE_STEPS_H
#define STEADYPORT_TESTS_PURE_STEPS_H

#include <stdbool.h>
#include "loader.h"
#include "model.h"
#include "seed.h"

extern struct sp_steps {
	struct sp_sim_options options;
	bool is_loaded; /* there are pins */
	bool has_attached; /* or was killed while it tried: the next one completes it */
	bool has_killed; /* a loader of this group */
	bool is_disturbed; /* something happened while the loader ran last */
	struct sp_reconcile_result result; /* of that run */
} sp_steps;

/* What happened, over all histories; for people. */
extern struct sp_steps_tally {
	__u64 histories, steps, packets, deaths, joins, runs, killed, changes, detaches;
	__u64 spread; /* fresh flows of dead slots, for I2 */
} sp_steps_tally;

/* A machine with this many workers in a group that is not steered yet, and flows that nobody has seen. */
void sp_steps_begin(__u64 seed, __u32 nworkers, __u32 nflows);

/* Time passes; a window that ends in it is looked at when it ends. */
void sp_steps_pass(__u64 ns);

/* A flow sends, unless it is quiet. */
void sp_steps_send(struct sp_model_flow *flow);
void sp_steps_all_send(void);

__u32 sp_steps_join(void);
void sp_steps_close(__u32 worker);
/* Somebody else takes the program off. */
void sp_steps_take_off(void);

/* `attach` is load, then reconcile. */
void sp_steps_load(const struct sp_sim_options *options);
enum sp_sim_end sp_steps_reconcile(const struct sp_sim_run *run);
/* Nobody disturbs the loader, and nobody kills it. NULL: a sync. */
enum sp_sim_end sp_steps_change(const struct sp_change *change);
/* `detach` */
void sp_steps_unload(void);

/* Windows close with all flows sending, until the group is at rest. */
void sp_steps_settle(void);
/* True when flows that nobody has seen can be sent without being remembered. */
bool sp_steps_can_spread(void);
/* The group comes to rest, some workers die, and the accounts of the whole history must be right. */
void sp_steps_end(struct sp_random *random);

#endif
