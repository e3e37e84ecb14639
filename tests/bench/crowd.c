// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Foreign processes. */
#include "crowd.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"

#define READY 3 /* the only file that a child keeps from its parent, but for the standard ones */

static void be_foreign(int ready)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(ready, READY) < 0 || close_range(READY + 1, UINT_MAX, 0))
		_exit(1);
	for (int i = 0; i < SP_FOREIGN_FILES - READY - 1; i++) {
		if ((i % 2 ? open("/dev/null", O_RDONLY) : socket(AF_INET, SOCK_STREAM, 0)) < 0)
			_exit(1);
	}
	if (write(READY, "r", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

struct sp_foreigners sp_foreigners_start(unsigned int processes)
{
	struct sp_foreigners foreigners = { .count = processes };
	int ready[2];
	char c;

	foreigners.pids = calloc(processes + 1, sizeof(*foreigners.pids));
	sp_bench_require(foreigners.pids && pipe2(ready, O_CLOEXEC) == 0);
	for (unsigned int i = 0; i < processes; i++) {
		foreigners.pids[i] = fork();
		sp_bench_require(foreigners.pids[i] >= 0);
		if (foreigners.pids[i] == 0)
			be_foreign(ready[1]);
	}
	for (unsigned int i = 0; i < processes; i++)
		sp_bench_require(read(ready[0], &c, 1) == 1);
	close(ready[0]);
	close(ready[1]);
	return foreigners;
}

void sp_foreigners_end(struct sp_foreigners *foreigners)
{
	for (unsigned int i = 0; i < foreigners->count; i++)
		kill(foreigners->pids[i], SIGKILL);
	for (unsigned int i = 0; i < foreigners->count; i++)
		waitpid(foreigners->pids[i], NULL, 0);
	free(foreigners->pids);
	*foreigners = (struct sp_foreigners){ 0 };
}
