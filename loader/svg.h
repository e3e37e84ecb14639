/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Pictures as SVG, drawn on a card of their own, so that they can be read on any page: dark where the reader's system
 * is, light elsewhere. Text is text. Only writes what it is told; sp_svg_end() says whether that went well.
 */
#ifndef STEADYPORT_SVG_H
#define STEADYPORT_SVG_H

#include <stdbool.h>
#include <stdio.h>

/* Where a text is put relative to its point. */
enum sp_svg_anchor {
	SP_SVG_START,
	SP_SVG_MIDDLE,
	SP_SVG_END,
};

/* Names of looks: the style sheet in svg.c. */
#define SP_SVG_TEXT "text"
#define SP_SVG_HEADING "heading"
#define SP_SVG_MUTED "muted"
#define SP_SVG_GOOD "good"
#define SP_SVG_BAD "bad"
#define SP_SVG_INSIDE "inside" /* text on a coloured part */
#define SP_SVG_GRID "grid"
#define SP_SVG_SERVED "served"
#define SP_SVG_LOST "lost"
#define SP_SVG_MOVED "moved" /* an outline */
#define SP_SVG_MARK "mark"
#define SP_SVG_COLOURS 6 /* "c0" and up: fills on which SP_SVG_INSIDE can be read */

/* @title, @description: for those who cannot see it */
void sp_svg_begin(FILE *out, int width, int height, const char *title, const char *description);
/* @tip: shown when it is pointed at; NULL: nothing */
void sp_svg_rect(FILE *out, const char *look, double x, double y, double width, double height,
		 const char *tip);
void sp_svg_line(FILE *out, const char *look, double x1, double y1, double x2, double y2);
void sp_svg_text(FILE *out, const char *look, enum sp_svg_anchor anchor, double x, double y, const char *fmt,
		 ...) __attribute__((format(printf, 6, 7)));
/* A closed shape: begin, its points, end. */
void sp_svg_shape_begin(FILE *out, const char *look);
void sp_svg_shape_point(FILE *out, double x, double y);
void sp_svg_shape_end(FILE *out);
/* Returns 0 or -EIO (not logged). */
int sp_svg_end(FILE *out);

#endif
