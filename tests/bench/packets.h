/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packets of any number of flows from one raw socket on the loopback device: a flow is a number, its addresses and ports
 * follow from it. The kernel handles such a packet as any other, the program runs before the sender's call returns.
 */
#ifndef STEADYPORT_TESTS_BENCH_PACKETS_H
#define STEADYPORT_TESTS_BENCH_PACKETS_H

#include <stddef.h>
#include <steadyport/abi.h>
#include <steadyport/flow.h>

#define SP_PACKETS_FLOWS_MAX (1U << 22)

/* Where packets go: a UDP datagram, or the SYN of a connection that is never made: its answer is reset by the kernel. */
struct sp_packets_target {
	enum sp_protocol protocol;
	int family; /* IPv4: 127.0.0.1, IPv6: ::1 */
	__u16 port;
};

/* Opens the sockets; call it in the network namespace of the groups. */
void sp_packets_open(void);
void sp_packets_close(void);

/* One packet of each of these flows, in this order. */
void sp_packets_send(const struct sp_packets_target *target, const __u32 *flows, size_t count);

/* What the program sees of a flow. */
struct sp_tuple4 sp_packets_tuple4(__u32 flow, __u16 port);
struct sp_tuple6 sp_packets_tuple6(__u32 flow, __u16 port);

#endif
