/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The sandbox of a unit without its service manager: what packaging/ says, applied to a child of the test. Not all of
 * it: capabilities, what is read-only, address families, namespaces, system calls, memory that is written and run.
 * A system call that the unit denies kills the child here, so that it cannot be overlooked.
 */
#ifndef STEADYPORT_TESTS_SANDBOX_H
#define STEADYPORT_TESTS_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <steadyport/abi.h>
#include "unit_file.h"

#define SP_SANDBOX_PATHS_MAX 8
#define SP_SANDBOX_FAMILIES_MAX 8
#define SP_SANDBOX_SYSCALLS_MAX 512

struct sp_sandbox {
	char before[128]; /* the command that ExecStartPre=+ runs outside of it; empty: none */
	__u64 caps; /* a bit for each that it may have */
	char writable[SP_SANDBOX_PATHS_MAX][64];
	size_t nwritable;
	int families[SP_SANDBOX_FAMILIES_MAX];
	size_t nfamilies;
	unsigned int namespaces; /* CLONE_NEW* that it may enter and make */
	bool is_allowed[SP_SANDBOX_SYSCALLS_MAX]; /* by number */
	bool is_removing; /* while it is read: the line takes system calls away */
};

/* Fails the test when the unit says something that it does not know. Asks systemd-analyze for sets of system calls. */
void sp_sandbox_read(struct sp_sandbox *sandbox, const struct sp_unit *unit);

/* In the child, before it becomes the program, as root. Ends the process when something cannot be done. */
void sp_sandbox_enter(const struct sp_sandbox *sandbox);

#endif
