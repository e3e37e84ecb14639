// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* explain (DESIGN I7): what it says of a flow, and of the day on which its worker dies, comes true. */
#include <stdio.h>
#include <string.h>
#include <steadyport/choose.h>
#include "cleanup.h"
#include "pin.h"
#include "run.h"
#include "state.h"

#define NAME "web"
#define WORKERS 4
#define FLOWS 24
#define SOURCE_PORT 20000
#define WINDOW_NS (3600 * 1000000000ULL) /* no case outlives it */

static struct sp_crew crew;

/* A worker, by its place in the crew; -1: it cannot be told. */
struct prediction {
	int now, heir;
	char reason[16], heir_reason[16];
	bool is_known; /* the flow table has it */
};

/* By the process that is named. */
static int worker_of(const json_t *decision)
{
	json_int_t pid = sp_json_int(decision, "pid");

	for (unsigned int id = 0; id < crew.size; id++)
		if (crew.workers[id].pid == pid)
			return id;
	fail_msg("no worker is process %lld", (long long)pid);
	return -1;
}

static json_t *explain(const char *what, size_t i)
{
	char source[SP_ENDPOINT_STRLEN];

	snprintf(source, sizeof(source), "127.0.0.1:%zu", SOURCE_PORT + i);
	return sp_run_json("explain", what, source);
}

static struct prediction predict(size_t i)
{
	json_t *answer = explain(NAME, i), *now = sp_json_object(answer, "now"),
	       *heir = json_object_get(answer, "if_it_died");
	struct prediction p = { .now = worker_of(now), .heir = -1 };

	snprintf(p.reason, sizeof(p.reason), "%s", sp_json_text(now, "reason"));
	p.is_known = json_is_object(json_object_get(json_object_get(answer, "flow_table"), "entry"));
	if (json_is_object(heir)) {
		p.heir = worker_of(heir);
		snprintf(p.heir_reason, sizeof(p.heir_reason), "%s", sp_json_text(heir, "reason"));
		assert_int_not_equal(p.heir, p.now);
	}
	json_decref(answer);
	return p;
}

static void predict_all(struct prediction *ret)
{
	for (size_t i = 0; i < FLOWS; i++)
		ret[i] = predict(i);
}

static size_t count_reason(const struct prediction *predictions, const char *reason)
{
	size_t count = 0;

	for (size_t i = 0; i < FLOWS; i++)
		count += !strcmp(predictions[i].reason, reason);
	return count;
}

static void ask(int *owners)
{
	struct sp_crowd crowd;

	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, SOURCE_PORT, FLOWS);
	if (crew.protocol == SP_UDP)
		sp_crowd_ask(&crowd, owners);
	else
		sp_crowd_answers(&crowd, owners);
	sp_crowd_close(&crowd);
}

static void require_as_predicted(const struct prediction *predictions, int dead)
{
	int owners[FLOWS];
	size_t orphans = 0;

	ask(owners);
	for (size_t i = 0; i < FLOWS; i++) {
		bool is_orphan = predictions[i].now == dead;

		assert_int_equal(owners[i], is_orphan ? predictions[i].heir : predictions[i].now);
		orphans += is_orphan;
	}
	assert_true(dead < 0 || orphans > 0);
}

/* SIGKILL for the worker of that flow, and what was said of that day is true. */
static void kill_worker_of(const struct prediction *predictions, size_t flow)
{
	int victim = predictions[flow].now;

	sp_crew_kill(&crew, victim);
	require_as_predicted(predictions, victim);
}

static size_t first_with(const struct prediction *predictions, const char *reason)
{
	for (size_t i = 0; i < FLOWS; i++)
		if (!strcmp(predictions[i].reason, reason))
			return i;
	fail_msg("no flow goes where it does by: %s", reason);
	return 0;
}

/* --- at rest --- */

static void check_settled(enum sp_protocol protocol, const char *address)
{
	struct prediction predictions[FLOWS];

	sp_crew_start(&crew, protocol, address, 0, WORKERS, NULL);
	/* No flow is older than the attach, so there is nothing to learn. */
	sp_run("attach", NAME, crew.endpoint, "--learn", "0");
	predict_all(predictions);
	assert_int_equal(count_reason(predictions, "owner"), FLOWS);
	assert_string_equal(predictions[0].heir_reason, "probe");
	require_as_predicted(predictions, -1);
	kill_worker_of(predictions, 0);

	/* Flows of the dead one are explained with it among the probes, and the next death comes true, too. */
	predict_all(predictions);
	kill_worker_of(predictions, first_with(predictions, "probe"));
}

static void e2e__i7_explain_udp__both_workers_come_true(void **state)
{
	(void)state;
	check_settled(SP_UDP, "127.0.0.1");
}

static void e2e__i7_explain_tcp_any_address__both_workers_come_true(void **state)
{
	(void)state;
	check_settled(SP_TCP, "0.0.0.0");
}

/* --- flows that the current view does not place --- */

static void e2e__i7_explain_a_kept_flow__it_stays_and_its_heir_is_the_view_s(void **state)
{
	struct prediction predictions[FLOWS];
	int owners[FLOWS];
	json_t *answer;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	ask(owners);
	sp_run("attach", NAME, crew.endpoint, "--learn", "1h");
	/* Where the kernel has them only the kernel can compute. */
	answer = explain(NAME, 0);
	assert_true(sp_json_bool(answer, "follows_kernel"));
	assert_true(json_is_null(json_object_get(answer, "if_it_died")));
	assert_string_equal(sp_json_text(sp_json_object(answer, "previous_view"), "kind"), "kernel");
	json_decref(answer);

	ask(owners);
	for (size_t i = 0; i < FLOWS; i++) {
		predictions[i] = predict(i);
		/* One that the view places as the kernel did is not kept, and was not learned either. */
		if (strcmp(predictions[i].reason, "kept"))
			predictions[i].now = owners[i];
		assert_int_equal(predictions[i].now, owners[i]);
	}
	/* 3 of 4 by arithmetic. */
	assert_true(count_reason(predictions, "kept") > FLOWS / 4);
	for (size_t i = 0; i < FLOWS; i++)
		assert_int_equal(predictions[i].is_known, !strcmp(predictions[i].reason, "kept"));
	sp_crew_kill(&crew, owners[first_with(predictions, "kept")]);
	ask(owners);
	for (size_t i = 0; i < FLOWS; i++) {
		if (!strcmp(predictions[i].reason, "kept") && !crew.workers[predictions[i].now].pid)
			assert_int_equal(owners[i], predictions[i].heir);
		else if (crew.workers[predictions[i].now].pid)
			assert_int_equal(owners[i], predictions[i].now);
	}
}

/* A learn window with a table before it: the attach had none. */
static void open_window(void)
{
	sp_autopins struct sp_pins pins = SP_PINS_NONE;

	assert_int_equal(sp_pin_open("/sys/fs/bpf", NAME, &pins), 0);
	assert_int_equal(sp_state_set_times(&pins, WINDOW_NS, SP_FLOW_IDLE_DEFAULT_S), 0);
	sp_crew_add(&crew, WORKERS);
	sp_run("sync", NAME);
	assert_true(sp_status_bool(NAME, "learning"));
}

static void e2e__i7_explain_in_a_learn_window__the_view_before_is_followed(void **state)
{
	struct prediction predictions[FLOWS];

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_run("attach", NAME, crew.endpoint, "--learn", "0");
	open_window();
	predict_all(predictions);
	assert_true(count_reason(predictions, "previous") > 0);
	require_as_predicted(predictions, -1);
	/* Now they are known. */
	predict_all(predictions);
	assert_true(count_reason(predictions, "kept") > 0);
	kill_worker_of(predictions, first_with(predictions, "kept"));
}

static void e2e__i7_explain_unknown_flows_in_a_learn_window__heirs_come_true(void **state)
{
	struct prediction predictions[FLOWS];

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_run("attach", NAME, crew.endpoint, "--learn", "0");
	open_window();
	predict_all(predictions);
	kill_worker_of(predictions, first_with(predictions, "previous"));
}

/* --- what else it says --- */

static void says(const struct sp_run *run, const char *text)
{
	if (!strstr(run->out, text) && !strstr(run->err, text))
		print_error("nothing says: %s\n%s%s", text, run->out, run->err);
	assert_true(strstr(run->out, text) || strstr(run->err, text));
}

static void e2e__explain_text__every_step_is_named(void **state)
{
	const struct sp_run *run;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, 2, NULL);
	sp_run("attach", NAME, crew.endpoint, "--learn", "0");
	sp_run("sync", NAME);
	run = sp_run("explain", NAME, "127.0.0.1:20000");
	says(run, "hash          ");
	says(run, "bucket        ");
	says(run, "flow table    not asked");
	says(run, "view before   not asked");
	says(run, "current view  probe  1  slot ");
	says(run, ": it owns the bucket");
	says(run, "closes, and the kernel empties slot");
	says(run, "dead by then");
	sp_crew_kill(&crew, 0);
	run = sp_run("explain", NAME, "127.0.0.1:20000");
	says(run, "none would be left");
	sp_crew_kill(&crew, 1);
	says(sp_run("explain", NAME, "127.0.0.1:20000"), "nobody is live");
}

/* The text of a flow for which the answer's reason is that. */
static const struct sp_run *explain_one(const struct prediction *predictions, const char *reason)
{
	char source[SP_ENDPOINT_STRLEN];

	snprintf(source, sizeof(source), "127.0.0.1:%zu", SOURCE_PORT + first_with(predictions, reason));
	return sp_run("explain", NAME, source);
}

static void e2e__explain_text_in_a_learn_window__says_who_is_asked_and_what_for(void **state)
{
	struct prediction predictions[FLOWS];
	const struct sp_run *run;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_run("attach", NAME, crew.endpoint, "--learn", "0");
	open_window();
	predict_all(predictions);
	run = explain_one(predictions, "previous");
	says(run, "; moving");
	says(run, "view before   for unknown flows, ");
	says(run, "not followed; alone it would say slot ");
	says(run, ": it went there before the change, and is being learned");

	ask((int[FLOWS]){ 0 });
	predict_all(predictions);
	run = explain_one(predictions, "kept");
	says(run, ", last packet less than ");
	says(run, "not asked: the flow table has answered");
	says(run, ": the flow table keeps it there");
	/* Then it is nobody's. */
	says(run, ", but that worker is gone: placed as a new flow");
}

static void e2e__explain_text_after_an_attach__says_what_only_the_kernel_knows(void **state)
{
	const struct sp_run *run;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_run("attach", NAME, crew.endpoint, "--learn", "1h");
	run = sp_run("explain", NAME, "127.0.0.1:20000");
	says(run, "the kernel's own hash, whose key only the kernel knows");
	says(run, "its worker    where the kernel's own hash has it, if it is older than the attach");
	says(run, "cannot be computed, nor who would be next");
}

static void e2e__explain_text_of_a_connection__says_what_its_end_takes_along(void **state)
{
	(void)state;
	sp_crew_start(&crew, SP_TCP, "127.0.0.1", 0, 2, NULL);
	sp_run("attach", NAME, crew.endpoint);
	says(sp_run("explain", NAME, "127.0.0.1:20000"),
	     "a connection that waits there is handed over; one that is accepted dies with it");
}

static void e2e__explain_a_socket_that_two_processes_hold__a_death_changes_nothing(void **state)
{
	struct prediction before, after;
	struct sp_lab_worker child;
	json_t *answer;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, 2, NULL);
	sp_run("attach", NAME, crew.endpoint, "--learn", "0");
	before = predict(0);
	assert_int_equal(sp_lab_fork(&crew.workers[before.now], 7, &child), 0);
	answer = explain(NAME, 0);
	assert_int_equal(sp_json_int(answer, "socket_holders"), 2);
	json_decref(answer);
	says(sp_run("explain", NAME, "127.0.0.1:20000"), "is held by 2 processes");
	sp_lab_kill(&child);
	after = predict(0);
	assert_int_equal(after.now, before.now);
}

static void e2e__explain_an_endpoint__the_name_that_steers_it(void **state)
{
	json_t *by_name, *by_endpoint;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, 2, NULL);
	says(sp_run_fails(SP_EXIT_NO_GROUP, "explain", crew.endpoint, "127.0.0.1:20000"),
	     "steadyport doctor udp:127.0.0.1:");
	says(sp_run_fails(SP_EXIT_NO_GROUP, "explain", "nobody", "127.0.0.1:20000"),
	     "no steered group is called nobody");
	says(sp_run_fails(SP_EXIT_USAGE, "explain", "udp:x", "127.0.0.1:20000"), "is not an endpoint");
	says(sp_run_fails(SP_EXIT_USAGE, "explain", "nobody", "127.0.0.1"), "steadyport explain --help");
	sp_run("attach", NAME, crew.endpoint, "--learn", "0");
	by_name = explain(NAME, 0);
	by_endpoint = explain(crew.endpoint, 0);
	assert_true(json_equal(by_name, by_endpoint));
	json_decref(by_name);
	json_decref(by_endpoint);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(e2e__i7_explain_udp__both_workers_come_true, sp_run_teardown),
		cmocka_unit_test_teardown(e2e__i7_explain_tcp_any_address__both_workers_come_true,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__i7_explain_a_kept_flow__it_stays_and_its_heir_is_the_view_s,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__i7_explain_in_a_learn_window__the_view_before_is_followed,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__i7_explain_unknown_flows_in_a_learn_window__heirs_come_true,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__explain_text__every_step_is_named, sp_run_teardown),
		cmocka_unit_test_teardown(e2e__explain_text_in_a_learn_window__says_who_is_asked_and_what_for,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__explain_text_after_an_attach__says_what_only_the_kernel_knows,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__explain_text_of_a_connection__says_what_its_end_takes_along,
					  sp_run_teardown),
		cmocka_unit_test_teardown(
			e2e__explain_a_socket_that_two_processes_hold__a_death_changes_nothing,
			sp_run_teardown),
		cmocka_unit_test_teardown(e2e__explain_an_endpoint__the_name_that_steers_it, sp_run_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
