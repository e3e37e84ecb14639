// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `flows`: what is kept, why, and what becomes of it. */
#include <string.h>
#include "run.h"

#define NAME "dns"
#define WORKERS 4
#define FLOWS 400

static struct sp_crew crew;
static struct sp_crowd crowd;
static int before[FLOWS], after[FLOWS];

static void attach(const char *first, const char *second)
{
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, FLOWS);
	sp_crowd_ask(&crowd, before);
	sp_run("attach", NAME, crew.endpoint, "--learn", sp_run_window(1000), first, second);
	sp_crowd_stays(&crowd, &crew, before, after);
}

static void settle(void)
{
	sp_crowd_stays(&crowd, &crew, before, after);
	sp_status_wait_settled(NAME);
	sp_run("sync", NAME);
	sp_crowd_stays(&crowd, &crew, before, after);
}

static json_int_t sum(const char *field)
{
	json_t *flows = sp_run_json("flows", NAME), *slot;
	json_int_t total = 0;
	size_t i;

	json_array_foreach(sp_json_array(flows, "slots"), i, slot)
		total += sp_json_int(slot, field);
	json_decref(flows);
	return total;
}

static json_int_t field(const char *name)
{
	json_t *flows = sp_run_json("flows", NAME);
	json_int_t value = sp_json_int(flows, name);

	json_decref(flows);
	return value;
}

/* Kept in the slot; the worker of that id has it. */
static json_int_t kept_in(unsigned int slot)
{
	json_t *flows = sp_run_json("flows", NAME);
	json_int_t kept = sp_json_int(sp_json_find(sp_json_array(flows, "slots"), "slot", slot), "kept");

	json_decref(flows);
	return kept;
}

static json_int_t flows_of(int id)
{
	json_int_t count = 0;

	for (size_t i = 0; i < FLOWS; i++)
		count += before[i] == id;
	return count;
}

static void e2e__flows__counted_by_slot_and_listed(void **state)
{
	json_t *flows, *slot, *flow;
	json_int_t kept, listed = 0;
	size_t i;

	(void)state;
	attach("--track", "transition");
	settle();
	kept = sp_status_int(NAME, "kept_flows");
	assert_true(kept > FLOWS / 2);
	assert_int_equal(field("kept_flows"), kept);
	assert_int_equal(field("entries"), kept);
	assert_int_equal(field("evicted"), 0);
	assert_int_equal(field("flow_idle_s"), 180);
	assert_int_equal(sum("kept"), kept);
	assert_int_equal(sum("redundant"), 0);
	assert_int_equal(sum("stale"), 0);

	flows = sp_run_json("flows", NAME, "--all");
	json_array_foreach(sp_json_array(flows, "flows"), i, flow) {
		assert_int_equal(strlen(sp_json_text(flow, "hash")), 16);
		assert_in_range(sp_json_int(flow, "bucket"), 0, SP_BUCKETS - 1);
		assert_in_range(sp_json_int(flow, "idle_s"), 0, 60);
	}
	assert_int_equal(i, kept);
	slot = sp_json_find(sp_json_array(flows, "slots"), "slot", 1);
	kept = sp_json_int(slot, "kept");
	json_decref(flows);

	flows = sp_run_json("flows", NAME, "--slot", "1");
	json_array_foreach(sp_json_array(flows, "flows"), i, flow) {
		assert_int_equal(sp_json_int(flow, "slot"), 1);
		listed++;
	}
	assert_int_equal(listed, kept);
	assert_int_equal(json_array_size(sp_json_array(flows, "slots")), 1);
	json_decref(flows);
	/* For people: the same numbers. */
	assert_non_null(strstr(sp_run("flows", NAME)->out, "kept flows"));
	assert_non_null(strstr(sp_run("flows", NAME, "--slot", "1")->out, "HASH"));
	sp_crowd_close(&crowd);
}

static void e2e__slot_drained_and_undrained__redundant_flows_are_dropped_and_nobody_moves(void **state)
{
	json_int_t kept, moving;

	(void)state;
	attach("--track", "transition");
	settle();
	kept = field("kept_flows");
	moving = sp_status_int(NAME, "moving_buckets");
	sp_run("drain", NAME, "2");
	settle();
	/* No view names a drained slot. */
	assert_int_equal(kept_in(2), flows_of(2));
	sp_run("undrain", NAME, "2");
	/* They are where the view puts them again, but it is not settled yet. */
	assert_true(sum("redundant") > 0);
	settle();
	assert_int_equal(sum("redundant"), 0);
	assert_int_equal(field("kept_flows"), kept);
	assert_int_equal(field("entries"), kept);
	assert_int_equal(sp_status_int(NAME, "moving_buckets"), moving);
	assert_int_equal(field("evicted"), 0);
	sp_crowd_close(&crowd);
}

/* LRU: never an error for the packet, and what had to go is counted. */
static void e2e__table_is_full__every_flow_is_answered_and_what_went_is_counted(void **state)
{
	json_t *counters, *slot;
	json_int_t failed = 0;
	size_t i;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_run("attach", NAME, crew.endpoint, "--learn", "0", "--track", "always", "--flows", "100");
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, FLOWS);
	sp_crowd_ask(&crowd, before);
	/* Nothing has changed, so the view puts them where they were. */
	sp_crowd_stays(&crowd, &crew, before, after);
	assert_true(field("evicted") >= FLOWS - 100);
	assert_true(field("entries") <= 100);
	counters = sp_run_json("counters", NAME);
	json_array_foreach(sp_json_array(counters, "slots"), i, slot)
		failed += sp_json_int(sp_json_object(slot, "counters"), "keep_failed");
	assert_int_equal(failed, 0);
	assert_int_equal(sp_json_outcomes(counters), 2 * FLOWS);
	json_decref(counters);
	assert_non_null(strstr(sp_run("flows", NAME)->out, "--flows N"));
	sp_crowd_close(&crowd);
}

static void e2e__flows_of_a_tcp_group__none_and_says_why(void **state)
{
	(void)state;
	sp_crew_start(&crew, SP_TCP, "127.0.0.1", 0, WORKERS, NULL);
	sp_run("attach", NAME, crew.endpoint);
	assert_non_null(strstr(sp_run("flows", NAME)->out, "TCP"));
	assert_int_equal(field("kept_flows"), 0);
	sp_run_fails(SP_EXIT_NO_GROUP, "flows", "other");
	sp_run_fails(SP_EXIT_USAGE, "flows", NAME, "--slot", "1024");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(e2e__flows__counted_by_slot_and_listed, sp_run_teardown),
		cmocka_unit_test_teardown(
			e2e__slot_drained_and_undrained__redundant_flows_are_dropped_and_nobody_moves,
			sp_run_teardown),
		cmocka_unit_test_teardown(e2e__table_is_full__every_flow_is_answered_and_what_went_is_counted,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__flows_of_a_tcp_group__none_and_says_why, sp_run_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
