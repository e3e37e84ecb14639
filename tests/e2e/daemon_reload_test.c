// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The daemon's configuration: checked, read again, refused; and what its manager and the journal get to know. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cleanup.h"
#include "keeper.h"
#include "servers.h"

#define WORKERS 3
#define FLOWS 300
#define PORT 7100

#define DAEMON "[daemon]\n"
#define DNS "[group dns]\nendpoint = udp:127.0.0.1:7100\nlearn = 10m\n"
#define WEB "[group web]\nendpoint = tcp:127.0.0.1:7100\n"

static struct sp_keeper keeper;
static struct sp_crew dns, web;
static struct sp_crowd crowd;
static int before[FLOWS], after[FLOWS];

static void start_crews(void)
{
	sp_crew_start(&dns, SP_UDP, "127.0.0.1", PORT, WORKERS, NULL);
	sp_crew_start(&web, SP_TCP, "127.0.0.1", PORT, WORKERS, NULL);
}

static void start(const char *config)
{
	start_crews();
	sp_keeper_start(&keeper, config);
	sp_keeper_wait_enrolled("dns", WORKERS);
	sp_keeper_wait_enrolled("web", WORKERS);
}

/* What must not change when nothing does. */
struct state {
	json_int_t program, view;
};

static struct state state_of(const char *name)
{
	json_t *status = sp_run_json("status", name);
	struct state state = { sp_json_int(status, "program_id"), sp_json_int(status, "view_serial") };

	json_decref(status);
	return state;
}

static void require_same(struct state a, struct state b)
{
	assert_int_equal(a.program, b.program);
	assert_int_equal(a.view, b.view);
}

static bool has_balance(const char *name, const char *balance)
{
	json_t *status = sp_run_json("status", name);
	bool has = !strcmp(sp_json_text(status, "balance"), balance);

	json_decref(status);
	return has;
}

static json_int_t weight_of(const char *name, json_int_t slot)
{
	json_t *status = sp_run_json("status", name);
	json_int_t weight = sp_json_int(sp_json_find(sp_json_array(status, "slots"), "slot", slot), "weight");

	json_decref(status);
	return weight;
}

static void daemon__reload_without_a_change__nothing_happens(void **state)
{
	struct state d, w;

	(void)state;
	start(DAEMON DNS WEB);
	d = state_of("dns");
	w = state_of("web");
	sp_keeper_reload(&keeper, NULL);
	assert_non_null(strstr(keeper.notified, "RELOADING=1\nMONOTONIC_USEC="));
	sp_keeper_reload(&keeper, "# a comment moves the lines\n" DAEMON WEB DNS);
	require_same(d, state_of("dns"));
	require_same(w, state_of("web"));
	sp_keeper_stop(&keeper);
}

static void daemon__reload_of_a_bad_file__all_stays_and_all_errors_are_told(void **state)
{
	struct state d, w;
	char text[128];

	(void)state;
	start(DAEMON DNS WEB);
	d = state_of("dns");
	w = state_of("web");
	sp_keeper_reload(&keeper, DAEMON "[group dns]\nendpoint = nonsense\nlearn = soon\n");
	snprintf(text, sizeof(text), "error: %s:3: endpoint = nonsense", keeper.config);
	sp_keeper_wait(&keeper, text);
	snprintf(text, sizeof(text), "error: %s:4: learn = soon", keeper.config);
	sp_keeper_wait(&keeper, text);
	sp_keeper_wait(&keeper, "nothing was changed");
	require_same(d, state_of("dns"));
	require_same(w, state_of("web"));
	/* It still looks after both. */
	sp_crew_add(&dns, WORKERS);
	sp_crew_add(&web, WORKERS);
	sp_keeper_wait_enrolled("dns", WORKERS + 1);
	sp_keeper_wait_enrolled("web", WORKERS + 1);
	sp_keeper_stop(&keeper);
}

static void daemon__reload_with_other_weights__shares_follow_and_no_flow_moves(void **state)
{
	(void)state;
	start(DAEMON DNS WEB "weights = 0=10 5=70\n");
	assert_int_equal(weight_of("web", 0), 10);
	assert_int_equal(weight_of("web", 1), 100);
	sp_crowd_open(&crowd, &dns, "127.0.0.1", NULL, 20000, FLOWS);
	sp_crowd_ask(&crowd, before);
	sp_keeper_reload(&keeper, DAEMON DNS "weights = 1=1 3=55\n" WEB "weights = 0=10 5=70\n");
	assert_int_equal(weight_of("dns", 1), 1);
	assert_int_equal(weight_of("dns", 0), 100);
	sp_crowd_stays(&crowd, &dns, before, after);
	/* A slot that was not used until now begins with its weight. */
	sp_crew_add(&dns, WORKERS);
	sp_keeper_wait_enrolled("dns", WORKERS + 1);
	assert_int_equal(weight_of("dns", 3), 55);
	/* What an operator sets stays until the file says something else. */
	sp_run("weight", "dns", "1=40");
	sp_keeper_reload(&keeper, NULL);
	assert_int_equal(weight_of("dns", 1), 40);
	sp_crowd_stays(&crowd, &dns, before, after);
	sp_crowd_close(&crowd);
	sp_keeper_stop(&keeper);
}

static void daemon__reload_with_other_times__no_view_is_published(void **state)
{
	struct state d;
	json_t *document;

	(void)state;
	start(DAEMON DNS WEB);
	d = state_of("dns");
	sp_keeper_reload(&keeper, DAEMON "[group dns]\nendpoint = udp:127.0.0.1:7100\nlearn = 7s\n"
					 "flow-idle = 33s\non-foreign = retake\n" WEB "park = 5s\n");
	require_same(d, state_of("dns"));
	document = sp_run_json("snapshot", "dns");
	assert_int_equal(sp_json_int(document, "learn_ns"), 7000000000);
	assert_int_equal(sp_json_int(document, "flow_idle_s"), 33);
	json_decref(document);
	sp_keeper_stop(&keeper);
}

static void daemon__reload_with_another_balance__in_force_at_once_and_the_view_stays(void **state)
{
	struct state w;

	(void)state;
	start(DAEMON DNS WEB "balance = hash\n");
	w = state_of("web");
	sp_keeper_reload(&keeper, DAEMON DNS WEB "balance = least-queue\n");
	sp_keeper_wait(&keeper, "web: new connections are placed by least-queue now; none has moved");
	assert_int_equal(state_of("web").view, w.view);
	/* A command has the last word until the next reload that says something else. */
	sp_run("balance", "web", "hash");
	sp_keeper_reload(&keeper, DAEMON DNS WEB "balance = least-queue\n");
	assert_true(has_balance("web", "hash"));
	sp_keeper_reload(&keeper, DAEMON DNS WEB "balance = least-queue\npark = 5s\n");
	sp_wait_for(has_balance("web", "least-queue"));
	assert_true(sp_status_bool("web", "attached"));
	sp_keeper_stop(&keeper);
}

static void daemon__reload_of_what_is_fixed__refused_and_the_rest_taken(void **state)
{
	struct state d, w;

	(void)state;
	start(DAEMON DNS WEB);
	d = state_of("dns");
	w = state_of("web");
	sp_keeper_reload(&keeper, DAEMON DNS "hash = kernel\ntrack = always\nflows = 100\n"
					     "[group web]\nendpoint = tcp:127.0.0.1:7101\nweights = 0=30\n");
	sp_keeper_wait(&keeper, "error: dns is steered with hash = siphash: hash = kernel has no effect");
	sp_keeper_wait(&keeper,
		       "error: dns is steered with track = transition: track = always has no effect");
	sp_keeper_wait(&keeper, "error: dns is steered with flows = 65536: flows = 100 has no effect");
	sp_keeper_wait(&keeper, ": web is steered at tcp:127.0.0.1:7100: it stays there");
	require_same(d, state_of("dns"));
	assert_int_equal(state_of("web").program, w.program);
	assert_int_equal(weight_of("web", 0), 30);
	sp_crew_add(&web, WORKERS);
	sp_keeper_wait_enrolled("web", WORKERS + 1);
	sp_keeper_stop(&keeper);
}

static void daemon__reload_without_a_group__it_stays_steered_and_is_told(void **state)
{
	(void)state;
	start(DAEMON DNS WEB);
	sp_keeper_reload(&keeper, DAEMON DNS);
	sp_keeper_wait(&keeper, "web: not in ");
	sp_keeper_wait(&keeper, "to end that: steadyport detach web");
	sp_keeper_wait_notified(&keeper, "STATUS=1 group: 1 steered\n");
	assert_int_equal(sp_status_int("web", "enrolled"), WORKERS);
	assert_true(sp_status_bool("web", "attached"));
	sp_keeper_reload(&keeper, DAEMON DNS WEB);
	sp_crew_add(&web, WORKERS);
	sp_keeper_wait_enrolled("web", WORKERS + 1);
	sp_keeper_stop(&keeper);
}

static void daemon__reload_without_a_group_and_on_exit_detach__detached(void **state)
{
	(void)state;
	start(DAEMON DNS WEB);
	sp_keeper_reload(&keeper, DAEMON "on-exit = detach\n" DNS);
	sp_keeper_wait(&keeper, "web: detached from tcp:127.0.0.1:7100");
	sp_run_fails(SP_EXIT_NO_GROUP, "status", "web");
	assert_true(sp_status_bool("dns", "attached"));
	sp_keeper_stop(&keeper);
}

static void daemon__reload_with_one_more_group__attached(void **state)
{
	(void)state;
	start_crews();
	sp_keeper_start(&keeper, DAEMON DNS);
	sp_keeper_wait_enrolled("dns", WORKERS);
	sp_run_fails(SP_EXIT_NO_GROUP, "status", "web");
	sp_keeper_reload(&keeper, DAEMON DNS WEB);
	sp_keeper_wait_enrolled("web", WORKERS);
	sp_crew_add(&web, WORKERS);
	sp_keeper_wait_enrolled("web", WORKERS + 1);
	sp_keeper_stop(&keeper);
}

/* --- what others get to know --- */

static size_t count(const char *text, const char *word)
{
	size_t n = 0;

	for (; (text = strstr(text, word)); text += strlen(word))
		n++;
	return n;
}

static void daemon__watchdog_asked_for__signs_of_life(void **state)
{
	__u64 deadline = sp_lab_now_ms() + SP_RUN_DEADLINE_MS;

	(void)state;
	keeper.watchdog_usec = 300000;
	sp_keeper_start(&keeper, DAEMON);
	while (count(keeper.notified, "WATCHDOG=1\n") < 5) {
		assert_true(sp_lab_left_ms(deadline) > 0);
		sp_keeper_wait_notified(&keeper, "WATCHDOG=1\n");
		poll(NULL, 0, 10);
	}
	keeper.watchdog_usec = 0;
	sp_keeper_stop(&keeper);
	sp_keeper_start(&keeper, NULL);
	sp_keeper_wait_notified(&keeper, "STATUS=0 groups\n");
	assert_int_equal(count(keeper.notified, "WATCHDOG=1\n"), 0);
	sp_keeper_stop(&keeper);
}

/* A manager with a full queue: that of a datagram socket holds ten or so. */
static void daemon__manager_that_does_not_listen__is_not_waited_for(void **state)
{
	(void)state;
	start_crews();
	keeper.watchdog_usec = 30000;
	sp_keeper_start(&keeper, DAEMON DNS WEB);
	sp_keeper_wait_enrolled("dns", WORKERS);
	sp_keeper_wait_enrolled("web", WORKERS);
	poll(NULL, 0, 1000); /* thirty signs of life that nobody takes */
	sp_crew_add(&dns, WORKERS);
	sp_keeper_wait_enrolled("dns", WORKERS + 1);
	keeper.watchdog_usec = 0;
	sp_keeper_stop(&keeper);
}

static void daemon__stderr_is_the_journal__lines_have_levels(void **state)
{
	(void)state;
	start_crews();
	keeper.has_journal = true;
	sp_keeper_start(&keeper, DAEMON DNS);
	sp_keeper_wait(&keeper, "<6>dns: attached program ");
	sp_keeper_reload(&keeper, "nonsense\n");
	sp_keeper_wait(&keeper, "<3>error: ");
	sp_keeper_wait(&keeper, "<6>       nothing was changed");
	keeper.has_journal = false;
	sp_keeper_stop(&keeper);
}

/* --- the check --- */

static void write_file(const char *path, const char *text, mode_t mode)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static void run__check__says_whether_the_file_is_right(void **state)
{
	char path[] = "/tmp/sp-check-XXXXXX", text[128];
	const struct sp_run *run;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	write_file(path, DAEMON DNS WEB, 0644);
	snprintf(text, sizeof(text), "%s: 2 groups, no errors\n", path);
	assert_string_equal(sp_run("run", "--config", path, "--check")->out, text);

	write_file(path, DAEMON DNS "colour = red\n" WEB "learn = x\n", 0644);
	run = sp_run_fails(SP_EXIT_FAILED, "run", "--config", path, "--check");
	snprintf(text, sizeof(text), "error: %s:5: a group has no key colour", path);
	assert_non_null(strstr(run->err, text));
	snprintf(text, sizeof(text), "error: %s:8: learn = x", path);
	assert_non_null(strstr(run->err, text));
	assert_string_equal(run->out, "");

	sp_run_fails(SP_EXIT_USAGE, "run", "now");
	sp_run_fails(SP_EXIT_USAGE, "run", "--json");
	unlink(path);
}

static void run__file_that_others_may_write__refused(void **state)
{
	char path[] = "/tmp/sp-check-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	write_file(path, DAEMON, 0664);
	assert_non_null(strstr(sp_run_fails(SP_EXIT_FAILED, "run", "--config", path, "--check")->err,
			       "may be written by its group"));
	write_file(path, DAEMON, 0646);
	assert_non_null(strstr(sp_run_fails(SP_EXIT_FAILED, "run", "--config", path, "--check")->err,
			       "may be written by everybody"));
	write_file(path, DAEMON, 0600);
	assert_int_equal(chown(path, 65534, 65534), 0);
	assert_non_null(strstr(sp_run_fails(SP_EXIT_FAILED, "run", "--config", path, "--check")->err,
			       "belongs to user 65534"));
	unlink(path);
	assert_non_null(
		strstr(sp_run_fails(SP_EXIT_FAILED, "run", "--config", path, "--check")->err, "cannot read"));
	assert_non_null(strstr(sp_run_fails(SP_EXIT_FAILED, "run", "--config", "/tmp", "--check")->err,
			       "is not a file"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_teardown(name, sp_keeper_teardown)
		CASE(daemon__reload_without_a_change__nothing_happens),
		CASE(daemon__reload_of_a_bad_file__all_stays_and_all_errors_are_told),
		CASE(daemon__reload_with_other_weights__shares_follow_and_no_flow_moves),
		CASE(daemon__reload_with_other_times__no_view_is_published),
		CASE(daemon__reload_with_another_balance__in_force_at_once_and_the_view_stays),
		CASE(daemon__reload_of_what_is_fixed__refused_and_the_rest_taken),
		CASE(daemon__reload_without_a_group__it_stays_steered_and_is_told),
		CASE(daemon__reload_without_a_group_and_on_exit_detach__detached),
		CASE(daemon__reload_with_one_more_group__attached),
		CASE(daemon__watchdog_asked_for__signs_of_life),
		CASE(daemon__manager_that_does_not_listen__is_not_waited_for),
		CASE(daemon__stderr_is_the_journal__lines_have_levels),
		CASE(run__check__says_whether_the_file_is_right),
		CASE(run__file_that_others_may_write__refused),
#undef CASE
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
