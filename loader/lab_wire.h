/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the laboratory's workers and flows share: what a datagram carries, and how their sockets are set up. */
#ifndef STEADYPORT_LAB_WIRE_H
#define STEADYPORT_LAB_WIRE_H

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <steadyport/abi.h>

#define EVENTS 256 /* of one epoll_wait() */

/*
 * The whole of what a datagram carries. A reply is the worker's id and the same again. The round tells late
 * answers from those of this round.
 */
struct question {
	__u32 round;
	__u32 flow;
};

struct answer {
	__u32 id;
	struct question question;
};

/* TCP clients: the pending error of a socket as -errno; the request; who has answered, or enum sp_lab_owner. */
#define UNKNOWN INT32_MIN /* not yet; never shown to the caller */
int sp_lab_pending_error(int fd);
int sp_lab_send_request(int fd);
int sp_lab_hear(int fd);

/* A new non-blocking socket; its fd or -errno. */
static inline int open_socket(enum sp_protocol protocol, int family)
{
	int type = protocol == SP_TCP ? SOCK_STREAM : SOCK_DGRAM;
	int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

static inline int set_option(int fd, int level, int name)
{
	int one = 1;

	return setsockopt(fd, level, name, &one, sizeof(one)) ? -errno : 0;
}

static inline int watch(int epoll, int op, int fd, __u32 events, __u32 tag)
{
	struct epoll_event event = { .events = events, .data.u32 = tag };

	return epoll_ctl(epoll, op, fd, &event) ? -errno : 0;
}

#endif
