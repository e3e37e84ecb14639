// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Reading unit files. */
#include "unit_file.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void add(struct sp_unit *unit, const char *line)
{
	const char *equals = strchr(line, '=');
	int key_len = equals ? (int)(equals - line) : 0;

	assert_true(key_len > 0);
	assert_true(unit->count < SP_UNIT_LINES_MAX);
	assert_true((size_t)key_len < sizeof(unit->lines->key));
	assert_true(strlen(equals) < sizeof(unit->lines->value));
	sprintf(unit->lines[unit->count].key, "%.*s", key_len, line);
	strcpy(unit->lines[unit->count].value, equals + 1);
	unit->count++;
}

void sp_unit_read(struct sp_unit *unit, const char *name)
{
	bool is_service = false;
	char path[PATH_MAX], *line = NULL;
	size_t size = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", SP_PACKAGING, name);
	file = fopen(path, "r");
	if (!file)
		fail_msg("cannot open %s", path);
	while (getline(&line, &size, file) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '[')
			is_service = !strcmp(line, "[Service]");
		else if (is_service && line[0] && line[0] != '#')
			add(unit, line);
	}
	free(line);
	fclose(file);
}

bool sp_unit_says(const struct sp_unit *unit, const char *key, const char *value)
{
	bool is_so = false;

	for (size_t i = 0; i < unit->count; i++)
		if (!strcmp(unit->lines[i].key, key))
			is_so = !strcmp(unit->lines[i].value, value);
	return is_so;
}

void sp_unit_each_word(const struct sp_unit *unit, const char *key, void (*each)(void *ctx, const char *word),
		       void *ctx)
{
	for (size_t i = 0; i < unit->count; i++) {
		char words[sizeof(unit->lines->value)], *rest = words, *word;

		if (strcmp(unit->lines[i].key, key))
			continue;
		strcpy(words, unit->lines[i].value);
		while ((word = strsep(&rest, " ")))
			if (*word)
				each(ctx, word);
	}
}
