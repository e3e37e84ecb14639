/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The worker processes of a group at storm: started, killed, told to leave, and buried; the model hears of each. */
#ifndef STEADYPORT_STORM_CREW_H
#define STEADYPORT_STORM_CREW_H

#include "lab.h"
#include "model.h"
#include "stream.h"

/* What becomes of a worker that has served nobody for a while. */
enum storm_stall_end {
	STORM_GOES_ON,
	STORM_IS_KILLED,
	STORM_LEAVES,
	STORM_STALL_ENDS,
};

struct storm_worker {
	bool is_here; /* false: the place is free */
	bool is_leaving;
	bool is_closed; /* its socket is; it may still finish what it has accepted */
	struct sp_lab_worker lab;
	struct sp_lab_notes *notes;
	__u32 id; /* in the model */
	__u64 stalled_until_ns; /* it serves nobody until then; 0: it does */
	enum storm_stall_end stall_end;
};

struct storm_crew {
	struct storm_model *model;
	struct storm_stream *stream; /* NULL: UDP */
	struct sp_address address;
	__u16 port; /* 0 until the first one has it */
	struct storm_worker worker[STORM_ALIVE_MAX];
	struct sp_lab_notes *notes; /* of all places, shared with them */

	__u64 nstarted;
	__u64 nkilled;
	__u64 nleft;
};

void storm_crew_init(struct storm_crew *crew);
void storm_crew_close(struct storm_crew *crew);

__u32 storm_crew_start(struct storm_crew *crew);
/* Returns when it is reaped. */
void storm_crew_kill(struct storm_crew *crew, struct storm_worker *w);
void storm_crew_terminate(struct storm_crew *crew, struct storm_worker *w);
/* Accepts or reads nothing until that time. */
void storm_crew_stall(struct storm_worker *w, __u64 until_ns, enum storm_stall_end end);

/* Workers that have left are buried, those that stalled long enough go on. */
void storm_crew_look(struct storm_crew *crew, __u64 now);

/* Neither dead nor on their way out. */
__u32 storm_crew_count(const struct storm_crew *crew);
/* Nobody is leaving or stalled. */
bool storm_crew_is_calm(const struct storm_crew *crew);

#endif
