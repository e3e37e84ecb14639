// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The program of a group is replaced, three times, under more than 50,000 datagrams a second: each datagram is
 * answered, by the worker that had the flow before, and counted once, by one program or the other.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include "cleanup.h"
#include "meter.h"
#include "run.h"
#include "swarm.h"

#define NAME "busy"
#define PORT 5300
#define WORKERS 4
#define UPGRADES 3
#define RATE 60000 /* what is aimed at */
#define RATE_MIN 50000 /* what is promised */
#define PHASE_MS 2000 /* before, between and after the upgrades */
#define LEARN sp_run_window(2000)

static const struct sp_swarm_options options = {
	.source_port = 20000, .nports = 16, .naddresses = 320, .rate = RATE
};

static struct sp_crew crew;
static struct sp_swarm swarm;

/* Nothing was dropped at a full receive queue. */
static void expect_no_drops(void)
{
	json_t *status = sp_run_json("status", NAME), *slot;
	size_t i;

	assert_int_equal(sp_json_int(status, "enrolled"), WORKERS);
	json_array_foreach(sp_json_array(status, "slots"), i, slot)
		assert_int_equal(sp_json_int(slot, "drops"), 0);
	json_decref(status);
}

static void upgrade(struct sp_meter *meter)
{
	json_int_t before = sp_status_int(NAME, "program_id"), kept = sp_status_int(NAME, "kept_flows");
	__u64 start_ms = sp_lab_now_ms(), sent = sp_swarm_tally(&swarm)->sent;

	sp_run("upgrade", NAME);
	print_message("    upgraded in %llu ms, while %llu datagrams were sent\n", sp_lab_now_ms() - start_ms,
		      sp_swarm_tally(&swarm)->sent - sent);
	assert_int_not_equal(sp_status_int(NAME, "program_id"), before);
	assert_int_equal(sp_status_int(NAME, "kept_flows"), kept);
	sp_meter_follow(meter);
	sp_swarm_wait_round(&swarm);
	sp_swarm_require_still(&swarm);
}

static void e2e__upgrade_under_50000_datagrams_a_second__none_is_lost_and_no_flow_moves(void **state)
{
	const struct sp_swarm_tally *tally;
	__u64 sent_before, lost_before, start_ms, rate;
	struct sp_meter meter;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", PORT, WORKERS, NULL);
	sp_swarm_open(&swarm, &crew, &options);
	tally = sp_swarm_tally(&swarm);
	sp_swarm_ask(&swarm);
	sp_run("attach", NAME, crew.endpoint, "--learn", LEARN);
	sp_swarm_start(&swarm);
	sp_swarm_settle(&swarm, NAME);
	/* From here on the kernel's own hash would put flows elsewhere: a gap between two programs would show. */
	sp_swarm_excuse(&swarm, 1);
	sp_crew_kill(&crew, 1);
	sp_crew_add(&crew, WORKERS);
	sp_run("sync", NAME);
	sp_swarm_settle(&swarm, NAME);
	sp_swarm_stop(&swarm);
	/* Three of four flows were elsewhere than the table puts them, so there is something to carry over. */
	assert_true(sp_status_int(NAME, "kept_flows") > (json_int_t)swarm.count / 2);

	sp_meter_open(&meter, NAME);
	sent_before = tally->sent;
	lost_before = tally->lost; /* in the socket that was killed */
	start_ms = sp_lab_now_ms();
	sp_swarm_start(&swarm);
	for (int i = 0; i < UPGRADES; i++) {
		poll(NULL, 0, PHASE_MS);
		upgrade(&meter);
	}
	poll(NULL, 0, PHASE_MS);
	sp_swarm_stop(&swarm);
	rate = (tally->sent - sent_before) * 1000 / (sp_lab_now_ms() - start_ms);

	print_message("    %llu datagrams over %zu flows, %llu a second\n", tally->sent - sent_before,
		      swarm.count, rate);
	sp_swarm_require_still(&swarm);
	assert_int_equal(tally->lost, lost_before);
	assert_int_equal(tally->answered + tally->lost, tally->sent);
	sp_meter_require_sum(&meter, tally->sent - sent_before);
	expect_no_drops();
	sp_meter_close(&meter);
	sp_swarm_close(&swarm);
	if (rate < RATE_MIN) {
		print_message("this machine sent %llu datagrams a second, and not %d\n", rate, RATE_MIN);
		skip();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(
			e2e__upgrade_under_50000_datagrams_a_second__none_is_lost_and_no_flow_moves,
			sp_swarm_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
