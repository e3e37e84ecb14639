/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The table of options as the commands, the parser and the help see it. */
#ifndef STEADYPORT_OPTION_TABLE_H
#define STEADYPORT_OPTION_TABLE_H

#include "options.h"

enum option_index {
	OPT_LEARN,
	OPT_FLOW_IDLE,
	OPT_TRACK,
	OPT_HASH,
	OPT_BALANCE,
	OPT_SEED,
	OPT_FLOWS,
	OPT_SLOTS,
	OPT_REPLACE,
	OPT_PARTIAL,
	OPT_UPGRADE,
	OPT_WAIT,
	OPT_WATCH,
	OPT_NO_KEY,
	OPT_NETNS,
	OPT_ALL,
	OPT_SLOT,
	OPT_ONCE,
	OPT_INTERVAL,
	OPT_JSON,
	OPT_PROTO,
	OPT_WORKERS,
	OPT_KILL,
	OPT_TOUR,
	OPT_ROLLING,
	OPT_SVG,
	OPT_CONFIG,
	OPT_CHECK,
	OPT_BPFFS,
	OPT_VERBOSE,
	OPT_HELP,
	OPT_VERSION,
	OPT_COUNT,
};

#define BIT(option) (1ULL << (option))
#define GLOBAL_OPTIONS (BIT(OPT_VERBOSE) | BIT(OPT_HELP) | BIT(OPT_VERSION))

extern const struct sp_option sp_option_table[];
extern const size_t sp_noptions;

#endif
