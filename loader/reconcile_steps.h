/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The steps of reconcile.c that have files of their own: members and slots, and views. Nobody else calls them. */
#ifndef STEADYPORT_RECONCILE_STEPS_H
#define STEADYPORT_RECONCILE_STEPS_H

#include "kept.h"
#include "members.h"
#include "plan.h"
#include "reconcile.h"
#include "state.h"

/* A member that is in no slot yet. */
struct newcomer {
	const struct sp_member *member;
	__u32 slot;
};

/* One reconciliation: what is, what shall be, and what was done. */
struct reconcile {
	const struct sp_pins *pins;
	const struct sp_reconcile_options *options;
	struct sp_reconcile_result *result;
	struct sp_state *state;
	struct sp_groups *scanned; /* by ourselves */
	const struct sp_groups *groups;
	const struct sp_group *group; /* NULL: gone */
	bool is_attached;
	struct newcomer *newcomers;
	size_t nnewcomers;
	bool is_enrolled; /* the newcomers are in their slots */
	int waited_ms; /* for the sockarray of a program that is replaced, all members together */
	struct sp_kept kept;
	struct sp_plan_slots slots; /* as they shall be */
	struct sp_view current; /* effective */
	struct sp_view previous; /* effective; valid if is_open */
	struct sp_view next;
	bool is_open; /* the learn window of the view in force */
	bool is_seen; /* packets may still see the view before the one in force */
	bool is_settled; /* the last view is in force */
	int err;
};

/* --- members and slots: reconcile_slots.c --- */

/* Parking sockets in the group: those in no slot, too, that a daemon has left which was killed. */
__u32 sp_reconcile_count_parking(const struct reconcile *r);
bool sp_reconcile_is_anyone_live(const struct sp_state *state);

/* All return 0 or -errno, which was logged. Who is in no slot yet; nothing has changed when this refuses. */
int sp_reconcile_find_newcomers(struct reconcile *r);
/* What a command has asked of the slots is written down. */
int sp_reconcile_change(struct reconcile *r);
/* Each newcomer has a slot in r->slots, and none has been put there yet. */
int sp_reconcile_assign_slots(struct reconcile *r);
/* Slots that have become empty are noted as such. */
int sp_reconcile_mark_dead(struct reconcile *r);
/* The newcomers are put into their slots. */
int sp_reconcile_enrol(struct reconcile *r);

/* --- views: reconcile_views.c --- */

/* What is in force now, effective; -EAGAIN: a learn window is about to end, and must not be waited for. */
int sp_reconcile_settle_window(struct reconcile *r);
/* No view in force sends anything to the dead any more, before newcomers come into their slots. */
int sp_reconcile_clear_dead(struct reconcile *r);
/* The next view and the window it opens; -EAGAIN when the open window ended while we planned. */
int sp_reconcile_advance(struct reconcile *r);

#endif
