// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `drain --wait`: returns when the worker can be stopped, or says what is left. */
#include <poll.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include "cleanup.h"
#include "run.h"

#define NAME "web"
#define WORKERS 4
#define FLOWS 200

static struct sp_crew crew;
static struct sp_crowd crowd;
static int before[FLOWS], after[FLOWS];

/* Slots are in the kernel's order of members, which for a new group is that of the workers' start. */
#define SLOT "1"
#define SLOT_ID 1

static void says(const struct sp_run *run, const char *what, const char *next)
{
	if (!strstr(run->err, what) || !strstr(run->err, next))
		fail_msg("%s", run->err);
}

static void start_udp(const char *flow_idle)
{
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, FLOWS);
	sp_crowd_ask(&crowd, before);
	sp_run("attach", NAME, crew.endpoint, "--learn", sp_run_window(1000), "--flow-idle", flow_idle);
	sp_crowd_stays(&crowd, &crew, before, after);
	sp_status_wait_settled(NAME);
	sp_run("sync", NAME);
}

/* Runs it, and lets the flows send as long as it runs. Its exit status. */
static int drain_under_traffic(const char *wait)
{
	const char *const words[] = { "steadyport", "drain", NAME, SLOT, "--wait", wait, NULL };
	struct sp_run run;
	int status;

	sp_run_start(&run, NULL, words);
	while (!sp_run_has_ended(&run)) {
		sp_crowd_stays(&crowd, &crew, before, after);
		poll(NULL, 0, 20);
	}
	sp_run_wait(&run);
	status = run.status;
	if (status)
		says(&run, "kept flows", "longer --wait");
	sp_run_free(&run);
	return status;
}

static void e2e__udp_flows_go_on__exit_1_and_the_kept_ones_are_counted(void **state)
{
	(void)state;
	start_udp("180s");
	assert_int_equal(drain_under_traffic("2s"), SP_EXIT_FAILED);
	sp_crowd_stays(&crowd, &crew, before, after);
	sp_crowd_close(&crowd);
}

/* The last packet of a flow, and --flow-idle later nothing is left. */
static void e2e__udp_flows_fall_silent__returns_when_they_are_forgotten(void **state)
{
	const struct sp_run *run;

	(void)state;
	start_udp("2s");
	run = sp_run("drain", NAME, SLOT, "--wait", "50s");
	assert_non_null(strstr(run->out, "safe to stop"));
	sp_crew_kill(&crew, SLOT_ID);
	sp_crowd_ask(&crowd, after);
	sp_crowd_close(&crowd);
}

/* What lies unread would be lost with the worker. */
static void e2e__udp_datagrams_unread__they_are_waited_for(void **state)
{
	const struct sp_lab_options paused = { .is_paused = true };

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, &paused);
	sp_run("attach", NAME, crew.endpoint, "--learn", "0", "--track", "off");
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, FLOWS);
	/* Nobody answers: each flow has one datagram in a queue. */
	assert_int_equal(sp_lab_round(&crowd.parts[0], 1, after), 0);
	says(sp_run_fails(SP_EXIT_FAILED, "drain", NAME, SLOT, "--wait", "300ms"), "in the receive queue",
	     "longer --wait");
	assert_int_equal(sp_lab_resume(&crew.workers[SLOT_ID]), 0);
	sp_run("drain", NAME, SLOT, "--wait", "50s");
	sp_crowd_close(&crowd);
}

/* A connection that says nothing yet; it is the target's own fault if nobody accepts it. */
static int connect_silently(void)
{
	struct sockaddr_storage sa;
	socklen_t len = sp_address_to_sockaddr(&crew.address, crew.port, &sa);
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
	return fd;
}

static void e2e__tcp_connections_open__exit_1_until_they_are_closed(void **state)
{
	int fds[40];

	(void)state;
	sp_crew_start(&crew, SP_TCP, "127.0.0.1", 0, WORKERS, NULL);
	sp_run("attach", NAME, crew.endpoint);
	for (size_t i = 0; i < SP_ARRAY_SIZE(fds); i++)
		fds[i] = connect_silently();
	says(sp_run_fails(SP_EXIT_FAILED, "drain", NAME, SLOT, "--wait", "300ms"),
	     "connections and 0 waiting", "longer --wait");
	for (size_t i = 0; i < SP_ARRAY_SIZE(fds); i++)
		close(fds[i]);
	sp_run("drain", NAME, SLOT, "--wait", "50s");
	/* All of them at once: nothing is left anywhere. */
	sp_run("drain", NAME, "0-3", "--wait", "50s");
}

static void e2e__tcp_connections_not_accepted__they_are_waited_for(void **state)
{
	const struct sp_lab_options paused = { .is_paused = true };
	static int owners[FLOWS];

	(void)state;
	sp_crew_start(&crew, SP_TCP, "127.0.0.1", 0, WORKERS, &paused);
	sp_run("attach", NAME, crew.endpoint);
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, FLOWS);
	says(sp_run_fails(SP_EXIT_FAILED, "drain", NAME, SLOT, "--wait", "300ms"), "waiting to be accepted",
	     "longer --wait");
	for (unsigned int id = 0; id < WORKERS; id++)
		assert_int_equal(sp_lab_resume(&crew.workers[id]), 0);
	sp_crowd_answers(&crowd, owners);
	sp_run("drain", NAME, SLOT, "--wait", "50s");
	sp_crowd_close(&crowd);
}

static void e2e__worker_dies_meanwhile__nothing_is_left(void **state)
{
	const char *const words[] = { "steadyport", "drain", NAME, SLOT, "--wait", "50s", NULL };
	struct sp_run run;
	int fds[40];

	(void)state;
	sp_crew_start(&crew, SP_TCP, "127.0.0.1", 0, WORKERS, NULL);
	sp_run("attach", NAME, crew.endpoint);
	/* A connection of every worker, or nearly so, keeps the command waiting. */
	for (size_t i = 0; i < SP_ARRAY_SIZE(fds); i++)
		fds[i] = connect_silently();
	sp_run_start(&run, NULL, words);
	while (!sp_status_slot_is(NAME, atoi(SLOT), "draining"))
		poll(NULL, 0, 10);
	sp_crew_kill(&crew, SLOT_ID);
	sp_run_wait(&run);
	assert_int_equal(run.status, SP_EXIT_OK);
	sp_run_free(&run);
	for (size_t i = 0; i < SP_ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(e2e__udp_flows_go_on__exit_1_and_the_kept_ones_are_counted,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__udp_flows_fall_silent__returns_when_they_are_forgotten,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__udp_datagrams_unread__they_are_waited_for, sp_run_teardown),
		cmocka_unit_test_teardown(e2e__tcp_connections_open__exit_1_until_they_are_closed,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__tcp_connections_not_accepted__they_are_waited_for,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__worker_dies_meanwhile__nothing_is_left, sp_run_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
