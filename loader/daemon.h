/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The daemon: one loop that hears of sockets, signals and times, and tends each configured group.
 *
 * What bounds the time from a worker's listen() or bind() to its enrolment: BURST_QUIET_NS after the last of a burst of
 * such news, then one pass, which is a scan of all open files, some milliseconds for each group that changed, and for
 * all of them together at most two grace periods of the kernel (5 to 30 ms each): one before newcomers may take the
 * slots of UDP workers that have just died, one after the new views are in force. News that come during a pass wait for
 * its end. A pass never waits for a learn window or for the lock: it comes back for them. Attaching a new group
 * takes some 100 ms, for its program is verified; there is one such in a pass.
 */
#ifndef STEADYPORT_DAEMON_H
#define STEADYPORT_DAEMON_H

#include "config.h"
#include "passed.h"

/**
 * sp_daemon_run - tend the groups until SIGTERM or SIGINT
 * @path:   of the configuration, read again on SIGHUP
 * @config: as read; owned from now on
 * @passed: parking sockets of the daemon before; when it begins to tend, none is left
 * Returns 0 or -errno (logged): -EBUSY when another daemon runs.
 */
int sp_daemon_run(const char *bpffs, const char *path, struct sp_config *config, struct sp_passed *passed);

#endif
