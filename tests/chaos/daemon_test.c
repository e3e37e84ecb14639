// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * One daemon for as long as it takes. Shift after shift of servers comes, and works under load while its workers leave,
 * are killed and come back, one group comes and goes with the configuration, operators give orders and Prometheus asks;
 * then all of them go, and the daemon is left with nothing to do. Whenever that is so it holds as many descriptors and
 * pins as it did the first time.
 *
 *	CHAOS_SEED=N       the same choices in the same order
 *	CHAOS_SECONDS=60   for how long shifts begin
 */
#include <dirent.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cleanup.h"
#include "keeper.h"
#include "knock.h"
#include "seed.h"
#include "swarm.h"
#include "web.h"

#define ECHO_PORT 5400
#define ECHO_WORKERS 6
#define WEB_PORT 7070
#define WEB_WORKERS 3
#define EXTRA_PORT 5500
#define EXTRA_WORKERS 2
#define METRICS_PORT 9464
#define PER_S 50 /* connections */

#define LEARN_MS 5000 /* where everything takes longer, this does, too */
#define SHIFT_STEPS 20
#define STEP_MAX_MS 1500 /* between two steps: with that the machine has other things to do, too */
#define REST_MS 5000 /* what is seen in it at least once is so at rest */
#define REST_POLL_MS 50

static const struct sp_swarm_options options = {
	.source_port = 21000, .nports = 10, .naddresses = 20, .rate = 1000
};

static struct sp_keeper keeper;
static struct sp_crew echo, web, extra;
static struct sp_swarm swarm;
static struct sp_knocker knocker;
static char groups[512], groups_and_extra[1024];
static bool has_extra;
static unsigned int running[ECHO_WORKERS]; /* ids: each worker that is started has one of its own */
static unsigned int nrestarts, norders, nreloads;

static int tear_down(void **state)
{
	sp_knock_free(&knocker);
	sp_keeper_teardown(state);
	return sp_swarm_teardown(state);
}

static void write_groups(void)
{
	snprintf(groups, sizeof(groups),
		 "[daemon]\nmetrics = 127.0.0.1:9464\n"
		 "[group echo]\nendpoint = udp:127.0.0.1:5400\nlearn = %s\n"
		 "[group web]\nendpoint = tcp:127.0.0.1:7070\npark = 30s\n",
		 sp_run_window(LEARN_MS));
	snprintf(groups_and_extra, sizeof(groups_and_extra),
		 "%s[group extra]\nendpoint = udp:127.0.0.1:5500\n", groups);
}

/* --- what happens --- */

static void restart_echo(struct sp_random *random)
{
	unsigned int place = sp_random_below(random, ECHO_WORKERS), id = running[place];

	sp_swarm_excuse(&swarm, id);
	if (sp_random_one_in(random, 2))
		sp_crew_kill(&echo, id);
	else
		assert_int_equal(sp_lab_stop(&echo.workers[id]), 0);
	running[place] = echo.size;
	sp_crew_add(&echo, echo.size);
	nrestarts++;
	/* Else a second one could go before the first is replaced, and one day all. */
	sp_keeper_wait_enrolled("echo", ECHO_WORKERS);
}

static void restart_web(unsigned int id)
{
	assert_int_equal(sp_lab_close(&web.workers[id]), 0);
	assert_int_equal(sp_lab_stop(&web.workers[id]), 0);
	sp_crew_add(&web, id);
	nrestarts++;
	sp_keeper_wait_enrolled("web", WEB_WORKERS);
}

/* What they have accepted dies with them; all others wait for the next ones. */
static void kill_all_web(void)
{
	for (unsigned int id = 0; id < WEB_WORKERS; id++)
		sp_crew_kill(&web, id);
	for (unsigned int id = 0; id < WEB_WORKERS; id++)
		sp_crew_add(&web, id);
	nrestarts += WEB_WORKERS;
	sp_keeper_wait_enrolled("web", WEB_WORKERS);
}

static void order(struct sp_random *random)
{
	char slot[16], weight[24];

	snprintf(slot, sizeof(slot), "%u", sp_random_below(random, ECHO_WORKERS));
	snprintf(weight, sizeof(weight), "%s=%u", slot, 50 + sp_random_below(random, 100));
	sp_run("drain", "echo", slot);
	sp_run("undrain", "echo", slot);
	sp_run("weight", "echo", weight);
	sp_run("sync", "web");
	norders += 4;
}

static void reload(bool with_extra)
{
	sp_keeper_reload(&keeper, with_extra ? groups_and_extra : groups);
	if (with_extra)
		sp_keeper_wait_enrolled("extra", EXTRA_WORKERS);
	else if (has_extra)
		sp_run("detach", "extra");
	has_extra = with_extra;
	nreloads++;
}

static void step(struct sp_random *random)
{
	switch (sp_random_below(random, 8)) {
	case 0:
		kill_all_web();
		break;
	case 1:
		order(random);
		break;
	case 2:
		reload(!has_extra);
		break;
	case 3:
		free(sp_web_get(METRICS_PORT, "/metrics", 200));
		break;
	case 4:
	case 5:
		restart_web(sp_random_below(random, WEB_WORKERS));
		break;
	default:
		restart_echo(random);
	}
	poll(NULL, 0, sp_random_below(random, STEP_MAX_MS));
}

static void work(struct sp_random *random)
{
	sp_crew_start(&echo, SP_UDP, "127.0.0.1", ECHO_PORT, ECHO_WORKERS, NULL);
	sp_crew_start(&web, SP_TCP, "127.0.0.1", WEB_PORT, WEB_WORKERS, NULL);
	sp_crew_start(&extra, SP_UDP, "127.0.0.1", EXTRA_PORT, EXTRA_WORKERS, NULL);
	for (unsigned int i = 0; i < ECHO_WORKERS; i++)
		running[i] = i;
	sp_keeper_wait_enrolled("echo", ECHO_WORKERS);
	sp_keeper_wait_enrolled("web", WEB_WORKERS);
	sp_swarm_open(&swarm, &echo, &options);
	sp_swarm_ask(&swarm);
	sp_swarm_start(&swarm);
	sp_knock_start(&knocker, &web.address, web.port, PER_S);

	for (int i = 0; i < SHIFT_STEPS; i++)
		step(random);

	sp_knock_stop(&knocker);
	assert_int_equal(knocker.seen->refused, 0);
	assert_int_equal(knocker.seen->failed, 0);
	sp_knock_free(&knocker);
	/* For a learn window that is open, and seen to close. */
	restart_echo(random);
	sp_swarm_settle(&swarm, "echo");
	sp_swarm_stop(&swarm);
	sp_swarm_require_still(&swarm);
	sp_swarm_close(&swarm);
	reload(false);
	sp_crew_dismiss(&echo);
	sp_crew_dismiss(&web);
	sp_crew_dismiss(&extra);
}

/* --- what is left of it --- */

static size_t npins;

static int count_pin(const char *path, const struct stat *st, int type)
{
	(void)path;
	(void)st;
	npins += type == FTW_F;
	return 0;
}

static size_t count_pins(void)
{
	npins = 0;
	assert_int_equal(ftw("/sys/fs/bpf", count_pin, 8), 0);
	return npins;
}

static size_t count_files(pid_t pid)
{
	struct dirent *entry;
	char path[64];
	size_t count = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count;
}

struct holdings {
	size_t files, pins;
};

/* The least: there is always something that is being looked at. */
static struct holdings rest(void)
{
	struct holdings least = { SIZE_MAX, SIZE_MAX };
	__u64 deadline = sp_lab_now_ms() + REST_MS;

	while (sp_lab_left_ms(deadline)) {
		size_t files = count_files(keeper.run.pid), pins = count_pins();

		least.files = files < least.files ? files : least.files;
		least.pins = pins < least.pins ? pins : least.pins;
		poll(NULL, 0, REST_POLL_MS);
	}
	return least;
}

static void daemon__shifts_of_servers_come_and_go__it_holds_no_more_than_after_the_first(void **state)
{
	struct sp_random random = { .state = sp_seed() };
	__u64 end_ms = sp_lab_now_ms() + 1000 * sp_seed_setting("CHAOS_SECONDS", 60);
	struct holdings first = { 0 }, now;
	unsigned int nshifts = 0;

	(void)state;
	write_groups();
	sp_keeper_start(&keeper, groups);
	do {
		work(&random);
		now = rest();
		if (!nshifts++)
			first = now;
		assert_int_equal(now.files, first.files);
		assert_int_equal(now.pins, first.pins);
	} while (nshifts < 2 || sp_lab_left_ms(end_ms));
	print_message(
		"    %u shifts: %u restarts, %u orders, %u reloads; %zu descriptors and %zu pins at rest\n",
		nshifts, nrestarts, norders, nreloads, now.files, now.pins);
	sp_keeper_stop(&keeper);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(
			daemon__shifts_of_servers_come_and_go__it_holds_no_more_than_after_the_first,
			tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
