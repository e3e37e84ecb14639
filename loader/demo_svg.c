// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The picture of a demonstration as SVG: who had each flow before the kill, and who has it after. Pure but for @out. */
#include "demo.h"

#include <stdio.h>
#include <string.h>
#include "render.h"
#include "svg.h"

#define WIDTH 860
#define MARGIN 24
#define PANEL ((WIDTH - 3 * MARGIN) / 2.0)
#define LABEL 64 /* of a worker */
#define BARS ((PANEL - LABEL - 16) / 2.0) /* before; and after */
#define TOP 128 /* of the first row */
#define ROW 30
#define BAR 20
#define ROWS_MAX 16 /* more lines than that nobody compares */
#define DIGIT_WIDTH 7.5 /* of the text in a bar, at most */

static const char *look_of(__u32 worker)
{
	static const char *const looks[SP_SVG_COLOURS] = { "c0", "c1", "c2", "c3", "c4", "c5" };

	return looks[worker % SP_SVG_COLOURS];
}

static __u32 sum_before(const struct sp_demo_result *r, enum sp_demo_mode mode, __u32 worker)
{
	__u32 sum = 0;

	for (__u32 to = 0; to < r->workers; to++)
		sum += r->udp[mode].from_to[worker][to];
	return sum;
}

static __u32 sum_after(const struct sp_demo_result *r, enum sp_demo_mode mode, __u32 worker)
{
	__u32 sum = 0;

	for (__u32 from = 0; from < r->workers; from++)
		sum += r->udp[mode].from_to[from][worker];
	return sum;
}

static __u32 most_flows(const struct sp_demo_result *r)
{
	__u32 most = 1;

	for (__u32 i = 0; i < r->workers * SP_DEMO_MODES; i++) {
		__u32 before = sum_before(r, i % SP_DEMO_MODES, i / SP_DEMO_MODES);
		__u32 after = sum_after(r, i % SP_DEMO_MODES, i / SP_DEMO_MODES);

		most = before > most ? before : most;
		most = after > most ? after : most;
	}
	return most;
}

/* A part of a bar: flows that @from had before. Returns its width. */
static double put_part(FILE *out, double x, double y, double scale, __u32 from, __u32 flows, bool is_own)
{
	double width = flows * scale;
	char text[32], tip[64];

	if (!flows)
		return 0;
	snprintf(tip, sizeof(tip), "%u flows that worker %u had before", flows, from);
	sp_svg_rect(out, look_of(from), x, y, width, BAR, tip);
	/* Whose they were is said by more than the colour, wherever there is room. */
	if (is_own)
		snprintf(text, sizeof(text), "%u", flows);
	else
		snprintf(text, sizeof(text), "w%u", from);
	if (width >= strlen(text) * DIGIT_WIDTH)
		sp_svg_text(out, SP_SVG_INSIDE, SP_SVG_MIDDLE, x + width / 2, y + BAR - 6, "%s", text);
	return width;
}

/* Neither the worker's own nor of one that was killed: these did not have to move. */
static void outline_moved(FILE *out, const struct sp_demo_result *r, __u32 worker, __u32 from, double x,
			  double y, double width)
{
	if (width > 0 && from != worker && !sp_demo_is_victim(r->killed, from))
		sp_svg_rect(out, SP_SVG_MOVED, x + 1.5, y + 1.5, width > 3 ? width - 3 : 1, BAR - 3, NULL);
}

/* The worker's own flows first, then those of the others in their order. */
static void put_after(FILE *out, const struct sp_demo_result *r, enum sp_demo_mode mode, __u32 worker,
		      double x, double y, double scale)
{
	const struct sp_demo_udp *udp = &r->udp[mode];

	if (sp_demo_is_victim(r->killed, worker)) {
		sp_svg_text(out, SP_SVG_MUTED, SP_SVG_START, x, y + BAR - 6, "killed");
		return;
	}
	x += put_part(out, x, y, scale, worker, udp->from_to[worker][worker], true);
	for (__u32 from = 0; from < r->workers; from++) {
		double width;

		if (from == worker)
			continue;
		width = put_part(out, x, y, scale, from, udp->from_to[from][worker], false);
		outline_moved(out, r, worker, from, x, y, width);
		x += width;
	}
}

static void put_panel(FILE *out, const struct sp_demo_result *r, enum sp_demo_mode mode, double x)
{
	double scale = (BARS - 8) / most_flows(r), before = x + LABEL, after = before + BARS + 16;
	char moved[SP_RENDER_STRLEN], all[SP_RENDER_STRLEN];
	const struct sp_demo_udp *udp = &r->udp[mode];

	sp_svg_text(out, SP_SVG_HEADING, SP_SVG_START, x, 72, "%s",
		    mode == SP_DEMO_KERNEL ? "kernel hash" : "steadyport");
	sp_svg_text(out, udp->moved ? SP_SVG_BAD : SP_SVG_GOOD, SP_SVG_START, x, 94,
		    "%s of %s flows of the survivors moved", sp_render_count(udp->moved, moved),
		    sp_render_count(udp->survivor_flows, all));
	sp_svg_text(out, SP_SVG_MUTED, SP_SVG_START, before, TOP - 12, "before");
	sp_svg_text(out, SP_SVG_MUTED, SP_SVG_START, after, TOP - 12, "after");
	for (__u32 worker = 0; worker < r->workers && worker < ROWS_MAX; worker++) {
		double y = TOP + ROW * worker;

		sp_svg_text(out, SP_SVG_TEXT, SP_SVG_START, x, y + BAR - 5, "worker %u", worker);
		put_part(out, before, y, scale, worker, sum_before(r, mode, worker), true);
		put_after(out, r, mode, worker, after, y, scale);
	}
}

static void put_footer(FILE *out, const struct sp_demo_result *r, double y)
{
	char reset[SP_RENDER_STRLEN], none[SP_RENDER_STRLEN], all[SP_RENDER_STRLEN];

	if (r->has_tcp) {
		sp_render_count(r->connections, all);
		sp_svg_text(
			out, SP_SVG_TEXT, SP_SVG_START, MARGIN, y,
			"TCP connections that wait to be accepted, reset: kernel hash %s of %s, steadyport "
			"%s of %s",
			sp_render_count(r->tcp[SP_DEMO_KERNEL].reset, reset), all,
			sp_render_count(r->tcp[SP_DEMO_STEADYPORT].reset, none), all);
		y += 22;
	}
	sp_svg_text(
		out, SP_SVG_MUTED, SP_SVG_START, MARGIN, y,
		"A number is the worker's own flows, w2 are flows that worker 2 had before; outlined: moved "
		"though it lives");
	sp_svg_text(out, SP_SVG_MUTED, SP_SVG_START, MARGIN, y + 18,
		    "Measured on Linux %.*s by steadyport demo", (int)strcspn(r->kernel, "-"), r->kernel);
}

int sp_demo_svg(FILE *out, const struct sp_demo_result *r)
{
	__u32 rows = r->workers < ROWS_MAX ? r->workers : ROWS_MAX;
	char title[128], description[512], flows[SP_RENDER_STRLEN];
	int height = TOP + ROW * rows + (r->has_tcp ? 86 : 64);

	snprintf(title, sizeof(title), "%u of %u workers %s killed while %s UDP flows run", r->killed,
		 r->workers, r->killed == 1 ? "is" : "are", sp_render_count(r->flows, flows));
	snprintf(
		description, sizeof(description),
		"Flows of each worker before and after. Under the kernel's hash %u of %u flows of the workers that "
		"live change worker; under steadyport %u of %u.",
		r->udp[SP_DEMO_KERNEL].moved, r->udp[SP_DEMO_KERNEL].survivor_flows,
		r->udp[SP_DEMO_STEADYPORT].moved, r->udp[SP_DEMO_STEADYPORT].survivor_flows);
	sp_svg_begin(out, WIDTH, height, title, description);
	sp_svg_text(out, SP_SVG_HEADING, SP_SVG_START, MARGIN, 36, "%s", title);
	if (r->workers > ROWS_MAX)
		sp_svg_text(out, SP_SVG_MUTED, SP_SVG_END, WIDTH - MARGIN, 36, "%u workers of %u", ROWS_MAX,
			    r->workers);
	put_panel(out, r, SP_DEMO_KERNEL, MARGIN);
	put_panel(out, r, SP_DEMO_STEADYPORT, 2 * MARGIN + PANEL);
	put_footer(out, r, TOP + ROW * rows + 24);
	return sp_svg_end(out);
}
