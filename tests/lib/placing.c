// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Where the TCP groups of a test place new connections: $TEST_BALANCE. */
#include "placing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "value.h"

enum sp_balance sp_placing_ask(void)
{
	const char *asked = getenv("TEST_BALANCE");
	enum sp_balance balance = SP_BALANCE_HASH;

	if (asked && sp_value_balance(asked, &balance))
		fail_msg("TEST_BALANCE=%s is none", asked);
	return balance;
}

__u32 sp_placing_queue(__u32 by_hash)
{
	return sp_placing_ask() == SP_BALANCE_HASH ? by_hash : 1;
}

const char *const *sp_placing_words(const char *const *words, const char *room[SP_PLACING_WORDS_MAX + 1])
{
	enum sp_balance balance = sp_placing_ask();
	size_t n = 0;

	while (words[n] && strcmp(words[n], "--balance"))
		n++;
	if (balance == SP_BALANCE_HASH || words[n] || n < 4 || strcmp(words[0], "steadyport") ||
	    strcmp(words[1], "attach") || strncmp(words[3], "tcp:", 4))
		return words;
	assert_true(n + 2 <= SP_PLACING_WORDS_MAX);
	memcpy(room, words, n * sizeof(*words));
	room[n++] = "--balance";
	room[n++] = sp_value_balance_name(balance);
	room[n] = NULL;
	return room;
}

/* The rest of a section has a setting of its own. */
static bool is_placed(const char *rest)
{
	const char *setting = strstr(rest, "\nbalance"), *section = strstr(rest, "\n[");

	return setting && (!section || setting < section);
}

void sp_placing_config(const char *text, FILE *file)
{
	static const char tcp[] = "endpoint = tcp:";
	enum sp_balance balance = sp_placing_ask();

	if (balance == SP_BALANCE_HASH)
		fputs(text, file);
	while (balance != SP_BALANCE_HASH && *text) {
		size_t len = strcspn(text, "\n");

		fprintf(file, "%.*s\n", (int)len, text);
		if (!strncmp(text, tcp, strlen(tcp)) && !is_placed(text))
			fprintf(file, "balance = %s\n", sp_value_balance_name(balance));
		text += len + (text[len] != '\0');
	}
}
