/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A snapshot with all that is counted beside it: what status shows of a group, and what the daemon's metrics say. */
#ifndef STEADYPORT_REPORT_H
#define STEADYPORT_REPORT_H

#include <steadyport/abi.h>
#include "members.h"
#include "plan.h"
#include "snapshot.h"

struct sp_report {
	struct sp_snapshot snapshot;
	struct sp_plan_slots *slots;
	struct sp_counters *rows; /* slots', then the group's */
	__u32 nrows;
	__u64 kept[SP_SLOTS_MAX]; /* flows in force, by slot */
	__u64 kept_flows; /* of all slots */
	__u32 kept_limit; /* room in the flow table */
	__u32 count[SP_SLOT_STATES]; /* by state */
	__u32 noutside; /* see sp_group_outside(); told only if the scan was of the group's port */
	const struct sp_member *outside; /* one of them */
};

/* One that sp_report_free() may be given. */
#define SP_REPORT_NONE                        \
	{                                     \
		.snapshot = SP_SNAPSHOT_NONE, \
	}

/**
 * sp_report_take - read a steered group, once
 * @groups: a scan that outlives the report
 * Returns 0; -ENOENT (logged) when NAME is not steered; other -errno (logged). To be freed in any case.
 */
int sp_report_take(const char *bpffs, const char *name, const struct sp_groups *groups,
		   struct sp_report *ret_report);
void sp_report_free(struct sp_report *report);
#define sp_autoreport __attribute__((cleanup(sp_report_free)))

/* Of a slot; zeros when it has no row of its own. */
const struct sp_counters *sp_report_counters(const struct sp_report *report, __u32 slot);
/* Of what belongs to no slot, and of slots without a row. */
const struct sp_counters *sp_report_group_counters(const struct sp_report *report);

/* The part of all new flows that the slot gets, 0 to 1. */
double sp_report_share(const struct sp_report *report, __u32 slot);

/* Buckets whose packets are looked up in the flow table. */
__u32 sp_report_moving(const struct sp_report *report);

/* Members that the kernel has and no visible process holds. */
__u32 sp_report_hidden(const struct sp_report *report);

#define SP_REPORT_STRLEN 256

/* "udp [::]:443", with " in netns edge" behind it where that is not the host's. All these return buf. */
const char *sp_report_place(const struct sp_report *report, char buf[SP_REPORT_STRLEN]);
/* "4 slots: 2 live, 1 draining, 1 dead", with ", parking" behind it */
const char *sp_report_slots(const struct sp_report *report, char buf[SP_REPORT_STRLEN]);
/* "program 84 attached 3 h ago" */
const char *sp_report_program(const struct sp_report *report, char buf[SP_REPORT_STRLEN]);

#endif
