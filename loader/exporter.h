/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The daemon's /metrics and /healthz. Reading a group takes about a millisecond, more with many kept flows, so an answer
 * is put together group by group, and whatever else the loop has to do comes first.
 */
#ifndef STEADYPORT_EXPORTER_H
#define STEADYPORT_EXPORTER_H

#include <stdbool.h>
#include <stddef.h>
#include <event2/event.h>
#include <steadyport/abi.h>
#include "config.h"
#include "members.h"
#include "metrics.h"
#include "tend.h"

/* What it reads of the daemon, which keeps it up to date. */
struct sp_exported {
	const char *bpffs;
	struct sp_scanner *scanner;
	struct sp_tended *const *tended;
	size_t ntended;
	bool is_reload_ok;
	struct sp_histogram reconcile;
	__u64 looked_ns; /* CLOCK_MONOTONIC: when all groups were last looked at */
	const char *status; /* one line */
};

struct sp_exporter;

/* NULL without memory (logged). Answers nobody yet. @exported must outlive it. */
struct sp_exporter *sp_exporter_new(struct event_base *base, const struct sp_exported *exported);
void sp_exporter_free(struct sp_exporter **exporter);

/*
 * Answers at this address from now on; unchanged: goes on. Without a free port it says so once, and the daemon does
 * without. To be called whenever the configuration was read, even if it names the same address: it is tried again.
 */
void sp_exporter_listen(struct sp_exporter *exporter, const struct sp_config_metrics *metrics);

/* The groups are others now: begins a half-made answer anew. */
void sp_exporter_restart(struct sp_exporter *exporter);

#endif
