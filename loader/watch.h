/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * News of sockets that join or leave, from the kernel (watch.bpf.c). What is missed is no harm: whoever listens here
 * also looks now and then.
 */
#ifndef STEADYPORT_WATCH_H
#define STEADYPORT_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <steadyport/abi.h>

struct sp_watch;

/**
 * sp_watch_open - load and attach what this kernel and this process can
 * TCP needs CAP_BPF and CAP_PERFMON; UDP needs CAP_BPF, CAP_NET_ADMIN and a cgroup2 mount. For what cannot be had one
 * warning is logged each, and no news come of it. The programs are detached when the process ends.
 * Returns 0, or -ENOMEM (logged).
 */
int sp_watch_open(struct sp_watch **ret_watch);

/* True when news of this protocol come. */
bool sp_watch_hears(const struct sp_watch *watch, enum sp_protocol protocol);

/* Readable when there is news; -1: there never will be. */
int sp_watch_fd(const struct sp_watch *watch);

/* Hear of these ports only. @keys: no duplicates. Returns 0 or -errno (logged). */
int sp_watch_set(struct sp_watch *watch, const struct sp_watch_key *keys, size_t nkeys);

/* Hands over all news that there is. */
void sp_watch_read(struct sp_watch *watch, void (*each)(void *ctx, const struct sp_watch_event *event),
		   void *ctx);

void sp_watch_free(struct sp_watch **watch);

#endif
