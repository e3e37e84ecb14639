/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A machine as it is not, for one run of a program: what a struct sp_run_setup may prepare it with. What cannot be done
 * ends the child.
 */
#ifndef STEADYPORT_TESTS_DISGUISE_H
#define STEADYPORT_TESTS_DISGUISE_H

#include <stdbool.h>

/* Ends the process, and says what it could not do and why, unless it has. */
void sp_disguise_must(bool is_done, const char *what);

/* Its own mounts, which nobody else sees. */
void sp_disguise_leave_mounts(void);

/* --- to prepare with --- */

/* uname() says that it is Linux 2.6. */
void sp_disguise_old_kernel(void *unused);
/* Nothing is in /sys/kernel/btf. */
void sp_disguise_no_btf(void *unused);
/* membarrier() is not there, as in some containers. */
void sp_disguise_no_membarrier(void *unused);
/* @caps: array of capabilities that it shall not have, -1 behind the last. Root regains the others at exec. */
void sp_disguise_without(void *caps);
/* Its network namespace has this name in /run/netns. */
void sp_disguise_named_netns(void *name);
/* Its network namespace is that of the first process. */
void sp_disguise_first_netns(void *unused);

#endif
