// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The configuration file: any bytes are read, or refused with a line that is there; what was read and is written again
 * reads the same.
 */
#include <stdarg.h>
#include "config.h"
#include "fuzz.h"
#include "value.h"

#define LINE_MAX_LEN 190 /* inih's own limit is 198 */

struct problems {
	unsigned int count, lines, last;
	uint64_t sum; /* of all that was said, and where */
};

static void note(void *ctx, unsigned int line, const char *text)
{
	struct problems *p = ctx;

	sp_must(line > 0 && line <= p->lines, "line %u of a file with %u lines: %s", line, p->lines, text);
	/* The value may be quoted, and a line of the file holds no newline. */
	sp_must_be_sentence(text);
	p->count++;
	p->last = line;
	p->sum = p->sum * 31 + line;
	for (; *text; text++)
		p->sum = p->sum * 31 + (unsigned char)*text;
}

static int parse(const char *text, size_t len, struct problems *p, struct sp_config **ret)
{
	*p = (struct problems){ .lines = 1 };
	for (size_t i = 0; i < len; i++)
		p->lines += text[i] == '\n';
	return sp_config_parse(text, len, note, p, ret);
}

/* --- writing it again --- */

struct writer {
	char *text;
	size_t len, size, line;
	int is_too_long; /* a line that the file cannot hold */
};

__attribute__((format(printf, 2, 3))) static void put(struct writer *w, const char *fmt, ...)
{
	char piece[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(piece, sizeof(piece), fmt, ap);
	va_end(ap);
	sp_must(n >= 0 && n < (int)sizeof(piece), "a value of %d characters", n);
	if (w->len + n + 1 > w->size) {
		w->size = 2 * (w->len + n + 1);
		w->text = realloc(w->text, w->size);
		sp_must(w->text, "no memory");
	}
	memcpy(w->text + w->len, piece, n + 1);
	w->len += n;
	w->line += n;
	if (n && piece[n - 1] == '\n') {
		w->is_too_long |= w->line > LINE_MAX_LEN;
		w->line = 0;
	}
}

static void put_weights(struct writer *w, const __u16 *weight)
{
	int is_first = 1;

	for (__u32 s = 0, end; s < SP_SLOTS_MAX; s = end) {
		for (end = s + 1; end < SP_SLOTS_MAX && weight[end] == weight[s]; end++)
			;
		if (weight[s] == SP_CONFIG_NO_WEIGHT)
			continue;
		put(w, "%s%u-%u=%u", is_first ? "weights = " : " ", s, end - 1, weight[s]);
		is_first = 0;
	}
	if (!is_first)
		put(w, "\n");
}

static void put_group(struct writer *w, const struct sp_config_group *g)
{
	put(w, "[group %s]\nendpoint = %s\n", g->name, g->endpoint_text);
	if (g->netns[0])
		put(w, "netns = %s\n", g->netns);
	put(w, "track = %s\nhash = %s\n", sp_value_track_name(g->track), sp_value_hash_name(g->hash));
	put(w, "balance = %s\n", sp_value_balance_name(g->balance));
	put(w, "learn = %llums\nflow-idle = %llus\n", g->learn_ns / SP_NS_PER_MS,
	    g->flow_idle_ns / SP_NS_PER_S);
	if (g->park_ns)
		put(w, "park = %llums\n", g->park_ns / SP_NS_PER_MS);
	put(w, "flows = %u\non-foreign = %s\n", g->flows,
	    g->on_foreign == SP_ON_FOREIGN_RETAKE ? "retake" : "report");
	if (g->slots)
		put(w, "slots = %u\n", g->slots);
	put_weights(w, g->weight);
}

static void check_read_back(const struct sp_config *config)
{
	struct sp_config *back = NULL;
	struct writer w = { 0 };
	struct problems p;

	put(&w, "[daemon]\non-exit = %s\n", config->on_exit == SP_ON_EXIT_DETACH ? "detach" : "keep");
	for (size_t i = 0; i < config->ngroups; i++)
		put_group(&w, &config->groups[i]);
	if (!w.is_too_long) {
		sp_must(!parse(w.text, w.len, &p, &back), "this is refused in line %u:\n%s", p.last, w.text);
		sp_must(back->ngroups == config->ngroups && back->on_exit == config->on_exit,
			"this says something else:\n%s", w.text);
		for (size_t i = 0; i < config->ngroups; i++)
			sp_must(sp_config_group_is_same(&config->groups[i], &back->groups[i]),
				"[group %s] is another one:\n%s", config->groups[i].name, w.text);
	}
	sp_config_free(&back);
	free(w.text);
}

static void check_group(const struct sp_config *config, size_t i, unsigned int lines)
{
	const struct sp_config_group *g = &config->groups[i];

	sp_must(sp_name_is_valid(g->name), "a group is called \"%s\"", g->name);
	sp_must(g->has_endpoint && g->endpoint.port, "[group %s] was taken without an endpoint", g->name);
	sp_must(g->line > 0 && g->line <= lines, "[group %s] is in line %u of %u", g->name, g->line, lines);
	sp_must(!i || g->line > g[-1].line, "[group %s] is out of order", g->name);
	sp_must(sp_config_find(config, g->name) == g, "[group %s] is not found", g->name);
	sp_must(!g->park_ns || g->endpoint.protocol == SP_TCP, "[group %s] parks in UDP", g->name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = sp_fuzz_bytes(data, size);
	struct sp_config *config = NULL, *again = NULL;
	struct problems first, second;
	int err = parse(text, size, &first, &config);

	sp_must(parse(text, size, &second, &again) == err && first.count == second.count &&
			first.sum == second.sum,
		"the same file, another answer");
	if (err) {
		sp_must(err == -22 && first.count && !config, "%d with %u problems", err, first.count);
	} else {
		sp_must(!first.count, "taken in spite of %u problems", first.count);
		for (size_t i = 0; i < config->ngroups; i++)
			check_group(config, i, first.lines);
		check_read_back(config);
	}
	sp_config_free(&config);
	sp_config_free(&again);
	free(text);
	return 0;
}
