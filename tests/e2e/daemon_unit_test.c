// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The daemon with the capabilities and in the sandbox of packaging/'s unit, and with one capability less. */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "cleanup.h"
#include "exposition.h"
#include "foreign.h"
#include "group.h"
#include "keeper.h"
#include "knock.h"
#include "privilege.h"
#include "web.h"

#define UNIT "steadyport.service"
#define DROP_IN "netns.conf"
#define LOW_PORT 80
#define HIGH_PORT 7060
#define METRICS_PORT 9464 /* the default */
#define UID 1000
#define FLOWS 20
#define KNOCKS_PER_S 500
#define KNOCKS 60 /* of three members one gets none of them in 1 of 10^10 runs */

static struct sp_keeper keeper;
static struct sp_crew low, high, dns, far;
static struct sp_sandbox sandbox;
static struct sp_knocker knocker;
static char config[512];

static int tear_down(void **state)
{
	int err;

	sp_knock_free(&knocker);
	err = sp_keeper_teardown(state);
	memset(&keeper, 0, sizeof(keeper));
	return err;
}

static void read_unit(bool has_drop_in)
{
	static struct sp_unit unit;

	unit.count = 0;
	sp_unit_read(&unit, UNIT);
	if (has_drop_in)
		sp_unit_read(&unit, DROP_IN);
	sp_sandbox_read(&sandbox, &unit);
	keeper.sandbox = &sandbox;
}

/* --- groups --- */

static void start_low(void)
{
	sp_crew_start(&low, SP_TCP, "127.0.0.1", LOW_PORT, 1, NULL);
}

static void start_high(void)
{
	const struct sp_lab_options options = { .uid = UID };

	sp_crew_start(&high, SP_TCP, "127.0.0.1", HIGH_PORT, 1, &options);
}

static void start_dns(void)
{
	sp_crew_start(&dns, SP_UDP, "127.0.0.1", HIGH_PORT, 1, NULL);
}

/* In a network namespace that its worker keeps. */
static void start_far(void)
{
	const struct sp_lab_options options = { .uid = UID };
	sp_autoclose int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	assert_true(home >= 0);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	assert_int_equal(sp_lab_bring_up_loopback(), 0);
	sp_crew_start(&far, SP_TCP, "127.0.0.1", HIGH_PORT, 1, &options);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
}

static const char config_low[] = "[group low]\nendpoint = tcp:127.0.0.1:80\npark = 30s\n";
static const char config_high[] = "[group high]\nendpoint = tcp:127.0.0.1:7060\npark = 30s\n";
static const char config_dns[] = "[group dns]\nendpoint = udp:127.0.0.1:7060\n";

static const char *config_far(void)
{
	snprintf(config, sizeof(config),
		 "[group far]\nendpoint = tcp:127.0.0.1:7060\npark = 30s\nnetns = /proc/%d/ns/net\n",
		 far.workers[0].pid);
	return config;
}

static void wait_parking(const char *name)
{
	__u64 deadline = sp_lab_now_ms() + SP_RUN_DEADLINE_MS;
	bool is_parking = false;

	while (!is_parking) {
		is_parking = strstr(sp_run("status", name)->out, ", parking");
		assert_true(sp_lab_left_ms(deadline));
	}
}

/* Nothing that it was asked for was beyond its rights. */
static void require_no_complaint(void)
{
	if (sp_keeper_has_said(&keeper, "warning:") || sp_keeper_has_said(&keeper, "error:"))
		fail_msg("the daemon said:\n%s", keeper.run.err);
}

/* --- with all that the unit gives --- */

/* The only worker dies, connections wait, and the next one serves them. */
static void require_parking(const char *name, struct sp_crew *crew)
{
	struct sp_crowd crowd;
	int owners[FLOWS];

	wait_parking(name);
	sp_crew_kill(crew, 0);
	sp_crowd_open(&crowd, crew, "127.0.0.1", NULL, 0, FLOWS);
	sp_crew_add(crew, 0);
	sp_crowd_answers(&crowd, owners);
	for (size_t i = 0; i < FLOWS; i++)
		assert_int_equal(owners[i], 0);
	sp_crowd_close(&crowd);
	sp_keeper_wait_enrolled(name, 1);
}

/* It may not make the network in which it would try whether the kernel wakes whoever inherits connections. */
static void require_woken(const char *name)
{
	__u64 deadline = sp_lab_now_ms() + SP_RUN_DEADLINE_MS;
	char sample[64];
	double count;

	sp_keeper_wait(&keeper,
		       "cannot tell whether this kernel wakes whoever gets the connections of a closed "
		       "listener (");
	sp_keeper_wait(&keeper, "it is done here, which does no harm");
	snprintf(sample, sizeof(sample), "steadyport_wake_ups_total{group=\"%s\"}", name);
	do {
		sp_autofree char *text = sp_web_get(METRICS_PORT, "/metrics", 200);

		count = sp_exposition_value(text, sample);
		assert_true(sp_lab_left_ms(deadline));
	} while (count == 0);
}

/*
 * Somebody replaces the program while the daemon does not look, connections come to the parking socket by the kernel's
 * hash, and the daemon hands them over: which takes a file of /proc/sys/net that is writable.
 */
static void require_handover(void)
{
	sp_autoclose int program = sp_foreign_load("foreign");

	wait_parking("low");
	assert_int_equal(kill(keeper.run.pid, SIGSTOP), 0);
	{
		sp_autoclose int socket = sp_crew_borrow(&low, 0);

		assert_int_equal(sp_group_attach(socket, program), 0);
	}
	sp_knock_start(&knocker, &low.address, low.port, KNOCKS_PER_S);
	sp_knock_wait(&knocker, KNOCKS);
	assert_int_equal(kill(keeper.run.pid, SIGCONT), 0);
	sp_keeper_wait(&keeper, "of the parking socket went to the members");
	sp_knock_stop(&knocker);
	assert_int_equal(knocker.seen->answered, knocker.seen->asked);
}

static void unit__its_sandbox_and_capabilities__every_job_is_done(void **state)
{
	(void)state;
	read_unit(false);
	start_low();
	start_high();
	start_dns();
	snprintf(config, sizeof(config), "[daemon]\non-exit = detach\n%s%s%s", config_low, config_high,
		 config_dns);
	sp_keeper_start(&keeper, config);
	sp_keeper_wait_enrolled("low", 1);
	sp_keeper_wait_enrolled("high", 1);
	sp_keeper_wait_enrolled("dns", 1);

	sp_crew_add(&dns, 1);
	sp_keeper_wait_enrolled("dns", 2);
	sp_crew_add(&high, 1);
	sp_keeper_wait_enrolled("high", 2);
	sp_crew_kill(&high, 1);
	sp_keeper_wait_enrolled("high", 1);
	require_parking("low", &low);
	require_woken("low");
	require_parking("high", &high);
	sp_keeper_reload(&keeper, NULL);
	require_no_complaint();

	require_handover();
	sp_run("sync", "low", "--replace");
	sp_keeper_stop(&keeper);
	assert_string_equal(sp_crew_program(&low), "none");
	assert_string_equal(sp_crew_program(&dns), "none");
}

static void unit__with_the_drop_in_for_other_network_namespaces__every_job_is_done_there(void **state)
{
	(void)state;
	read_unit(true);
	start_far();
	sp_keeper_start(&keeper, config_far());
	sp_keeper_wait_enrolled("far", 1);
	wait_parking("far");
	require_no_complaint();
	sp_keeper_stop(&keeper);
}

static void unit__its_capabilities__are_those_of_the_list(void **state)
{
	__u64 unit, drop_in;

	(void)state;
	read_unit(false);
	unit = sandbox.caps;
	read_unit(true);
	drop_in = sandbox.caps & ~unit;
	for (size_t i = 0; i < SP_PRIVILEGES; i++) {
		__u64 bit = 1ULL << sp_privileges[i].cap;

		assert_int_equal(!!(unit & bit), sp_privileges[i].is_in_unit);
		assert_int_equal(!!(drop_in & bit), !sp_privileges[i].is_in_unit);
	}
}

/* --- with one capability less --- */

static void take_away(enum sp_privilege privilege, bool has_drop_in)
{
	read_unit(has_drop_in);
	sandbox.caps &= ~(1ULL << sp_privileges[privilege].cap);
}

/* It starts, and says what will not work. */
static void start_without(enum sp_privilege privilege, const char *text)
{
	char named[64];

	take_away(privilege, privilege == SP_PRIVILEGE_SYS_ADMIN);
	sp_keeper_start(&keeper, text);
	snprintf(named, sizeof(named), "warning: %s is missing: ", sp_privileges[privilege].name);
	sp_keeper_wait(&keeper, named);
	snprintf(named, sizeof(named), "CapabilityBoundingSet=%s in its unit", sp_privileges[privilege].name);
	sp_keeper_wait(&keeper, named);
}

static void enter_sandbox(void *ctx)
{
	sp_sandbox_enter(ctx);
}

static void require_no_start_without(enum sp_privilege privilege)
{
	const struct sp_run_setup setup = { .prepare = enter_sandbox, .ctx = &sandbox };
	const struct sp_run *run;
	char path[256], named[64];

	/* Its configuration is a right one. */
	read_unit(false);
	sp_keeper_start(&keeper, config_dns);
	snprintf(path, sizeof(path), "%s", keeper.config);
	sp_keeper_stop(&keeper);
	take_away(privilege, false);
	run = sp_run_program(__FILE__, __LINE__, SP_EXIT_FAILED, &setup, "steadyport", "run", "--config",
			     path, NULL);
	snprintf(named, sizeof(named), "error: this needs %s, for ", sp_privileges[privilege].name);
	assert_non_null(strstr(run->err, named));
	assert_non_null(strstr(run->err, "run it as root, or with CAP_BPF"));
}

static void unit__without_cap_bpf__does_not_start_and_says_so(void **state)
{
	(void)state;
	require_no_start_without(SP_PRIVILEGE_BPF);
}

static void unit__without_cap_perfmon__does_not_start_and_says_so(void **state)
{
	(void)state;
	require_no_start_without(SP_PRIVILEGE_PERFMON);
}

static void unit__without_cap_net_admin__udp_is_left_to_the_sweep(void **state)
{
	(void)state;
	start_dns();
	start_without(SP_PRIVILEGE_NET_ADMIN, config_dns);
	sp_keeper_wait(&keeper, "the kernel cannot tell of new UDP members (Operation not permitted)");
	sp_crew_add(&dns, 1);
	sp_keeper_wait_enrolled("dns", 2);
	sp_keeper_stop(&keeper);
}

static void unit__without_cap_sys_ptrace__no_socket_can_be_had(void **state)
{
	(void)state;
	start_dns();
	start_without(SP_PRIVILEGE_SYS_PTRACE, config_dns);
	sp_keeper_wait(&keeper,
		       "1 of 1 members are held by processes that may not be read (need CAP_SYS_PTRACE)");
	assert_string_equal(sp_crew_program(&dns), "none");
	sp_keeper_stop(&keeper);
}

static void require_no_parking(enum sp_privilege privilege, const char *name, const char *text)
{
	char said[128];

	start_without(privilege, text);
	sp_keeper_wait_enrolled(name, 1);
	snprintf(said, sizeof(said), "%s: cannot open a parking socket: ", name);
	sp_keeper_wait(&keeper, said);
	assert_null(strstr(sp_run("status", name)->out, ", parking"));
	sp_keeper_stop(&keeper);
}

static void unit__without_cap_setuid__no_parking_beside_workers_of_others(void **state)
{
	(void)state;
	start_high();
	require_no_parking(SP_PRIVILEGE_SETUID, "high", config_high);
}

static void unit__without_cap_net_bind_service__no_parking_on_a_low_port(void **state)
{
	(void)state;
	start_low();
	require_no_parking(SP_PRIVILEGE_NET_BIND_SERVICE, "low", config_low);
}

static void unit__without_cap_sys_admin__no_other_network_namespace(void **state)
{
	(void)state;
	start_far();
	start_without(SP_PRIVILEGE_SYS_ADMIN, config_far());
	sp_keeper_wait(&keeper, "cannot enter the network namespace of /proc/");
	sp_keeper_wait(&keeper, "run it as root, or with CAP_SYS_ADMIN");
	sp_keeper_stop(&keeper);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_teardown(name, tear_down)
		CASE(unit__its_capabilities__are_those_of_the_list),
		CASE(unit__its_sandbox_and_capabilities__every_job_is_done),
		CASE(unit__with_the_drop_in_for_other_network_namespaces__every_job_is_done_there),
		CASE(unit__without_cap_bpf__does_not_start_and_says_so),
		CASE(unit__without_cap_perfmon__does_not_start_and_says_so),
		CASE(unit__without_cap_net_admin__udp_is_left_to_the_sweep),
		CASE(unit__without_cap_sys_ptrace__no_socket_can_be_had),
		CASE(unit__without_cap_setuid__no_parking_beside_workers_of_others),
		CASE(unit__without_cap_net_bind_service__no_parking_on_a_low_port),
		CASE(unit__without_cap_sys_admin__no_other_network_namespace),
#undef CASE
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
