// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The daemon's /metrics and /healthz. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include "cleanup.h"
#include "exporter.h"
#include "http.h"
#include "log.h"
#include "netns.h"
#include "netstat.h"
#include "pin.h"
#include "report.h"
#include "state.h"
#include "tags.h"
#include "value.h"

#define TYPE_METRICS "text/plain; version=0.0.4; charset=utf-8"
#define TYPE_TEXT "text/plain; charset=utf-8"
#define HEALTHY_NS (10 * SP_NS_PER_S) /* all groups are looked at every second */

struct sp_exporter {
	struct event_base *base;
	const struct sp_exported *exported;
	struct sp_config_metrics address;
	struct sp_http *http; /* NULL: nobody can ask */
	struct event *step;

	/* Who waits for the answer in the making. */
	struct evhttp_request *asked[SP_HTTP_CONNECTIONS_MAX];
	size_t nasked;

	/* The answer so far; NULL: none is in the making. */
	struct sp_metrics *metrics;
	struct sp_groups *groups;
	size_t next; /* group */
	__u32 *netns; /* inodes of those that were read; as many as groups at most */
	size_t nnetns;
};

static void drop_answer(struct sp_exporter *e)
{
	sp_metrics_free(&e->metrics);
	sp_groups_free(&e->groups);
	free(e->netns);
	e->netns = NULL;
}

/* --- requests --- */

static void answer(struct evhttp_request *request, int status, const char *type, struct evbuffer *body)
{
	evhttp_connection_set_closecb(evhttp_request_get_connection(request), NULL, NULL);
	sp_http_answer(request, status, type, body);
}

static void answer_all(struct sp_exporter *e, struct evbuffer *body)
{
	sp_autofree unsigned char *text = NULL;
	size_t len = evbuffer_get_length(body);

	text = malloc(len ?: 1);
	if (text)
		evbuffer_copyout(body, text, len);
	for (size_t i = 0; i < e->nasked; i++) {
		if (i > 0 && text)
			evbuffer_add(body, text, len);
		answer(e->asked[i], text ? HTTP_OK : HTTP_INTERNAL, TYPE_METRICS, body);
	}
	e->nasked = 0;
}

static void forget_request(struct evhttp_connection *connection, void *ctx)
{
	struct sp_exporter *e = ctx;
	size_t n = 0;

	for (size_t i = 0; i < e->nasked; i++) {
		if (evhttp_request_get_connection(e->asked[i]) != connection)
			e->asked[n++] = e->asked[i];
	}
	e->nasked = n;
}

/* After what else the loop has to do by then: an event that is made active would come before it looks. */
static void arm_step(struct sp_exporter *e)
{
	static const struct timeval at_once;

	event_add(e->step, &at_once);
}

static void begin(struct sp_exporter *e)
{
	drop_answer(e);
	e->next = 0;
	e->nnetns = 0;
	arm_step(e);
}

static void ask_metrics(struct evhttp_request *request, void *ctx)
{
	struct sp_exporter *e = ctx;

	if (e->nasked == SP_ARRAY_SIZE(e->asked))
		return answer(request, HTTP_SERVUNAVAIL, TYPE_TEXT, NULL);
	e->asked[e->nasked++] = request;
	evhttp_connection_set_closecb(evhttp_request_get_connection(request), forget_request, e);
	if (e->nasked == 1)
		begin(e);
}

static void ask_health(struct evhttp_request *request, void *ctx)
{
	const struct sp_exporter *e = ctx;
	__u64 ago = sp_now_ns() - e->exported->looked_ns;
	struct evbuffer *body = evbuffer_new();

	if (!body)
		return answer(request, HTTP_INTERNAL, TYPE_TEXT, NULL);
	if (ago < HEALTHY_NS) {
		evbuffer_add_printf(body, "%s\n", e->exported->status);
		answer(request, HTTP_OK, TYPE_TEXT, body);
	} else {
		evbuffer_add_printf(body, "the groups were last looked at %llu s ago\n", ago / SP_NS_PER_S);
		answer(request, HTTP_SERVUNAVAIL, TYPE_TEXT, body);
	}
	evbuffer_free(body);
}

/* --- the answer --- */

static int start_answer(struct sp_exporter *e)
{
	const struct sp_exported *x = e->exported;
	struct sp_metrics_daemon daemon = { .is_reload_ok = x->is_reload_ok, .reconcile = &x->reconcile };
	int err;

	e->metrics = sp_metrics_new();
	e->netns = calloc(x->ntended ?: 1, sizeof(*e->netns));
	if (!e->metrics || !e->netns)
		return -ENOMEM;
	err = sp_scanner_scan(x->scanner, &e->groups);
	if (err)
		return err;
	for (size_t i = 0; i < x->ntended; i++)
		daemon.count[x->tended[i]->state]++;
	sp_metrics_add_daemon(e->metrics, &daemon);
	return 0;
}

/* Once for each netns. Another one than ours is seen through a process that holds a member there. */
static void add_netstat(struct sp_exporter *e, const struct sp_snapshot *s)
{
	__u32 inode = s->state->ctl.netns_inode;
	char name[SP_NETNS_STRLEN];
	struct sp_netstat netstat;
	int err;

	for (size_t i = 0; i < e->nnetns; i++) {
		if (e->netns[i] == inode)
			return;
	}
	err = sp_netstat_read(inode, 0, &netstat);
	for (size_t i = 0; err && s->group && i < s->group->nmembers; i++) {
		const struct sp_member *member = &s->group->members[i];

		if (member->nowners)
			err = sp_netstat_read(inode, member->owners[0].pid, &netstat);
	}
	if (err)
		return;
	e->netns[e->nnetns++] = inode;
	sp_metrics_add_netstat(e->metrics, sp_netns_name(inode, name), &netstat);
}

static void add_group(struct sp_exporter *e, const struct sp_tended *t)
{
	sp_autoreport struct sp_report report = SP_REPORT_NONE;
	__u32 active[SP_SLOTS_MAX];
	struct sp_metrics_group group = {
		.name = t->config.name,
		.endpoint = t->config.endpoint_text,
		.state = t->state,
		.is_pinned = sp_pin_exists(e->exported->bpffs, t->config.name),
		.enrolments = t->enrolments,
		.deaths = t->deaths,
		.wake_ups = sp_cared_wakes(t->cared),
		.parked = sp_cared_parked(t->cared),
	};

	if (group.is_pinned && !sp_report_take(e->exported->bpffs, t->config.name, e->groups, &report)) {
		group.report = &report;
		group.active = sp_tags_active_all(&report.snapshot.pins, report.snapshot.state, active);
	}
	sp_metrics_add_group(e->metrics, &group);
	if (group.report)
		add_netstat(e, &report.snapshot);
}

static void fail_all(struct sp_exporter *e)
{
	for (size_t i = 0; i < e->nasked; i++)
		answer(e->asked[i], HTTP_INTERNAL, TYPE_TEXT, NULL);
	e->nasked = 0;
	drop_answer(e);
}

static void end_answer(struct sp_exporter *e)
{
	struct evbuffer *body = evbuffer_new();

	if (!body || sp_metrics_write(e->metrics, body))
		fail_all(e);
	else
		answer_all(e, body);
	if (body)
		evbuffer_free(body);
	drop_answer(e);
}

static void on_step(evutil_socket_t fd, short what, void *ctx)
{
	struct sp_exporter *e = ctx;

	(void)fd, (void)what;
	if (!e->nasked) {
		drop_answer(e);
		return;
	}
	if (!e->metrics) {
		if (start_answer(e)) {
			fail_all(e);
			return;
		}
	} else if (e->next < e->exported->ntended) {
		add_group(e, e->exported->tended[e->next++]);
	} else {
		end_answer(e);
		return;
	}
	arm_step(e);
}

void sp_exporter_restart(struct sp_exporter *e)
{
	if (e->nasked)
		begin(e);
}

/* --- start and end --- */

struct sp_exporter *sp_exporter_new(struct event_base *base, const struct sp_exported *exported)
{
	struct sp_exporter *e = calloc(1, sizeof(*e));

	if (e)
		e->step = event_new(base, -1, 0, on_step, e);
	if (!e || !e->step) {
		sp_fail(-ENOMEM, "cannot serve metrics");
		free(e);
		return NULL;
	}
	e->base = base;
	e->exported = exported;
	return e;
}

static void stop_listening(struct sp_exporter *e)
{
	/* Ends the connections, which takes the requests away. */
	sp_http_free(&e->http);
	e->nasked = 0;
	drop_answer(e);
}

void sp_exporter_listen(struct sp_exporter *e, const struct sp_config_metrics *metrics)
{
	static const struct sp_http_path paths[] = {
		{ "/metrics", ask_metrics },
		{ "/healthz", ask_health },
	};
	int err;

	if (e->http && !strcmp(e->address.text, metrics->text))
		return;
	stop_listening(e);
	e->address = *metrics;
	if (!metrics->len)
		return;
	err = sp_http_open(e->base, (const struct sockaddr *)&metrics->address, metrics->len, paths,
			   SP_ARRAY_SIZE(paths), e, &e->http);
	if (!err)
		return;
	sp_fail(err, "cannot serve metrics on %s", metrics->text);
	sp_hint("groups are looked after all the same; [daemon] metrics names another address, or off");
}

void sp_exporter_free(struct sp_exporter **exporter)
{
	struct sp_exporter *e = *exporter;

	if (!e)
		return;
	stop_listening(e);
	event_free(e->step);
	free(e);
	*exporter = NULL;
}
