/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The loader over the simulated kernel: sp_reconcile() and all that is pure below it are the real ones; what they
 * ask of the kernel is answered by loader.c, which the linker puts in the way (--wrap). Each such call is a place
 * where others may act, and where the loader may be killed.
 */
#ifndef STEADYPORT_TESTS_PURE_LOADER_H
#define STEADYPORT_TESTS_PURE_LOADER_H

#include "kernel.h"
#include "reconcile.h"

#define SP_SIM_NEVER 0xffffffffu

enum sp_sim_call {
	SP_SIM_QUICK, /* reads or writes memory of the kernel */
	SP_SIM_WAIT, /* waits for a grace period */
};

struct sp_sim_run {
	const struct sp_change *change; /* NULL: a sync */
	__u32 calls; /* it is killed before its call of this number, from 0; SP_SIM_NEVER */
	void (*between)(enum sp_sim_call call); /* before each call; NULL: the world stands still */
};

enum sp_sim_end {
	SP_SIM_DONE,
	SP_SIM_REFUSED,
	SP_SIM_KILLED,
};

/* The error of a run that was refused is in *ret_err. */
enum sp_sim_end sp_sim_reconcile(const struct sp_sim_run *run, struct sp_reconcile_result *ret_result,
				 int *ret_err);

/* True while one runs. */
bool sp_sim_is_reconciling(void);
/* The worker whose socket the loader holds a duplicate of, 0: none. Closing it has to wait until it is given back. */
__u32 sp_sim_held(void);

#endif
