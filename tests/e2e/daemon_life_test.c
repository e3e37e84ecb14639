// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The life of a configured group under the daemon: it appears, dies, returns, is taken away, and the daemon with it. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "foreign.h"
#include "keeper.h"

#define WORKERS 4
#define FLOWS 400
#define PORT 7090
#define KILLS 20

static struct sp_keeper keeper;
static struct sp_crew crew;
static struct sp_crowd crowd;
static int before[FLOWS], after[FLOWS];
static char config[1024];

#define DAEMON "[daemon]\n"

/* One group; @more: further lines of it */
static const char *config_of(enum sp_protocol protocol, const char *more)
{
	snprintf(config, sizeof(config), DAEMON "[group g]\nendpoint = %s:127.0.0.1:%d\n%s",
		 sp_protocol_name(protocol), PORT, more);
	return config;
}

static void wait_for(bool (*is_so)(void), const char *what)
{
	__u64 deadline = sp_lab_now_ms() + SP_RUN_DEADLINE_MS;

	while (!is_so()) {
		sp_run_drain(&keeper.run);
		if (sp_lab_left_ms(deadline) && !sp_run_has_ended(&keeper.run)) {
			poll(NULL, 0, 20);
			continue;
		}
		print_error("%s did not come about; the daemon said:\n%s", what, keeper.run.err);
		fail();
	}
}

static json_t *group_here(void)
{
	json_t *groups = sp_groups_here(), *group;

	group = json_incref(sp_json_find(groups, "port", PORT));
	json_decref(groups);
	return group;
}

static bool program_is(const char *kind)
{
	json_t *group = group_here();
	bool is_so = !strcmp(sp_json_text(sp_json_object(group, "program"), "kind"), kind);

	json_decref(group);
	return is_so;
}

static bool is_ours(void)
{
	return program_is("steadyport");
}

static bool is_bare(void)
{
	return program_is("none");
}

static bool is_all_dead(void)
{
	return sp_status_int("g", "enrolled") == 0;
}

static bool has_pins(void)
{
	return access("/sys/fs/bpf/steadyport/g", F_OK) == 0;
}

static json_int_t program_id(void)
{
	return sp_status_int("g", "program_id");
}

static json_int_t serial(void)
{
	return sp_status_int("g", "view_serial");
}

static void daemon__group_appears_later__waited_for_and_attached(void **state)
{
	(void)state;
	sp_keeper_start(&keeper, config_of(SP_UDP, ""));
	sp_keeper_wait(&keeper, "g: waiting for a reuseport group on udp:127.0.0.1:7090\n");
	sp_keeper_wait_notified(&keeper, "STATUS=1 group: 1 waiting\n");
	assert_false(has_pins());
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", PORT, WORKERS, NULL);
	sp_keeper_wait_enrolled("g", WORKERS);
	sp_keeper_wait_notified(&keeper, "STATUS=1 group: 1 steered\n");
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 20000, FLOWS);
	sp_crowd_ask(&crowd, before);
	sp_crowd_stays(&crowd, &crew, before, after);
	sp_crowd_close(&crowd);
	sp_keeper_stop(&keeper);
}

static void daemon__lone_listener_without_reuseport__says_why_it_waits(void **state)
{
	const struct sp_lab_options lone = { .reuseport = false };
	struct sp_lab_worker worker;
	struct sp_address address;

	(void)state;
	assert_int_equal(sp_lab_address("127.0.0.1", &address), 0);
	assert_int_equal(sp_lab_start(SP_TCP, &address, PORT, &lone, &worker), 0);
	sp_keeper_start(&keeper, config_of(SP_TCP, ""));
	sp_keeper_wait(&keeper, "listens without SO_REUSEPORT: there is no group to steer");
	sp_lab_kill(&worker);
	sp_keeper_stop(&keeper);
}

static void daemon__attach_and_joins__no_flow_moves(void **state)
{
	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", PORT, WORKERS, NULL);
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 20000, FLOWS);
	sp_crowd_ask(&crowd, before);
	sp_keeper_start(&keeper, config_of(SP_UDP, "learn = 10m\n"));
	sp_keeper_wait_enrolled("g", WORKERS);
	sp_crowd_stays(&crowd, &crew, before, after);
	for (unsigned int id = WORKERS; id < 2 * WORKERS; id++)
		sp_crew_add(&crew, id);
	sp_keeper_wait_enrolled("g", 2 * WORKERS);
	sp_crowd_stays(&crowd, &crew, before, after);
	sp_crew_kill(&crew, 0);
	sp_crowd_stays(&crowd, &crew, before, after);
	memcpy(before, after, sizeof(before));
	sp_crew_add(&crew, 0);
	sp_keeper_wait_enrolled("g", 2 * WORKERS);
	sp_crowd_stays(&crowd, &crew, before, after);
	sp_crowd_close(&crowd);
	sp_keeper_stop(&keeper);
}

/* Nobody calls sync when a window is over: the daemon does. */
static void daemon__window_ends__settled_without_a_command(void **state)
{
	__u64 deadline = sp_lab_now_ms() + SP_RUN_DEADLINE_MS;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", PORT, WORKERS, NULL);
	sp_keeper_start(&keeper, config_of(SP_UDP, "learn = 200ms\n"));
	sp_keeper_wait_enrolled("g", WORKERS);
	assert_true(serial() > 0);
	while (sp_status_int("g", "moving_buckets"))
		assert_true(sp_lab_left_ms(deadline) > 0);
	sp_keeper_stop(&keeper);
}

static void daemon__all_workers_die_and_return__same_slots_again(void **state)
{
	json_int_t id;

	(void)state;
	sp_crew_start(&crew, SP_TCP, "127.0.0.1", PORT, WORKERS, NULL);
	sp_keeper_start(&keeper, config_of(SP_TCP, ""));
	sp_keeper_wait_enrolled("g", WORKERS);
	id = program_id();
	for (int round = 0; round < 3; round++) {
		for (unsigned int w = 0; w < WORKERS; w++)
			sp_crew_kill(&crew, w);
		wait_for(is_all_dead, "the death of all");
		for (unsigned int w = 0; w < WORKERS; w++)
			sp_crew_add(&crew, w);
		sp_keeper_wait_enrolled("g", WORKERS);
		assert_int_equal(program_id(), id);
	}
	sp_keeper_wait(&keeper,
		       "g: the group has no members now; it is attached again when its workers are back");
	sp_keeper_wait(&keeper, "attached program");
	sp_keeper_stop(&keeper);
}

/* A member of ours, and another program in the place of steadyport's. */
static int take_group(void)
{
	sp_autoclose int program = sp_foreign_load("foreign");
	struct sp_address address;
	struct sockaddr_storage sa;
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len;

	assert_true(fd >= 0);
	assert_int_equal(sp_lab_address("127.0.0.1", &address), 0);
	len = sp_address_to_sockaddr(&address, PORT, &sa);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(listen(fd, 16), 0);
	sp_keeper_wait_enrolled("g", WORKERS + 1);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &program, sizeof(program)), 0);
	return fd;
}

static void daemon__foreign_program_and_report__left_and_told(void **state)
{
	int fd;

	(void)state;
	sp_crew_start(&crew, SP_TCP, "127.0.0.1", PORT, WORKERS, NULL);
	sp_keeper_start(&keeper, config_of(SP_TCP, ""));
	sp_keeper_wait_enrolled("g", WORKERS);
	fd = take_group();
	sp_keeper_wait(&keeper, "error: tcp:127.0.0.1:7090 is steered by another program: ");
	sp_keeper_wait(&keeper, "to take it back: steadyport sync g --replace");
	sp_keeper_wait_notified(&keeper, "STATUS=1 group: 1 foreign\n");
	assert_true(program_is("foreign"));
	sp_run("sync", "g", "--replace");
	sp_keeper_wait_notified(&keeper, "STATUS=1 group: 1 foreign\nSTATUS=1 group: 1 steered\n");
	assert_true(is_ours());
	close(fd);
	sp_keeper_stop(&keeper);
}

static void daemon__foreign_program_and_retake__taken_back(void **state)
{
	int fd;

	(void)state;
	sp_crew_start(&crew, SP_TCP, "127.0.0.1", PORT, WORKERS, NULL);
	sp_keeper_start(&keeper, config_of(SP_TCP, "on-foreign = retake\n"));
	sp_keeper_wait_enrolled("g", WORKERS);
	fd = take_group();
	wait_for(is_ours, "taking it back");
	sp_keeper_wait(&keeper, "again: the group had been without it");
	close(fd);
	sp_keeper_stop(&keeper);
}

static void daemon__detached_by_a_command__left_alone_until_reload(void **state)
{
	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", PORT, WORKERS, NULL);
	sp_keeper_start(&keeper, config_of(SP_UDP, ""));
	sp_keeper_wait_enrolled("g", WORKERS);
	sp_run("detach", "g");
	sp_keeper_wait(&keeper,
		       "g: a command has detached it: left alone until this daemon is told to reload");
	sp_crew_add(&crew, WORKERS);
	/* The sweep after the one that has seen it. */
	sp_keeper_wait_notified(&keeper, "STATUS=1 group: 1 released\n");
	assert_true(is_bare());
	assert_false(has_pins());
	sp_keeper_reload(&keeper, NULL);
	sp_keeper_wait_enrolled("g", WORKERS + 1);
	sp_keeper_stop(&keeper);
}

/* Attached by hand before, or while the daemon runs: it is the same group, so it is adopted. */
static void daemon__attached_by_a_command__adopted_as_it_is(void **state)
{
	json_int_t id, was;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", PORT, WORKERS, NULL);
	sp_run("attach", "g", crew.endpoint, "--hash", "kernel", "--learn", "0");
	sp_run("sync", "g");
	id = program_id();
	was = serial();
	sp_keeper_start(&keeper, config_of(SP_UDP, "hash = kernel\nlearn = 0\n"));
	sp_keeper_wait(&keeper, "g: steered already: program ");
	assert_int_equal(program_id(), id);
	assert_int_equal(serial(), was);
	assert_false(sp_keeper_has_said(&keeper, "error:"));
	sp_run("detach", "g");
	sp_run("attach", "g", crew.endpoint);
	sp_crew_add(&crew, WORKERS);
	sp_keeper_wait_enrolled("g", WORKERS + 1);
	sp_keeper_wait(&keeper, "g is steered with hash = siphash: hash = kernel has no effect");
	sp_keeper_stop(&keeper);
}

/* A member that cannot be enrolled yet, and nothing that would show when it can: the daemon tries again by itself. */
static void daemon__member_becomes_free_while_a_window_is_open__enrolled(void **state)
{
	sp_autoclose int map = bpf_map_create(BPF_MAP_TYPE_SOCKMAP, "other", 4, 8, 1, NULL);
	sp_autoclose int fd = -1;
	__u32 zero = 0;
	__u64 value;

	(void)state;
	assert_true(map >= 0);
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", PORT, WORKERS, NULL);
	fd = sp_crew_join(&crew);
	value = fd;
	assert_int_equal(bpf_map_update_elem(map, &zero, &value, BPF_ANY), 0);
	sp_run("attach", "g", crew.endpoint, "--partial", "--learn", "1h");
	sp_keeper_start(&keeper, config_of(SP_UDP, "learn = 1h\n"));
	sp_keeper_wait(&keeper, "1 member of g in another BPF sockarray or sockmap: no traffic goes there");
	assert_int_equal(sp_status_int("g", "enrolled"), WORKERS);
	assert_int_equal(bpf_map_delete_elem(map, &zero), 0);
	sp_keeper_wait_enrolled("g", WORKERS + 1);
	assert_true(sp_status_bool("g", "learning"));
	sp_keeper_stop(&keeper);
}

static void daemon__name_steered_elsewhere__refused_and_left(void **state)
{
	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", PORT + 1, WORKERS, NULL);
	sp_run("attach", "g", crew.endpoint);
	sp_keeper_start(&keeper, config_of(SP_UDP, ""));
	sp_keeper_wait(&keeper, "error: g is steered at udp:127.0.0.1:7091 in network namespace ");
	sp_keeper_wait_notified(&keeper, "STATUS=1 group: 1 refused\n");
	assert_int_equal(sp_status_int("g", "enrolled"), WORKERS);
	sp_keeper_stop(&keeper);
	sp_crew_dismiss(&crew);
}

static void daemon__second_one__refused(void **state)
{
	(void)state;
	sp_keeper_start(&keeper, config_of(SP_UDP, ""));
	assert_non_null(strstr(sp_run_fails(SP_EXIT_FAILED, "run", "--config", keeper.config)->err,
			       "a steadyport daemon runs already"));
	sp_keeper_stop(&keeper);
	sp_keeper_start(&keeper, NULL);
	sp_keeper_stop(&keeper);
}

static void daemon__commands_beside_it__work(void **state)
{
	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", PORT, WORKERS, NULL);
	sp_keeper_start(&keeper, config_of(SP_UDP, ""));
	sp_keeper_wait_enrolled("g", WORKERS);
	for (int i = 0; i < 5; i++) {
		sp_crew_add(&crew, WORKERS);
		sp_run("sync", "g");
		sp_run("drain", "g", "0");
		sp_run("undrain", "g", "0");
		sp_crew_kill(&crew, WORKERS);
		sp_run("weight", "g", "1=50");
		sp_run("weight", "g", "1=100");
		sp_run("list");
	}
	assert_int_equal(sp_status_int("g", "enrolled"), WORKERS);
	sp_keeper_stop(&keeper);
}

static void daemon__sigterm_and_keep__group_stays_steered(void **state)
{
	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", PORT, WORKERS, NULL);
	sp_keeper_start(&keeper, config_of(SP_UDP, ""));
	sp_keeper_wait_enrolled("g", WORKERS);
	sp_keeper_stop(&keeper);
	assert_true(strstr(keeper.notified, "STOPPING=1\n"));
	assert_true(is_ours());
	assert_int_equal(sp_status_int("g", "enrolled"), WORKERS);
}

static void daemon__sigterm_and_detach__group_is_given_back(void **state)
{
	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", PORT, WORKERS, NULL);
	snprintf(config, sizeof(config), "[daemon]\non-exit = detach\n[group g]\nendpoint = %s\n",
		 crew.endpoint);
	sp_keeper_start(&keeper, config);
	sp_keeper_wait_enrolled("g", WORKERS);
	sp_keeper_stop(&keeper);
	assert_true(is_bare());
	assert_false(has_pins());
}

/* Killed at any moment and started again, with joins and deaths meanwhile. */
static void daemon__killed_and_started_again__nothing_moves(void **state)
{
	json_int_t id;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", PORT, WORKERS, NULL);
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 20000, FLOWS);
	sp_crowd_ask(&crowd, before);
	sp_keeper_start(&keeper, config_of(SP_UDP, "learn = 10m\n"));
	sp_keeper_wait_enrolled("g", WORKERS);
	id = program_id();
	for (unsigned int i = 0; i < KILLS; i++) {
		unsigned int worker = WORKERS + i % WORKERS;

		if (crew.workers[worker].pid)
			sp_crew_kill(&crew, worker);
		else
			sp_crew_add(&crew, worker);
		poll(NULL, 0, i * 3);
		sp_keeper_kill(&keeper);
		sp_crowd_stays(&crowd, &crew, before, after);
		sp_keeper_launch(&keeper, NULL);
		poll(NULL, 0, 200 - i * 10);
		sp_crowd_stays(&crowd, &crew, before, after);
	}
	sp_keeper_wait_notified(&keeper, "READY=1");
	sp_keeper_wait_enrolled("g", WORKERS + KILLS % (2 * WORKERS));
	assert_int_equal(program_id(), id);
	sp_crowd_stays(&crowd, &crew, before, after);
	sp_crowd_close(&crowd);
	sp_keeper_stop(&keeper);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_teardown(name, sp_keeper_teardown)
		CASE(daemon__group_appears_later__waited_for_and_attached),
		CASE(daemon__lone_listener_without_reuseport__says_why_it_waits),
		CASE(daemon__attach_and_joins__no_flow_moves),
		CASE(daemon__window_ends__settled_without_a_command),
		CASE(daemon__all_workers_die_and_return__same_slots_again),
		CASE(daemon__foreign_program_and_report__left_and_told),
		CASE(daemon__foreign_program_and_retake__taken_back),
		CASE(daemon__detached_by_a_command__left_alone_until_reload),
		CASE(daemon__attached_by_a_command__adopted_as_it_is),
		CASE(daemon__member_becomes_free_while_a_window_is_open__enrolled),
		CASE(daemon__name_steered_elsewhere__refused_and_left),
		CASE(daemon__second_one__refused),
		CASE(daemon__commands_beside_it__work),
		CASE(daemon__sigterm_and_keep__group_stays_steered),
		CASE(daemon__sigterm_and_detach__group_is_given_back),
		CASE(daemon__killed_and_started_again__nothing_moves),
#undef CASE
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
