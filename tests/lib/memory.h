/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What BPF objects take: as the kernel states it for each, and as it charges it to whoever made them. The charge goes to
 * a memory control group of our own, so that nothing is in it that others do on the machine meanwhile.
 */
#ifndef STEADYPORT_TESTS_MEMORY_H
#define STEADYPORT_TESTS_MEMORY_H

#include <limits.h>
#include <stdbool.h>
#include <linux/types.h>

/* `memlock` of one pinned object, in bytes, as bpftool shows it. Fails the test when it cannot be read. */
__u64 sp_memory_stated(const char *pin);

struct sp_memory {
	char path[PATH_MAX]; /* of the control group; empty: none */
	const char *file; /* that says what is charged */
};

/* False: this machine has no memory control groups, or none that we may use. */
bool sp_memory_open(struct sp_memory *memory);
void sp_memory_close(struct sp_memory *memory);

/* What the whole machine could still give, in bytes: all that others do is in it, too. */
__u64 sp_memory_available(void);

/* For struct sp_run_setup: the program runs in the control group. @memory: struct sp_memory */
void sp_memory_enter(void *memory);

/* Kernel memory that is charged now, in bytes. What is freed is so some grace periods later. */
__u64 sp_memory_charged(const struct sp_memory *memory);

#endif
