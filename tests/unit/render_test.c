// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Answers: units, alignment, what may reach a terminal, JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
#include "cleanup.h"
#include "render.h"

#define NS_PER_MS 1000000ULL
#define NS_PER_S (1000 * NS_PER_MS)

struct number {
	__u64 value;
	const char *text;
};

static void check_numbers(const struct number *cases, size_t ncases,
			  const char *(*render)(__u64 value, char *buf))
{
	char buf[SP_RENDER_STRLEN];

	for (size_t i = 0; i < ncases; i++)
		assert_string_equal(render(cases[i].value, buf), cases[i].text);
}

static void count__any_size__short_and_readable(void **state)
{
	static const struct number cases[] = {
		{ 0, "0" },
		{ 7, "7" },
		{ 999, "999" },
		{ 1000, "1,000" },
		{ 3104, "3,104" },
		{ 99999, "99,999" },
		{ 100000, "100.0 k" },
		{ 904149, "904.1 k" },
		{ 904150, "904.2 k" },
		{ 999949, "999.9 k" },
		{ 999950, "1.0 M" },
		{ 1200000, "1.2 M" },
		{ 999950000, "1.0 G" },
		{ UINT64_MAX, "18.4 E" },
	};

	(void)state;
	check_numbers(cases, SP_ARRAY_SIZE(cases), sp_render_count);
}

static void bytes__any_size__binary_units(void **state)
{
	static const struct number cases[] = {
		{ 0, "0" },
		{ 1, "1 B" },
		{ 1023, "1023 B" },
		{ 1024, "1 KiB" },
		{ 12 * 1024 + 100, "12 KiB" },
		{ 212992, "208 KiB" },
		{ 1023 * 1024, "1023 KiB" },
		{ 1024 * 1024 - 1, "1.0 MiB" },
		{ 1536 * 1024, "1.5 MiB" },
		{ 300ULL << 20, "300 MiB" },
		{ UINT64_MAX, "16.0 EiB" },
	};

	(void)state;
	check_numbers(cases, SP_ARRAY_SIZE(cases), sp_render_bytes);
}

static void duration__any_length__one_unit(void **state)
{
	static const struct number cases[] = {
		{ 0, "0 s" },
		{ 1, "0 ms" },
		{ 500 * NS_PER_MS, "500 ms" },
		{ NS_PER_S - 1, "999 ms" },
		{ NS_PER_S, "1 s" },
		{ 12 * NS_PER_S + 1, "12 s" },
		{ 119 * NS_PER_S, "119 s" },
		{ 120 * NS_PER_S, "2 min" },
		{ 3600 * NS_PER_S, "60 min" },
		{ 7200 * NS_PER_S, "2 h" },
		{ 47 * 3600 * NS_PER_S, "47 h" },
		{ 48 * 3600 * NS_PER_S, "2 d" },
		{ UINT64_MAX, "213503 d" },
	};

	(void)state;
	check_numbers(cases, SP_ARRAY_SIZE(cases), sp_render_duration);
}

static void remaining__parts_of_a_second__rounded_up(void **state)
{
	static const struct number cases[] = {
		{ 0, "0 s" },
		{ 300 * NS_PER_MS, "300 ms" },
		{ NS_PER_S, "1 s" },
		{ NS_PER_S + 1, "2 s" },
		{ 4999 * NS_PER_MS, "5 s" },
	};

	(void)state;
	check_numbers(cases, SP_ARRAY_SIZE(cases), sp_render_remaining);
}

static void percent__share__one_decimal(void **state)
{
	char buf[SP_RENDER_STRLEN];

	(void)state;
	assert_string_equal(sp_render_percent(0, buf), "0.0%");
	assert_string_equal(sp_render_percent(1.0 / 3, buf), "33.3%");
	assert_string_equal(sp_render_percent(1, buf), "100.0%");
}

static const struct sp_render_column columns[] = { { "SLOT", true }, { "OWNER", false }, { "QUEUE", true } };

static struct sp_render_table *sample(void)
{
	struct sp_render_table *table = sp_render_table_new(columns, SP_ARRAY_SIZE(columns));

	sp_render_cell(table, SP_PLAIN, "%d", 0);
	sp_render_cell(table, SP_GREEN, "%s", "h3d[4411]");
	sp_render_cell(table, SP_PLAIN, "12 KiB");
	sp_render_cell(table, SP_PLAIN, "%d", 12345);
	sp_render_cell(table, SP_RED, "-");
	sp_render_cell(table, SP_PLAIN, "0");
	return table;
}

static void table__cells_of_all_widths__columns_align(void **state)
{
	sp_autotable struct sp_render_table *table = sample();
	sp_autofree char *text = sp_render_table_text(table, false);

	(void)state;
	assert_string_equal(text, " SLOT  OWNER       QUEUE\n"
				  "    0  h3d[4411]  12 KiB\n"
				  "12345  -               0\n");
}

static void table__last_column_left__no_blanks_at_the_end(void **state)
{
	static const struct sp_render_column two[] = { { "A", false }, { "B", false } };
	sp_autotable struct sp_render_table *table = sp_render_table_new(two, SP_ARRAY_SIZE(two));
	sp_autofree char *text = NULL;

	(void)state;
	sp_render_cell(table, SP_PLAIN, "x");
	sp_render_cell(table, SP_PLAIN, "longer");
	sp_render_cell(table, SP_PLAIN, "xyz");
	sp_render_cell(table, SP_PLAIN, "y");
	text = sp_render_table_text(table, false);
	assert_string_equal(text, "A    B\nx    longer\nxyz  y\n");
}

static void table__no_rows__heading_only(void **state)
{
	sp_autotable struct sp_render_table *table = sp_render_table_new(columns, SP_ARRAY_SIZE(columns));
	sp_autofree char *text = sp_render_table_text(table, false);

	(void)state;
	assert_string_equal(text, "SLOT  OWNER  QUEUE\n");
}

/* Taking the escape sequences out of the coloured text leaves the plain one. */
static void table__colour__changes_no_width(void **state)
{
	sp_autotable struct sp_render_table *table = sample();
	sp_autofree char *plain = sp_render_table_text(table, false);
	sp_autofree char *coloured = sp_render_table_text(table, true);
	char *to = coloured;

	(void)state;
	assert_non_null(strstr(coloured, "\033[32mh3d[4411]\033[0m"));
	for (const char *from = coloured; *from; from++) {
		if (*from == '\033')
			from = strchr(from, 'm');
		else
			*to++ = *from;
	}
	*to = '\0';
	assert_string_equal(coloured, plain);
}

static void table__many_rows__all_there(void **state)
{
	sp_autotable struct sp_render_table *table = sp_render_table_new(columns, 1);
	sp_autofree char *text = NULL;
	size_t lines = 0;

	(void)state;
	for (int i = 0; i < 1000; i++)
		sp_render_cell(table, SP_PLAIN, "%d", i);
	text = sp_render_table_text(table, false);
	for (const char *c = text; *c; c++)
		lines += *c == '\n';
	assert_int_equal(lines, 1001);
}

static void table__escape_sequence_in_a_name__made_harmless(void **state)
{
	sp_autotable struct sp_render_table *table = sp_render_table_new(columns, 1);
	sp_autofree char *text = NULL;

	(void)state;
	sp_render_cell(table, SP_PLAIN, "%s", "a\033[2Jb\nc\x7f\xff");
	text = sp_render_table_text(table, false);
	assert_string_equal(text, "      SLOT\na?[2Jb?c??\n");
}

/* What is printed between the two calls. */
static int saved_stdout, caught;

static void catch_stdout(void)
{
	fflush(stdout);
	saved_stdout = dup(STDOUT_FILENO);
	caught = memfd_create("stdout", MFD_CLOEXEC);
	assert_true(saved_stdout >= 0 && caught >= 0);
	dup2(caught, STDOUT_FILENO);
}

static char *caught_stdout(void)
{
	static char text[8192];
	ssize_t len;

	fflush(stdout);
	dup2(saved_stdout, STDOUT_FILENO);
	len = pread(caught, text, sizeof(text) - 1, 0);
	close(saved_stdout);
	close(caught);
	text[len > 0 ? len : 0] = '\0';
	return text;
}

static void json__document__one_valid_text_in_the_given_order(void **state)
{
	json_t *document = json_pack("{s:s, s:I, s:[b, n], s:f}", "name", "web", "cookie",
				     (json_int_t)0x123456789abcdef, "list", 1, "share", 0.5),
	       *read;
	sp_autofree char *text = NULL;
	json_error_t error;
	int err;

	(void)state;
	catch_stdout();
	err = sp_render_json_print(document);
	text = strdup(caught_stdout());
	assert_int_equal(err, 0);
	read = json_loads(text, 0, &error);
	if (!read)
		fail_msg("%s: %s", error.text, text);
	assert_int_equal(json_integer_value(json_object_get(read, "cookie")), 0x123456789abcdef);
	assert_true(strstr(text, "name") < strstr(text, "cookie"));
	assert_int_equal(text[strlen(text) - 1], '\n');
	json_decref(read);
}

static void json__text_that_is_not_utf8__still_a_string(void **state)
{
	json_t *good = sp_render_json_text("h\xc3\xb6st"), *bad = sp_render_json_text("h\xff\033st");

	(void)state;
	assert_string_equal(json_string_value(good), "h\xc3\xb6st");
	assert_string_equal(json_string_value(bad), "h??st");
	json_decref(good);
	json_decref(bad);
}

static void json__counters__every_one_by_its_name(void **state)
{
	struct sp_counters counters = { .steered = 1, .migrated = 6, .events_lost = 15 };
	json_t *object = sp_render_json_counters(&counters);

	(void)state;
	assert_non_null(object);
	assert_int_equal(json_object_size(object), sp_render_ncounters);
	assert_int_equal(sp_render_ncounters, sizeof(counters) / sizeof(__u64));
	assert_int_equal(json_integer_value(json_object_get(object, "steered")), 1);
	assert_int_equal(json_integer_value(json_object_get(object, "migrated")), 6);
	assert_int_equal(json_integer_value(json_object_get(object, "events_lost")), 15);
	json_decref(object);
}

static void line__escape_sequence_in_a_name__made_harmless(void **state)
{
	(void)state;
	catch_stdout();
	sp_render_line("%s %d", "w\033[31m", 3);
	assert_string_equal(caught_stdout(), "w?[31m 3\n");
}

static void colour__not_a_terminal__none(void **state)
{
	bool has_colour;

	(void)state;
	catch_stdout();
	has_colour = sp_render_has_colour();
	caught_stdout();
	assert_false(has_colour);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(count__any_size__short_and_readable),
		cmocka_unit_test(bytes__any_size__binary_units),
		cmocka_unit_test(duration__any_length__one_unit),
		cmocka_unit_test(remaining__parts_of_a_second__rounded_up),
		cmocka_unit_test(percent__share__one_decimal),
		cmocka_unit_test(table__cells_of_all_widths__columns_align),
		cmocka_unit_test(table__last_column_left__no_blanks_at_the_end),
		cmocka_unit_test(table__no_rows__heading_only),
		cmocka_unit_test(table__colour__changes_no_width),
		cmocka_unit_test(table__many_rows__all_there),
		cmocka_unit_test(table__escape_sequence_in_a_name__made_harmless),
		cmocka_unit_test(json__document__one_valid_text_in_the_given_order),
		cmocka_unit_test(json__text_that_is_not_utf8__still_a_string),
		cmocka_unit_test(json__counters__every_one_by_its_name),
		cmocka_unit_test(line__escape_sequence_in_a_name__made_harmless),
		cmocka_unit_test(colour__not_a_terminal__none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
