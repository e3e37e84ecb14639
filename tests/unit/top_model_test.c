// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What `top` makes of samples: rates, histories, order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "cleanup.h"
#include "top_sample.h"

#define S SP_TOP_TEST_NS

static struct sp_top_model *model;

static int make_model(void **state)
{
	(void)state;
	model = sp_top_model_new();
	return model ? 0 : -1;
}

static int free_model(void **state)
{
	(void)state;
	sp_top_model_free(&model);
	return 0;
}

/* A UDP sample with these counts of placed packets. */
static struct sp_top_sample counted(__u64 now_ns, __u64 first, __u64 second)
{
	struct sp_top_sample s = sp_top_sample_of(SP_UDP, 2, now_ns);

	s.slots[0].placed = first;
	s.slots[1].placed = second;
	return s;
}

static void add(struct sp_top_sample sample)
{
	assert_int_equal(sp_top_model_add(model, &sample), 0);
	assert_null(sample.slots);
}

static void refresh(struct sp_top_sample sample)
{
	assert_int_equal(sp_top_model_refresh(model, &sample), 0);
	assert_null(sample.slots);
}

static double rate_of(__u32 slot)
{
	const struct sp_top_row *row = sp_top_model_row(model, slot);

	assert_non_null(row);
	assert_true(row->has_rate);
	return row->rate;
}

static void model__first_sample__has_no_rates(void **state)
{
	(void)state;
	add(counted(10 * S, 700, 900));
	assert_int_equal(model->nrows, 2);
	assert_false(model->has_rate);
	assert_false(sp_top_model_row(model, 0)->has_rate);
	assert_int_equal(model->length, 0);
}

static void model__two_samples__rate_is_the_difference_by_the_time(void **state)
{
	(void)state;
	add(counted(10 * S, 700, 900));
	add(counted(12 * S, 800, 900));
	assert_true(rate_of(0) == 50);
	assert_true(rate_of(1) == 0);
	assert_true(model->has_rate);
	assert_true(model->rate == 50);
	add(counted(12 * S + S / 2, 801, 950));
	assert_true(rate_of(0) == 2);
	assert_true(rate_of(1) == 100);
	assert_true(model->rate == 102);
}

static void model__several_samples__history_is_in_order(void **state)
{
	(void)state;
	add(counted(1 * S, 0, 0));
	add(counted(2 * S, 10, 0));
	add(counted(3 * S, 30, 0));
	add(counted(4 * S, 60, 5));
	assert_int_equal(model->length, 3);
	assert_true(sp_top_model_past(model, 0, 0) == 30);
	assert_true(sp_top_model_past(model, 0, 1) == 20);
	assert_true(sp_top_model_past(model, 0, 2) == 10);
	assert_true(sp_top_model_past(model, 0, 3) == 0);
	assert_true(sp_top_model_past(model, 1, 0) == 5);
	assert_true(sp_top_model_peak(model, 3) == 30);
	assert_true(sp_top_model_peak(model, 0) == 0);
}

static void model__more_samples_than_the_ring_holds__the_oldest_go(void **state)
{
	__u64 placed = 0;

	(void)state;
	for (__u64 i = 0; i <= SP_TOP_HISTORY + 10; i++) {
		placed += i;
		add(counted((1 + i) * S, placed, 0));
	}
	assert_int_equal(model->length, SP_TOP_HISTORY);
	assert_true(sp_top_model_past(model, 0, 0) == SP_TOP_HISTORY + 10);
	assert_true(sp_top_model_past(model, 0, SP_TOP_HISTORY - 1) == 11);
	assert_true(sp_top_model_past(model, 0, SP_TOP_HISTORY) == 0);
}

static void model__refreshed_in_between__next_rate_is_of_the_whole_interval(void **state)
{
	struct sp_top_sample drained = counted(2 * S + S / 2, 40, 0);

	(void)state;
	add(counted(1 * S, 0, 0));
	add(counted(2 * S, 10, 0));
	drained.slots[0].state = SP_SLOT_DRAINING;
	refresh(drained);
	assert_int_equal(sp_top_model_row(model, 0)->now.state, SP_SLOT_DRAINING);
	assert_true(rate_of(0) == 10);
	assert_int_equal(model->length, 1);
	add(counted(3 * S, 70, 0));
	assert_true(rate_of(0) == 60);
	assert_int_equal(model->length, 2);
}

static void model__attached_anew__begins_a_new_history(void **state)
{
	struct sp_top_sample again = counted(3 * S, 5, 0);

	(void)state;
	add(counted(1 * S, 0, 0));
	add(counted(2 * S, 1000, 0));
	again.attached_at = 2;
	add(again);
	assert_false(sp_top_model_row(model, 0)->has_rate);
	assert_int_equal(model->length, 0);
	again = counted(4 * S, 6, 0);
	again.attached_at = 2;
	add(again);
	assert_true(rate_of(0) == 1);
}

static void model__refreshed_with_another_group__begins_a_new_history(void **state)
{
	struct sp_top_sample other = counted(3 * S, 5, 0);

	(void)state;
	add(counted(1 * S, 0, 0));
	add(counted(2 * S, 1000, 0));
	strcpy(other.name, "dns");
	refresh(other);
	assert_string_equal(model->sample.name, "dns");
	assert_false(sp_top_model_row(model, 0)->has_rate);
	assert_int_equal(model->length, 0);
}

static void model__counter_is_lower_than_before__rate_is_zero(void **state)
{
	(void)state;
	add(counted(1 * S, 1000, 0));
	add(counted(2 * S, 10, 0));
	assert_true(rate_of(0) == 0);
}

static void model__slot_is_new__has_no_rate_yet(void **state)
{
	struct sp_top_sample grown = sp_top_sample_of(SP_UDP, 3, 3 * S);

	(void)state;
	add(counted(1 * S, 0, 0));
	add(counted(2 * S, 10, 0));
	grown.slots[2].placed = 500;
	add(grown);
	assert_false(sp_top_model_row(model, 2)->has_rate);
	assert_true(sp_top_model_past(model, 2, 0) == 0);
	grown = sp_top_sample_of(SP_UDP, 3, 4 * S);
	grown.slots[2].placed = 507;
	add(grown);
	assert_true(rate_of(2) == 7);
}

static void model__slot_counts_in_the_groups_row__has_no_rate(void **state)
{
	struct sp_top_sample s = counted(1 * S, 0, 0);

	(void)state;
	s.slots[1].has_counters = false;
	add(s);
	s = counted(2 * S, 1, 0);
	s.slots[1].has_counters = false;
	add(s);
	assert_false(sp_top_model_row(model, 1)->has_rate);
	assert_true(model->rate == 1);
}

static void model__drops_of_the_same_socket__growth_is_told(void **state)
{
	struct sp_top_sample s = counted(1 * S, 0, 0);

	(void)state;
	s.slots[0].drops = 5;
	s.slots[1].drops = 5;
	add(s);
	s = counted(2 * S, 0, 0);
	s.slots[0].drops = 8;
	s.slots[1].drops = 8;
	s.slots[1].cookie = 999;
	add(s);
	assert_int_equal(sp_top_model_row(model, 0)->new_drops, 3);
	/* Another socket has dropped them, and nobody knows when. */
	assert_int_equal(sp_top_model_row(model, 1)->new_drops, 0);
}

static void model__group_is_gone_and_back__begins_a_new_history(void **state)
{
	(void)state;
	add(counted(1 * S, 0, 0));
	add(counted(2 * S, 10, 0));
	sp_top_model_clear(model);
	assert_false(model->has_sample);
	assert_int_equal(model->nrows, 0);
	add(counted(9 * S, 90, 0));
	assert_false(sp_top_model_row(model, 0)->has_rate);
	assert_int_equal(model->length, 0);
}

static void expect_order(__u32 first, __u32 second, __u32 third)
{
	assert_int_equal(model->rows[0].now.slot, first);
	assert_int_equal(model->rows[1].now.slot, second);
	assert_int_equal(model->rows[2].now.slot, third);
}

static void sort__by_each_column__largest_number_first_words_in_order(void **state)
{
	struct sp_top_sample s = sp_top_sample_of(SP_UDP, 3, S);

	(void)state;
	s.track = SP_TRACK_ALWAYS;
	s.slots[0].share = 0.2, s.slots[1].share = 0.5, s.slots[2].share = 0.3;
	s.slots[0].kept = 7, s.slots[1].kept = 7, s.slots[2].kept = 9;
	s.slots[0].drops = 1, s.slots[1].drops = 0, s.slots[2].drops = 2;
	s.slots[0].backlog = 3, s.slots[1].backlog = 2, s.slots[2].backlog = 1;
	s.slots[0].migrated = 0, s.slots[1].migrated = 2, s.slots[2].migrated = 1;
	s.slots[1].state = SP_SLOT_DEAD;
	strcpy(s.slots[0].owner, "nginx[9]");
	add(s);
	expect_order(0, 1, 2);
	sp_top_model_sort(model, SP_TOP_SHARE, false);
	expect_order(1, 2, 0);
	sp_top_model_sort(model, SP_TOP_SHARE, true);
	expect_order(0, 2, 1);
	sp_top_model_sort(model, SP_TOP_KEPT, false);
	expect_order(2, 0, 1);
	sp_top_model_sort(model, SP_TOP_DROPS, false);
	expect_order(2, 0, 1);
	sp_top_model_sort(model, SP_TOP_QUEUE, false);
	expect_order(0, 1, 2);
	sp_top_model_sort(model, SP_TOP_MIGRATED, false);
	expect_order(1, 2, 0);
	sp_top_model_sort(model, SP_TOP_STATE, false);
	expect_order(1, 0, 2);
	sp_top_model_sort(model, SP_TOP_OWNER, false);
	expect_order(1, 2, 0);
	sp_top_model_sort(model, SP_TOP_SLOT, true);
	expect_order(2, 1, 0);
}

static void sort__by_rate__stays_with_the_next_sample(void **state)
{
	(void)state;
	sp_top_model_sort(model, SP_TOP_RATE, false);
	add(counted(1 * S, 0, 0));
	add(counted(2 * S, 1, 9));
	assert_int_equal(model->rows[0].now.slot, 1);
	add(counted(3 * S, 100, 10));
	assert_int_equal(model->rows[0].now.slot, 0);
	assert_int_equal(sp_top_model_index(model, 1), 1);
	assert_int_equal(sp_top_model_index(model, 7), -1);
}

static void columns__each_protocol_and_tracking__has_its_own(void **state)
{
	struct sp_top_sample s = sp_top_sample_of(SP_TCP, 1, S);

	(void)state;
	add(s);
	assert_true(sp_top_model_has(model, SP_TOP_MIGRATED));
	assert_false(sp_top_model_has(model, SP_TOP_KEPT));
	assert_false(sp_top_model_has(model, SP_TOP_NEW));
	add(counted(2 * S, 0, 0));
	assert_false(sp_top_model_has(model, SP_TOP_MIGRATED));
	assert_true(sp_top_model_has(model, SP_TOP_KEPT));
	assert_false(sp_top_model_has(model, SP_TOP_NEW));
	s = counted(3 * S, 0, 0);
	s.track = SP_TRACK_ALWAYS;
	add(s);
	assert_true(sp_top_model_has(model, SP_TOP_NEW));
}

static void model__tracks_always__new_flows_are_those_stored(void **state)
{
	struct sp_top_sample s = counted(1 * S, 0, 0);

	(void)state;
	s.slots[0].stored = 100;
	add(s);
	s = counted(3 * S, 0, 0);
	s.slots[0].stored = 106;
	add(s);
	assert_true(sp_top_model_row(model, 0)->new_rate == 3);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, make_model, free_model)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(model__first_sample__has_no_rates),
		CASE(model__two_samples__rate_is_the_difference_by_the_time),
		CASE(model__several_samples__history_is_in_order),
		CASE(model__more_samples_than_the_ring_holds__the_oldest_go),
		CASE(model__refreshed_in_between__next_rate_is_of_the_whole_interval),
		CASE(model__attached_anew__begins_a_new_history),
		CASE(model__refreshed_with_another_group__begins_a_new_history),
		CASE(model__counter_is_lower_than_before__rate_is_zero),
		CASE(model__slot_is_new__has_no_rate_yet),
		CASE(model__slot_counts_in_the_groups_row__has_no_rate),
		CASE(model__drops_of_the_same_socket__growth_is_told),
		CASE(model__group_is_gone_and_back__begins_a_new_history),
		CASE(sort__by_each_column__largest_number_first_words_in_order),
		CASE(sort__by_rate__stays_with_the_next_sample),
		CASE(columns__each_protocol_and_tracking__has_its_own),
		CASE(model__tracks_always__new_flows_are_those_stored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
