/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A process of which one system call or one allocation fails: the first, then the second, and so on until it gets
 * through. Each call counts that changes what outlives the process, and of the others, and of allocations, some: see
 * enum sp_fault_reach. With FAULTS=all each counts, and every errno that fits has its turn. Of calls that are the same
 * one after another, as when a file is read or a map is walked, always the 1st, 2nd, 4th, 8th and so on stand for all;
 * of allocations that the same chain of callers asks for, the first.
 */
#ifndef STEADYPORT_TESTS_FAULT_H
#define STEADYPORT_TESTS_FAULT_H

#include "run.h"

enum sp_fault_kind {
	SP_FAULT_CALL, /* a system call returns an error, once */
	SP_FAULT_CALLS, /* and so do all of its kind that come after it */
	SP_FAULT_MEMORY, /* an allocation fails, once */
	SP_FAULT_KILL, /* it is killed behind a system call that changes something */
	SP_FAULT_KINDS,
};

/* How many count; with FAULTS=all there is no difference. */
enum sp_fault_reach {
	SP_FAULT_NEAR, /* of calls that change nothing the first of each kind; allocations that our own code asks for */
	SP_FAULT_FAR, /* of such calls the 1st, 2nd, 4th, 8th and so on; the same allocations */
	SP_FAULT_CHANGES, /* only calls that change something, and no allocation */
};

struct sp_fault {
	enum sp_fault_kind kind;
	enum sp_fault_reach reach;
	unsigned int variant; /* which of the errnos of each call; those that have less are left out */
	unsigned int nth; /* from 1 */

	/* What was done. */
	bool is_injected;
	long number; /* of the system call; -1: an allocation */
	__u64 command; /* of bpf() */
	int error;
	bool is_killed; /* it is dead, as it was to be */
	bool is_libbpf_dead; /* of an allocation: it ended the process by SIGSEGV, as if that had been killed */
};

bool sp_fault_is_all(void); /* FAULTS=all */

/* Variants that a kind has; 0: FAULTS=all alone has it. */
unsigned int sp_fault_variants(enum sp_fault_kind kind, enum sp_fault_reach reach);

/* Runs the words to their end, with the fault. @run is to be freed. */
void sp_fault_run(struct sp_fault *fault, struct sp_run *run, const char *const *words);

/* For people: "setsockopt: Cannot allocate memory (23rd)". Valid until the next call. */
const char *sp_fault_text(const struct sp_fault *fault);

/*
 * The same for a process that lives on. It has to be started between these two, so that its allocations are counted
 * when they shall be.
 */
void sp_fault_prepare_begin(void);
void sp_fault_prepare_end(void);

/**
 * sp_fault_provoke - let a process work, with the fault
 * @provoke: gives it the work; the process is stopped while it is called
 * @is_done: asked whenever the process waits for something to happen
 * Returns when the work is done, or the fault is in it; then the process goes on alone.
 */
void sp_fault_provoke(struct sp_fault *fault, pid_t pid, void (*provoke)(void *ctx),
		      bool (*is_done)(void *ctx), void *ctx);

#endif
