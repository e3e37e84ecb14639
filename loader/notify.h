/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the service manager is told (sd_notify(3)). Without one all of it does nothing. */
#ifndef STEADYPORT_NOTIFY_H
#define STEADYPORT_NOTIFY_H

#include <steadyport/abi.h>

/* The start, or a reload, is complete. */
void sp_notify_ready(void);
void sp_notify_reloading(void);
void sp_notify_stopping(void);

/* One line for `systemctl status`. */
void sp_notify_status(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* How often it wants to hear that we are alive, at the latest; 0: it does not. */
__u64 sp_notify_watchdog_ns(void);
void sp_notify_alive(void);

#endif
