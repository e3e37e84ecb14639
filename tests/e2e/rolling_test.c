// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A rolling restart: sixteen UDP workers are replaced, one a second, while 20,000 flows are asked all the time. It is
 * faster than the learn window, so that all of it is one window. No flow moves but those of the worker that is
 * replaced, these go to all that live, and nobody is left with the flows of half the group.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include "cleanup.h"
#include "meter.h"
#include "run.h"
#include "swarm.h"

#define NAME "rolling"
#define PORT 5300
#define WORKERS 16
#define STEP_MS 1000
#define WAIT "200ms" /* the flows never end, so however long it waits, it will not see them go */

#define NPORTS 64
#define NADDRESSES 320

static struct sp_crew crew; /* worker id is replaced by worker id + WORKERS */
static struct sp_swarm swarm;
static int owners_before[NPORTS * NADDRESSES], owners[NPORTS * NADDRESSES];

/* The slot that holds this worker's socket. No slot has dropped anything. */
static json_int_t slot_of(unsigned int id)
{
	json_t *status = sp_run_json("status", NAME), *slot, *owner;
	json_int_t found = -1;
	size_t i, j;

	json_array_foreach(sp_json_array(status, "slots"), i, slot) {
		assert_int_equal(sp_json_int(slot, "drops"), 0);
		json_array_foreach(sp_json_array(slot, "owners"), j, owner) {
			if (sp_json_int(owner, "pid") == crew.workers[id].pid)
				found = sp_json_int(slot, "slot");
		}
	}
	json_decref(status);
	assert_true(found >= 0);
	return found;
}

/*
 * A second ago this worker was stopped. Everybody's flows are where they were but its own, and they are on all the
 * others: evenly, save that its replacement may have got more, for it owns the same buckets.
 */
static void expect_spread(unsigned int stopped)
{
	unsigned int heirs[2 * WORKERS] = { 0 }, orphans = 0, replacement = stopped + WORKERS;
	double even;

	sp_swarm_require_still(&swarm);
	for (size_t i = 0; i < swarm.count; i++) {
		if (owners_before[i] != (int)stopped) {
			assert_int_equal(owners[i], owners_before[i]);
			continue;
		}
		assert_in_range(owners[i], stopped + 1, replacement);
		orphans++;
		heirs[owners[i]]++;
	}
	even = (double)(orphans - heirs[replacement]) / (WORKERS - 1);
	print_message(
		"    worker %2u had %5u flows; %4u are on its replacement, and on each other some %3.0f\n",
		stopped, orphans, heirs[replacement], even);
	for (unsigned int id = stopped + 1; id < replacement; id++)
		if (heirs[id] < even / 2 || heirs[id] > even * 2)
			fail_msg("worker %u has %u of them", id, heirs[id]);
	/* Newcomers start with none, so the last to be replaced have more than their share; but not the whole. */
	assert_in_range(orphans, swarm.count / WORKERS / 2, swarm.count / WORKERS * 3);
}

static void replace(unsigned int id)
{
	static __u64 all_were_asked; /* since the last one was stopped */
	__u64 deadline = sp_lab_now_ms() + STEP_MS;
	const struct sp_run *drain;
	char slot[16];

	/* Before this one is drained: it would get none of the last one's, then. */
	if (id > 0)
		sp_swarm_wait(&swarm, all_were_asked);
	snprintf(slot, sizeof(slot), "%lld", slot_of(id));
	drain = sp_run_fails(SP_EXIT_FAILED, "drain", NAME, slot, "--wait", WAIT);
	assert_non_null(strstr(drain->err, "kept flows"));

	sp_swarm_owners(&swarm, owners);
	if (id > 0)
		expect_spread(id - 1);
	memcpy(owners_before, owners, sizeof(owners));
	sp_swarm_excuse(&swarm, id);
	assert_int_equal(sp_lab_stop(&crew.workers[id]), 0);
	all_were_asked = sp_swarm_mark(&swarm);
	sp_crew_add(&crew, id + WORKERS);
	sp_run("sync", NAME);
	poll(NULL, 0, sp_lab_left_ms(deadline));
}

static void e2e__rolling_restart_of_16_workers_and_20000_flows__only_those_of_the_replaced_move(void **state)
{
	/* Where the flows are asked that slowly, half as many, and longer: a window is some rounds. */
	const bool is_slow = sp_run_slowness() > 1;
	const struct sp_swarm_options options = { .source_port = 20000,
						  .nports = NPORTS,
						  .naddresses = is_slow ? NADDRESSES / 2 : NADDRESSES,
						  .rate = 60000 };
	struct sp_meter meter;
	__u64 sent_before, start_ms;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", PORT, WORKERS, NULL);
	sp_swarm_open(&swarm, &crew, &options);
	sp_swarm_ask(&swarm);
	sent_before = sp_swarm_tally(&swarm)->sent;
	sp_run("attach", NAME, crew.endpoint, "--learn", is_slow ? "1m" : "5s");
	sp_meter_open(&meter, NAME);
	sp_swarm_start(&swarm);
	sp_swarm_settle(&swarm, NAME);

	start_ms = sp_lab_now_ms();
	for (unsigned int id = 0; id < WORKERS; id++)
		replace(id);
	print_message("    %d workers replaced in %llu ms\n", WORKERS, sp_lab_now_ms() - start_ms);
	sp_swarm_settle(&swarm, NAME);
	sp_swarm_owners(&swarm, owners);
	expect_spread(WORKERS - 1);

	sp_swarm_stop(&swarm);
	sp_swarm_require_still(&swarm);
	sp_meter_require_sum(&meter, sp_swarm_tally(&swarm)->sent - sent_before);
	print_message("    %llu datagrams, %llu of them unread in a socket that was closed\n",
		      sp_swarm_tally(&swarm)->sent - sent_before, sp_swarm_tally(&swarm)->lost);
	sp_meter_close(&meter);
	sp_swarm_close(&swarm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(
			e2e__rolling_restart_of_16_workers_and_20000_flows__only_those_of_the_replaced_move,
			sp_swarm_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
