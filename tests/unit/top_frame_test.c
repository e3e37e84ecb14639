// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The pictures of `top`, sign by sign, at 80x24 and at other sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "cleanup.h"
#include "top_frame.h"
#include "top_sample.h"

#define S SP_TOP_TEST_NS

static const char names[][SP_NAME_MAX + 1] = { "dns", "h3" };

static struct sp_top_model *model;
static struct sp_top_ui ui;

static int make(void **state)
{
	(void)state;
	model = sp_top_model_new();
	ui = (struct sp_top_ui){ .group = "h3", .names = names, .nnames = SP_ARRAY_SIZE(names) };
	return model ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	sp_top_model_free(&model);
	return 0;
}

static void add(struct sp_top_sample sample)
{
	assert_int_equal(sp_top_model_add(model, &sample), 0);
	sp_top_ui_settle(&ui, model);
}

/* To sp_top_frame_free(). What must hold of any frame is checked. */
static struct sp_top_frame *drawn(int width, int height, bool has_blocks)
{
	struct sp_top_frame *frame = sp_top_frame_new(width, height, has_blocks);

	assert_non_null(frame);
	sp_top_frame_draw(frame, model, &ui, S);
	for (int y = 0; y < height; y++) {
		const struct sp_top_line *line = &frame->lines[y];
		size_t at = 0;

		assert_true(line->columns <= width);
		assert_int_equal(line->len, strlen(line->text));
		for (size_t i = 0; i < line->nspans; i++) {
			assert_true(line->spans[i].from >= at && line->spans[i].to > line->spans[i].from);
			at = line->spans[i].to;
		}
		assert_true(at <= line->len);
	}
	return frame;
}

static void expect(int width, int height, const char *text)
{
	sp_autotopframe struct sp_top_frame *frame = drawn(width, height, false);
	sp_autofree char *is = sp_top_frame_text(frame);

	assert_non_null(is);
	assert_string_equal(is, text);
}

/* Two seconds of a UDP group in which everything happens. */
static void add_udp(void)
{
	struct sp_top_sample s = sp_top_sample_of(SP_UDP, 4, S);

	add(s);
	s = sp_top_sample_of(SP_UDP, 4, 2 * S);
	s.slots[0].placed = 1000;
	s.slots[1].placed = 500;
	add(s);
	s = sp_top_sample_of(SP_UDP, 4, 3 * S);
	strcpy(s.slots_text, "4 slots: 2 live, 1 draining, 1 dead");
	s.slots[0].placed = 1000 + 1204;
	s.slots[0].kept = 180;
	s.slots[0].backlog = 12 * 1024;
	s.slots[0].share = 0.5;
	s.slots[1].placed = 500 + 3;
	s.slots[1].kept = 132;
	s.slots[1].drops = 7;
	s.slots[1].share = 0.5;
	s.slots[2].state = SP_SLOT_DRAINING;
	s.slots[2].share = 0;
	s.slots[3].state = SP_SLOT_DEAD;
	s.slots[3].share = 0;
	s.slots[3].is_seen = false;
	strcpy(s.slots[3].owner, "(h3d, 12 s)");
	strcpy(s.news, "1 slot is dead; new workers take it: steadyport sync h3");
	s.learn_remaining_ns = 4100000000;
	add(s);
}

static void frame__udp_group_at_80x24__this_picture(void **state)
{
	(void)state;
	add_udp();
	ui.slot = 1;
	expect(80, 24,
	       "h3   4 slots: 2 live, 1 draining, 1 dead   udp [::]:443\n"
	       "1,207 packets/s   312 kept flows   learning for 5 s more   every 1 s, by slot\n"
	       "1 slot is dead; new workers take it: steadyport sync h3\n"
	       "SLOT STATE    OWNER        SHARE  PKTS/S    KEPT    QUEUE   DROPS HISTORY\n"
	       "   0 live     h3d[4411]    50.0%   1,204     180   12 KiB       0             *#\n"
	       ">  1 live     h3d[4412]    50.0%     3.0     132        0    7 +7             -.\n"
	       "   2 draining h3d[4413]     0.0%       0       -        0       0             __\n"
	       "   3 dead     (h3d, 12 s)   0.0%       0       -        -       -             __\n"
	       "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n"
	       "q quit   ? help   s sort   r reverse   g group   d drain   u undrain\n");
}

static void frame__tcp_group_at_80x24__this_picture(void **state)
{
	struct sp_top_sample s = sp_top_sample_of(SP_TCP, 2, S);

	(void)state;
	add(s);
	s = sp_top_sample_of(SP_TCP, 2, 2 * S);
	s.slots[0].placed = 95;
	s.slots[0].backlog = 12;
	s.slots[1].migrated = 1234;
	s.slots[1].backlog = 65000;
	s.slots[1].backlog_max = 65535;
	strcpy(s.slots[1].owner, "a-very-long-name[4412345] +17");
	add(s);
	sp_top_model_sort(model, SP_TOP_MIGRATED, true);
	expect(80, 24,
	       "h3   2 slots: 2 live   tcp [::]:443\n"
	       "95 new connections/s   every 1 s, by migrated upwards\n"
	       "program 84 attached 3 h ago\n"
	       "SLOT STATE    OWNER           SHARE   NEW/S MIGRATED    QUEUE   DROPS HISTORY\n"
	       ">  0 live     h3d[4411]       50.0%      95        -   12/128       0          #\n"
	       "   1 live     a-very-long-n~  50.0%       0    1,234   65,000       0          _\n"
	       "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n"
	       "q quit   ? help   s sort   r reverse   g group   d drain   u undrain\n");
}

static void frame__first_sample__says_that_it_knows_no_rates(void **state)
{
	(void)state;
	add(sp_top_sample_of(SP_UDP, 1, S));
	expect(80, 6,
	       "h3   1 slots: 1 live   udp [::]:443\n"
	       "- packets/s   0 kept flows   every 1 s, by slot\n"
	       "program 84 attached 3 h ago\n"
	       "SLOT STATE    OWNER      SHARE  PKTS/S    KEPT    QUEUE   DROPS HISTORY\n"
	       ">  0 live     h3d[4411] 100.0%       -       -        0       0\n"
	       "q quit   ? help   s sort   r reverse   g group   d drain   u undrain\n");
}

static void frame__tracks_always__shows_new_flows_beside_packets(void **state)
{
	struct sp_top_sample s = sp_top_sample_of(SP_UDP, 1, S);

	(void)state;
	s.track = SP_TRACK_ALWAYS;
	add(s);
	s = sp_top_sample_of(SP_UDP, 1, 2 * S);
	s.track = SP_TRACK_ALWAYS;
	s.slots[0].placed = 4000;
	s.slots[0].stored = 25;
	add(s);
	expect(80, 6,
	       "h3   1 slots: 1 live   udp [::]:443\n"
	       "4,000 packets/s   0 kept flows   every 1 s, by slot\n"
	       "program 84 attached 3 h ago\n"
	       "SLOT STATE    OWNER     SHARE  PKTS/S   NEW/S    KEPT    QUEUE   DROPS HISTORY\n"
	       ">  0 live     h3d[441~ 100.0%   4,000      25       -        0       0         #\n"
	       "q quit   ? help   s sort   r reverse   g group   d drain   u undrain\n");
}

static void frame__question__names_slot_worker_and_answers(void **state)
{
	(void)state;
	add_udp();
	ui.slot = 2;
	ui.mode = SP_TOP_CONFIRM;
	ui.change = SP_CHANGE_DRAIN;
	expect(80, 3,
	       "h3   4 slots: 2 live, 1 draining, 1 dead   udp [::]:443\n"
	       "\n"
	       "Drain slot 2, h3d[4413]? Old flows stay, no new ones go there.   y or n\n");
	ui.change = SP_CHANGE_UNDRAIN;
	expect(80, 3,
	       "h3   4 slots: 2 live, 1 draining, 1 dead   udp [::]:443\n"
	       "\n"
	       "Undrain slot 2, h3d[4413]? It takes new flows again.   y or n\n");
}

static void frame__message__stands_where_the_keys_are(void **state)
{
	(void)state;
	add(sp_top_sample_of(SP_UDP, 1, S));
	strcpy(ui.message, "Slot 0 is draining.");
	expect(80, 3,
	       "h3   1 slots: 1 live   udp [::]:443\n"
	       "\n"
	       "Slot 0 is draining.\n");
}

static void frame__group_is_gone__says_so(void **state)
{
	(void)state;
	expect(80, 24,
	       "h3 is not steered any more.\n"
	       "\n"
	       "Choose another group: g. Or wait until it is steered again.\n"
	       "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n"
	       "q quit   ? help   s sort   r reverse   g group   d drain   u undrain\n");
}

static void frame__list_of_groups__marks_the_chosen_one(void **state)
{
	(void)state;
	ui.mode = SP_TOP_GROUPS;
	ui.chosen = 1;
	expect(80, 5,
	       "Groups that are steered\n"
	       "  dns\n"
	       "> h3\n"
	       "\n"
	       "enter choose   esc back   q quit\n");
	/* Too many for the height: the chosen one is among those shown. */
	expect(80, 3,
	       "Groups that are steered\n"
	       "> h3\n"
	       "enter choose   esc back   q quit\n");
}

static void frame__more_slots_than_lines__the_selected_one_is_shown(void **state)
{
	sp_autotopframe struct sp_top_frame *frame = NULL;

	(void)state;
	add(sp_top_sample_of(SP_UDP, 1024, S));
	ui.slot = 1023;
	frame = drawn(80, 24, false);
	assert_memory_equal(frame->lines[22].text, "1023 live ", 10);
	assert_memory_equal(frame->lines[4].text, "1005 live ", 10);
	assert_non_null(strstr(frame->lines[1].text, "rows 1006 to 1024 of 1024"));
	/* There is no room for the mark, but it stands out. */
	assert_true(frame->lines[22].spans[0].is_reverse);
	sp_top_frame_free(&frame);
	ui.slot = 3;
	frame = drawn(80, 24, false);
	assert_memory_equal(frame->lines[7].text, ">  3 live ", 10);
}

static void frame__help__fits_24_lines_of_80(void **state)
{
	sp_autotopframe struct sp_top_frame *frame = NULL, *wide = NULL;
	sp_autofree char *text = NULL, *whole = NULL;

	(void)state;
	ui.mode = SP_TOP_HELP;
	frame = drawn(80, 24, false);
	wide = drawn(200, 100, false);
	text = sp_top_frame_text(frame);
	whole = sp_top_frame_text(wide);
	assert_string_equal(text, whole);
	assert_non_null(strstr(text, "Any key leads back.\n"));
}

static void frame__any_size__stays_within_it(void **state)
{
	(void)state;
	add_udp();
	for (ui.mode = SP_TOP_TABLE; ui.mode <= SP_TOP_GROUPS; ui.mode++) {
		for (int width = 1; width <= 200; width += 7) {
			for (int height = 1; height <= 40; height++) {
				struct sp_top_frame *frame = drawn(width, height, width % 2);

				sp_top_frame_free(&frame);
			}
		}
	}
}

static void frame__blocks__one_column_each_and_little_is_not_nothing(void **state)
{
	sp_autotopframe struct sp_top_frame *frame = NULL;

	(void)state;
	add_udp();
	frame = drawn(80, 24, true);
	/* 1000 and 1204; 500 and 3; nothing */
	assert_string_equal(frame->lines[4].text + frame->lines[4].len - 6, "▇█");
	assert_string_equal(frame->lines[5].text + frame->lines[5].len - 6, "▄▂");
	assert_string_equal(frame->lines[6].text + frame->lines[6].len - 6, "▁▁");
	assert_int_equal(frame->lines[5].columns, 80);
}

static void frame__name_that_steers_terminals__is_made_harmless(void **state)
{
	struct sp_top_sample s = sp_top_sample_of(SP_UDP, 1, S);
	sp_autotopframe struct sp_top_frame *frame = NULL;

	(void)state;
	strcpy(s.slots[0].owner, "\033[2Jx\xff\n");
	add(s);
	frame = drawn(80, 24, false);
	assert_non_null(strstr(frame->lines[4].text, "?[2Jx??"));
}

static bool has_span(const struct sp_top_line *line, const char *text, enum sp_colour colour)
{
	for (size_t i = 0; i < line->nspans; i++) {
		const struct sp_top_span *span = &line->spans[i];

		if (span->colour == colour && span->to - span->from == strlen(text) &&
		    !strncmp(line->text + span->from, text, strlen(text)))
			return true;
	}
	return false;
}

static void frame__states_and_losses__have_colours(void **state)
{
	sp_autotopframe struct sp_top_frame *frame = NULL;

	(void)state;
	add_udp();
	frame = drawn(80, 24, false);
	assert_true(has_span(&frame->lines[0], "h3", SP_BOLD));
	assert_true(has_span(&frame->lines[5], "live", SP_GREEN));
	assert_true(has_span(&frame->lines[5], "7 +7", SP_RED));
	assert_true(has_span(&frame->lines[6], "draining", SP_YELLOW));
	assert_true(has_span(&frame->lines[7], "dead", SP_RED));
}

static void once__udp_group__the_table_alone(void **state)
{
	sp_autotopframe struct sp_top_frame *frame = NULL;
	sp_autofree char *text = NULL;

	(void)state;
	add_udp();
	frame = sp_top_frame_new(80, sp_top_frame_height(model->nrows), false);
	assert_non_null(frame);
	sp_top_frame_draw_table(frame, model, S / 2);
	text = sp_top_frame_text(frame);
	assert_string_equal(
		text, "h3   4 slots: 2 live, 1 draining, 1 dead   udp [::]:443\n"
		      "1,207 packets/s   312 kept flows   learning for 5 s more   every 500 ms, by slot\n"
		      "1 slot is dead; new workers take it: steadyport sync h3\n"
		      "SLOT STATE    OWNER        SHARE  PKTS/S    KEPT    QUEUE   DROPS\n"
		      "   0 live     h3d[4411]    50.0%   1,204     180   12 KiB       0\n"
		      "   1 live     h3d[4412]    50.0%     3.0     132        0    7 +7\n"
		      "   2 draining h3d[4413]     0.0%       0       -        0       0\n"
		      "   3 dead     (h3d, 12 s)   0.0%       0       -        -       -\n");
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, make, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(frame__udp_group_at_80x24__this_picture),
		CASE(frame__tcp_group_at_80x24__this_picture),
		CASE(frame__first_sample__says_that_it_knows_no_rates),
		CASE(frame__tracks_always__shows_new_flows_beside_packets),
		CASE(frame__question__names_slot_worker_and_answers),
		CASE(frame__message__stands_where_the_keys_are),
		CASE(frame__group_is_gone__says_so),
		CASE(frame__list_of_groups__marks_the_chosen_one),
		CASE(frame__more_slots_than_lines__the_selected_one_is_shown),
		CASE(frame__help__fits_24_lines_of_80),
		CASE(frame__any_size__stays_within_it),
		CASE(frame__blocks__one_column_each_and_little_is_not_nothing),
		CASE(frame__name_that_steers_terminals__is_made_harmless),
		CASE(frame__states_and_losses__have_colours),
		CASE(once__udp_group__the_table_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
