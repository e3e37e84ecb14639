/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Counts the connections of a group's workers again, by the kernel's own list of those that were made from their
 * listeners, while they come and go, and takes out of the count whatever else is in it.
 *
 * There are two tallies. From one moment on what opens is counted in the other one, and each connection that is open is
 * taken over into it, in one atomic step of its own tag (bpf/active.bpf.h). When all are, whatever the first tally still
 * holds belongs to none that is open: it is the drift, to the last connection, and nobody counts there any more, so it
 * can be set to 0. Between these steps a grace period passes, so that no program is under way that has read the tally
 * before it was changed, or is about to count down for a connection that has ended.
 *
 * Killed anywhere, some connections are in one tally and some in the other, whose sum is as right as before; the next
 * time it is done twice then.
 */
#ifndef STEADYPORT_RECOUNT_H
#define STEADYPORT_RECOUNT_H

#include <stdbool.h>
#include <steadyport/abi.h>
#include "pin.h"

struct sp_recount {
	const struct sp_pins *pins; /* of a group whose connections are counted */
	__u32 corrected; /* out: connections by which the counts were wrong */
	int err; /* out: 0 or -errno (logged) */

	/* While it lasts. */
	struct sp_ctl *ctl;
	struct sp_active *active;
	int walk;
	bool is_twice;
	bool is_torn; /* the walk was not in one piece: what is left may be open */
};

/* Several at once, which wait for the same grace periods (10 to 30 ms each): two, or four. The caller holds the lock. */
void sp_recount_all(const char *bpffs, struct sp_recount *all, size_t count);

/* One. Returns 0 or -errno (logged). */
int sp_recount(const char *bpffs, const struct sp_pins *pins, __u32 *ret_corrected);

#endif
