// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* steadyport demo: what it measures holds, it says so in every form, and nothing of it is left. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cleanup.h"
#include "render.h"
#include "run.h"
#include "xml.h"

static char folder[] = "/tmp/demo_test.XXXXXX", picture[64];

static json_int_t number(const json_t *document, const char *protocol, const char *who, const char *what)
{
	const json_t *side = json_object_get(json_object_get(document, protocol), who);

	assert_true(json_is_integer(json_object_get(side, what)));
	return json_integer_value(json_object_get(side, what));
}

static void check_nothing_is_left(void)
{
	json_t *groups = sp_run_json("list");

	assert_true(json_is_array(groups));
	assert_int_equal(json_array_size(groups), 0);
	json_decref(groups);
}

static void e2e__demo__flows_move_without_steadyport_and_stay_with_it(void **state)
{
	json_t *document = sp_run_json("demo", "--flows", "400");

	(void)state;
	assert_true(json_is_true(json_object_get(document, "holds")));
	assert_true(number(document, "udp", "kernel", "moved") > 0);
	assert_int_equal(number(document, "udp", "steadyport", "moved"), 0);
	assert_int_equal(number(document, "udp", "steadyport", "moved_by_attach"), 0);
	assert_true(number(document, "tcp", "kernel", "reset") > 0);
	assert_int_equal(number(document, "tcp", "steadyport", "reset"), 0);
	json_decref(document);
	check_nothing_is_left();
}

static void e2e__demo_tour__tells_the_story_then_measures(void **state)
{
	const struct sp_run *run = sp_run("demo", "--tour", "--flows", "400");

	(void)state;
	assert_non_null(strstr(run->out, "EADDRINUSE"));
	assert_non_null(strstr(run->out, "6. The same under steadyport"));
	assert_non_null(strstr(run->out, "exit status 0"));
	check_nothing_is_left();
}

/* A file's text; to free(). */
static char *text_of(const char *path)
{
	sp_autofile FILE *file = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;

	assert_non_null(file);
	assert_true(getdelim(&text, &size, '\0', file) > 0);
	return text;
}

/* The picture's element that says this number, as the text or the document on stdout does. */
static void require_number(const char *svg, const char *fmt, json_int_t part, json_int_t whole)
{
	char a[SP_RENDER_STRLEN], b[SP_RENDER_STRLEN], text[128];

	/* The format is one of the literals below. */
	snprintf(text, sizeof(text), fmt, sp_render_count(part, a), sp_render_count(whole, b));
	if (!strstr(svg, text))
		fail_msg("the picture does not say \"%s\":\n%s", text, svg);
}

static void e2e__demo_svg__says_what_was_measured(void **state)
{
	json_t *document = sp_run_json("demo", "--flows", "400", "--svg", picture);
	sp_autofree char *svg = text_of(picture);

	(void)state;
	sp_xml_require(svg);
	require_number(svg, ">%s of %s flows of the survivors moved<",
		       number(document, "udp", "kernel", "moved"),
		       number(document, "udp", "kernel", "survivor_flows"));
	require_number(svg, ">%s of %s flows of the survivors moved<",
		       number(document, "udp", "steadyport", "moved"),
		       number(document, "udp", "steadyport", "survivor_flows"));
	require_number(svg, "kernel hash %s of %s,", number(document, "tcp", "kernel", "reset"),
		       number(document, "tcp", "kernel", "connections"));
	json_decref(document);
	unlink(picture);
	check_nothing_is_left();
}

/* What the kernel loses by itself in the instant in which a listener closes is for other tests: losses.h. */
static void e2e__demo_rolling__failures_are_in_text_document_and_picture(void **state)
{
	const char *const words[] = { "steadyport", "demo",  "--rolling", "--workers", "3",
				      "--svg",	    picture, "--json",	  NULL };
	sp_autofree char *svg = NULL;
	json_t *document, *kernel, *steadyport;
	struct sp_run run;

	(void)state;
	sp_run_start(&run, NULL, words);
	sp_run_wait(&run);
	document = sp_run_parse(__FILE__, __LINE__, &run);
	assert_int_equal(run.status, sp_json_bool(document, "holds") ? SP_EXIT_OK : SP_EXIT_FAILED);
	kernel = sp_json_object(document, "kernel");
	steadyport = sp_json_object(document, "steadyport");
	assert_int_equal(json_array_size(sp_json_array(kernel, "stopped_ms")), 3);
	assert_true(sp_json_int(kernel, "failed") > 0);
	assert_true(sp_json_int(steadyport, "failed") * 10 < sp_json_int(kernel, "failed"));
	assert_int_equal(sp_json_int(steadyport, "answered") + sp_json_int(steadyport, "failed"),
			 sp_json_int(steadyport, "connections"));
	svg = text_of(picture);
	sp_xml_require(svg);
	require_number(svg, ">%s of %s connections failed<", sp_json_int(kernel, "failed"),
		       sp_json_int(kernel, "connections"));
	require_number(svg, ">%s of %s connections failed<", sp_json_int(steadyport, "failed"),
		       sp_json_int(steadyport, "connections"));
	json_decref(document);
	sp_run_free(&run);
	unlink(picture);
	check_nothing_is_left();
}

static void e2e__demo_svg_that_cannot_be_drawn__is_refused(void **state)
{
	const struct sp_run *run;

	(void)state;
	run = sp_run_fails(SP_EXIT_USAGE, "demo", "--proto", "tcp", "--svg", picture);
	assert_non_null(strstr(run->err, "--rolling"));
	sp_run_fails(SP_EXIT_USAGE, "demo", "--rolling", "--tour");
	sp_run_fails(SP_EXIT_USAGE, "demo", "--rolling", "--proto", "udp");
	sp_run_fails(SP_EXIT_USAGE, "demo", "--rolling", "--workers", "17");
	sp_run_fails(SP_EXIT_FAILED, "demo", "--svg", "/nonexistent/x.svg");
	assert_int_equal(access(picture, F_OK), -1);
}

static void e2e__demo_that_kills_everybody__is_refused(void **state)
{
	(void)state;
	sp_run_fails(SP_EXIT_USAGE, "demo", "--workers", "2", "--kill", "2");
}

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(picture, sizeof(picture), "%s/demo.svg", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(picture);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(e2e__demo__flows_move_without_steadyport_and_stay_with_it,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__demo_tour__tells_the_story_then_measures, sp_run_teardown),
		cmocka_unit_test_teardown(e2e__demo_svg__says_what_was_measured, sp_run_teardown),
		cmocka_unit_test_teardown(e2e__demo_rolling__failures_are_in_text_document_and_picture,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__demo_svg_that_cannot_be_drawn__is_refused, sp_run_teardown),
		cmocka_unit_test_teardown(e2e__demo_that_kills_everybody__is_refused, sp_run_teardown),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
