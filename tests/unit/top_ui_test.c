// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What keys do in `top`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "cleanup.h"
#include "top_sample.h"
#include "top_ui.h"

static const char names[][SP_NAME_MAX + 1] = { "dns", "h3", "web" };

static struct sp_top_model *model;
static struct sp_top_ui ui;

static int make(void **state)
{
	struct sp_top_sample sample = sp_top_sample_of(SP_UDP, 5, SP_TOP_TEST_NS);

	(void)state;
	model = sp_top_model_new();
	ui = (struct sp_top_ui){ .group = "h3", .page = 3, .names = names, .nnames = SP_ARRAY_SIZE(names) };
	return model ? sp_top_model_add(model, &sample) : -1;
}

static int end(void **state)
{
	(void)state;
	sp_top_model_free(&model);
	return 0;
}

static enum sp_top_action press(int key)
{
	return sp_top_ui_key(&ui, model, key);
}

static void add(struct sp_top_sample sample)
{
	assert_int_equal(sp_top_model_add(model, &sample), 0);
	sp_top_ui_settle(&ui, model);
}

static void keys__up_and_down__select_in_the_order_shown(void **state)
{
	(void)state;
	press('j');
	press(SP_TOP_KEY_DOWN);
	assert_int_equal(ui.slot, 2);
	press('k');
	assert_int_equal(ui.slot, 1);
	press(SP_TOP_KEY_END);
	assert_int_equal(ui.slot, 4);
	press(SP_TOP_KEY_DOWN);
	assert_int_equal(ui.slot, 4);
	press(SP_TOP_KEY_PAGE_UP);
	assert_int_equal(ui.slot, 1);
	press(SP_TOP_KEY_PAGE_UP);
	assert_int_equal(ui.slot, 0);
	press(SP_TOP_KEY_PAGE_DOWN);
	assert_int_equal(ui.slot, 3);
	press(SP_TOP_KEY_PAGE_DOWN);
	assert_int_equal(ui.slot, 4);
	press(SP_TOP_KEY_HOME);
	assert_int_equal(ui.slot, 0);
	press('r');
	press(SP_TOP_KEY_UP);
	assert_int_equal(ui.slot, 1);
}

static void keys__sort__goes_round_the_columns_the_group_has(void **state)
{
	static const enum sp_top_column order[] = { SP_TOP_STATE, SP_TOP_OWNER, SP_TOP_SHARE, SP_TOP_RATE,
						    SP_TOP_KEPT,  SP_TOP_QUEUE, SP_TOP_DROPS, SP_TOP_SLOT };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(order); i++) {
		assert_int_equal(press('s'), SP_TOP_NOTHING);
		assert_int_equal(model->sort, order[i]);
	}
	press('r');
	assert_true(model->is_reversed);
	press('s');
	assert_false(model->is_reversed);
}

static void keys__drain_and_yes__is_done(void **state)
{
	(void)state;
	press('j');
	assert_int_equal(press('d'), SP_TOP_NOTHING);
	assert_int_equal(ui.mode, SP_TOP_CONFIRM);
	assert_int_equal(press('y'), SP_TOP_CHANGE);
	assert_int_equal(ui.change, SP_CHANGE_DRAIN);
	assert_int_equal(ui.slot, 1);
	assert_int_equal(ui.mode, SP_TOP_TABLE);
	press('u');
	assert_int_equal(press('Y'), SP_TOP_CHANGE);
	assert_int_equal(ui.change, SP_CHANGE_UNDRAIN);
}

/* Neither a second d, nor q, nor what a person hits who wants to go on, is a yes. */
static void keys__drain_and_any_other_key__nothing_is_done(void **state)
{
	static const int others[] = { 'n',	    'd', 'q', 'u', ' ', SP_TOP_KEY_ENTER, SP_TOP_KEY_ESCAPE,
				      SP_TOP_KEY_UP };

	(void)state;
	press('j');
	for (size_t i = 0; i < SP_ARRAY_SIZE(others); i++) {
		press('d');
		assert_int_equal(press(others[i]), SP_TOP_NOTHING);
		assert_int_equal(ui.mode, SP_TOP_TABLE);
		assert_int_equal(ui.slot, 1);
		assert_string_equal(ui.message, "Nothing was changed.");
	}
	assert_int_equal(press('y'), SP_TOP_NOTHING);
	assert_string_equal(ui.message, "");
}

static void question__another_worker_took_the_slot__yes_is_not_for_it(void **state)
{
	struct sp_top_sample sample = sp_top_sample_of(SP_UDP, 5, 2 * SP_TOP_TEST_NS);

	(void)state;
	press('d');
	sample.slots[0].incarnation++;
	add(sample);
	assert_int_equal(ui.mode, SP_TOP_CONFIRM);
	assert_int_equal(press('y'), SP_TOP_NOTHING);
	assert_non_null(strstr(ui.message, "another worker"));
}

static void question__slot_is_gone__is_not_asked_of_another_one(void **state)
{
	(void)state;
	press(SP_TOP_KEY_END);
	press('d');
	add(sp_top_sample_of(SP_UDP, 3, 2 * SP_TOP_TEST_NS));
	assert_int_equal(ui.mode, SP_TOP_TABLE);
	assert_int_equal(ui.slot, 0);
	assert_non_null(strstr(ui.message, "Slot 4 is gone"));
	assert_int_equal(press('y'), SP_TOP_NOTHING);
}

static void question__no_slot_at_all__is_not_asked(void **state)
{
	(void)state;
	sp_top_model_clear(model);
	press('d');
	assert_int_equal(ui.mode, SP_TOP_TABLE);
}

static void selection__order_changes__stays_with_the_slot(void **state)
{
	struct sp_top_sample sample = sp_top_sample_of(SP_UDP, 5, 2 * SP_TOP_TEST_NS);

	(void)state;
	press('j');
	sample.slots[4].drops = 10;
	add(sample);
	sp_top_model_sort(model, SP_TOP_DROPS, false);
	assert_int_equal(ui.slot, 1);
	press('k');
	assert_int_equal(ui.slot, 0);
	press('k');
	assert_int_equal(ui.slot, 4);
}

static void groups__chosen_from_the_list__is_looked_at(void **state)
{
	(void)state;
	press('g');
	assert_int_equal(ui.mode, SP_TOP_GROUPS);
	assert_int_equal(ui.chosen, 1);
	press('j');
	assert_int_equal(press(SP_TOP_KEY_ENTER), SP_TOP_CHOOSE);
	assert_string_equal(ui.group, "web");
	assert_int_equal(ui.mode, SP_TOP_TABLE);
}

static void groups__left_or_the_same_chosen__nothing_changes(void **state)
{
	(void)state;
	press('g');
	press('j');
	assert_int_equal(press(SP_TOP_KEY_ESCAPE), SP_TOP_NOTHING);
	assert_string_equal(ui.group, "h3");
	press('g');
	assert_int_equal(press(SP_TOP_KEY_ENTER), SP_TOP_NOTHING);
	assert_string_equal(ui.group, "h3");
}

static void groups__tab__goes_round(void **state)
{
	(void)state;
	assert_int_equal(press('\t'), SP_TOP_CHOOSE);
	assert_string_equal(ui.group, "web");
	press('\t');
	assert_string_equal(ui.group, "dns");
	ui.nnames = 0;
	assert_int_equal(press('\t'), SP_TOP_NOTHING);
	press('g');
	assert_int_equal(press(SP_TOP_KEY_ENTER), SP_TOP_NOTHING);
}

static void groups__names_become_fewer__choice_is_one_of_them(void **state)
{
	(void)state;
	press('g');
	press(SP_TOP_KEY_END);
	ui.nnames = 1;
	sp_top_ui_settle(&ui, model);
	assert_int_equal(ui.chosen, 0);
}

static void keys__help_and_quit__do_so(void **state)
{
	(void)state;
	press('?');
	assert_int_equal(ui.mode, SP_TOP_HELP);
	assert_int_equal(press('x'), SP_TOP_NOTHING);
	assert_int_equal(ui.mode, SP_TOP_TABLE);
	press('?');
	assert_int_equal(press('q'), SP_TOP_QUIT);
	assert_int_equal(press('q'), SP_TOP_QUIT);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, make, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(keys__up_and_down__select_in_the_order_shown),
		CASE(keys__sort__goes_round_the_columns_the_group_has),
		CASE(keys__drain_and_yes__is_done),
		CASE(keys__drain_and_any_other_key__nothing_is_done),
		CASE(question__another_worker_took_the_slot__yes_is_not_for_it),
		CASE(question__slot_is_gone__is_not_asked_of_another_one),
		CASE(question__no_slot_at_all__is_not_asked),
		CASE(selection__order_changes__stays_with_the_slot),
		CASE(groups__chosen_from_the_list__is_looked_at),
		CASE(groups__left_or_the_same_chosen__nothing_changes),
		CASE(groups__tab__goes_round),
		CASE(groups__names_become_fewer__choice_is_one_of_them),
		CASE(keys__help_and_quit__do_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
