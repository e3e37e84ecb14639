// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* XML as strict readers want it. */
#include "xml.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define DEPTH_MAX 16
#define ATTRIBUTES_MAX 16

struct name {
	const char *text;
	size_t len;
};

static bool is_name_sign(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == ':';
}

static struct name take_name(const char **at)
{
	struct name name = { .text = *at };

	while (is_name_sign(**at))
		(*at)++;
	name.len = *at - name.text;
	if (!name.len)
		fail_msg("no name: %.40s", name.text);
	return name;
}

static bool is_same(const struct name *a, const struct name *b)
{
	return a->len == b->len && !memcmp(a->text, b->text, a->len);
}

/* A character of text or of a value. */
static void take_sign(const char **at)
{
	static const char *const entities[] = { "&amp;", "&lt;", "&gt;", "&quot;" };

	if (**at != '&') {
		if ((**at < ' ' && **at != '\n') || **at > '~')
			fail_msg("no sign that may be here: %.40s", *at);
		(*at)++;
		return;
	}
	for (size_t i = 0; i < sizeof(entities) / sizeof(*entities); i++) {
		if (!strncmp(*at, entities[i], strlen(entities[i]))) {
			*at += strlen(entities[i]);
			return;
		}
	}
	fail_msg("a bare &: %.40s", *at);
}

/* Behind the name of a tag. True: it has no content. */
static bool take_attributes(const char **at)
{
	struct name seen[ATTRIBUTES_MAX];
	size_t nseen = 0;

	while (**at == ' ') {
		(*at)++;
		assert_true(nseen < ATTRIBUTES_MAX);
		seen[nseen] = take_name(at);
		for (size_t i = 0; i < nseen; i++) {
			if (is_same(&seen[i], &seen[nseen]))
				fail_msg("twice: %.40s", seen[i].text);
		}
		nseen++;
		if (strncmp(*at, "=\"", 2))
			fail_msg("no value: %.40s", *at);
		for (*at += 2; **at != '"';) {
			if (**at == '<' || !**at)
				fail_msg("a value without an end: %.40s", *at);
			take_sign(at);
		}
		(*at)++;
	}
	if (!strncmp(*at, "/>", 2)) {
		*at += 2;
		return true;
	}
	if (**at != '>')
		fail_msg("a tag without an end: %.40s", *at);
	(*at)++;
	return false;
}

void sp_xml_require(const char *text)
{
	struct name open[DEPTH_MAX];
	size_t depth = 0, roots = 0;

	for (const char *at = text; *at;) {
		struct name name;

		if (*at != '<') {
			if (!depth && *at != '\n')
				fail_msg("text outside of everything: %.40s", at);
			take_sign(&at);
			continue;
		}
		at++;
		if (*at == '/') {
			at++;
			name = take_name(&at);
			if (!depth || !is_same(&open[--depth], &name) || *at != '>')
				fail_msg("closes what is not open: %.40s", name.text);
			at++;
			continue;
		}
		name = take_name(&at);
		roots += !depth;
		if (take_attributes(&at))
			continue;
		assert_true(depth < DEPTH_MAX);
		open[depth++] = name;
	}
	if (depth)
		fail_msg("never closed: %.40s", open[depth - 1].text);
	assert_int_equal(roots, 1);
}
