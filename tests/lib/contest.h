/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The same change to a server that serves wrk's clients, a new connection for each request: once as the kernel does
 * it, once with `steadyport run` beside it. Each request that fails is counted. There is one contest at a time.
 */
#ifndef STEADYPORT_TESTS_CONTEST_H
#define STEADYPORT_TESTS_CONTEST_H

#include "keeper.h"
#include "losses.h"
#include "servers.h"

#define SP_CONTEST_CLIENTS 300 /* connections of wrk at any time */

struct sp_contest {
	const char *what; /* a line for the reader */
	const char *program; /* of the server */
	__u16 port;
	size_t members; /* of the group at first */
	void (*start)(void); /* the server */
	size_t (*change)(void); /* to it; returns how many connections a process that it killed had accepted */
	void (*stop)(void); /* the server, also after a failure half-way */
};

struct sp_contest_side {
	unsigned long requests; /* answered */
	unsigned long
		failed; /* connections that were refused or reset or ended early, answers other than 200 */
	size_t doomed; /* accepted by a process that was killed */
	size_t raced; /* lost in the instant in which their listener closed: see losses.h */
	json_int_t migrated; /* with steadyport: connections taken from a listener that was closed */
};

struct sp_contest_result {
	struct sp_contest_side without, with;
};

/* What may fail of it, whoever steers. */
size_t sp_contest_bound(const struct sp_contest_side *side);

/* Both runs. Prints their numbers side by side. With steadyport no more fails than may fail. */
void sp_contest_run(const struct sp_contest *contest, struct sp_contest_result *ret);
/* For change(): waits until so many listen, and with steadyport until it has enrolled them. */
void sp_contest_wait_members(size_t count);
/* For change(): how many have to wait at a worker of several that is busy. */
__u32 sp_contest_waiting(void);
/* For change(), with steadyport: drains a process's slot until nothing is left there. */
void sp_contest_drain(pid_t pid);

/* Teardown of a case, for cmocka. */
int sp_contest_teardown(void **state);

#endif
