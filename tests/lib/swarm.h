/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * UDP flows without a descriptor for each: hundreds of thousands of them over a few sockets. All of 127.0.0.0/8 is
 * local, so a socket that is bound to no address sends from whichever it is told, and hears which one was answered.
 * A flow is a source port, which is a socket, and a source address.
 *
 * A flow has one datagram on its way at most, and all flows together have no more than the receive buffers hold, so
 * none is lost but those that lie unread in a socket that is closed, nearly all of them its own (see strays.h). A flow
 * is asked again only when the answer is here. Each answer is compared with the one before: a flow that has another worker now has moved, unless the one
 * that it had was excused, which is said of a worker that is about to end.
 *
 * Every function fails the test that calls it when the thing cannot be done.
 */
#ifndef STEADYPORT_TESTS_SWARM_H
#define STEADYPORT_TESTS_SWARM_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <steadyport/abi.h>
#include "run.h"

#define SP_SWARM_WINDOW \
	128 /* datagrams on their way: the smallest default receive buffer holds twice as many */

/* Who asks; all zero but the sizes will do. Flow i is port i / naddresses, address i % naddresses. */
struct sp_swarm_options {
	__u16 source_port; /* of the first socket; two swarms at a time may not have the same ones */
	size_t nports;
	size_t naddresses;
	unsigned int rate; /* datagrams a second of sp_swarm_start(); 0: as many as are answered */
	size_t window; /* 0: SP_SWARM_WINDOW. More need workers with larger receive buffers */
};

/* What became of the datagrams; shared with the process that sends them. */
struct sp_swarm_tally {
	__u64 sent;
	__u64 answered;
	__u64 lost; /* of excused workers, never answered */
	__u64 strays; /* of other workers, left by the kernel in a socket that closed */
	__u64 moved; /* answers of another worker than before, though that one was not excused */
	__u64 strange; /* what is not an answer to any datagram */
	__u64 rounds; /* times that each flow has been asked, by sp_swarm_start() */
	struct {
		size_t flow;
		int from, to;
	} first_move;
};

struct strays;
struct sp_swarm_flow;
struct sp_swarm_shared;

struct sp_swarm {
	struct sp_swarm_options options;
	size_t count;
	struct sockaddr_in target;
	int *sockets;
	int epoll;
	struct strays *strays;
	pid_t pid; /* of the process of sp_swarm_start(); 0: none */
	size_t size; /* of what is shared, in bytes */
	struct sp_swarm_shared *shared;
	struct sp_swarm_flow *flows; /* shared, too */
	int *owners; /* shared, too: who answered last, or SP_LAB_SILENT */
};

/* Flows to a crew's 127.0.0.1. */
void sp_swarm_open(struct sp_swarm *swarm, const struct sp_crew *crew,
		   const struct sp_swarm_options *options);
void sp_swarm_close(struct sp_swarm *swarm);

/* Asks each flow once, here and now, and waits for all answers. */
void sp_swarm_ask(struct sp_swarm *swarm);

/* Starts a process that asks them again and again. */
void sp_swarm_start(struct sp_swarm *swarm);
/* Waits until each flow has been asked after this call, and has answered or is known to be lost. */
void sp_swarm_wait_round(struct sp_swarm *swarm);
/* The same in two steps: since the mark was made. */
__u64 sp_swarm_mark(const struct sp_swarm *swarm);
void sp_swarm_wait(struct sp_swarm *swarm, __u64 mark);
/* Lets what is on its way arrive, and ends the process. */
void sp_swarm_stop(struct sp_swarm *swarm);

/* This worker is about to end: its flows may go to others, and what it has not read is lost. */
void sp_swarm_excuse(struct sp_swarm *swarm, unsigned int id);

/* Of flows that are at rest or on the way, as it is now. */
const struct sp_swarm_tally *sp_swarm_tally(const struct sp_swarm *swarm);
/* Who answered each flow last; @ret_owners has room for all. */
void sp_swarm_owners(const struct sp_swarm *swarm, int *ret_owners);

/*
 * No flow has moved since the swarm was opened, nothing strange has come, and no more has strayed than workers were
 * excused: to one it happens in some hundred.
 */
#define sp_swarm_require_still(swarm) sp_swarm_check_still(swarm, __FILE__, __LINE__)
void sp_swarm_check_still(const struct sp_swarm *swarm, const char *file, int line);

/*
 * After a change, with the process running: each flow is asked in the learn window that is open, it closes, what was
 * learned is settled, and still nothing has moved.
 */
#define sp_swarm_settle(swarm, name) sp_swarm_see_settled(swarm, name, __FILE__, __LINE__)
void sp_swarm_see_settled(struct sp_swarm *swarm, const char *name, const char *file, int line);

/* sp_run_teardown() for cases with swarms: after a failure their processes and ports are not in the next one's way. */
int sp_swarm_teardown(void **state);

#endif
