/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Listeners that lose the final ACK of each handshake: for the client the connection is there, for them it is half-open. */
#ifndef STEADYPORT_TESTS_ACKS_H
#define STEADYPORT_TESTS_ACKS_H

/* What the listener gets but for SYNs is thrown away before it sees it; the lookup and the program have their turn. */
void sp_acks_lose(int listener);
void sp_acks_take(int listener);

#endif
