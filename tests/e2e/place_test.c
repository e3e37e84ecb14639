// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Where a group is: another network namespace, another user, a port of several groups; where the pins are. */
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include "cleanup.h"
#include "run.h"

#define WORKERS 4
#define FLOWS 300
#define VICTIM 2
#define NOBODY 65534

/* One group, what it is steered as, and who answers its flows. */
struct place {
	const char *name;
	struct sp_crew crew;
	struct sp_crowd crowd;
	int before[FLOWS], after[FLOWS];
	unsigned int rounds; /* since the attach */
	int netns; /* where its workers live */
};

static int open_netns(void)
{
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void open_place(struct place *p, const char *name, enum sp_protocol protocol, const char *address,
		       const char *to, __u16 port, const struct sp_lab_options *options)
{
	memset(p, 0, sizeof(*p));
	p->name = name;
	p->netns = open_netns();
	sp_crew_start(&p->crew, protocol, address, port, WORKERS, options);
	sp_crowd_open(&p->crowd, &p->crew, to, NULL, 0, FLOWS);
	sp_crowd_ask(&p->crowd, p->before);
}

static void check_round(struct place *p)
{
	sp_crowd_stays(&p->crowd, &p->crew, p->before, p->after);
	memcpy(p->before, p->after, sizeof(p->before));
	p->rounds++;
}

static void add_worker(struct place *p, unsigned int id)
{
	int home = open_netns();

	assert_int_equal(setns(p->netns, CLONE_NEWNET), 0);
	sp_crew_add(&p->crew, id);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	close(home);
}

/* The life of a steered group: every step but the first by NAME alone. */
static void check_life(struct place *p)
{
	check_round(p);
	sp_crew_kill(&p->crew, VICTIM);
	check_round(p);
	add_worker(p, VICTIM);
	sp_run("sync", p->name);
	check_round(p);
	assert_int_equal(sp_status_int(p->name, "enrolled"), WORKERS);
	assert_true(sp_status_bool(p->name, "attached"));
	/* All of its own packets, and none of another's. */
	assert_int_equal(sp_counters_outcomes(p->name), p->rounds * FLOWS);
}

static void close_place(struct place *p)
{
	sp_crowd_close(&p->crowd);
	close(p->netns);
}

/* --- network namespaces --- */

/* Enters a new one, with its loopback device up. Returns the way back. */
static int leave_home(void)
{
	int home = open_netns();

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	sp_run_other("ip", "link", "set", "lo", "up");
	return home;
}

static void go_home(int home)
{
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	close(home);
}

static void e2e__group_in_another_netns__attached_by_pid_and_steered_from_here(void **state)
{
	static struct place far;
	int home = leave_home();
	char pid[16], hint[32];
	const struct sp_run *run;

	(void)state;
	open_place(&far, "far", SP_UDP, "127.0.0.1", "127.0.0.1", 0, NULL);
	go_home(home);
	snprintf(pid, sizeof(pid), "%d", far.crew.workers[0].pid);
	snprintf(hint, sizeof(hint), "add: --netns %s", pid);

	run = sp_run_fails(SP_EXIT_FAILED, "attach", "far", far.crew.endpoint);
	assert_non_null(strstr(run->err, "no such group in this network namespace"));
	assert_non_null(strstr(run->err, hint));
	sp_run("attach", "far", far.crew.endpoint, "--netns", pid, "--learn", "1h");
	check_life(&far);
	sp_run("where", "far", "127.0.0.1:5");
	close_place(&far);
}

static void e2e__same_endpoint_here_and_in_another_netns__each_is_its_own_group(void **state)
{
	static struct place near, far;
	char path[] = "/tmp/steadyport-netns-XXXXXX";
	int home, file = mkstemp(path);

	(void)state;
	assert_true(file >= 0);
	close(file);
	open_place(&near, "near", SP_UDP, "127.0.0.1", "127.0.0.1", 0, NULL);
	home = leave_home();
	open_place(&far, "far", SP_UDP, "127.0.0.1", "127.0.0.1", near.crew.port, NULL);
	/* As `ip netns add` does it, in a place of our own. */
	assert_int_equal(mount("/proc/self/ns/net", path, NULL, MS_BIND, NULL), 0);
	go_home(home);
	assert_string_equal(near.crew.endpoint, far.crew.endpoint);

	sp_run("attach", "far", far.crew.endpoint, "--netns", path, "--learn", "1h");
	assert_false(sp_status_int("far", "program_id") == 0);
	sp_run("attach", "near", near.crew.endpoint, "--learn", "1h");
	check_life(&far);
	check_life(&near);
	close_place(&near);
	close_place(&far);
	assert_int_equal(umount(path), 0);
	assert_int_equal(unlink(path), 0);
}

static void e2e__netns_that_is_none__says_why(void **state)
{
	static const struct {
		const char *netns, *what;
	} cases[] = {
		{ "4194305", "there is no process 4194305" },
		{ "/nowhere", "/nowhere" },
		{ "/dev/null", "/dev/null is not a network namespace" },
		{ "blue", "--netns /run/netns/blue" },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(cases); i++) {
		const struct sp_run *run =
			sp_run_fails(SP_EXIT_FAILED, "attach", "web", "tcp:80", "--netns", cases[i].netns);

		assert_non_null(strstr(run->err, cases[i].what));
	}
}

/* --- users and ports --- */

static void e2e__group_of_another_user__is_steered(void **state)
{
	const struct sp_lab_options nobody = { .uid = NOBODY };
	static struct place place;

	(void)state;
	open_place(&place, "theirs", SP_UDP, "::1", "::1", 0, &nobody);
	sp_run("attach", "theirs", place.crew.endpoint, "--learn", "1h");
	check_life(&place);
	close_place(&place);
}

static void e2e__three_groups_on_one_port__each_keeps_its_own_flows(void **state)
{
	static struct place any, v4, v6;
	char endpoint[SP_ENDPOINT_STRLEN];
	const struct sp_run *run;

	(void)state;
	open_place(&any, "any", SP_UDP, "0.0.0.0", "127.0.0.2", 0, NULL);
	open_place(&v4, "v4", SP_UDP, "127.0.0.1", "127.0.0.1", any.crew.port, NULL);
	open_place(&v6, "v6", SP_UDP, "::1", "::1", any.crew.port, NULL);
	snprintf(endpoint, sizeof(endpoint), "udp:%u", any.crew.port);
	run = sp_run_fails(SP_EXIT_FAILED, "attach", "any", endpoint);
	assert_non_null(strstr(run->err, "fits 3 groups"));

	sp_run("attach", "any", any.crew.endpoint, "--learn", "1h");
	sp_run("attach", "v4", v4.crew.endpoint, "--learn", "1h");
	sp_run("attach", "v6", v6.crew.endpoint, "--learn", "1h");
	check_life(&any);
	check_life(&v4);
	check_life(&v6);
	sp_run("detach", "v4");
	assert_true(sp_status_bool("any", "attached"));
	check_round(&any);
	check_round(&v6);
	close_place(&any);
	close_place(&v4);
	close_place(&v6);
}

/* --- bpffs --- */

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	assert_int_equal(statfs(path, &fs), 0);
	return fs.f_type == BPF_FS_MAGIC;
}

static void e2e__bpffs_elsewhere__is_mounted_there_and_used_by_every_command(void **state)
{
	static struct place place;
	char dir[] = "/tmp/steadyport-bpffs-XXXXXX";
	json_t *status;

	(void)state;
	assert_non_null(mkdtemp(dir));
	open_place(&place, "web", SP_UDP, "127.0.0.1", "127.0.0.1", 0, NULL);
	sp_run("attach", "web", place.crew.endpoint, "--bpffs", dir);
	assert_true(is_bpffs(dir));
	check_round(&place);
	sp_run_fails(SP_EXIT_NO_GROUP, "status", "web");
	sp_run("sync", "web", "--bpffs", dir);
	status = sp_run_json("status", "web", "--bpffs", dir);
	assert_true(sp_json_bool(status, "attached"));
	json_decref(status);
	sp_run("where", "web", "127.0.0.1:5", "--bpffs", dir);
	sp_run("counters", "web", "--bpffs", dir);
	assert_non_null(strstr(sp_run("groups", "--bpffs", dir)->out, "web"));
	assert_non_null(strstr(sp_run("list", "--bpffs", dir)->out, "web"));
	sp_run("detach", "web", "--bpffs", dir);
	sp_run_fails(SP_EXIT_NO_GROUP, "status", "web", "--bpffs", dir);
	assert_int_equal(umount(dir), 0);
	assert_int_equal(rmdir(dir), 0);
	close_place(&place);
}

static void e2e__bpffs_not_mounted__looking_works_and_attach_mounts_it(void **state)
{
	static struct place place;
	json_t *list;

	(void)state;
	open_place(&place, "web", SP_UDP, "127.0.0.1", "127.0.0.1", 0, NULL);
	assert_int_equal(umount("/sys/fs/bpf"), 0);
	assert_false(is_bpffs("/sys/fs/bpf"));
	list = sp_run_json("list");
	assert_int_equal(json_array_size(list), 0);
	json_decref(list);
	assert_non_null(strstr(sp_run("groups")->out, place.crew.endpoint + 4));
	sp_run_fails(SP_EXIT_NO_GROUP, "status", "web");
	sp_run_fails(SP_EXIT_NO_GROUP, "detach", "web");
	assert_false(is_bpffs("/sys/fs/bpf"));

	sp_run("attach", "web", place.crew.endpoint, "--learn", "1h");
	assert_true(is_bpffs("/sys/fs/bpf"));
	check_life(&place);
	close_place(&place);
}

static void e2e__bpffs_cannot_be_mounted__says_where_and_how_to_do_it(void **state)
{
	static struct sp_crew crew;
	const struct sp_run *run;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, 2, NULL);
	run = sp_run_fails(SP_EXIT_FAILED, "attach", "web", crew.endpoint, "--bpffs", "/proc/nowhere");
	assert_non_null(strstr(run->err, "/proc/nowhere"));
	run = sp_run_fails(SP_EXIT_FAILED, "attach", "web", crew.endpoint, "--bpffs", "/dev/null");
	assert_non_null(strstr(run->err, "/dev/null"));
	assert_non_null(strstr(run->err, "--bpffs DIR"));
}

/* What is mounted and unmounted here is so for this process and its children only, whoever runs it. */
static int leave_mounts(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
		print_error("cannot make a mount namespace\n");
		return -1;
	}
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(e2e__group_in_another_netns__attached_by_pid_and_steered_from_here,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__same_endpoint_here_and_in_another_netns__each_is_its_own_group,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__netns_that_is_none__says_why, sp_run_teardown),
		cmocka_unit_test_teardown(e2e__group_of_another_user__is_steered, sp_run_teardown),
		cmocka_unit_test_teardown(e2e__three_groups_on_one_port__each_keeps_its_own_flows,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__bpffs_elsewhere__is_mounted_there_and_used_by_every_command,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__bpffs_not_mounted__looking_works_and_attach_mounts_it,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__bpffs_cannot_be_mounted__says_where_and_how_to_do_it,
					  sp_run_teardown),
	};

	return cmocka_run_group_tests(tests, leave_mounts, NULL);
}
