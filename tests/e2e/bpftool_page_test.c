// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* docs/bpftool.md: every command on the page runs, and prints what the page shows. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cleanup.h"
#include "run.h"

#define ROOT SP_PACKAGING "/.."
#define PAGE ROOT "/docs/bpftool.md"
#define RUNNER ROOT "/tests/e2e/bpftool_page/run.sh"
#define STATISTICS "/proc/sys/kernel/bpf_stats_enabled"
#define WORKERS 4
#define FLOWS 200
#define CONNECTIONS 100

static struct sp_crew h3, web;
static struct sp_crowd flows, connections;
static int owners[FLOWS];

/* The page's groups are in a network namespace called edge, so this one is called that here. */
static void name_namespace(void)
{
	mkdir("/run/netns", 0755);
	assert_int_equal(mount("none", "/run/netns", "tmpfs", 0, NULL), 0);
	close(open("/run/netns/edge", O_CREAT | O_WRONLY, 0600));
	assert_int_equal(mount("/proc/self/ns/net", "/run/netns/edge", NULL, MS_BIND, NULL), 0);
}

/* So that the page's `steadyport` is the one under test. */
static void find_binary(void)
{
	char *path = NULL, *binary = strdup(sp_run_binary());

	*strrchr(binary, '/') = '\0';
	assert_true(asprintf(&path, "%s:%s", binary, getenv("PATH")) > 0);
	setenv("PATH", path, 1);
	free(path);
	free(binary);
}

/* The page's scene: flows that were there before a worker was restarted, and connections that wait. */
static void set_scene(void)
{
	struct sp_lab_options paused = { .is_paused = true };

	sp_crew_start(&h3, SP_UDP, "::", 443, WORKERS, NULL);
	sp_crowd_open(&flows, &h3, "127.0.0.1", NULL, 20000, FLOWS);
	sp_run("attach", "h3", h3.endpoint, "--learn", "60s");
	sp_crowd_ask(&flows, owners);
	sp_crew_kill(&h3, 2);
	sp_crowd_ask(&flows, owners);
	sp_crew_add(&h3, WORKERS);
	sp_run("sync", "h3");
	sp_crowd_ask(&flows, owners);
	sp_crew_start(&web, SP_TCP, "127.0.0.1", 8080, WORKERS, &paused);
	sp_run("attach", "web", web.endpoint);
	sp_crowd_open(&connections, &web, "127.0.0.1", NULL, 0, CONNECTIONS);
}

static bool switch_statistics(bool on)
{
	FILE *file = fopen(STATISTICS, "r+");
	bool was_on;

	assert_non_null(file);
	was_on = fgetc(file) == '1';
	rewind(file);
	fputs(on ? "1" : "0", file);
	assert_int_equal(fclose(file), 0);
	return was_on;
}

/* What the page says happened before the block. */
static void prepare(const char *block)
{
	if (strstr(block, "TcpExtTCPMigrateReqSuccess"))
		sp_crew_kill(&web, 1);
	if (strstr(block, "comm -13"))
		sp_crew_add(&h3, WORKERS + 1);
}

static void page__every_command_on_it__prints_what_it_shows(void **state)
{
	int count = atoi(sp_run_other(RUNNER, PAGE, "count")->out);

	(void)state;
	sp_run_need("bpftool");
	sp_run_need("ss");
	sp_run_need("nstat");
	find_binary();
	name_namespace();
	set_scene();
	assert_in_range(count, 10, 100);
	for (int i = 1; i <= count; i++) {
		char number[16];
		const char *block;
		bool was_on = false, counts;

		snprintf(number, sizeof(number), "%d", i);
		block = sp_run_other(RUNNER, PAGE, "print", number)->out;
		counts = strstr(block, "bpf_stats_enabled");
		prepare(block);
		if (counts)
			was_on = switch_statistics(false);
		sp_run_other(RUNNER, PAGE, number);
		if (counts)
			assert_true(switch_statistics(was_on));
	}
	sp_crowd_close(&flows);
	sp_crowd_close(&connections);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(page__every_command_on_it__prints_what_it_shows, sp_run_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
