/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the service manager is told: the protocol of sd_notify(3), which is a datagram to $NOTIFY_SOCKET. Without a
 * manager all of it does nothing, and one that does not listen is no reason to fail. libsystemd's own function waits
 * for a manager that is busy; groups would wait with it.
 */
#ifndef STEADYPORT_NOTIFY_H
#define STEADYPORT_NOTIFY_H

#include <steadyport/abi.h>

/* The start, or a reload, is complete. These three may take a second, if the manager is that busy. */
void sp_notify_ready(void);
void sp_notify_reloading(void);
void sp_notify_stopping(void);

/* One line for `systemctl status`; may get lost. */
void sp_notify_status(const char *text);

/* How often it wants to hear that we are alive, at the latest; 0: it does not. */
__u64 sp_notify_watchdog_ns(void);
/* May get lost: say it more often than that. */
void sp_notify_alive(void);

/*
 * To be kept for the next daemon, if the manager does that (FileDescriptorStoreMax=). It drops by itself what hangs up,
 * as a socket does that is bound and does not listen yet, or no longer. May take a second.
 */
void sp_notify_store(const char *name, int fd);
/* All of that name. May get lost: to be called for what has hung up. */
void sp_notify_remove(const char *name);

#endif
