// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Bad input and faults: what is said, the exit status, and that nothing was changed. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "cleanup.h"
#include "disguise.h"
#include "run.h"
#include "world.h"

#define ROOT "/sys/fs/bpf/steadyport"
#define FLOWS 200

/* --- the command line --- */

static void e2e__bad_usage__exit_2_and_the_help_is_named(void **state)
{
	static const struct {
		const char *words[7], *what, *next_step;
	} cases[] = {
		{ { "attach", "web" }, "attach needs NAME ENDPOINT", "attach --help" },
		{ { "attach", "web", "tcp:1", "more" }, "more", "attach --help" },
		{ { "attach", "w.b", "tcp:1" }, "w.b", "" },
		{ { "attach", "-web", "tcp:1" }, "there is no option -w", "--help" },
		{ { "attach", "web", "8080" }, "8080 is not an endpoint", "tcp:127.0.0.1:8080" },
		{ { "attach", "web", "sctp:8080" }, "sctp:8080 is not an endpoint", "tcp:127.0.0.1:8080" },
		{ { "attach", "web", "tcp:0" }, "tcp:0 is not an endpoint", "tcp:127.0.0.1:8080" },
		{ { "attach", "web", "tcp:65536" }, "tcp:65536 is not an endpoint", "tcp:127.0.0.1:8080" },
		{ { "attach", "web", "tcp:[::1:80" }, "tcp:[::1:80 is not an", "tcp:127.0.0.1:8080" },
		{ { "attach", "web", "tcp:1.2.3:80" }, "tcp:1.2.3:80 is not an", "tcp:127.0.0.1:8080" },
		{ { "attach", "web", "tcp:1", "--learn", "5" }, "--learn 5: ", "attach --help" },
		{ { "attach", "web", "tcp:1", "--learn", "-5s" }, "--learn -5s: ", "attach --help" },
		{ { "attach", "web", "tcp:1", "--learn", "25h" }, "--learn 25h: ", "attach --help" },
		{ { "attach", "web", "tcp:1", "--learn" }, "--learn needs a value", "attach --help" },
		{ { "attach", "web", "tcp:1", "--hash", "md5" }, "--hash md5: ", "attach --help" },
		{ { "attach", "web", "tcp:1", "--track", "on" }, "--track on: ", "attach --help" },
		{ { "attach", "web", "tcp:1", "--seed", "12" }, "--seed 12: ", "attach --help" },
		{ { "attach", "web", "tcp:1", "--flows", "0" }, "--flows 0: ", "attach --help" },
		{ { "attach", "web", "tcp:1", "--flow", "1" }, "there is no option --flow", "--flows" },
		{ { "attach", "web", "tcp:1", "--weights", "1" }, "there is no option --weights", "--help" },
		{ { "status", "web", "--learn", "5s" }, "status does not take --learn", "status --help" },
		{ { "where", "web" }, "where needs NAME SRC:PORT", "where --help" },
		{ { "where", "web", "1.2.3.4" }, "1.2.3.4", "where --help" },
		{ { "where", "web", "1.2.3.4:80", "::1:80" }, "::1:80", "where --help" },
		{ { "demo", "--tour", "--json" }, "the tour is a text", "leave out --tour or --json" },
		{ { "demo", "--workers", "3", "--kill", "3" },
		  "--kill 3 leaves none of 3 workers",
		  "kill fewer" },
		{ { "stauts", "web" }, "there is no command stauts", "steadyport status" },
		{ { "xyzzy" }, "there is no command xyzzy", "steadyport --help" },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(cases); i++) {
		const char *const *w = cases[i].words;
		const struct sp_run *run =
			sp_run_fails(SP_EXIT_USAGE, w[0], w[1], w[2], w[3], w[4], w[5], w[6]);

		says(run, cases[i].what);
		says(run, cases[i].next_step);
		assert_string_equal(run->out, "");
	}
	same_world();
}

static void e2e__help_and_version__exit_0_on_stdout(void **state)
{
	static const char *const commands[] = { "attach", "sync",  "detach",   "groups", "list",
						"status", "where", "counters", "demo" };
	const struct sp_run *run;

	(void)state;
	run = sp_run("--version");
	assert_non_null(strstr(run->out, "steadyport "));
	assert_non_null(strstr(run->out, "ABI "));
	run = sp_run("--help");
	for (size_t i = 0; i < SP_ARRAY_SIZE(commands); i++)
		assert_non_null(strstr(run->out, commands[i]));
	for (size_t i = 0; i < SP_ARRAY_SIZE(commands); i++) {
		run = sp_run(commands[i], "--help");
		assert_non_null(strstr(run->out, "usage: steadyport "));
		assert_string_equal(run->err, "");
	}
}

static void e2e__no_command__exit_2_and_the_first_one_to_run_is_named(void **state)
{
	(void)state;
	says(sp_run_program(__FILE__, __LINE__, SP_EXIT_USAGE, NULL, "steadyport", NULL),
	     "steadyport groups");
}

static void e2e__unknown_name__exit_3(void **state)
{
	static const char *const commands[] = { "sync", "detach", "status", "counters" };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(commands); i++)
		refuses(sp_run_fails(SP_EXIT_NO_GROUP, commands[i], "nobody"), "nobody", "steadyport list");
	refuses(sp_run_fails(SP_EXIT_NO_GROUP, "where", "nobody", "127.0.0.1:1"), "nobody",
		"steadyport list");
	/* What no group can be called is no group's name either. */
	for (size_t i = 0; i < SP_ARRAY_SIZE(commands); i++) {
		says(sp_run_fails(SP_EXIT_NO_GROUP, commands[i], "../steadyport"), "../steadyport");
		says(sp_run_fails(SP_EXIT_NO_GROUP, commands[i], "~web"), "~web");
	}
	same_world();
}

/* --- finding the group --- */

static void e2e__no_such_group__names_the_port_and_the_command_that_lists_groups(void **state)
{
	(void)state;
	refuses(sp_run_fails(SP_EXIT_FAILED, "attach", "web", "tcp:127.0.0.1:9"), "tcp port 9",
		"steadyport groups");
}

static void e2e__group_has_another_address__that_one_is_named(void **state)
{
	static struct sp_crew crew;
	char endpoint[64];

	(void)state;
	sp_crew_start(&crew, SP_TCP, "127.0.0.1", 0, 2, NULL);
	sp_world_changed();
	snprintf(endpoint, sizeof(endpoint), "tcp:127.0.0.9:%u", crew.port);
	refuses(sp_run_fails(SP_EXIT_FAILED, "attach", "web", endpoint),
		"no reuseport group has that address", crew.endpoint);
	/* The other protocol is no group of this endpoint. */
	snprintf(endpoint, sizeof(endpoint), "udp:127.0.0.1:%u", crew.port);
	refuses(sp_run_fails(SP_EXIT_FAILED, "attach", "web", endpoint),
		"no reuseport group listens on udp port", "steadyport groups");
}

static void e2e__several_groups_fit__all_are_listed_and_one_is_offered(void **state)
{
	static struct sp_crew any, loopback;
	const struct sp_run *run;
	char endpoint[64];

	(void)state;
	sp_crew_start(&any, SP_TCP, "0.0.0.0", 0, 2, NULL);
	sp_crew_start(&loopback, SP_TCP, "::1", any.port, 2, NULL);
	sp_world_changed();
	snprintf(endpoint, sizeof(endpoint), "tcp:%u", any.port);
	run = sp_run_fails(SP_EXIT_FAILED, "attach", "web", endpoint);
	says(run, "fits 2 groups");
	says(run, strchr(any.endpoint, ':') + 1);
	says(run, strchr(loopback.endpoint, ':') + 1);
	says(run, "worker-0");
	says(run, "say which: steadyport attach NAME tcp:");
	same_world();
	sp_run("attach", "web", loopback.endpoint);
}

static void e2e__socket_without_reuseport__says_so(void **state)
{
	const struct sp_lab_options options = { .id = 0 };
	struct sp_lab_worker worker;
	struct sp_address address;
	char endpoint[64];

	(void)state;
	assert_int_equal(sp_lab_address("127.0.0.1", &address), 0);
	assert_int_equal(sp_lab_start(SP_TCP, &address, 0, &options, &worker), 0);
	snprintf(endpoint, sizeof(endpoint), "tcp:127.0.0.1:%u", worker.port);
	refuses(sp_run_fails(SP_EXIT_FAILED, "attach", "web", endpoint), "without SO_REUSEPORT", "reuseport");
	assert_int_equal(sp_lab_stop(&worker), 0);
}

/* --- members out of reach --- */

static void e2e__member_held_by_nobody_visible__refused_unless_partial(void **state)
{
	static struct sp_crew crew;
	const struct sp_run *run;
	struct sp_crowd crowd;
	int owners[FLOWS], pair[2];

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, 3, NULL);
	sp_crew_send_away(&crew, pair);
	sp_world_changed();
	says(sp_run("groups"), "held by no process that is visible from here");
	refuses(sp_run_fails(SP_EXIT_FAILED, "attach", "dns", crew.endpoint),
		"1 of 4 members are held by processes that cannot be seen", "--partial");

	run = sp_run("attach", "dns", crew.endpoint, "--partial");
	says(run, "1 member of dns cannot be reached: no traffic goes there");
	assert_int_equal(sp_status_int("dns", "members"), 4);
	assert_int_equal(sp_status_int("dns", "members_not_visible"), 1);
	assert_int_equal(sp_status_int("dns", "enrolled"), 3);
	/* Every flow is answered: none goes to the one that is out of reach. */
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, FLOWS);
	sp_crowd_ask(&crowd, owners);
	sp_crowd_close(&crowd);
	close(pair[0]);
	close(pair[1]);
}

/* --- names --- */

static void e2e__name_in_use__refused(void **state)
{
	static struct sp_crew web, dns;

	(void)state;
	sp_crew_start(&web, SP_TCP, "127.0.0.1", 0, 2, NULL);
	sp_crew_start(&dns, SP_UDP, "127.0.0.1", 0, 2, NULL);
	sp_run("attach", "web", web.endpoint);
	sp_world_changed();
	refuses(sp_run_fails(SP_EXIT_FAILED, "attach", "web", dns.endpoint), web.endpoint,
		"steadyport status web");
	refuses(sp_run_fails(SP_EXIT_FAILED, "attach", "web", web.endpoint), web.endpoint,
		"steadyport sync web");
	refuses(sp_run_fails(SP_EXIT_FAILED, "attach", "web", dns.endpoint, "--replace"), web.endpoint,
		"steadyport status web");
}

static void e2e__group_has_another_name__that_one_is_named(void **state)
{
	static struct sp_crew web;

	(void)state;
	sp_crew_start(&web, SP_TCP, "127.0.0.1", 0, 2, NULL);
	sp_run("attach", "web", web.endpoint);
	sp_world_changed();
	refuses(sp_run_fails(SP_EXIT_FAILED, "attach", "other", web.endpoint), "is steered already, as web",
		"steadyport sync web");
	refuses(sp_run_fails(SP_EXIT_FAILED, "attach", "other", web.endpoint, "--replace"),
		"is steered already, as web", "steadyport sync web");
}

/* --- rights --- */

#define run_without(status, ...)                                                                        \
	sp_run_program(__FILE__, __LINE__, status, &(struct sp_run_setup){ sp_disguise_without, caps }, \
		       "steadyport", __VA_ARGS__, NULL)

static void e2e__missing_capability__is_named(void **state)
{
	static const struct {
		int cap;
		const char *name;
	} needed[] = { { CAP_BPF, "CAP_BPF" }, { CAP_PERFMON, "CAP_PERFMON" } };
	static struct sp_crew crew;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, 2, NULL);
	sp_world_changed();
	for (size_t i = 0; i < SP_ARRAY_SIZE(needed); i++) {
		int caps[] = { CAP_SYS_ADMIN, needed[i].cap, -1 };
		static const char *const commands[] = { "groups", "list" };

		refuses(run_without(SP_EXIT_FAILED, "attach", "dns", crew.endpoint), needed[i].name,
			"run it as root");
		refuses(run_without(SP_EXIT_FAILED, "sync", "dns"), needed[i].name, "run it as root");
		refuses(run_without(SP_EXIT_FAILED, "detach", "dns"), needed[i].name, "run it as root");
		for (size_t c = 0; c < SP_ARRAY_SIZE(commands); c++)
			refuses(run_without(SP_EXIT_FAILED, commands[c]), needed[i].name, "run it as root");
	}
}

/* Workers of root are out of reach for one with fewer rights and without CAP_SYS_PTRACE. */
static void e2e__members_may_not_be_read__cap_sys_ptrace_is_named(void **state)
{
	int caps[] = { CAP_SYS_PTRACE, CAP_SYS_ADMIN, -1 };
	static struct sp_crew crew;
	char pid[16];

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, 2, NULL);
	sp_world_changed();
	refuses(run_without(SP_EXIT_FAILED, "attach", "dns", crew.endpoint), "CAP_SYS_PTRACE",
		"run it as root");
	/* Nor may what they are in. */
	snprintf(pid, sizeof(pid), "%d", crew.workers[0].pid);
	refuses(run_without(SP_EXIT_FAILED, "attach", "dns", crew.endpoint, "--netns", pid),
		"cannot open the network namespace of ", "run it as root, or with CAP_SYS_PTRACE");
}

/* The rights that the message above asks for are enough. */
static void e2e__only_the_capabilities_that_are_asked_for__all_commands_work(void **state)
{
	int caps[] = { CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_DAC_OVERRIDE, -1 };
	static struct sp_crew crew;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, 2, NULL);
	run_without(SP_EXIT_OK, "groups");
	run_without(SP_EXIT_OK, "attach", "dns", crew.endpoint);
	sp_crew_add(&crew, 2);
	run_without(SP_EXIT_OK, "sync", "dns");
	run_without(SP_EXIT_OK, "status", "dns");
	run_without(SP_EXIT_OK, "where", "dns", "127.0.0.1:1");
	run_without(SP_EXIT_OK, "counters", "dns");
	run_without(SP_EXIT_OK, "list");
	run_without(SP_EXIT_OK, "detach", "dns");
}

/* --- versions, locks, answers that cannot be written --- */

static int open_ctl(const char *name, struct sp_ctl *ret_ctl)
{
	__u32 zero = 0;
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), ROOT "/%s/" SP_PIN_CTL, name);
	fd = bpf_obj_get(path);
	assert_true(fd >= 0);
	assert_int_equal(bpf_map_lookup_elem(fd, &zero, ret_ctl), 0);
	return fd;
}

static void write_ctl(int fd, const struct sp_ctl *ctl)
{
	__u32 zero = 0;

	assert_int_equal(bpf_map_update_elem(fd, &zero, ctl, BPF_ANY), 0);
	close(fd);
}

static void write_abi(const char *name, __u32 abi)
{
	struct sp_ctl ctl;
	int fd = open_ctl(name, &ctl);

	ctl.abi = abi;
	write_ctl(fd, &ctl);
}

#define TEXT_OF(number) TEXT_OF_(number)
#define TEXT_OF_(number) #number

static void e2e__pins_of_another_abi__only_detach_touches_them(void **state)
{
	static struct sp_crew old, own;
	json_t *groups;

	(void)state;
	sp_crew_start(&old, SP_UDP, "127.0.0.1", 0, 2, NULL);
	sp_crew_start(&own, SP_UDP, "::1", 0, 2, NULL);
	sp_run("attach", "own", own.endpoint);
	sp_run("attach", "old", old.endpoint);
	write_abi("old", SP_ABI_VERSION + 1);
	sp_world_changed();
	refuses(sp_run_fails(SP_EXIT_FAILED, "attach", "old", old.endpoint),
		"this one has version " TEXT_OF(SP_ABI_VERSION), "detach");
	refuses(sp_run_fails(SP_EXIT_FAILED, "sync", "old"), "this one has version " TEXT_OF(SP_ABI_VERSION),
		"detach");
	refuses(sp_run_fails(SP_EXIT_FAILED, "status", "old"),
		"this one has version " TEXT_OF(SP_ABI_VERSION), "detach");
	refuses(sp_run_fails(SP_EXIT_FAILED, "counters", "old"),
		"this one has version " TEXT_OF(SP_ABI_VERSION), "detach");
	/* It does not hide the others. */
	assert_non_null(strstr(sp_run_fails(SP_EXIT_FAILED, "list")->out, "own"));
	groups = sp_groups_here();
	assert_string_equal(sp_json_text(sp_json_find(groups, "port", old.port), "steered_as"), "old");
	json_decref(groups);

	sp_run("detach", "old");
	assert_string_equal(sp_crew_program(&old), "none");
	sp_run("attach", "old", old.endpoint);
}

/* Nothing that is ours writes such a state. The program leaves each flow to the kernel then. */
static void e2e__state_names_no_view__refused_until_it_is_attached_anew(void **state)
{
	static const char *const commands[] = { "status", "sync" };
	static struct sp_crew crew;
	struct sp_ctl ctl;
	int fd;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, 2, NULL);
	sp_run("attach", "dns", crew.endpoint);
	fd = open_ctl("dns", &ctl);
	ctl.current = SP_VIEWS;
	write_ctl(fd, &ctl);
	sp_world_changed();
	for (size_t i = 0; i < SP_ARRAY_SIZE(commands); i++)
		refuses(sp_run_fails(SP_EXIT_FAILED, commands[i], "dns"), "the state of dns is damaged",
			"steadyport detach dns");
	sp_run("detach", "dns");
	assert_string_equal(sp_crew_program(&crew), "none");
	sp_run("attach", "dns", crew.endpoint);
}

static void e2e__another_steadyport_at_work__says_after_a_second_that_it_waits(void **state)
{
	static struct sp_crew crew;
	const char *words[] = { "steadyport", "attach", "dns", crew.endpoint, NULL };
	int lock = open(ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	__u64 start = sp_lab_now_ms();
	struct sp_run run;

	(void)state;
	assert_true(lock >= 0);
	assert_int_equal(flock(lock, LOCK_EX | LOCK_NB), 0);
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, 2, NULL);
	sp_run_start(&run, NULL, words);
	sp_run_wait_error(&run, "waiting for it");
	assert_true(sp_lab_now_ms() - start >= 1000);
	says(&run, ROOT);
	/* Those that only look need no lock. */
	sp_run("groups");
	sp_run("list");
	assert_int_equal(access(ROOT "/dns", F_OK), -1);
	assert_int_equal(flock(lock, LOCK_UN), 0);
	sp_run_wait(&run);
	assert_int_equal(run.status, SP_EXIT_OK);
	sp_run_free(&run);
	close(lock);
	assert_true(sp_status_bool("dns", "attached"));
}

static void write_to_full(void *ctx)
{
	int fd = open("/dev/full", O_WRONLY);

	(void)ctx;
	if (fd < 0 || dup2(fd, 1) < 0)
		_exit(126);
}

static void close_stdout(void *ctx)
{
	(void)ctx;
	close(1);
}

static void e2e__answer_cannot_be_written__exit_1(void **state)
{
	static const struct sp_run_setup setups[] = { { .prepare = write_to_full },
						      { .prepare = close_stdout } };
	static struct sp_crew crew;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, 2, NULL);
	sp_run("attach", "dns", crew.endpoint);
	sp_world_changed();
	for (size_t i = 0; i < SP_ARRAY_SIZE(setups); i++) {
		const struct sp_run_setup *s = &setups[i];

		says(sp_run_program(__FILE__, __LINE__, SP_EXIT_FAILED, s, "steadyport", "status", "dns",
				    NULL),
		     "cannot write the answer");
		says(sp_run_program(__FILE__, __LINE__, SP_EXIT_FAILED, s, "steadyport", "groups", "--json",
				    NULL),
		     "cannot write the answer");
		says(sp_run_program(__FILE__, __LINE__, SP_EXIT_FAILED, s, "steadyport", "--help", NULL),
		     "cannot write the answer");
	}
	same_world();
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, sp_world_setup, sp_run_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(e2e__bad_usage__exit_2_and_the_help_is_named),
		CASE(e2e__help_and_version__exit_0_on_stdout),
		CASE(e2e__no_command__exit_2_and_the_first_one_to_run_is_named),
		CASE(e2e__unknown_name__exit_3),
		CASE(e2e__no_such_group__names_the_port_and_the_command_that_lists_groups),
		CASE(e2e__group_has_another_address__that_one_is_named),
		CASE(e2e__several_groups_fit__all_are_listed_and_one_is_offered),
		CASE(e2e__socket_without_reuseport__says_so),
		CASE(e2e__member_held_by_nobody_visible__refused_unless_partial),
		CASE(e2e__name_in_use__refused),
		CASE(e2e__group_has_another_name__that_one_is_named),
		CASE(e2e__missing_capability__is_named),
		CASE(e2e__members_may_not_be_read__cap_sys_ptrace_is_named),
		CASE(e2e__only_the_capabilities_that_are_asked_for__all_commands_work),
		CASE(e2e__pins_of_another_abi__only_detach_touches_them),
		CASE(e2e__state_names_no_view__refused_until_it_is_attached_anew),
		CASE(e2e__another_steadyport_at_work__says_after_a_second_that_it_waits),
		CASE(e2e__answer_cannot_be_written__exit_1),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
