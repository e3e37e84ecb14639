// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the service manager is told. A manager that does not listen is no reason to fail. */
#include "notify.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>
#include "state.h"
#include "value.h"

#define STATUS_MAX 256

void sp_notify_ready(void)
{
	sd_notify(0, "READY=1");
}

/* The time tells it which READY belongs to this reload. */
void sp_notify_reloading(void)
{
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", sp_now_ns() / 1000);
}

void sp_notify_stopping(void)
{
	sd_notify(0, "STOPPING=1");
}

void sp_notify_status(const char *fmt, ...)
{
	char text[STATUS_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	sd_notifyf(0, "STATUS=%s", text);
}

__u64 sp_notify_watchdog_ns(void)
{
	uint64_t usec = 0;

	return sd_watchdog_enabled(0, &usec) > 0 ? usec * (SP_NS_PER_MS / 1000) : 0;
}

void sp_notify_alive(void)
{
	sd_notify(0, "WATCHDOG=1");
}
