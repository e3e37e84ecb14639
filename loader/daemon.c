// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The daemon's loop. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <event2/event.h>
#include "announced.h"
#include "care.h"
#include "cleanup.h"
#include "daemon.h"
#include "exporter.h"
#include "log.h"
#include "members.h"
#include "notify.h"
#include "pin.h"
#include "privilege.h"
#include "state.h"
#include "steered.h"
#include "tend.h"
#include "value.h"
#include "watch.h"

#define SWEEP_NS SP_NS_PER_S
#define BURST_QUIET_NS (3 * SP_NS_PER_MS) /* workers that start together share one view */
#define BURST_MAX_NS (12 * SP_NS_PER_MS)
#define AWAIT_FIRST_NS \
	(3 * SP_NS_PER_MS) /* between looks for a socket that was announced; doubled each time */
#define LOCK_RETRY_NS (5 * SP_NS_PER_MS)
#define LOCK_PATIENCE_NS SP_NS_PER_S
#define WATCHDOG_PER_INTERVAL 3 /* signs of life in the time in which one is asked for */

enum timer {
	SWEEP, /* in any case */
	BURST, /* news have come */
	AWAIT, /* a socket was announced that no scan has shown */
	DUE, /* a group asked for this time, or the lock was taken */
	WAKE, /* heirs of closed listeners are to be woken */
	WATCHDOG,
	TIMERS,
};

/* Of events. Groups come before whoever asks for metrics, whose events have the middle of all, rounded up. */
enum {
	FIRST,
	SECOND,
	PRIORITIES
};

enum {
	ON_TERM,
	ON_INT,
	ON_HUP,
	SIGNALS
};

/* What a pass is for. */
enum pass {
	PASS_SWEEP,
	PASS_DUE, /* what was announced, or somebody has asked for */
	PASS_NEWS, /* there are some */
};

struct daemon {
	const char *bpffs, *path;
	struct sp_config *config;
	struct sp_tended *
		*tended; /* in the order of the file; those that are in it no more are gone from here, too */
	size_t ntended;

	int place; /* of the only daemon */
	struct sp_scanner *scanner;
	struct sp_watch *watch;
	struct sp_care *care;
	struct sp_exporter *exporter;
	struct sp_exported exported; /* what it reads */

	struct event_base *base;
	struct event *timer[TIMERS];
	struct event *on_signal[SIGNALS];
	struct event *on_news;
	struct event *on_care;

	struct sp_announced announced;
	__u64 burst_ns; /* when the burst began; 0: there is none */
	__u64 await_ns; /* until the next look */
	__u64 locked_ns; /* since when the lock cannot be had; 0: it could */
	bool is_lock_told;
	__u64 watchdog_ns;
	bool is_config_due; /* not all of it could be done yet */
	char status[200]; /* as last told to the service manager */
};

static void arm(struct daemon *d, enum timer timer, __u64 in_ns)
{
	const struct timeval t = { .tv_sec = in_ns / SP_NS_PER_S, .tv_usec = in_ns % SP_NS_PER_S / 1000 };

	event_add(d->timer[timer], &t);
}

/* --- news --- */

/* Soon: news come in bursts. */
static void expect_pass(struct daemon *d)
{
	__u64 now = sp_now_ns(), left;

	d->burst_ns = d->burst_ns ?: now;
	left = d->burst_ns + BURST_MAX_NS > now ? d->burst_ns + BURST_MAX_NS - now : 0;
	arm(d, BURST, left < BURST_QUIET_NS ? left : BURST_QUIET_NS);
}

static void hear(void *ctx, const struct sp_watch_event *event)
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

/* --- a pass --- */

static void report_status(struct daemon *d)
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

/* Commands that hold it longer than a second tell their own story; ours is told once. */
static bool try_lock(struct daemon *d, int *ret_lock)
{
	int err = sp_pin_try_lock(d->bpffs, ret_lock);
	__u64 now = sp_now_ns();

	if (!err) {
		d->locked_ns = 0;
		d->is_lock_told = false;
		return true;
	}
	if (err != -EWOULDBLOCK) {
		arm(d, DUE, SWEEP_NS);
		return false;
	}
	d->locked_ns = d->locked_ns ?: now;
	if (now >= d->locked_ns + LOCK_PATIENCE_NS && !d->is_lock_told) {
		sp_warn("a command has been changing something for a second: waiting for it");
		d->is_lock_told = true;
	}
	arm(d, DUE, LOCK_RETRY_NS);
	return false;
}

/* Promptness, one worker a line: from its system call until the view with its share was in force. */
static void note_enrolled(struct daemon *d, const struct sp_tended *t, bool is_sweep)
{
	const struct sp_reconcile_result *result = t->result;
	const char *call = t->config.endpoint.protocol == SP_TCP ? "listen()" : "bind()";

	for (__u32 i = 0; i < result->nenrolled; i++) {
		__u64 heard = sp_announced_when(&d->announced, result->cookies[i]);

		if (heard)
			sp_note("%s: slot %u: its share %llu us after its %s, by %s", t->config.name,
				result->enrolled[i], (result->in_force_ns - heard) / 1000, call,
				is_sweep ? "a sweep" : "news");
		else
			sp_note("%s: slot %u: found by a look, without news", t->config.name,
				result->enrolled[i]);
	}
}

/* Under the lock, on a scan that was made under it. */
static void tend_all(struct daemon *d, const struct sp_groups *groups, const bool *is_due, enum pass why)
{
	sp_autofree struct sp_reconcile_job *jobs = calloc(d->ntended, sizeof(*jobs));
	sp_autofree struct sp_pins **pins = calloc(d->ntended, sizeof(*pins));
	sp_autofree size_t *whose = calloc(d->ntended, sizeof(*whose));
	bool may_attach = true; /* one in a pass: the others must not wait for all */
	__u64 since = sp_now_ns();
	size_t njobs = 0;

	if (!jobs || !pins || !whose) {
		sp_fail(-ENOMEM, "cannot look after %zu groups", d->ntended);
		return;
	}
	for (size_t i = 0; i < d->ntended; i++) {
		struct sp_tended *t = d->tended[i];

		if (!is_due[i])
			continue;
		if (sp_tend_begin(t, d->bpffs, groups, d->scanner, &may_attach, &jobs[njobs])) {
			pins[njobs] = &t->pins;
			whose[njobs++] = i;
		} else {
			sp_tend_end(t, d->bpffs, groups, NULL);
		}
	}
	sp_steered_reconcile_all(d->bpffs, pins, jobs, njobs);
	/* A sweep may have been faster than the news. */
	sp_watch_read(d->watch, hear, d);
	for (size_t i = 0; i < njobs; i++) {
		sp_tend_end(d->tended[whose[i]], d->bpffs, groups, &jobs[i]);
		note_enrolled(d, d->tended[whose[i]], why == PASS_SWEEP);
	}
	sp_histogram_add(&d->exported.reconcile, sp_now_ns() - since);
}

/* Returns how many there are. */
static size_t find_due(struct daemon *d, const struct sp_groups *groups, bool *is_due)
{
	__u64 now = sp_now_ns();
	size_t count = 0;

	for (size_t i = 0; i < d->ntended; i++) {
		is_due[i] = sp_tend_is_due(d->tended[i], d->bpffs, groups, now);
		count += is_due[i];
	}
	return count;
}

static void arm_due(struct daemon *d)
{
	__u64 now = sp_now_ns(), first = 0;

	for (size_t i = 0; i < d->ntended; i++) {
		__u64 due = d->tended[i]->due_ns;

		if (due && (!first || due < first))
			first = due;
	}
	if (first)
		arm(d, DUE, first > now ? first - now : 0);
}

/* For sockets that were announced and not seen, with growing pauses until they are forgotten. */
static void arm_await(struct daemon *d, const struct sp_groups *groups)
{
	if (!sp_announced_prune(&d->announced, groups, sp_now_ns()))
		return;
	arm(d, AWAIT, d->await_ns);
	d->await_ns *= 2;
}

static void arm_wake(struct daemon *d)
{
	__u64 now = sp_now_ns(), next = sp_care_next_ns(d->care);

	if (next)
		arm(d, WAKE, next > now ? next - now : 0);
}

/*
 * With news there will be something to do, so the lock is taken first and one scan will do. Else it is taken only when
 * a scan has shown that there is, and what a command did meanwhile is seen by a second one.
 */
static void pass(struct daemon *d, enum pass why)
{
	sp_autogroups struct sp_groups *groups = NULL;
	sp_autofree bool *is_due = calloc(d->ntended ?: 1, sizeof(*is_due));
	sp_autoclose int lock = -1;
	bool is_any;

	if (!is_due || (why == PASS_NEWS && !try_lock(d, &lock)) || sp_scanner_scan(d->scanner, &groups))
		return;
	d->exported.looked_ns = sp_now_ns();
	is_any = find_due(d, groups, is_due);
	if (is_any && lock < 0) {
		if (!try_lock(d, &lock))
			return;
		sp_groups_free(&groups);
		if (sp_scanner_scan(d->scanner, &groups))
			return;
		is_any = find_due(d, groups, is_due);
	}
	if (is_any) {
		tend_all(d, groups, is_due, why);
		report_status(d);
	}
	arm_await(d, groups);
	arm_due(d);
	arm_wake(d);
}

/* --- events --- */

static int configure(struct daemon *d);

static void on_sweep(evutil_socket_t fd, short what, void *ctx)
{
	struct daemon *d = ctx;

	(void)fd, (void)what;
	if (d->is_config_due)
		configure(d);
	pass(d, PASS_SWEEP);
}

static void on_due(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	pass(ctx, PASS_DUE);
}

static void on_burst_end(evutil_socket_t fd, short what, void *ctx)
{
	struct daemon *d = ctx;

	(void)fd, (void)what;
	d->burst_ns = 0;
	pass(d, PASS_NEWS);
}

static void on_news(evutil_socket_t fd, short what, void *ctx)
{
	struct daemon *d = ctx;

	(void)fd, (void)what;
	sp_watch_read(d->watch, hear, d);
}

static void on_care(evutil_socket_t fd, short what, void *ctx)
{
	struct daemon *d = ctx;

	(void)fd, (void)what;
	if (sp_care_read(d->care))
		expect_pass(d);
	arm_wake(d);
}

static void on_wake(evutil_socket_t fd, short what, void *ctx)
{
	sp_autogroups struct sp_groups *groups = NULL;
	struct daemon *d = ctx;

	(void)fd, (void)what;
	if (!sp_scanner_scan(d->scanner, &groups))
		sp_care_wake(d->care, groups);
	arm_wake(d);
}

static void on_watchdog(evutil_socket_t fd, short what, void *ctx)
{
	struct daemon *d = ctx;

	(void)fd, (void)what;
	sp_notify_alive();
	arm(d, WATCHDOG, d->watchdog_ns / WATCHDOG_PER_INTERVAL);
}

static void on_end(evutil_socket_t fd, short what, void *ctx)
{
	struct daemon *d = ctx;

	(void)fd, (void)what;
	sp_notify_stopping();
	event_base_loopbreak(d->base);
}

/* --- configuration --- */

static int set_ports(struct daemon *d)
{
	sp_autofree struct sp_watch_key *keys = calloc(d->ntended ?: 1, sizeof(*keys));
	size_t n = 0;

	if (!keys)
		return sp_fail(-ENOMEM, "cannot watch %zu groups", d->ntended);
	for (size_t i = 0; i < d->ntended; i++) {
		const struct sp_endpoint *endpoint = &d->tended[i]->config.endpoint;

		keys[n].port = endpoint->port;
		keys[n++].protocol = endpoint->protocol;
	}
	return sp_watch_set(d->watch, keys, n);
}

static struct sp_tended *take_tended(struct daemon *d, const char *name)
{
	for (size_t i = 0; i < d->ntended; i++) {
		struct sp_tended *t = d->tended[i];

		if (!t || strcmp(t->config.name, name))
			continue;
		d->tended[i] = NULL;
		return t;
	}
	return NULL;
}

static void detach(struct daemon *d, struct sp_tended *t)
{
	sp_autogroups struct sp_groups *groups = NULL;
	sp_autoclose int lock = -1;

	if (!sp_pin_exists(d->bpffs, t->config.name))
		return;
	if (sp_pin_lock(d->bpffs, &lock) || sp_scanner_scan(d->scanner, &groups) ||
	    sp_steered_detach(d->bpffs, t->config.name, groups, sp_tell))
		sp_hint("nobody looks after %s any more; to do what is left to do: steadyport detach %s",
			t->config.name, t->config.name);
}

/* A group that the file does not name any more. */
static void leave(struct daemon *d, struct sp_tended **t)
{
	const char *name = (*t)->config.name;

	if ((*t)->identity && d->config->on_exit == SP_ON_EXIT_DETACH) {
		detach(d, *t);
	} else if ((*t)->identity) {
		sp_tell("%s: not in %s any more: it stays steered, but nobody enrols its new members", name,
			d->path);
		sp_hint("to end that: steadyport detach %s", name);
	}
	sp_tend_free(t);
}

/* Makes the tended groups those of d->config: takes over those that are there. */
static int configure(struct daemon *d)
{
	struct sp_tended **tended = calloc(d->config->ngroups ?: 1, sizeof(*tended));
	size_t n = 0;
	int err;

	d->is_config_due = true;
	if (!tended)
		return sp_fail(-ENOMEM, "cannot look after %zu groups", d->config->ngroups);
	for (size_t i = 0; i < d->config->ngroups; i++) {
		const struct sp_config_group *group = &d->config->groups[i];
		struct sp_tended *t = take_tended(d, group->name);

		if (t)
			sp_tend_reconfigure(t, group, d->path);
		else
			t = sp_tend_new(group, d->care);
		if (t)
			tended[n++] = t;
	}
	for (size_t i = 0; i < d->ntended; i++) {
		if (d->tended[i])
			leave(d, &d->tended[i]);
	}
	free(d->tended);
	d->tended = tended;
	d->ntended = n;
	d->exported.tended = tended;
	d->exported.ntended = n;
	sp_exporter_restart(d->exporter);
	sp_exporter_listen(d->exporter, &d->config->metrics);
	sp_privilege_warn(d->config);
	err = set_ports(d);
	d->is_config_due = err || n < d->config->ngroups;
	return err;
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
		configure(d);
		sp_tell("read %s again: %zu group%s", d->path, d->ntended, d->ntended == 1 ? "" : "s");
		pass(d, PASS_NEWS);
	}
	report_status(d);
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
		arm(d, WATCHDOG, 0);
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
	return d->exporter ? configure(d) : -ENOMEM;
}

static void stop(struct daemon *d)
{
	for (size_t i = 0; i < d->ntended; i++) {
		if (d->config->on_exit == SP_ON_EXIT_DETACH)
			detach(d, d->tended[i]);
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

/* What is not taken over must be gone before a pass looks for new members. */
static void inherit(struct daemon *d, struct sp_passed *passed)
{
	for (size_t i = 0; i < passed->count; i++) {
		struct sp_passed_socket *s = &passed->sockets[i];

		for (size_t n = 0; n < d->ntended && s->fd >= 0; n++)
			sp_tend_inherit(d->tended[n], d->bpffs, s->cookie, &s->fd);
	}
	sp_passed_end(passed);
}

int sp_daemon_run(const char *bpffs, const char *path, struct sp_config *config, struct sp_passed *passed)
{
	struct daemon d = { .bpffs = bpffs, .path = path, .config = config, .place = -1 };
	int err = start(&d);

	if (!err) {
		inherit(&d, passed);
		pass(&d, PASS_NEWS);
		report_status(&d);
		sp_notify_ready();
		if (event_base_dispatch(d.base) < 0)
			err = sp_fail(-EIO, "cannot wait for events");
	}
	stop(&d);
	return err;
}
