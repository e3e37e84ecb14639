// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Names of steered groups: they become directories of bpffs and words of a command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "cleanup.h"
#include "pin.h"

#define SIXTY "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567"

static void name__letters_digits_underscores_dashes__valid(void **state)
{
	static const char *const names[] = {
		"a", "7", "_", "web", "h3", "Web-2_b", "a-", "a--b", SIXTY "89-"
	};

	(void)state;
	assert_int_equal(strlen(SIXTY "89-"), SP_NAME_MAX);
	for (size_t i = 0; i < SP_ARRAY_SIZE(names); i++)
		if (!sp_name_is_valid(names[i]))
			fail_msg("refused: %s", names[i]);
}

static void name__anything_else__not_valid(void **state)
{
	static const struct {
		const char *what, *names[8]; /* NULL ends them */
	} cases[] = {
		{ "the root itself", { "" } },
		{ "64 characters", { SIXTY "89-_" } },
		{ "an option", { "-", "-a", "--json" } },
		{ "bpffs refuses dots", { ".", "..", "a.b", ".a", "a." } },
		{ "a staging name", { "~a", "a~" } },
		{ "another directory", { "/", "a/b", "a/", "../a" } },
		{ "white space", { " ", "a b", " a", "a ", "a\n", "a\t" } },
		{ "what a terminal or a shell acts on", { "\033[2J", "a\x7f", "a*", "a\\b", "a'b", "a\"b" } },
		{ "other signs", { "a:b", "a=b", "a,b", "a@b", "a%s" } },
		{ "beyond ASCII, in any locale", { "\xc3\xa9", "a\xff", "\x80" } },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(cases); i++)
		for (const char *const *name = cases[i].names; *name; name++)
			if (sp_name_is_valid(*name))
				fail_msg("accepted: %s (%s)", *name, cases[i].what);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(name__letters_digits_underscores_dashes__valid),
		cmocka_unit_test(name__anything_else__not_valid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
