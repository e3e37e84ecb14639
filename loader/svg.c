// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Pictures as SVG. */
#include "svg.h"

#include <errno.h>
#include <stdarg.h>

/*
 * A page that is dark while the system is light, or the other way round, is no matter: the card is part of the picture.
 * Fills of workers have a contrast of 4.5 or more to the white on them.
 */
static const char style[] =
	"text { font-family: system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; font-size: 13px; }\n"
	".card { fill: #ffffff; stroke: #d0d7de; }\n"
	".text { fill: #1f2328; }\n"
	".heading { fill: #1f2328; font-size: 16px; font-weight: 600; }\n"
	".muted { fill: #59636e; font-size: 12px; }\n"
	".good { fill: #1a7f37; font-weight: 600; }\n"
	".bad { fill: #cf222e; font-weight: 600; }\n"
	".inside { fill: #ffffff; font-size: 11px; font-weight: 600; }\n"
	".grid { stroke: #d0d7de; }\n"
	".mark { stroke: #59636e; stroke-dasharray: 3 3; }\n"
	".served { fill: #b6d7f5; }\n"
	".lost { fill: #cf222e; }\n"
	".moved { fill: none; stroke: #cf222e; stroke-width: 2.5; }\n"
	".c0 { fill: #2f6fb0; }\n"
	".c1 { fill: #a85a00; }\n"
	".c2 { fill: #1a7f5a; }\n"
	".c3 { fill: #7b52c0; }\n"
	".c4 { fill: #b03a68; }\n"
	".c5 { fill: #57606a; }\n"
	"@media (prefers-color-scheme: dark) {\n"
	".card { fill: #0d1117; stroke: #3d444d; }\n"
	".text, .heading { fill: #e6edf3; }\n"
	".muted { fill: #9198a1; }\n"
	".good { fill: #3fb950; }\n"
	".bad { fill: #ff7b72; }\n"
	".grid { stroke: #3d444d; }\n"
	".mark { stroke: #9198a1; }\n"
	".served { fill: #1f4b73; }\n"
	".lost { fill: #f85149; }\n"
	".moved { stroke: #f85149; }\n"
	"}\n";

static void put_escaped(FILE *out, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '&':
			fputs("&amp;", out);
			break;
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		default:
			/* Nothing that is written here has other signs, and XML allows no control characters. */
			fputc(*text < ' ' || *text > '~' ? '?' : *text, out);
		}
	}
}

void sp_svg_begin(FILE *out, int width, int height, const char *title, const char *description)
{
	fprintf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
		"role=\"img\" aria-labelledby=\"title desc\">\n<title id=\"title\">",
		width, height, width, height);
	put_escaped(out, title);
	fputs("</title>\n<desc id=\"desc\">", out);
	put_escaped(out, description);
	fprintf(out, "</desc>\n<style>\n%s</style>\n", style);
	fprintf(out, "<rect class=\"card\" x=\"0.5\" y=\"0.5\" width=\"%d\" height=\"%d\" rx=\"6\"/>\n",
		width - 1, height - 1);
}

void sp_svg_rect(FILE *out, const char *look, double x, double y, double width, double height,
		 const char *tip)
{
	fprintf(out, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"", look, x, y,
		width, height);
	if (!tip) {
		fputs("/>\n", out);
		return;
	}
	fputs("><title>", out);
	put_escaped(out, tip);
	fputs("</title></rect>\n", out);
}

void sp_svg_line(FILE *out, const char *look, double x1, double y1, double x2, double y2)
{
	fprintf(out, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", look, x1, y1,
		x2, y2);
}

void sp_svg_text(FILE *out, const char *look, enum sp_svg_anchor anchor, double x, double y, const char *fmt,
		 ...)
{
	static const char *const anchors[] = { "start", "middle", "end" };
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(out, "<text class=\"%s\" text-anchor=\"%s\" x=\"%.1f\" y=\"%.1f\">", look, anchors[anchor], x,
		y);
	put_escaped(out, text);
	fputs("</text>\n", out);
}

void sp_svg_shape_begin(FILE *out, const char *look)
{
	fprintf(out, "<polygon class=\"%s\" points=\"", look);
}

void sp_svg_shape_point(FILE *out, double x, double y)
{
	fprintf(out, "%.1f,%.1f ", x, y);
}

void sp_svg_shape_end(FILE *out)
{
	fputs("\"/>\n", out);
}

int sp_svg_end(FILE *out)
{
	fputs("</svg>\n", out);
	return fflush(out) || ferror(out) ? -EIO : 0;
}
