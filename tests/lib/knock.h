/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Load for a TCP server that comes at its own pace, whatever becomes of it: a process that opens a connection every so
 * often, sends a line on it, and notes how each one ended. A server that is away makes connections wait or fail, and
 * the load goes on. Every function fails the test that calls it when the thing cannot be done.
 */
#ifndef STEADYPORT_TESTS_KNOCK_H
#define STEADYPORT_TESTS_KNOCK_H

#include <stdbool.h>
#include <sys/types.h>
#include <steadyport/abi.h>
#include "endpoint.h"

#define SP_KNOCKS_FAILURES 16384

/* One that was not answered; CLOCK_MONOTONIC. */
struct sp_knock_failure {
	bool is_unanswered; /* it ended in peace */
	bool is_reset; /* its handshake was complete. Else it was refused, or worse */
	__u64 asked_ns; /* before its connect() */
	__u64 ended_ns; /* when its end was seen */
};

/* Written by the process, but for is_held and is_over; each number only grows. */
struct sp_knocks {
	bool is_held; /* no new connections */
	bool is_over; /* end when those that are open have ended */
	__u64 asked;
	__u64 answered;
	__u64 refused; /* ECONNREFUSED */
	__u64 reset; /* ECONNRESET */
	__u64 unanswered; /* closed without an answer */
	__u64 failed; /* with another error */
	__u64 slowest_ns; /* from connect() to the answer */
	__u64 nfailures; /* noted below; more end the process */
	struct sp_knock_failure failures[SP_KNOCKS_FAILURES];
};

struct sp_knocker {
	pid_t pid; /* 0: not running */
	struct sp_knocks *seen; /* shared with it */
};

/* Starts it; it opens @per_s connections a second. */
void sp_knock_start(struct sp_knocker *knocker, const struct sp_address *address, __u16 port,
		    unsigned int per_s);
/* Waits until so many more connections were opened. */
void sp_knock_wait(const struct sp_knocker *knocker, __u64 more);
/* Those that have not ended. */
__u64 sp_knock_open(const struct sp_knocker *knocker);
/* No new connections, and waits until all but @left of those that are open have ended. */
void sp_knock_hold(const struct sp_knocker *knocker, __u64 left);
void sp_knock_go_on(const struct sp_knocker *knocker);
/* Opens no more, waits until all have ended, and ends it. The numbers stay until sp_knock_free(). */
void sp_knock_stop(struct sp_knocker *knocker);
/* For teardowns: also ends one that runs. */
void sp_knock_free(struct sp_knocker *knocker);

#endif
