// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* One picture of `top`, line by line. Pure. */
#include "top_frame.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cleanup.h"
#include "value.h"

#define SIGN_LEN 3 /* bytes of a block */
#define LINES_ABOVE 4 /* of the table: group, sums, news, headings */
#define GAP 1
#define OWNER_MIN 8
#define OWNER_MAX 32
#define SPARK_MIN 10
#define SPARK_USEFUL 4 /* less says nothing */

/* --- lines --- */

struct sp_top_frame *sp_top_frame_new(int width, int height, bool has_blocks)
{
	sp_autotopframe struct sp_top_frame *f = calloc(1, sizeof(*f));
	size_t size;

	if (!f)
		return NULL;
	f->width = width < 1 ? 1 : width > SP_TOP_WIDTH_MAX ? SP_TOP_WIDTH_MAX : width;
	f->height = height < 1 ? 1 : height > SP_TOP_HEIGHT_MAX ? SP_TOP_HEIGHT_MAX : height;
	f->has_blocks = has_blocks;
	size = f->width * SIGN_LEN + 1;
	f->lines = calloc(f->height, sizeof(*f->lines));
	f->memory = calloc(f->height, size);
	if (!f->lines || !f->memory)
		return NULL;
	for (int i = 0; i < f->height; i++)
		f->lines[i].text = f->memory + i * size;
	return sp_take_ptr(f);
}

void sp_top_frame_free(struct sp_top_frame **frame)
{
	if (!*frame)
		return;
	free((*frame)->lines);
	free((*frame)->memory);
	free(*frame);
	*frame = NULL;
}

/* One sign more; beyond the width there is nothing. */
static void put_sign(const struct sp_top_frame *f, struct sp_top_line *line, const char *sign, size_t len)
{
	if (line->columns >= f->width)
		return;
	memcpy(line->text + line->len, sign, len);
	line->len += len;
	line->columns++;
}

static void begin_span(struct sp_top_line *line, enum sp_colour colour, bool is_reverse)
{
	if (line->nspans < SP_TOP_SPANS)
		line->spans[line->nspans] =
			(struct sp_top_span){ .from = line->len, .colour = colour, .is_reverse = is_reverse };
}

static void end_span(struct sp_top_line *line)
{
	struct sp_top_span *span = &line->spans[line->nspans];

	if (line->nspans == SP_TOP_SPANS || span->from == line->len)
		return;
	span->to = line->len;
	if (span->colour != SP_PLAIN || span->is_reverse)
		line->nspans++;
}

/* Names of processes are others' words: no sign of theirs may steer the terminal. */
static void put(const struct sp_top_frame *f, struct sp_top_line *line, enum sp_colour colour,
		const char *text)
{
	begin_span(line, colour, false);
	for (; *text; text++)
		put_sign(f, line, *text < ' ' || *text > '~' ? "?" : text, 1);
	end_span(line);
}

static void put_blanks(const struct sp_top_frame *f, struct sp_top_line *line, int count)
{
	for (int i = 0; i < count; i++)
		put_sign(f, line, " ", 1);
}

/* In a field; what is too long for it loses its end. */
static void put_field(const struct sp_top_frame *f, struct sp_top_line *line, enum sp_colour colour,
		      bool is_right, int width, const char *text)
{
	int len = strlen(text), shown = len > width ? width : len;
	char cut[SP_REPORT_STRLEN];

	snprintf(cut, sizeof(cut), "%.*s", shown, text);
	if (len > width && width)
		cut[shown - 1] = '~';
	put_blanks(f, line, is_right ? width - shown : 0);
	put(f, line, colour, cut);
	put_blanks(f, line, is_right ? 0 : width - shown);
}

static void put_text(const struct sp_top_frame *f, int y, enum sp_colour colour, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void put_text(const struct sp_top_frame *f, int y, enum sp_colour colour, const char *fmt, ...)
{
	char text[2 * SP_TOP_WIDTH_MAX];
	va_list ap;

	if (y < 0 || y >= f->height)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	put(f, &f->lines[y], colour, text);
}

/* The whole line, to its end, as one that stands out. */
static void reverse(const struct sp_top_frame *f, int y)
{
	struct sp_top_line *line = &f->lines[y];

	put_blanks(f, line, f->width - line->columns);
	line->nspans = 1;
	line->spans[0] = (struct sp_top_span){ .to = line->len, .colour = SP_BOLD, .is_reverse = true };
}

static void clear(struct sp_top_frame *f)
{
	for (int y = 0; y < f->height; y++) {
		f->lines[y].len = 0;
		f->lines[y].columns = 0;
		f->lines[y].nspans = 0;
		memset(f->lines[y].text, 0, f->width * SIGN_LEN + 1);
	}
}

/* --- columns --- */

struct column {
	const char *heading;
	const char *sorted; /* "by ..." */
	int width; /* 0: as there is room */
	bool is_right;
};

static const struct column columns[] = {
	[SP_TOP_SLOT] = { "SLOT", "slot", 4, true },
	[SP_TOP_STATE] = { "STATE", "state", 8, false },
	[SP_TOP_OWNER] = { "OWNER", "owner", 0, false },
	[SP_TOP_SHARE] = { "SHARE", "share", 6, true },
	[SP_TOP_RATE] = { "NEW/S", "new flows", 7, true },
	[SP_TOP_NEW] = { "NEW/S", "new flows", 7, true },
	[SP_TOP_KEPT] = { "KEPT", "kept flows", 7, true },
	[SP_TOP_MIGRATED] = { "MIGRATED", "migrated", 8, true },
	[SP_TOP_QUEUE] = { "QUEUE", "queue", 8, true },
	[SP_TOP_DROPS] = { "DROPS", "drops", 7, true },
};

/* A UDP packet may be any of its flow's. */
static const struct column packets = { "PKTS/S", "packets", 7, true };

static const struct column *column_of(const struct sp_top_model *m, enum sp_top_column column)
{
	return column == SP_TOP_RATE && m->sample.protocol == SP_UDP ? &packets : &columns[column];
}

/* What the columns without a width of their own get. */
struct layout {
	int owner;
	int spark;
};

static struct layout lay_out(const struct sp_top_frame *f, const struct sp_top_model *m, bool has_spark)
{
	int longest = strlen(columns[SP_TOP_OWNER].heading), left = f->width;
	int reserved = has_spark ? SPARK_MIN : 0;
	struct layout layout;

	for (enum sp_top_column c = 0; c < SP_TOP_COLUMNS; c++) {
		if (sp_top_model_has(m, c))
			left -= column_of(m, c)->width + GAP;
	}
	for (size_t i = 0; i < m->nrows; i++) {
		int len = strlen(m->rows[i].now.owner);

		longest = len > longest ? len : longest;
	}
	layout.owner = longest > OWNER_MAX ? OWNER_MAX : longest;
	if (layout.owner > left - reserved)
		layout.owner = left - reserved > OWNER_MIN ? left - reserved : OWNER_MIN;
	layout.spark = left - layout.owner;
	if (!has_spark || layout.spark < SPARK_USEFUL)
		layout.spark = 0;
	if (layout.spark > SP_TOP_HISTORY)
		layout.spark = SP_TOP_HISTORY;
	return layout;
}

static void put_headings(const struct sp_top_frame *f, int y, const struct sp_top_model *m,
			 const struct layout *layout)
{
	struct sp_top_line *line = &f->lines[y];

	for (enum sp_top_column c = 0; c < SP_TOP_COLUMNS; c++) {
		const struct column *column = column_of(m, c);

		if (!sp_top_model_has(m, c))
			continue;
		put_field(f, line, SP_BOLD, column->is_right, column->width ?: layout->owner,
			  column->heading);
		put_blanks(f, line, GAP);
	}
	if (layout->spark)
		put_field(f, line, SP_BOLD, false, layout->spark, "HISTORY");
}

/* --- rows --- */

static const char *rate_text(double rate, char buf[SP_RENDER_STRLEN])
{
	if (rate == 0 || rate >= 9.95)
		return sp_render_count((__u64)(rate + 0.5), buf);
	snprintf(buf, SP_RENDER_STRLEN, "%.1f", rate);
	return buf;
}

static const char *queue_text(const struct sp_top_model *m, const struct sp_top_slot *slot,
			      char buf[SP_RENDER_STRLEN])
{
	if (m->sample.protocol == SP_UDP)
		return sp_render_bytes(slot->backlog, buf);
	snprintf(buf, SP_RENDER_STRLEN, "%u/%u", slot->backlog, slot->backlog_max);
	if ((int)strlen(buf) > columns[SP_TOP_QUEUE].width)
		sp_render_count(slot->backlog, buf);
	return buf;
}

/* "1,204 +3": so many since the sample before */
static const char *drops_text(const struct sp_top_row *row, char buf[SP_RENDER_STRLEN])
{
	char all[SP_RENDER_STRLEN];

	sp_render_count(row->now.drops, all);
	snprintf(buf, SP_RENDER_STRLEN, row->new_drops ? "%.12s +%u" : "%.12s", all, row->new_drops);
	if ((int)strlen(buf) > columns[SP_TOP_DROPS].width)
		snprintf(buf, SP_RENDER_STRLEN, "%s", all);
	return buf;
}

/* "-" where there is nothing to say. */
static const char *cell_text(const struct sp_top_model *m, const struct sp_top_row *row,
			     enum sp_top_column column, char buf[SP_RENDER_STRLEN])
{
	const struct sp_top_slot *slot = &row->now;

	switch (column) {
	case SP_TOP_SLOT:
		snprintf(buf, SP_RENDER_STRLEN, "%u", slot->slot);
		return buf;
	case SP_TOP_STATE:
		return sp_snapshot_state_name(slot->state);
	case SP_TOP_OWNER:
		return slot->owner;
	case SP_TOP_SHARE:
		return slot->state == SP_SLOT_PARKED ? "-" : sp_render_percent(slot->share, buf);
	case SP_TOP_RATE:
		return row->has_rate ? rate_text(row->rate, buf) : "-";
	case SP_TOP_NEW:
		return row->has_rate ? rate_text(row->new_rate, buf) : "-";
	case SP_TOP_KEPT:
		return slot->kept ? sp_render_count(slot->kept, buf) : "-";
	case SP_TOP_MIGRATED:
		return slot->migrated ? sp_render_count(slot->migrated, buf) : "-";
	case SP_TOP_QUEUE:
		return slot->is_seen ? queue_text(m, slot, buf) : "-";
	case SP_TOP_DROPS:
		return slot->is_seen ? drops_text(row, buf) : "-";
	case SP_TOP_COLUMNS:
		break;
	}
	return "";
}

static enum sp_colour cell_colour(const struct sp_top_row *row, enum sp_top_column column)
{
	switch (column) {
	case SP_TOP_STATE:
		return sp_snapshot_state_colour(row->now.state);
	case SP_TOP_MIGRATED:
		return row->new_migrated ? SP_YELLOW : SP_PLAIN;
	case SP_TOP_DROPS:
		return row->new_drops ? SP_RED : SP_PLAIN;
	default:
		return SP_PLAIN;
	}
}

/* Of so many steps above nothing; what is more than nothing is at least one. */
static int level_of(double rate, double peak, int steps)
{
	double exact = peak > 0 ? rate / peak * steps : 0;
	int level = (int)exact;

	return level < exact ? level + 1 : level;
}

/* Nothing at all is a sign of its own: what is little must not look like it. */
static void put_spark(const struct sp_top_frame *f, struct sp_top_line *line, const struct sp_top_model *m,
		      __u32 slot, int width, double peak)
{
	static const char signs[] = "_.:-=+*#";
	int steps = sizeof(signs) - 2;

	for (int ago = width - 1; ago >= 0; ago--) {
		double rate = sp_top_model_past(m, slot, ago);
		int level = level_of(rate, peak, steps);
		/* U+2581 and up */
		const char block[SIGN_LEN] = { '\xe2', '\x96', '\x81' + level };

		if ((__u32)ago >= m->length)
			put_sign(f, line, " ", 1);
		else if (f->has_blocks)
			put_sign(f, line, block, SIGN_LEN);
		else
			put_sign(f, line, &signs[level], 1);
	}
}

static void put_row(const struct sp_top_frame *f, int y, const struct sp_top_model *m,
		    const struct sp_top_row *row, const struct layout *layout, double peak)
{
	struct sp_top_line *line = &f->lines[y];
	char buf[SP_RENDER_STRLEN];

	for (enum sp_top_column c = 0; c < SP_TOP_COLUMNS; c++) {
		const struct column *column = column_of(m, c);

		if (!sp_top_model_has(m, c))
			continue;
		put_field(f, line, cell_colour(row, c), column->is_right, column->width ?: layout->owner,
			  cell_text(m, row, c, buf));
		put_blanks(f, line, GAP);
	}
	put_spark(f, line, m, row->now.slot, layout->spark, peak);
}

/* --- the table --- */

size_t sp_top_frame_rows(int height)
{
	return height > LINES_ABOVE + 1 ? height - LINES_ABOVE - 1 : 1;
}

int sp_top_frame_height(size_t nrows)
{
	return LINES_ABOVE + (int)nrows;
}

static void put_sums(const struct sp_top_frame *f, int y, const struct sp_top_model *m, __u64 interval_ns)
{
	const struct sp_top_sample *s = &m->sample;
	bool is_udp = s->protocol == SP_UDP;
	char text[SP_RENDER_STRLEN];
	__u64 kept = 0;

	for (size_t i = 0; i < m->nrows; i++)
		kept += m->rows[i].now.kept;
	put_text(f, y, SP_PLAIN, "%s %s/s", m->has_rate ? rate_text(m->rate, text) : "-",
		 is_udp ? "packets" : "new connections");
	if (is_udp)
		put_text(f, y, SP_PLAIN, "   %s kept flow%s", sp_render_count(kept, text),
			 kept == 1 ? "" : "s");
	if (s->learn_remaining_ns)
		put_text(f, y, SP_YELLOW, "   learning for %s more",
			 sp_render_remaining(s->learn_remaining_ns, text));
	put_text(f, y, SP_DIM, "   every %s, by %s%s", sp_render_duration(interval_ns, text),
		 column_of(m, m->sort)->sorted, m->is_reversed ? " upwards" : "");
}

/* @first: the row that is the first one shown; @selected: -1: none */
static void put_table(struct sp_top_frame *f, const struct sp_top_model *m, __u64 interval_ns, size_t first,
		      size_t shown, int selected, bool has_spark)
{
	const struct sp_top_sample *s = &m->sample;
	struct layout layout = lay_out(f, m, has_spark);
	double peak = sp_top_model_peak(m, layout.spark);

	put_text(f, 0, SP_BOLD, "%s", s->name);
	/* How many are live is what may least be cut off. */
	put_text(f, 0, SP_PLAIN, "   %s   %s", s->slots_text, s->place);
	if (f->height <= LINES_ABOVE)
		return;
	put_sums(f, 1, m, interval_ns);
	if (shown < m->nrows)
		put_text(f, 1, SP_DIM, "   rows %zu to %zu of %zu", first + 1, first + shown, m->nrows);
	if (s->news[0])
		put_text(f, 2, SP_YELLOW, "%s", s->news);
	else
		put_text(f, 2, SP_PLAIN, "%s", s->program);
	put_headings(f, 3, m, &layout);
	for (size_t i = 0; i < shown; i++) {
		int y = LINES_ABOVE + (int)i;

		put_row(f, y, m, &m->rows[first + i], &layout, peak);
		if ((int)(first + i) != selected)
			continue;
		/* The first column has a blank there, but for slots from 1000 up. */
		if (f->lines[y].text[0] == ' ')
			f->lines[y].text[0] = '>';
		reverse(f, y);
	}
}

void sp_top_frame_draw_table(struct sp_top_frame *f, const struct sp_top_model *m, __u64 interval_ns)
{
	size_t room = f->height > LINES_ABOVE ? f->height - LINES_ABOVE : 0;

	clear(f);
	put_table(f, m, interval_ns, 0, m->nrows < room ? m->nrows : room, -1, false);
}

/* --- the terminal --- */

static const char *const help[] = {
	"steadyport top: one steered group, slot by slot",
	"",
	"  up, down, k, j   select a slot; page up, page down, home, end",
	"  s, r             sort by the next column; the other way round",
	"  g, tab           choose a group; the next group",
	"  d                drain the selected slot: no new flows go there, old ones stay",
	"  u                undrain it: it takes new flows again",
	"  ?                this text",
	"  q                quit",
	"",
	"  SHARE     of new flows",
	"  NEW/S     new flows a second: TCP: connections; UDP: with --track always",
	"  PKTS/S    UDP: packets a second",
	"  KEPT      UDP: flows that are remembered to be there",
	"  MIGRATED  TCP: connections taken over from listeners that were closed",
	"  QUEUE     TCP: connections that wait to be accepted / that may; UDP: bytes",
	"  DROPS     at the full queue; +3: so many since the look before",
	"  HISTORY   NEW/S or PKTS/S; the highest sign is the highest of all slots",
	"",
	"Any key leads back.",
};

static void put_help(struct sp_top_frame *f)
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(help); i++)
		put_text(f, (int)i, i ? SP_PLAIN : SP_BOLD, "%s", help[i]);
}

static void put_groups(struct sp_top_frame *f, const struct sp_top_ui *ui)
{
	size_t room = f->height > 2 ? f->height - 2 : 1;
	size_t first = ui->chosen >= room ? ui->chosen - room + 1 : 0;

	put_text(f, 0, SP_BOLD, "Groups that are steered");
	for (size_t i = first; i < ui->nnames && i - first < room; i++) {
		int y = 1 + (int)(i - first);

		put_text(f, y, SP_PLAIN, "%c %s", i == ui->chosen ? '>' : ' ', ui->names[i]);
		if (i == ui->chosen && y < f->height)
			reverse(f, y);
	}
	put_text(f, f->height - 1, SP_DIM, "enter choose   esc back   q quit");
}

static void put_footer(struct sp_top_frame *f, const struct sp_top_model *m, const struct sp_top_ui *ui)
{
	const struct sp_top_row *row = sp_top_model_row(m, ui->slot);
	int y = f->height - 1;

	if (ui->mode == SP_TOP_CONFIRM && row) {
		put_text(f, y, SP_BOLD, "%s slot %u, %s? %s   y or n",
			 ui->change == SP_CHANGE_DRAIN ? "Drain" : "Undrain", ui->slot, row->now.owner,
			 ui->change == SP_CHANGE_DRAIN ? "Old flows stay, no new ones go there." :
							 "It takes new flows again.");
		reverse(f, y);
	} else if (ui->message[0]) {
		put_text(f, y, SP_BOLD, "%s", ui->message);
	} else {
		put_text(f, y, SP_DIM,
			 "q quit   ? help   s sort   r reverse   g group   d drain   u undrain");
	}
}

void sp_top_frame_draw(struct sp_top_frame *f, const struct sp_top_model *m, const struct sp_top_ui *ui,
		       __u64 interval_ns)
{
	size_t room = sp_top_frame_rows(f->height), shown = m->nrows < room ? m->nrows : room;
	int selected = sp_top_model_index(m, ui->slot);

	clear(f);
	if (ui->mode == SP_TOP_HELP) {
		put_help(f);
		return;
	}
	if (ui->mode == SP_TOP_GROUPS) {
		put_groups(f, ui);
		return;
	}
	if (m->has_sample) {
		put_table(f, m, interval_ns, selected >= (int)room ? selected - room + 1 : 0, shown, selected,
			  true);
	} else {
		put_text(f, 0, SP_BOLD, "%s", ui->group);
		put_text(f, 0, SP_YELLOW, " is not steered any more.");
		put_text(f, 2, SP_PLAIN, "%s",
			 ui->nnames ?
				 "Choose another group: g. Or wait until it is steered again." :
				 "No other group is steered. It will be shown when it is steered again.");
	}
	put_footer(f, m, ui);
}

char *sp_top_frame_text(const struct sp_top_frame *f)
{
	char *text = malloc(f->height * (f->width * SIGN_LEN + 1) + 1), *end = text;
	int height = f->height;

	if (!text)
		return NULL;
	while (height && !f->lines[height - 1].len)
		height--;
	for (int y = 0; y < height; y++) {
		memcpy(end, f->lines[y].text, f->lines[y].len);
		end += f->lines[y].len;
		while (end > text && end[-1] == ' ')
			end--;
		*end++ = '\n';
	}
	*end = '\0';
	return text;
}
