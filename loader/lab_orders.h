/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the two sides of a laboratory's worker share: the process that serves, and the one that gives orders. */
#ifndef STEADYPORT_LAB_ORDERS_H
#define STEADYPORT_LAB_ORDERS_H

#include <sys/types.h>
#include "lab.h"

enum command {
	CMD_PAUSE = 1,
	CMD_RESUME,
	CMD_CLOSE,
	CMD_WAITING,
	CMD_LEND,
	CMD_FORK,
	CMD_STOP,
};

/* One SOCK_SEQPACKET message each way. */
struct order {
	__u32 command;
	__u32 id; /* FORK: of the child */
};

/* The first one comes unasked: "ready". */
struct reply {
	__s32 err;
	__u32 value; /* ready: the port; FORK: the child's pid */
	__u32 nsockets;
	__u32 pad;
	__u64 cookies[SP_LAB_SOCKETS_MAX];
};

/* A worker that is to be. */
struct server {
	struct sp_lab_options options;
	enum sp_protocol protocol;
	int control;
	int sockets[SP_LAB_SOCKETS_MAX];
	__u32 nsockets; /* 0: closed */
	int epoll;
	int signals; /* SIGTERM comes here */
	__u32 naccepted; /* connections that are not yet answered */
	bool is_paused;
	bool is_leaving; /* exits when it has no connection left */
};

/* The life of a worker in its new process; does not return. Its first act is the "ready" on the control. */
void sp_lab_run(struct server *server, const struct sp_address *address, __u16 port, pid_t parent)
	__attribute__((noreturn));

#endif
