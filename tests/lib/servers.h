/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Other people's servers under test, and what the kernel says of their sockets: who listens on a port of 127.0.0.1 in
 * this network namespace, what waits there, what was accepted. Every function fails the test that calls it when the
 * thing cannot be done.
 */
#ifndef STEADYPORT_TESTS_SERVERS_H
#define STEADYPORT_TESTS_SERVERS_H

#include "run.h"

#define SP_SERVERS_POLL_MS 5

/* Polls until it is so, or fails the test. */
#define sp_wait_for(condition)                                                  \
	do {                                                                    \
		__u64 deadline_ = sp_lab_now_ms() + SP_RUN_DEADLINE_MS;         \
		while (!(condition)) {                                          \
			if (sp_lab_left_ms(deadline_) == 0)                     \
				fail_msg("waited in vain for: %s", #condition); \
			poll(NULL, 0, SP_SERVERS_POLL_MS);                      \
		}                                                               \
	} while (0)

/* Starts a program that ends when the test does. */
void sp_server_start(struct sp_run *run, const char *const *words);
/* Ends it and its children (it need not be running). */
void sp_server_end(struct sp_run *run);

/* The children of a process, in the order in which they were started; @ret has room for @max. Their number. */
size_t sp_server_children(pid_t pid, pid_t *ret, size_t max);
/* True when the process has a handler for the signal: before, and while it replaces itself, one would end it. */
bool sp_server_catches(pid_t pid, int signal);
/* True if the process is one of these. */
bool sp_server_is_among(pid_t pid, const pid_t *pids, size_t count);

/*
 * A process that is busy with something else: it does nothing until SIGCONT. Returns when it has stopped and so many
 * connections wait at one listener, which can only be its own: those who are not busy keep up.
 */
void sp_server_pause(pid_t pid, __u16 port, __u32 waiting);
/*
 * The same, and then SIGKILL. Returns how many connections it had accepted: these die with it, whatever anyone does.
 */
size_t sp_server_kill(pid_t pid, __u16 port, __u32 waiting);

/* Sockets that listen on the port. */
size_t sp_server_listeners(__u16 port);

/* Clients' connections to the port that are open. */
struct sp_open {
	size_t count;
	__u32 inodes[1024];
};

void sp_server_connections(__u16 port, struct sp_open *ret);
/* True when each of them has ended. */
bool sp_server_have_ended(__u16 port, const struct sp_open *open);

#endif
