/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The operator of a group at storm: gives one order after another to the real binary without waiting for it, looks
 * with `status` at what came of each, and holds it against what was asked.
 */
#ifndef STEADYPORT_STORM_ORDERS_H
#define STEADYPORT_STORM_ORDERS_H

#include "model.h"
#include "run.h"

enum storm_row_state {
	STORM_ROW_FREE,
	STORM_ROW_DEAD,
	STORM_ROW_LIVE,
	STORM_ROW_DRAINING,
	STORM_ROW_EJECTED,
};

/* What the operator knows of a slot. */
struct storm_row {
	enum storm_row_state state;
	int member; /* who has it, or had it last */
	__u32 weight;
};

struct storm_command {
	enum storm_order order;
	bool asked[STORM_SLOTS]; /* slots; none for some orders */
	__u32 weight;
	enum sp_balance balance;
};

/* What the last status said of the whole group. */
struct storm_sight {
	bool is_learning;
	__u32 kept_flows;
	__u32 moving_buckets;
	__u32 serial;
};

struct storm_operator {
	const char *name;
	struct storm_model *model;
	char endpoint[SP_ENDPOINT_STRLEN];
	char learn[16];
	const char *track, *hash;
	enum sp_balance attach_balance;

	enum sp_balance balance;
	struct storm_row row[STORM_SLOTS];
	struct storm_sight sight;

	/* The order of the moment, and after it the status. */
	bool is_busy;
	bool is_looking; /* at the status */
	struct storm_command command;
	bool was_done;
	struct sp_run run;
	__u64 order_ns;
	__u64 over_ns;
	__u64 kill_ns; /* when it is killed; 0: never */
	__u64 unseen_ns; /* the first order since the last status */

	bool is_unknown; /* what is in which slot, until the next status */
	/* One was killed, and nothing was seen since: what it asked may be so or not. Next comes a sync. */
	bool has_killed;
	struct storm_command killed;

	__u64 ngiven[STORM_ORDERS];
	__u64 nkilled;
	__u64 nrefused;
	__u64 typical_ns; /* how long orders took of late */
	__u64 slowest_ns;
};

void storm_operator_init(struct storm_operator *op);

const char *storm_order_name(enum storm_order order);

/* Nothing else is on its way. @kill_ns: SIGKILL at that time if it has not ended by then; 0: never. */
void storm_operator_order(struct storm_operator *op, const struct storm_command *command, __u64 kill_ns);
/* Goes on with what is on its way. */
void storm_operator_look(struct storm_operator *op, __u64 now);
void storm_operator_close(struct storm_operator *op);

#endif
