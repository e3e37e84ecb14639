// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* steadyport doctor: what is wrong with this machine or with a group, why it matters, and what mends it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "checkup.h"
#include "cleanup.h"
#include "cmd.h"
#include "findings.h"
#include "kernel.h"
#include "log.h"
#include "pin.h"
#include "rehash.h"
#include "render.h"
#include "value.h"

#define WIDTH 100 /* of what is wrapped */
#define INDENT 10
#define MEMBERS_SHOWN 16 /* of a group that is not steered */
#define TEXT_STRLEN 256

/* One group with what was found. */
struct visit {
	const char *word; /* of the command line, or a NAME */
	struct sp_checkup checkup;
	struct sp_group_facts facts;
	struct sp_findings findings;
};

struct doctor {
	struct sp_machine_facts machine;
	struct sp_findings findings; /* of the machine */
	char (*names)[SP_NAME_MAX + 1];
	struct visit *visits;
	size_t nvisits;
};

static void free_doctor(struct doctor *d)
{
	for (size_t i = 0; i < d->nvisits; i++) {
		sp_checkup_free(&d->visits[i].checkup);
		sp_group_facts_free(&d->visits[i].facts);
		sp_findings_free(&d->visits[i].findings);
	}
	free(d->visits);
	free(d->names);
	sp_findings_free(&d->findings);
}

/* --- What would steadyport do for it --- */

/* The kernel's hash decides, and so moves flows; those of TCP are connections, which it asks about once. */
static bool has_forecast(const struct sp_group_facts *g)
{
	return g->has_group && !*g->name && !*g->program;
}

static struct sp_rehash leaves(const struct sp_group_facts *g, const struct sp_member_facts *m)
{
	const struct sp_rehash unknown = { 0 };

	return m->position < 0 ? unknown : sp_rehash_leave(g->size, m->position);
}

/* Connections, or bytes, in the queues of the members. */
static __u64 waiting(const struct sp_group_facts *g)
{
	__u64 sum = 0;

	for (size_t i = 0; i < g->nmembers; i++)
		sum += g->members[i].backlog;
	return sum;
}

static json_t *json_forecast(const struct sp_group_facts *g)
{
	struct sp_rehash join = sp_rehash_join(g->size);
	json_t *members = json_array();

	for (size_t i = 0; members && i < g->nmembers; i++) {
		const struct sp_member_facts *m = &g->members[i];
		struct sp_rehash leave = leaves(g, m);

		if (m->is_connected)
			continue;
		if (json_array_append_new(members,
					  json_pack("{s:i, s:o, s:f, s:I, s:I}", "position", m->position,
						    "owner", sp_render_json_text(m->who),
						    "leaves_moved_share", sp_rehash_share(&leave),
						    "leaves_hashes_of_others", (json_int_t)leave.flows,
						    "leaves_hashes_moved", (json_int_t)leave.moved))) {
			json_decref(members);
			return NULL;
		}
	}
	return json_pack("{s:s, s:o, s:f, s:I, s:i, s:f}", "is", "computed", "members", members,
			 "join_moved_share", sp_rehash_share(&join), "waiting", (json_int_t)waiting(g),
			 "tcp_migrate_req", g->migrate_req, "steadyport_moved_share", 0.0);
}

static void print_table(const struct sp_group_facts *g)
{
	static const struct sp_render_column columns[] = {
		{ "POSITION", true },
		{ "OWNER", false },
		{ "OTHERS' FLOWS MOVED IF IT LEAVES", true },
	};
	sp_autotable struct sp_render_table *table = sp_render_table_new(columns, SP_ARRAY_SIZE(columns));
	size_t shown = 0;

	for (size_t i = 0; i < g->nmembers && shown < MEMBERS_SHOWN; i++) {
		struct sp_rehash leave = leaves(g, &g->members[i]);
		char share[SP_RENDER_STRLEN];

		if (g->members[i].is_connected || g->members[i].position < 0)
			continue;
		shown++;
		sp_render_cell(table, SP_PLAIN, "%d", g->members[i].position);
		sp_render_cell(table, SP_PLAIN, "%s", g->members[i].who);
		sp_render_cell(table, SP_PLAIN, "%s", sp_render_percent(sp_rehash_share(&leave), share));
	}
	sp_render_table_print(table);
	if (g->size > shown)
		sp_render_line("... and %zu more, in --json", g->size - shown);
}

static void print_forecast(const struct sp_group_facts *g)
{
	struct sp_rehash join = sp_rehash_join(g->size);
	char share[SP_RENDER_STRLEN];

	sp_render_line("%s", "");
	sp_render_line(
		"What steadyport would do for it (computed from the %u members and their order, not observed)",
		g->size);
	if (g->protocol == SP_TCP) {
		sp_render_line("    %llu connections wait in its queues now. Those of a listener that closes "
			       "%s; with steadyport they go to live workers.",
			       waiting(g), g->migrate_req == 1 ? "go to any other, by chance" : "are reset");
		return;
	}
	print_table(g);
	sp_render_line("When one more joins, %s of all flows move between those that are there.",
		       sp_render_percent(sp_rehash_share(&join), share));
	sp_render_line(
		"With steadyport: none when one leaves; none that is seen in the learn window when one joins.");
}

/* --- JSON --- */

static json_t *json_findings(const struct sp_findings *f)
{
	json_t *list = f->is_out_of_memory ? NULL : json_array();

	for (size_t i = 0; list && i < f->count; i++) {
		const struct sp_finding_kind *kind = &sp_finding_kinds[f->items[i].id];

		if (json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:o, s:o}", "id", kind->name,
							  "severity", sp_severity_name(kind->severity),
							  "what", sp_render_json_text(f->items[i].what),
							  "why", sp_render_json_text(f->items[i].why), "fix",
							  sp_render_json_text(f->items[i].fix)))) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *json_visits(const struct doctor *d)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < d->nvisits; i++) {
		const struct sp_group_facts *g = &d->visits[i].facts;

		if (json_array_append_new(
			    list, json_pack("{s:s, s:s?, s:I, s:I, s:o, s:o}", "endpoint", g->endpoint,
					    "name", *g->name ? g->name : NULL, "members", (json_int_t)g->size,
					    "watched_ms", (json_int_t)(g->watch_ns / SP_NS_PER_MS),
					    "findings", json_findings(&d->visits[i].findings), "forecast",
					    has_forecast(g) ? json_forecast(g) : json_null()))) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static __u32 count(const struct doctor *d, enum sp_severity severity)
{
	__u32 sum = d->findings.counts[severity];

	for (size_t i = 0; i < d->nvisits; i++)
		sum += d->visits[i].findings.counts[severity];
	return sum;
}

static int print_json(const struct doctor *d)
{
	return sp_render_json_print(json_pack(
		"{s:{s:s, s:s, s:b, s:o}, s:o, s:I, s:I, s:I}", "machine", "kernel", d->machine.release,
		"wakes",
		d->machine.wake == SP_WAKE_NOT_NEEDED ? "yes" :
		d->machine.wake == SP_WAKE_NEEDED     ? "no" :
							"unknown",
		"daemon", d->machine.has_daemon, "findings", json_findings(&d->findings), "groups",
		json_visits(d), "errors", (json_int_t)count(d, SP_SEVERITY_ERROR), "warnings",
		(json_int_t)count(d, SP_SEVERITY_WARNING), "notes", (json_int_t)count(d, SP_SEVERITY_NOTE)));
}

/* --- Text --- */

/* A label and a text behind it, wrapped at blanks. */
static void print_wrapped(const char *label, const char *text)
{
	while (*text) {
		size_t len = strlen(text), room = WIDTH - INDENT;

		if (len > room) {
			len = room;
			while (len && text[len] != ' ')
				len--;
			/* A word that is longer than a line stays whole. */
			len = len ?: room + strcspn(text + room, " ");
		}
		sp_render_line("%-*s%.*s", INDENT, label, (int)len, text);
		label = "";
		text += len + strspn(text + len, " ");
	}
}

static int print_findings(const struct sp_findings *f)
{
	char head[SP_FINDING_WHAT_STRLEN + 64];

	for (size_t i = 0; i < f->count; i++) {
		const struct sp_finding *finding = &f->items[i];
		const struct sp_finding_kind *kind = &sp_finding_kinds[finding->id];

		snprintf(head, sizeof(head), "%s: %s", kind->name, finding->what);
		print_wrapped(sp_severity_name(kind->severity), head);
		print_wrapped("   why", finding->why);
		print_wrapped("   do", finding->fix);
	}
	return f->is_out_of_memory ? sp_fail(-ENOMEM, "cannot show all findings") : 0;
}

static const char *wake_text(const struct sp_machine_facts *m)
{
	switch (m->wake) {
	case SP_WAKE_NOT_NEEDED:
		return "wakes heirs of connections";
	case SP_WAKE_NEEDED:
		return "does not wake heirs of connections";
	default:
		return "may not wake heirs of connections";
	}
}

static int print_text(const struct doctor *d)
{
	__u32 counts[SP_SEVERITIES];
	int err;

	sp_render_line("this machine   Linux %s, %s; %s", d->machine.release, wake_text(&d->machine),
		       d->machine.has_daemon ? "a daemon runs" : "no daemon runs");
	err = print_findings(&d->findings);
	for (size_t i = 0; !err && i < d->nvisits; i++) {
		const struct sp_group_facts *g = &d->visits[i].facts;

		sp_render_line("%s", "");
		sp_render_line("%s%s%s   %u member%s", g->name, *g->name ? "   " : "", g->endpoint, g->size,
			       g->size == 1 ? "" : "s");
		err = print_findings(&d->visits[i].findings);
		if (has_forecast(g))
			print_forecast(g);
	}
	for (int i = 0; i < SP_SEVERITIES; i++)
		counts[i] = count(d, i);
	sp_render_line("%s", "");
	sp_render_line("%u error%s, %u warning%s, %u note%s", counts[0], counts[0] == 1 ? "" : "s", counts[1],
		       counts[1] == 1 ? "" : "s", counts[2], counts[2] == 1 ? "" : "s");
	return err;
}

/* --- The command --- */

static int list_visits(const struct sp_args *args, struct doctor *d)
{
	size_t count = 1;
	int err;

	if (!args->nargs) {
		err = sp_pin_list(args->bpffs, &d->names, &count);
		if (err)
			return err;
	}
	d->visits = calloc(count + 1, sizeof(*d->visits));
	if (!d->visits)
		return sp_fail(-ENOMEM, "cannot look at %zu groups", count);
	for (size_t i = 0; i < count; i++)
		d->visits[i].word = args->nargs ? args->args[0] : d->names[i];
	d->nvisits = count;
	return 0;
}

static void wait_for(__u64 ns)
{
	struct timespec left = { ns / SP_NS_PER_S, ns % SP_NS_PER_S };

	while (nanosleep(&left, &left) && errno == EINTR)
		;
}

static int visit_all(const struct sp_args *args, struct doctor *d)
{
	int err = list_visits(args, d);

	for (size_t i = 0; !err && i < d->nvisits; i++) {
		struct visit *v = &d->visits[i];

		err = sp_checkup_start(args->bpffs, args->netns, v->word, &v->checkup);
	}
	if (err)
		return err;
	if (d->nvisits)
		wait_for(args->watch_ns);
	for (size_t i = 0; !err && i < d->nvisits; i++) {
		struct visit *v = &d->visits[i];

		err = sp_checkup_end(&v->checkup, &v->facts);
		if (!err)
			sp_findings_of_group(&v->facts, &v->findings);
	}
	return err;
}

static enum sp_exit status_of(int err)
{
	return err == -EINVAL ? SP_EXIT_USAGE : err == -ENOENT ? SP_EXIT_NO_GROUP : SP_EXIT_FAILED;
}

enum sp_exit sp_cmd_doctor(const struct sp_args *args)
{
	__attribute__((cleanup(free_doctor))) struct doctor d = {};
	int err;

	sp_checkup_machine(args->bpffs, &d.machine);
	sp_findings_of_machine(&d.machine, &d.findings);
	if (sp_machine_can_look(&d.machine)) {
		err = sp_kernel_check() ?: visit_all(args, &d);
		if (err)
			return status_of(err);
	} else {
		sp_warn("no group can be looked at: see the findings");
	}
	if (args->json ? print_json(&d) : print_text(&d))
		return SP_EXIT_FAILED;
	return count(&d, SP_SEVERITY_ERROR) ? SP_EXIT_FAILED : SP_EXIT_OK;
}
