// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * 256 steered groups on one host, half of them TCP: each has its own program and its own counts, all commands stay
 * usable, and when all are detached nothing is left. On the way it shows what a group takes: README.md, "What it takes".
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "cleanup.h"
#include "lab_wire.h"
#include "memory.h"
#include "run.h"

#define GROUPS 256
#define MEMBERS 2
#define SAMPLED 7 /* the counters of every seventh group are read */
#define FIRST_PORT 20000
#define ROOT "/sys/fs/bpf/steadyport"
#define ANSWER_MS 20000 /* for what takes microseconds on an idle machine */
#define GONE_MS 20000 /* a few grace periods */

/* The members' sockets are in this process: what is tested is the commands and the programs. */
static struct group {
	char name[8];
	enum sp_protocol protocol;
	struct sockaddr_in address;
	char endpoint[SP_ENDPOINT_STRLEN];
	int members[MEMBERS];
	int client; /* UDP: one flow for the life of the group */
	__u32 program;
} groups[GROUPS];

static int ngroups; /* a quarter of them where an attach takes most of a second */

static struct sp_memory memory;
static bool is_charged;

#define for_each_group(g) for (struct group *g = groups; g < groups + ngroups; g++)

/* --- members and clients --- */

static int open_at(const struct group *g, bool is_member)
{
	int fd = open_socket(g->protocol, AF_INET);

	assert_true(fd >= 0);
	if (!is_member)
		return fd;
	assert_int_equal(set_option(fd, SOL_SOCKET, SO_REUSEPORT), 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&g->address, sizeof(g->address)), 0);
	if (g->protocol == SP_TCP)
		assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static void open_groups(void)
{
	assert_int_equal(sp_lab_reserve_files(ngroups * (MEMBERS + 2) + 64), 0);
	for_each_group(g)
	{
		int i = g - groups;

		snprintf(g->name, sizeof(g->name), "g%d", i);
		g->protocol = i < ngroups / 2 ? SP_TCP : SP_UDP;
		g->address = (struct sockaddr_in){ .sin_family = AF_INET,
						   .sin_port = htons(FIRST_PORT + i),
						   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		snprintf(g->endpoint, sizeof(g->endpoint), "%s:127.0.0.1:%d", sp_protocol_name(g->protocol),
			 FIRST_PORT + i);
		for (int m = 0; m < MEMBERS; m++)
			g->members[m] = open_at(g, true);
		g->client = g->protocol == SP_UDP ? open_at(g, false) : -1;
	}
}

static void close_groups(void)
{
	for_each_group(g)
	{
		for (int m = 0; m < MEMBERS; m++)
			sp_close_fd(&g->members[m]);
		sp_close_fd(&g->client);
	}
}

/* The member that hears a datagram, or accepts a connection. */
static int ask(struct group *g)
{
	struct pollfd ready[MEMBERS];
	int client = g->protocol == SP_TCP ? open_at(g, false) : -1, member = 0;
	char byte = 'x';

	if (g->protocol == SP_UDP)
		assert_int_equal(sendto(g->client, &byte, 1, 0, (const struct sockaddr *)&g->address,
					sizeof(g->address)),
				 1);
	else if (connect(client, (const struct sockaddr *)&g->address, sizeof(g->address)))
		assert_int_equal(errno, EINPROGRESS);
	for (int m = 0; m < MEMBERS; m++)
		ready[m] = (struct pollfd){ .fd = g->members[m], .events = POLLIN };
	assert_int_equal(poll(ready, MEMBERS, ANSWER_MS), 1);
	while (!ready[member].revents)
		member++;
	if (g->protocol == SP_UDP) {
		assert_int_equal(recv(g->members[member], &byte, 1, 0), 1);
	} else {
		int accepted = accept(g->members[member], NULL, NULL);

		assert_true(accepted >= 0);
		close(accepted);
		close(client);
	}
	return member;
}

/* --- commands --- */

/* One that must end well; what it makes is charged to the control group. The options may be NULL. */
static const struct sp_run *run(const char *command, const char *name, const char *endpoint,
				const char *option, const char *value)
{
	const struct sp_run_setup setup = { .prepare = sp_memory_enter, .ctx = &memory };

	return sp_run_program(__FILE__, __LINE__, SP_EXIT_OK, is_charged ? &setup : NULL, "steadyport",
			      command, name, endpoint, option, value, NULL);
}

static void show_time(const char *what, size_t count, __u64 start_ms)
{
	__u64 ms = sp_lab_now_ms() - start_ms;

	print_message("    %-12s %4zu times: %6llu ms, %3llu ms each\n", what, count, ms, ms / count);
}

/* One command for each group of a range. Each says @said. */
static void run_all(const char *command, size_t first, size_t count, const char *said)
{
	bool is_attach = !strcmp(command, "attach");
	__u64 start_ms = sp_lab_now_ms();

	for (size_t i = first; i < first + count; i++) {
		const char *endpoint = is_attach ? groups[i].endpoint : NULL;

		assert_non_null(strstr(run(command, groups[i].name, endpoint, NULL, NULL)->out, said));
	}
	show_time(command, count, start_ms);
}

/* --- memory --- */

/* Program and maps of one group, in bytes. */
static __u64 stated(const struct group *g, bool is_shown)
{
	DIR *dir;
	struct dirent *entry;
	char path[PATH_MAX];
	__u64 sum = 0;

	snprintf(path, sizeof(path), ROOT "/%s", g->name);
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		__u64 bytes;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), ROOT "/%s/%s", g->name, entry->d_name);
		bytes = sp_memory_stated(path);
		if (is_shown)
			print_message("      %-12s %8llu bytes\n", entry->d_name, bytes);
		sum += bytes;
	}
	closedir(dir);
	return sum;
}

/* Kernels before 6.4 state an estimate: keys and values, in whole pages. */
static __u64 array_stated(bool is_estimate, __u64 rows, __u64 row)
{
	const __u64 key = sizeof(__u32), page = 4096;

	return is_estimate ? (rows * ((key + row + 7) / 8 * 8) + page - 1) / page * page : rows * row;
}

/* A row of each slot, and of one that is nobody's, for each CPU, with the pointer to those; and one of user space's own. */
static __u64 counters_stated(bool is_estimate, __u64 slots)
{
	const __u64 row = sizeof(struct sp_counters), pointer = is_estimate ? 0 : sizeof(void *);

	return array_stated(is_estimate, slots + 1, row * libbpf_num_possible_cpus() + pointer) +
	       array_stated(is_estimate, slots + 1, row);
}

static __u64 charged(void)
{
	return is_charged ? sp_memory_charged(&memory) : 0;
}

/* What is detached is freed some grace periods later; batches and caches of the kernel keep a few pages of it. */
static void wait_freed(__u64 before, size_t ngroups)
{
	__u64 deadline = sp_lab_now_ms() + GONE_MS, rest = 16384 + ngroups * 4096;

	while (charged() > before + rest && sp_lab_left_ms(deadline))
		poll(NULL, 0, 10);
	print_message("    charged before: %llu KiB, after: %llu KiB\n", before / 1024, charged() / 1024);
	assert_in_range(charged(), 0, before + rest);
}

/* Attaches half of the groups and shows what that takes. */
static void attach_half(size_t first)
{
	const char *protocol = sp_protocol_name(groups[first].protocol);
	__u64 before = charged(), available = sp_memory_available();

	run_all("attach", first, ngroups / 2, "to 2 members");
	print_message("    a %s group: %llu KiB stated, %llu KiB charged; the machine has %lld KiB less\n",
		      protocol, stated(&groups[first], true) / 1024,
		      (charged() - before) / (ngroups / 2) / 1024,
		      ((long long)available - (long long)sp_memory_available()) / (ngroups / 2) / 1024);
}

/* --- what must be so --- */

static void expect_list(json_int_t live)
{
	json_t *list = sp_run_json("list"), *entry;
	bool is_seen[GROUPS] = { false };
	size_t i;

	assert_int_equal(json_array_size(list), ngroups);
	json_array_foreach(list, i, entry) {
		int g = atoi(sp_json_text(entry, "name") + 1);

		assert_in_range(g, 0, ngroups - 1);
		assert_false(is_seen[g]);
		is_seen[g] = true;
		assert_string_equal(sp_json_text(entry, "endpoint"), groups[g].endpoint);
		assert_true(sp_json_bool(entry, "attached"));
		assert_int_equal(sp_json_int(entry, "members"), live);
		assert_int_equal(sp_json_int(entry, "live"), live);
		groups[g].program = sp_json_int(entry, "program_id");
	}
	json_decref(list);
}

/* Each was asked so often, and has counted nothing of another's. TCP may be asked for stray segments, too. */
static void expect_counts(json_int_t asked)
{
	for (struct group *g = groups; g < groups + ngroups; g += SAMPLED) {
		json_int_t outcomes = sp_counters_outcomes(g->name);

		if (g->protocol == SP_UDP)
			assert_int_equal(outcomes, asked);
		else
			assert_in_range(outcomes, asked, asked + 2);
	}
}

static void expect_nothing_left(__u64 charged_before)
{
	__u64 deadline = sp_lab_now_ms() + GONE_MS;
	DIR *dir = opendir(ROOT);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		assert_true(!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."));
	if (dir)
		closedir(dir);
	for_each_group(g)
	{
		int fd;

		while ((fd = bpf_prog_get_fd_by_id(g->program)) >= 0 && sp_lab_left_ms(deadline)) {
			close(fd);
			poll(NULL, 0, 1);
		}
		assert_int_equal(fd, -ENOENT);
	}
	wait_freed(charged_before, ngroups);
}

static void e2e__256_groups__each_is_steered_by_itself_and_nothing_is_left_of_them(void **state)
{
	__u64 start_ms, charged_before;
	int status_slots;

	(void)state;
	charged_before = charged();
	attach_half(0);
	attach_half(ngroups / 2);

	start_ms = sp_lab_now_ms();
	expect_list(MEMBERS);
	show_time("list", 1, start_ms);
	for_each_group(g) ask(g);

	/* One member of each ends, and the other takes over, in every group by itself. */
	for_each_group(g) sp_close_fd(&g->members[0]);
	for_each_group(g) assert_int_equal(ask(g), 1);
	expect_counts(2);
	run_all("sync", 0, ngroups, "died");
	expect_list(MEMBERS - 1);
	start_ms = sp_lab_now_ms();
	status_slots = sp_status_int(groups[ngroups / 3].name, "enrolled");
	show_time("status", 1, start_ms);
	assert_int_equal(status_slots, MEMBERS - 1);

	run_all("detach", 0, ngroups, "detached");
	expect_nothing_left(charged_before);
	for_each_group(g) assert_int_equal(ask(g), 1);
}

/* Room for one more slot is its counters; all else is there for 1024 from the start. */
static void e2e__counters_for_1024_slots__are_all_that_a_larger_group_takes(void **state)
{
	struct group *g = &groups[0];
	__u64 before = charged(), small, large, small_charged, large_charged;
	bool is_estimate;

	(void)state;
	run("attach", g->name, g->endpoint, "--slots", "16");
	small = stated(g, false);
	is_estimate = sp_memory_stated(ROOT "/g0/sp_counters") % 4096 == 0;
	small_charged = charged() - before;
	sp_run("detach", g->name);
	wait_freed(before, 1);
	run("attach", g->name, g->endpoint, "--slots", "1024");
	large = stated(g, true);
	large_charged = charged() - before;
	print_message("    a slot: %llu bytes stated, %lld charged, with %d CPUs\n", (large - small) / 1008,
		      ((long long)large_charged - (long long)small_charged) / 1008,
		      libbpf_num_possible_cpus());
	assert_int_equal(large - small,
			 counters_stated(is_estimate, 1024) - counters_stated(is_estimate, 16));
}

static int set_up(void **state)
{
	(void)state;
	ngroups = sp_run_slowness() > 1 ? GROUPS / 4 : GROUPS;
	is_charged = sp_memory_open(&memory);
	if (!is_charged)
		print_message("    there is no memory control group that could be charged\n");
	open_groups();
	return 0;
}

static int tear_down(void **state)
{
	int err = sp_run_teardown(state);

	close_groups();
	sp_memory_close(&memory);
	return err;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			e2e__256_groups__each_is_steered_by_itself_and_nothing_is_left_of_them, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			e2e__counters_for_1024_slots__are_all_that_a_larger_group_takes, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
