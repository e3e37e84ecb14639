// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * steadyport top: at a terminal, with keys, on a real group with real traffic; and as text. TOP_FRAME=FILE: the screen
 * of the drain case is written there, for docs/top.md.
 */
#include <bpf/bpf.h>
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "cleanup.h"
#include "screen.h"
#include "servers.h"
#include "swarm.h"

#ifndef SO_DETACH_REUSEPORT_BPF
#define SO_DETACH_REUSEPORT_BPF 68
#endif

#define NAME "dns"
#define WORKERS 4
#define KEYS "q quit   ? help"
#define INTERVAL "100ms"
#define NEVER "1h" /* no second look comes while a case runs */

static const struct sp_swarm_options options = {
	.source_port = 20000, .nports = 8, .naddresses = 32, .rate = 2000
};

static struct sp_crew crew;
static struct sp_swarm swarm;
static struct sp_screen screen;

/* A steered UDP group whose flows are asked all the time. */
static void start_traffic(void)
{
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_swarm_open(&swarm, &crew, &options);
	sp_swarm_ask(&swarm);
	sp_run("attach", NAME, crew.endpoint, "--learn", "0");
	sp_swarm_start(&swarm);
}

static void end_traffic(void)
{
	sp_swarm_stop(&swarm);
	sp_swarm_close(&swarm);
}

static void start_top(int width, int height, const char *name, const char *interval)
{
	const char *const words[] = { "steadyport", "top", "--interval", interval, name, NULL };

	sp_screen_start(&screen, width, height, words);
	sp_screen_wait(&screen, KEYS);
}

static void quit(void)
{
	sp_screen_press(&screen, "q");
	sp_screen_wait_end(&screen, SP_EXIT_OK);
	sp_screen_close(&screen);
}

/* "   2 live     worker-2[", as the row of a slot begins */
static const char *row(unsigned int slot, const char *state, unsigned int worker)
{
	static char text[64];

	snprintf(text, sizeof(text), "%u %-8s worker-%u[", slot, state, worker);
	return text;
}

/* The slot that a worker is in. */
static unsigned int slot_of(unsigned int id)
{
	json_t *status = sp_run_json("status", NAME), *slot;
	unsigned int found = SP_SLOTS_MAX;
	size_t i;

	json_array_foreach(sp_json_array(status, "slots"), i, slot) {
		const json_t *owner = json_array_get(sp_json_array(slot, "owners"), 0);

		if (sp_json_int(owner, "pid") == crew.workers[id].pid)
			found = sp_json_int(slot, "slot");
	}
	json_decref(status);
	assert_true(found < SP_SLOTS_MAX);
	return found;
}

/* The rate in a row of --once. */
static unsigned long rate_in(const char *frame, unsigned int slot)
{
	char begin[32], state[16], owner[64], share[16], rate[16];
	const char *line;

	snprintf(begin, sizeof(begin), "\n%4u ", slot);
	line = strstr(frame, begin);
	assert_non_null(line);
	assert_int_equal(sscanf(line, "%*u %15s %63s %15s %15s", state, owner, share, rate), 4);
	assert_string_equal(state, "live");
	assert_string_equal(share, "25.0%");
	assert_int_equal(strspn(rate, "0123456789,"), strlen(rate));
	return strtoul(rate, NULL, 10) * (strchr(rate, ',') ? 1000 : 1) +
	       (strchr(rate, ',') ? strtoul(strchr(rate, ',') + 1, NULL, 10) : 0);
}

static void top__once_with_traffic__rates_are_what_was_counted(void **state)
{
	json_int_t before, after;
	const struct sp_run *run;
	unsigned long sum = 0;

	(void)state;
	start_traffic();
	before = sp_counters_outcomes(NAME);
	run = sp_run("top", NAME, "--once", "--interval", "500ms");
	assert_string_equal(run->err, "");
	assert_non_null(strstr(run->out, "udp 127.0.0.1:"));
	assert_non_null(strstr(run->out, NAME "   4 slots: 4 live   "));
	assert_non_null(strstr(run->out, " packets/s   0 kept flows   every 500 ms, by slot\n"));
	assert_null(strchr(run->out, '\033'));
	for (unsigned int slot = 0; slot < WORKERS; slot++) {
		unsigned long rate = rate_in(run->out, slot);

		assert_true(rate > 0);
		sum += rate;
	}
	after = sp_counters_outcomes(NAME);
	/* Each is rounded, and half a second is the least that lies between the two looks. */
	assert_in_range(sum, 1, 2 * (after - before) + WORKERS);
	end_traffic();
}

static void top__no_traffic__rates_are_zero(void **state)
{
	const struct sp_run *run;

	(void)state;
	sp_crew_start(&crew, SP_TCP, "127.0.0.1", 0, WORKERS, NULL);
	sp_run("attach", NAME, crew.endpoint);
	run = sp_run("top", "--once", "--interval", "100ms");
	for (unsigned int slot = 0; slot < WORKERS; slot++)
		assert_int_equal(rate_in(run->out, slot), 0);
	assert_non_null(strstr(run->out, "0 new connections/s"));
	assert_non_null(strstr(run->out, " MIGRATED "));
}

/* A picture for people shows what led to it. */
static void dwell(int ms)
{
	if (getenv("TOP_FRAME"))
		sp_screen_read(&screen, ms);
}

static void save_frame(void)
{
	const char *path = getenv("TOP_FRAME");
	FILE *file = path ? fopen(path, "w") : NULL;

	if (!path)
		return;
	assert_non_null(file);
	fputs(sp_screen_text(&screen), file);
	assert_int_equal(fclose(file), 0);
}

static void top__drain_and_undrain__only_after_yes(void **state)
{
	unsigned int slot, dead;
	char number[64];

	(void)state;
	start_traffic();
	slot = slot_of(1);
	dead = slot_of(3);
	start_top(80, 24, NAME, INTERVAL);
	sp_screen_wait(&screen, row(slot, "live", 1));
	dwell(1000);
	for (unsigned int i = 0; i < slot; i++)
		sp_screen_press(&screen, "j");
	snprintf(number, sizeof(number), ">  %u live", slot);
	sp_screen_wait(&screen, number);

	sp_screen_press(&screen, "d");
	sp_screen_wait(&screen, "Old flows stay, no new ones go there.   y or n");
	snprintf(number, sizeof(number), "Drain slot %u,", slot);
	assert_non_null(strstr(sp_screen_line(&screen, 23), number));
	sp_screen_press(&screen, "n");
	sp_screen_wait(&screen, "Nothing was changed.");
	assert_true(sp_status_slot_is(NAME, slot, "live"));

	sp_screen_press(&screen, "dy");
	sp_screen_wait(&screen, "is draining: no new flows, the old ones stay.");
	assert_true(sp_status_slot_is(NAME, slot, "draining"));
	sp_screen_wait(&screen, row(slot, "draining", 1));
	dwell(500);

	sp_swarm_excuse(&swarm, 3);
	sp_crew_kill(&crew, 3);
	snprintf(number, sizeof(number), "%u dead     (worker-3", dead);
	sp_screen_wait(&screen, number);
	sp_screen_wait(&screen, "steadyport sync " NAME);
	dwell(400);
	save_frame();

	sp_screen_press(&screen, "uy");
	sp_screen_wait(&screen, "is taking new flows again.");
	assert_true(sp_status_slot_is(NAME, slot, "live"));
	sp_screen_wait(&screen, row(slot, "live", 1));
	quit();
	end_traffic();
}

static void top__drain_of_a_dead_slot__says_why_not(void **state)
{
	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, 2, NULL);
	sp_run("attach", NAME, crew.endpoint);
	sp_crew_kill(&crew, 0);
	sp_crew_kill(&crew, 1);
	start_top(80, 24, NAME, INTERVAL);
	sp_screen_wait(&screen, "No visible process holds a member any more.");
	sp_screen_press(&screen, "dy");
	sp_screen_wait(&screen, "slot 0 is dead: nothing goes there");
	quit();
}

static void top__group_is_detached_and_attached_again__is_shown_so(void **state)
{
	(void)state;
	start_traffic();
	start_top(80, 24, NAME, INTERVAL);
	sp_screen_wait(&screen, "4 slots: 4 live");
	sp_run("detach", NAME);
	sp_screen_wait(&screen, NAME " is not steered any more.");
	sp_screen_wait_without(&screen, "live");
	sp_screen_press(&screen, "dy"); /* nothing is selected, and nothing breaks */
	sp_run("attach", NAME, crew.endpoint);
	sp_screen_wait(&screen, "4 slots: 4 live");
	quit();
	/* Detached, the kernel's hash decided for a while. */
	sp_swarm_stop(&swarm);
	sp_swarm_close(&swarm);
}

static void top__detached_between_two_looks__the_answer_says_so(void **state)
{
	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, 2, NULL);
	sp_run("attach", NAME, crew.endpoint);
	start_top(80, 24, NAME, NEVER);
	sp_screen_press(&screen, "d");
	sp_screen_wait(&screen, "Drain slot 0");
	sp_run("detach", NAME);
	sp_screen_press(&screen, "y");
	sp_screen_wait(&screen, "error: no steered group is called " NAME);
	quit();
}

static void top__two_groups__keys_go_from_one_to_the_other(void **state)
{
	static struct sp_crew other;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, 2, NULL);
	sp_crew_start(&other, SP_TCP, "127.0.0.1", 0, 3, NULL);
	sp_run("attach", NAME, crew.endpoint);
	sp_run("attach", "web", other.endpoint);
	/* Without a name it is the first one. */
	start_top(80, 24, NULL, INTERVAL);
	sp_screen_wait(&screen, NAME "   2 slots: 2 live   udp");
	sp_screen_press(&screen, "\t");
	sp_screen_wait(&screen, "web   3 slots: 3 live   tcp");
	sp_screen_press(&screen, "g");
	sp_screen_wait(&screen, "> web");
	sp_screen_press(&screen, "k\r");
	sp_screen_wait(&screen, NAME "   2 slots: 2 live   udp");
	/* An arrow as an xterm sends it. */
	sp_screen_press(&screen, "g\033OB\r");
	sp_screen_wait(&screen, "web   3 slots: 3 live   tcp");
	quit();
}

static void top__sorted__rows_and_words_follow(void **state)
{
	(void)state;
	start_traffic();
	start_top(80, 24, NAME, INTERVAL);
	sp_screen_press(&screen, "r");
	sp_screen_wait(&screen, "by slot upwards");
	sp_screen_wait(&screen, "HISTORY\n   3 live");
	/* What was selected is the last one now. */
	sp_screen_press(&screen, "kkdy");
	sp_screen_wait(&screen, "HISTORY\n   3 live");
	sp_screen_wait(&screen, ">  2 draining");
	sp_screen_press(&screen, "s");
	sp_screen_wait(&screen, "by state");
	sp_screen_wait(&screen, "HISTORY\n>  2 draining");
	quit();
	end_traffic();
}

static void top__window_changes_its_size__picture_fits(void **state)
{
	static const int sizes[][2] = { { 120, 40 }, { 60, 10 }, { 30, 6 }, { 80, 24 } };

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_run("attach", NAME, crew.endpoint);
	/* No look is due: it is the change of size that makes it draw. */
	start_top(80, 24, NAME, NEVER);
	for (size_t i = 0; i < SP_ARRAY_SIZE(sizes); i++) {
		int width = sizes[i][0], height = sizes[i][1];

		sp_screen_resize(&screen, width, height);
		sp_screen_wait(&screen, KEYS);
		sp_screen_wait(&screen, NAME "   4 slots");
		assert_int_equal(strncmp(sp_screen_line(&screen, height - 1), KEYS, strlen(KEYS)), 0);
		assert_int_equal(strncmp(sp_screen_line(&screen, 0), NAME, strlen(NAME)), 0);
	}
	sp_screen_press(&screen, "?");
	sp_screen_wait(&screen, "Any key leads back.");
	quit();
}

static void top__signals__terminal_is_as_before(void **state)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP };

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, 2, NULL);
	sp_run("attach", NAME, crew.endpoint);
	for (size_t i = 0; i < SP_ARRAY_SIZE(signals); i++) {
		start_top(80, 24, NAME, NEVER);
		assert_true(screen.is_alternate);
		assert_int_equal(kill(screen.run.pid, signals[i]), 0);
		sp_screen_wait_end(&screen, SP_EXIT_OK);
		sp_screen_close(&screen);
	}
	/* As the keyboard sends it. */
	start_top(80, 24, NAME, NEVER);
	sp_screen_press(&screen, "\003");
	sp_screen_wait_end(&screen, SP_EXIT_OK);
	sp_screen_close(&screen);
}

/* How often the iterator that this process has open has been run. */
static unsigned long long count_walks(pid_t pid)
{
	unsigned long long sum = 0, runs;
	struct dirent *entry;
	char path[300], line[256];
	DIR *files;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo", pid);
	files = opendir(path);
	assert_non_null(files);
	while ((entry = readdir(files))) {
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", pid, entry->d_name);
		file = fopen(path, "r");
		while (file && fgets(line, sizeof(line), file)) {
			if (sscanf(line, "run_cnt: %llu", &runs) == 1)
				sum += runs;
		}
		if (file)
			fclose(file);
	}
	closedir(files);
	return sum;
}

static void top__keys_between_two_looks__walk_no_processes(void **state)
{
	int stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	unsigned long long walks;

	(void)state;
	assert_true(stats >= 0);
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, 2, NULL);
	sp_run("attach", NAME, crew.endpoint);
	start_top(80, 24, NAME, NEVER);
	walks = count_walks(screen.run.pid);
	assert_true(walks > 0);
	sp_screen_press(&screen, "sjr\tg");
	sp_screen_wait(&screen, "> " NAME);
	sp_screen_press(&screen, "\rdy");
	/* The pins are read again. */
	sp_screen_wait(&screen, "draining");
	sp_screen_resize(&screen, 100, 30);
	sp_screen_wait(&screen, "draining");
	assert_int_equal(count_walks(screen.run.pid), walks);
	quit();

	start_top(80, 24, NAME, INTERVAL);
	walks = count_walks(screen.run.pid);
	sp_wait_for((sp_screen_wait(&screen, KEYS), count_walks(screen.run.pid) > walks));
	quit();
	close(stats);
}

static void expect_news(const char *text)
{
	const struct sp_run *run = sp_run("top", NAME, "--once", "--interval", INTERVAL);

	if (!strstr(run->out, text))
		print_error("no news of \"%s\":\n%s", text, run->out);
	assert_non_null(strstr(run->out, text));
}

static void top__something_is_to_be_done__says_what(void **state)
{
	int unused = 0, fd;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, 2, NULL);
	sp_run("attach", NAME, crew.endpoint, "--learn", "0");
	sp_crew_add(&crew, 2);
	expect_news("1 member is not enrolled: steadyport sync " NAME);
	sp_crew_add(&crew, 3);
	expect_news("2 members are not enrolled: steadyport sync " NAME);
	sp_run("sync", NAME);
	sp_crew_kill(&crew, 3);
	expect_news("1 slot is dead; new workers take it: steadyport sync " NAME);
	fd = sp_crew_borrow(&crew, 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &unused, sizeof(unused)), 0);
	close(fd);
	expect_news("Not attached: see steadyport status " NAME);
}

static void top__terminal_is_not_known__says_what_to_set(void **state)
{
	const char *const words[] = { "env", "TERM=of-no-kind", getenv("STEADYPORT"), "top", NAME, NULL };

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, 2, NULL);
	sp_run("attach", NAME, crew.endpoint);
	sp_screen_start(&screen, 80, 24, words);
	sp_screen_wait_end(&screen, SP_EXIT_FAILED);
	assert_non_null(strstr(sp_screen_text(&screen), "the terminal type of-no-kind is not known here"));
	assert_non_null(strstr(sp_screen_text(&screen), "steadyport top --once"));
}

static void top__not_at_a_terminal__names_once(void **state)
{
	const struct sp_run *run;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, 2, NULL);
	sp_run("attach", NAME, crew.endpoint);
	run = sp_run_fails(SP_EXIT_FAILED, "top", NAME);
	assert_string_equal(run->out, "");
	assert_non_null(strstr(run->err, "stdout is not a terminal"));
	assert_non_null(strstr(run->err, "steadyport top --once"));
}

static void top__no_such_group__is_refused(void **state)
{
	const struct sp_run *run;

	(void)state;
	run = sp_run_fails(SP_EXIT_NO_GROUP, "top", "--once");
	assert_non_null(strstr(run->err, "steadyport groups"));
	sp_run_fails(SP_EXIT_NO_GROUP, "top", "nobody", "--once");
}

static int teardown(void **state)
{
	sp_screen_close(&screen);
	return sp_swarm_teardown(state);
}

static int setup(void **state)
{
	(void)state;
	screen.terminal = -1;
	screen.slave = -1;
	return 0;
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(top__once_with_traffic__rates_are_what_was_counted),
		CASE(top__no_traffic__rates_are_zero),
		CASE(top__drain_and_undrain__only_after_yes),
		CASE(top__drain_of_a_dead_slot__says_why_not),
		CASE(top__group_is_detached_and_attached_again__is_shown_so),
		CASE(top__detached_between_two_looks__the_answer_says_so),
		CASE(top__two_groups__keys_go_from_one_to_the_other),
		CASE(top__sorted__rows_and_words_follow),
		CASE(top__window_changes_its_size__picture_fits),
		CASE(top__signals__terminal_is_as_before),
		CASE(top__keys_between_two_looks__walk_no_processes),
		CASE(top__something_is_to_be_done__says_what),
		CASE(top__terminal_is_not_known__says_what_to_set),
		CASE(top__not_at_a_terminal__names_once),
		CASE(top__no_such_group__is_refused),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
