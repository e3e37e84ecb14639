/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The parking socket: a listener of the daemon's own in a steered TCP group, chosen when no worker is live. While the
 * only worker restarts, connections wait in it instead of being refused; nothing is ever accepted from it. When a
 * worker is there it is closed, and the kernel migrates what waits, connection by connection, to where the program
 * says; another one has taken its place before.
 *
 * It is in slot SP_SLOT_PARK, and sp_info says SP_SLOT_PARKED, so that whoever looks can tell it from a worker. Its
 * connections wait in the daemon's socket, and die with the daemon unless the service manager keeps it (passed.h). So
 * whatever ends one ends its listening, and not only our descriptor.
 *
 * Without our program the kernel's hash would send it a share of the traffic. So it is stopped before the program is
 * detached, which anybody can do who may take the socket (sp_park_stop()); and where the program was detached or
 * replaced behind our back, connections in it make it readable, and it is closed in such a way that they go to the
 * members all the same.
 */
#ifndef STEADYPORT_PARK_H
#define STEADYPORT_PARK_H

#include <stdbool.h>
#include <steadyport/abi.h>
#include "members.h"
#include "pin.h"

/* --- what to do: pure --- */

enum sp_park_action {
	SP_PARK_KEEP, /* nothing */
	SP_PARK_OPEN,
	SP_PARK_RENEW, /* open another one, and close this one: what waits goes to the workers */
	SP_PARK_CLOSE, /* the program steers: what waits goes to the workers, without any it is reset */
	SP_PARK_LEAVE, /* the program is gone */
	SP_PARK_EXPIRE, /* nobody has come: as CLOSE */
};

/* What is remembered from pass to pass. CLOCK_MONOTONIC, 0: never. */
struct sp_park_memory {
	__u64 patience_ns; /* without a worker; 0: no parking */
	__u64 alone_since_ns; /* no worker was live since then */
	__u64 renewed_ns;
};

/* What one pass sees. */
struct sp_park_look {
	bool is_attached; /* the group runs our program */
	bool is_open; /* we have a socket that listens in its slot */
	bool has_room; /* the slot is free for it */
	__u32 live; /* workers */
	__u32 waiting; /* connections in our socket */
	__u64 now_ns;
};

/* Also remembers what it has seen. */
enum sp_park_action sp_park_decide(struct sp_park_memory *memory, const struct sp_park_look *look);

/* When to decide again though nothing happens; 0: no need. */
__u64 sp_park_deadline_ns(const struct sp_park_memory *memory, const struct sp_park_look *look);

/* --- doing it --- */

struct sp_park;

/**
 * sp_park_new - parking for one group; nothing is opened yet
 * @patience_ns: after so long without a worker what waits is given up
 * Returns 0; -EOPNOTSUPP (logged) for UDP; -ENOMEM (logged).
 */
int sp_park_new(const char *name, enum sp_protocol protocol, __u64 patience_ns, struct sp_park **ret_park);

/* Goes on with the socket in the slot, which a daemon before this one has opened there. */
void sp_park_inherit(struct sp_park *park, __u64 cookie, int *fd);

/* 0: the next sp_park_update() closes. */
void sp_park_set_patience(struct sp_park *park, __u64 patience_ns);

/**
 * sp_park_update - open, renew or close the parking socket, whatever is right now
 * @group:       of a scan made under the lock, before or after the newcomers were enrolled; NULL: it is gone
 * @is_attached: the group runs our program now
 * @live:        workers in slots now
 * The caller holds the lock, and has enrolled all who can be. To be called after each reconciliation, when
 * sp_park_fd() is readable, and at sp_park_next_ns(). What cannot be opened is logged once, and tried again with the
 * next call. Returns what was done. After SP_PARK_LEAVE no event tells who got the connections.
 */
enum sp_park_action sp_park_update(struct sp_park *park, const struct sp_pins *pins,
				   const struct sp_group *group, bool is_attached, __u32 live);

/*
 * Becomes readable with the first connection that waits: no worker is live, or the program is gone. To be watched for
 * edges (EPOLLET): a connection that waits for a worker stays. Another one after each update; -1: none is open.
 */
int sp_park_fd(const struct sp_park *park);

/* When to call sp_park_update() at the latest, CLOCK_MONOTONIC; 0: no need. */
__u64 sp_park_next_ns(const struct sp_park *park);

/* Connections that wait in it. */
__u32 sp_park_waiting(const struct sp_park *park);

/**
 * sp_park_close - close it for good: before a detach, and when parking is no longer wanted
 * The caller holds the lock. @pins: NULL if they are gone
 */
void sp_park_close(struct sp_park *park, const struct sp_pins *pins, bool is_attached);

/* At the end of the process: ends the socket and writes nothing. */
void sp_park_free(struct sp_park **park);
#define sp_autopark __attribute__((cleanup(sp_park_free)))

/* The cookie of the parking socket of a group; 0: there is none. @slots, @info: as below. */
__u64 sp_park_cookie(int slots, int info);

/**
 * sp_park_stop - end the parking socket of a group, whoever holds it, and others that a killed daemon has left
 * @slots, @info: of its pins; a negative one: there is none
 * @groups:       a scan
 * To be called before the program is detached: what waits goes to the workers now, and the kernel's hash never meets
 * the socket. Its holder sees that it hangs up. The caller holds the lock, so that no other one is opened meanwhile.
 * Returns 0, also when there is none; -errno (not logged): it cannot be reached, and gets traffic until its holder
 * notices.
 */
int sp_park_stop(int slots, int info, const struct sp_groups *groups);

#endif
