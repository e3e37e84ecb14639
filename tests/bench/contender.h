/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A contender: a group of sockets in this process, on a port of its own, and what steers it. Unless they are read from,
 * what comes when their queues are full is dropped after the program has run.
 */
#ifndef STEADYPORT_TESTS_BENCH_CONTENDER_H
#define STEADYPORT_TESTS_BENCH_CONTENDER_H

#include "packets.h"
#include "pin.h"

#define SP_CONTENDER_BPFFS "/sys/fs/bpf"
#define SP_CONTENDER_OPTIONS_MAX 8

enum sp_steering {
	SP_STEERED_BY_NOBODY,
	SP_STEERED_BY_EMPTY, /* the programs of floor.bpf.c */
	SP_STEERED_BY_FLOOR,
	SP_STEERED_BY_MODULO,
	SP_STEERED_BY_CLASSIC, /* SO_ATTACH_REUSEPORT_CBPF: the packet's hash modulo the members */
	SP_STEERED_BY_STEADYPORT,
	SP_STEERED_BY_RIVAL, /* another build of steadyport */
	SP_STEERED_BY_STEP, /* a program of steps.bpf.c, Linux 6.2 */
};

struct sp_contender {
	/* filled in by the caller */
	const char *name; /* letters, digits and '_' */
	const char *text;
	enum sp_steering steering;
	enum sp_protocol protocol; /* SP_UDP if 0 */
	int family; /* AF_INET if 0 */
	unsigned int members; /* 4 if 0 */
	bool is_read; /* by whom it belongs to: with queues of the usual length */
	unsigned int dead; /* of them, closed after the attach */
	const char *step; /* its name */
	const char *options[SP_CONTENDER_OPTIONS_MAX]; /* of attach; default: --learn 0 */

	/* filled in by sp_contender_open() */
	struct sp_packets_target target;
	int *sockets;
	int program; /* -1: none that has statistics of its own */
	struct floor *skel;
	struct steps *steps;
	struct sp_pins pins; /* of steadyport's own */
};

void sp_contender_open(struct sp_contender *contender, const char *binary);
void sp_contender_close(struct sp_contender *contender);

/*
 * Takes so many datagrams from the sockets' queues; or connections, which are closed. Now and then the kernel leaves some
 * to ksoftirqd, and they come later; if they do not come at all the program ends. @ret_counts: of each member, added.
 */
void sp_contender_drain(const struct sp_contender *contender, size_t count, size_t *ret_counts);

/* The flow's hash under the contender's key. */
__u64 sp_contender_hash(const struct sp_contender *contender, const struct sp_ctl *ctl, __u32 flow);

/* Kernel run-time statistics of the program since it was loaded. */
struct sp_runtime {
	__u64 ns, runs;
};

struct sp_runtime sp_contender_runtime(const struct sp_contender *contender);

#endif
