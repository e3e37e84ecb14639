// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Counts of connections that went wrong, as an operator sees them: put right by `sync`, and by a daemon unasked. */
#include <poll.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "keeper.h"
#include "kill.h"
#include "servers.h"
#include "uncount.h"

#define NAME "web"
#define PORT 7104
#define WORKERS 4
#define EACH 10
#define PINS "/sys/fs/bpf/steadyport/" NAME "/"
#define DAEMON "[daemon]\n[group " NAME "]\nendpoint = tcp:127.0.0.1:7104\nbalance = least-conn\n"

static struct sp_keeper keeper;
static struct sp_crew crew;
static struct sp_lab_flows some = SP_LAB_NO_FLOWS, others = SP_LAB_NO_FLOWS;

static void open_each(struct sp_lab_flows *flows)
{
	struct sp_address address;

	assert_int_equal(sp_lab_address("127.0.0.1", &address), 0);
	assert_int_equal(sp_lab_open_as(SP_LAB_WAITS, SP_TCP, &address, crew.port, 0, WORKERS * EACH,
					SP_RUN_DEADLINE_MS, flows),
			 0);
}

static void end_all(struct sp_lab_flows *flows)
{
	static int owners[WORKERS * EACH];

	assert_int_equal(sp_lab_ask(flows), 0);
	assert_int_equal(sp_lab_answers(flows, SP_RUN_DEADLINE_MS, owners), 0);
	sp_lab_close_flows(flows);
}

/* Connections of each worker, and whether it is so many for all of them. */
static bool has_each(unsigned int expected)
{
	json_t *status = sp_run_json("status", NAME), *slot;
	bool has = true;
	size_t i;

	json_array_foreach(sp_json_array(status, "slots"), i, slot)
		has &= sp_json_int(slot, "active") == expected;
	json_decref(status);
	return has;
}

static void write_active(__u32 slot, __u32 connections)
{
	const struct sp_active active = { .tally = { connections, 0 } };
	int fd = bpf_obj_get(PINS SP_PIN_ACTIVE);

	assert_true(fd >= 0);
	assert_int_equal(bpf_map_update_elem(fd, &slot, &active, BPF_ANY), 0);
	close(fd);
}

static bool counts(void)
{
	return access(PINS SP_PIN_COUNT, F_OK) == 0;
}

/* Half of them end when nobody counts. */
static void stop_counting_and_end_some(void)
{
	open_each(&some);
	open_each(&others);
	sp_wait_for(has_each(2 * EACH));
	sp_uncount(PINS SP_PIN_COUNT);
	end_all(&some);
}

static void e2e__what_counts_was_removed__sync_counts_what_is_there(void **state)
{
	const struct sp_run *run;

	(void)state;
	sp_crew_start(&crew, SP_TCP, "127.0.0.1", PORT, WORKERS, NULL);
	sp_run("attach", NAME, crew.endpoint, "--balance", "least-conn");
	stop_counting_and_end_some();
	assert_true(has_each(2 * EACH));
	run = sp_run("sync", NAME);
	assert_non_null(strstr(run->out, "what counts its connections was gone: it is there again"));
	assert_non_null(strstr(run->out, "40 connections had been counted wrong"));
	assert_true(counts());
	assert_true(has_each(EACH));
	assert_non_null(strstr(sp_run("sync", NAME)->out, "nothing to do"));

	write_active(1, 1000);
	assert_false(has_each(EACH));
	assert_non_null(strstr(sp_run("sync", NAME)->out, "counted wrong"));
	assert_true(has_each(EACH));
	end_all(&others);
	sp_wait_for(has_each(0));
	sp_run("detach", NAME);
	sp_left_nothing(crew.port);
}

static void daemon__what_counts_was_removed__the_sweep_counts_what_is_there(void **state)
{
	(void)state;
	sp_crew_start(&crew, SP_TCP, "127.0.0.1", PORT, WORKERS, NULL);
	sp_keeper_start(&keeper, DAEMON);
	sp_keeper_wait_enrolled(NAME, WORKERS);
	open_each(&some);
	open_each(&others);
	sp_wait_for(has_each(2 * EACH));
	end_all(&some);
	sp_wait_for(has_each(EACH));
	assert_int_equal(unlink(PINS SP_PIN_COUNT), 0);
	sp_wait_for(counts());
	sp_keeper_wait(&keeper, "what counts its connections was gone: it is there again");

	/* Nothing that it watches has changed: it looks because it does every few seconds. */
	write_active(1, 1000);
	assert_false(has_each(EACH));
	sp_wait_for(has_each(EACH));
	sp_keeper_wait(&keeper, "counted wrong: the counts are right again");
	end_all(&others);
	sp_wait_for(has_each(0));
	sp_keeper_stop(&keeper);
}

static int teardown(void **state)
{
	sp_lab_close_flows(&some);
	sp_lab_close_flows(&others);
	return sp_keeper_teardown(state);
}

int main(void)
{
#define CASE(function) cmocka_unit_test_teardown(function, teardown)
	const struct CMUnitTest tests[] = {
		CASE(e2e__what_counts_was_removed__sync_counts_what_is_there),
		CASE(daemon__what_counts_was_removed__the_sweep_counts_what_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
