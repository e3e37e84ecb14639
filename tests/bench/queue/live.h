/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Real workers and a real client, in the network namespace of the caller. What cannot be done ends the program. */
#ifndef STEADYPORT_TESTS_QUEUE_LIVE_H
#define STEADYPORT_TESTS_QUEUE_LIVE_H

#include "queue.h"

/* Processes that accept a connection, read how long it shall take (GET /NANOSECONDS), sleep so long, answer and close it. */
void live_start(unsigned int workers, __u16 port);
void live_end(void);

/* Asks the requests of 127.0.0.1 at their times and fills in `took`: until the first byte of the answer. Returns how late it was with the latest, s. */
double live_ask(__u16 port, struct request *requests, size_t count);

/* Runs a command that must succeed, without its output. */
void live_run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * Mean time of the steering program for a connection, ns: over @slots listeners, with nothing that waits or with all
 * connections so far.
 */
double live_cost(const char *binary, const char *balance, unsigned int slots, int is_idle);

void live_die(const char *what) __attribute__((noreturn));

#endif
