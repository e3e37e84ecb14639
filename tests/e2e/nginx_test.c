// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * nginx with `listen ... reuseport`. It has one socket for each worker, and all of them in every process: the master
 * opens them, the workers inherit all and each accepts on its own. So a socket ends when a reload takes workers away,
 * and not when a worker is killed: then it waits for the one that the master starts in its place.
 */
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "contest.h"
#include "scene.h"
#include "web.h"

#define PORT 8080
#define WORKERS 4
#define FEWER 2
#define MORE 6
#define ROUNDS 3
#define STOPS 10
#define LONG_CONNECTIONS 64

static struct sp_run master, other; /* of two instances */
static char directory[] = "/tmp/sp-nginx-XXXXXX";

/* @name: of the files that are an instance's own */
static void write_config(const char *name, unsigned int workers)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.conf", directory, name);
	file = fopen(path, "w");
	assert_non_null(file);
	/* The package's own paths are not touched, not even when it starts. */
	fprintf(file,
		"daemon off;\nworker_processes %u;\npid %s.pid;\nerror_log error.log;\n"
		"events { worker_connections 2000; }\n"
		"http {\n\taccess_log off;\n\tclient_body_temp_path t1;\n\tproxy_temp_path t2;\n"
		"\tfastcgi_temp_path t3;\n\tuwsgi_temp_path t4;\n\tscgi_temp_path t5;\n"
		"\tserver {\n\t\tlisten 127.0.0.1:%d reuseport;\n\t\tlocation / { return 200 \"ok\\n\"; }\n\t}\n}\n",
		workers, name, PORT);
	assert_int_equal(fclose(file), 0);
}

/* It listens before it has workers, and a signal that comes so early is lost. */
static void start_instance(struct sp_run *run, const char *name)
{
	char config[32];
	const char *const words[] = { "nginx", "-p", directory, "-c", config, "-e", "error.log", NULL };
	pid_t workers[WORKERS];

	snprintf(config, sizeof(config), "%s.conf", name);
	write_config(name, WORKERS);
	sp_server_start(run, words);
	sp_wait_for(sp_server_children(run->pid, workers, WORKERS) == WORKERS);
}

static void start(void)
{
	strcpy(strrchr(directory, '-'), "-XXXXXX");
	assert_non_null(mkdtemp(directory));
	start_instance(&master, "nginx");
}

static void start_two(void)
{
	start();
	start_instance(&other, "other");
}

static int delete (const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void stop(void)
{
	sp_server_end(&master);
	sp_server_end(&other);
	nftw(directory, delete, 8, FTW_DEPTH | FTW_PHYS);
}

/* True when nginx has so many workers, none of which was one of these. */
static bool has_replaced(const pid_t *before, size_t nbefore, const pid_t *busy, size_t count)
{
	pid_t now[SP_CONTEST_CLIENTS];
	size_t nnow = sp_server_children(master.pid, now, SP_CONTEST_CLIENTS);

	for (size_t i = 0; i < nnow; i++)
		if ((!busy || now[i] != *busy) && sp_server_is_among(now[i], before, nbefore))
			return false;
	return nnow == count + !!busy;
}

/* A reload, as in `systemctl reload nginx`. @busy: a worker that is busy when it is told to go */
static void reload(unsigned int workers, bool is_last_busy)
{
	pid_t before[MORE];
	size_t count = sp_server_children(master.pid, before, MORE);
	pid_t *busy = count && is_last_busy ? &before[count - 1] : NULL;

	write_config("nginx", workers);
	if (busy)
		sp_server_pause(*busy, PORT, sp_contest_waiting());
	assert_int_equal(kill(master.pid, SIGHUP), 0);
	if (busy) {
		sp_wait_for(has_replaced(before, count, busy, workers));
		assert_int_equal(kill(*busy, SIGCONT), 0);
	}
	sp_wait_for(has_replaced(before, count, NULL, workers));
	sp_contest_wait_members(workers);
}

/* The last worker's socket is among those that nginx closes. */
static size_t change_worker_count(void)
{
	for (int i = 0; i < ROUNDS; i++) {
		reload(FEWER, true);
		reload(MORE, false);
		reload(WORKERS, true);
	}
	return 0;
}

static size_t kill_workers(void)
{
	size_t accepted = 0;

	for (int i = 0; i < ROUNDS; i++) {
		pid_t before[WORKERS], now[WORKERS];

		assert_int_equal(sp_server_children(master.pid, before, WORKERS), WORKERS);
		accepted += sp_server_kill(before[i], PORT, sp_contest_waiting());
		sp_wait_for(sp_server_children(master.pid, now, WORKERS) == WORKERS &&
			    !sp_server_is_among(before[i], now, WORKERS));
		sp_contest_wait_members(WORKERS);
	}
	return accepted;
}

/* Nobody is busy. */
static size_t stop_and_start_one_of_two(void)
{
	for (int i = 0; i < STOPS; i++) {
		assert_int_equal(kill(other.pid, SIGQUIT), 0);
		sp_run_wait(&other);
		assert_int_equal(other.status, 0);
		sp_run_free(&other);
		start_instance(&other, "other");
		sp_contest_wait_members(2 * WORKERS);
	}
	return 0;
}

static void nginx__worker_count_changes_by_reload__no_request_fails(void **state)
{
	static const struct sp_contest contest = {
		.what = "nginx, 3 times: 4 workers, by reload 2, 6, 4",
		.program = "nginx",
		.port = PORT,
		.members = WORKERS,
		.start = start,
		.change = change_worker_count,
		.stop = stop,
	};
	struct sp_contest_result result;

	(void)state;
	sp_contest_run(&contest, &result);
	assert_true(result.with.migrated > 0);
	assert_true(result.without.failed > sp_contest_bound(&result.without));
}

/* What waits in a killed worker's queue is not lost in the kernel's way either: the socket stays (see above). */
static void nginx__workers_are_killed__only_what_they_had_accepted_fails(void **state)
{
	static const struct sp_contest contest = {
		.what = "nginx, 3 of 4 workers killed one after the other (SIGKILL)",
		.program = "nginx",
		.port = PORT,
		.members = WORKERS,
		.start = start,
		.change = kill_workers,
		.stop = stop,
	};
	struct sp_contest_result result;

	(void)state;
	sp_contest_run(&contest, &result);
	assert_int_equal(result.with.migrated, 0);
	assert_in_range(result.without.failed, 0, sp_contest_bound(&result.without));
}

static void nginx__one_of_two_instances_restarts__no_request_fails(void **state)
{
	static const struct sp_contest contest = {
		.what = "nginx, one of 2 instances stopped softly (SIGQUIT) and started again 10 times",
		.program = "nginx",
		.port = PORT,
		.members = 2 * WORKERS,
		.start = start_two,
		.change = stop_and_start_one_of_two,
		.stop = stop,
	};
	struct sp_contest_result result;

	(void)state;
	sp_contest_run(&contest, &result);
	assert_true(result.without.failed > sp_contest_bound(&result.without));
}

/* --- placement by load --- */

/* A connection that stays, and has been accepted: it was answered once. */
static int open_for_long(void)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	int fd = sp_web_connect(PORT);
	char answer[512];

	assert_int_equal(send(fd, request, strlen(request), 0), strlen(request));
	assert_true(recv(fd, answer, sizeof(answer), 0) > 0);
	return fd;
}

static void nginx__least_conn__long_connections_are_spread_evenly(void **state)
{
	size_t before[WORKERS], share;
	int fds[LONG_CONNECTIONS];
	pid_t workers[WORKERS];

	(void)state;
	start();
	assert_int_equal(sp_server_children(master.pid, workers, WORKERS), WORKERS);
	sp_run("attach", "nginx", "tcp:127.0.0.1:8080", "--balance", "least-conn");
	for (size_t i = 0; i < WORKERS; i++)
		before[i] = sp_scene_count_files(workers[i]);
	for (size_t i = 0; i < LONG_CONNECTIONS; i++)
		fds[i] = open_for_long();
	for (size_t i = 0; i < WORKERS; i++) {
		share = sp_scene_count_files(workers[i]) - before[i];
		print_message("nginx worker %zu of %d has %zu of %d connections\n", i, WORKERS, share,
			      LONG_CONNECTIONS);
		assert_in_range(share, LONG_CONNECTIONS / WORKERS - 1, LONG_CONNECTIONS / WORKERS + 1);
	}
	for (size_t i = 0; i < LONG_CONNECTIONS; i++)
		close(fds[i]);
	sp_run("detach", "nginx");
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(nginx__worker_count_changes_by_reload__no_request_fails,
					  sp_contest_teardown),
		cmocka_unit_test_teardown(nginx__workers_are_killed__only_what_they_had_accepted_fails,
					  sp_contest_teardown),
		cmocka_unit_test_teardown(nginx__one_of_two_instances_restarts__no_request_fails,
					  sp_contest_teardown),
		cmocka_unit_test_teardown(nginx__least_conn__long_connections_are_spread_evenly,
					  sp_run_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
