// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * UDP servers restart one after another under `steadyport run`, while 2,000 flows are asked all the time: no flow of a
 * worker that lives moves, and each newcomer is enrolled because the kernel told of it. The same while the daemon is
 * killed again and again, at moments from a seed.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include "cleanup.h"
#include "keeper.h"
#include "meter.h"
#include "seed.h"
#include "swarm.h"

#define NAME "echo"
#define PORT 5400
#define WORKERS 8
#define TURNS 5 /* restarts of each */
#define JOINS (WORKERS * TURNS)
#define KILLS 50
#define GOAL_MS 50

static const struct sp_swarm_options options = {
	.source_port = 21000, .nports = 20, .naddresses = 100, .rate = 20000
};

static struct sp_keeper keeper;
static struct sp_crew crew; /* each worker that is started has an id of its own */
static struct sp_swarm swarm;
static struct sp_meter meter;
static __u64 sent_before;
static unsigned int running[WORKERS]; /* ids */

static int tear_down(void **state)
{
	sp_keeper_teardown(state);
	return sp_swarm_teardown(state);
}

static void start(void)
{
	char config[128];

	snprintf(config, sizeof(config), "[group " NAME "]\nendpoint = udp:127.0.0.1:5400\nlearn = %s\n",
		 sp_run_window(2000));
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", PORT, WORKERS, NULL);
	for (unsigned int i = 0; i < WORKERS; i++)
		running[i] = i;
	sp_swarm_open(&swarm, &crew, &options);
	sp_swarm_ask(&swarm);
	sent_before = sp_swarm_tally(&swarm)->sent;
	keeper.is_verbose = true;
	sp_keeper_start(&keeper, config);
	sp_keeper_wait_enrolled(NAME, WORKERS);
	sp_meter_open(&meter, NAME);
	sp_swarm_start(&swarm);
	sp_swarm_wait_round(&swarm);
}

/* A worker ends as one that is told to; its successor starts as soon as it has. */
static void restart(unsigned int place)
{
	unsigned int id = running[place];

	sp_swarm_excuse(&swarm, id);
	assert_int_equal(sp_lab_stop(&crew.workers[id]), 0);
	running[place] = crew.size;
	sp_crew_add(&crew, crew.size);
}

/* All are enrolled and have their flows, none has moved, and each datagram was one run of the program. */
static void finish(void)
{
	const struct sp_swarm_tally *tally = sp_swarm_tally(&swarm);

	sp_keeper_wait_enrolled(NAME, WORKERS);
	sp_swarm_settle(&swarm, NAME);
	sp_swarm_stop(&swarm);
	sp_swarm_require_still(&swarm);
	sp_meter_require_sum(&meter, tally->sent - sent_before);
	assert_int_equal(sp_status_int(NAME, "unenrolled"), 0);
	print_message(
		"    %llu datagrams, %llu rounds over %zu flows; %llu unread in a socket that was closed\n",
		tally->sent, tally->rounds, swarm.count, tally->lost);
	sp_meter_close(&meter);
	sp_swarm_close(&swarm);
	sp_keeper_stop(&keeper);
}

static void daemon__all_udp_workers_restart_under_2000_flows__no_flow_moves_and_news_enrol_them(void **state)
{
	static struct sp_keeper_joins joins;
	size_t late = 0, count;

	(void)state;
	start();
	for (int i = 0; i < JOINS; i++) {
		restart(i % WORKERS);
		sp_keeper_wait_joins(&keeper, i + 1, &joins);
		sp_swarm_wait_round(&swarm);
	}
	count = joins.by_news + joins.by_sweep;
	for (size_t i = 0; i < count; i++)
		late += joins.us[i] > GOAL_MS * 1000;
	print_message(
		"    %zu joins, from bind() to the share: min %.1f ms, median %.1f ms, p99 %.1f ms, max %.1f "
		"ms; %zu later than %d ms; a sweep was faster than the news %zu times\n",
		count, joins.us[0] / 1e3, joins.us[count / 2] / 1e3, joins.us[count * 99 / 100] / 1e3,
		joins.us[count - 1] / 1e3, late, GOAL_MS, joins.by_sweep);
	assert_int_equal(count + joins.without_news, JOINS);
	/* Only where it takes milliseconds does a look find a worker between its bind() and the news of it. */
	if (sp_run_slowness() == 1)
		assert_int_equal(joins.without_news, 0);
	/* A sweep a second falls into few of the milliseconds that a join takes. */
	assert_true(joins.by_news > joins.by_sweep + joins.without_news);
	finish();
}

/* While it starts, while it works, or at rest. */
static void kill_daemon(struct sp_random *random, unsigned int *ret_starting)
{
	poll(NULL, 0, sp_random_below(random, sp_random_one_in(random, 2) ? 25 : 250));
	*ret_starting += !sp_keeper_has_notified(&keeper, "READY=1");
	sp_keeper_kill(&keeper);
	sp_keeper_launch(&keeper, NULL);
}

static void daemon__killed_50_times_while_udp_workers_restart__no_flow_moves(void **state)
{
	struct sp_random random = { .state = sp_seed() };
	unsigned int starting = 0;

	(void)state;
	start();
	for (int i = 0; i < KILLS; i++) {
		/* Two in a row that nobody enrols, of eight: the others have all flows. */
		if (i % 2 == 0) {
			sp_keeper_wait_enrolled(NAME, WORKERS);
			sp_swarm_wait_round(&swarm);
		}
		restart(i % WORKERS);
		kill_daemon(&random, &starting);
	}
	print_message("    %d kills, %u of them before it was ready\n", KILLS, starting);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(
			daemon__all_udp_workers_restart_under_2000_flows__no_flow_moves_and_news_enrol_them,
			tear_down),
		cmocka_unit_test_teardown(daemon__killed_50_times_while_udp_workers_restart__no_flow_moves,
					  tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
