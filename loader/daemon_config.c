// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The daemon: its groups are those of its configuration. */
#include <errno.h>
#include <string.h>
#include "cleanup.h"
#include "daemon_parts.h"
#include "log.h"
#include "members.h"
#include "pin.h"
#include "privilege.h"
#include "steered.h"

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

void sp_daemon_detach(struct daemon *d, struct sp_tended *t)
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
		sp_daemon_detach(d, *t);
	} else if ((*t)->identity) {
		sp_tell("%s: not in %s any more: it stays steered, but nobody enrols its new members", name,
			d->path);
		sp_hint("to end that: steadyport detach %s", name);
	}
	sp_tend_free(t);
}

int sp_daemon_configure(struct daemon *d)
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

/* What is not taken over must be gone before a pass looks for new members. */
void sp_daemon_inherit(struct daemon *d, struct sp_passed *passed)
{
	for (size_t i = 0; i < passed->count; i++) {
		struct sp_passed_socket *s = &passed->sockets[i];

		for (size_t n = 0; n < d->ntended && s->fd >= 0; n++)
			sp_tend_inherit(d->tended[n], d->bpffs, s->cookie, &s->fd);
	}
	sp_passed_end(passed);
}
