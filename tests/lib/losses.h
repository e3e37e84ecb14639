/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Counts, in the kernel, the connections to a port of this network namespace that are lost because the last ACK of
 * their handshake is taken in by one CPU in the very microseconds in which another one closes their listener. The
 * kernel asks no program then, so nothing beside the server can save them, but to send none there (drain). Two ways:
 *
 * - The listener has left TCP_LISTEN when inet_csk_reqsk_queue_add() would put the connection into its queue: reset.
 * - __tcp_close() has marked the listener as shut down and not yet left TCP_LISTEN when the connection is made as a
 *   copy of it. It inherits the mark, and tcp_rcv_state_process() sends a FIN at once.
 *
 * One port at a time; every function fails the test that calls it when the thing cannot be done.
 */
#ifndef STEADYPORT_TESTS_LOSSES_H
#define STEADYPORT_TESTS_LOSSES_H

#include "run.h"

/* From now on, from 0. */
void sp_losses_start(__u16 port);
size_t sp_losses_read(void);
/* For which the kernel has asked for another listener and got none: those are no losses of its own. */
size_t sp_losses_unmigrated(void);
/* It need not be running. */
void sp_losses_stop(void);

#endif
