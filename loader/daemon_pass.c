// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The daemon: one pass, which looks at all groups and tends those that need it. */
#include <errno.h>
#include "cleanup.h"
#include "daemon_parts.h"
#include "log.h"
#include "members.h"
#include "pin.h"
#include "state.h"
#include "steered.h"
#include "value.h"

#define LOCK_RETRY_NS (5 * SP_NS_PER_MS)
#define LOCK_PATIENCE_NS SP_NS_PER_S
#define FAILED_RETRY_NS SP_NS_PER_S

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
		sp_daemon_arm(d, DUE, FAILED_RETRY_NS);
		return false;
	}
	d->locked_ns = d->locked_ns ?: now;
	if (now >= d->locked_ns + LOCK_PATIENCE_NS && !d->is_lock_told) {
		sp_warn("a command has been changing something for a second: waiting for it");
		d->is_lock_told = true;
	}
	sp_daemon_arm(d, DUE, LOCK_RETRY_NS);
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
	sp_watch_read(d->watch, sp_daemon_hear, d);
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
		sp_daemon_arm(d, DUE, first > now ? first - now : 0);
}

/* For sockets that were announced and not seen, with growing pauses until they are forgotten. */
static void arm_await(struct daemon *d, const struct sp_groups *groups)
{
	if (!sp_announced_prune(&d->announced, groups, sp_now_ns()))
		return;
	sp_daemon_arm(d, AWAIT, d->await_ns);
	d->await_ns *= 2;
}

/*
 * With news there will be something to do, so the lock is taken first and one scan will do. Else it is taken only when
 * a scan has shown that there is, and what a command did meanwhile is seen by a second one.
 */
void sp_daemon_pass(struct daemon *d, enum pass why)
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
		sp_daemon_report_status(d);
	}
	arm_await(d, groups);
	arm_due(d);
	sp_daemon_arm_wake(d);
}
