/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The demonstration: workers are killed under the kernel's own hash and under steadyport, what became of
 * their and of the others' flows is counted, and both are shown side by side. Measuring and showing are
 * apart: the pictures are pure functions of what was measured.
 */
#ifndef STEADYPORT_DEMO_H
#define STEADYPORT_DEMO_H

#include <stdbool.h>
#include <stdio.h>
#include <jansson.h>
#include <steadyport/abi.h>
#include "lab.h"

#define SP_DEMO_WORKERS_MAX 64

enum sp_demo_mode {
	SP_DEMO_KERNEL,
	SP_DEMO_STEADYPORT,
	SP_DEMO_MODES,
};

struct sp_demo_setup {
	__u32 workers; /* 2..SP_DEMO_WORKERS_MAX, with the ids 0, 1, ... */
	__u32 killed; /* 1..workers - 1: the workers 1, 2, ... are killed */
	__u32 flows; /* UDP */
	__u32 connections; /* TCP */
	bool has_udp, has_tcp;
	const char *bpffs; /* of the laboratory */
	const char *program; /* the steadyport to run, e.g. /proc/self/exe */
};

/* UDP, one mode. Every flow was asked once before the workers were killed, and once after. */
struct sp_demo_udp {
	__u32 survivor_flows; /* that living workers had before */
	__u32 moved; /* of these: answered by another worker afterwards */
	__u32 moved_by_attach; /* of all flows; 0 under the kernel, where nothing is attached */
	__u32 unanswered; /* of all flows, in any round */
	__u32 from_to[SP_DEMO_WORKERS_MAX][SP_DEMO_WORKERS_MAX]; /* flows by worker before and worker after */
};

/* TCP, one mode. */
struct sp_demo_tcp {
	__u32 answered;
	__u32 reset; /* refused and closed ones are among them: the client has lost its connection */
	__u32 unanswered; /* nothing happened until the deadline */
	__u32 waiting[SP_DEMO_WORKERS_MAX]; /* in the accept queue of each worker before the kill */
	__u32 answered_by[SP_DEMO_WORKERS_MAX];
};

struct sp_demo_result {
	__u32 workers;
	__u32 killed;
	__u32 flows;
	__u32 connections;
	bool has_udp, has_tcp;
	char kernel[65]; /* uname -r */
	struct sp_demo_udp udp[SP_DEMO_MODES];
	struct sp_demo_tcp tcp[SP_DEMO_MODES];
};

/*
 * Measures in the laboratory that was entered before. 0 or -errno (logged); no worker is left in either case.
 */
int sp_demo_measure(const struct sp_demo_setup *setup, struct sp_demo_result *ret);

/* True when steadyport moved and lost nothing. Pure. */
bool sp_demo_holds(const struct sp_demo_result *result);

/* The picture. Pure but for @out; what is told by colour is told without it, too. */
void sp_demo_render(FILE *out, const struct sp_demo_result *result, bool has_colour);
/* The UDP half of it as SVG. 0 or -EIO (not logged). */
int sp_demo_svg(FILE *out, const struct sp_demo_result *result);
/* The document of --json; NULL without memory. */
json_t *sp_demo_json(const struct sp_demo_result *result);

/* Workers of one port, for the demonstration and the tour. */
struct sp_demo_crew {
	__u32 size;
	struct sp_lab_worker workers[SP_DEMO_WORKERS_MAX];
};

/* Starts the workers 0, 1, ... of a new port of 127.0.0.1 with SO_REUSEPORT. 0 or -errno (logged). */
int sp_demo_start(enum sp_protocol protocol, __u32 size, bool is_paused, struct sp_demo_crew *ret);
void sp_demo_dismiss(struct sp_demo_crew *crew);

/*
 * `steadyport attach demo ...`, `detach demo` and `sync demo`, each a process that is gone when this returns.
 * What it says is shown when it fails. 0 or -errno (logged).
 */
int sp_demo_attach(const struct sp_demo_setup *setup, const struct sp_demo_crew *crew);
int sp_demo_detach(const struct sp_demo_setup *setup);
int sp_demo_sync(const struct sp_demo_setup *setup);

/*
 * The second one first: it is neither the first nor the last of the kernel's order, and the last one's end
 * moves less.
 */
static inline bool sp_demo_is_victim(__u32 killed, __u32 worker)
{
	return worker >= 1 && worker <= killed;
}

#endif
