// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Facts to findings. */
#include "findings.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cleanup.h"
#include "render.h"
#include "value.h"

#define SLOTS_NAMED 12
#define MEMBERS_NAMED 3
#define UNSETTLED_NS (3 * SP_NS_PER_S) /* the daemon settles within a second or two */
#define ENDLESS_WINDOWS 5 /* that the group must have been attached for, before it is judged */
#define UNEVEN_ARRIVALS 100 /* fewer say nothing */
#define UNEVEN_RATIO 1.5
#define CHANCE_DEVIATIONS 4 /* of the chi-square statistic's standard deviations */

const struct sp_finding_kind sp_finding_kinds[SP_FINDING_IDS] = {
#define SP_FINDING(id, name, severity, what, why, fix) { name, SP_SEVERITY_##severity, what, why, fix },
#include "findings.def"
#undef SP_FINDING
};

const char *sp_severity_name(enum sp_severity severity)
{
	static const char *const names[] = { "error", "warning", "note" };

	return names[severity];
}

void sp_findings_free(struct sp_findings *findings)
{
	free(findings->items);
	*findings = (struct sp_findings){ 0 };
}

void sp_group_facts_free(struct sp_group_facts *facts)
{
	free(facts->members);
	facts->members = NULL;
	facts->nmembers = 0;
}

/* --- From a line of the list to a finding --- */

/* What the words in capitals stand for; those that are NULL stay as they are. */
struct values {
	const char *NAME, *ENDPOINT, *BPFFS, *PROGRAM, *USE, *WITHOUT, *VALUE, *LIMIT, *COUNT, *WHO, *SLOTS,
		*SLOT, *RATIO, *ITS, *EQUAL, *WATCH, *AGE, *LEARN;
};

static const char *value_of(const struct values *v, const char *word, size_t len)
{
	const struct {
		const char *word, *value;
	} all[] = {
		{ "NAME", v->NAME },	   { "ENDPOINT", v->ENDPOINT }, { "BPFFS", v->BPFFS },
		{ "PROGRAM", v->PROGRAM }, { "USE", v->USE },		{ "WITHOUT", v->WITHOUT },
		{ "VALUE", v->VALUE },	   { "LIMIT", v->LIMIT },	{ "COUNT", v->COUNT },
		{ "WHO", v->WHO },	   { "SLOTS", v->SLOTS },	{ "SLOT", v->SLOT },
		{ "RATIO", v->RATIO },	   { "ITS", v->ITS },		{ "EQUAL", v->EQUAL },
		{ "WATCH", v->WATCH },	   { "AGE", v->AGE },		{ "LEARN", v->LEARN },
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(all); i++) {
		if (all[i].value && strlen(all[i].word) == len && !memcmp(all[i].word, word, len))
			return all[i].value;
	}
	return NULL;
}

/* Whole words only: CAP_BPF and SO_RCVBUF are one each. What does not fit is cut off. */
static void fill_in(const char *text, const struct values *values, char *out, size_t size)
{
	size_t at = 0;

	while (*text && at + 1 < size) {
		size_t len = 0;
		const char *value;

		while (isalnum((unsigned char)text[len]) || text[len] == '_')
			len++;
		value = len ? value_of(values, text, len) : NULL;
		at += snprintf(out + at, size - at, "%.*s",
			       value ? (int)strlen(value) :
			       len   ? (int)len :
				       1,
			       value ?: text);
		text += len ?: 1;
	}
	if (at >= size)
		at = size - 1;
	out[at] = '\0';
}

static void add(struct sp_findings *f, enum sp_finding_id id, const struct values *values)
{
	const struct sp_finding_kind *kind = &sp_finding_kinds[id];
	struct sp_finding *item, *grown;

	grown = reallocarray(f->items, f->count + 1, sizeof(*f->items));
	if (!grown) {
		f->is_out_of_memory = true;
		return;
	}
	f->items = grown;
	item = &f->items[f->count++];
	item->id = id;
	fill_in(kind->what, values, item->what, sizeof(item->what));
	fill_in(kind->why, values, item->why, sizeof(item->why));
	fill_in(kind->fix, values, item->fix, sizeof(item->fix));
	f->counts[kind->severity]++;
}

static int compare_ids(const void *a, const void *b)
{
	const struct sp_finding *x = a, *y = b;

	return (int)x->id - (int)y->id;
}

static void sort(struct sp_findings *f)
{
	if (f->count)
		qsort(f->items, f->count, sizeof(*f->items), compare_ids);
}

/* --- The machine --- */

static bool is_vital(enum sp_privilege privilege)
{
	return privilege == SP_PRIVILEGE_BPF || privilege == SP_PRIVILEGE_PERFMON;
}

bool sp_machine_can_look(const struct sp_machine_facts *m)
{
	return !m->is_too_old && m->has_btf && !m->lacks[SP_PRIVILEGE_BPF] &&
	       !m->lacks[SP_PRIVILEGE_PERFMON] && m->bpffs_state != SP_BPFFS_UNTRUSTED;
}

void sp_findings_of_machine(const struct sp_machine_facts *m, struct sp_findings *f)
{
	const struct values place = { .BPFFS = m->bpffs };

	if (m->is_too_old)
		add(f, SP_FINDING_OLD_KERNEL, &(struct values){ .VALUE = m->release });
	if (!m->has_btf)
		add(f, SP_FINDING_NO_BTF, &place);
	for (int i = 0; i < SP_PRIVILEGES; i++) {
		const struct sp_privilege_facts *p = &sp_privileges[i];

		if (m->lacks[i])
			add(f, is_vital(i) ? SP_FINDING_LACKS_VITAL : SP_FINDING_LACKS,
			    &(struct values){ .VALUE = p->name, .USE = p->use, .WITHOUT = p->without });
	}
	if (m->bpffs_state == SP_BPFFS_UNTRUSTED)
		add(f, SP_FINDING_BPFFS_UNTRUSTED, &place);
	if (m->bpffs_state == SP_BPFFS_MISSING)
		add(f, SP_FINDING_NO_BPFFS, &place);
	if (!m->sees_all_processes)
		add(f, SP_FINDING_PID_NAMESPACE, &place);
	if (m->jit == 0)
		add(f, SP_FINDING_NO_JIT, &place);
	if (m->wake == SP_WAKE_NEEDED && !m->has_daemon)
		add(f, SP_FINDING_NEEDS_WAKING, &place);
	/* The daemon wakes where it cannot tell, too. */
	if (m->wake == SP_WAKE_UNKNOWN && !m->has_daemon)
		add(f, SP_FINDING_WAKING_UNKNOWN, &(struct values){ .VALUE = m->wake_why });
	sort(f);
}

/* --- A group --- */

/* What is asked of each member. */
typedef bool test_member(const struct sp_group_facts *g, const struct sp_member_facts *m);

struct tally {
	char count[SP_RENDER_STRLEN];
	char who[MEMBERS_NAMED * SP_FACTS_WHO_STRLEN + 16];
	__u64 n;
};

/* Counts the members for which it is true, or adds up @amount of theirs, and names some. */
static bool tally(const struct sp_group_facts *g, test_member *is_so,
		  __u64 (*amount)(const struct sp_member_facts *m), struct tally *ret)
{
	struct tally t = { .n = 0 };
	size_t len = 0, named = 0;

	for (size_t i = 0; i < g->nmembers; i++) {
		const struct sp_member_facts *m = &g->members[i];

		if (!is_so(g, m))
			continue;
		t.n += amount ? amount(m) : 1;
		if (named++ < MEMBERS_NAMED)
			len += snprintf(t.who + len, sizeof(t.who) - len, "%s%s", len ? ", " : "", m->who);
	}
	if (named > MEMBERS_NAMED)
		snprintf(t.who + len, sizeof(t.who) - len, ", ...");
	snprintf(t.count, sizeof(t.count), "%llu", t.n);
	*ret = t;
	return named;
}

static bool is_worker(const struct sp_member_facts *m)
{
	return !m->is_parking && !m->is_connected;
}

static bool is_unenrolled(const struct sp_group_facts *g, const struct sp_member_facts *m)
{
	return *g->name && is_worker(m) && m->slot < 0 && !m->is_taken;
}

static bool is_taken(const struct sp_group_facts *g, const struct sp_member_facts *m)
{
	/* A program that is attached may hold them; attach --replace waits until it lets go. */
	return is_worker(m) && m->slot < 0 && m->is_taken && (*g->name || !*g->program);
}

static bool is_connected(const struct sp_group_facts *g, const struct sp_member_facts *m)
{
	(void)g;
	return m->is_connected;
}

static bool is_shared(const struct sp_group_facts *g, const struct sp_member_facts *m)
{
	(void)g;
	return is_worker(m) && m->nprocesses > 1;
}

/* The kernel drops a UDP packet that would exceed the room, so a full queue is never quite full. */
static bool is_full(const struct sp_group_facts *g, const struct sp_member_facts *m)
{
	if (m->is_parking || !m->backlog_max)
		return false;
	if (g->protocol == SP_TCP)
		return m->backlog >= m->backlog_max;
	return m->backlog >= m->backlog_max - m->backlog_max / 8;
}

static bool is_dropping(const struct sp_group_facts *g, const struct sp_member_facts *m)
{
	(void)g;
	return m->new_drops;
}

static bool has_dropped(const struct sp_group_facts *g, const struct sp_member_facts *m)
{
	(void)g;
	return m->drops && !m->new_drops;
}

static __u64 drops_of(const struct sp_member_facts *m)
{
	return m->drops;
}

static __u64 new_drops_of(const struct sp_member_facts *m)
{
	return m->new_drops;
}

static void add_members(const struct sp_group_facts *g, struct sp_findings *f, const struct values *common,
			enum sp_finding_id id, test_member *is_so,
			__u64 (*amount)(const struct sp_member_facts *m))
{
	struct values values = *common;
	struct tally t;

	if (!tally(g, is_so, amount, &t))
		return;
	values.COUNT = t.count;
	values.WHO = t.who;
	add(f, id, &values);
}

static void add_count(struct sp_findings *f, const struct values *common, enum sp_finding_id id, __u64 count,
		      __u64 limit, const char *who)
{
	char counted[SP_RENDER_STRLEN], limited[SP_RENDER_STRLEN];
	struct values values = *common;

	snprintf(counted, sizeof(counted), "%llu", count);
	snprintf(limited, sizeof(limited), "%llu", limit);
	values.COUNT = values.VALUE = counted;
	values.LIMIT = limited;
	values.WHO = who;
	add(f, id, &values);
}

static void find_in_members(const struct sp_group_facts *g, struct sp_findings *f, const struct values *v)
{
	size_t before;

	if (g->nhidden)
		add_count(f, v, SP_FINDING_HIDDEN, g->nhidden, g->size, NULL);
	add_members(g, f, v, SP_FINDING_UNENROLLED, is_unenrolled, NULL);
	add_members(g, f, v, SP_FINDING_TAKEN, is_taken, NULL);
	if (g->noutside)
		add_count(f, v, SP_FINDING_OUTSIDE, g->noutside, 0, g->outside);
	before = f->count;
	add_members(g, f, v, SP_FINDING_CONNECTED, is_connected, NULL);
	if (g->had_connected && f->count == before)
		add(f, SP_FINDING_HAD_CONNECTED, v);
	add_members(g, f, v, SP_FINDING_SHARED, is_shared, NULL);
	if (g->size == 1)
		add(f, SP_FINDING_SINGLE, v);
	add_members(g, f, v, SP_FINDING_FULL, is_full, NULL);
	add_members(g, f, v, SP_FINDING_DROPPING, is_dropping, new_drops_of);
	add_members(g, f, v, SP_FINDING_DROPPED, has_dropped, drops_of);
}

/* --- Uneven load --- */

static bool is_judged(const struct sp_member_facts *m)
{
	return is_worker(m) && m->slot >= 0 && m->share > 0;
}

struct load {
	double total; /* of what is judged */
	double share; /* of those who are judged */
	double chi; /* Pearson's: near n - 1 when each unit came by chance and for itself */
	__u32 n;
};

static double arrived(const struct sp_member_facts *m)
{
	return m->arrived;
}

static double flows(const struct sp_member_facts *m)
{
	return m->flows;
}

static double expected(const struct load *l, const struct sp_member_facts *m)
{
	return l->total * m->share / l->share;
}

static struct load weigh(const struct sp_group_facts *g, double (*weight)(const struct sp_member_facts *m))
{
	struct load l = { 0 };

	for (size_t i = 0; i < g->nmembers; i++) {
		if (!is_judged(&g->members[i]))
			continue;
		l.n++;
		l.total += weight(&g->members[i]);
		l.share += g->members[i].share;
	}
	for (size_t i = 0; l.total > 0 && i < g->nmembers; i++) {
		const struct sp_member_facts *m = &g->members[i];
		double difference;

		if (!is_judged(m))
			continue;
		difference = weight(m) - expected(&l, m);
		l.chi += difference * difference / expected(&l, m);
	}
	return l;
}

static bool is_by_chance(const struct load *l)
{
	double freedom = l->n - 1, excess = l->chi - freedom;

	/* The statistic's variance is twice its mean. */
	return excess <= 0 || excess * excess <= CHANCE_DEVIATIONS * CHANCE_DEVIATIONS * 2 * freedom;
}

/*
 * Few flows, or some heavy ones? Where flows are counted: if the slot has as many more flows than its share as it has
 * more load, it is their number, and else their weight. A number that chance does not explain is something else again.
 */
static enum sp_finding_id reason_of(const struct sp_group_facts *g, const struct sp_member_facts *busiest,
				    double ratio)
{
	struct load l;

	if (!g->knows_flows)
		return SP_FINDING_UNEVEN;
	l = weigh(g, flows);
	if (l.total <= 0)
		return SP_FINDING_UNEVEN;
	if (flows(busiest) / expected(&l, busiest) < 1 + (ratio - 1) / 2)
		return SP_FINDING_HEAVY_FLOWS;
	return is_by_chance(&l) ? SP_FINDING_FEW_FLOWS : SP_FINDING_UNEVEN;
}

static void find_in_load(const struct sp_group_facts *g, struct sp_findings *f, const struct values *common)
{
	char slot[16], ratio_text[16], its[16], count[16], equal[16];
	const struct sp_member_facts *busiest = NULL;
	struct load l = weigh(g, arrived);
	struct values values = *common;
	double ratio = 0, nequal;

	if (l.n < 2 || l.total < UNEVEN_ARRIVALS)
		return;
	for (size_t i = 0; i < g->nmembers; i++) {
		const struct sp_member_facts *m = &g->members[i];

		if (!is_judged(m) || arrived(m) / expected(&l, m) <= ratio)
			continue;
		busiest = m;
		ratio = arrived(m) / expected(&l, m);
	}
	if (!busiest || ratio < UNEVEN_RATIO)
		return;
	snprintf(slot, sizeof(slot), "%d", busiest->slot);
	snprintf(ratio_text, sizeof(ratio_text), "%.1f", ratio);
	snprintf(its, sizeof(its), "%u", busiest->flows);
	snprintf(count, sizeof(count), "%.0f", weigh(g, flows).total);
	/* So many flows of the same weight would on average be spread as unevenly. */
	nequal = l.total * (l.n - 1) / l.chi;
	snprintf(equal, sizeof(equal), "%.0f", nequal > 1 ? nequal : 1);
	values.SLOT = slot;
	values.RATIO = ratio_text;
	values.ITS = its;
	values.COUNT = count;
	values.EQUAL = equal;
	add(f, reason_of(g, busiest, ratio), &values);
}

/* --- What is pinned --- */

/* "2", "2 3 7", as drain, undrain and retire take them */
static __u32 list_slots(const struct sp_group_facts *g, enum sp_slot_state state, char buf[128])
{
	__u32 count = 0;
	size_t len = 0;

	buf[0] = '\0';
	for (__u32 slot = 0; slot < SP_SLOTS_MAX; slot++) {
		if (g->slots[slot] != state)
			continue;
		if (count++ < SLOTS_NAMED)
			len += snprintf(buf + len, 128 - len, "%s%u", len ? " " : "", slot);
	}
	if (count > SLOTS_NAMED)
		snprintf(buf + len, 128 - len, " ...");
	return count;
}

static void find_in_slots(const struct sp_group_facts *g, struct sp_findings *f, const struct values *common)
{
	static const struct {
		enum sp_slot_state state;
		enum sp_finding_id id;
	} kinds[] = {
		{ SP_SLOT_DEAD, SP_FINDING_DEAD },
		{ SP_SLOT_EJECTED, SP_FINDING_EJECTED },
		{ SP_SLOT_DRAINING, SP_FINDING_DRAINING },
	};
	struct values values = *common;
	__u32 nlive = 0;
	char slots[128];

	for (size_t i = 0; i < SP_ARRAY_SIZE(kinds); i++) {
		__u32 count = list_slots(g, kinds[i].state, slots);

		nlive += kinds[i].state == SP_SLOT_DEAD ? 0 : count;
		values.SLOTS = slots;
		/* Without any member there is nothing to carry. */
		if (count && (g->has_group || kinds[i].state != SP_SLOT_DEAD))
			add(f, kinds[i].id, &values);
	}
	nlive += list_slots(g, SP_SLOT_LIVE, slots);
	if (!nlive && g->has_group)
		add(f, SP_FINDING_NOBODY_LIVE, common);
}

static void find_in_attachment(const struct sp_group_facts *g, struct sp_findings *f, const struct values *v)
{
	if (!g->has_group)
		add(f, SP_FINDING_GONE, v);
	else if (g->is_attached)
		return;
	else if (*g->program)
		add(f, SP_FINDING_FOREIGN, v);
	else if (g->is_other_user)
		add_count(f, v, SP_FINDING_OTHER_USER, g->uid, g->made_for_uid, NULL);
	else
		add(f, g->was_attached ? SP_FINDING_DETACHED : SP_FINDING_NEVER_ATTACHED, v);
}

static void find_in_learning(const struct sp_group_facts *g, struct sp_findings *f,
			     const struct values *common)
{
	char age[SP_RENDER_STRLEN], learn[SP_RENDER_STRLEN], count[SP_RENDER_STRLEN];
	struct values values = *common;

	values.LEARN = sp_render_duration(g->learn_ns, learn);
	values.COUNT = count;
	snprintf(count, sizeof(count), "%u", g->serial);
	/* A change publishes one view and settling it another: on average the next came before the window closed. */
	if (g->is_learning && g->attached_for_ns >= ENDLESS_WINDOWS * g->learn_ns &&
	    g->serial * g->learn_ns >= 2 * g->attached_for_ns) {
		values.AGE = sp_render_duration(g->attached_for_ns, age);
		add(f, SP_FINDING_ENDLESS, &values);
	}
	if (g->protocol == SP_UDP && g->has_group && g->unsettled_for_ns >= UNSETTLED_NS) {
		values.AGE = sp_render_duration(g->unsettled_for_ns, age);
		add(f, SP_FINDING_UNSETTLED, &values);
	}
	if (g->forgotten)
		add_count(f, common, SP_FINDING_FORGETS, g->forgotten, g->room, NULL);
}

static void find_in_steered(const struct sp_group_facts *g, struct sp_findings *f, const struct values *v)
{
	if (g->pins == SP_PINS_BROKEN) {
		add(f, SP_FINDING_BROKEN_PINS, v);
		return;
	}
	if (g->pins != SP_PINS_OURS) {
		add_count(f, v, g->pins == SP_PINS_OLD ? SP_FINDING_OLD_PINS : SP_FINDING_NEW_PINS, g->abi,
			  SP_ABI_VERSION, NULL);
		return;
	}
	find_in_attachment(g, f, v);
	find_in_slots(g, f, v);
	find_in_members(g, f, v);
	if (g->is_attached)
		find_in_load(g, f, v);
	find_in_learning(g, f, v);
}

static void find_in_unsteered(const struct sp_group_facts *g, struct sp_findings *f, const struct values *v)
{
	find_in_members(g, f, v);
	if (*g->program && g->is_our_program)
		add(f, SP_FINDING_ORPHANED, v);
	else if (*g->program)
		add(f, SP_FINDING_OTHER_PROGRAM, v);
	else
		add(f, SP_FINDING_NOT_STEERED, v);
	if (g->protocol == SP_TCP && !*g->program && g->migrate_req == 0)
		add(f, SP_FINDING_NO_MIGRATION, v);
}

void sp_findings_of_group(const struct sp_group_facts *g, struct sp_findings *f)
{
	char endpoint[SP_ENDPOINT_STRLEN + sizeof(g->netns_option) + 1], watch[SP_RENDER_STRLEN];
	const struct values common = {
		.NAME = *g->name ? g->name : NULL,
		.ENDPOINT = endpoint,
		.BPFFS = g->bpffs,
		.PROGRAM = *g->program ? g->program : NULL,
		.WATCH = sp_render_duration(g->watch_ns, watch),
	};

	snprintf(endpoint, sizeof(endpoint), "%s%s%s", g->endpoint, *g->netns_option ? " " : "",
		 g->netns_option);
	if (*g->name)
		find_in_steered(g, f, &common);
	else
		find_in_unsteered(g, f, &common);
	if (g->protocol == SP_TCP && g->migrate_failed)
		add_count(f, &common, SP_FINDING_MIGRATE_FAILED, g->migrate_failed, 0, NULL);
	sort(f);
}
