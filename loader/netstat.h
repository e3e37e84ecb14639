/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kernel's own counters of a network namespace, as nstat shows them. */
#ifndef STEADYPORT_NETSTAT_H
#define STEADYPORT_NETSTAT_H

#include <steadyport/abi.h>

/* What the kernel says of connections that it has handed to another listener: tcp_migrate_req in ip-sysctl.rst. */
struct sp_netstat {
	__u64 migrated; /* TCPMigrateReqSuccess */
	__u64 migrate_failed; /* TCPMigrateReqFailure */
};

/* Text of /proc/net/netstat to numbers. Returns 0; -ENOENT when the kernel does not count them (before 5.14). */
int sp_netstat_parse(const char *text, struct sp_netstat *ret);

/**
 * sp_netstat_read - of one network namespace
 * @netns_inode: which; nothing else is ever read
 * @pid: a process in it, or 0: our own
 * Returns 0; -ESRCH when the process is not there any more, or is elsewhere; other -errno. Not logged.
 */
int sp_netstat_read(__u32 netns_inode, __u32 pid, struct sp_netstat *ret);

#endif
