// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A single-worker TCP server restarts under load with `park = 30s`, and the daemon is killed 50 times, at moments from
 * a seed. Where the service manager keeps the parking sockets nothing is lost. Else they die with the daemon: while a
 * worker is there nobody sees it, and what waits when none is there is all that is lost, with what comes until the
 * worker is back.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include "cleanup.h"
#include "foreign.h"
#include "group.h"
#include "keeper.h"
#include "knock.h"
#include "losses.h"
#include "seed.h"
#include "state.h"
#include "value.h"

#define NAME "web"
#define PORT 7075
#define PER_S 500
#define KILLS 50
#define BETWEEN 20 /* connections between one step and the next */
#define WAITING 100 /* connections of the case that counts them */

/* When the daemon is killed. */
enum moment {
	WITH_WORKER,
	IN_GAP, /* no worker is there */
	AT_RETURN, /* a worker is back: what waits is being handed over */
	MOMENTS,
};

/* There was neither a worker nor a parking socket. */
struct outage {
	__u64 from_ns; /* before the daemon was killed */
	__u64 killed_ns; /* after that */
	__u64 until_ns; /* after the worker's listen() */
};

static const char config[] = "[group " NAME "]\nendpoint = tcp:127.0.0.1:7075\npark = 30s\n";

static struct sp_keeper keeper;
static struct sp_crew crew;
static struct sp_knocker knocker;
static struct outage outages[KILLS];
static size_t noutages;

static int tear_down(void **state)
{
	sp_losses_stop();
	sp_knock_free(&knocker);
	return sp_keeper_teardown(state);
}

static void start(bool has_store)
{
	noutages = 0;
	keeper.has_store = has_store;
	sp_losses_start(PORT);
	sp_crew_start(&crew, SP_TCP, "127.0.0.1", PORT, 1, NULL);
	sp_keeper_start(&keeper, config);
	sp_keeper_wait_slot(NAME, SP_SLOT_PARK, "parked");
}

static void kill_and_launch(void)
{
	sp_keeper_kill(&keeper);
	sp_keeper_launch(&keeper, NULL);
}

static void kill_in_gap(struct outage *outage)
{
	outage->from_ns = sp_now_ns();
	sp_keeper_kill(&keeper);
	outage->killed_ns = sp_now_ns();
	sp_keeper_launch(&keeper, NULL);
}

/* It closes its listener, serves what it has accepted, and ends. */
static void end_worker(void)
{
	assert_int_equal(sp_lab_close(&crew.workers[0]), 0);
	sp_knock_wait(&knocker, BETWEEN);
	sp_crew_leave(&crew, 0);
}

/* Connections that are lost in it: those that wait when it begins, and those that come. */
static bool is_of(const struct sp_knock_failure *failure, const struct outage *outage)
{
	__u64 comes_until = failure->is_reset ? outage->killed_ns : outage->until_ns;

	return failure->asked_ns <= comes_until && failure->ended_ns >= outage->from_ns;
}

static bool is_explained(const struct sp_knock_failure *failure)
{
	for (size_t i = 0; i < noutages; i++)
		if (!failure->is_unanswered && is_of(failure, &outages[i]))
			return true;
	return false;
}

static void require_only_outages(const struct sp_knocks *seen)
{
	size_t raced = sp_losses_read(), unexplained = 0;

	print_message(
		"    %llu connections: %llu answered; lost in the parking sockets of daemons that were killed "
		"while no worker was there: %llu; refused until one was: %llu; ended without an answer: %llu; "
		"the kernel lost %zu as a listener closed\n",
		seen->asked, seen->answered, seen->reset, seen->refused, seen->unanswered, raced);
	assert_int_equal(seen->failed, 0);
	assert_int_equal(seen->nfailures, seen->reset + seen->refused + seen->unanswered);
	assert_int_equal(seen->answered + seen->nfailures, seen->asked);
	for (size_t i = 0; i < seen->nfailures; i++) {
		const struct sp_knock_failure *failure = &seen->failures[i];

		if (is_explained(failure))
			continue;
		/* What the kernel loses by itself (losses.h) is reset, or ends in peace; it refuses nobody. */
		if (++unexplained > raced || !(failure->is_reset || failure->is_unanswered))
			fail_msg(
				"a connection was %s though there was a worker or a parking socket: asked at "
				"%llu ns, over at %llu ns",
				failure->is_unanswered ? "closed" :
				failure->is_reset      ? "reset" :
							 "refused",
				failure->asked_ns, failure->ended_ns);
	}
}

static void restart_and_kill(struct sp_random *random, enum moment moment)
{
	struct outage *outage = NULL;

	sp_keeper_wait_slot(NAME, SP_SLOT_PARK, "parked");
	sp_knock_wait(&knocker, BETWEEN);
	if (moment == WITH_WORKER) {
		kill_and_launch();
		/* While it starts, or later; the next one is to park before the worker ends. */
		poll(NULL, 0, sp_random_below(random, 250));
		kill_and_launch();
		if (!keeper.has_store)
			sp_keeper_wait_slot(NAME, SP_SLOT_PARK, "parked");
	}
	end_worker();
	poll(NULL, 0, sp_random_below(random, 20));
	if (moment == IN_GAP) {
		outage = &outages[noutages++];
		kill_in_gap(outage);
		poll(NULL, 0, sp_random_below(random, 250));
	}
	sp_crew_add(&crew, 0);
	if (outage)
		outage->until_ns = sp_now_ns();
	if (moment == AT_RETURN) {
		poll(NULL, 0, sp_random_below(random, 20));
		kill_and_launch();
	}
}

static void restart_and_kill_50_times(void)
{
	struct sp_random random = { .state = sp_seed() };
	int kills[MOMENTS] = { 0 };

	sp_knock_start(&knocker, &crew.address, crew.port, PER_S);
	for (int killed = 0; killed < KILLS;) {
		enum moment moment = sp_random_below(&random, MOMENTS);
		int more = moment == WITH_WORKER ? 2 : 1;

		if (killed + more > KILLS)
			continue;
		restart_and_kill(&random, moment);
		kills[moment] += more;
		killed += more;
	}
	sp_keeper_wait_enrolled(NAME, 1);
	sp_keeper_wait_slot(NAME, SP_SLOT_PARK, "parked");
	sp_knock_wait(&knocker, BETWEEN);
	sp_knock_stop(&knocker);
	print_message(
		"    killed with a worker %d times, without one %d times, at the return of one %d times\n",
		kills[WITH_WORKER], kills[IN_GAP], kills[AT_RETURN]);
	assert_int_equal(sp_status_int(NAME, "enrolled"), 1);
	assert_int_equal(sp_status_int(NAME, "unenrolled"), 0);
	assert_int_equal(sp_status_int(NAME, "members"), 1);
}

static void daemon__killed_50_times_while_the_only_worker_restarts__only_what_it_parked_is_lost(void **state)
{
	(void)state;
	start(false);
	restart_and_kill_50_times();
	require_only_outages(knocker.seen);
	sp_keeper_stop(&keeper);
}

static void daemon__killed_50_times_and_its_parking_sockets_are_kept__nothing_is_lost(void **state)
{
	const struct sp_knocks *seen;
	size_t raced;

	(void)state;
	start(true);
	restart_and_kill_50_times();
	raced = sp_losses_read();
	seen = knocker.seen;
	print_message("    %llu connections: %llu answered, %llu reset, %llu ended without an answer, %llu "
		      "refused; slowest %llu ms; the kernel lost %zu as a listener closed\n",
		      seen->asked, seen->answered, seen->reset, seen->unanswered, seen->refused,
		      seen->slowest_ns / SP_NS_PER_MS, raced);
	assert_int_equal(seen->refused, 0);
	assert_int_equal(seen->failed, 0);
	assert_true(seen->reset + seen->unanswered <= raced);
	assert_int_equal(sp_losses_unmigrated(), 0);
	assert_int_equal(seen->answered + seen->reset + seen->unanswered, seen->asked);
	/* The one that is in the slot; and a daemon that ends leaves none. */
	assert_int_equal(sp_keeper_stored(&keeper), 1);
	sp_keeper_stop(&keeper);
	assert_int_equal(keeper.nstored, 0);
}

/* The limit of parking without a store, to the connection. */
static void daemon__killed_while_100_wait_in_its_parking_socket__these_and_no_others_are_reset(void **state)
{
	struct sp_lab_flows late = SP_LAB_NO_FLOWS;
	struct sp_crowd before, after;
	int owners[WAITING];

	(void)state;
	start(false);
	sp_crowd_open(&before, &crew, "127.0.0.1", NULL, 0, WAITING);
	sp_crowd_answers(&before, owners);
	sp_crowd_close(&before);
	sp_crew_kill(&crew, 0);
	sp_crowd_open(&before, &crew, "127.0.0.1", NULL, 0, WAITING);
	sp_keeper_kill(&keeper);
	sp_crowd_answers(&before, owners);
	for (int i = 0; i < WAITING; i++)
		assert_int_equal(owners[i], SP_LAB_RESET);
	sp_crowd_close(&before);

	/* The next daemon has no worker beside whose socket it could open one. */
	sp_keeper_start(&keeper, NULL);
	assert_int_equal(sp_lab_open(SP_TCP, &crew.address, crew.port, 0, 1, SP_RUN_DEADLINE_MS, &late),
			 -ECONNREFUSED);
	sp_lab_close_flows(&late);
	sp_crew_add(&crew, 0);
	sp_crowd_open(&after, &crew, "127.0.0.1", NULL, 0, WAITING);
	sp_crowd_answers(&after, owners);
	for (int i = 0; i < WAITING; i++)
		assert_int_equal(owners[i], 0);
	sp_crowd_close(&after);
	sp_keeper_wait_slot(NAME, SP_SLOT_PARK, "parked");
	sp_keeper_stop(&keeper);
}

/* The worker is back long before the daemon is, and connections wait in a socket that nobody serves until then. */
static void daemon__killed_while_100_wait_and_its_parking_socket_is_kept__all_are_answered(void **state)
{
	struct sp_crowd before, during, after;
	int owners[WAITING];

	(void)state;
	start(true);
	sp_crew_kill(&crew, 0);
	sp_crowd_open(&before, &crew, "127.0.0.1", NULL, 0, WAITING);
	sp_keeper_kill(&keeper);
	assert_int_equal(keeper.nstored, 1);
	sp_crowd_open(&during, &crew, "127.0.0.1", NULL, 0, WAITING);
	sp_crew_add(&crew, 0);
	/* A command that runs meanwhile enrols the worker, and nothing else. */
	sp_run("sync", NAME);
	assert_int_equal(sp_status_int(NAME, "enrolled"), 1);
	assert_int_equal(sp_status_int(NAME, "members"), 1);
	assert_true(sp_status_slot_is(NAME, SP_SLOT_PARK, "parked"));

	sp_keeper_start(&keeper, NULL);
	sp_keeper_wait(&keeper,
		       "the service manager has kept the parking socket, in which 200 connections wait");
	sp_crowd_open(&after, &crew, "127.0.0.1", NULL, 0, WAITING);
	for (int i = 0; i < 3; i++) {
		struct sp_crowd *crowd = i == 0 ? &before : i == 1 ? &during : &after;

		sp_crowd_answers(crowd, owners);
		for (int n = 0; n < WAITING; n++)
			assert_int_equal(owners[n], 0);
		sp_crowd_close(crowd);
	}
	sp_keeper_stop(&keeper);
	assert_int_equal(keeper.nstored, 0);
}

/* A new configuration has no use for it, or a broken one for anything: it must not go on taking connections. */
static void require_ended(const char *text, bool is_valid)
{
	struct sp_lab_flows late = SP_LAB_NO_FLOWS;
	struct sp_crowd waiting;
	int owners[WAITING];

	start(true);
	sp_crew_kill(&crew, 0);
	sp_crowd_open(&waiting, &crew, "127.0.0.1", NULL, 0, WAITING);
	sp_keeper_kill(&keeper);
	assert_int_equal(keeper.nstored, 1);
	if (is_valid)
		sp_keeper_start(&keeper, text);
	else
		sp_keeper_fail(&keeper, text);
	assert_int_equal(sp_keeper_stored(&keeper), 0);
	sp_crowd_answers(&waiting, owners);
	for (int i = 0; i < WAITING; i++)
		assert_int_equal(owners[i], SP_LAB_RESET);
	sp_crowd_close(&waiting);
	assert_int_equal(sp_lab_open(SP_TCP, &crew.address, crew.port, 0, 1, SP_RUN_DEADLINE_MS, &late),
			 -ECONNREFUSED);
	sp_lab_close_flows(&late);
}

static void daemon__parking_socket_is_kept_and_parking_is_off_now__is_ended(void **state)
{
	(void)state;
	require_ended("[group " NAME "]\nendpoint = tcp:127.0.0.1:7075\n", true);
	sp_keeper_stop(&keeper);
}

static void daemon__parking_socket_is_kept_and_group_is_elsewhere_now__is_ended(void **state)
{
	(void)state;
	require_ended("[group " NAME "]\nendpoint = tcp:127.0.0.1:7076\npark = 30s\n", true);
	sp_keeper_stop(&keeper);
}

static void daemon__parking_socket_is_kept_and_configuration_is_broken__is_ended(void **state)
{
	(void)state;
	require_ended("[group " NAME "]\nendpoint = nowhere\n", false);
}

/* It has 300 ms to come back from then on. */
static void daemon__parking_socket_is_kept_and_nobody_comes__is_given_up(void **state)
{
	struct sp_crowd waiting;
	int owners[WAITING];

	(void)state;
	start(true);
	sp_crew_kill(&crew, 0);
	sp_crowd_open(&waiting, &crew, "127.0.0.1", NULL, 0, WAITING);
	sp_keeper_kill(&keeper);
	sp_keeper_start(&keeper, "[group " NAME "]\nendpoint = tcp:127.0.0.1:7075\npark = 300ms\n");
	sp_crowd_answers(&waiting, owners);
	for (int i = 0; i < WAITING; i++)
		assert_int_equal(owners[i], SP_LAB_RESET);
	sp_crowd_close(&waiting);
	sp_keeper_wait(&keeper, "no worker has come");
	assert_int_equal(sp_keeper_stored(&keeper), 0);
	sp_keeper_stop(&keeper);
}

/*
 * Somebody takes the program off, or puts another one in its place (@program, -1: none), and the kernel's hash gives the
 * parking socket its share until the daemon is back.
 */
static void require_all_answered_without_program(int program, const char *said)
{
	struct sp_crowd crowd;
	int owners[WAITING];

	start(true);
	sp_keeper_kill(&keeper);
	assert_int_equal(keeper.nstored, 1);
	{
		sp_autoclose int borrowed = sp_crew_borrow(&crew, 0);

		assert_int_equal(program < 0 ? sp_group_detach(borrowed) : sp_group_attach(borrowed, program),
				 0);
	}
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, WAITING);
	sp_keeper_start(&keeper, NULL);
	sp_keeper_wait(&keeper, said);
	sp_crowd_answers(&crowd, owners);
	for (int i = 0; i < WAITING; i++)
		assert_int_equal(owners[i], 0);
	sp_crowd_close(&crowd);
	sp_keeper_stop(&keeper);
	assert_int_equal(keeper.nstored, 0);
}

static void daemon__parking_socket_is_kept_and_program_is_taken_off__all_go_to_the_worker(void **state)
{
	(void)state;
	require_all_answered_without_program(-1, "that waited in the parking socket went there");
}

static void daemon__parking_socket_is_kept_and_program_is_replaced__all_go_to_the_worker(void **state)
{
	sp_autoclose int program = sp_foreign_load("foreign");

	(void)state;
	require_all_answered_without_program(program, "of the parking socket went to the members");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(
			daemon__killed_50_times_while_the_only_worker_restarts__only_what_it_parked_is_lost,
			tear_down),
		cmocka_unit_test_teardown(
			daemon__killed_while_100_wait_in_its_parking_socket__these_and_no_others_are_reset,
			tear_down),
		cmocka_unit_test_teardown(
			daemon__killed_50_times_and_its_parking_sockets_are_kept__nothing_is_lost, tear_down),
		cmocka_unit_test_teardown(
			daemon__killed_while_100_wait_and_its_parking_socket_is_kept__all_are_answered,
			tear_down),
		cmocka_unit_test_teardown(daemon__parking_socket_is_kept_and_parking_is_off_now__is_ended,
					  tear_down),
		cmocka_unit_test_teardown(daemon__parking_socket_is_kept_and_group_is_elsewhere_now__is_ended,
					  tear_down),
		cmocka_unit_test_teardown(
			daemon__parking_socket_is_kept_and_configuration_is_broken__is_ended, tear_down),
		cmocka_unit_test_teardown(daemon__parking_socket_is_kept_and_nobody_comes__is_given_up,
					  tear_down),
		cmocka_unit_test_teardown(
			daemon__parking_socket_is_kept_and_program_is_taken_off__all_go_to_the_worker,
			tear_down),
		cmocka_unit_test_teardown(
			daemon__parking_socket_is_kept_and_program_is_replaced__all_go_to_the_worker,
			tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
