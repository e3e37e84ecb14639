// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Several HAProxy instances on one port. HAProxy sets SO_REUSEPORT by itself, and that is how its own reload works: the
 * new process binds beside the old one (-sf), which then closes its socket, with all that waits there.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "contest.h"

#define PORT 8081
#define INSTANCES 4
#define RELOADS 6 /* an even number */
#define RESTARTS (2 * INSTANCES)
#define THREADS 8

static struct sp_run instances[INSTANCES], leaving;
static char config[] = "/tmp/sp-haproxy-XXXXXX";

/* @old: who is to finish and go when this one listens, or 0 */
static void start_one(struct sp_run *run, pid_t old)
{
	char pid[16];
	const char *const words[] = { "haproxy", "-db", "-f", config, old ? "-sf" : NULL, pid, NULL };

	snprintf(pid, sizeof(pid), "%d", old);
	sp_server_start(run, words);
}

/* A socket for each thread: without "shards" HAProxy shares one among all. */
static void configure(unsigned int threads)
{
	FILE *file = fopen(config, "w");

	assert_non_null(file);
	fprintf(file,
		"global\n\tnbthread %u\n\tmaxconn 2000\n"
		"defaults\n\tmode http\n\ttimeout client 60s\n\ttimeout server 60s\n\ttimeout connect 5s\n"
		"frontend web\n\tbind 127.0.0.1:%d shards by-thread\n"
		"\thttp-request return status 200 content-type text/plain string ok\n",
		threads, PORT);
	assert_int_equal(fclose(file), 0);
}

static void make_config(unsigned int threads)
{
	int fd;

	strcpy(strrchr(config, '-'), "-XXXXXX");
	fd = mkstemp(config);
	assert_true(fd >= 0);
	close(fd);
	configure(threads);
}

static void start(void)
{
	make_config(1);
	for (int i = 0; i < INSTANCES; i++)
		start_one(&instances[i], 0);
}

static void start_alone(void)
{
	make_config(1);
	start_one(&instances[0], 0);
}

/* As the package's unit does it, with a master that hands its worker's sockets to the next one. */
static void start_master(void)
{
	const char *const words[] = { "haproxy", "-W", "-f", config, NULL };

	make_config(THREADS);
	sp_server_start(&instances[0], words);
}

static void stop(void)
{
	sp_server_end(&leaving);
	for (int i = 0; i < INSTANCES; i++)
		sp_server_end(&instances[i]);
	unlink(config);
}

static void wait_end(struct sp_run *run, int status)
{
	sp_run_wait(run);
	if (run->status != status)
		fail_msg("exit status %d: %s", run->status, run->err);
	sp_run_free(run);
}

/* As `systemctl reload haproxy` does it: the new one tells the old one to go. The old one is busy at that moment. */
static size_t reload_one_by_one(void)
{
	for (int i = 0; i < INSTANCES; i++) {
		leaving = instances[i];
		memset(&instances[i], 0, sizeof(instances[i]));
		sp_server_pause(leaving.pid, PORT, sp_contest_waiting());
		start_one(&instances[i], leaving.pid);
		sp_contest_wait_members(INSTANCES + 1);
		assert_int_equal(kill(leaving.pid, SIGCONT), 0);
		wait_end(&leaving, 0);
		sp_contest_wait_members(INSTANCES);
	}
	return 0;
}

/* As `systemctl restart` with SIGUSR1, the soft stop: the next one is started when the old one has gone. */
static size_t restart_one_by_one(void)
{
	for (int i = 0; i < INSTANCES; i++) {
		sp_server_pause(instances[i].pid, PORT, sp_contest_waiting());
		assert_int_equal(kill(instances[i].pid, SIGUSR1), 0);
		assert_int_equal(kill(instances[i].pid, SIGCONT), 0);
		wait_end(&instances[i], 0);
		start_one(&instances[i], 0);
		sp_contest_wait_members(INSTANCES);
	}
	return 0;
}

/* Nobody is busy. The new one tells the old one to go as soon as it listens, before anybody else knows of it. */
static size_t reload_alone(void)
{
	for (int i = 0; i < RELOADS; i++) {
		leaving = instances[0];
		memset(&instances[0], 0, sizeof(instances[0]));
		start_one(&instances[0], leaving.pid);
		wait_end(&leaving, 0);
		sp_contest_wait_members(1);
	}
	return 0;
}

/* Nobody is busy. The slot is drained before its owner is told to go. */
static size_t drain_and_restart_one_by_one(void)
{
	for (int i = 0; i < RESTARTS; i++) {
		struct sp_run *run = &instances[i % INSTANCES];

		sp_contest_drain(run->pid);
		assert_int_equal(kill(run->pid, SIGUSR1), 0);
		wait_end(run, 0);
		start_one(run, 0);
		sp_contest_wait_members(INSTANCES);
	}
	return 0;
}

static bool has_replaced(pid_t old)
{
	pid_t workers[INSTANCES];
	size_t count = sp_server_children(instances[0].pid, workers, INSTANCES);

	return count == 1 && workers[0] != old;
}

static size_t change_thread_count(void)
{
	for (int i = 0; i < RELOADS; i++) {
		unsigned int threads = i % 2 ? THREADS : 1;
		pid_t old;

		sp_wait_for(sp_server_children(instances[0].pid, &old, 1) == 1);
		configure(threads);
		/* The master becomes a new program at each reload, and its worker may be there before it listens to us. */
		sp_wait_for(sp_server_catches(instances[0].pid, SIGUSR2));
		assert_int_equal(kill(instances[0].pid, SIGUSR2), 0);
		sp_wait_for(has_replaced(old));
		sp_contest_wait_members(threads);
	}
	return 0;
}

static size_t kill_one_by_one(void)
{
	size_t accepted = 0;

	for (int i = 0; i < INSTANCES; i++) {
		accepted += sp_server_kill(instances[i].pid, PORT, sp_contest_waiting());
		wait_end(&instances[i], SP_RUN_SIGNALLED + SIGKILL);
		start_one(&instances[i], 0);
		sp_contest_wait_members(INSTANCES);
	}
	return accepted;
}

static void contend(const struct sp_contest *contest, struct sp_contest_result *ret)
{
	sp_contest_run(contest, ret);
	assert_true(ret->without.failed > sp_contest_bound(&ret->without));
}

/* Several, and the one that leaves is busy at that moment, so that connections wait in its queue. */
static void contend_one_by_one(const char *what, size_t (*change)(void))
{
	const struct sp_contest contest = {
		.what = what,
		.program = "haproxy",
		.port = PORT,
		.members = INSTANCES,
		.start = start,
		.change = change,
		.stop = stop,
	};
	struct sp_contest_result result;

	contend(&contest, &result);
	assert_true(result.with.migrated > 0);
}

static void haproxy__instances_reload_one_by_one__no_request_fails(void **state)
{
	(void)state;
	contend_one_by_one("HAProxy, each of 4 busy instances reloaded (-sf)", reload_one_by_one);
}

static void haproxy__instances_restart_one_by_one__no_request_fails(void **state)
{
	(void)state;
	contend_one_by_one("HAProxy, each of 4 busy instances stopped softly (SIGUSR1) and started again",
			   restart_one_by_one);
}

static void haproxy__instances_are_killed__only_what_they_had_accepted_fails(void **state)
{
	(void)state;
	contend_one_by_one("HAProxy, each of 4 busy instances killed (SIGKILL) and started again",
			   kill_one_by_one);
}

static void haproxy__only_instance_reloads__no_request_fails(void **state)
{
	static const struct sp_contest contest = {
		.what = "HAProxy, the only instance reloaded (-sf) 6 times",
		.program = "haproxy",
		.port = PORT,
		.members = 1,
		.start = start_alone,
		.change = reload_alone,
		.stop = stop,
	};
	struct sp_contest_result result;

	(void)state;
	contend(&contest, &result);
}

/*
 * The new worker takes over the sockets that it needs, so few are closed, and what is lost without steadyport is a
 * matter of luck.
 */
static void haproxy__thread_count_changes_by_reload__no_request_fails(void **state)
{
	static const struct sp_contest contest = {
		.what = "HAProxy, master and worker, 6 reloads (SIGUSR2): 8 threads, 1, 8, 1...",
		.program = "haproxy",
		.port = PORT,
		.members = THREADS,
		.start = start_master,
		.change = change_thread_count,
		.stop = stop,
	};
	struct sp_contest_result result;

	(void)state;
	sp_contest_run(&contest, &result);
}

/*
 * Nothing is on its way to a listener that closes, so this time really nothing fails. Nobody is busy, so without
 * steadyport it is a matter of luck.
 */
static void haproxy__instances_are_drained_and_restart__nothing_at_all_fails(void **state)
{
	static const struct sp_contest contest = {
		.what = "HAProxy, 4 instances, 8 times: one drained, stopped softly (SIGUSR1), started again",
		.program = "haproxy",
		.port = PORT,
		.members = INSTANCES,
		.start = start,
		.change = drain_and_restart_one_by_one,
		.stop = stop,
	};
	struct sp_contest_result result;

	(void)state;
	sp_contest_run(&contest, &result);
	assert_int_equal(result.with.failed, 0);
	assert_int_equal(result.with.migrated, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(haproxy__instances_reload_one_by_one__no_request_fails,
					  sp_contest_teardown),
		cmocka_unit_test_teardown(haproxy__instances_restart_one_by_one__no_request_fails,
					  sp_contest_teardown),
		cmocka_unit_test_teardown(haproxy__instances_are_killed__only_what_they_had_accepted_fails,
					  sp_contest_teardown),
		cmocka_unit_test_teardown(haproxy__only_instance_reloads__no_request_fails,
					  sp_contest_teardown),
		cmocka_unit_test_teardown(haproxy__thread_count_changes_by_reload__no_request_fails,
					  sp_contest_teardown),
		cmocka_unit_test_teardown(haproxy__instances_are_drained_and_restart__nothing_at_all_fails,
					  sp_contest_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
