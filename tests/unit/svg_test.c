// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Pictures as SVG: well-formed whatever they are told, with the numbers of what was measured, inside their frames. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "cleanup.h"
#include "demo.h"
#include "rolling.h"
#include "svg.h"
#include "xml.h"

#define WIDTH 860

/* Worker 1 of three was killed. */
static const struct sp_demo_result kill_result = {
	.workers = 3,
	.killed = 1,
	.flows = 1900,
	.connections = 400,
	.has_udp = true,
	.has_tcp = true,
	.kernel = "6.18.0-x<y",
	.udp = {
		[SP_DEMO_KERNEL] = {
			.survivor_flows = 1200,
			.moved = 412,
			.from_to = { { 500, 0, 100 }, { 300, 0, 400 }, { 312, 0, 288 } },
		},
		[SP_DEMO_STEADYPORT] = {
			.survivor_flows = 1203,
			.from_to = { { 600, 0, 0 }, { 350, 0, 347 }, { 0, 0, 603 } },
		},
	},
	.tcp = { [SP_DEMO_KERNEL] = { .answered = 309, .reset = 91 }, [SP_DEMO_STEADYPORT] = { .answered = 400 } },
};

static struct sp_rolling_result rolling_result(void)
{
	struct sp_rolling_result r = { .workers = 4, .rate = 1000, .bins = 36, .kernel = "6.18.0" };

	r.mode[SP_DEMO_KERNEL] = (struct sp_rolling_mode){
		.connections = 3612, .answered = 3518, .reset = 90, .refused = 3, .unanswered = 1
	};
	r.mode[SP_DEMO_STEADYPORT] = (struct sp_rolling_mode){ .connections = 3600, .answered = 3600 };
	for (int mode = 0; mode < SP_DEMO_MODES; mode++) {
		for (__u32 bin = 0; bin < r.bins; bin++)
			r.mode[mode].answered_in[bin] = 100;
		for (__u32 i = 0; i < r.workers; i++)
			r.mode[mode].stopped_ms[i] = 600 + 800 * i;
	}
	r.mode[SP_DEMO_KERNEL].failed_in[6] = 26;
	r.mode[SP_DEMO_KERNEL].failed_in[14] = 7;
	r.mode[SP_DEMO_KERNEL].failed_in[50] = 4; /* after the last bin that is shown */
	return r;
}

#define drawn(draw, result)                                 \
	({                                                  \
		char *text_ = NULL;                         \
		size_t len_;                                \
		FILE *out_ = open_memstream(&text_, &len_); \
		assert_non_null(out_);                      \
		assert_int_equal(draw(out_, result), 0);    \
		assert_int_equal(fclose(out_), 0);          \
		sp_xml_require(text_);                      \
		text_;                                      \
	})

static void require_text(const char *svg, const char *text)
{
	if (!strstr(svg, text))
		fail_msg("the picture does not have \"%s\":\n%s", text, svg);
}

/* Of every rectangle: no part of it is beyond the frame. */
static void require_rectangles_inside(const char *svg, double height)
{
	double x, y, w, h;
	size_t count = 0;

	for (const char *at = svg; (at = strstr(at, "<rect class=")); at++, count++) {
		assert_int_equal(sscanf(strstr(at, " x="),
					" x=\"%lf\" y=\"%lf\" width=\"%lf\" height=\"%lf\"", &x, &y, &w, &h),
				 4);
		assert_true(w >= 0 && h >= 0);
		if (x < 0 || y < 0 || x + w > WIDTH || y + h > height)
			fail_msg("%g %g %g %g is not inside", x, y, w, h);
	}
	assert_true(count > 1);
}

/* As wide as a sign is on the average in a wide font of that look's size. */
static double sign_width(const char *look)
{
	if (!strncmp(look, "muted", 5))
		return 7.4;
	if (!strncmp(look, "heading", 7))
		return 11;
	return !strncmp(look, "text", 4) ? 8.1 : 8.9;
}

/* Texts that go to the right from their point end before the frame. */
static void require_texts_inside(const char *svg)
{
	size_t count = 0;
	double x;

	for (const char *at = svg; (at = strstr(at, "<text class=\"")); at++) {
		const char *look = at + strlen("<text class=\""), *text = strchr(at, '>') + 1;
		size_t len = strcspn(text, "<");

		if (strncmp(strstr(at, "text-anchor="), "text-anchor=\"start\"", 19))
			continue;
		assert_int_equal(sscanf(strstr(at, " x="), " x=\"%lf\"", &x), 1);
		if (x + len * sign_width(look) > WIDTH)
			fail_msg("does not fit: %.*s", (int)len, text);
		count++;
	}
	assert_true(count > 5);
}

static void svg__kill__has_the_numbers_of_the_text(void **state)
{
	sp_autofree char *svg = drawn(sp_demo_svg, &kill_result);

	(void)state;
	require_text(svg, "<title id=\"title\">1 of 3 workers is killed while 1,900 UDP flows run</title>");
	require_text(svg, ">412 of 1,200 flows of the survivors moved<");
	require_text(svg, ">0 of 1,203 flows of the survivors moved<");
	require_text(svg, "reset: kernel hash 91 of 400, steadyport 0 of 400<");
	require_text(svg, "Under the kernel's hash 412 of 1200 flows");
	require_text(svg, "312 flows that worker 2 had before");
	require_text(svg, "prefers-color-scheme: dark");
	require_rectangles_inside(svg, 400);
	require_texts_inside(svg);
}

/* Two of three kinds of flows after the kill did not have to move; under steadyport there is none. */
static void svg__kill__moved_flows_are_outlined(void **state)
{
	sp_autofree char *svg = drawn(sp_demo_svg, &kill_result);
	size_t count = 0;

	(void)state;
	for (const char *at = svg; (at = strstr(at, "class=\"moved\"")); at++)
		count++;
	assert_int_equal(count, 2);
}

static void svg__many_workers__stays_inside(void **state)
{
	sp_autofree struct sp_demo_result *r = calloc(1, sizeof(*r));
	sp_autofree char *svg = NULL;

	(void)state;
	assert_non_null(r);
	r->workers = SP_DEMO_WORKERS_MAX;
	r->killed = 40;
	r->flows = 64 * 64;
	r->has_udp = true;
	for (__u32 i = 0; i < r->workers * r->workers; i++) {
		r->udp[SP_DEMO_KERNEL].from_to[i / 64][i % 64] = 1;
		r->udp[SP_DEMO_STEADYPORT].from_to[i / 64][i / 64]++;
	}
	svg = drawn(sp_demo_svg, r);
	require_text(svg, ">16 workers of 64<");
	require_rectangles_inside(svg, 700);
}

static void svg__nothing_measured__is_a_picture_all_the_same(void **state)
{
	const struct sp_demo_result none = { .workers = 2, .killed = 1, .has_udp = true };
	const struct sp_rolling_result silent = { .workers = 2, .bins = 1 };
	sp_autofree char *svg = drawn(sp_demo_svg, &none);
	sp_autofree char *rolling = drawn(sp_rolling_svg, &silent);

	(void)state;
	require_text(svg, ">0 of 0 flows of the survivors moved<");
	require_text(rolling, ">0 of 0 connections failed<");
	assert_null(strstr(svg, "nan"));
	assert_null(strstr(rolling, "nan"));
}

static void svg__rolling__has_the_numbers_of_the_text(void **state)
{
	const struct sp_rolling_result r = rolling_result();
	sp_autofree char *svg = drawn(sp_rolling_svg, &r);

	(void)state;
	require_text(svg, "Rolling restart of 4 workers, 1,000 connections a second");
	require_text(svg, ">94 of 3,612 connections failed<");
	require_text(svg, ">0 of 3,600 connections failed<");
	require_text(svg, ">26<");
	require_text(svg, ">7<");
	require_text(svg, ">4<");
	require_rectangles_inside(svg, 500);
	require_texts_inside(svg);
}

static const char rolling_text[] =
	"4 workers are restarted one after another, each busy for 100 ms when it is told to stop,\n"
	"while 1,000 connections a second come.\n"
	"\n"
	" Linux 6.18.0                          kernel hash       steadyport\n"
	" TCP connections, failed               94 of 3,612       0 of 3,600\n"
	"   reset                                        90                0\n"
	"   refused                                       3                0\n"
	"   not answered at all                           1                0\n"
	"\n"
	" kernel hash  ......*.......7....................4\n"
	" steadyport   ....................................\n"
	" one sign is 100 ms: how many failed then, * is more than 9\n";

static void text__rolling__this_picture(void **state)
{
	const struct sp_rolling_result r = rolling_result();
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	assert_non_null(out);
	sp_rolling_render(out, &r, false);
	fclose(out);
	assert_string_equal(text, rolling_text);
	free(text);
}

static void json__rolling__adds_up(void **state)
{
	const struct sp_rolling_result r = rolling_result();
	json_t *document = sp_rolling_json(&r), *kernel, *bins;
	json_int_t sum = 0;

	(void)state;
	assert_non_null(document);
	kernel = json_object_get(document, "kernel");
	assert_int_equal(json_integer_value(json_object_get(kernel, "failed")), 94);
	bins = json_object_get(kernel, "failed_in");
	assert_int_equal(json_array_size(bins), 36);
	for (size_t i = 0; i < 36; i++)
		sum += json_integer_value(json_array_get(bins, i));
	assert_int_equal(sum, 26 + 7 + 4);
	assert_true(json_is_true(json_object_get(document, "holds")));
	json_decref(document);
}

static int draw_hostile(FILE *out, const void *unused)
{
	(void)unused;
	sp_svg_begin(out, 10, 10, "a<b>&\"c\"", "\033[2J]]>\xff");
	sp_svg_rect(out, "c0", 0, 0, 1, 1, "</title></rect><script>");
	sp_svg_text(out, "text", SP_SVG_END, 1, 2, "%s", "<tspan>&lt;");
	return sp_svg_end(out);
}

static void svg__hostile_words__are_words(void **state)
{
	sp_autofree char *svg = drawn(draw_hostile, NULL);

	(void)state;
	require_text(svg, "a&lt;b&gt;&amp;&quot;c&quot;</title>");
	require_text(svg, ">&lt;tspan&gt;&amp;lt;</text>");
	require_text(svg, "?[2J]]&gt;?</desc>");
	assert_null(strstr(svg, "<script>"));
}

static void svg__disk_is_full__is_told(void **state)
{
	FILE *full = fopen("/dev/full", "w");

	(void)state;
	assert_non_null(full);
	assert_int_equal(sp_demo_svg(full, &kill_result), -EIO);
	fclose(full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(svg__kill__has_the_numbers_of_the_text),
		cmocka_unit_test(svg__kill__moved_flows_are_outlined),
		cmocka_unit_test(svg__many_workers__stays_inside),
		cmocka_unit_test(svg__nothing_measured__is_a_picture_all_the_same),
		cmocka_unit_test(svg__rolling__has_the_numbers_of_the_text),
		cmocka_unit_test(text__rolling__this_picture),
		cmocka_unit_test(json__rolling__adds_up),
		cmocka_unit_test(svg__hostile_words__are_words),
		cmocka_unit_test(svg__disk_is_full__is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
