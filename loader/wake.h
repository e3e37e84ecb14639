/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A cure for kernels that hand a connection of a closing listener to another one without waking whoever waits there:
 * it would be served when the next new connection comes. Mended in the kernel by "tcp: call sk_data_ready() after
 * listener migration", and in stable series from some version on, so that only a try tells.
 *
 * The cure is shutdown(SHUT_WR) on the listener: of a socket that listens inet_shutdown() changes nothing with this,
 * but it wakes everybody who waits for it. Those who wake up for nothing go on waiting.
 */
#ifndef STEADYPORT_WAKE_H
#define STEADYPORT_WAKE_H

#include <stdbool.h>
#include <steadyport/abi.h>
#include "members.h"
#include "pin.h"

enum sp_wake_need {
	SP_WAKE_NOT_NEEDED,
	SP_WAKE_NEEDED,
	SP_WAKE_UNKNOWN, /* the cure does no harm, so whoever cannot tell uses it */
};

#define SP_WAKE_WHY_LEN 160

/**
 * sp_wake_probe - try what this kernel does, in a network of a child process's own
 * @ret_why: with UNKNOWN what could not be done, e.g. "cannot make a private network: Operation not permitted"
 * Says nothing. Takes some milliseconds; on a kernel that needs the cure a tenth of a second.
 */
enum sp_wake_need sp_wake_probe(char ret_why[SP_WAKE_WHY_LEN]);

/* Which slots of one group are to be woken, and when. */
struct sp_wake;

/* NULL without memory (logged). */
struct sp_wake *sp_wake_new(void);
void sp_wake_free(struct sp_wake **wake);
#define sp_autowake __attribute__((cleanup(sp_wake_free)))

/*
 * A connection was migrated to this slot. The program tells so before the kernel has queued the connection, so the
 * slot is to be woken a millisecond later, and once more 20 ms after the last event. Many events are one wake-up.
 */
void sp_wake_note(struct sp_wake *wake, __u32 slot, __u64 now_ns);
/* The same for all slots: events were lost, or nobody has listened until now. */
void sp_wake_note_all(struct sp_wake *wake, __u64 now_ns);

/* When the next slot is due, CLOCK_MONOTONIC; 0: none is noted. */
__u64 sp_wake_next_ns(const struct sp_wake *wake);

/**
 * sp_wake_dispatch - wake the slots that are due
 * @groups:   a scan; it may be some seconds old
 * @is_fresh: it was made in this millisecond: who is not in it is gone
 * Each member's socket is held for some microseconds (DESIGN I6).
 * Returns 0; -EAGAIN: some members were not found in @groups, or have changed hands since. Scan, and call again.
 */
int sp_wake_dispatch(struct sp_wake *wake, const struct sp_pins *pins, const struct sp_groups *groups,
		     bool is_fresh, __u64 now_ns);

/* Wake-ups since sp_wake_new(). */
__u64 sp_wake_count(const struct sp_wake *wake);

#endif
