// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * doctor finds what is wrong with a machine, or with the rights of who asks: made for one process, found, and not found
 * by the next. That a kernel does not wake cannot be made: scripts/kernels.sh boots one for these tests, and whether one
 * does is seen here, not asked of the program's own probe.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cleanup.h"
#include "disguise.h"
#include "examine.h"
#include "privilege.h"
#include "servers.h"

#define ASLEEP_MS 500 /* a wake-up comes with the connection; there is no other traffic that would */
#define JIT "/proc/sys/net/core/bpf_jit_enable"

#define examine_in(prepare, ctx) \
	sp_examine_as(__FILE__, __LINE__, NULL, "0", &(struct sp_run_setup){ prepare, ctx })

/* In a process that was prepared it is found, and in one that was not it is not. */
static void check(void (*prepare)(void *ctx), void *ctx, const char *id, const char *what)
{
	sp_finds_not(NULL, id);
	examine_in(prepare, ctx);
	if (!strstr(sp_examined_text(id, "what"), what))
		fail_msg("\"%s\" does not say: %s", sp_examined_text(id, "what"), what);
	sp_finds_not(NULL, id);
}

static void e2e__doctor_old_kernel__found(void **state)
{
	(void)state;
	check(sp_disguise_old_kernel, NULL, "old-kernel", "Linux 2.6.");
}

static void e2e__doctor_no_btf__found(void **state)
{
	(void)state;
	check(sp_disguise_no_btf, NULL, "no-btf", "vmlinux");
}

/* --- rights --- */

static void e2e__doctor_vital_capabilities__each_is_missed(void **state)
{
	int bpf[] = { CAP_SYS_ADMIN, CAP_BPF, -1 }, perfmon[] = { CAP_SYS_ADMIN, CAP_PERFMON, -1 };

	(void)state;
	check(sp_disguise_without, bpf, "capability-vital", "CAP_BPF");
	check(sp_disguise_without, perfmon, "capability-vital", "CAP_PERFMON");
}

/* One after the other: root has them all on the machines that run the tests. */
static void e2e__doctor_other_capabilities__each_is_missed(void **state)
{
	(void)state;
	for (int i = 0; i < SP_PRIVILEGES; i++) {
		int caps[] = { sp_privileges[i].cap, -1 };

		/* CAP_SYS_ADMIN stands for these two. */
		if (i == SP_PRIVILEGE_BPF || i == SP_PRIVILEGE_PERFMON)
			continue;
		check(sp_disguise_without, caps, "capability-missing", sp_privileges[i].name);
	}
}

static void e2e__doctor_no_private_network__wake_up_cannot_be_tried(void **state)
{
	int caps[] = { CAP_SYS_ADMIN, -1 };

	(void)state;
	check(sp_disguise_without, caps, "waking-unknown", "cannot make a private network");
}

/* --- bpffs --- */

static void unmount_bpffs(void *ctx)
{
	(void)ctx;
	sp_disguise_leave_mounts();
	sp_disguise_must(!umount2("/sys/fs/bpf", MNT_DETACH), "unmount the bpffs");
	/* The machine's own may be below it. */
	umount2("/sys/fs/bpf", MNT_DETACH);
}

static void e2e__doctor_no_bpffs__found(void **state)
{
	(void)state;
	check(unmount_bpffs, NULL, "bpffs-missing", "/sys/fs/bpf");
}

static void e2e__doctor_others_may_write_in_bpffs__until_they_may_not(void **state)
{
	(void)state;
	assert_true(!mkdir("/sys/fs/bpf/steadyport", 0700) || errno == EEXIST);
	sp_finds_not(NULL, "bpffs-untrusted");
	assert_int_equal(chmod("/sys/fs/bpf/steadyport", 0777), 0);
	sp_finds(NULL, "bpffs-untrusted");
	assert_int_equal(chmod("/sys/fs/bpf/steadyport", 0700), 0);
	sp_finds_not(NULL, "bpffs-untrusted");
}

/* --- what it sees, and how the program is run --- */

/* In a pid namespace of its own; the child's end is this process's. */
static void leave_processes(void *ctx)
{
	int status;
	pid_t child;

	(void)ctx;
	sp_disguise_must(!unshare(CLONE_NEWPID), "have a pid namespace of its own");
	sp_disguise_leave_mounts();
	child = fork();
	sp_disguise_must(child >= 0, "fork");
	if (child) {
		sp_disguise_must(waitpid(child, &status, 0) == child, "wait for the child");
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 126);
	}
	sp_disguise_must(!mount("proc", "/proc", "proc", 0, NULL), "mount /proc");
}

static void e2e__doctor_in_another_pid_namespace__found(void **state)
{
	struct stat st;

	(void)state;
	if (!stat("/proc/self/ns/pid", &st) && st.st_ino != 0xEFFFFFFCu) {
		print_error("not in the machine's first pid namespace\n");
		skip();
	}
	check(leave_processes, NULL, "pid-namespace", "only processes of this pid namespace");
}

/* The network namespace that the tests were started in, by a process that is in it: an ancestor. -1: it is ours. */
static int open_outer_netns(void)
{
	struct stat own, other;
	pid_t pid = getpid();
	char path[64];

	assert_int_equal(stat("/proc/self/ns/net", &own), 0);
	while (pid > 0) {
		sp_autofile FILE *file = NULL;

		snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
		if (stat(path, &other))
			break;
		if (other.st_ino != own.st_ino)
			return open(path, O_RDONLY | O_CLOEXEC);
		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		file = fopen(path, "re");
		if (!file || fscanf(file, "%*d (%*[^)]) %*c %d", &pid) != 1)
			break;
	}
	return -1;
}

struct disguise {
	int netns;
	const char *zero;
};

/* Where the sysctl is, and a file over it that says 0. */
static void disable_jit(void *ctx)
{
	const struct disguise *disguise = ctx;

	sp_disguise_must(!setns(disguise->netns, CLONE_NEWNET), "enter the outer network namespace");
	sp_disguise_leave_mounts();
	sp_disguise_must(!mount(disguise->zero, JIT, NULL, MS_BIND, NULL), "hide the sysctl");
}

/* It is there in the machine's first network namespace only. */
static void e2e__doctor_jit_is_off__found(void **state)
{
	char path[] = "/tmp/steadyport-jit-XXXXXX";
	struct disguise disguise = { open_outer_netns(), path };
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "0\n", 2), 2);
	close(fd);
	if (disguise.netns < 0) {
		unlink(path);
		print_error("no ancestor is in another network namespace\n");
		skip();
	}
	check(disable_jit, &disguise, "jit-off", "bpf_jit_enable is 0");
	close(disguise.netns);
	unlink(path);
}

/* --- waking, and the daemon that does it --- */

static bool has_daemon(void)
{
	sp_examine(NULL, "0");
	return sp_json_bool(sp_json_object(sp_examined(), "machine"), "daemon");
}

/* How many wait in a listener, which disturbs nobody: tcp_get_info(). */
static __u32 count_waiting(int listener)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	assert_int_equal(getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	return info.tcpi_unacked;
}

/* A worker of a steered group dies, and leaves a connection to one that sleeps. Is that one told? */
static bool is_heir_woken(void)
{
	static struct sp_crew web;
	struct sp_lab_options paused = { .is_paused = true };
	struct epoll_event event = { .events = EPOLLIN };
	sp_autoclose int heir = -1, epoll = epoll_create1(EPOLL_CLOEXEC), dying = -1;
	struct sp_crowd connection;
	int count;

	assert_true(epoll >= 0);
	sp_crew_start(&web, SP_TCP, "127.0.0.1", 0, 1, &paused);
	sp_run("attach", "web", web.endpoint);
	sp_crowd_open(&connection, &web, "127.0.0.1", NULL, 0, 1);
	dying = sp_crew_borrow(&web, 0);
	sp_wait_for(count_waiting(dying) == 1);
	close(sp_take_fd(&dying));
	heir = sp_crew_join(&web);
	sp_run("sync", "web");
	assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, heir, &event), 0);
	sp_crew_kill(&web, 0);
	sp_wait_for(count_waiting(heir) == 1);
	count = epoll_wait(epoll, &event, 1, ASLEEP_MS);
	assert_in_range(count, 0, 1);
	sp_crowd_close(&connection);
	return count == 1;
}

static void e2e__doctor_kernel_that_does_not_wake__found_unless_the_daemon_runs(void **state)
{
	char path[] = "/tmp/steadyport-conf-XXXXXX";
	const char *const words[] = { "steadyport", "run", "--config", path, NULL };
	bool is_woken = is_heir_woken();
	struct sp_run daemon;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_true(dprintf(fd, "[daemon]\nmetrics = off\n") > 0);
	close(fd);
	sp_run_start(&daemon, NULL, words);
	sp_wait_for(has_daemon());
	assert_null(sp_examined_finding("needs-waking"));
	kill(daemon.pid, SIGTERM);
	sp_run_wait(&daemon);
	sp_run_free(&daemon);
	unlink(path);
	assert_false(has_daemon());
	assert_int_equal(sp_examined_finding("needs-waking") != NULL, !is_woken);
	print_message("  this kernel %s\n", is_woken ? "wakes" : "does not wake");
}

/* --- exit status --- */

static void e2e__doctor_exit_status__one_for_errors_only(void **state)
{
	int ptrace[] = { CAP_SYS_PTRACE, -1 }, bpf[] = { CAP_SYS_ADMIN, CAP_BPF, -1 };
	const struct sp_run *run;

	(void)state;
	sp_run("doctor");
	/* A warning. */
	run = sp_run_program(__FILE__, __LINE__, SP_EXIT_OK,
			     &(struct sp_run_setup){ sp_disguise_without, ptrace }, "steadyport", "doctor",
			     NULL);
	assert_non_null(
		strstr(run->out, "warning   capability-missing: this process does not have CAP_SYS_PTRACE"));
	run = sp_run_program(__FILE__, __LINE__, SP_EXIT_FAILED,
			     &(struct sp_run_setup){ sp_disguise_without, bpf }, "steadyport", "doctor",
			     "udp:53", NULL);
	assert_non_null(strstr(run->out, "error     capability-vital: this process does not have CAP_BPF"));
	assert_non_null(strstr(run->err, "no group can be looked at"));
}

#define CASE(name) cmocka_unit_test_teardown(name, sp_run_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(e2e__doctor_old_kernel__found),
		CASE(e2e__doctor_no_btf__found),
		CASE(e2e__doctor_vital_capabilities__each_is_missed),
		CASE(e2e__doctor_other_capabilities__each_is_missed),
		CASE(e2e__doctor_no_private_network__wake_up_cannot_be_tried),
		CASE(e2e__doctor_no_bpffs__found),
		CASE(e2e__doctor_others_may_write_in_bpffs__until_they_may_not),
		CASE(e2e__doctor_in_another_pid_namespace__found),
		CASE(e2e__doctor_jit_is_off__found),
		CASE(e2e__doctor_kernel_that_does_not_wake__found_unless_the_daemon_runs),
		CASE(e2e__doctor_exit_status__one_for_errors_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
