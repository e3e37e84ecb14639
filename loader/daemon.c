// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The daemon's loop: what it waits for, and how it starts and ends. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <event2/event.h>
#include "cleanup.h"
#include "daemon.h"
#include "daemon_parts.h"
#include "log.h"
#include "members.h"
#include "notify.h"
#include "pin.h"
#include "state.h"
#include "value.h"

#define SWEEP_NS SP_NS_PER_S
#define BURST_QUIET_NS (3 * SP_NS_PER_MS) /* workers that start together share one view */
#define BURST_MAX_NS (12 * SP_NS_PER_MS)
#define AWAIT_FIRST_NS \
	(3 * SP_NS_PER_MS) /* between looks for a socket that was announced; doubled each time */
#define WATCHDOG_PER_INTERVAL 3 /* signs of life in the time in which one is asked for */

/* Of events. Groups come before whoever asks for metrics, whose events have the middle of all, rounded up. */
enum {
	FIRST,
	SECOND,
	PRIORITIES
};

void sp_daemon_arm(struct daemon *d, enum timer timer, __u64 in_ns)
{
	const struct timeval t = { .tv_sec = in_ns / SP_NS_PER_S, .tv_usec = in_ns % SP_NS_PER_S / 1000 };

	event_add(d->timer[timer], &t);
}

void sp_daemon_arm_wake(struct daemon *d)
{
	__u64 now = sp_now_ns(), next = sp_care_next_ns(d->care);

	if (next)
		sp_daemon_arm(d, WAKE, next > now ? next - now : 0);
}

/* --- news --- */

/* Soon: news come in bursts. */
static void expect_pass(struct daemon *d)
{
	__u64 now = sp_now_ns(), left;

	d->burst_ns = d->burst_ns ?: now;
	left = d->burst_ns + BURST_MAX_NS > now ? d->burst_ns + BURST_MAX_NS - now : 0;
	sp_daemon_arm(d, BURST, left < BURST_QUIET_NS ? left : BURST_QUIET_NS);
}

void sp_daemon_hear(void *ctx, const struct sp_watch_event *event)
{
	struct daemon *d = ctx;
	bool is_ours = false;

	for (size_t i = 0; i < d->ntended; i++)
		is_ours |= sp_tend_is_about(d->tended[i], event);
	if (!is_ours)
		return;
	sp_announced_add(&d->announced, event);
	d->await_ns = AWAIT_FIRST_NS;
	expect_pass(d);
}

/* --- events --- */

static void on_sweep(evutil_socket_t fd, short what, void *ctx)
{
	struct daemon *d = ctx;

	(void)fd, (void)what;
	if (d->is_config_due)
		sp_daemon_configure(d);
	sp_daemon_pass(d, PASS_SWEEP);
}

static void on_due(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	sp_daemon_pass(ctx, PASS_DUE);
}

static void on_burst_end(evutil_socket_t fd, short what, void *ctx)
{
	struct daemon *d = ctx;

	(void)fd, (void)what;
	d->burst_ns = 0;
	sp_daemon_pass(d, PASS_NEWS);
}

static void on_news(evutil_socket_t fd, short what, void *ctx)
{
	struct daemon *d = ctx;

	(void)fd, (void)what;
	sp_watch_read(d->watch, sp_daemon_hear, d);
}

static void on_care(evutil_socket_t fd, short what, void *ctx)
{
	struct daemon *d = ctx;

	(void)fd, (void)what;
	if (sp_care_read(d->care))
		expect_pass(d);
	sp_daemon_arm_wake(d);
}

static void on_wake(evutil_socket_t fd, short what, void *ctx)
{
	sp_autogroups struct sp_groups *groups = NULL;
	struct daemon *d = ctx;

	(void)fd, (void)what;
	if (!sp_scanner_scan(d->scanner, &groups))
		sp_care_wake(d->care, groups);
	sp_daemon_arm_wake(d);
}

static void on_watchdog(evutil_socket_t fd, short what, void *ctx)
{
	struct daemon *d = ctx;

	(void)fd, (void)what;
	sp_notify_alive();
	sp_daemon_arm(d, WATCHDOG, d->watchdog_ns / WATCHDOG_PER_INTERVAL);
}

static void on_end(evutil_socket_t fd, short what, void *ctx)
{
	struct daemon *d = ctx;

	(void)fd, (void)what;
	sp_notify_stopping();
	event_base_loopbreak(d->base);
}

void sp_daemon_report_status(struct daemon *d)
{
	size_t count[SP_TEND_STATES] = { 0 }, len;
	char text[sizeof(d->status)];

	for (size_t i = 0; i < d->ntended; i++)
		count[d->tended[i]->state]++;
	len = snprintf(text, sizeof(text), "%zu group%s", d->ntended, d->ntended == 1 ? "" : "s");
	for (int i = 0, n = 0; i < SP_TEND_STATES && len < sizeof(text); i++) {
		if (count[i])
			len += snprintf(text + len, sizeof(text) - len, "%s%zu %s", n++ ? ", " : ": ",
					count[i], sp_tend_state_name(i));
	}
	if (!strcmp(text, d->status))
		return;
	strcpy(d->status, text);
	sp_notify_status(text);
}

static void on_reload(evutil_socket_t fd, short what, void *ctx)
{
	struct daemon *d = ctx;
	struct sp_config *config;

	(void)fd, (void)what;
	sp_notify_reloading();
	if (sp_config_load(d->path, &config)) {
		sp_hint("nothing was changed");
		d->exported.is_reload_ok = false;
	} else {
		d->exported.is_reload_ok = true;
		sp_config_free(&d->config);
		d->config = config;
		sp_daemon_configure(d);
		sp_tell("read %s again: %zu group%s", d->path, d->ntended, d->ntended == 1 ? "" : "s");
		sp_daemon_pass(d, PASS_NEWS);
	}
	sp_daemon_report_status(d);
	sp_notify_ready();
}

/* --- start and end --- */

static int make_events(struct daemon *d)
{
	static void (*const on_timer[])(evutil_socket_t, short, void *) = {
		[SWEEP] = on_sweep, [BURST] = on_burst_end, [AWAIT] = on_due,
		[DUE] = on_due,	    [WAKE] = on_wake,	    [WATCHDOG] = on_watchdog,
	};
	static const int numbers[] = { [ON_TERM] = SIGTERM, [ON_INT] = SIGINT, [ON_HUP] = SIGHUP };
	const struct timeval sweep = { .tv_sec = SWEEP_NS / SP_NS_PER_S };

	d->base = event_base_new();
	if (!d->base || event_base_priority_init(d->base, PRIORITIES))
		return sp_fail(-ENOMEM, "cannot make an event loop");
	for (int i = 0; i < TIMERS; i++) {
		d->timer[i] = event_new(d->base, -1, i == SWEEP ? EV_PERSIST : 0, on_timer[i], d);
		if (!d->timer[i])
			return sp_fail(-ENOMEM, "cannot make a timer");
		event_priority_set(d->timer[i], FIRST);
	}
	for (int i = 0; i < SIGNALS; i++) {
		d->on_signal[i] = evsignal_new(d->base, numbers[i], i == ON_HUP ? on_reload : on_end, d);
		if (!d->on_signal[i] || event_priority_set(d->on_signal[i], FIRST) ||
		    event_add(d->on_signal[i], NULL))
			return sp_fail(-ENOMEM, "cannot wait for signals");
	}
	if (sp_watch_fd(d->watch) >= 0) {
		d->on_news = event_new(d->base, sp_watch_fd(d->watch), EV_READ | EV_PERSIST, on_news, d);
		if (!d->on_news || event_priority_set(d->on_news, FIRST) || event_add(d->on_news, NULL))
			return sp_fail(-ENOMEM, "cannot wait for news");
	}
	d->on_care = event_new(d->base, sp_care_fd(d->care), EV_READ | EV_PERSIST, on_care, d);
	if (!d->on_care || event_priority_set(d->on_care, FIRST) || event_add(d->on_care, NULL))
		return sp_fail(-ENOMEM, "cannot wait for what programs tell");
	event_add(d->timer[SWEEP], &sweep);
	d->watchdog_ns = sp_notify_watchdog_ns();
	if (d->watchdog_ns)
		sp_daemon_arm(d, WATCHDOG, 0);
	return 0;
}

static int start(struct daemon *d)
{
	int err;

	err = sp_pin_root(d->bpffs);
	/* It forks: a child of one that is killed just then must not keep the place of its successor. */
	err = err ?: sp_care_open(&d->care);
	err = err ?: sp_pin_lock_daemon(d->bpffs, &d->place);
	err = err ?: sp_scanner_open(0, &d->scanner);
	err = err ?: sp_watch_open(&d->watch);
	err = err ?: make_events(d);
	if (err)
		return err;
	d->exported = (struct sp_exported){
		.bpffs = d->bpffs,
		.scanner = d->scanner,
		.is_reload_ok = true,
		.looked_ns = sp_now_ns(),
		.status = d->status,
	};
	d->exporter = sp_exporter_new(d->base, &d->exported);
	return d->exporter ? sp_daemon_configure(d) : -ENOMEM;
}

static void stop(struct daemon *d)
{
	for (size_t i = 0; i < d->ntended; i++) {
		if (d->config->on_exit == SP_ON_EXIT_DETACH)
			sp_daemon_detach(d, d->tended[i]);
		sp_tend_free(&d->tended[i]);
	}
	free(d->tended);
	sp_exporter_free(&d->exporter);
	for (int i = 0; i < TIMERS; i++)
		if (d->timer[i])
			event_free(d->timer[i]);
	for (int i = 0; i < SIGNALS; i++)
		if (d->on_signal[i])
			event_free(d->on_signal[i]);
	if (d->on_news)
		event_free(d->on_news);
	if (d->on_care)
		event_free(d->on_care);
	if (d->base)
		event_base_free(d->base);
	sp_watch_free(&d->watch);
	sp_care_free(&d->care);
	sp_scanner_free(&d->scanner);
	sp_close_fd(&d->place);
	sp_config_free(&d->config);
}

int sp_daemon_run(const char *bpffs, const char *path, struct sp_config *config, struct sp_passed *passed)
{
	struct daemon d = { .bpffs = bpffs, .path = path, .config = config, .place = -1 };
	int err = start(&d);

	if (!err) {
		sp_daemon_inherit(&d, passed);
		sp_daemon_pass(&d, PASS_NEWS);
		sp_daemon_report_status(&d);
		sp_notify_ready();
		if (event_base_dispatch(d.base) < 0)
			err = sp_fail(-EIO, "cannot wait for events");
	}
	stop(&d);
	return err;
}
