/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Processes that have nothing to do with any group, and their open files: half of them sockets. */
#ifndef STEADYPORT_TESTS_BENCH_CROWD_H
#define STEADYPORT_TESTS_BENCH_CROWD_H

#include <sys/types.h>

#define SP_FOREIGN_FILES 40 /* of each process */

struct sp_foreigners {
	unsigned int count;
	pid_t *pids;
};

/* Returns when all files are open. */
struct sp_foreigners sp_foreigners_start(unsigned int processes);
void sp_foreigners_end(struct sp_foreigners *foreigners);

#endif
