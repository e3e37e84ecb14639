/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Datagrams to a port that nobody will read, because the socket that they lay in was closed. Those of the member that
 * closed are no surprise. But there is an instant in which it takes others', too, and the kernel asks no program:
 * udp_lib_unhash() takes the socket out of its reuseport group first and out of the table in which it is looked up
 * after that. A look-up on another CPU that meets it in between finds a socket without a group, and takes it:
 * reuseport_select_sock() has nothing to choose from, and the rest of the chain scores no better. Only the first member
 * of the chain is ever met, over IPv4 the youngest, over IPv6 the oldest.
 *
 * What a test needs to tell these from datagrams that steadyport has lost: which they were. Every function fails the
 * test that calls it when the thing cannot be done, except sp_strays_took(), which other processes call as well.
 *
 * Some are not told. There are moments in which Linux 6.18 runs no program at this tracepoint and counts no miss, while
 * ftrace has the event: 747 of 747 where the program was run for 746. Whichever programs there are, they miss the same
 * ones: about one in a thousand on a quiet machine, up to one in twelve on a busy one.
 */
#ifndef STEADYPORT_TESTS_STRAYS_H
#define STEADYPORT_TESTS_STRAYS_H

#include <stdbool.h>
#include <linux/types.h>

struct strays;

/* From now on those to this port, of any network namespace, that carry 8 bytes. */
struct strays *sp_strays_start(__u16 port);
/* NULL will do. */
void sp_strays_stop(struct strays *strays);

/*
 * It has lain unread, and is not told twice. This is known when the kernel frees the socket, a grace period after it was
 * closed. @source_port: in host order; @payload: its 8 bytes
 */
bool sp_strays_took(struct strays *strays, __u16 source_port, const void *payload);

/*
 * Not strays, but as lost: packets that the kernel has dropped because a CPU had too many in its backlog
 * (netdev_max_backlog, 1000). Those of the whole machine, whose other namespaces have the same backlogs.
 */
__u64 sp_strays_overrun(void);

#endif
