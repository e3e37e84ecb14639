/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Parking sockets that the service manager kept while no daemon was there: sd_listen_fds(3), sd_pid_notify_with_fds(3).
 * Each has a name of its own in the manager's store, by which it is removed.
 */
#ifndef STEADYPORT_PASSED_H
#define STEADYPORT_PASSED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <steadyport/abi.h>
#include "pin.h"

#define SP_PASSED_NAME_LEN 256 /* of FDNAME, which is 255 characters at most */

/* --- the environment: pure --- */

/* How many descriptors a process is passed; 0: none. @pid, @count: $LISTEN_PID and $LISTEN_FDS, NULL: not set */
size_t sp_passed_count(const char *pid, const char *count, pid_t own);

/* The name of one of them. @names: $LISTEN_FDNAMES; false: it has none. */
bool sp_passed_name(const char *names, size_t index, char ret_name[SP_PASSED_NAME_LEN]);

/* What a parking socket is called: "parking-NAME-COOKIE"; and whether one is that socket's. */
void sp_passed_call(const char *group, __u64 cookie, char ret_name[SP_PASSED_NAME_LEN]);
bool sp_passed_is_parking(const char *name, __u64 cookie);

/* --- the sockets --- */

struct sp_passed_socket {
	int fd; /* -1: taken */
	__u64 cookie;
	char name[SP_PASSED_NAME_LEN];
};

struct sp_passed {
	struct sp_passed_socket *sockets;
	size_t count;
};

/*
 * Takes what this process was passed, once, before it opens anything: close-on-exec, and no child is told of it.
 * What is no parking socket is closed, and is otherwise left as it is.
 */
void sp_passed_take(struct sp_passed *ret_passed);

/*
 * Ends those that nobody has taken: their listening, whoever else holds them, and their places in the store. What
 * waits in them goes where the program says.
 */
void sp_passed_end(struct sp_passed *passed);
#define sp_autopassed __attribute__((cleanup(sp_passed_end)))

#endif
