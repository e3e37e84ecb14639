// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Placement by load as an operator sees it: chosen at the attach, changed under traffic, refused where it cannot be. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "kill.h"
#include "knock.h"
#include "old.h"
#include "servers.h"

#define NAME "web"
#define WORKERS 4
#define STOPPED 2
#define PER_S 200
#define CONNECTIONS 120

static struct sp_crew crew;
static struct sp_knocker knocker;

static void expect_balance(const char *name)
{
	json_t *status = sp_run_json("status", NAME);

	assert_string_equal(sp_json_text(status, "balance"), name);
	json_decref(status);
}

/* The worker's slot in a status. */
static json_t *slot_of(const json_t *status, unsigned int id)
{
	json_t *slot;
	size_t i;

	json_array_foreach(sp_json_array(status, "slots"), i, slot) {
		const json_t *owner = json_array_get(sp_json_array(slot, "owners"), 0);

		if (owner && sp_json_int(owner, "pid") == crew.workers[id].pid)
			return slot;
	}
	fail_msg("worker %u is in no slot", id);
	return NULL;
}

static json_int_t backlog_of(unsigned int id)
{
	json_t *status = sp_run_json("status", NAME);
	json_int_t backlog = sp_json_int(slot_of(status, id), "backlog");

	json_decref(status);
	return backlog;
}

/* Connections that it was given. */
static json_int_t taken_by(unsigned int id)
{
	json_t *status = sp_run_json("status", NAME),
	       *counters = sp_json_object(slot_of(status, id), "counters");
	json_int_t taken = sp_json_int(counters, "steered") + sp_json_int(counters, "placed");

	json_decref(status);
	return taken;
}

static json_int_t counted(const char *counter)
{
	json_t *status = sp_run_json("status", NAME), *slot;
	json_int_t sum = 0;
	size_t i;

	json_array_foreach(sp_json_array(status, "slots"), i, slot)
		sum += sp_json_int(sp_json_object(slot, "counters"), counter);
	json_decref(status);
	return sum;
}

static void start_paused(void)
{
	const struct sp_lab_options paused = { .is_paused = true };

	sp_crew_start(&crew, SP_TCP, "127.0.0.1", 0, WORKERS, &paused);
}

static void connect_all(struct sp_crowd *crowd)
{
	sp_crowd_open(crowd, &crew, "127.0.0.1", NULL, 0, CONNECTIONS);
}

/* What the kernel says of the queues, past steadyport. */
static void expect_even(unsigned int each)
{
	for (unsigned int id = 0; id < WORKERS; id++) {
		__u32 waiting;

		assert_int_equal(sp_lab_waiting(&crew.workers[id], &waiting), 0);
		assert_int_equal(waiting, each);
	}
}

static void e2e__balance_at_the_attach__queues_are_even_and_status_says_how(void **state)
{
	struct sp_crowd crowd;

	(void)state;
	start_paused();
	sp_run("attach", NAME, crew.endpoint, "--balance", "least-queue");
	expect_balance("least-queue");
	connect_all(&crowd);
	expect_even(CONNECTIONS / WORKERS);
	assert_int_equal(counted("placed") + counted("steered"), CONNECTIONS);
	assert_true(counted("placed") > 0);
	assert_non_null(strstr(sp_run("status", NAME)->out, "balance least-queue"));
	assert_non_null(strstr(sp_run("status", NAME)->out, "PLACED"));
	assert_non_null(strstr(sp_run("where", NAME, "127.0.0.1:9")->out, "least-queue"));
	sp_crowd_close(&crowd);
}

static void e2e__balance_changed_under_traffic__nothing_is_lost_and_the_group_goes_on(void **state)
{
	struct sp_address address;

	(void)state;
	sp_crew_start(&crew, SP_TCP, "127.0.0.1", 0, WORKERS, NULL);
	sp_run("attach", NAME, crew.endpoint);
	expect_balance("hash");
	assert_int_equal(sp_lab_address("127.0.0.1", &address), 0);
	sp_knock_start(&knocker, &address, crew.port, PER_S);
	for (int i = 0; i < 6; i++) {
		static const char *const all[] = { "least-queue", "least-conn", "hash" };
		const char *which = all[i % 3];

		sp_knock_wait(&knocker, PER_S / 4);
		assert_non_null(strstr(sp_run("balance", NAME, which)->out, which));
		expect_balance(which);
		assert_non_null(strstr(sp_run("balance", NAME, which)->out, "nothing to do"));
		assert_true(sp_status_bool(NAME, "attached"));
	}
	sp_knock_stop(&knocker);
	assert_int_equal(knocker.seen->answered, knocker.seen->asked);
	sp_knock_free(&knocker);
}

/*
 * A worker that does not accept: its queue is soon longer than that of the others, who keep up, and from then on it
 * gets nothing. By the hash a quarter of all would wait for it.
 */
static void e2e__worker_stopped_under_load__only_what_waits_there_waits_until_it_goes_on(void **state)
{
	struct sp_address address;
	json_int_t waiting, had;

	(void)state;
	sp_crew_start(&crew, SP_TCP, "127.0.0.1", 0, WORKERS, NULL);
	sp_run("attach", NAME, crew.endpoint, "--balance", "least-queue");
	assert_int_equal(sp_lab_address("127.0.0.1", &address), 0);
	sp_knock_start(&knocker, &address, crew.port, PER_S);
	sp_knock_wait(&knocker, PER_S / 4);
	assert_int_equal(kill(crew.workers[STOPPED].pid, SIGSTOP), 0);
	sp_knock_wait(&knocker, 2 * PER_S);
	/* All the others are answered. */
	sp_knock_hold(&knocker, UINT64_MAX);
	sp_wait_for(sp_knock_open(&knocker) == (__u64)backlog_of(STOPPED));
	waiting = backlog_of(STOPPED);
	printf("of %d connections %lld wait for the worker that is stopped\n", 2 * PER_S, waiting);
	assert_in_range(waiting, 1, 2 * PER_S / WORKERS / 4);
	assert_int_equal(kill(crew.workers[STOPPED].pid, SIGCONT), 0);
	sp_knock_hold(&knocker, 0);
	assert_int_equal(backlog_of(STOPPED), 0);

	/* It has its share again. */
	had = taken_by(STOPPED);
	sp_knock_go_on(&knocker);
	sp_knock_wait(&knocker, 2 * PER_S);
	assert_true(taken_by(STOPPED) - had > 2 * PER_S / WORKERS / 2);
	sp_knock_stop(&knocker);
	assert_int_equal(knocker.seen->answered, knocker.seen->asked);
	sp_knock_free(&knocker);
}

/* Opened one by one, accepted at once, and never closed; nobody of ours runs meanwhile. */
static void e2e__64_long_lived_connections_on_8_workers__8_on_each(void **state)
{
	struct sp_lab_flows flows = SP_LAB_NO_FLOWS;
	static int owners[64];
	int count[8] = { 0 };
	struct sp_address address;
	json_t *status, *slot;
	size_t i;

	(void)state;
	sp_crew_start(&crew, SP_TCP, "127.0.0.1", 0, 8, NULL);
	assert_int_equal(sp_lab_address("127.0.0.1", &address), 0);
	sp_run("attach", NAME, crew.endpoint, "--balance", "least-conn");
	assert_int_equal(sp_lab_open_as(SP_LAB_WAITS, SP_TCP, &address, crew.port, 0, 64, SP_RUN_DEADLINE_MS,
					&flows),
			 0);
	status = sp_run_json("status", NAME);
	json_array_foreach(sp_json_array(status, "slots"), i, slot)
		assert_int_equal(sp_json_int(slot, "active"), 8);
	json_decref(status);
	assert_non_null(strstr(sp_run("status", NAME)->out, "ACTIVE"));
	assert_int_equal(sp_lab_ask(&flows), 0);
	assert_int_equal(sp_lab_answers(&flows, SP_RUN_DEADLINE_MS, owners), 0);
	for (i = 0; i < 64; i++)
		count[owners[i]]++;
	for (i = 0; i < 8; i++) {
		printf("%d ", count[i]);
		assert_int_equal(count[i], 8);
	}
	printf("of 64 connections on each worker\n");
	sp_lab_close_flows(&flows);
	sp_run("detach", NAME);
	sp_left_nothing(crew.port);
}

static void e2e__balance_of_udp__refused_and_nothing_is_left(void **state)
{
	const struct sp_run *run;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	run = sp_run_fails(SP_EXIT_FAILED, "attach", NAME, crew.endpoint, "--balance", "least-queue");
	assert_non_null(strstr(run->err, "balance least-queue is for TCP"));
	sp_left_nothing(crew.port);
	sp_run("attach", NAME, crew.endpoint);
	run = sp_run_fails(SP_EXIT_FAILED, "balance", NAME, "least-queue");
	assert_non_null(strstr(run->err, "balance least-queue is for TCP"));
	expect_balance("hash");
	sp_run("balance", NAME, "hash");
}

static void e2e__balance_that_is_none__exit_2_and_of_no_group_exit_3(void **state)
{
	(void)state;
	assert_non_null(strstr(sp_run_fails(SP_EXIT_USAGE, "balance", NAME, "evenly")->err, "least-queue"));
	sp_run_fails(SP_EXIT_USAGE, "balance", NAME);
	sp_run_fails(SP_EXIT_NO_GROUP, "balance", NAME, "hash");
}

/* Version 2 knew no addresses: they are noted by the change itself. */
static void e2e__upgrade_from_abi_2__the_hash_stays_and_balance_can_be_changed(void **state)
{
	struct sp_crowd crowd;

	(void)state;
	start_paused();
	sp_run("attach", NAME, crew.endpoint);
	sp_old_make(NAME, 2);
	sp_run_fails(SP_EXIT_FAILED, "balance", NAME, "least-queue");
	assert_non_null(strstr(sp_run("upgrade", NAME)->out, "ABI 2 to 3"));
	expect_balance("hash");
	sp_run("balance", NAME, "least-queue");
	connect_all(&crowd);
	expect_even(CONNECTIONS / WORKERS);
	sp_run("upgrade", NAME);
	expect_balance("least-queue");
	sp_crowd_close(&crowd);
}

static int teardown(void **state)
{
	sp_knock_free(&knocker);
	return sp_run_teardown(state);
}

int main(void)
{
#define CASE(function) cmocka_unit_test_teardown(function, teardown)
	const struct CMUnitTest tests[] = {
		CASE(e2e__balance_at_the_attach__queues_are_even_and_status_says_how),
		CASE(e2e__balance_changed_under_traffic__nothing_is_lost_and_the_group_goes_on),
		CASE(e2e__worker_stopped_under_load__only_what_waits_there_waits_until_it_goes_on),
		CASE(e2e__64_long_lived_connections_on_8_workers__8_on_each),
		CASE(e2e__balance_of_udp__refused_and_nothing_is_left),
		CASE(e2e__balance_that_is_none__exit_2_and_of_no_group_exit_3),
		CASE(e2e__upgrade_from_abi_2__the_hash_stays_and_balance_can_be_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
