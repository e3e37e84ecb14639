// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The configuration of `steadyport run`, on inih. How inih was built decides how long a line may be (Debian's: 198
 * characters, the rest is taken for a line of its own), whether an indented line continues the one before (Debian's:
 * yes), and it cuts section names at 49 characters. So the lines reach it through a reader of ours, which knows where
 * they are, refuses those that do not fit, takes away the indentation, and keeps the sections for itself.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "change.h"
#include "cleanup.h"
#include "value.h"

#define PROBLEM_LEN 512

enum section {
	NO_SECTION, /* nothing yet */
	BAD_SECTION, /* refused: what is in it is not looked at */
	DAEMON_SECTION,
	GROUP_SECTION,
};

struct parser {
	const char *next, *end;
	unsigned int line;
	bool is_waiting; /* the line was handed to inih, which must call back with it */
	enum section section;
	unsigned int daemon_line; /* of [daemon]; 0: there was none */
	__u32 seen; /* keys of this section, a bit each */
	struct sp_config *config;
	char why[SP_CHANGE_WHY_LEN];
	void (*problem)(void *ctx, unsigned int line, const char *text);
	void *ctx;
	bool has_problem;
	int err;
};

__attribute__((format(printf, 3, 4))) static void complain(struct parser *p, unsigned int line,
							   const char *fmt, ...)
{
	char text[PROBLEM_LEN];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	p->problem(p->ctx, line, text);
	p->has_problem = true;
}

static struct sp_config_group *current_group(struct parser *p)
{
	return &p->config->groups[p->config->ngroups - 1];
}

/* --- keys --- */

static const char *take_on_exit(struct parser *p, const char *value)
{
	static const char *const words[] = { [SP_ON_EXIT_KEEP] = "keep", [SP_ON_EXIT_DETACH] = "detach" };
	int word = sp_value_word(value, words, SP_ARRAY_SIZE(words));

	if (word < 0)
		return "it is one of keep, detach";
	p->config->on_exit = word;
	return NULL;
}

static const char *take_metrics(struct parser *p, const char *value)
{
	struct sp_config_metrics metrics = { .len = 0 };
	struct sp_address address;
	const char *why;
	__u16 port;

	if (strcmp(value, "off")) {
		if (sp_address_port_parse(value, &address, &port, &why))
			return "it is off, or ADDRESS:PORT, as in " SP_CONFIG_METRICS_DEFAULT
			       " or [::1]:9464";
		metrics.len = sp_address_to_sockaddr(&address, port, &metrics.address);
	}
	snprintf(metrics.text, sizeof(metrics.text), "%s", value);
	p->config->metrics = metrics;
	return NULL;
}

static const char *take_endpoint(struct parser *p, const char *value)
{
	struct sp_config_group *group = current_group(p);
	const char *why = NULL;

	group->has_endpoint = true;
	snprintf(group->endpoint_text, sizeof(group->endpoint_text), "%s", value);
	sp_endpoint_parse(value, &group->endpoint, &why);
	return why;
}

static const char *take_netns(struct parser *p, const char *value)
{
	if (value[0] != '/')
		return "it is a path such as /run/netns/NAME; a process does not live as long as this file";
	snprintf(current_group(p)->netns, sizeof(current_group(p)->netns), "%s", value);
	return NULL;
}

static const char *take_track(struct parser *p, const char *value)
{
	return sp_value_track(value, &current_group(p)->track);
}

static const char *take_learn(struct parser *p, const char *value)
{
	return sp_value_duration(value, &current_group(p)->learn_ns);
}

static const char *take_flow_idle(struct parser *p, const char *value)
{
	return sp_value_flow_idle(value, &current_group(p)->flow_idle_ns);
}

static const char *take_hash(struct parser *p, const char *value)
{
	return sp_value_hash(value, &current_group(p)->hash);
}

static const char *take_balance(struct parser *p, const char *value)
{
	return sp_value_balance(value, &current_group(p)->balance);
}

static const char *take_flows(struct parser *p, const char *value)
{
	return sp_value_flows(value, &current_group(p)->flows);
}

static const char *take_slots(struct parser *p, const char *value)
{
	return sp_value_slots(value, &current_group(p)->slots);
}

static const char *take_park(struct parser *p, const char *value)
{
	__u64 ns = 0;

	if (strcmp(value, "off") && (sp_value_duration(value, &ns) || !ns))
		return "it is off, or how long connections may wait for a worker, as in 30s, up to 24h";
	current_group(p)->park_ns = ns;
	return NULL;
}

static const char *take_on_foreign(struct parser *p, const char *value)
{
	static const char *const words[] = {
		[SP_ON_FOREIGN_REPORT] = "report", [SP_ON_FOREIGN_RETAKE] = "retake"
	};
	int word = sp_value_word(value, words, SP_ARRAY_SIZE(words));

	if (word < 0)
		return "it is one of report, retake";
	current_group(p)->on_foreign = word;
	return NULL;
}

static const char *take_weights(struct parser *p, const char *value)
{
	sp_autofree struct sp_change *change = calloc(1, sizeof(*change));
	const char *words[SP_CONFIG_TEXT_MAX / 2];
	char copy[SP_CONFIG_TEXT_MAX];
	int nwords = 0;

	if (!change) {
		p->err = -ENOMEM;
		return NULL;
	}
	snprintf(copy, sizeof(copy), "%s", value);
	for (char *word = strtok(copy, " \t"); word; word = strtok(NULL, " \t"))
		words[nwords++] = word;
	if (nwords == 0)
		return "it is a list of SLOT=WEIGHT, as in 3=50 4-7=10";
	if (sp_change_parse(SP_CHANGE_WEIGHT, words, nwords, change, p->why))
		return p->why;
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++)
		if (change->is_asked[s])
			current_group(p)->weight[s] = change->weight[s];
	return NULL;
}

struct key {
	const char *name;
	/* Returns NULL, or what is allowed. */
	const char *(*take)(struct parser *p, const char *value);
};

static const struct key daemon_keys[] = {
	{ "on-exit", take_on_exit },
	{ "metrics", take_metrics },
};

static const struct key group_keys[] = {
	{ "endpoint", take_endpoint },	   { "netns", take_netns },	    { "track", take_track },
	{ "learn", take_learn },	   { "flow-idle", take_flow_idle }, { "hash", take_hash },
	{ "flows", take_flows },	   { "slots", take_slots },	    { "park", take_park },
	{ "on-foreign", take_on_foreign }, { "weights", take_weights },	    { "balance", take_balance },
};

static void refuse_key(struct parser *p, const char *name, const struct key *keys, size_t nkeys)
{
	char list[PROBLEM_LEN / 2] = "";
	size_t len = 0;

	for (size_t i = 0; i < nkeys && len < sizeof(list); i++)
		len += snprintf(list + len, sizeof(list) - len, "%s%s", i ? ", " : "", keys[i].name);
	complain(p, p->line, "%s has no key %s: keys are %s",
		 p->section == DAEMON_SECTION ? "[daemon]" : "a group", name, list);
}

static int take_key(struct parser *p, const char *name, const char *value, const struct key *keys,
		    size_t nkeys)
{
	const char *why;

	for (size_t i = 0; i < nkeys; i++) {
		if (strcmp(name, keys[i].name))
			continue;
		if (p->seen & 1u << i) {
			complain(p, p->line, "%s is given twice in this section", name);
			return 1;
		}
		p->seen |= 1u << i;
		why = keys[i].take(p, value);
		if (why)
			complain(p, p->line, "%s = %s: %s", name, value, why);
		return 1;
	}
	refuse_key(p, name, keys, nkeys);
	return 1;
}

/* inih's callback. The section that it thinks of is always empty. Returning 0 would be an error to it. */
static int take_line(void *ctx, const char *section, const char *name, const char *value)
{
	struct parser *p = ctx;

	(void)section;
	p->is_waiting = false;
	switch (p->section) {
	case NO_SECTION:
		complain(p, p->line, "%s stands before the first section: [daemon] or [group NAME]", name);
		return 1;
	case DAEMON_SECTION:
		return take_key(p, name, value, daemon_keys, SP_ARRAY_SIZE(daemon_keys));
	case GROUP_SECTION:
		return take_key(p, name, value, group_keys, SP_ARRAY_SIZE(group_keys));
	default:
		return 1;
	}
}

/* --- sections --- */

static void begin_daemon(struct parser *p)
{
	if (p->daemon_line) {
		complain(p, p->line, "[daemon] is given twice: first in line %u", p->daemon_line);
		return;
	}
	p->daemon_line = p->line;
	p->section = DAEMON_SECTION;
}

static void begin_group(struct parser *p, const char *name)
{
	const struct sp_config_group *same;
	struct sp_config_group *groups, *group;

	if (!sp_name_is_valid(name)) {
		complain(p, p->line,
			 "%s cannot be a group's name: write [group NAME] with letters, digits, '_' and '-', "
			 "at most %d",
			 *name ? name : "nothing", SP_NAME_MAX);
		return;
	}
	same = sp_config_find(p->config, name);
	if (same) {
		complain(p, p->line, "[group %s] is given twice: first in line %u", name, same->line);
		return;
	}
	groups = reallocarray(p->config->groups, p->config->ngroups + 1, sizeof(*groups));
	if (!groups) {
		p->err = -ENOMEM;
		return;
	}
	p->config->groups = groups;
	group = &groups[p->config->ngroups++];
	*group = (struct sp_config_group){
		.line = p->line,
		.learn_ns = SP_LEARN_DEFAULT_NS,
		.flow_idle_ns = SP_FLOW_IDLE_DEFAULT_NS,
		.flows = SP_FLOWS_DEFAULT,
		.track = SP_TRACK_TRANSITION,
		.hash = SP_HASH_SIPHASH,
	};
	strcpy(group->name, name); /* a valid name fits */
	memset(group->weight, 0xff, sizeof(group->weight));
	p->section = GROUP_SECTION;
}

/* @text: a trimmed line that starts with '[' */
static void begin_section(struct parser *p, const char *text, size_t len)
{
	const char *end = memchr(text, ']', len), *after;
	char heading[SP_CONFIG_TEXT_MAX];

	p->section = BAD_SECTION;
	p->seen = 0;
	after = end ? end + 1 : NULL;
	while (after && after < text + len && isblank((unsigned char)*after))
		after++;
	if (!end || (after < text + len && *after != ';' && *after != '#')) {
		complain(p, p->line, "a section is [daemon] or [group NAME], with nothing after the bracket");
		return;
	}
	snprintf(heading, sizeof(heading), "%.*s", (int)(end - text - 1), text + 1);
	if (!strcmp(heading, "daemon"))
		begin_daemon(p);
	else if (!strncmp(heading, "group", 5) && (!heading[5] || isblank((unsigned char)heading[5])))
		begin_group(p, heading + 5 + strspn(heading + 5, " \t"));
	else
		complain(p, p->line, "there is no section [%s]: sections are [daemon] and [group NAME]",
			 heading);
}

/* --- lines --- */

/* inih's reader: fills buf with the next line that it shall see; NULL at the end. */
static char *read_line(char *buf, int size, void *ctx)
{
	struct parser *p = ctx;
	const char *start = p->next, *end;
	size_t len;

	if (p->is_waiting)
		complain(p, p->line, "this is neither [SECTION] nor NAME = VALUE");
	p->is_waiting = false;
	if (start >= p->end || p->err)
		return NULL;
	end = memchr(start, '\n', p->end - start) ?: p->end;
	p->next = end + 1;
	p->line++;

	while (start < end && isspace((unsigned char)*start))
		start++;
	while (start < end && isspace((unsigned char)end[-1]))
		end--;
	len = end - start;
	buf[0] = '\0';
	if (len == 0 || *start == ';' || *start == '#')
		return buf;
	if (memchr(start, '\0', len)) {
		complain(p, p->line, "there is a NUL byte in this line");
	} else if (len >= (size_t)size || len >= SP_CONFIG_TEXT_MAX) {
		complain(p, p->line, "this line has %zu characters; it may have %d at most", len,
			 size < SP_CONFIG_TEXT_MAX ? size - 1 : SP_CONFIG_TEXT_MAX - 1);
	} else if (*start == '[') {
		begin_section(p, start, len);
	} else {
		memcpy(buf, start, len);
		buf[len] = '\0';
		p->is_waiting = true;
	}
	return buf;
}

/* --- the whole --- */

/* An endpoint without an address asks for any group on its port. */
static bool is_same_endpoint(const struct sp_config_group *a, const struct sp_config_group *b)
{
	const struct sp_endpoint *x = &a->endpoint, *y = &b->endpoint;

	return x->protocol == y->protocol && x->port == y->port && !strcmp(a->netns, b->netns) &&
	       (!x->has_address || !y->has_address ||
		(!memcmp(&x->address, &y->address, sizeof(x->address)) && !strcmp(x->device, y->device)));
}

static void check_groups(struct parser *p)
{
	for (size_t i = 0; i < p->config->ngroups; i++) {
		const struct sp_config_group *g = &p->config->groups[i];

		if (!g->has_endpoint)
			complain(p, g->line,
				 "[group %s] has no endpoint: add endpoint = tcp:ADDRESS:PORT or "
				 "udp:ADDRESS:PORT",
				 g->name);
		if (g->endpoint.port && g->endpoint.protocol == SP_UDP && g->park_ns)
			complain(p, g->line,
				 "[group %s] cannot park: there are no connections in UDP; leave park out",
				 g->name);
		if (g->endpoint.port && g->endpoint.protocol == SP_UDP && g->balance != SP_BALANCE_HASH)
			complain(
				p, g->line,
				"[group %s] cannot have balance = %s: UDP flows stay where the hash puts them",
				g->name, sp_value_balance_name(g->balance));
		for (size_t j = 0; j < i && g->endpoint.port; j++) {
			const struct sp_config_group *before = &p->config->groups[j];

			if (!is_same_endpoint(before, g))
				continue;
			complain(p, g->line, "[group %s] asks for the endpoint of [group %s] in line %u",
				 g->name, before->name, before->line);
			break;
		}
	}
}

int sp_config_parse(const char *text, size_t len,
		    void (*problem)(void *ctx, unsigned int line, const char *text), void *ctx,
		    struct sp_config **ret)
{
	static const char bom[] = { '\xef', '\xbb', '\xbf' };
	sp_autoconfig struct sp_config *config = calloc(1, sizeof(*config));
	struct parser p = {
		.next = text, .end = text + len, .config = config, .problem = problem, .ctx = ctx
	};

	if (!config)
		return -ENOMEM;
	if (len >= sizeof(bom) && !memcmp(text, bom, sizeof(bom)))
		p.next += sizeof(bom);
	take_metrics(&p, SP_CONFIG_METRICS_DEFAULT);
	ini_parse_stream(read_line, &p, take_line, &p);
	if (!p.err)
		check_groups(&p);
	if (p.err || p.has_problem)
		return p.err ?: -EINVAL;
	*ret = sp_take_ptr(config);
	return 0;
}

bool sp_config_group_is_same(const struct sp_config_group *a, const struct sp_config_group *b)
{
	return !strcmp(a->name, b->name) && !strcmp(a->endpoint_text, b->endpoint_text) &&
	       !strcmp(a->netns, b->netns) && a->learn_ns == b->learn_ns &&
	       a->flow_idle_ns == b->flow_idle_ns && a->park_ns == b->park_ns && a->flows == b->flows &&
	       a->slots == b->slots && a->track == b->track && a->hash == b->hash &&
	       a->balance == b->balance && a->on_foreign == b->on_foreign &&
	       !memcmp(a->weight, b->weight, sizeof(a->weight));
}

const struct sp_config_group *sp_config_find(const struct sp_config *config, const char *name)
{
	for (size_t i = 0; i < config->ngroups; i++) {
		if (!strcmp(config->groups[i].name, name))
			return &config->groups[i];
	}
	return NULL;
}

void sp_config_free(struct sp_config **config)
{
	if (!*config)
		return;
	free((*config)->groups);
	free(*config);
	*config = NULL;
}
