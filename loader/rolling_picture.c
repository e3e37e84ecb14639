// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A rolling restart as text, as JSON and as SVG. Pure, but for where it is written to. */
#include "rolling.h"

#include <string.h>
#include "cleanup.h"
#include "render.h"
#include "svg.h"

#define LINE_COLUMNS 60 /* of the strip in the text */

static const char *const mode_names[SP_DEMO_MODES] = { "kernel hash", "steadyport" };

__u32 sp_rolling_failed(const struct sp_rolling_mode *m)
{
	return m->reset + m->refused + m->closed + m->unanswered;
}

bool sp_rolling_holds(const struct sp_rolling_result *r)
{
	return !sp_rolling_failed(&r->mode[SP_DEMO_STEADYPORT]);
}

/* What happened after the last bin that is shown is shown there. */
static __u32 in_bin(const struct sp_rolling_result *r, const __u32 *bins, __u32 bin)
{
	__u32 sum = bins[bin];

	for (__u32 i = bin + 1; bin + 1 == r->bins && i < SP_ROLLING_BINS; i++)
		sum += bins[i];
	return sum;
}

/* "94 of 3,612" */
static const char *failed_text(const struct sp_rolling_mode *m, char buf[2 * SP_RENDER_STRLEN + 8])
{
	char failed[SP_RENDER_STRLEN], all[SP_RENDER_STRLEN];

	snprintf(buf, 2 * SP_RENDER_STRLEN + 8, "%s of %s", sp_render_count(sp_rolling_failed(m), failed),
		 sp_render_count(m->connections, all));
	return buf;
}

/* --- text --- */

static void put_row(FILE *out, const char *label, const __u32 values[SP_DEMO_MODES])
{
	char number[SP_RENDER_STRLEN];

	fprintf(out, "   %-30s", label);
	for (int mode = 0; mode < SP_DEMO_MODES; mode++)
		fprintf(out, "%17s", sp_render_count(values[mode], number));
	fputc('\n', out);
}

static void put_rows(FILE *out, const struct sp_rolling_result *r)
{
	const struct sp_rolling_mode *k = &r->mode[SP_DEMO_KERNEL], *s = &r->mode[SP_DEMO_STEADYPORT];

	if (k->reset || s->reset)
		put_row(out, "reset", (__u32[]){ k->reset, s->reset });
	if (k->refused || s->refused)
		put_row(out, "refused", (__u32[]){ k->refused, s->refused });
	if (k->closed || s->closed)
		put_row(out, "closed without an answer", (__u32[]){ k->closed, s->closed });
	if (k->unanswered || s->unanswered)
		put_row(out, "not answered at all", (__u32[]){ k->unanswered, s->unanswered });
}

/* A sign for each bin, or for several: how many failed in it, up to 9, then '*'. */
static void put_strip(FILE *out, const struct sp_rolling_result *r, enum sp_demo_mode mode, bool has_colour)
{
	__u32 per_sign = (r->bins + LINE_COLUMNS - 1) / LINE_COLUMNS;

	fprintf(out, " %-12s ", mode_names[mode]);
	for (__u32 bin = 0; bin < r->bins; bin += per_sign) {
		__u32 failed = 0;

		for (__u32 i = bin; i < bin + per_sign && i < r->bins; i++)
			failed += in_bin(r, r->mode[mode].failed_in, i);
		if (failed && has_colour)
			fputs("\033[1;31m", out);
		fputc(!failed ? '.' : failed > 9 ? '*' : '0' + (int)failed, out);
		if (failed && has_colour)
			fputs("\033[0m", out);
	}
	fputc('\n', out);
}

void sp_rolling_render(FILE *out, const struct sp_rolling_result *r, bool has_colour)
{
	__u32 per_sign = (r->bins + LINE_COLUMNS - 1) / LINE_COLUMNS;
	char rate[SP_RENDER_STRLEN], label[40], text[2 * SP_RENDER_STRLEN + 8];

	fprintf(out,
		"%u workers are restarted one after another, each busy for %d ms when it is told to stop,\n"
		"while %s connections a second come.\n\n",
		r->workers, SP_ROLLING_BUSY_MS, sp_render_count(r->rate, rate));
	snprintf(label, sizeof(label), "Linux %.24s", r->kernel);
	fprintf(out, " %-32s%17s%17s\n", label, mode_names[0], mode_names[1]);
	fprintf(out, " %-32s", "TCP connections, failed");
	for (int mode = 0; mode < SP_DEMO_MODES; mode++)
		fprintf(out, "%17s", failed_text(&r->mode[mode], text));
	fputc('\n', out);
	put_rows(out, r);
	fputc('\n', out);
	put_strip(out, r, SP_DEMO_KERNEL, has_colour);
	put_strip(out, r, SP_DEMO_STEADYPORT, has_colour);
	fprintf(out, " one sign is %u ms: how many failed then, * is more than 9\n",
		per_sign * SP_ROLLING_BIN_MS);
}

/* --- JSON --- */

static json_t *numbers(const __u32 *values, __u32 count)
{
	json_t *array = json_array();

	for (__u32 i = 0; array && i < count; i++) {
		if (json_array_append_new(array, json_integer(values[i]))) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *mode_json(const struct sp_rolling_result *r, enum sp_demo_mode mode)
{
	const struct sp_rolling_mode *m = &r->mode[mode];
	__u32 failed_in[SP_ROLLING_BINS];

	for (__u32 bin = 0; bin < r->bins; bin++)
		failed_in[bin] = in_bin(r, m->failed_in, bin);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "connections",
			 (json_int_t)m->connections, "answered", (json_int_t)m->answered, "failed",
			 (json_int_t)sp_rolling_failed(m), "reset", (json_int_t)m->reset, "refused",
			 (json_int_t)m->refused, "closed", (json_int_t)m->closed, "unanswered",
			 (json_int_t)m->unanswered, "failed_in", numbers(failed_in, r->bins), "stopped_ms",
			 numbers(m->stopped_ms, r->workers));
}

json_t *sp_rolling_json(const struct sp_rolling_result *r)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:s, s:o, s:o, s:b}", "workers", (json_int_t)r->workers,
			 "connections_per_second", (json_int_t)r->rate, "busy_ms",
			 (json_int_t)SP_ROLLING_BUSY_MS, "bin_ms", (json_int_t)SP_ROLLING_BIN_MS,
			 "kernel_release", r->kernel, "kernel", mode_json(r, SP_DEMO_KERNEL), "steadyport",
			 mode_json(r, SP_DEMO_STEADYPORT), "holds", sp_rolling_holds(r));
}

/* --- SVG --- */

#define WIDTH 860
#define MARGIN 24
#define AXIS 40 /* left of the chart: its numbers */
#define CHART (WIDTH - 2 * MARGIN - AXIS)
#define TALL 120
#define FIRST 100 /* top of the first chart */
#define STEP (TALL + 66) /* to the second */

static __u32 highest(const struct sp_rolling_result *r)
{
	__u32 most = 1;

	for (int mode = 0; mode < SP_DEMO_MODES; mode++) {
		for (__u32 bin = 0; bin < r->bins; bin++) {
			__u32 sum = in_bin(r, r->mode[mode].answered_in, bin) +
				    in_bin(r, r->mode[mode].failed_in, bin);

			most = sum > most ? sum : most;
		}
	}
	return most;
}

static double x_of(const struct sp_rolling_result *r, double ms)
{
	return MARGIN + AXIS + CHART * ms / (r->bins * SP_ROLLING_BIN_MS);
}

static void put_axes(FILE *out, const struct sp_rolling_result *r, double base, double scale, __u32 top)
{
	char number[SP_RENDER_STRLEN];

	for (__u32 i = 0; i <= 2; i++) {
		__u32 value = top / 2 * i;

		sp_svg_line(out, SP_SVG_GRID, x_of(r, 0), base - value * scale, WIDTH - MARGIN,
			    base - value * scale);
		sp_svg_text(out, SP_SVG_MUTED, SP_SVG_END, x_of(r, 0) - 6, base - value * scale + 4, "%s",
			    sp_render_count(value, number));
	}
	for (__u32 ms = 0; ms <= r->bins * SP_ROLLING_BIN_MS; ms += 1000)
		sp_svg_text(out, SP_SVG_MUTED, SP_SVG_MIDDLE, x_of(r, ms), base + 18, "%u s", ms / 1000);
}

/* What was answered as a shape of steps, what failed as bars in front of it. */
static void put_bins(FILE *out, const struct sp_rolling_result *r, const struct sp_rolling_mode *m,
		     double base, double scale)
{
	sp_svg_shape_begin(out, SP_SVG_SERVED);
	sp_svg_shape_point(out, x_of(r, 0), base);
	for (__u32 bin = 0; bin < r->bins; bin++) {
		double y = base - in_bin(r, m->answered_in, bin) * scale;

		sp_svg_shape_point(out, x_of(r, bin * SP_ROLLING_BIN_MS), y);
		sp_svg_shape_point(out, x_of(r, (bin + 1) * SP_ROLLING_BIN_MS), y);
	}
	sp_svg_shape_point(out, x_of(r, r->bins * SP_ROLLING_BIN_MS), base);
	sp_svg_shape_end(out);
	for (__u32 bin = 0; bin < r->bins; bin++) {
		__u32 failed = in_bin(r, m->failed_in, bin);
		double x = x_of(r, bin * SP_ROLLING_BIN_MS);
		char tip[64];

		if (!failed)
			continue;
		snprintf(tip, sizeof(tip), "%u failed", failed);
		sp_svg_rect(out, SP_SVG_LOST, x + 1, base - failed * scale,
			    x_of(r, SP_ROLLING_BIN_MS) - x_of(r, 0) - 2, failed * scale, tip);
		/* Beside the mark of the restart that has led to it. */
		sp_svg_text(out, SP_SVG_TEXT, SP_SVG_START, x + 5, base - failed * scale - 5, "%u", failed);
	}
}

static void put_chart(FILE *out, const struct sp_rolling_result *r, enum sp_demo_mode mode, double y,
		      __u32 top)
{
	const struct sp_rolling_mode *m = &r->mode[mode];
	char text[2 * SP_RENDER_STRLEN + 8];
	double base = y + TALL, scale = (double)TALL / top;

	sp_svg_text(out, SP_SVG_HEADING, SP_SVG_START, MARGIN, y - 14, "%s", mode_names[mode]);
	sp_svg_text(out, sp_rolling_failed(m) ? SP_SVG_BAD : SP_SVG_GOOD, SP_SVG_START, MARGIN + 112, y - 14,
		    "%s connections failed", failed_text(m, text));
	put_axes(out, r, base, scale, top);
	put_bins(out, r, m, base, scale);
	for (__u32 i = 0; i < r->workers; i++)
		sp_svg_line(out, SP_SVG_MARK, x_of(r, m->stopped_ms[i]), y, x_of(r, m->stopped_ms[i]), base);
}

static void put_legend(FILE *out, double y)
{
	sp_svg_rect(out, SP_SVG_SERVED, MARGIN, y - 10, 12, 12, NULL);
	sp_svg_text(out, SP_SVG_MUTED, SP_SVG_START, MARGIN + 18, y, "answered");
	sp_svg_rect(out, SP_SVG_LOST, MARGIN + 90, y - 10, 12, 12, NULL);
	sp_svg_text(out, SP_SVG_MUTED, SP_SVG_START, MARGIN + 108, y, "failed");
	sp_svg_line(out, SP_SVG_MARK, MARGIN + 166, y - 12, MARGIN + 166, y + 3);
	sp_svg_text(out, SP_SVG_MUTED, SP_SVG_START, MARGIN + 174, y, "a worker is told to stop");
}

int sp_rolling_svg(FILE *out, const struct sp_rolling_result *r)
{
	__u32 top = (highest(r) + 19) / 20 * 20;
	char title[160], description[512], text[2 * SP_RENDER_STRLEN + 8], none[2 * SP_RENDER_STRLEN + 8];
	char rate[SP_RENDER_STRLEN];
	double below = FIRST + STEP + TALL;

	snprintf(title, sizeof(title), "Rolling restart of %u workers, %s connections a second", r->workers,
		 sp_render_count(r->rate, rate));
	snprintf(
		description, sizeof(description),
		"Connections that were answered and that failed in each %d ms. Under the kernel's hash %s failed, under "
		"steadyport %s.",
		SP_ROLLING_BIN_MS, failed_text(&r->mode[SP_DEMO_KERNEL], text),
		failed_text(&r->mode[SP_DEMO_STEADYPORT], none));
	sp_svg_begin(out, WIDTH, (int)below + 72, title, description);
	sp_svg_text(out, SP_SVG_HEADING, SP_SVG_START, MARGIN, 36, "%s", title);
	sp_svg_text(out, SP_SVG_MUTED, SP_SVG_START, MARGIN, 56, "Connections in each %d ms",
		    SP_ROLLING_BIN_MS);
	put_chart(out, r, SP_DEMO_KERNEL, FIRST, top);
	put_chart(out, r, SP_DEMO_STEADYPORT, FIRST + STEP, top);
	put_legend(out, below + 42);
	sp_svg_text(
		out, SP_SVG_MUTED, SP_SVG_START, MARGIN, below + 62,
		"Each worker is busy for %d ms when it is told to stop. Measured on Linux %.*s by steadyport demo "
		"--rolling.",
		SP_ROLLING_BUSY_MS, (int)strcspn(r->kernel, "-"), r->kernel);
	return sp_svg_end(out);
}
