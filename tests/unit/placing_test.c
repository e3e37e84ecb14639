// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The tests' own $TEST_BALANCE: without effect it would make them pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "placing.h"

static void ask(const char *balance)
{
	if (balance)
		setenv("TEST_BALANCE", balance, 1);
	else
		unsetenv("TEST_BALANCE");
}

/* @more: what is behind the words then */
static void expect_words(const char *const *words, const char *const *more)
{
	const char *room[SP_PLACING_WORDS_MAX + 1];
	const char *const *placed = sp_placing_words(words, room);

	while (*words)
		assert_string_equal(*placed++, *words++);
	while (*more)
		assert_string_equal(*placed++, *more++);
	assert_null(*placed);
}

static void expect_config(const char *text, const char *expected)
{
	char *placed = NULL;
	size_t len;
	FILE *file = open_memstream(&placed, &len);

	assert_non_null(file);
	sp_placing_config(text, file);
	fclose(file);
	assert_string_equal(placed, expected);
	free(placed);
}

#define WORDS(...) ((const char *const[]){ "steadyport", __VA_ARGS__, NULL })
#define NOTHING ((const char *const[]){ NULL })

#define FILE_OF(web)                                                                          \
	"[daemon]\n[group web]\nendpoint = tcp:127.0.0.1:80\n" web "park = 1s\n[group dns]\n" \
	"endpoint = udp:53\n[group last]\nendpoint = tcp:[::1]:81\nbalance = least-conn\n"

static void placing__not_asked__all_is_as_it_was(void **state)
{
	(void)state;
	ask(NULL);
	assert_int_equal(sp_placing_ask(), SP_BALANCE_HASH);
	assert_int_equal(sp_placing_queue(7), 7);
	expect_words(WORDS("attach", "web", "tcp:80"), NOTHING);
	expect_config(FILE_OF(""), FILE_OF(""));
	expect_config("endpoint = tcp:80", "endpoint = tcp:80");
}

static void placing__asked__tcp_groups_without_a_balance_have_it(void **state)
{
	const char *const *more = (const char *const[]){ "--balance", "least-queue", NULL };

	(void)state;
	ask("least-queue");
	assert_int_equal(sp_placing_ask(), SP_BALANCE_LEAST_QUEUE);
	assert_int_equal(sp_placing_queue(7), 1);
	expect_words(WORDS("attach", "web", "tcp:80"), more);
	expect_words(WORDS("attach", "web", "tcp:80", "--learn", "0"), more);
	expect_words(WORDS("attach", "web", "tcp:80", "--balance", "hash"), NOTHING);
	expect_words(WORDS("attach", "dns", "udp:53"), NOTHING);
	expect_words(WORDS("attach", "web"), NOTHING);
	expect_words(WORDS("status"), NOTHING);
	expect_config(FILE_OF(""), FILE_OF("balance = least-queue\n"));
	expect_config("endpoint = tcp:80", "endpoint = tcp:80\nbalance = least-queue\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(placing__not_asked__all_is_as_it_was),
		cmocka_unit_test(placing__asked__tcp_groups_without_a_balance_have_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
