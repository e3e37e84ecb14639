/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The parts of daemon.c that have files of their own: a pass, and the configuration. Nobody else calls them. */
#ifndef STEADYPORT_DAEMON_PARTS_H
#define STEADYPORT_DAEMON_PARTS_H

#include <event2/event.h>
#include "announced.h"
#include "care.h"
#include "config.h"
#include "exporter.h"
#include "members.h"
#include "passed.h"
#include "tend.h"
#include "watch.h"

enum timer {
	SWEEP, /* in any case */
	BURST, /* news have come */
	AWAIT, /* a socket was announced that no scan has shown */
	DUE, /* a group asked for this time, or the lock was taken */
	WAKE, /* heirs of closed listeners are to be woken */
	WATCHDOG,
	TIMERS,
};

enum {
	ON_TERM,
	ON_INT,
	ON_HUP,
	SIGNALS
};

/* What a pass is for. */
enum pass {
	PASS_SWEEP,
	PASS_DUE, /* what was announced, or somebody has asked for */
	PASS_NEWS, /* there are some */
};

struct daemon {
	const char *bpffs, *path;
	struct sp_config *config;
	struct sp_tended *
		*tended; /* in the order of the file; those that are in it no more are gone from here, too */
	size_t ntended;

	int place; /* of the only daemon */
	struct sp_scanner *scanner;
	struct sp_watch *watch;
	struct sp_care *care;
	struct sp_exporter *exporter;
	struct sp_exported exported; /* what it reads */

	struct event_base *base;
	struct event *timer[TIMERS];
	struct event *on_signal[SIGNALS];
	struct event *on_news;
	struct event *on_care;

	struct sp_announced announced;
	__u64 burst_ns; /* when the burst began; 0: there is none */
	__u64 await_ns; /* until the next look */
	__u64 locked_ns; /* since when the lock cannot be had; 0: it could */
	bool is_lock_told;
	__u64 watchdog_ns;
	bool is_config_due; /* not all of it could be done yet */
	char status[200]; /* as last told to the service manager */
};

/* --- the loop: daemon.c --- */

void sp_daemon_arm(struct daemon *d, enum timer timer, __u64 in_ns);
/* For the next time at which somebody is to be woken, if there is one. */
void sp_daemon_arm_wake(struct daemon *d);
/* For sp_watch_read(): news of what is tended here lead to a pass. @ctx: the daemon */
void sp_daemon_hear(void *ctx, const struct sp_watch_event *event);
/* To the service manager, if it is another than before. */
void sp_daemon_report_status(struct daemon *d);

/* --- a pass: daemon_pass.c --- */

/* Looks at all groups, tends those that need it, and arms what leads to the next pass. What fails is tried again. */
void sp_daemon_pass(struct daemon *d, enum pass why);

/* --- the configuration: daemon_config.c --- */

/*
 * Makes the tended groups those of d->config: takes over those that are there. Returns 0 or -errno (logged); what could
 * not be done is due then.
 */
int sp_daemon_configure(struct daemon *d);
/* Gives the group back to the kernel's own hash, and waits for the lock. Says what to do when that fails. */
void sp_daemon_detach(struct daemon *d, struct sp_tended *tended);
/* Hands out the parking sockets of the daemon before, and closes those that are not taken over. */
void sp_daemon_inherit(struct daemon *d, struct sp_passed *passed);

#endif
