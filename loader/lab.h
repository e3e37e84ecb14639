/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A laboratory: a private network with real worker processes and real flows, for `demo` and for the tests.
 *
 * Every function returns 0 or -errno, leaves its outputs untouched on failure and, but for sp_lab_enter(),
 * says nothing: a failing bind is often what the caller wants to see. Nothing waits without a deadline;
 * deadlines are in milliseconds from the call. None of this is safe in a process with several threads.
 */
#ifndef STEADYPORT_LAB_H
#define STEADYPORT_LAB_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <steadyport/abi.h>
#include "endpoint.h"

/**
 * sp_lab_enter - move the calling process, for good, into a network and a mount namespace of its own
 * @bpffs: an existing directory; a fresh bpffs is mounted over it, visible to this process and its children
 *         only. NULL: none
 * The loopback device is up afterwards. The only function here that logs: it knows what is missing.
 */
int sp_lab_enter(const char *bpffs);

/* Brings up the loopback device of the network namespace that the caller is in. */
int sp_lab_bring_up_loopback(void);

/* Gives the loopback device one more address, a host route of its own (/32 or /128). */
int sp_lab_add_address(const struct sp_address *address);

/* "127.0.0.1", "::" to an address. -EINVAL. */
int sp_lab_address(const char *text, struct sp_address *ret);

/* Raises the soft limit of open files to @nfiles at least. -EMFILE when the hard limit is lower. */
int sp_lab_reserve_files(size_t nfiles);

#define SP_LAB_NOTED_MAX 1024

/*
 * What a worker notes down for whoever buries it, in memory that the caller has mapped shared: after a SIGKILL nobody
 * else can say which connections died with it.
 */
struct sp_lab_notes {
	__u32 is_closed; /* its sockets are */
	__u32 is_accepting; /* it is in accept(), or has come from there and not yet noted whom it accepted */
	__u32 peers[SP_LAB_NOTED_MAX]; /* by fd: who was accepted and not yet answered, sp_lab_peer(); 0: nobody */
};

/* A peer in one number: its port and, from bit 16 up, the last two bytes of its address. */
__u32 sp_lab_peer(const struct sockaddr_storage *sa);

/* How a worker's socket is made; all zero is a plain socket of the caller's own user. */
struct sp_lab_options {
	__u32 id; /* what the worker answers with; its process is called worker-ID */
	bool reuseport;
	bool is_v6only;
	bool is_paused; /* from the start, see sp_lab_pause() */
	bool sleeps; /* looks for connections only when the kernel says that there are some */
	__u32 backlog; /* TCP; 0: 4096 */
	__u32 uid; /* becomes this user before it opens the socket; 0: stays what it is */
	__u32 fastopen; /* TCP: connections whose SYN brought data that may wait at once; 0: no TCP Fast Open */
	__u32 nsockets; /* all at the same address: members of one group; 0: one */
	int adopted; /* an open socket that it shall serve instead of one of its own; 0: none */
	struct sp_lab_notes *notes; /* where it notes things, cleared by the start; NULL: nowhere */
};

#define SP_LAB_SOCKETS_MAX 4

/*
 * A process with a socket, or several that it serves alike. UDP: every datagram is sent back with the worker's id (u32,
 * host order) before it. TCP: a connection that sends a line is answered with the id and closed. On SIGTERM it closes
 * its sockets, finishes what it has accepted and exits. It dies with the process that started it.
 */
struct sp_lab_worker {
	pid_t pid; /* 0: not running */
	int control;
	__u32 id;
	enum sp_protocol protocol;
	struct sp_address address;
	__u16 port;
	__u64 cookie; /* SO_COOKIE of its socket */
	__u32 nsockets;
	__u64 cookies[SP_LAB_SOCKETS_MAX]; /* of each socket; the first is the one above */
};

/**
 * sp_lab_start - start a worker and wait until its socket takes traffic
 * @port: 0 lets the kernel choose; @ret->port says which
 * Returns what failed in the worker, e.g. -EADDRINUSE; no process is left then.
 */
int sp_lab_start(enum sp_protocol protocol, const struct sp_address *address, __u16 port,
		 const struct sp_lab_options *options, struct sp_lab_worker *ret);

/* A paused worker leaves connections in its accept queue, datagrams in its receive queue. */
int sp_lab_pause(struct sp_lab_worker *worker);
int sp_lab_resume(struct sp_lab_worker *worker);
/* Closes its sockets; the process lives on and serves the connections that it has accepted. */
int sp_lab_close(struct sp_lab_worker *worker);
/* A duplicate of its first socket, sent with SCM_RIGHTS; for the caller to close soon. -EBADF after sp_lab_close(). */
int sp_lab_lend(struct sp_lab_worker *worker, int *ret_fd);
/**
 * sp_lab_fork - the worker forks; the child serves the same sockets
 * @id: of the child; its parent keeps its own
 * It is a worker like others, and a child of the caller: it does not die with the one that it came from.
 */
int sp_lab_fork(struct sp_lab_worker *worker, __u32 id, struct sp_lab_worker *ret);
/* TCP: connections in the accept queue. UDP: bytes in the receive queue. -EBADF after sp_lab_close(). */
int sp_lab_waiting(struct sp_lab_worker *worker, __u32 *ret);

/*
 * Both return when the process is reaped: its socket is closed then. Nothing happens to one that is not
 * running.
 */
int sp_lab_stop(struct sp_lab_worker *worker); /* closes its socket and exits; -EPROTO: had to be killed */
void sp_lab_kill(struct sp_lab_worker *worker); /* SIGKILL */

/*
 * SIGTERM, upon which it closes its socket, serves to their end the connections that it has accepted, and exits. The
 * first does not wait for what comes of it; the second does, -EPROTO: had to be killed.
 */
int sp_lab_terminate(const struct sp_lab_worker *worker);
int sp_lab_leave(struct sp_lab_worker *worker);
/* True when the process has ended by itself; it is reaped then. Never waits. */
bool sp_lab_has_ended(struct sp_lab_worker *worker);

/* How a flow ended that no worker answered; ids of workers are 0 and up. */
enum sp_lab_owner {
	SP_LAB_SILENT = -1, /* nothing came until the deadline */
	SP_LAB_RESET = -2, /* ECONNRESET */
	SP_LAB_REFUSED = -3, /* ECONNREFUSED: nobody listens */
	SP_LAB_CLOSED = -4, /* TCP: closed without an answer */
};

/* Client sockets, each connected to the same target: flow i has its own source port for its whole life. */
struct sp_lab_flows {
	enum sp_protocol protocol;
	size_t count;
	int *fds;
	int *owners; /* TCP: what is known so far */
	int epoll;
	__u32 round;
};

#define SP_LAB_NO_FLOWS     \
	{                   \
		.epoll = -1 \
	}

/* What a TCP client does with its request. */
enum sp_lab_manner {
	SP_LAB_ASKS = 0, /* sends it when the handshake is complete */
	SP_LAB_WAITS, /* sends it with sp_lab_ask() */
	SP_LAB_ASKS_AT_ONCE, /* sends it with the SYN: TCP Fast Open */
};

/**
 * sp_lab_open - open @count flows
 * @source_port: flow i gets source_port + i; 0: the kernel chooses
 * TCP: all handshakes are complete and all request lines sent when this returns. -ETIMEDOUT, -ECONNREFUSED
 * and -ECONNRESET say that not all came through. @ret is to be closed with sp_lab_close_flows().
 */
int sp_lab_open(enum sp_protocol protocol, const struct sp_address *target, __u16 port, __u16 source_port,
		size_t count, int timeout_ms, struct sp_lab_flows *ret);

/* TCP: the same in a given manner. -EPROTO: the server did not take the data of a SYN. */
int sp_lab_open_as(enum sp_lab_manner manner, enum sp_protocol protocol, const struct sp_address *target,
		   __u16 port, __u16 source_port, size_t count, int timeout_ms, struct sp_lab_flows *ret);

/* TCP: sends the request on each connection. */
int sp_lab_ask(struct sp_lab_flows *flows);

/**
 * sp_lab_round - UDP: send one datagram on each flow and note who answers
 * @ret_owners: an id or enum sp_lab_owner for each flow
 * Nothing is sent twice: a flow that nobody answers before the deadline is SP_LAB_SILENT. Ends early when
 * every flow is known.
 */
int sp_lab_round(struct sp_lab_flows *flows, int timeout_ms, int *ret_owners);

/*
 * TCP: who has answered each connection. Ends early when every one is known; may be called again for the
 * others.
 */
int sp_lab_answers(struct sp_lab_flows *flows, int timeout_ms, int *ret_owners);

void sp_lab_close_flows(struct sp_lab_flows *flows);

/* What happened to the flows of the workers that live, between two rounds. */
struct sp_lab_moves {
	size_t survivor_flows; /* flows that a living worker had before */
	size_t moved; /* of these: answered by another worker now */
	size_t lost; /* of these: answered by none now */
	size_t stray; /* flows that had no worker before, whatever became of them */
};

/* Pure. @is_dead[id] for ids below @nworkers; a higher id counts as alive. */
struct sp_lab_moves sp_lab_count_moves(const int *before, const int *after, size_t count, const bool *is_dead,
				       size_t nworkers);

/*
 * CLOCK_MONOTONIC in milliseconds, and what is left until such a time, at least 0: for deadlines over several
 * calls.
 */
__u64 sp_lab_now_ms(void);
int sp_lab_left_ms(__u64 deadline_ms);

#endif
