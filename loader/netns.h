/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Network namespaces: which one is meant, and what people call it. */
#ifndef STEADYPORT_NETNS_H
#define STEADYPORT_NETNS_H

#include <stddef.h>
#include <steadyport/abi.h>

#define SP_NETNS_STRLEN 64 /* room for a name; longer ones are cut off */

/**
 * sp_netns_resolve - the identity of a network namespace
 * @pid_or_path: a process in it, or a file that stands for it (/run/netns/NAME); NULL: our own
 * Enters the namespace for a moment, which needs CAP_SYS_ADMIN, unless it is our own.
 * Returns 0 or -errno (logged), outputs untouched on failure.
 */
int sp_netns_resolve(const char *pid_or_path, __u64 *ret_cookie, __u32 *ret_inode);

/**
 * sp_netns_call - call a function in another network namespace
 * @fd: of the namespace; needs CAP_SYS_ADMIN, unless it is our own
 * Returns what @call returns; the -errno of what kept it from being called; -EXDEV when there is no way back, and
 * everything the caller does from now on happens in the wrong namespace. Not logged.
 */
int sp_netns_call(int fd, int (*call)(void *ctx), void *ctx);

/*
 * "host" for that of process 1, else the name that `ip netns` knows, else the inode in digits, as `ls -l
 * /proc/PID/ns/net` shows it. Returns buf.
 */
const char *sp_netns_name(__u32 inode, char buf[SP_NETNS_STRLEN]);

#endif
