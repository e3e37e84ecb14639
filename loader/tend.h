/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One configured group, tended: waited for until it exists, attached, kept in step with its members, attached again
 * when it died and came back. It remembers nothing that the pins do not hold but what it last saw, so that it can tell
 * cheaply that there is nothing to do.
 *
 * A pass over all groups: one scan; sp_tend_is_due() for each; if any is, under the lock and with a new scan,
 * sp_tend_begin() for those, sp_steered_reconcile_all() for those that have a job, and sp_tend_end().
 */
#ifndef STEADYPORT_TEND_H
#define STEADYPORT_TEND_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>
#include <steadyport/abi.h>
#include "care.h"
#include "config.h"
#include "members.h"
#include "pin.h"
#include "reconcile.h"

enum sp_tend_state {
	SP_TEND_WAITING, /* there is no such group yet */
	SP_TEND_STEERED,
	SP_TEND_GONE, /* it was steered, and has no members now */
	SP_TEND_FOREIGN, /* another program is attached */
	SP_TEND_REFUSED, /* it cannot be steered as configured; the log says why */
	SP_TEND_RELEASED, /* a command detached it: left alone until the next reload */
	SP_TEND_STATES,
};

/* What a scan and a look at the pins show of a group: while it is the same there is nothing to do. */
struct sp_tend_look {
	__u64 pins; /* sp_pin_identity() */
	__u64 members; /* a sum over their cookies, in no order */
	__u64 netns; /* the configured one, as it is now: made anew it is another */
	__u32 fit; /* kernel groups that the endpoint fits: 0, 1, 2 for several */
	__u32 size;
	__u32 prog_id;
	__u32 prog_type;
	__u32 view; /* index of the view in force */
	__u32 counts; /* 1: what counts its connections is there */
};

struct sp_tended {
	struct sp_config_group config;
	enum sp_tend_state state;
	bool is_new; /* the configuration is to be applied to what is pinned */

	__u64 netns_cookie; /* 0: not there yet */
	__u32 netns_inode;
	struct timespec netns_made;

	/* Of what is pinned under the name; open from sp_tend_begin() to sp_tend_end() only. */
	struct sp_pins pins;
	__u64 identity; /* 0: nothing is */
	struct sp_ctl *ctl; /* mapped */
	__u32 program_id;

	struct sp_tend_look last;
	__u64 due_ns; /* CLOCK_MONOTONIC: to be looked after though nothing seems to have changed; 0: no need */
	__u64 backoff_ns; /* until the next try, while something fails; 0: nothing does */
	__u32 warned[3]; /* members out of reach, taken, and sockets outside, as last told */
	__u64 enrolments, deaths; /* workers, since this daemon looks after the group */
	__u64 recount_ns; /* CLOCK_MONOTONIC: when connections are to be counted again; 0: at once, if they are counted */
	__u64 retaken_ns; /* when it was last taken back from another program */

	struct sp_cared *cared; /* parking and what its program tells */
	bool is_balance_due; /* the configured one is another than that of the program */
	struct sp_change *change; /* of the job: weights of the configuration; NULL: none */
	struct sp_reconcile_result *result; /* of the last job */
};

/* Returns NULL (logged) without memory. */
struct sp_tended *sp_tend_new(const struct sp_config_group *config, struct sp_care *care);
void sp_tend_free(struct sp_tended **tended);

/**
 * sp_tend_reconfigure - go on with another configuration of the same name
 * What cannot change while the group is steered (endpoint, netns; track, hash, flows) is refused with a message, and
 * the rest is taken over. @path: of the file, for messages. Nothing happens to the group before the next pass.
 */
void sp_tend_reconfigure(struct sp_tended *tended, const struct sp_config_group *config, const char *path);

/* Before the first pass: true if the socket with this cookie is the group's parking socket, and is taken over as that. */
bool sp_tend_inherit(struct sp_tended *tended, const char *bpffs, __u64 cookie, int *fd);

/* True when the event may be about this group. */
bool sp_tend_is_about(const struct sp_tended *tended, const struct sp_watch_event *event);

/* True when there is something to do. Costs a stat() and a walk over the scan. */
bool sp_tend_is_due(struct sp_tended *tended, const char *bpffs, const struct sp_groups *groups,
		    __u64 now_ns);

/**
 * sp_tend_begin - do what is this group's own, prepare what it does with all others
 * @groups:  made under the lock
 * @scanner: for jobs
 * @may_attach: a group that is new is attached here, which takes some 100 ms; false afterwards. Those that find it
 *           false are due again at once
 * @ret_job: valid if it returns true
 */
bool sp_tend_begin(struct sp_tended *tended, const char *bpffs, const struct sp_groups *groups,
		   struct sp_scanner *scanner, bool *may_attach, struct sp_reconcile_job *ret_job);

/* After the job, or without one (NULL). @groups: those of sp_tend_begin() */
void sp_tend_end(struct sp_tended *tended, const char *bpffs, const struct sp_groups *groups,
		 const struct sp_reconcile_job *job);

/* "steered", "waiting", ... */
const char *sp_tend_state_name(enum sp_tend_state state);

#endif
