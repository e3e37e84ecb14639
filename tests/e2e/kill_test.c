// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The loader is killed after its first system call, after its second, and so on until it gets through (DESIGN
 * I5). After each death no flow of a living worker has moved, the pins are absent or complete, and the next
 * command completes or removes what was left.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "kill.h"

#define ROOT "/sys/fs/bpf/steadyport"
#define NAME "dns"
#define WORKERS 4
#define NEWCOMER WORKERS
#define FLOWS 64

static struct sp_crew crew;
static struct sp_crowd crowd;
static int before[FLOWS], after[FLOWS];

static void check_flows(void)
{
	sp_crowd_stays(&crowd, &crew, before, after);
}

/* The exit status of a command that may find its work done or to do. */
static int try(const char *first, const char *second, const char *third, const char *fourth,
	       const char *fifth)
{
	const char *words[] = { "steadyport", first, second, third, fourth, fifth, NULL };
	struct sp_run run;
	int status;

	sp_run_start(&run, NULL, words);
	sp_run_wait(&run);
	status = run.status;
	sp_run_free(&run);
	return status;
}

/* --- the commands that change something --- */

static void complete_by_attach(void)
{
	json_t *status;

	/* It refuses when the one before was killed after its last step: nothing is left to do then. */
	try("attach", NAME, crew.endpoint, "--learn", "1h");
	assert_true(sp_left_pins(NAME));
	status = sp_run_json("status", NAME);
	assert_true(sp_json_bool(status, "attached"));
	assert_int_equal(sp_json_int(status, "enrolled"), WORKERS);
	json_decref(status);
	check_flows();
	sp_run("detach", NAME);
	sp_left_nothing(crew.port);
}

/* Published pins or only the staging of a killed command: detach removes either, and finds no NAME without both. */
static void complete_by_detach(bool had_pins)
{
	bool had_staging = sp_left_staging(NAME);

	assert_int_equal(try("detach", NAME, NULL, NULL, NULL),
			 had_pins || had_staging ? SP_EXIT_OK : SP_EXIT_NO_GROUP);
	sp_left_nothing(crew.port);
}

static void e2e__attach_killed_at_any_call__no_flow_moves(void **state)
{
	const char *const words[] = { "steadyport", "attach", NAME, crew.endpoint, "--learn", "1h", NULL };
	bool was_killed = true, was_absent = false, was_complete = false;
	struct sp_run run;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, FLOWS);
	sp_crowd_ask(&crowd, before);
	for (unsigned int nth = 1; was_killed; nth += sp_kill_stride(1)) {
		bool has;

		was_killed = sp_kill_run(&run, nth, words);
		has = sp_left_pins(NAME);
		if (!was_killed)
			assert_int_equal(run.status, SP_EXIT_OK);
		sp_run_free(&run);
		check_flows();
		was_absent |= !has;
		was_complete |= has;
		if (sp_left_attached(crew.port))
			assert_true(has);
		if (nth % 2)
			complete_by_attach();
		else
			complete_by_detach(has);
	}
	assert_true(was_absent && was_complete);
	check_flows();
	sp_crowd_close(&crowd);
}

/* Set after the attach, so that learning starts with the sync: its previous view is a table, then. */
static void set_learn_time(__u64 ns)
{
	sp_autoclose int fd = bpf_obj_get(ROOT "/" NAME "/" SP_PIN_CTL);
	struct sp_ctl ctl;
	__u32 zero = 0;

	assert_true(fd >= 0);
	assert_int_equal(bpf_map_lookup_elem(fd, &zero, &ctl), 0);
	ctl.learn_ns = ns;
	assert_int_equal(bpf_map_update_elem(fd, &zero, &ctl, BPF_ANY), 0);
}

static void e2e__sync_killed_at_any_call__no_flow_moves(void **state)
{
	const char *const words[] = { "steadyport", "sync", NAME, NULL };
	bool was_killed = true;
	struct sp_run run;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_run("attach", NAME, crew.endpoint, "--learn", "0");
	set_learn_time(3600ULL * 1000000000);
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, FLOWS);
	sp_crowd_ask(&crowd, before);
	for (unsigned int nth = 1; was_killed; nth += sp_kill_stride(1)) {
		sp_crew_add(&crew, NEWCOMER);
		was_killed = sp_kill_run(&run, nth, words);
		if (!was_killed)
			assert_int_equal(run.status, SP_EXIT_OK);
		sp_run_free(&run);
		check_flows();
		assert_true(sp_left_pins(NAME));
		sp_run("sync", NAME);
		check_flows();
		assert_int_equal(sp_status_int(NAME, "enrolled"), WORKERS + 1);
		sp_crew_kill(&crew, NEWCOMER);
		check_flows();
	}
	sp_crowd_close(&crowd);
}

static void e2e__detach_killed_at_any_call__flows_stay_while_attached(void **state)
{
	const char *const words[] = { "steadyport", "detach", NAME, NULL };
	bool was_killed = true, was_attached = false, was_detached = false;
	struct sp_run run;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, FLOWS);
	sp_crowd_ask(&crowd, before);
	for (unsigned int nth = 1; was_killed; nth += sp_kill_stride(1)) {
		bool has;

		sp_run("attach", NAME, crew.endpoint, "--learn", "1h");
		check_flows();
		was_killed = sp_kill_run(&run, nth, words);
		has = sp_left_pins(NAME);
		if (!was_killed)
			assert_int_equal(run.status, SP_EXIT_OK);
		sp_run_free(&run);
		if (sp_left_attached(crew.port)) {
			was_attached = true;
			assert_true(has);
			check_flows();
		} else {
			was_detached = true;
		}
		complete_by_detach(has);
	}
	assert_true(was_attached && was_detached);
	sp_run("attach", NAME, crew.endpoint);
	sp_run("detach", NAME);
	sp_left_nothing(crew.port);
	sp_crowd_close(&crowd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(e2e__attach_killed_at_any_call__no_flow_moves, sp_run_teardown),
		cmocka_unit_test_teardown(e2e__sync_killed_at_any_call__no_flow_moves, sp_run_teardown),
		cmocka_unit_test_teardown(e2e__detach_killed_at_any_call__flows_stay_while_attached,
					  sp_run_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
