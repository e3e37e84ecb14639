/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The storm's model of one group: told what is done to it and when, it judges who answers.
 *
 * It knows what steadyport promises and nothing of how that is kept: no hashes, buckets or views. An order is given at
 * one moment and is in force at a later one; in between the state before and the state after are both legal. Flows
 * that the promises do not cover are forgiven, each for a reason that model.c names.
 *
 * Pure: all times come from the caller, in ns of CLOCK_MONOTONIC; 0 is "not yet".
 */
#ifndef STEADYPORT_STORM_MODEL_H
#define STEADYPORT_STORM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <steadyport/abi.h>

#define STORM_NOBODY (-1)
#define STORM_ALIVE_MAX 128
#define STORM_SLOTS 256

enum storm_order {
	STORM_ATTACH,
	STORM_SYNC,
	STORM_DRAIN,
	STORM_UNDRAIN,
	STORM_EJECT,
	STORM_WEIGHT,
	STORM_RETIRE,
	STORM_UPGRADE,
	STORM_BALANCE,
	STORM_DETACH,
	STORM_ORDERS,
};

enum storm_standing {
	STORM_UNSURE, /* an order that changes it is on its way, or was killed */
	STORM_LIVE,
	STORM_DRAINING,
	STORM_EJECTED,
};

/* A worker, from the moment it is started and for ever: flows refer to it by its number. */
struct storm_member {
	pid_t pid;
	int slot; /* that it has or had; STORM_NOBODY: none since the last detach */
	bool is_enrolled; /* for sure */
	__u64 maybe_enrolled_ns; /* an order that may have enrolled it was given */
	__u64 dying_ns; /* its end was ordered */
	__u64 dead_ns; /* its socket is closed for sure */
	enum storm_standing standing; /* if it is enrolled */
	__u64 standing_ns; /* in force for sure since */
	__u64 ejecting_ns; /* the last order to eject it was given */
	__u64 readmitted_ns; /* and it is surely over since */
};

struct storm_model {
	enum sp_protocol protocol;
	__u64 learn_ns;
	struct storm_member *members;
	__u32 nmembers;
	__u32 alive[STORM_ALIVE_MAX]; /* those not dead for sure */
	__u32 nalive;
	__u32 ndying; /* of these */
	__u32 nusable; /* surely enrolled, live and not dying */

	bool is_changing; /* an order is being carried out */
	bool is_attached; /* for sure */
	bool is_detached; /* for sure */
	bool is_attaching; /* an attach was begun, and its success is not yet sure */
	bool is_detaching;
	bool was_attach_crossed; /* by a birth or a death: the kernel's order of members changed on the way */
	__u64 attached_ns;
	__u64 windows_end_ns; /* no learn window is open after it; TCP has none */

	/* Times in which flows change worker without steadyport's doing: see model.c */
	bool is_disturbed;
	__u64 disturbed_until_ns;
	__u64 last_death_ns;
	__u64 ndead;
};

void storm_model_init(struct storm_model *m, enum sp_protocol protocol, __u64 learn_ns);
void storm_model_free(struct storm_model *m);

/* Its number. The worker may have bound its socket at any time from now on. */
__u32 storm_model_birth(struct storm_model *m, __u64 now);
void storm_model_born(struct storm_model *m, __u32 id, pid_t pid, __u64 now);
void storm_model_dying(struct storm_model *m, __u32 id, __u64 now);
void storm_model_dead(struct storm_model *m, __u32 id, __u64 now);

/* @asked: the slots that it names, STORM_SLOTS elements */
void storm_model_order(struct storm_model *m, enum storm_order order, const bool *asked, __u64 now);

enum storm_outcome {
	STORM_DONE,
	STORM_REFUSED, /* nothing was to be done, or not that */
	STORM_KILLED, /* no one knows how far it came */
	STORM_NO_GROUP, /* there are no pins: it is detached */
};

void storm_model_order_over(struct storm_model *m, enum storm_order order, enum storm_outcome outcome,
			    __u64 now);

/*
 * What is seen after an order was done: first the standing of each member that is in a slot, in force since the order
 * was over; then that this was all.
 */
void storm_model_seen(struct storm_model *m, __u32 id, int slot, enum storm_standing standing, __u64 since,
		      __u64 now);
void storm_model_seen_all(struct storm_model *m, bool is_learning, __u64 now);

/* TCP: a listener may be closing, or have closed and not been reported, while the group was not surely steered. */
bool storm_model_is_exposed(const struct storm_model *m);

/* A flow as it was when it was asked. */
struct storm_asked {
	int owner; /* who answered last; STORM_NOBODY: it is new */
	__u64 owner_ns; /* when the question was asked that the owner answered */
	__u64 asked_ns;
};

enum storm_verdict {
	STORM_RIGHT,
	STORM_TOO_SLOW, /* unheard of for a learn window: not steadyport's fault */
	STORM_WRONG,
	STORM_LOST, /* it lay unread in a dead worker's socket */
	STORM_WAIT, /* nothing explains yet that there is no answer */
};

/* The flow must still be its owner's: nothing has taken it away. */
bool storm_model_is_bound(const struct storm_model *m, const struct storm_asked *asked);

/* @by answered at @now. @ret_why: a sentence if it is neither right nor too slow */
enum storm_verdict storm_model_judge(const struct storm_model *m, const struct storm_asked *asked, __u32 by,
				     __u64 now, const char **ret_why);

/* UDP: nobody has answered until @now. */
enum storm_verdict storm_model_judge_silence(const struct storm_model *m, const struct storm_asked *asked);

#endif
