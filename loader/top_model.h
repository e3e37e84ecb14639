/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What `top` knows of a group: samples in, rows out. Rates are differences of counters, each slot has a history of
 * them, rows are sorted. Pure.
 */
#ifndef STEADYPORT_TOP_MODEL_H
#define STEADYPORT_TOP_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <steadyport/abi.h>
#include "endpoint.h"
#include "pin.h"
#include "report.h"
#include "snapshot.h"

#define SP_TOP_HISTORY 128 /* rates of a slot that are remembered */
#define SP_TOP_NEWS_LEN 160

/* A slot as of one look. */
struct sp_top_slot {
	__u32 slot;
	enum sp_slot_state state; /* as sp_snapshot_slot_state() says */
	char owner[SP_OWNER_STRLEN];
	__u32 incarnation;
	__u64 cookie;
	double share; /* of new flows, 0 to 1 */
	bool has_counters; /* a row of its own; else it counts in the group's */
	__u64 placed; /* TCP: new connections; UDP: packets */
	__u64 stored; /* UDP: flows put into the flow table; with tracking `always` that is every new one */
	__u64 migrated;
	__u64 kept;
	bool is_seen; /* its member was: */
	__u32 backlog, backlog_max;
	__u32 drops;
};

/* A group as of one look. */
struct sp_top_sample {
	__u64 now_ns; /* CLOCK_MONOTONIC */
	char name[SP_NAME_MAX + 1];
	char place[SP_REPORT_STRLEN], slots_text[SP_REPORT_STRLEN],
		program[SP_REPORT_STRLEN]; /* as report.h says them */
	enum sp_protocol protocol;
	enum sp_track track;
	__u64 attached_at; /* another one: the counters began anew */
	char news[SP_TOP_NEWS_LEN]; /* what an operator must know first; empty: nothing */
	__u64 learn_remaining_ns;
	struct sp_top_slot *slots; /* those in use, ascending; to free() */
	size_t nslots;
};

void sp_top_sample_free(struct sp_top_sample *sample);
#define sp_autotopsample __attribute__((cleanup(sp_top_sample_free)))

struct sp_top_row {
	struct sp_top_slot now;
	bool has_rate; /* false: there is nothing yet to compare with */
	double rate; /* placed, a second */
	double new_rate; /* stored, a second */
	__u32 new_drops; /* since the sample before */
	__u64 new_migrated;
};

/* Columns that rows can be sorted by. */
enum sp_top_column {
	SP_TOP_SLOT,
	SP_TOP_STATE,
	SP_TOP_OWNER,
	SP_TOP_SHARE,
	SP_TOP_RATE,
	SP_TOP_NEW, /* UDP with tracking `always` */
	SP_TOP_KEPT, /* UDP */
	SP_TOP_MIGRATED, /* TCP */
	SP_TOP_QUEUE,
	SP_TOP_DROPS,
	SP_TOP_COLUMNS,
};

struct sp_top_model {
	bool has_sample; /* of the group that is looked at */
	struct sp_top_sample sample; /* the last */
	struct sp_top_row *rows; /* sorted; one for each slot of the sample */
	size_t nrows;
	double rate; /* of all rows */
	bool has_rate;

	/* For comparing with: the last sample that was given to sp_top_model_add(), by slot. */
	__u64 base_ns;
	struct sp_top_slot base[SP_SLOTS_MAX]; /* SP_SLOT_FREE: it was not there */
	float history[SP_SLOTS_MAX][SP_TOP_HISTORY]; /* a ring; the newest before `next` */
	__u32 next;
	__u32 length; /* entries of the ring, of all slots alike */

	enum sp_top_column sort;
	bool is_reversed;
};

/* NULL without memory. */
struct sp_top_model *sp_top_model_new(void);
void sp_top_model_free(struct sp_top_model **model);

/**
 * sp_top_model_add - one more sample, an interval after the one before
 * @sample: its slots become the model's
 * Another group than before, or one that was attached anew, begins a new history. 0 or -ENOMEM (not logged), the model
 * as it was.
 */
int sp_top_model_add(struct sp_top_model *model, struct sp_top_sample *sample);

/* The same between two intervals: what is shown is up to date, rates and history stay as they were. */
int sp_top_model_refresh(struct sp_top_model *model, struct sp_top_sample *sample);

/* The group is not there any more. */
void sp_top_model_clear(struct sp_top_model *model);

/* True for a column that the group has. */
bool sp_top_model_has(const struct sp_top_model *model, enum sp_top_column column);

/* Sorts the rows by this column from now on; numbers begin with the largest, slots with the lowest. */
void sp_top_model_sort(struct sp_top_model *model, enum sp_top_column column, bool is_reversed);

/* The row of a slot, or NULL; and its index in the order, or -1. */
const struct sp_top_row *sp_top_model_row(const struct sp_top_model *model, __u32 slot);
int sp_top_model_index(const struct sp_top_model *model, __u32 slot);

/* The rate @ago samples before the last one, and the highest of all slots in the last @samples; 0: none. */
double sp_top_model_past(const struct sp_top_model *model, __u32 slot, __u32 ago);
double sp_top_model_peak(const struct sp_top_model *model, __u32 samples);

#endif
