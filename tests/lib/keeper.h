/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * `steadyport run` under test, and the service manager that started it: a socket of ours takes what it notifies.
 * There is one at a time. Every function fails the test that calls it when the thing cannot be done.
 */
#ifndef STEADYPORT_TESTS_KEEPER_H
#define STEADYPORT_TESTS_KEEPER_H

#include "run.h"
#include "sandbox.h"

#define SP_KEEPER_NOTIFIED_MAX (64 * 1024)
#define SP_KEEPER_STORE_MAX 16

/* What the service manager keeps for the next daemon. */
struct sp_keeper_stored {
	int fd;
	char name[256];
};

struct sp_keeper {
	struct sp_run run;
	char directory[64]; /* of its configuration */
	char config[96];
	char notified[SP_KEEPER_NOTIFIED_MAX]; /* all that it said to its manager, a line each */
	size_t notified_len;
	int manager; /* our end of NOTIFY_SOCKET */
	__u64 watchdog_usec; /* what its manager asks for; 0: nothing */
	bool has_journal; /* its stderr is the journal */
	const struct sp_sandbox *sandbox; /* NULL: none */
	bool is_verbose; /* it says how prompt it was */
	bool has_no_cgroups; /* no cgroup2 is mounted where it runs */
	bool has_store; /* its manager keeps descriptors (FileDescriptorStoreMax=) */
	struct sp_keeper_stored store[SP_KEEPER_STORE_MAX];
	size_t nstored;
};

/* Starts it and waits until it is ready. Settings that are not zero in @keeper are those of the manager. */
void sp_keeper_start(struct sp_keeper *keeper, const char *config);
/* The same, but it is not waited for. */
void sp_keeper_launch(struct sp_keeper *keeper, const char *config);

/* Starts it and waits until it has ended, having failed. */
void sp_keeper_fail(struct sp_keeper *keeper, const char *config);

/* Gives it another configuration (NULL: the same) and waits until it has read it. */
void sp_keeper_reload(struct sp_keeper *keeper, const char *config);
/* The same without waiting. */
void sp_keeper_order(struct sp_keeper *keeper, const char *config);

/* Waits until it has said this on stderr, or to its manager, since its start. */
void sp_keeper_wait(struct sp_keeper *keeper, const char *text);
void sp_keeper_wait_notified(struct sp_keeper *keeper, const char *text);
/* True when it has said it until now. */
bool sp_keeper_has_said(struct sp_keeper *keeper, const char *text);
bool sp_keeper_has_notified(struct sp_keeper *keeper, const char *text);

/* How many descriptors its manager keeps now, all told by the daemon until now being done. */
size_t sp_keeper_stored(struct sp_keeper *keeper);

/* SIGTERM: it must end well. SIGKILL. Its configuration stays for the next start with NULL. */
void sp_keeper_stop(struct sp_keeper *keeper);
void sp_keeper_kill(struct sp_keeper *keeper);

/* Polls until the group has so many slots that are live, or is attached or not. */
void sp_keeper_wait_enrolled(const char *name, json_int_t count);
/* Polls until the slot is in that state, "live" or "parked" for example. */
void sp_keeper_wait_slot(const char *name, unsigned int slot, const char *state);

/* What a daemon that is verbose has said until now of the workers that it enrolled. */
struct sp_keeper_joins {
	size_t by_news, by_sweep; /* announced, and in a pass that the news or the sweep made */
	size_t without_news; /* not announced */
	__u64 us[1024]; /* of those that were announced, from the worker's system call to its share, ascending */
};

void sp_keeper_joins(struct sp_keeper *keeper, struct sp_keeper_joins *ret);
/* The same when there are so many. Unlike commands this takes no time from the daemon. */
void sp_keeper_wait_joins(struct sp_keeper *keeper, size_t count, struct sp_keeper_joins *ret);

/* After it has ended by itself, or was killed by somebody else. */
void sp_keeper_bury(struct sp_keeper *keeper, int status);

/* Teardown of a case: ends it, and all that sp_run_teardown() ends. For cmocka. */
int sp_keeper_teardown(void **state);

#endif
