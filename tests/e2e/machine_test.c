// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A machine that lacks something: a command says what, or goes on without it. */
#include <string.h>
#include "cleanup.h"
#include "disguise.h"
#include "run.h"
#include "world.h"

#define WORKERS 3
#define FLOWS 200

#define run_in(prepare, status, ...)                                                                      \
	sp_run_program(__FILE__, __LINE__, status, &(struct sp_run_setup){ prepare, NULL }, "steadyport", \
		       __VA_ARGS__, NULL)

static struct sp_crew crew;

static void e2e__kernel_is_too_old__its_version_and_the_least_one_are_named(void **state)
{
	const struct sp_run *run;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_world_changed();
	run = run_in(sp_disguise_old_kernel, SP_EXIT_FAILED, "attach", "dns", crew.endpoint);
	says(run, "error: Linux 2.6.");
	says(run, " is too old: steering needs 5.14 or later");
	assert_string_equal(run->out, "");
	same_world();
	says(run_in(sp_disguise_old_kernel, SP_EXIT_FAILED, "groups"), " is too old: ");
}

static void e2e__kernel_has_no_btf__its_option_is_named(void **state)
{
	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_world_changed();
	refuses(run_in(sp_disguise_no_btf, SP_EXIT_FAILED, "attach", "dns", crew.endpoint),
		"cannot read /sys/kernel/btf/vmlinux: No such file or directory", "CONFIG_DEBUG_INFO_BTF=y");
	refuses(run_in(sp_disguise_no_btf, SP_EXIT_FAILED, "groups"), "cannot read /sys/kernel/btf/vmlinux",
		"CONFIG_DEBUG_INFO_BTF=y");
}

/* What it is asked for is a grace period, and there is another way to wait for one. */
static void e2e__no_membarrier__workers_join_and_die_all_the_same(void **state)
{
	static int before[FLOWS], after[FLOWS];
	struct sp_crowd crowd;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, FLOWS);
	run_in(sp_disguise_no_membarrier, SP_EXIT_OK, "attach", "dns", crew.endpoint, "--learn", "1h");
	sp_crew_kill(&crew, 0);
	sp_crowd_ask(&crowd, before);
	sp_crew_add(&crew, 0);
	sp_crew_add(&crew, WORKERS);
	run_in(sp_disguise_no_membarrier, SP_EXIT_OK, "sync", "dns");
	assert_int_equal(sp_status_int("dns", "enrolled"), WORKERS + 1);
	sp_crowd_stays(&crowd, &crew, before, after);
	assert_int_equal(sp_counters_outcomes("dns"), 2 * FLOWS);
	sp_crowd_close(&crowd);
}

static void e2e__verbose_twice__libbpf_is_heard_too(void **state)
{
	(void)state;
	assert_null(strstr(sp_run("groups")->err, "libbpf: "));
	assert_null(strstr(sp_run("groups", "-v")->err, "libbpf: "));
	says(sp_run("groups", "-vv"), "libbpf: ");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, sp_world_setup, sp_run_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(e2e__kernel_is_too_old__its_version_and_the_least_one_are_named),
		CASE(e2e__kernel_has_no_btf__its_option_is_named),
		CASE(e2e__no_membarrier__workers_join_and_die_all_the_same),
		CASE(e2e__verbose_twice__libbpf_is_heard_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
