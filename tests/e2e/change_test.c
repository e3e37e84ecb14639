// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Planned changes of a live group: drain, undrain, weight, eject, retire. Nobody moves who need not. */
#include <stdio.h>
#include <string.h>
#include "cleanup.h"
#include "run.h"

#define NAME "dns"
#define WORKERS 4
#define FLOWS 1200
#define LEARN sp_run_window(1500)

static struct sp_crew crew;
static struct sp_crowd crowd;
static int before[FLOWS], after[FLOWS];

/* The slot of a running worker, as text for a command line. */
static const char *slot_of(unsigned int id)
{
	static char text[8];
	json_t *status = sp_run_json("status", NAME), *slot, *owner;
	size_t i, j;

	text[0] = '\0';
	json_array_foreach(sp_json_array(status, "slots"), i, slot) {
		json_array_foreach(sp_json_array(slot, "owners"), j, owner) {
			if (sp_json_int(owner, "pid") == crew.workers[id].pid)
				snprintf(text, sizeof(text), "%d", (int)sp_json_int(slot, "slot"));
		}
	}
	json_decref(status);
	assert_true(text[0]);
	return text;
}

static void expect_state(const char *slot, const char *want)
{
	json_t *status = sp_run_json("status", NAME);
	json_t *found = sp_json_find(sp_json_array(status, "slots"), "slot", atoi(slot));

	assert_string_equal(sp_json_text(found, "state"), want);
	json_decref(status);
}

/*
 * Right after a change, or its window may end before each flow is asked. It ends, what was learned is settled, and nobody
 * has moved on the way.
 */
static void settle(void)
{
	sp_crowd_stays(&crowd, &crew, before, after);
	sp_status_wait_settled(NAME);
	sp_run("sync", NAME);
	sp_crowd_stays(&crowd, &crew, before, after);
}

static void start(enum sp_protocol protocol)
{
	sp_crew_start(&crew, protocol, "127.0.0.1", 0, WORKERS, NULL);
	if (protocol == SP_UDP) {
		sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, FLOWS);
		sp_crowd_ask(&crowd, before);
	}
	sp_run("attach", NAME, crew.endpoint, "--learn", LEARN);
	if (protocol == SP_UDP)
		settle();
}

/* How many of so many new flows each worker gets. */
static void count_new(size_t count, unsigned int ret_counts[SP_CREW_MAX])
{
	sp_autofree int *owners = calloc(count, sizeof(*owners));
	struct sp_crowd newcomers;

	memset(ret_counts, 0, SP_CREW_MAX * sizeof(*ret_counts));
	sp_crowd_open(&newcomers, &crew, "127.0.0.1", NULL, 0, count);
	if (crew.protocol == SP_UDP)
		sp_crowd_ask(&newcomers, owners);
	else
		sp_crowd_answers(&newcomers, owners);
	sp_crowd_close(&newcomers);
	for (size_t i = 0; i < count; i++) {
		assert_in_range(owners[i], 0, SP_CREW_MAX - 1);
		ret_counts[owners[i]]++;
	}
}

static void e2e__drain_udp__old_flows_stay_and_new_ones_go_elsewhere(void **state)
{
	unsigned int counts[SP_CREW_MAX];

	(void)state;
	start(SP_UDP);
	sp_run("drain", NAME, slot_of(1));
	settle();
	expect_state(slot_of(1), "draining");
	count_new(FLOWS, counts);
	assert_int_equal(counts[1], 0);

	sp_run("undrain", NAME, slot_of(1));
	settle();
	expect_state(slot_of(1), "live");
	count_new(FLOWS, counts);
	/* 300 on average, with a standard deviation of 15. */
	assert_in_range(counts[1], 200, 400);
	sp_crowd_close(&crowd);
}

static void e2e__drain_tcp__no_new_connection(void **state)
{
	unsigned int counts[SP_CREW_MAX];

	(void)state;
	start(SP_TCP);
	sp_run("drain", NAME, slot_of(2));
	count_new(400, counts);
	assert_int_equal(counts[2], 0);
	sp_run("undrain", NAME, slot_of(2));
	count_new(400, counts);
	assert_in_range(counts[2], 50, 150);
}

static void e2e__all_drained__i3_flows_are_still_answered(void **state)
{
	unsigned int counts[SP_CREW_MAX];

	(void)state;
	start(SP_UDP);
	sp_run("drain", NAME, "0-3");
	settle();
	count_new(200, counts);
	sp_crowd_close(&crowd);
}

static void e2e__drained_worker_replaced__newcomer_starts_undrained(void **state)
{
	char slot[8];

	(void)state;
	start(SP_UDP);
	snprintf(slot, sizeof(slot), "%s", slot_of(1));
	sp_run("drain", NAME, slot);
	settle();
	sp_crew_kill(&crew, 1);
	sp_crowd_ask(&crowd, before);
	sp_crew_add(&crew, 1);
	sp_run("sync", NAME);
	settle();
	assert_string_equal(slot_of(1), slot);
	expect_state(slot, "live");
	sp_crowd_close(&crowd);
}

static void e2e__weight__share_follows_and_nobody_moves(void **state)
{
	unsigned int counts[SP_CREW_MAX];
	char change[16];

	(void)state;
	start(SP_UDP);
	snprintf(change, sizeof(change), "%s=10", slot_of(3));
	sp_run("weight", NAME, change);
	settle();
	count_new(3100, counts);
	/* 10 of 310: 100 on average, with a standard deviation below 10. */
	assert_in_range(counts[3], 50, 150);
	sp_crowd_close(&crowd);
}

static void e2e__eject__everything_leaves_it_at_once(void **state)
{
	unsigned int counts[SP_CREW_MAX];

	(void)state;
	start(SP_UDP);
	/* Some of its flows are kept ones: those of the attach. */
	sp_run("eject", NAME, slot_of(0));
	expect_state(slot_of(0), "ejected");
	sp_crowd_ask(&crowd, after);
	for (size_t i = 0; i < FLOWS; i++) {
		assert_int_not_equal(after[i], 0);
		if (before[i] != 0)
			assert_int_equal(after[i], before[i]);
	}
	count_new(FLOWS, counts);
	assert_int_equal(counts[0], 0);

	memcpy(before, after, sizeof(before));
	sp_run("undrain", NAME, slot_of(0));
	settle();
	count_new(FLOWS, counts);
	assert_in_range(counts[0], 200, 400);
	sp_crowd_close(&crowd);
}

/* The window of the drain is open, and the view before it still knows the slot. */
static void e2e__eject_a_slot_that_drains__everything_leaves_it_at_once(void **state)
{
	(void)state;
	start(SP_UDP);
	sp_run("drain", NAME, slot_of(0));
	sp_crowd_ask(&crowd, after);
	assert_memory_equal(before, after, sizeof(before));
	sp_run("eject", NAME, slot_of(0));
	sp_crowd_ask(&crowd, after);
	for (size_t i = 0; i < FLOWS; i++) {
		assert_int_not_equal(after[i], 0);
		if (before[i] != 0)
			assert_int_equal(after[i], before[i]);
	}
	sp_crowd_close(&crowd);
}

static void e2e__retire__share_of_the_dead_goes_to_the_others(void **state)
{
	char slot[8];
	json_t *status;

	(void)state;
	start(SP_UDP);
	snprintf(slot, sizeof(slot), "%s", slot_of(2));
	sp_run_fails(SP_EXIT_FAILED, "retire", NAME, slot);
	sp_crew_kill(&crew, 2);
	sp_crowd_ask(&crowd, before);
	sp_run("retire", NAME, slot);
	settle();
	status = sp_run_json("status", NAME);
	assert_int_equal(json_array_size(sp_json_array(status, "slots")), WORKERS - 1);
	json_decref(status);

	/* The next worker gets that number again: the lowest one free. */
	sp_crew_add(&crew, 2);
	sp_run("sync", NAME);
	settle();
	assert_string_equal(slot_of(2), slot);
	sp_crowd_close(&crowd);
}

static void e2e__bad_change__is_refused_and_changes_nothing(void **state)
{
	json_int_t serial;

	(void)state;
	start(SP_UDP);
	serial = sp_status_int(NAME, "view_serial");
	sp_run_fails(SP_EXIT_USAGE, "drain", NAME, "first");
	sp_run_fails(SP_EXIT_USAGE, "weight", NAME, "0");
	sp_run_fails(SP_EXIT_USAGE, "weight", NAME, "0=1001");
	sp_run_fails(SP_EXIT_FAILED, "drain", NAME, "0", "9");
	sp_run_fails(SP_EXIT_FAILED, "weight", NAME, "0-3=0");
	sp_run_fails(SP_EXIT_NO_GROUP, "drain", "other", "0");
	assert_int_equal(sp_status_int(NAME, "view_serial"), serial);
	expect_state("0", "live");
	sp_crowd_close(&crowd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(e2e__drain_udp__old_flows_stay_and_new_ones_go_elsewhere,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__drain_tcp__no_new_connection, sp_run_teardown),
		cmocka_unit_test_teardown(e2e__all_drained__i3_flows_are_still_answered, sp_run_teardown),
		cmocka_unit_test_teardown(e2e__drained_worker_replaced__newcomer_starts_undrained,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__weight__share_follows_and_nobody_moves, sp_run_teardown),
		cmocka_unit_test_teardown(e2e__eject__everything_leaves_it_at_once, sp_run_teardown),
		cmocka_unit_test_teardown(e2e__eject_a_slot_that_drains__everything_leaves_it_at_once,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__retire__share_of_the_dead_goes_to_the_others, sp_run_teardown),
		cmocka_unit_test_teardown(e2e__bad_change__is_refused_and_changes_nothing, sp_run_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
