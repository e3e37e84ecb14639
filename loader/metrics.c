// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the daemon counts and sees, in Prometheus' text format. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "cleanup.h"
#include "metrics.h"
#include "netns.h"
#include "render.h"
#include "value.h"

#define PREFIX "steadyport_"
#define LABEL_LEN (2 * SP_NETNS_STRLEN) /* every byte escaped */

enum metric {
#define SP_METRIC(id, name, type, labels, help) id,
#include "metrics.def"
#undef SP_METRIC
	NMETRICS,
};

enum type {
	GAUGE,
	COUNTER,
	HISTOGRAM,
};

static const struct {
	const char *name;
	enum type type;
	const char *labels;
	const char *help;
} metrics[] = {
#define SP_METRIC(id, name, type, labels, help) [id] = { name, type, labels, help },
#include "metrics.def"
#undef SP_METRIC
};

#define SP_COUNTER(name, kind, text) #name "_total",
static const char *const counter_names[] = {
#include <steadyport/counters.def>
};
#undef SP_COUNTER

#define NCOUNTERS SP_ARRAY_SIZE(counter_names)

struct sp_metrics {
	struct evbuffer *samples[NMETRICS + NCOUNTERS]; /* a line each */
	bool has_failed;
};

static const double bounds[] = SP_HISTOGRAM_BOUNDS;

_Static_assert(SP_ARRAY_SIZE(bounds) + 1 == SP_HISTOGRAM_BUCKETS, "a bucket for what is beyond all bounds");

void sp_histogram_add(struct sp_histogram *histogram, __u64 ns)
{
	size_t i = 0;

	while (i < SP_ARRAY_SIZE(bounds) && ns > bounds[i] * 1e9)
		i++;
	histogram->count[i]++;
	histogram->sum_ns += ns;
}

const char *sp_metrics_name(size_t i)
{
	return i < NMETRICS ? metrics[i].name : i < NMETRICS + NCOUNTERS ? counter_names[i - NMETRICS] : NULL;
}

const char *sp_metrics_labels(size_t i)
{
	return i < NMETRICS ? metrics[i].labels : "group, slot";
}

struct sp_metrics *sp_metrics_new(void)
{
	struct sp_metrics *m = calloc(1, sizeof(*m));

	for (size_t i = 0; m && i < SP_ARRAY_SIZE(m->samples); i++) {
		m->samples[i] = evbuffer_new();
		if (!m->samples[i])
			sp_metrics_free(&m);
	}
	return m;
}

void sp_metrics_free(struct sp_metrics **metrics)
{
	struct sp_metrics *m = *metrics;

	for (size_t i = 0; m && i < SP_ARRAY_SIZE(m->samples); i++) {
		if (m->samples[i])
			evbuffer_free(m->samples[i]);
	}
	free(m);
	*metrics = NULL;
}

/* --- samples --- */

/* @suffix: "{LABELS}", or empty */
__attribute__((format(printf, 4, 5))) static void add(struct sp_metrics *m, size_t metric, double value,
						      const char *suffix, ...)
{
	va_list ap;

	m->has_failed |= evbuffer_add_printf(m->samples[metric], PREFIX "%s", sp_metrics_name(metric)) < 0;
	va_start(ap, suffix);
	m->has_failed |= evbuffer_add_vprintf(m->samples[metric], suffix, ap) < 0;
	va_end(ap);
	/* Whole numbers are exact up to 10^15. */
	m->has_failed |= evbuffer_add_printf(m->samples[metric], " %.15g\n", value) < 0;
}

/* A label's value may have any bytes, but three of them must be escaped. Returns buf. */
static const char *escape(const char *text, char buf[LABEL_LEN])
{
	size_t len = 0;

	for (; *text && len + 2 < LABEL_LEN; text++) {
		if (*text == '\\' || *text == '"' || *text == '\n')
			buf[len++] = '\\';
		buf[len++] = *text == '\n' ? 'n' : *text;
	}
	buf[len] = '\0';
	return buf;
}

static void add_counters(struct sp_metrics *m, const char *group, const char *slot,
			 const struct sp_counters *counters)
{
	for (size_t i = 0; i < NCOUNTERS; i++)
		add(m, NMETRICS + i, sp_render_counter_of(counters, i), "{group=\"%s\",slot=\"%s\"}", group,
		    slot);
}

static void add_histogram(struct sp_metrics *m, size_t metric, const struct sp_histogram *histogram)
{
	__u64 count = 0;

	for (size_t i = 0; i < SP_HISTOGRAM_BUCKETS; i++) {
		count += histogram->count[i];
		if (i < SP_ARRAY_SIZE(bounds))
			add(m, metric, count, "_bucket{le=\"%g\"}", bounds[i]);
		else
			add(m, metric, count, "_bucket{le=\"+Inf\"}");
	}
	add(m, metric, histogram->sum_ns / 1e9, "_sum");
	add(m, metric, count, "_count");
}

void sp_metrics_add_daemon(struct sp_metrics *m, const struct sp_metrics_daemon *daemon)
{
	add(m, BUILD_INFO, 1, "{version=\"" SP_VERSION "\",abi=\"%d\"}", SP_ABI_VERSION);
	add(m, RELOAD_OK, daemon->is_reload_ok, "%s", "");
	for (int i = 0; i < SP_TEND_STATES; i++)
		add(m, GROUPS, daemon->count[i], "{state=\"%s\"}", sp_tend_state_name(i));
	add_histogram(m, RECONCILE, daemon->reconcile);
}

static void add_slot(struct sp_metrics *m, const struct sp_metrics_group *group, __u32 slot)
{
	const struct sp_report *r = group->report;
	const struct sp_snapshot *s = &r->snapshot;
	const struct sp_member *member = sp_snapshot_member(s, slot);
	bool is_udp = s->state->ctl.protocol == SP_UDP;
	char number[16];

	snprintf(number, sizeof(number), "%u", slot);
#define LABELS "{group=\"%s\",slot=\"%s\"}", group->name, number
	if (sp_snapshot_slot_state(s, slot) != SP_SLOT_PARKED) {
		add(m, WEIGHT, s->state->info[slot].weight, LABELS);
		add(m, SHARE, sp_report_share(r, slot), LABELS);
	}
	if (member) {
		add(m, is_udp ? BUFFER : QUEUE, member->backlog, LABELS);
		add(m, is_udp ? BUFFER_LIMIT : QUEUE_LIMIT, member->backlog_max, LABELS);
		add(m, DROPS, member->drops, LABELS);
	}
	if (group->active && sp_snapshot_slot_state(s, slot) != SP_SLOT_PARKED)
		add(m, ACTIVE, group->active[slot], LABELS);
#undef LABELS
	add_counters(m, group->name, number, sp_report_counters(r, slot));
}

static void add_report(struct sp_metrics *m, const struct sp_metrics_group *group)
{
	static const enum sp_slot_state states[] = { SP_SLOT_LIVE, SP_SLOT_DRAINING, SP_SLOT_EJECTED,
						     SP_SLOT_DEAD, SP_SLOT_PARKED };
	const struct sp_report *r = group->report;
	const struct sp_snapshot *s = &r->snapshot;
	const char *name = group->name;

	add(m, MEMBERS, sp_snapshot_size(s), "{group=\"%s\"}", name);
	add(m, UNENROLLED, sp_snapshot_count_unenrolled(s), "{group=\"%s\"}", name);
	add(m, HIDDEN, sp_report_hidden(r), "{group=\"%s\"}", name);
	for (size_t i = 0; i < SP_ARRAY_SIZE(states); i++)
		add(m, SLOTS, r->count[states[i]], "{group=\"%s\",state=\"%s\"}", name,
		    sp_snapshot_state_name(states[i]));
	if (s->state->ctl.protocol == SP_UDP) {
		add(m, LEARNING, sp_snapshot_learn_remaining_ns(s) > 0, "{group=\"%s\"}", name);
		add(m, MOVING, sp_report_moving(r), "{group=\"%s\"}", name);
		add(m, KEPT_NOW, r->kept_flows, "{group=\"%s\"}", name);
		add(m, KEPT_LIMIT, r->kept_limit, "{group=\"%s\"}", name);
	}
	for (__u32 slot = 0; slot < SP_SLOTS_MAX; slot++) {
		if (sp_snapshot_slot_state(s, slot) != SP_SLOT_FREE)
			add_slot(m, group, slot);
	}
	add_counters(m, name, "group", sp_report_group_counters(r));
}

void sp_metrics_add_group(struct sp_metrics *m, const struct sp_metrics_group *group)
{
	const struct sp_snapshot *s = group->report ? &group->report->snapshot : NULL;
	char netns[SP_NETNS_STRLEN] = "", label[LABEL_LEN];

	if (s)
		sp_netns_name(s->state->ctl.netns_inode, netns);
	add(m, INFO, 1, "{group=\"%s\",endpoint=\"%s\",netns=\"%s\"}", group->name, group->endpoint,
	    escape(netns, label));
	for (int i = 0; i < SP_TEND_STATES; i++)
		add(m, STATE, (int)group->state == i, "{group=\"%s\",state=\"%s\"}", group->name,
		    sp_tend_state_name(i));
	/* What is pinned and cannot be read is nothing known. */
	if (s || !group->is_pinned) {
		add(m, ATTACHED, s && sp_snapshot_is_attached(s), "{group=\"%s\"}", group->name);
		add(m, FOREIGN, group->state == SP_TEND_FOREIGN || (s && sp_snapshot_is_foreign(s)),
		    "{group=\"%s\"}", group->name);
	}
	add(m, ENROLMENTS, group->enrolments, "{group=\"%s\"}", group->name);
	add(m, DEATHS, group->deaths, "{group=\"%s\"}", group->name);
	add(m, WAKE_UPS, group->wake_ups, "{group=\"%s\"}", group->name);
	add(m, PARKED_NOW, group->parked, "{group=\"%s\"}", group->name);
	if (s)
		add_report(m, group);
}

void sp_metrics_add_netstat(struct sp_metrics *m, const char *netns, const struct sp_netstat *netstat)
{
	char label[LABEL_LEN];

	escape(netns, label);
	add(m, MIGRATE_OK, netstat->migrated, "{netns=\"%s\"}", label);
	add(m, MIGRATE_FAILED, netstat->migrate_failed, "{netns=\"%s\"}", label);
}

int sp_metrics_write(struct sp_metrics *m, struct evbuffer *out)
{
	static const char *const types[] = {
		[GAUGE] = "gauge", [COUNTER] = "counter", [HISTOGRAM] = "histogram"
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(m->samples); i++) {
		const char *name = sp_metrics_name(i);
		bool is_counter = i >= NMETRICS;

		if (!evbuffer_get_length(m->samples[i]))
			continue;
		m->has_failed |= evbuffer_add_printf(
					 out, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name,
					 is_counter ? sp_render_counters[i - NMETRICS].text : metrics[i].help,
					 name, types[is_counter ? COUNTER : metrics[i].type]) < 0 ||
				 evbuffer_add_buffer(out, m->samples[i]);
	}
	return m->has_failed ? -ENOMEM : 0;
}
