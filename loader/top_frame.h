/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One picture of `top`, line by line, for the terminal and for --once. Pure. */
#ifndef STEADYPORT_TOP_FRAME_H
#define STEADYPORT_TOP_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <steadyport/abi.h>
#include "render.h"
#include "top_model.h"
#include "top_ui.h"

#define SP_TOP_SPANS 24 /* parts of a line with a look of their own */
#define SP_TOP_WIDTH_MAX 512
#define SP_TOP_HEIGHT_MAX (SP_SLOTS_MAX + 8)

struct sp_top_span {
	size_t from, to; /* bytes of the text */
	enum sp_colour colour;
	bool is_reverse;
};

/* ASCII, but for the spark-line, whose signs may be of three bytes each. */
struct sp_top_line {
	char *text;
	size_t len; /* bytes */
	int columns; /* of the terminal; never more than the frame has */
	struct sp_top_span spans[SP_TOP_SPANS];
	size_t nspans;
};

struct sp_top_frame {
	int width, height;
	bool has_blocks; /* the terminal shows U+2581 to U+2588 */
	struct sp_top_line *lines; /* height of them */
	char *memory;
};

/* Of up to SP_TOP_WIDTH_MAX x SP_TOP_HEIGHT_MAX; a larger terminal has room left. NULL without memory. */
struct sp_top_frame *sp_top_frame_new(int width, int height, bool has_blocks);
void sp_top_frame_free(struct sp_top_frame **frame);
#define sp_autotopframe __attribute__((cleanup(sp_top_frame_free)))

/* Rows of the table that a frame of this height has room for; and the height that this many rows take with --once. */
size_t sp_top_frame_rows(int height);
int sp_top_frame_height(size_t nrows);

/* What --once prints: the table alone, without a history, which one look has none of. */
void sp_top_frame_draw_table(struct sp_top_frame *frame, const struct sp_top_model *model, __u64 interval_ns);

/* What the terminal shows. */
void sp_top_frame_draw(struct sp_top_frame *frame, const struct sp_top_model *model,
		       const struct sp_top_ui *ui, __u64 interval_ns);

/* The lines without their looks, and without blanks at their ends and empty ones at the end; to free(), or NULL. */
char *sp_top_frame_text(const struct sp_top_frame *frame);

#endif
